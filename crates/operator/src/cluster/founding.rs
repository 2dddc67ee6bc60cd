//! What is decided once, when a cluster begins: its id and first controllers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tubeway_api::NodeRole;

use super::names;
use super::validate::ValidatedCluster;

/// The document `quorum.json`, by which nodes format their volumes.
///
/// Written once and never changed: a node that formats an empty volume by
/// another document would belong to another cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Founding {
    /// Kafka's id of the cluster.
    pub cluster_id: String,
    /// The voters that the quorum begins with.
    pub initial_controllers: Vec<InitialController>,
}

/// One voter that the quorum begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitialController {
    /// Kafka's `node.id`.
    pub id: u32,
    /// The name that peers know it by.
    pub host: String,
    /// Kafka's id of the folder that holds its copy of the metadata log.
    pub directory_id: String,
}

// === impl Founding ===

impl Founding {
    /// How `cluster` begins. All ids follow from the cluster's UID, or from
    /// the id that its volumes already carry, so that beginning twice, because
    /// of a crash in between, begins the same cluster.
    pub fn new(cluster: &ValidatedCluster, existing_id: Option<&str>) -> Self {
        let cluster_id = existing_id.map_or_else(
            || kafka_uuid(&["cluster", &cluster.uid]),
            std::borrow::ToOwned::to_owned,
        );
        let controllers = cluster.nodes().into_iter().filter(|(id, pool)| {
            pool.roles.contains(&NodeRole::Controller) && !pool.surplus.contains(id)
        });
        let initial_controllers = controllers
            .map(|(id, pool)| {
                let pod = names::pod(&cluster.key.name, &pool.name, id);
                InitialController {
                    id,
                    host: names::host(&cluster.key, &pod),
                    directory_id: kafka_uuid(&["directory", &cluster_id, &id.to_string()]),
                }
            })
            .collect();
        Self {
            cluster_id,
            initial_controllers,
        }
    }

    /// The document as the launcher reads it.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self)
            .unwrap_or_else(|_| unreachable!("strings and numbers are always JSON"))
    }
}

/// Sixteen bytes that follow from `parts`, as Kafka writes ids: base64url
/// without padding, and not beginning with `-`, which its tools take for a flag.
fn kafka_uuid(parts: &[&str]) -> String {
    (0..u32::MAX)
        .map(|attempt| {
            let mut hash = Sha256::new();
            hash.update(attempt.to_be_bytes());
            for part in parts {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
            URL_SAFE_NO_PAD.encode(&hash.finalize()[..16])
        })
        .find(|id| !id.starts_with('-'))
        .unwrap_or_else(|| unreachable!("one in 64 hashes begins so, not all of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_22_characters_that_tools_do_not_take_for_a_flag() {
        for i in 0..1000 {
            let id = kafka_uuid(&["cluster", &i.to_string()]);
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'));
        }
        assert_ne!(kafka_uuid(&["a", "bc"]), kafka_uuid(&["ab", "c"]));
    }
}
