//! A node's disks.

use std::collections::BTreeMap;

use tubeway_api::{KafkaNodePool, NodeRole};

use super::{Problems, quantity};

/// A disk beside a node's first that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedVolume {
    /// Size of each claim.
    pub size: String,
    /// StorageClass of the claims.
    pub class: Option<String>,
}

/// The disks beside the first, by number.
pub(super) fn check(
    problems: &mut Problems,
    name: &str,
    pool: &KafkaNodePool,
) -> BTreeMap<u32, ValidatedVolume> {
    let at = |field: &str| format!("KafkaNodePool/{name} spec.storage.{field}");
    let storage = &pool.spec.storage;
    let mut size = |field: String, size: &String| {
        if quantity::bytes(size).is_none_or(|bytes| bytes == 0) {
            problems.add(field, size, "an amount of bytes above zero, as in 10Gi");
        }
    };
    size(at("size"), &storage.size);
    let mut volumes = BTreeMap::new();
    for volume in &storage.volumes {
        size(at(&format!("volumes[{}].size", volume.id)), &volume.size);
    }
    for volume in &storage.volumes {
        let id = u32::try_from(volume.id).ok();
        let Some(id) = id.filter(|id| (1..=99).contains(id)) else {
            problems.add(
                at("volumes[].id"),
                volume.id,
                "1 to 99; 0 is the disk of storage.size, which holds the metadata log and stays",
            );
            continue;
        };
        let valid = ValidatedVolume {
            size: volume.size.clone(),
            class: volume.class.clone(),
        };
        if volumes.insert(id, valid).is_some() {
            problems.add(at("volumes[].id"), id, "each number once");
        }
    }
    if !volumes.is_empty() && !pool.spec.roles.contains(&NodeRole::Broker) {
        problems.add(
            at("volumes"),
            format!("{} volumes", volumes.len()),
            "none in a pool without brokers: controllers keep all they have on their first disk",
        );
    }
    volumes
}
