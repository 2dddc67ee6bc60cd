//! How resources name the KafkaCluster that they belong to.

use serde::{Deserialize, Serialize};

/// A KafkaCluster, as a topic, a KafkaAcl or a quota names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterRef {
    /// Name of the KafkaCluster.
    #[schemars(length(min = 1, max = 32))]
    pub name: String,
    /// Its namespace; without it this object's own. The cluster's
    /// `allowedNamespaces` decides whether another one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

// === impl KafkaClusterRef ===

impl KafkaClusterRef {
    /// Namespace and name of the KafkaCluster, named by an object of namespace `own`.
    pub(crate) fn key(&self, own: Option<String>) -> (String, String) {
        let namespace = self.namespace.clone().or(own).unwrap_or_default();
        (namespace, self.name.clone())
    }
}
