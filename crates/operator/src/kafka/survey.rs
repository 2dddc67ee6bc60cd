//! What is on which broker: asked while nodes come or go.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use tubeway_planner::reassign::{LogDir, Placed, Throttled};
use tubeway_planner::{Cordon, PartitionId};

use super::look::{self, Topic, ids, ordered};
use super::{Holding, Survey, address};
use crate::kafka_admin::{
    AdminError, ConfigEntry, ConfigResource, ConfigSource, Entry, LogDirDescription,
    METADATA_VERSION, Reassigning,
};

/// The log directories that get no new replicas (KIP-1066, Kafka 4.3).
pub(super) const CORDONED: &str = "cordoned.log.dirs";
/// Every log directory of a broker (KIP-1066).
pub(super) const ALL: &str = "*";
/// What a broker sends and receives at most of throttled replicas (KIP-73).
pub(super) const THROTTLED_RATES: [&str; 2] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
];
/// The level of `metadata.version` from which on it can be (`IBP_4_3_IV0`).
const WITH_CORDONS: i16 = 30;
/// Brokers that are asked at the same time.
const BROKERS_AT_ONCE: usize = 16;

/// Everything about who holds what. A broker that does not answer is left out.
pub(super) async fn survey(entry: &Entry, brokers: &BTreeSet<u32>) -> Result<Survey, AdminError> {
    let topics = look::topics(&entry.admin).await?;
    let moving = entry.admin.list_reassignments().await?;
    let features = entry.admin.describe_features().await?;
    let metadata = features.get(METADATA_VERSION);
    let knows_cordons = metadata.is_some_and(|level| level.finalized >= WITH_CORDONS);
    let asked = stream::iter(brokers.iter().copied().map(|id| holding(entry, id)));
    let asked: Vec<_> = asked.buffered(BROKERS_AT_ONCE).collect().await;
    let mut survey = Survey {
        throttled: Throttled {
            topics: topics
                .iter()
                .filter(|(_, topic)| topic.throttled)
                .map(|(name, _)| name.clone())
                .collect(),
            ..Throttled::default()
        },
        ..Survey::default()
    };
    for (id, seen) in asked.into_iter().flatten() {
        if seen.throttled {
            survey.throttled.brokers.insert(id);
        }
        let mut holding = seen.holding;
        if !knows_cordons {
            holding.cordon = Cordon::Unsupported;
        }
        survey.brokers.insert(id, holding);
    }
    let sizes = sizes(&survey.brokers);
    survey.partitions = placed(&topics, &moving, &sizes);
    Ok(survey)
}

struct Seen {
    holding: Holding,
    throttled: bool,
}

async fn holding(entry: &Entry, id: u32) -> Option<(u32, Seen)> {
    let ask = async {
        let Some(at) = address(entry, id) else {
            return Err(AdminError::NoBrokers);
        };
        let dirs = entry.admin.describe_log_dirs(&at).await?;
        let resource = ConfigResource::Broker(i32::try_from(id).unwrap_or(-1));
        let options = look::options(&entry.admin, resource, Some(&at)).await?;
        Ok((dirs, options))
    };
    match ask.await {
        Ok((dirs, options)) => {
            let throttled = THROTTLED_RATES.iter().any(|option| {
                let set = options.get(*option);
                set.is_some_and(|entry| entry.source == ConfigSource::Broker)
            });
            let holding = Holding {
                cordon: cordon(&options),
                cordoned: cordoned(&options),
                stale_cordon: is_stale(&options),
                dirs: dirs.into_iter().map(log_dir).collect(),
            };
            Some((id, Seen { holding, throttled }))
        }
        Err(error) => {
            tracing::info!(
                broker = id,
                error = error.chain(),
                "broker could not be asked"
            );
            None
        }
    }
}

fn cordon(options: &BTreeMap<String, ConfigEntry>) -> Cordon {
    match options.get(CORDONED) {
        None => Cordon::Unsupported,
        Some(entry) if entry.value.as_deref() == Some(ALL) => Cordon::Cordoned,
        Some(_) => Cordon::Open,
    }
}

fn cordoned(options: &BTreeMap<String, ConfigEntry>) -> BTreeSet<String> {
    let value = options
        .get(CORDONED)
        .and_then(|entry| entry.value.as_deref());
    let dirs = value.unwrap_or_default().split(',').map(str::trim);
    let dirs = dirs.filter(|dir| !dir.is_empty() && *dir != ALL);
    dirs.map(str::to_owned).collect()
}

/// Whether the option is set and has no value. A broker that starts without a
/// directory that is to be cordoned takes none of the options that are set for it
/// alone (`DynamicBrokerConfig.updateBrokerConfig` of Kafka 4.3.1).
fn is_stale(options: &BTreeMap<String, ConfigEntry>) -> bool {
    options.get(CORDONED).is_some_and(|entry| {
        let empty = entry.value.as_deref().unwrap_or_default().is_empty();
        empty && entry.source == ConfigSource::Broker
    })
}

fn log_dir(dir: LogDirDescription) -> LogDir {
    let (arriving, replicas): (Vec<_>, Vec<_>) = dir
        .replicas
        .into_iter()
        .map(|((id, future), replica)| (future, (id, replica.bytes)))
        .partition(|(future, _)| *future);
    let plain = |replicas: Vec<(bool, (PartitionId, u64))>| {
        let replicas = replicas.into_iter();
        replicas.map(|(_, replica)| replica).collect()
    };
    LogDir {
        path: dir.path,
        leaving: false,
        online: dir.online,
        replicas: plain(replicas),
        arriving: plain(arriving),
    }
}

/// The largest replica of each partition: others may only be arriving.
fn sizes(brokers: &BTreeMap<u32, Holding>) -> BTreeMap<&PartitionId, u64> {
    let mut sizes = BTreeMap::new();
    let dirs = brokers.values().flat_map(|holding| &holding.dirs);
    for (id, bytes) in dirs.flat_map(|dir| &dir.replicas) {
        let size = sizes.entry(id).or_default();
        *size = (*bytes).max(*size);
    }
    sizes
}

fn placed(
    topics: &BTreeMap<String, Topic>,
    moving: &BTreeMap<PartitionId, Reassigning>,
    sizes: &BTreeMap<&PartitionId, u64>,
) -> Vec<Placed> {
    let partitions = topics.iter().flat_map(|(name, topic)| {
        topic.description.partitions.iter().map(move |partition| {
            let id = PartitionId::new(name, partition.index);
            let moves = moving.get(&id).cloned().unwrap_or_default();
            let replicas = match moves.replicas.as_slice() {
                [] => ordered(&partition.replicas),
                _ => moves.replicas,
            };
            Placed {
                min_in_sync: topic.minimum(replicas.len() - moves.adding.len()),
                replicas,
                adding: moves.adding,
                removing: moves.removing,
                in_sync: ids(partition.in_sync.iter().copied()),
                bytes: sizes.get(&id).copied().unwrap_or_default(),
                id,
            }
        })
    });
    partitions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_admin::ReplicaOnDisk;

    #[test]
    fn what_arrives_from_another_disk_is_told_from_what_is_there() {
        let replica = |index, future, bytes| {
            let id = PartitionId::new("t", index);
            ((id, future), ReplicaOnDisk { bytes })
        };
        let dir = log_dir(LogDirDescription {
            path: "/a".to_owned(),
            online: true,
            replicas: [replica(0, false, 7), replica(1, true, 3)].into(),
        });
        assert_eq!(dir.replicas, [(PartitionId::new("t", 0), 7)].into());
        assert_eq!(dir.arriving, [(PartitionId::new("t", 1), 3)].into());
    }

    #[test]
    fn a_broker_without_the_option_knows_no_cordons() {
        let option = |value: &str| {
            let entry = ConfigEntry {
                value: Some(value.to_owned()),
                source: ConfigSource::Broker,
                read_only: false,
            };
            [(CORDONED.to_owned(), entry)].into()
        };
        assert_eq!(cordon(&BTreeMap::new()), Cordon::Unsupported);
        assert_eq!(cordon(&option("")), Cordon::Open);
        assert_eq!(cordon(&option("*")), Cordon::Cordoned);
        assert_eq!(cordon(&option("/a,/b")), Cordon::Open);
    }

    #[test]
    fn single_disks_are_cordoned_and_a_cordon_without_a_disk_is_stale() {
        let option = |value: &str, source| {
            let entry = ConfigEntry {
                value: Some(value.to_owned()),
                source,
                read_only: false,
            };
            [(CORDONED.to_owned(), entry)].into()
        };
        let broker = ConfigSource::Broker;
        let two = ["/a".to_owned(), "/b".to_owned()];
        assert_eq!(cordoned(&option("/a,/b", broker)), two.into());
        assert_eq!(cordoned(&option("*", broker)), [].into());
        assert!(!is_stale(&option("/a", broker)));
        assert!(is_stale(&option("", broker)));
        assert!(!is_stale(&option("", ConfigSource::Default)));
    }
}
