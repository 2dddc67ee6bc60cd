//! The topology that sidecars get, from the pods there are. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tubeway_api::labels;
use tubeway_config::{ClusterRef, Node, NodeRole, Topology};
use tubeway_policy::SpiffeId;

use super::dereference::node_id;
use super::names;

/// The nodes that have an address, in the order of their ids.
///
/// A pod on its way out is one of them until it has gone: a broker hands its
/// partitions over while it stops, and whoever still needs it must reach it.
/// One that is not ready yet is, because nodes need each other to become ready.
pub fn topology<'a>(
    cluster: &ClusterRef,
    identity: &SpiffeId,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> Topology {
    let mut nodes: Vec<Node> = pods
        .into_iter()
        .filter_map(|pod| node(cluster, pod))
        .collect();
    nodes.sort_by_key(|node| node.id);
    nodes.dedup_by_key(|node| node.id);
    Topology {
        cluster: cluster.clone(),
        identity: identity.to_string(),
        nodes,
    }
}

fn node(cluster: &ClusterRef, pod: &Pod) -> Option<Node> {
    let status = pod.status.as_ref()?;
    let over = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    if over {
        return None;
    }
    let has = |label: &str| pod.labels().get(label).is_some_and(|value| value == "true");
    let mut roles = BTreeSet::new();
    if has(labels::BROKER) {
        roles.insert(NodeRole::Broker);
    }
    if has(labels::CONTROLLER) {
        roles.insert(NodeRole::Controller);
    }
    Some(Node {
        id: node_id(pod)?,
        host: names::host(cluster, &pod.name_any()),
        address: status.pod_ip.as_ref()?.parse().ok()?,
        roles: (!roles.is_empty()).then_some(roles)?,
        rack: None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(id: u32, change: &serde_json::Value) -> Pod {
        let mut pod = json!({
            "metadata": {
                "name": format!("demo-all-{id}"),
                "labels": {
                    (labels::NODE_ID): id.to_string(),
                    (labels::BROKER): "true",
                },
            },
            "status": { "phase": "Running", "podIP": format!("10.0.0.{id}") },
        });
        json_merge(&mut pod, change);
        serde_json::from_value(pod).unwrap()
    }

    fn json_merge(into: &mut serde_json::Value, from: &serde_json::Value) {
        match (into, from) {
            (serde_json::Value::Object(into), serde_json::Value::Object(from)) => {
                for (key, value) in from {
                    json_merge(into.entry(key).or_insert(json!(null)), value);
                }
            }
            (into, from) => *into = from.clone(),
        }
    }

    fn ids(pods: &[Pod]) -> Vec<u32> {
        let cluster = "kafka/demo".parse().unwrap();
        let identity = "spiffe://cluster.local/ns/kafka/sa/demo-node"
            .parse()
            .unwrap();
        let topology = topology(&cluster, &identity, pods);
        Topology::from_json(&topology.to_json()).unwrap();
        topology.nodes.iter().map(|node| node.id).collect()
    }

    #[test]
    fn pods_with_an_address_are_nodes_in_the_order_of_their_ids() {
        let pods = [
            pod(2, &json!({})),
            pod(0, &json!({})),
            pod(1, &json!({ "status": { "podIP": null } })),
        ];
        assert_eq!(ids(&pods), [0, 2]);
    }

    #[test]
    fn a_pod_that_hands_its_partitions_over_is_still_a_node() {
        let stopping = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
        assert_eq!(ids(&[pod(0, &stopping)]), [0]);
    }

    #[test]
    fn pods_that_are_over_or_say_nothing_of_use_are_none() {
        let pods = [
            pod(1, &json!({ "status": { "phase": "Failed" } })),
            pod(
                2,
                &json!({ "metadata": { "labels": { (labels::NODE_ID): "x" } } }),
            ),
            pod(
                3,
                &json!({ "metadata": { "labels": { (labels::BROKER): "false" } } }),
            ),
        ];
        assert_eq!(ids(&pods), [0; 0]);
    }
}
