//! Names of what belongs to a cluster.

use tubeway_config::ports;
use tubeway_policy::{SpiffeError, SpiffeId};

/// One KafkaCluster, as its objects are named after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterNames {
    /// Namespace of the KafkaCluster.
    pub namespace: String,
    /// Name of the KafkaCluster.
    pub cluster: String,
}

// === impl ClusterNames ===

impl ClusterNames {
    /// The cluster's names.
    pub fn new(namespace: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            cluster: cluster.into(),
        }
    }

    /// Service account of all nodes.
    pub fn service_account(&self) -> String {
        format!("{}-node", self.cluster)
    }

    /// SPIFFE id of all nodes.
    pub fn identity(&self, trust_domain: &str) -> Result<SpiffeId, SpiffeError> {
        SpiffeId::of_service_account(trust_domain, &self.namespace, &self.service_account())
    }

    /// The headless Service that gives each node a name.
    pub fn nodes_service(&self) -> String {
        format!("{}-nodes", self.cluster)
    }

    /// The Service that clients begin with.
    pub fn bootstrap_service(&self) -> String {
        format!("{}-bootstrap", self.cluster)
    }

    /// Where clients begin, as `host:port`.
    pub fn bootstrap(&self) -> String {
        format!("{}:{}", self.bootstrap_host(), ports::CLIENT)
    }

    /// The host of [`bootstrap`](Self::bootstrap).
    pub fn bootstrap_host(&self) -> String {
        format!("{}.{}.svc", self.bootstrap_service(), self.namespace)
    }

    /// ConfigMap of the quorum's founders.
    pub fn quorum(&self) -> String {
        format!("{}-quorum", self.cluster)
    }

    /// Pod of one node.
    pub fn pod(&self, pool: &str, id: u32) -> String {
        format!("{}-{pool}-{id}", self.cluster)
    }

    /// The name by which peers reach a pod.
    pub fn host(&self, pod: &str) -> String {
        format!("{pod}.{}.{}.svc", self.nodes_service(), self.namespace)
    }
}

/// ConfigMap of a pod.
pub fn config_map(pod: &str) -> String {
    format!("{pod}-config")
}

/// Claim of a pod.
pub fn claim(pod: &str) -> String {
    format!("data-{pod}")
}
