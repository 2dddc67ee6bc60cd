//! What Kafka says about itself, asked when a plan depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{ElectLeadersRequest, TopicName};
use tokio::time::timeout;
use tubeway_api::QuorumStatus;
use tubeway_config::ClusterRef;
use tubeway_planner::{Health, Partition, PartitionId, Quorum};

use crate::kafka_admin::{
    self, Admin, AdminDirectory, AdminError, ConfigResource, Refusal, TopicDescription,
};

/// How long Kafka may take to answer everything.
const ANSWER: Duration = Duration::from_secs(15);
/// A voter whose copy was complete this long ago, by the leader's clock, is
/// caught up: Kafka's own default for `controller.quorum.fetch.timeout.ms`.
const CAUGHT_UP: Duration = Duration::from_secs(2);
/// Topics whose options are asked for at one time.
const TOPICS_AT_ONCE: usize = 200;
/// Partitions whose leaders are elected at one time.
const ELECTIONS_AT_ONCE: usize = 1000;
/// How long a broker may take to see them through.
const ELECTION: Duration = Duration::from_secs(5);
const PREFERRED: i8 = 0;
const MIN_IN_SYNC: &str = "min.insync.replicas";

/// What one look at a Kafka cluster found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// What plans depend on.
    pub health: Health,
    /// What the status shows.
    pub quorum: QuorumStatus,
}

/// How much is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The quorum: one request. No node may be taken out by the answer.
    Quorum,
    /// Every partition, too.
    Partitions,
}

/// Asks Kafka clusters how they are.
#[async_trait]
pub trait HealthSource: Send + Sync + 'static {
    /// How the cluster is now; `None` when it cannot be asked, for whatever
    /// reason. Answers within 15 s either way.
    async fn look(&self, cluster: &ClusterRef, depth: Depth) -> Option<HealthReport>;

    /// Has the preferred leaders of these partitions elected. Nothing depends on
    /// it: what Kafka refuses stays as it is, and is asked for again by a later
    /// plan. Sources that can only look do nothing.
    async fn elect(&self, cluster: &ClusterRef, partitions: &[PartitionId]) {
        let _ = (cluster, partitions);
    }
}

/// Asks through Kafka's own protocol.
#[derive(Debug, Clone)]
pub struct KafkaHealth {
    admins: AdminDirectory,
}

// === impl KafkaHealth ===

impl KafkaHealth {
    /// Asks the clusters of this directory.
    pub fn new(admins: AdminDirectory) -> Self {
        Self { admins }
    }
}

#[async_trait]
impl HealthSource for KafkaHealth {
    async fn look(&self, cluster: &ClusterRef, depth: Depth) -> Option<HealthReport> {
        let entry = self.admins.get(cluster)?;
        match timeout(ANSWER, ask(&entry.admin, depth)).await {
            Ok(Ok(report)) => Some(report),
            Ok(Err(error)) => {
                tracing::info!(%cluster, error = error.chain(), "kafka could not be asked");
                None
            }
            Err(_) => {
                tracing::info!(%cluster, "kafka did not answer in time");
                None
            }
        }
    }

    async fn elect(&self, cluster: &ClusterRef, partitions: &[PartitionId]) {
        let Some(entry) = self.admins.get(cluster) else {
            return;
        };
        for partitions in partitions.chunks(ELECTIONS_AT_ONCE) {
            let count = partitions.len();
            match timeout(ANSWER, elect(&entry.admin, partitions)).await {
                Ok(Ok(())) => tracing::info!(%cluster, count, "preferred leaders elected"),
                Ok(Err(error)) => {
                    tracing::info!(%cluster, error = error.chain(), "no leaders were elected");
                    return;
                }
                Err(_) => {
                    tracing::info!(%cluster, "kafka did not answer in time");
                    return;
                }
            }
        }
    }
}

/// Asks for the elections. Answers for single partitions are not looked at: the
/// next plan sees who leads.
async fn elect(admin: &Admin, partitions: &[PartitionId]) -> Result<(), AdminError> {
    let request = |_| election(partitions);
    let check = |code| match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(Refusal {
            error,
            message: None,
        }),
    };
    let response = admin.call(request, |r| check(r.error_code)).await;
    response.map(|_| ())
}

fn election(partitions: &[PartitionId]) -> ElectLeadersRequest {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for id in partitions {
        topics.entry(&id.topic).or_default().push(id.index);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic(TopicName(topic.to_owned().into()))
            .with_partitions(partitions)
    });
    ElectLeadersRequest::default()
        .with_election_type(PREFERRED)
        .with_topic_partitions(Some(topics.collect()))
        .with_timeout_ms(ELECTION.as_millis() as i32)
}

async fn ask(admin: &Admin, depth: Depth) -> Result<HealthReport, AdminError> {
    let quorum = admin.describe_quorum().await?;
    let partitions = match depth {
        Depth::Quorum => Vec::new(),
        Depth::Partitions => partitions(admin).await?,
    };
    Ok(HealthReport {
        quorum: shown(&quorum),
        health: Health {
            partitions,
            quorum: planned(&quorum),
        },
    })
}

async fn partitions(admin: &Admin) -> Result<Vec<Partition>, AdminError> {
    let mut topics = BTreeMap::new();
    for (name, topic) in admin.describe_topics(None).await? {
        match topic {
            Ok(topic) => {
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
    let mut minimums = BTreeMap::new();
    for names in names.chunks(TOPICS_AT_ONCE) {
        for (resource, options) in admin.describe_configs(names, None).await? {
            let ConfigResource::Topic(name) = resource else {
                continue;
            };
            let options = options.unwrap_or_default();
            let minimum = options
                .get(MIN_IN_SYNC)
                .and_then(|entry| entry.value.as_ref());
            if let Some(minimum) = minimum.and_then(|text| text.parse().ok()) {
                minimums.insert(name, minimum);
            }
        }
    }
    let partitions = topics.iter().flat_map(|(name, topic)| {
        // Without an answer the careful one: all replicas but one are needed.
        let fallback = |replicas: usize| replicas.saturating_sub(1);
        let minimum = minimums.get(name).copied();
        described(name, topic, move |replicas| {
            minimum.unwrap_or_else(|| fallback(replicas))
        })
    });
    Ok(partitions.collect())
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
    let voters = quorum.voters.iter();
    let caught_up_at = |id: i32| {
        let voter = quorum.voters.iter().find(|voter| voter.id == id)?;
        voter.last_caught_up_ms
    };
    let leader = caught_up_at(quorum.leader);
    let caught_up = voters.clone().filter(|voter| {
        let behind = leader
            .zip(voter.last_caught_up_ms)
            .map(|(leader, voter)| leader - voter);
        let limit = CAUGHT_UP.as_millis() as i64;
        voter.id == quorum.leader || behind.is_some_and(|behind| behind < limit)
    });
    Quorum {
        leader: u32::try_from(quorum.leader).ok(),
        caught_up: ids(caught_up.map(|voter| voter.id)),
        voters: ids(voters.map(|voter| voter.id)),
    }
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

fn ordered(ids: &[i32]) -> Vec<u32> {
    ids.iter()
        .filter_map(|id| u32::try_from(*id).ok())
        .collect()
}

fn ids(ids: impl Iterator<Item = i32>) -> BTreeSet<u32> {
    ids.filter_map(|id| u32::try_from(id).ok()).collect()
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
    fn an_election_is_for_the_preferred_leaders_of_each_topic() {
        let partitions = [("b", 1), ("a", 7), ("b", 0)];
        let partitions = partitions.map(|(topic, index)| PartitionId::new(topic, index));
        let request = election(&partitions);
        assert_eq!(request.election_type, 0, "1 would be unclean");
        let topics = request.topic_partitions.unwrap().into_iter();
        let topics: Vec<_> = topics
            .map(|topic| (topic.topic.to_string(), topic.partitions))
            .collect();
        assert_eq!(
            topics,
            [("a".to_owned(), vec![7]), ("b".to_owned(), vec![1, 0])]
        );
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
