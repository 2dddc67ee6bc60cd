//! In which order an installation stops.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

/// Namespace and name of a pod.
pub type PodName = (String, String);

/// Clients first; then the operator, which would make again what stops; then
/// the brokers, the active controller last, because a quorum whose nodes all
/// stop at once can wait for itself.
pub fn order(pods: &[Pod], active_controllers: &[(String, i64)]) -> Vec<PodName> {
    let rank = |pod: &Pod| {
        let labels = pod.labels();
        let Some(node) = labels.get("kafka.tubeway.dev/node-id") else {
            return u8::from(pod.name_any() == "tubeway-operator");
        };
        let active = active_controllers.iter().any(|(cluster, id)| {
            labels.get("kafka.tubeway.dev/cluster") == Some(cluster) && node == &id.to_string()
        });
        if active { 3 } else { 2 }
    };
    let mut ordered: Vec<&Pod> = pods.iter().collect();
    ordered.sort_by_key(|pod| (rank(pod), pod.name_any()));
    ordered
        .into_iter()
        .map(|pod| (pod.namespace().unwrap_or_default(), pod.name_any()))
        .collect()
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
                [("kafka.tubeway.dev/node-id", node), ("kafka.tubeway.dev/cluster", "demo")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
            );
        }
        pod
    }

    #[test]
    fn clients_then_the_operator_then_brokers_with_the_active_controller_last() {
        let pods = [
            pod("demo-0", Some("0")),
            pod("demo-1", Some("1")),
            pod("demo-2", Some("2")),
            pod("tubeway-operator", None),
            pod("checkout", None),
        ];
        let names: Vec<_> = order(&pods, &[("demo".to_owned(), 1)])
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(names, ["checkout", "tubeway-operator", "demo-0", "demo-2", "demo-1"]);
    }
}
