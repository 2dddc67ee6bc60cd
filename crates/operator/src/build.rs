//! The objects a cluster consists of: pure functions of what was validated.

pub mod pod;
pub mod properties;
pub mod quorum;
pub mod sidecar;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};
use tubeway_api::labels;
use tubeway_config::ports;

use crate::names;
use crate::validate::{ValidatedCluster, ValidatedNode};

/// A build that does not fit Kubernetes' types: a mistake of this program.
#[derive(Debug, thiserror::Error)]
#[error("an object was built that Kubernetes' types do not know: {0}")]
pub struct BuildError(#[from] serde_json::Error);

/// Labels of everything that belongs to a cluster.
pub fn cluster_labels(cluster: &ValidatedCluster) -> BTreeMap<String, String> {
    [
        (labels::CLUSTER, cluster.names.cluster.as_str()),
        (labels::APP_NAME, labels::APP_NAME_KAFKA),
        (labels::APP_INSTANCE, &cluster.names.cluster),
        (labels::APP_MANAGED_BY, labels::MANAGER),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// Labels of what belongs to one node.
pub fn node_labels(cluster: &ValidatedCluster, node: &ValidatedNode) -> BTreeMap<String, String> {
    let mut labels = cluster_labels(cluster);
    let pool = node.pool.metadata.name.clone().unwrap_or_default();
    labels.insert(labels::POOL.to_owned(), pool);
    labels.insert(labels::NODE_ID.to_owned(), node.id.to_string());
    for (label, has) in [
        (labels::BROKER, node.broker),
        (labels::CONTROLLER, node.controller),
    ] {
        if has {
            labels.insert(label.to_owned(), "true".to_owned());
        }
    }
    labels
}

/// The reference by which Kubernetes deletes an object with its cluster.
pub fn owner(cluster: &ValidatedCluster) -> Value {
    json!({
        "apiVersion": format!("{}/{}", tubeway_api::GROUP, tubeway_api::VERSION),
        "kind": "KafkaCluster",
        "name": cluster.names.cluster,
        "uid": cluster.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// The objects that all nodes share.
pub fn shared(cluster: &ValidatedCluster) -> Vec<Value> {
    let names = &cluster.names;
    let meta = |name: String| {
        json!({
            "name": name,
            "namespace": names.namespace,
            "labels": cluster_labels(cluster),
            "ownerReferences": [owner(cluster)],
        })
    };
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port, "protocol": "TCP"});
    vec![
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": meta(names.service_account()),
            "automountServiceAccountToken": false,
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": meta(names.nodes_service()),
            "spec": {
                "clusterIP": "None",
                // Nodes find each other before they are ready: that is how they get ready.
                "publishNotReadyAddresses": true,
                "selector": {labels::CLUSTER: names.cluster},
                "ports": [
                    port("client", ports::CLIENT),
                    port("replication", ports::REPLICATION),
                    port("controller", ports::CONTROLLER),
                ],
            },
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": meta(names.bootstrap_service()),
            "spec": {
                "selector": {labels::CLUSTER: names.cluster, labels::BROKER: "true"},
                "ports": [port("client", ports::CLIENT)],
            },
        }),
    ]
}

/// A node's ConfigMap.
pub fn config_map(
    cluster: &ValidatedCluster,
    node: &ValidatedNode,
    properties: &str,
    quorum: &str,
) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": names::config_map(&node.pod),
            "namespace": cluster.names.namespace,
            "labels": node_labels(cluster, node),
            "ownerReferences": [owner(cluster)],
        },
        "data": {"server.properties": properties, quorum::FILE: quorum},
    })
}

/// The ConfigMap that says who founded the cluster. It has no owner: whoever
/// deletes a KafkaCluster and makes it again on the same volumes needs it.
pub fn quorum_config_map(cluster: &ValidatedCluster) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": cluster.names.quorum(),
            "namespace": cluster.names.namespace,
            "labels": cluster_labels(cluster),
        },
        "data": {quorum::FILE: quorum::document(cluster)},
    })
}

/// A node's claim. It has no owner unless the spec says that data goes with
/// the cluster.
pub fn claim(
    cluster: &ValidatedCluster,
    node: &ValidatedNode,
) -> Result<PersistentVolumeClaim, BuildError> {
    let storage = &node.pool.spec.storage;
    let owners = if storage.delete_claim {
        json!([owner(cluster)])
    } else {
        Value::Null
    };
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names::claim(&node.pod),
            "namespace": cluster.names.namespace,
            "labels": node_labels(cluster, node),
            "ownerReferences": owners,
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage.class,
            "resources": {"requests": {"storage": storage.size}},
        },
    });
    Ok(serde_json::from_value(claim)?)
}
