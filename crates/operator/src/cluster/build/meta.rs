//! Names, labels and owners of the objects of a cluster.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tubeway_api::{KafkaCluster, labels};

use crate::cluster::validate::ValidatedCluster;

/// Metadata of an object that belongs to the cluster and goes with it.
pub(super) fn of_cluster(cluster: &ValidatedCluster, name: String) -> ObjectMeta {
    let labels = [
        (labels::CLUSTER, cluster.key.name.as_str()),
        (labels::APP_NAME, labels::APP_NAME_KAFKA),
        (labels::APP_INSTANCE, &cluster.key.name),
        (labels::APP_MANAGED_BY, labels::MANAGER),
    ];
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.key.namespace.clone()),
        labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        owner_references: Some(vec![owner_reference(&cluster.key.name, &cluster.uid)]),
        ..ObjectMeta::default()
    }
}

/// What all of a cluster's pods have in common.
pub(super) fn selector(cluster: &str) -> BTreeMap<String, String> {
    [
        (labels::CLUSTER.to_owned(), cluster.to_owned()),
        (
            labels::APP_NAME.to_owned(),
            labels::APP_NAME_KAFKA.to_owned(),
        ),
    ]
    .into()
}

/// The KafkaCluster as the owner of what it is made of.
pub fn owner_reference(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: KafkaCluster::api_version(&()).into_owned(),
        kind: KafkaCluster::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// A short digest of what something is made from.
pub fn digest(parts: &[&dyn ErasedJson]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let json = part.json();
        hash.update((json.len() as u64).to_be_bytes());
        hash.update(json);
    }
    hash.finalize()[..8]
        .iter()
        .fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Something that can be written as JSON.
pub trait ErasedJson {
    /// Its one written form.
    fn json(&self) -> Vec<u8>;
}

impl<T: Serialize> ErasedJson for T {
    fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("Kubernetes objects are JSON"))
    }
}
