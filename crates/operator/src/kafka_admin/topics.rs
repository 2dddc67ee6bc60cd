//! Topics and their partitions.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{
    BrokerId, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, MetadataRequest,
    TopicName,
};
use uuid::Uuid;

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::{Results, text};

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Kafka's id, which a topic of the same name made later does not have.
    pub id: Uuid,
    /// Whether Kafka itself keeps it (`__consumer_offsets`).
    pub internal: bool,
    /// The partitions, in their order.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number in the topic.
    pub index: i32,
    /// The broker that leads it, if one does.
    pub leader: Option<i32>,
    /// Grows with each new leader.
    pub leader_epoch: i32,
    /// The brokers that have it, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those that have all of it.
    pub in_sync: Vec<i32>,
    /// Those that are away, or whose disk is.
    pub offline: Vec<i32>,
}

/// A topic to create.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; none leaves it to the cluster's `num.partitions`.
    pub partitions: Option<i32>,
    /// How many replicas; none leaves it to `default.replication.factor`.
    pub replicas: Option<i16>,
    /// Options of its own.
    pub config: BTreeMap<String, String>,
}

/// A topic that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Kafka's id.
    pub id: Uuid,
    /// How many partitions it got.
    pub partitions: i32,
    /// How many replicas they got.
    pub replicas: i16,
}

// === impl Admin ===

impl Admin {
    /// Topics by name, or all of them. Never creates one.
    pub async fn describe_topics(
        &self,
        names: Option<&[String]>,
    ) -> Result<Results<TopicDescription>, AdminError> {
        let request = |_| {
            let topics = names.map(|names| {
                let topic =
                    |n: &String| MetadataRequestTopic::default().with_name(Some(topic_name(n)));
                names.iter().map(topic).collect()
            });
            MetadataRequest::default()
                .with_topics(topics)
                .with_allow_auto_topic_creation(false)
        };
        let response = self.call(request, |_| Ok(())).await?;
        let results = response.topics.iter().filter_map(|topic| {
            let name = topic.name.as_ref()?.to_string();
            let result = Refusal::check(topic.error_code, None);
            Some((name, result.map(|()| description(topic))))
        });
        Ok(results.collect())
    }

    /// Creates topics; with `validate_only` only says what would happen.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<Results<CreatedTopic>, AdminError> {
        let request = |_| {
            CreateTopicsRequest::default()
                .with_topics(topics.iter().map(creatable).collect())
                .with_timeout_ms(self.broker_timeout_ms())
                .with_validate_only(validate_only)
        };
        let response = self
            .call(request, |r| {
                not_controller(r.topics.iter().map(|t| t.error_code))
            })
            .await?;
        let results = response.topics.iter().map(|topic| {
            let checked = Refusal::check(topic.error_code, topic.error_message.as_ref());
            let created = checked.map(|()| CreatedTopic {
                id: topic.topic_id,
                partitions: topic.num_partitions,
                replicas: topic.replication_factor,
            });
            (topic.name.to_string(), created)
        });
        Ok(results.collect())
    }

    /// Brings topics to this many partitions, of which Kafka only ever makes more.
    pub async fn create_partitions(
        &self,
        counts: &BTreeMap<String, i32>,
    ) -> Result<Results<()>, AdminError> {
        let request = |_| {
            let topics = counts.iter().map(|(name, count)| {
                CreatePartitionsTopic::default()
                    .with_name(topic_name(name))
                    .with_count(*count)
                    .with_assignments(None)
            });
            CreatePartitionsRequest::default()
                .with_topics(topics.collect())
                .with_timeout_ms(self.broker_timeout_ms())
        };
        let response = self
            .call(request, |r| {
                not_controller(r.results.iter().map(|t| t.error_code))
            })
            .await?;
        let results = response.results.iter().map(|topic| {
            let result = Refusal::check(topic.error_code, topic.error_message.as_ref());
            (topic.name.to_string(), result)
        });
        Ok(results.collect())
    }

    /// Deletes topics with all their records. By id, so that a topic that was
    /// made anew under the same name stays.
    pub async fn delete_topics(
        &self,
        ids: &[Uuid],
    ) -> Result<BTreeMap<Uuid, Result<(), Refusal>>, AdminError> {
        let request = |_| {
            let topic = |id: &Uuid| {
                DeleteTopicState::default()
                    .with_name(None)
                    .with_topic_id(*id)
            };
            DeleteTopicsRequest::default()
                .with_topics(ids.iter().map(topic).collect())
                .with_timeout_ms(self.broker_timeout_ms())
        };
        let response = self
            .call(request, |r| {
                not_controller(r.responses.iter().map(|t| t.error_code))
            })
            .await?;
        let results = response.responses.iter().map(|topic| {
            let result = Refusal::check(topic.error_code, topic.error_message.as_ref());
            (topic.topic_id, result)
        });
        Ok(results.collect())
    }
}

/// A broker that does not know the controller says so of each thing it was asked
/// to do, and of all of them: the whole request is for another moment.
pub(super) fn not_controller(mut codes: impl Iterator<Item = i16>) -> Result<(), Refusal> {
    match codes.find(|code| *code == ResponseError::NotController.code()) {
        Some(code) => Refusal::check(code, None),
        None => Ok(()),
    }
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let configs = topic.config.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions.unwrap_or(-1))
        .with_replication_factor(topic.replicas.unwrap_or(-1))
        .with_configs(configs.collect())
}

fn description(topic: &MetadataResponseTopic) -> TopicDescription {
    let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    let mut partitions: Vec<_> = topic
        .partitions
        .iter()
        .map(|partition| PartitionDescription {
            index: partition.partition_index,
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
            leader_epoch: partition.leader_epoch,
            replicas: ids(&partition.replica_nodes),
            in_sync: ids(&partition.isr_nodes),
            offline: ids(&partition.offline_replicas),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicDescription {
        id: topic.topic_id,
        internal: topic.is_internal,
        partitions,
    }
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
