//! The names of everything that makes up a cluster, in one place.

use tubeway_config::ClusterRef;
use tubeway_policy::{SpiffeError, SpiffeId};

/// The name of the container that runs Kafka.
pub const KAFKA_CONTAINER: &str = "kafka";
/// The name of the sidecar's container.
pub const SIDECAR_CONTAINER: &str = "sidecar";
/// ConfigMap with the mesh's trust bundle, in every namespace that needs it.
pub const ROOTS_CONFIG_MAP: &str = "tubeway-ca-root";
/// Key of the trust bundle in that ConfigMap.
pub const ROOTS_KEY: &str = "root-cert.pem";

/// ServiceAccount of all of a cluster's nodes.
pub fn service_account(cluster: &str) -> String {
    format!("{cluster}-node")
}

/// Headless Service that gives each node a name.
pub fn nodes_service(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

/// Service that clients begin at.
pub fn bootstrap_service(cluster: &str) -> String {
    format!("{cluster}-bootstrap")
}

/// PodDisruptionBudget of all of a cluster's nodes.
pub fn budget(cluster: &str) -> String {
    format!("{cluster}-nodes")
}

/// ConfigMap with the cluster's id and its first controllers.
pub fn quorum_config_map(cluster: &str) -> String {
    format!("{cluster}-quorum")
}

/// ConfigMap with the ACLs of principals outside of the trust domain that the
/// operator has made.
pub fn acls_config_map(cluster: &str) -> String {
    format!("{cluster}-applied-acls")
}

/// A node's pod.
pub fn pod(cluster: &str, pool: &str, id: u32) -> String {
    format!("{cluster}-{pool}-{id}")
}

/// The ConfigMap of one pod.
pub fn pod_config(pod: &str) -> String {
    format!("{pod}-config")
}

/// The claim of one pod's first disk.
pub fn claim(pod: &str) -> String {
    format!("data-{pod}")
}

/// The claim of one pod's disk of this number. Clusters' names begin with a
/// letter, so none is taken for the claim of a first disk.
pub fn disk_claim(pod: &str, disk: u32) -> String {
    format!("data-{disk}-{pod}")
}

/// The folder of a broker's logs on a disk, by which the disk is known in what
/// the broker says: what is before it in the path is for the pod to decide.
pub fn log_folder(disk: u32) -> String {
    if disk == 0 {
        "log".to_owned()
    } else {
        format!("log-{disk}")
    }
}

/// The name under which peers and clients know a node.
pub fn host(cluster: &ClusterRef, pod: &str) -> String {
    format!(
        "{pod}.{}.{}.svc",
        nodes_service(&cluster.name),
        cluster.namespace
    )
}

/// The name that clients in the mesh begin at.
pub fn bootstrap_host(cluster: &ClusterRef) -> String {
    format!(
        "{}.{}.svc",
        bootstrap_service(&cluster.name),
        cluster.namespace
    )
}

/// The SPIFFE id of all of a cluster's nodes.
pub fn node_id(trust_domain: &str, cluster: &ClusterRef) -> Result<SpiffeId, SpiffeError> {
    SpiffeId::of_service_account(
        trust_domain,
        &cluster.namespace,
        &service_account(&cluster.name),
    )
}

/// Whether a caller has the identity of this cluster's nodes. Its trust domain
/// was checked when it connected.
pub fn is_node(caller: &SpiffeId, cluster: &ClusterRef) -> bool {
    node_id(caller.trust_domain(), cluster).is_ok_and(|id| id == *caller)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_names_still_make_a_host_name() {
        let pod = pod(&"c".repeat(32), &"p".repeat(24), 99_999);
        assert_eq!(pod.len(), 63);
    }

    #[test]
    fn only_the_cluster_s_own_account_is_a_node() {
        let demo: ClusterRef = "kafka/demo".parse().unwrap();
        for (id, node) in [
            ("spiffe://cluster.local/ns/kafka/sa/demo-node", true),
            ("spiffe://cluster.local/ns/other/sa/demo-node", false),
            ("spiffe://cluster.local/ns/kafka/sa/demo", false),
        ] {
            assert_eq!(is_node(&id.parse().unwrap(), &demo), node, "{id}");
        }
    }
}
