//! How an empty volume joins the metadata quorum (KIP-853).

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The first voters of a cluster, fixed when the cluster is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Quorum {
    /// Kafka's cluster id: 16 bytes, base64url without padding.
    pub cluster_id: String,
    /// The voters that format their volumes as the quorum's founders.
    pub initial_controllers: Vec<InitialController>,
}

/// One founding voter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitialController {
    /// Kafka's `node.id`.
    pub id: u32,
    /// The name its peers reach it by.
    pub host: String,
    /// Id of its metadata directory: 16 bytes, base64url without padding.
    pub directory_id: String,
}

// === impl Quorum ===

impl Quorum {
    /// The arguments of `kafka-storage format` that say how `node_id` begins;
    /// a node that only stores records begins without any.
    pub fn format_arguments(&self, node_id: u32, controller: bool, port: u16) -> Vec<String> {
        if !controller {
            return Vec::new();
        }
        if !self.initial_controllers.iter().any(|c| c.id == node_id) {
            return vec!["--no-initial-controllers".to_owned()];
        }
        let mut voters = String::new();
        for (i, c) in self.initial_controllers.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(
                voters,
                "{comma}{}@{}:{port}:{}",
                c.id, c.host, c.directory_id
            );
        }
        vec!["--initial-controllers".to_owned(), voters]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_founder_lists_all_founders_and_a_later_controller_none() {
        let quorum: Quorum = serde_json::from_str(
            r#"{"clusterId":"Zm9v","initialControllers":[
                {"id":0,"host":"a","directoryId":"AA"},{"id":1,"host":"b","directoryId":"BB"}]}"#,
        )
        .unwrap();
        assert_eq!(
            quorum.format_arguments(1, true, 9094),
            ["--initial-controllers", "0@a:9094:AA,1@b:9094:BB"]
        );
        assert_eq!(
            quorum.format_arguments(7, true, 9094),
            ["--no-initial-controllers"]
        );
        assert!(quorum.format_arguments(7, false, 9094).is_empty());
    }
}
