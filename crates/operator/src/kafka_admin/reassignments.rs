//! Replicas that move from broker to broker (KIP-455).

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, BrokerId, ListPartitionReassignmentsRequest, TopicName,
};
use tubeway_planner::PartitionId;
use tubeway_planner::reassign::Change;

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::text;

/// A partition that Kafka is moving.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reassigning {
    /// All its replicas, those of the target first.
    pub replicas: Vec<u32>,
    /// Those that it is being copied to.
    pub adding: BTreeSet<u32>,
    /// Those that lose it in the end.
    pub removing: BTreeSet<u32>,
}

// === impl Admin ===

impl Admin {
    /// Everything that is being moved.
    pub async fn list_reassignments(
        &self,
    ) -> Result<BTreeMap<PartitionId, Reassigning>, AdminError> {
        let request = |_| {
            ListPartitionReassignmentsRequest::default()
                .with_timeout_ms(self.broker_timeout_ms())
                .with_topics(None)
        };
        let response = self
            .call(request, |r| {
                Refusal::check(r.error_code, r.error_message.as_ref())
            })
            .await?;
        let moving = response.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let id = PartitionId::new(topic.name.to_string(), partition.partition_index);
                let moving = Reassigning {
                    replicas: ids(&partition.replicas).collect(),
                    adding: ids(&partition.adding_replicas).collect(),
                    removing: ids(&partition.removing_replicas).collect(),
                };
                (id, moving)
            })
        });
        Ok(moving.collect())
    }

    /// Begins these moves; a partition that is already moving goes where it is
    /// said now. A partition that is gone by now is no error; the first other
    /// refusal is returned, with everything else begun.
    pub async fn reassign(&self, changes: &[Change]) -> Result<(), AdminError> {
        let request = |_| {
            AlterPartitionReassignmentsRequest::default()
                .with_timeout_ms(self.broker_timeout_ms())
                .with_topics(topics(changes))
        };
        let response = self.call(request, |r| {
            Refusal::check(r.error_code, r.error_message.as_ref())?;
            let mut results = r.responses.iter().flat_map(|topic| &topic.partitions);
            results.try_for_each(
                |r| match Refusal::check(r.error_code, r.error_message.as_ref()) {
                    Err(refusal) if refusal.error == ResponseError::UnknownTopicOrPartition => {
                        Ok(())
                    }
                    checked => checked,
                },
            )
        });
        response.await.map(|_| ())
    }
}

fn topics(changes: &[Change]) -> Vec<ReassignableTopic> {
    let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
    for change in changes {
        let replicas = change.target.iter();
        let replicas = replicas.filter_map(|id| i32::try_from(*id).ok().map(BrokerId));
        let partition = ReassignablePartition::default()
            .with_partition_index(change.id.index)
            .with_replicas(Some(replicas.collect()));
        topics.entry(&change.id.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(topic, partitions)| {
        ReassignableTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(partitions)
    });
    topics.collect()
}

fn ids(ids: &[BrokerId]) -> impl Iterator<Item = u32> + '_ {
    ids.iter().filter_map(|id| u32::try_from(id.0).ok())
}
