//! What a broker has on its disks (KIP-113).

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic,
};
use kafka_protocol::messages::{AlterReplicaLogDirsRequest, DescribeLogDirsRequest, TopicName};
use tubeway_planner::PartitionId;
use tubeway_planner::reassign::DiskMove;

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::{BrokerAddress, text};

/// One of a broker's log directories.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogDirDescription {
    /// Its path.
    pub path: String,
    /// Whether the broker can use it.
    pub online: bool,
    /// What is in it, by partition: a replica, and one that is being copied into
    /// it from another directory.
    pub replicas: BTreeMap<(PartitionId, bool), ReplicaOnDisk>,
}

/// A replica in a log directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplicaOnDisk {
    /// Its size, in bytes.
    pub bytes: u64,
}

// === impl Admin ===

impl Admin {
    /// The log directories of the broker at `at`, with all that is in them.
    pub async fn describe_log_dirs(
        &self,
        at: &BrokerAddress,
    ) -> Result<Vec<LogDirDescription>, AdminError> {
        let request = |_| DescribeLogDirsRequest::default().with_topics(None);
        let response = self
            .call_at(at, request, |r| Refusal::check(r.error_code, None))
            .await?;
        let dirs = response.results.into_iter().map(|dir| LogDirDescription {
            path: dir.log_dir.to_string(),
            online: dir.error_code == 0,
            replicas: dir
                .topics
                .iter()
                .flat_map(|topic| {
                    topic.partitions.iter().map(|partition| {
                        let id =
                            PartitionId::new(topic.name.to_string(), partition.partition_index);
                        let bytes = u64::try_from(partition.partition_size).unwrap_or(0);
                        ((id, partition.is_future_key), ReplicaOnDisk { bytes })
                    })
                })
                .collect(),
        });
        Ok(dirs.collect())
    }

    /// Has the broker at `at` move replicas between its directories. One
    /// that it does not have any more is no error.
    pub async fn move_between_disks(
        &self,
        at: &BrokerAddress,
        moves: &[DiskMove],
    ) -> Result<(), AdminError> {
        let request = |_| AlterReplicaLogDirsRequest::default().with_dirs(by_directory(moves));
        let gone = kafka_protocol::error::ResponseError::UnknownTopicOrPartition;
        let response = self.call_at(at, request, |r| {
            let mut results = r.results.iter().flat_map(|topic| &topic.partitions);
            results.try_for_each(|result| match Refusal::check(result.error_code, None) {
                Err(refusal) if refusal.error == gone => Ok(()),
                checked => checked,
            })
        });
        response.await.map(|_| ())
    }
}

fn by_directory(moves: &[DiskMove]) -> Vec<AlterReplicaLogDir> {
    let mut dirs: BTreeMap<&str, BTreeMap<&str, Vec<i32>>> = BTreeMap::new();
    for change in moves {
        let topics = dirs.entry(&change.to).or_default();
        topics
            .entry(&change.id.topic)
            .or_default()
            .push(change.id.index);
    }
    let dirs = dirs.into_iter().map(|(path, topics)| {
        let topics = topics.into_iter().map(|(topic, partitions)| {
            AlterReplicaLogDirTopic::default()
                .with_name(TopicName(text(topic)))
                .with_partitions(partitions)
        });
        AlterReplicaLogDir::default()
            .with_path(text(path))
            .with_topics(topics.collect())
    });
    dirs.collect()
}
