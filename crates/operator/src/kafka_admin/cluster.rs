//! The cluster's brokers and its metadata quorum.

use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeQuorumRequest, TopicName};
use uuid::Uuid;

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::{BrokerAddress, text};

/// The log that the quorum keeps.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// The first version that can ask for fenced brokers.
const WITH_FENCED: i16 = 2;

/// The cluster as its brokers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Kafka's id of the cluster.
    pub id: String,
    /// Brokers that are registered, by id.
    pub brokers: Vec<Broker>,
}

/// One registered broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Kafka's `node.id`.
    pub id: i32,
    /// What it advertises on the listener that was asked.
    pub address: BrokerAddress,
    /// Its `broker.rack`.
    pub rack: Option<String>,
    /// Registered, but leads nothing: starting, shutting down, or away.
    pub fenced: bool,
}

/// The metadata quorum as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// Node id of the leader, which is the active controller.
    pub leader: i32,
    /// Grows with each new leader.
    pub leader_epoch: i32,
    /// What a majority has, as an offset of the metadata log.
    pub high_watermark: i64,
    /// Those that elect and are elected, by id.
    pub voters: Vec<QuorumReplica>,
    /// Those that only follow, by id.
    pub observers: Vec<QuorumReplica>,
}

/// A node's copy of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Kafka's `node.id`.
    pub id: i32,
    /// Id of the folder it is in; zero where the brokers are too old to say.
    pub directory: Uuid,
    /// Where the copy ends.
    pub log_end_offset: i64,
    /// When it last asked, in ms since 1970; none for the leader itself, or unknown.
    pub last_fetch_ms: Option<i64>,
    /// When it last had everything, in ms since 1970; none if unknown.
    pub last_caught_up_ms: Option<i64>,
}

// === impl Admin ===

impl Admin {
    /// The cluster's brokers. Those that are fenced are among them where the
    /// brokers can say so (Kafka 4.0).
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, AdminError> {
        let request = |version| {
            DescribeClusterRequest::default().with_include_fenced_brokers(version >= WITH_FENCED)
        };
        let response = self
            .call(request, |r| {
                Refusal::check(r.error_code, r.error_message.as_ref())
            })
            .await?;
        let mut brokers: Vec<_> = response
            .brokers
            .iter()
            .map(|broker| Broker {
                id: broker.broker_id.0,
                address: BrokerAddress::new(
                    broker.host.to_string(),
                    u16::try_from(broker.port).unwrap_or(0),
                ),
                rack: broker.rack.as_ref().map(ToString::to_string),
                fenced: broker.is_fenced,
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            id: response.cluster_id.to_string(),
            brokers,
        })
    }

    /// The metadata quorum.
    pub async fn describe_quorum(&self) -> Result<Quorum, AdminError> {
        let request = |_| {
            let topic = TopicData::default()
                .with_topic_name(TopicName(text(METADATA_TOPIC)))
                .with_partitions(vec![PartitionData::default()]);
            DescribeQuorumRequest::default().with_topics(vec![topic])
        };
        let response = self
            .call(request, |r| {
                Refusal::check(r.error_code, r.error_message.as_ref())?;
                let mut partitions = r.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.try_for_each(|p| Refusal::check(p.error_code, p.error_message.as_ref()))
            })
            .await?;
        let partition = response
            .topics
            .into_iter()
            .flat_map(|topic| topic.partitions)
            .next()
            .ok_or_else(|| AdminError::Refused {
                api: "DescribeQuorum",
                refusal: Refusal {
                    error: kafka_protocol::error::ResponseError::UnknownTopicOrPartition,
                    message: Some(format!("no partition of {METADATA_TOPIC} in the answer")),
                },
            })?;
        Ok(Quorum {
            leader: partition.leader_id.0,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: replicas(&partition.current_voters),
            observers: replicas(&partition.observers),
        })
    }
}

fn replicas(states: &[ReplicaState]) -> Vec<QuorumReplica> {
    let known = |ms: i64| (ms >= 0).then_some(ms);
    let mut replicas: Vec<_> = states
        .iter()
        .map(|state| QuorumReplica {
            id: state.replica_id.0,
            directory: state.replica_directory_id,
            log_end_offset: state.log_end_offset,
            last_fetch_ms: known(state.last_fetch_timestamp),
            last_caught_up_ms: known(state.last_caught_up_timestamp),
        })
        .collect();
    replicas.sort_by_key(|replica| replica.id);
    replicas
}
