//! How a cluster is: what is asked before every plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use tubeway_api::QuorumStatus;
use tubeway_planner::{Directory, Health, Partition, PartitionId, Quorum, VoterSet};

use super::{Depth, Registered, Report};
use crate::kafka_admin::{
    self, Admin, AdminError, BrokerAddress, ConfigEntry, ConfigResource, ConfigSource,
    QuorumReplica, Refusal, TopicDescription,
};

/// A replica of the metadata whose copy was complete this long ago, by the
/// leader's clock, is caught up: Kafka's own default for
/// `controller.quorum.fetch.timeout.ms`.
const CAUGHT_UP: Duration = Duration::from_secs(2);
/// Topics whose options are asked for at one time.
const TOPICS_AT_ONCE: usize = 200;
const MIN_IN_SYNC: &str = "min.insync.replicas";
pub(super) const THROTTLED_LEADERS: &str = "leader.replication.throttled.replicas";
pub(super) const THROTTLED_FOLLOWERS: &str = "follower.replication.throttled.replicas";

/// A topic as plans see it.
pub(super) struct Topic {
    pub(super) description: TopicDescription,
    /// `min.insync.replicas`, where it is known.
    min_in_sync: Option<usize>,
    /// Whether it has options that hold replicas back (KIP-73).
    pub(super) throttled: bool,
}

/// Everything that is asked before a plan.
pub(super) async fn ask(admin: &Admin, depth: Depth) -> Result<Report, AdminError> {
    let quorum = admin.describe_quorum().await?;
    let registered = admin.describe_cluster().await?;
    let features = admin.describe_features().await?;
    let defaults = defaults(admin).await?;
    let partitions = match depth {
        Depth::Quorum => Vec::new(),
        Depth::Partitions => partitions(&topics(admin).await?),
    };
    let brokers = registered.brokers.into_iter().filter_map(|broker| {
        let seen = Registered {
            rack: broker.rack,
            fenced: broker.fenced,
        };
        Some((u32::try_from(broker.id).ok()?, seen))
    });
    Ok(Report {
        quorum: shown(&quorum),
        voters: voters(&quorum),
        health: Health {
            partitions,
            quorum: planned(&quorum),
        },
        brokers: brokers.collect(),
        defaults,
        features,
    })
}

/// Options that are set for all brokers while they run.
async fn defaults(admin: &Admin) -> Result<BTreeMap<String, String>, AdminError> {
    let entries = options(admin, ConfigResource::AllBrokers, None).await?;
    let set = entries.into_iter().filter_map(|(name, entry)| {
        let ours = entry.source == ConfigSource::AllBrokers;
        Some((name, entry.value.filter(|_| ours)?))
    });
    Ok(set.collect())
}

/// The options of one resource. Not to be told them is an error: who took it for
/// options that are not set would believe that this Kafka has no such options.
pub(super) async fn options(
    admin: &Admin,
    resource: ConfigResource,
    at: Option<&BrokerAddress>,
) -> Result<BTreeMap<String, ConfigEntry>, AdminError> {
    let asked = std::slice::from_ref(&resource);
    let mut answers = admin.describe_configs(asked, at).await?;
    match answers.remove(&resource) {
        Some(Ok(entries)) => Ok(entries),
        Some(Err(refusal)) => Err(not_told(refusal)),
        None => Ok(BTreeMap::new()),
    }
}

fn not_told(refusal: Refusal) -> AdminError {
    AdminError::Refused {
        api: "DescribeConfigs",
        refusal,
    }
}

/// All topics.
pub(super) async fn topics(admin: &Admin) -> Result<BTreeMap<String, Topic>, AdminError> {
    let mut topics = BTreeMap::new();
    for (name, topic) in admin.describe_topics(None).await? {
        match topic {
            Ok(description) => {
                let topic = Topic {
                    description,
                    min_in_sync: None,
                    throttled: false,
                };
                topics.insert(name, topic);
            }
            // Deleted while it was asked about: it has nothing to lose.
            Err(refusal) if refusal.error == ResponseError::UnknownTopicOrPartition => {}
            Err(refusal) => {
                return Err(AdminError::Refused {
                    api: "Metadata",
                    refusal,
                });
            }
        }
    }
    let names: Vec<_> = topics.keys().cloned().map(ConfigResource::Topic).collect();
    for names in names.chunks(TOPICS_AT_ONCE) {
        for (resource, options) in admin.describe_configs(names, None).await? {
            let ConfigResource::Topic(name) = resource else {
                continue;
            };
            let options = match options {
                Ok(options) => options,
                Err(refusal) if refusal.error == ResponseError::UnknownTopicOrPartition => {
                    topics.remove(&name);
                    continue;
                }
                Err(refusal) => return Err(not_told(refusal)),
            };
            let Some(topic) = topics.get_mut(&name) else {
                continue;
            };
            let value = |option| options.get(option).and_then(|entry| entry.value.as_deref());
            topic.min_in_sync = value(MIN_IN_SYNC).and_then(|text| text.parse().ok());
            topic.throttled = [THROTTLED_LEADERS, THROTTLED_FOLLOWERS]
                .into_iter()
                .any(|option| value(option).is_some_and(|replicas| !replicas.is_empty()));
        }
    }
    Ok(topics)
}

fn partitions(topics: &BTreeMap<String, Topic>) -> Vec<Partition> {
    let partitions = topics.iter().flat_map(|(name, topic)| {
        let minimum = |replicas| topic.minimum(replicas);
        described(name, &topic.description, minimum)
    });
    partitions.collect()
}

fn described(
    name: &str,
    topic: &TopicDescription,
    minimum: impl Fn(usize) -> usize,
) -> Vec<Partition> {
    let partitions = topic.partitions.iter();
    partitions
        .map(|partition| Partition {
            id: PartitionId::new(name, partition.index),
            replicas: ordered(&partition.replicas),
            in_sync: ids(partition.in_sync.iter().copied()),
            leader: partition.leader.and_then(|id| u32::try_from(id).ok()),
            min_in_sync: minimum(partition.replicas.len()),
        })
        .collect()
}

fn planned(quorum: &kafka_admin::Quorum) -> Quorum {
    let voters = quorum.voters.iter().map(|voter| voter.id);
    Quorum {
        leader: u32::try_from(quorum.leader).ok(),
        caught_up: ids(caught_up(quorum, &quorum.voters).map(|voter| voter.id)),
        voters: ids(voters),
    }
}

fn voters(quorum: &kafka_admin::Quorum) -> VoterSet {
    VoterSet {
        leader: u32::try_from(quorum.leader).ok(),
        voters: directories(quorum.voters.iter()),
        caught_up: ids(caught_up(quorum, &quorum.voters).map(|voter| voter.id)),
        // A node that lost its volume is there twice for some minutes, and only
        // one of the two fetches.
        observers: directories(caught_up(quorum, &quorum.observers)),
    }
}

fn directories<'a>(replicas: impl Iterator<Item = &'a QuorumReplica>) -> BTreeMap<u32, Directory> {
    let replicas = replicas.filter_map(|replica| {
        let id = u32::try_from(replica.id).ok()?;
        Some((id, Directory(replica.directory.as_u128())))
    });
    replicas.collect()
}

/// Those of `replicas` that have fetched lately; the leader need not.
fn caught_up<'a>(
    quorum: &'a kafka_admin::Quorum,
    replicas: &'a [QuorumReplica],
) -> impl Iterator<Item = &'a QuorumReplica> {
    let mut voters = quorum.voters.iter();
    let leader = voters.find(|voter| voter.id == quorum.leader);
    let leader = leader.and_then(|leader| leader.last_caught_up_ms);
    replicas.iter().filter(move |replica| {
        let behind = leader
            .zip(replica.last_caught_up_ms)
            .map(|(leader, replica)| leader - replica);
        let limit = CAUGHT_UP.as_millis() as i64;
        replica.id == quorum.leader || behind.is_some_and(|behind| behind < limit)
    })
}

fn shown(quorum: &kafka_admin::Quorum) -> QuorumStatus {
    QuorumStatus {
        leader: u32::try_from(quorum.leader).unwrap_or_default(),
        epoch: u32::try_from(quorum.leader_epoch).unwrap_or_default(),
        voters: ids(quorum.voters.iter().map(|voter| voter.id))
            .into_iter()
            .collect(),
    }
}

pub(super) fn ordered(ids: &[i32]) -> Vec<u32> {
    ids.iter()
        .filter_map(|id| u32::try_from(*id).ok())
        .collect()
}

pub(super) fn ids(ids: impl Iterator<Item = i32>) -> BTreeSet<u32> {
    ids.filter_map(|id| u32::try_from(id).ok()).collect()
}

// === impl Topic ===

impl Topic {
    /// How many of so many replicas must be in sync. Without an answer the
    /// careful one: all but one.
    pub(super) fn minimum(&self, replicas: usize) -> usize {
        self.min_in_sync.unwrap_or(replicas.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_admin::{PartitionDescription, QuorumReplica};

    fn voter(id: i32, last_caught_up_ms: Option<i64>) -> QuorumReplica {
        QuorumReplica {
            id,
            directory: uuid::Uuid::nil(),
            log_end_offset: 0,
            last_fetch_ms: None,
            last_caught_up_ms,
        }
    }

    fn quorum(leader: i32, voters: Vec<QuorumReplica>) -> kafka_admin::Quorum {
        kafka_admin::Quorum {
            leader,
            leader_epoch: 3,
            high_watermark: 0,
            voters,
            observers: Vec::new(),
        }
    }

    #[test]
    fn a_voter_is_caught_up_by_the_leader_s_clock() {
        let voters = vec![
            voter(0, Some(10_000)),
            voter(1, Some(8_001)),
            voter(2, Some(8_000)),
            voter(3, None),
        ];
        let planned = planned(&quorum(0, voters));
        assert_eq!(planned.leader, Some(0));
        assert_eq!(planned.caught_up, [0, 1].into());
    }

    #[test]
    fn a_quorum_without_a_leader_has_none() {
        assert_eq!(planned(&quorum(-1, vec![voter(0, None)])).leader, None);
    }

    #[test]
    fn observers_that_follow_may_be_given_a_vote() {
        let quorum = kafka_admin::Quorum {
            observers: vec![voter(3, Some(9_000)), voter(4, Some(100)), voter(5, None)],
            ..quorum(0, vec![voter(0, Some(10_000))])
        };
        let voters = voters(&quorum);
        assert_eq!(voters.observers.keys().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(voters.voters.len(), 1);
    }

    #[test]
    fn a_node_that_lost_its_volume_joins_with_the_directory_that_follows() {
        let replica = |directory: u128, caught_up| QuorumReplica {
            directory: uuid::Uuid::from_u128(directory),
            ..voter(1, caught_up)
        };
        for observers in [
            vec![replica(7, Some(9_900)), replica(4, Some(100))],
            vec![replica(4, Some(100)), replica(7, Some(9_900))],
        ] {
            let quorum = kafka_admin::Quorum {
                observers,
                ..quorum(0, vec![voter(0, Some(10_000))])
            };
            assert_eq!(voters(&quorum).observers, [(1, Directory(7))].into());
        }
    }

    #[test]
    fn a_topic_whose_minimum_is_unknown_can_spare_one_replica_at_most() {
        let topic = TopicDescription {
            id: uuid::Uuid::nil(),
            internal: false,
            partitions: vec![PartitionDescription {
                index: 4,
                leader: Some(0),
                leader_epoch: 0,
                replicas: vec![0, 1, 2],
                in_sync: vec![0, 1],
                offline: Vec::new(),
            }],
        };
        let partition = &described("t", &topic, |replicas| replicas - 1)[0];
        assert_eq!(partition.id, PartitionId::new("t", 4));
        assert_eq!(partition.preferred(), Some(0));
        assert!(partition.needs(0));
    }
}
