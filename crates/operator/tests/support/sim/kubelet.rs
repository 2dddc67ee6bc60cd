//! A kubelet that makes pods run, and ends them, without running anything.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::api::Namespace;
use super::wire::SimKafka;

const NODE_ID: &str = "kafka.tubeway.dev/node-id";

/// Takes every pod one step on: one that ends is gone, one that is new runs and
/// is ready. The simulated Kafka has the same brokers. Whether anything moved.
pub(crate) async fn step(api: &Namespace, kafka: &SimKafka) -> bool {
    let mut moved = bind(api).await;
    let mut there = Vec::new();
    for pod in api.list("pods").await {
        let what = format!("pods/{}", text(&pod["metadata"]["name"]));
        let id = node_id(&pod);
        if pod["metadata"]["deletionTimestamp"].is_string() {
            kafka.kafka(|kafka| id.map(|id| kafka.stop(id)));
            let _ = api.kill(&what).await;
            moved = true;
            continue;
        }
        there.extend(id);
        if matches!(pod["status"]["phase"].as_str(), Some("Running" | "Failed")) {
            continue;
        }
        moved = true;
        if pod["spec"]["nodeName"].is_null() {
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": pod["metadata"],
                "target": { "kind": "Node", "name": format!("machine-{}", id.unwrap_or(0) % 3) },
            });
            let _ = api.create(&format!("{what}/binding"), &binding).await;
        }
        let address = format!("10.0.0.{}", id.unwrap_or(0) + 1);
        let status = json!({ "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": "True",
                "lastTransitionTime": Timestamp::from_second(Timestamp::now().as_second()).unwrap() }],
        }});
        if api.edit(&format!("{what}/status"), &status).await.is_ok() {
            let has = |label: &str| pod["metadata"]["labels"][label] == "true";
            let (broker, controller) = (
                has("kafka.tubeway.dev/broker"),
                has("kafka.tubeway.dev/controller"),
            );
            found(api, kafka).await;
            let claim = format!(
                "persistentvolumeclaims/data-{}",
                text(&pod["metadata"]["name"])
            );
            let claim = api.get(&claim).await.unwrap_or_default();
            let directory = text(&claim["metadata"]["uid"]).parse().unwrap_or_default();
            let disks = disks_of(&pod);
            kafka.kafka(|kafka| {
                id.map(|id| {
                    kafka.start(id, broker, controller, directory);
                    kafka.mount(id, disks);
                })
            });
        }
    }
    kafka.kafka(|kafka| {
        for id in kafka.up() {
            if !there.contains(&id) {
                kafka.stop(id);
                moved = true;
            }
        }
    });
    moved
}

/// Gives every claim a volume of its own, as a storage driver and the controller of
/// volumes would. Whether there was one without.
async fn bind(api: &Namespace) -> bool {
    let mut moved = false;
    for claim in api.list("persistentvolumeclaims").await {
        let (metadata, spec) = (&claim["metadata"], &claim["spec"]);
        if claim["status"]["phase"] == "Bound" || metadata["deletionTimestamp"].is_string() {
            continue;
        }
        moved = true;
        let what = format!("persistentvolumeclaims/{}", text(&metadata["name"]));
        let name = format!("volume-{}", text(&metadata["uid"]));
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": {
                "accessModes": spec["accessModes"], "capacity": spec["resources"]["requests"],
                "storageClassName": spec["storageClassName"],
                "hostPath": { "path": "/nowhere" },
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": metadata["namespace"], "name": metadata["name"],
                    "uid": metadata["uid"],
                },
            },
        });
        let _ = api.create_wide("persistentvolumes", &volume).await;
        let bound = json!({
            "metadata": { "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
            "spec": { "volumeName": name },
        });
        let _ = api.edit(&what, &bound).await;
        let status = json!({ "status": { "phase": "Bound" } });
        let _ = api.edit(&format!("{what}/status"), &status).await;
    }
    moved
}

/// Disks beside the first.
fn disks_of(pod: &Value) -> BTreeSet<u32> {
    let volumes = pod["spec"]["volumes"].as_array().into_iter().flatten();
    let disks = volumes.filter_map(|v| text(&v["name"]).strip_prefix("disk-")?.parse().ok());
    disks.collect()
}

/// The quorum begins with the controllers that it is founded with.
async fn found(api: &Namespace, kafka: &SimKafka) {
    if !kafka.kafka(|kafka| kafka.voters.is_empty()) {
        return;
    }
    let map = api.get("configmaps/demo-quorum").await.unwrap_or_default();
    let text = map["data"]["quorum.json"].as_str().unwrap_or("{}");
    let quorum: Value = serde_json::from_str(text).unwrap();
    let voters = quorum["initialControllers"]
        .as_array()
        .into_iter()
        .flatten();
    let voters = voters.filter_map(|voter| voter["id"].as_u64());
    kafka.kafka(|kafka| kafka.voters = voters.map(|id| id as u32).collect());
}

/// The node that an object is labelled with.
pub(crate) fn node_id(object: &Value) -> Option<u32> {
    object["metadata"]["labels"][NODE_ID].as_str()?.parse().ok()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
