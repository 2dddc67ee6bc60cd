//! Who may do what on a Kafka cluster, as its sidecars enforce it.

use serde::{Deserialize, Serialize};
use tubeway_policy::rules::AccessRules;

use crate::error::ConfigError;
use crate::topology::ClusterRef;

/// The access rules of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Access {
    /// Which cluster this is.
    pub cluster: ClusterRef,
    /// The rules, all of them.
    pub access: AccessRules,
}

// === impl Access ===

impl Access {
    /// Reads and checks a document; every problem in it is reported at once.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        serde_json::from_slice(bytes).map_err(|e| ConfigError::Syntax(e.to_string()))
    }

    /// The document's one written form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("rules are always JSON"))
    }
}
