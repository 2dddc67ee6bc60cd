//! What the Kubernetes API asks before it makes a pod or evicts one.
//!
//! New pods get their client sidecar, where their namespace asks for it.
//! The Kubernetes API asks before it makes a pod in a namespace with the label
//! `kafka.tubeway.dev/inject: enabled`. Which Kafka cluster the pod is a client
//! of says its annotation `kafka.tubeway.dev/cluster`, else its namespace's.

mod evict;

use std::fmt::Debug;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tubeway_api::{KafkaCluster, MeshProvider, labels};
use tubeway_config::ClusterRef;

use crate::cluster::build::SidecarSettings;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::inject::{InjectConfig, client_sidecar};

/// Where the Kubernetes API asks about new pods.
pub const PATH: &str = "/inject";
/// Where it asks about evictions.
const EVICT_PATH: &str = "/evict";
/// The webhooks' configurations, which `deploy/webhook.yaml` makes, each with the
/// one webhook in it.
const INJECT: (&str, &str) = ("tubeway-inject", "inject.kafka.tubeway.dev");
const EVICT: (&str, &str) = ("tubeway-evict", "evict.kafka.tubeway.dev");

/// The part of an `AdmissionReview` that is read.
#[derive(Debug, Deserialize)]
struct Review {
    request: Request,
}

#[derive(Debug, Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    object: Pod,
}

/// The `AdmissionReview` that is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    api_version: &'static str,
    kind: &'static str,
    response: Value,
}

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It is made as it is.
    AsItIs,
    /// It becomes a client of this cluster.
    ClientOf(ClusterRef),
    /// It is not made, for this reason.
    Refused(String),
}

/// The webhooks' routes.
pub fn routes(ctx: Context) -> Router {
    Router::new()
        .route(PATH, post(review))
        .route(EVICT_PATH, post(evict::review))
        .with_state(ctx)
}

/// Lets the Kubernetes API know by which roots to check this operator's
/// certificate, now and whenever they change.
pub async fn keep_roots(ctx: Context) {
    let mut roots = ctx.roots.clone();
    loop {
        let bundle = roots.borrow_and_update().clone();
        let inject = tell_roots::<MutatingWebhookConfiguration>(&ctx, INJECT, &bundle).await;
        let evict = tell_roots::<ValidatingWebhookConfiguration>(&ctx, EVICT, &bundle).await;
        for (told, (webhook, _)) in [(inject, INJECT), (evict, EVICT)] {
            match told {
                Ok(()) => {}
                Err(error) if error.status().is_some_and(|status| status.code == 404) => {
                    tracing::info!(webhook, "no webhook is installed");
                }
                Err(error) => tracing::warn!(webhook, %error, "webhook without roots"),
            }
        }
        if roots.changed().await.is_err() {
            return;
        }
    }
}

async fn tell_roots<K>(ctx: &Context, (name, webhook): (&str, &str), roots: &str) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(ctx.client.clone());
    let bundle = BASE64_STANDARD.encode(roots);
    let webhook = json!({"name": webhook, "clientConfig": {"caBundle": bundle}});
    let patch = Patch::Strategic(json!({"webhooks": [webhook]}));
    let params = PatchParams {
        field_manager: Some(labels::MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let what = format!("write the roots into webhook {name}");
    let written = api.patch(name, &params, &patch).await;
    written.map(drop).map_err(Error::kubernetes(what))
}

async fn review(State(ctx): State<Context>, Json(review): Json<Review>) -> Json<Answer> {
    let request = review.request;
    let verdict = match verdict(&request.object, None) {
        // Its namespace may say what it does not.
        Verdict::Refused(_) => match namespace(&ctx, &request.namespace).await {
            Ok(namespace) => verdict(&request.object, Some(&namespace)),
            Err(error) => Verdict::Refused(error.full()),
        },
        verdict => verdict,
    };
    let mut warnings = Vec::new();
    let patch = match verdict {
        Verdict::AsItIs => Ok(None),
        Verdict::ClientOf(cluster) if !ctx.config.watched.contains(&cluster.namespace) => {
            Err(not_watched(&cluster))
        }
        Verdict::ClientOf(cluster) => match mesh_of(&ctx, &cluster).await {
            Ok(mesh) => {
                if mesh.is_none() {
                    warnings.push(unknown(&cluster));
                }
                let mesh = mesh.unwrap_or_default();
                injected(&ctx, &request.object, &cluster, mesh).map(Some)
            }
            Err(error) => Err(error.full()),
        },
        Verdict::Refused(why) => Err(why),
    };
    let mut response = response(&request.uid, patch);
    if !warnings.is_empty() {
        response["warnings"] = json!(warnings);
    }
    Json(Answer::of(response))
}

async fn namespace(ctx: &Context, name: &str) -> Result<Namespace> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let what = format!("read Namespace {name}");
    api.get(name).await.map_err(Error::kubernetes(what))
}

/// Who issues the certificates of this cluster's clients; none if there is no
/// such cluster yet.
async fn mesh_of(ctx: &Context, cluster: &ClusterRef) -> Result<Option<MeshProvider>> {
    let api: Api<KafkaCluster> = Api::namespaced(ctx.client.clone(), &cluster.namespace);
    let what = format!("read KafkaCluster {cluster}");
    let found = api.get_opt(&cluster.name).await;
    let found = found.map_err(Error::kubernetes(what))?;
    Ok(found.map(|cluster| cluster.spec.mesh.provider))
}

fn not_watched(cluster: &ClusterRef) -> String {
    format!(
        "{cluster} cannot be this pod's Kafka cluster: namespace {} is none of those that the \
         operator looks after; its administrator can add it, by `tubeway upgrade \
         --watch-namespaces` or the chart's value watchNamespaces",
        cluster.namespace
    )
}

fn unknown(cluster: &ClusterRef) -> String {
    format!(
        "there is no KafkaCluster {cluster} yet: this pod waits for it, and its certificates are \
         not Istio's; if the cluster's are to be, make the pod anew once it is there"
    )
}

/// What the pod's and the namespace's annotations ask for.
fn verdict(pod: &Pod, namespace: Option<&Namespace>) -> Verdict {
    let annotations = pod.annotations();
    if annotations.get(labels::INJECT).map(String::as_str) == Some(labels::INJECT_DISABLED) {
        return Verdict::AsItIs;
    }
    let of_namespace = || namespace?.annotations().get(labels::CLIENT_OF);
    let Some(named) = annotations.get(labels::CLIENT_OF).or_else(of_namespace) else {
        return Verdict::Refused(format!(
            "which Kafka cluster is this pod a client of? Say it by the annotation {} of the pod \
             or its namespace, as in kafka/demo; or have no sidecar, by the pod's annotation {}: {}",
            labels::CLIENT_OF,
            labels::INJECT,
            labels::INJECT_DISABLED
        ));
    };
    match named.parse() {
        Ok(cluster) => Verdict::ClientOf(cluster),
        Err(_) => Verdict::Refused(format!(
            "the annotation {} is {named:?}; it takes <namespace>/<name> of a KafkaCluster, as in \
             kafka/demo",
            labels::CLIENT_OF
        )),
    }
}

/// The JSON patch that makes the pod one with a sidecar.
fn injected(
    ctx: &Context,
    pod: &Pod,
    cluster: &ClusterRef,
    mesh: MeshProvider,
) -> Result<Vec<u8>, String> {
    let operator = ctx.config.operator_id().map_err(|e| e.to_string())?;
    let config = InjectConfig {
        sidecar: SidecarSettings::new(&ctx.config, operator.as_str(), cluster, mesh),
    };
    let mut with = pod.clone();
    client_sidecar(&mut with, &config).map_err(|error| error.to_string())?;
    // Both sides by way of the types, so that fields that they do not know are
    // in neither, and stay.
    let json = |pod: &Pod| serde_json::to_value(pod).map_err(|error| error.to_string());
    let patch = json_patch::diff(&json(pod)?, &json(&with)?);
    serde_json::to_vec(&patch).map_err(|error| error.to_string())
}

fn response(uid: &str, patch: Result<Option<Vec<u8>>, String>) -> Value {
    match patch {
        Ok(None) => json!({"uid": uid, "allowed": true}),
        Ok(Some(patch)) => json!({
            "uid": uid,
            "allowed": true,
            "patchType": "JSONPatch",
            "patch": BASE64_STANDARD.encode(patch),
        }),
        Err(message) => json!({
            "uid": uid,
            "allowed": false,
            "status": {"code": 422, "reason": "Invalid", "message": message},
        }),
    }
}

// === impl Answer ===

impl Answer {
    fn of(response: Value) -> Self {
        Self {
            api_version: "admission.k8s.io/v1",
            kind: "AdmissionReview",
            response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::FakeApi;

    fn pod(annotations: &Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "app", "annotations": annotations},
            "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        });
        serde_json::from_value(pod).unwrap()
    }

    fn in_namespace(cluster: &str) -> Namespace {
        let annotations = json!({ labels::CLIENT_OF: cluster });
        serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
    }

    fn client_of(cluster: &str) -> Verdict {
        Verdict::ClientOf(cluster.parse().unwrap())
    }

    #[test]
    fn a_pod_says_whose_client_it_is_before_its_namespace() {
        let namespace = in_namespace("kafka/main");
        let silent = pod(&json!({}));
        assert_eq!(verdict(&silent, Some(&namespace)), client_of("kafka/main"));
        let own = pod(&json!({ labels::CLIENT_OF: "kafka/other" }));
        assert_eq!(verdict(&own, Some(&namespace)), client_of("kafka/other"));
        let none = pod(&json!({ labels::INJECT: labels::INJECT_DISABLED }));
        assert_eq!(verdict(&none, Some(&namespace)), Verdict::AsItIs);
    }

    #[test]
    fn who_does_not_say_it_or_says_nonsense_is_told_what_to_say() {
        for (annotations, part) in [
            (json!({}), "as in kafka/demo"),
            (
                json!({ labels::CLIENT_OF: "demo" }),
                "is \"demo\"; it takes",
            ),
        ] {
            let Verdict::Refused(why) = verdict(&pod(&annotations), None) else {
                panic!("{annotations} is good");
            };
            assert!(why.contains(part), "{why}");
        }
    }

    async fn reviewed(api: &FakeApi) -> Value {
        reviewed_by(crate::fixture::context(api)).await
    }

    async fn reviewed_by(ctx: Context) -> Value {
        let object = pod(&json!({ labels::CLIENT_OF: "kafka/main" }));
        let request = Request {
            uid: "1".to_owned(),
            namespace: "shop".to_owned(),
            object,
        };
        let Json(answer) = review(State(ctx), Json(Review { request })).await;
        answer.response
    }

    #[tokio::test]
    async fn a_client_has_the_issuer_of_its_cluster() {
        let api = FakeApi::default();
        for (provider, istio) in [("builtin", false), ("istio", true)] {
            let mut cluster = crate::fixture::cluster("All", false);
            cluster["spec"]["mesh"] = json!({ "provider": provider });
            let at = "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkaclusters/main";
            api.put(at, cluster);
            let response = reviewed(&api).await;
            let patch = BASE64_STANDARD.decode(response["patch"].as_str().unwrap());
            let patch = String::from_utf8(patch.unwrap()).unwrap();
            assert_eq!(patch.contains("TUBEWAY_ISSUER"), istio, "{patch}");
            assert_eq!(response["warnings"], Value::Null);
        }
    }

    #[tokio::test]
    async fn a_client_of_a_cluster_that_is_not_there_is_told_so() {
        let response = reviewed(&FakeApi::default()).await;
        assert_eq!(response["allowed"], true);
        let warning = response["warnings"][0].as_str().unwrap();
        assert!(warning.contains("no KafkaCluster kafka/main"), "{warning}");
    }

    #[tokio::test]
    async fn a_client_of_a_cluster_that_is_not_looked_after_is_refused() {
        for (watched, allowed) in [("kafka,shop", true), ("shop", false)] {
            let mut ctx = crate::fixture::context(&FakeApi::default());
            let config = crate::Config {
                watched: watched.parse().unwrap(),
                ..crate::Config::clone(&ctx.config)
            };
            ctx.config = config.into();
            let response = reviewed_by(ctx).await;
            assert_eq!(response["allowed"], allowed, "{response}");
        }
    }

    #[test]
    fn an_answer_carries_its_patch_or_its_reason() {
        let allowed = response("1", Ok(Some(b"[]".to_vec())));
        assert_eq!(allowed["patch"], "W10=");
        assert_eq!(allowed["patchType"], "JSONPatch");
        let refused = response("1", Err("why".to_owned()));
        assert_eq!(refused["allowed"], false);
        assert_eq!(refused["status"]["message"], "why");
        assert_eq!(response("1", Ok(None))["patch"], Value::Null);
    }
}
