//! In which order an installation stops.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tubeway_api::labels::{CLUSTER, NODE_ID};

/// Namespace and name of a pod.
pub type PodName = (String, String);

/// Which pods stop together, group after group: clients and all others first;
/// then the operator, which would make again what stops; then each cluster's
/// nodes one after the other, but the last two together.
///
/// A broker hands its partitions over by way of the active controller, which
/// needs a majority of the quorum to write that down. All at once leaves no
/// majority for anybody; one after the other leaves none for the last. The
/// active controller is therefore one of the last two, which still are a
/// majority of three while both hand over.
pub fn groups(pods: &[Pod], active_controllers: &[(String, i64)]) -> Vec<Vec<PodName>> {
    let node = |pod: &&Pod| pod.labels().contains_key(NODE_ID);
    let (nodes, others): (Vec<&Pod>, Vec<&Pod>) = pods.iter().partition(node);
    let (operator, clients): (Vec<&Pod>, Vec<&Pod>) = others
        .into_iter()
        .partition(|pod| pod.name_any() == "tubeway-operator");
    let mut groups = vec![names(&clients), names(&operator)];
    let mut clusters: BTreeMap<(String, &String), Vec<&Pod>> = BTreeMap::new();
    for pod in nodes {
        if let Some(cluster) = pod.labels().get(CLUSTER) {
            let key = (pod.namespace().unwrap_or_default(), cluster);
            clusters.entry(key).or_default().push(pod);
        }
    }
    for ((_, cluster), mut nodes) in clusters {
        let active = |pod: &Pod| {
            active_controllers
                .iter()
                .any(|(of, id)| of == cluster && pod.labels().get(NODE_ID) == Some(&id.to_string()))
        };
        nodes.sort_by_key(|pod| (active(pod), pod.name_any()));
        let alone = nodes.len().saturating_sub(2);
        groups.extend(nodes[..alone].iter().map(|pod| names(&[*pod])));
        groups.push(names(&nodes[alone..]));
    }
    groups.retain(|group| !group.is_empty());
    groups
}

fn names(pods: &[&Pod]) -> Vec<PodName> {
    let name = |pod: &&Pod| (pod.namespace().unwrap_or_default(), pod.name_any());
    pods.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, node: Option<&str>) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.namespace = Some("x".to_owned());
        if let Some(node) = node {
            pod.metadata.labels = Some(
                [
                    ("kafka.tubeway.dev/node-id", node),
                    ("kafka.tubeway.dev/cluster", "demo"),
                ]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            );
        }
        pod
    }

    #[test]
    fn clients_then_the_operator_then_brokers_with_the_active_controller_among_the_last_two() {
        let pods = [
            pod("demo-0", Some("0")),
            pod("demo-1", Some("1")),
            pod("demo-2", Some("2")),
            pod("tubeway-operator", None),
            pod("checkout", None),
        ];
        let groups: Vec<Vec<_>> = groups(&pods, &[("demo".to_owned(), 0)])
            .into_iter()
            .map(|group| group.into_iter().map(|(_, name)| name).collect())
            .collect();
        assert_eq!(
            groups,
            [
                vec!["checkout"],
                vec!["tubeway-operator"],
                vec!["demo-1"],
                vec!["demo-2", "demo-0"]
            ]
        );
    }
}
