//! Evictions of Kafka's nodes, as `kubectl drain` asks for them.
//!
//! A PodDisruptionBudget counts pods; whether a partition can spare one it cannot
//! know. So the pod is marked, its eviction is put off, and the operator replaces
//! it when the cluster can spare it. Whoever drains tries again until it is gone.

use axum::Json;
use axum::extract::State;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tubeway_api::labels;

use super::Answer;
use crate::apply::Writer;
use crate::context::Context;
use crate::error::{Error, Result};

/// Name of this part in metrics.
const CONTROLLER: &str = "evict";

/// The part of an `AdmissionReview` of an Eviction that is read.
#[derive(Debug, Deserialize)]
pub(super) struct Review {
    request: Request,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn review(State(ctx): State<Context>, Json(review): Json<Review>) -> Json<Answer> {
    let request = review.request;
    let response = match verdict(&ctx, &request).await {
        Ok(None) => json!({"uid": request.uid, "allowed": true}),
        Ok(Some(message)) => put_off(&request.uid, &message),
        // The budget refuses what is not marked, and it is tried again.
        Err(error) => put_off(&request.uid, &error.full()),
    };
    Json(Answer::of(response))
}

/// Why the pod is not evicted now, if it is one of Kafka's nodes.
async fn verdict(ctx: &Context, request: &Request) -> Result<Option<String>> {
    if !ctx.config.watched.contains(&request.namespace) {
        return Ok(None);
    }
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &request.namespace);
    let what = format!("read Pod {}/{}", request.namespace, request.name);
    let pod = pods
        .get_opt(&request.name)
        .await
        .map_err(Error::kubernetes(what))?;
    let Some(pod) = pod.filter(is_node) else {
        return Ok(None);
    };
    let marked = pod.annotations().contains_key(labels::RESTART);
    if !marked && !request.dry_run && pod.metadata.deletion_timestamp.is_none() {
        let writer = Writer::new(ctx.client.clone(), &ctx.metrics, CONTROLLER);
        writer
            .annotate(&pod, labels::RESTART, Some("evicted"))
            .await?;
    }
    Ok(Some(format!(
        "{} is a node of Kafka cluster {}: the operator replaces its pod when every partition can \
         spare it; try again until it is gone",
        request.name,
        pod.labels().get(labels::CLUSTER).map_or("", String::as_str)
    )))
}

/// Whether the pod is a Kafka node that the operator has made.
fn is_node(pod: &Pod) -> bool {
    let labels = pod.labels();
    let ours = labels.get(labels::APP_MANAGED_BY).map(String::as_str) == Some(labels::MANAGER);
    ours && labels.contains_key(labels::NODE_ID) && labels.contains_key(labels::CLUSTER)
}

/// What `kubectl drain` takes for "later" (429), as from a budget.
fn put_off(uid: &str, message: &str) -> Value {
    json!({
        "uid": uid,
        "allowed": false,
        "status": {"code": 429, "reason": "TooManyRequests", "message": message},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{FakeApi, context};

    const POD: &str = "/api/v1/namespaces/kafka/pods/demo-all-0";

    fn pod(labels: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "demo-all-0", "namespace": "kafka", "labels": labels},
        })
    }

    async fn evict(api: &FakeApi, dry_run: bool) -> Value {
        let request = json!({"request": {
            "uid": "7", "namespace": "kafka", "name": "demo-all-0", "dryRun": dry_run,
        }});
        let review = serde_json::from_value(request).unwrap();
        let Json(answer) = review_with(context(api), review).await;
        serde_json::to_value(answer).unwrap()["response"].clone()
    }

    async fn review_with(ctx: Context, asked: Review) -> Json<Answer> {
        review(State(ctx), Json(asked)).await
    }

    #[tokio::test]
    async fn a_node_is_marked_and_its_eviction_put_off() {
        let api = FakeApi::default();
        let labels = json!({
            (labels::APP_MANAGED_BY): labels::MANAGER,
            (labels::NODE_ID): "0",
            (labels::CLUSTER): "demo",
        });
        api.put(POD, pod(&labels));
        let answer = evict(&api, true).await;
        assert_eq!(answer["status"]["code"], 429);
        assert!(api.take_writes().is_empty(), "a dry run marks nothing");
        let answer = evict(&api, false).await;
        assert_eq!(
            (&answer["uid"], &answer["allowed"]),
            (&json!("7"), &json!(false))
        );
        assert_eq!(api.take_writes(), [format!("PATCH {POD}")]);
        let marked = api.get(POD).unwrap();
        assert_eq!(
            marked["metadata"]["annotations"][labels::RESTART],
            "evicted"
        );
        evict(&api, false).await;
        assert!(api.take_writes().is_empty(), "it is marked already");
    }

    #[tokio::test]
    async fn others_pods_and_pods_that_are_gone_are_none_of_its_business() {
        let api = FakeApi::default();
        assert_eq!(evict(&api, false).await["allowed"], true);
        api.put(POD, pod(&json!({ (labels::NODE_ID): "0" })));
        assert_eq!(evict(&api, false).await["allowed"], true);
        assert!(api.take_writes().is_empty());
    }
}
