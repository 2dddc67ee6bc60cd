//! The metadata quorum and its voters (KIP-595, KIP-853).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_raft_voter_request::Listener;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::ReplicaState;
use kafka_protocol::messages::{
    AddRaftVoterRequest, DescribeQuorumRequest, RemoveRaftVoterRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::{BrokerAddress, text};

/// The log that the quorum keeps.
const METADATA_TOPIC: &str = "__cluster_metadata";
/// The listener on which controllers talk to each other.
const LISTENER: &str = "CONTROLLER";

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
                    error: ResponseError::UnknownTopicOrPartition,
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

    /// Gives an observer a vote. One that votes already is no error.
    pub async fn add_voter(
        &self,
        id: i32,
        directory: Uuid,
        at: &BrokerAddress,
    ) -> Result<(), AdminError> {
        let request = |_| {
            let listener = Listener::default()
                .with_name(text(LISTENER))
                .with_host(text(&at.host))
                .with_port(at.port);
            AddRaftVoterRequest::default()
                .with_timeout_ms(self.broker_timeout_ms())
                .with_voter_id(id)
                .with_voter_directory_id(directory)
                .with_listeners(vec![listener])
        };
        let response = self.call(request, |r| {
            unless(
                ResponseError::DuplicateVoter,
                r.error_code,
                r.error_message.as_ref(),
            )
        });
        response.await.map(|_| ())
    }

    /// Takes a voter's vote away. One that does not vote is no error.
    pub async fn remove_voter(&self, id: i32, directory: Uuid) -> Result<(), AdminError> {
        let request = |_| {
            RemoveRaftVoterRequest::default()
                .with_voter_id(id)
                .with_voter_directory_id(directory)
        };
        let response = self.call(request, |r| {
            unless(
                ResponseError::VoterNotFound,
                r.error_code,
                r.error_message.as_ref(),
            )
        });
        response.await.map(|_| ())
    }
}

/// What a code says, where `done` says that there is nothing left to do.
fn unless(done: ResponseError, code: i16, message: Option<&StrBytes>) -> Result<(), Refusal> {
    match Refusal::check(code, message) {
        Err(refusal) if refusal.error == done => Ok(()),
        checked => checked,
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
