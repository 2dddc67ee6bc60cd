//! The founders of a cluster's metadata quorum.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::validate::ValidatedCluster;

/// Key of the document in the quorum's ConfigMap and in each pod's.
pub const FILE: &str = "quorum.json";

/// The document that says who founds the cluster; made once, then kept.
///
/// The ids come from the KafkaCluster's UID, so that an operator that stopped
/// half-way makes the same again.
pub fn document(cluster: &ValidatedCluster) -> String {
    let controllers: Vec<_> = cluster
        .nodes
        .values()
        .filter(|node| node.controller)
        .map(|node| {
            json!({
                "id": node.id,
                "host": cluster.names.host(&node.pod),
                "directoryId": kafka_uuid(&cluster.uid, &format!("directory {}", node.id)),
            })
        })
        .collect();
    let document = json!({
        "clusterId": kafka_uuid(&cluster.uid, "cluster"),
        "initialControllers": controllers,
    });
    format!("{document:#}\n")
}

/// The cluster id in a document.
pub fn cluster_id(document: &str) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(document).ok()?;
    Some(document["clusterId"].as_str()?.to_owned())
}

/// A Kafka UUID: 16 bytes in base64url without padding, not beginning with a
/// dash, which command lines would take for an option.
fn kafka_uuid(uid: &str, what: &str) -> String {
    (0_u32..)
        .map(|attempt| {
            let digest = Sha256::digest(format!("{uid} {what} {attempt}"));
            URL_SAFE_NO_PAD.encode(&digest[..16])
        })
        .find(|text| !text.starts_with('-'))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kafkas_form_and_the_same_each_time() {
        for i in 0..200 {
            let id = kafka_uuid("uid", &i.to_string());
            assert_eq!(id.len(), 22);
            assert!(!id.starts_with('-'));
            assert_eq!(id, kafka_uuid("uid", &i.to_string()));
        }
    }
}
