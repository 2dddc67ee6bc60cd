//! What the simulated Kafka does and says, API by API. A refusal is an error code that the
//! answer carries where this API has room for one; nothing is done then.

use std::collections::BTreeMap;

use kafka_protocol::messages as k;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::api_versions_response::{
    ApiVersion, FinalizedFeatureKey, SupportedFeatureKey,
};
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_acls_response::DeleteAclsFilterResult;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult,
};
use kafka_protocol::messages::describe_quorum_response::{PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::incremental_alter_configs_request::AlterableConfig;
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, TopicName};

pub(crate) use super::disks::{describe_log_dirs, move_between_disks};
use super::kafka::{Acl, Kafka, Topic};
use super::wire::{api_versions, text};

const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_EXISTS: i16 = 36;
const INVALID_PARTITIONS: i16 = 37;
const UNKNOWN_TOPIC_ID: i16 = 100;
const LEADER_NOT_AVAILABLE: i16 = 5;
const DUPLICATE_VOTER: i16 = 126;
const VOTER_NOT_FOUND: i16 = 127;
const BROKER_NOT_REGISTERED: i16 = 102;
const TOPIC: i8 = 2;
/// The metadata version of Kafka 4.3.
const NEWEST_METADATA: i16 = 30;
/// Partitions and replicas of topics that leave it to the cluster.
const DEFAULT: (i32, i16) = (1, 3);

/// The refusal's code, which does nothing; else that of `failure` if `done` is not.
fn code(refusal: Option<i16>, failure: i16, done: impl FnOnce() -> bool) -> i16 {
    refusal.unwrap_or_else(|| if done() { 0 } else { failure })
}

pub(crate) fn versions(
    kafka: &mut Kafka,
    _: &k::ApiVersionsRequest,
    _: Option<i16>,
) -> k::ApiVersionsResponse {
    let level = kafka.features.get("metadata.version").copied();
    let level = level.unwrap_or(NEWEST_METADATA);
    let metadata_version = text("metadata.version");
    let supported = SupportedFeatureKey::default()
        .with_name(metadata_version.clone())
        .with_min_version(7)
        .with_max_version(NEWEST_METADATA);
    let finalized = FinalizedFeatureKey::default()
        .with_name(metadata_version)
        .with_min_version_level(level)
        .with_max_version_level(level);
    let keys = api_versions().into_iter().map(|(key, (min, max))| {
        ApiVersion::default()
            .with_api_key(key)
            .with_min_version(min)
            .with_max_version(max)
    });
    k::ApiVersionsResponse::default()
        .with_api_keys(keys.collect())
        .with_supported_features(vec![supported])
        .with_finalized_features(vec![finalized])
}

pub(crate) fn metadata(
    kafka: &mut Kafka,
    request: &k::MetadataRequest,
    refusal: Option<i16>,
) -> k::MetadataResponse {
    let all = || kafka.topics.keys().cloned().collect::<Vec<_>>();
    let names = match &request.topics {
        None => all(),
        Some(topics) => topics
            .iter()
            .filter_map(|topic| topic.name.as_ref().map(|name| name.to_string()))
            .collect(),
    };
    let topics = names.into_iter().map(|name| {
        let answer = MetadataResponseTopic::default().with_name(Some(TopicName(text(&name))));
        match (refusal, kafka.topics.get(&name)) {
            (Some(_), _) => answer.with_error_code(LEADER_NOT_AVAILABLE),
            (None, None) => answer.with_error_code(UNKNOWN_TOPIC),
            (None, Some(topic)) => answer
                .with_topic_id(topic.id)
                .with_partitions(partitions(topic)),
        }
    });
    k::MetadataResponse::default().with_topics(topics.collect())
}

fn partitions(topic: &Topic) -> Vec<MetadataResponsePartition> {
    let id = |id: &u32| BrokerId(*id as i32);
    let partitions = topic.partitions.iter().enumerate();
    partitions
        .map(|(index, partition)| {
            MetadataResponsePartition::default()
                .with_partition_index(index as i32)
                .with_leader_id(partition.leader.as_ref().map_or(BrokerId(-1), id))
                .with_replica_nodes(partition.replicas.iter().map(id).collect())
                .with_isr_nodes(partition.in_sync.iter().map(id).collect())
        })
        .collect()
}

pub(crate) fn create_topics(
    kafka: &mut Kafka,
    request: &k::CreateTopicsRequest,
    refusal: Option<i16>,
) -> k::CreateTopicsResponse {
    let results = request.topics.iter().map(|topic| {
        let answer = CreatableTopicResult::default().with_name(topic.name.clone());
        if let Some(code) = refusal {
            return answer.with_error_code(code);
        }
        let or = |value: i32, default: i32| if value > 0 { value } else { default };
        let partitions = or(topic.num_partitions, DEFAULT.0);
        let replicas = or(topic.replication_factor.into(), DEFAULT.1.into());
        let config = topic.configs.iter().map(|config| {
            let value = config.value.as_ref().map(ToString::to_string);
            (config.name.to_string(), value.unwrap_or_default())
        });
        let made = kafka.create_topic(
            topic.name.as_str(),
            partitions as usize,
            replicas as usize,
            config.collect(),
        );
        match made {
            None => answer.with_error_code(TOPIC_EXISTS),
            Some(id) => answer
                .with_topic_id(id)
                .with_num_partitions(partitions)
                .with_replication_factor(replicas as i16),
        }
    });
    k::CreateTopicsResponse::default().with_topics(results.collect())
}

pub(crate) fn delete_topics(
    kafka: &mut Kafka,
    request: &k::DeleteTopicsRequest,
    refusal: Option<i16>,
) -> k::DeleteTopicsResponse {
    let results = request.topics.iter().map(|topic| {
        let code = code(refusal, UNKNOWN_TOPIC_ID, || {
            kafka.delete_topic(topic.topic_id)
        });
        DeletableTopicResult::default()
            .with_topic_id(topic.topic_id)
            .with_error_code(code)
    });
    k::DeleteTopicsResponse::default().with_responses(results.collect())
}

pub(crate) fn create_partitions(
    kafka: &mut Kafka,
    request: &k::CreatePartitionsRequest,
    refusal: Option<i16>,
) -> k::CreatePartitionsResponse {
    let results = request.topics.iter().map(|topic| {
        let code = code(refusal, INVALID_PARTITIONS, || {
            kafka.add_partitions(topic.name.as_str(), topic.count as usize)
        });
        CreatePartitionsTopicResult::default()
            .with_name(topic.name.clone())
            .with_error_code(code)
    });
    k::CreatePartitionsResponse::default().with_results(results.collect())
}

pub(crate) fn describe_configs(
    kafka: &mut Kafka,
    request: &k::DescribeConfigsRequest,
    refusal: Option<i16>,
) -> k::DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let answer = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        if let Some(code) = refusal {
            return answer.with_error_code(code);
        }
        if resource.resource_type != TOPIC {
            let broker = resource.resource_name.parse().ok();
            return answer.with_configs(broker_options(kafka, broker));
        }
        let Some(topic) = kafka.topics.get(resource.resource_name.as_str()) else {
            return answer.with_error_code(UNKNOWN_TOPIC);
        };
        let mut shown: BTreeMap<String, (String, i8)> = [
            ("min.insync.replicas", topic.min_in_sync().to_string()),
            ("retention.ms", "604800000".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), (value, 5)))
        .into();
        let own = topic.config.iter();
        shown.extend(own.map(|(name, value)| (name.clone(), (value.clone(), 1))));
        answer.with_configs(configs(&shown))
    });
    k::DescribeConfigsResponse::default().with_results(results.collect())
}

pub(crate) fn alter_configs(
    kafka: &mut Kafka,
    request: &k::IncrementalAlterConfigsRequest,
    refusal: Option<i16>,
) -> k::IncrementalAlterConfigsResponse {
    let results = request.resources.iter().map(|resource| {
        let answer = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        if let Some(code) = refusal {
            return answer.with_error_code(code);
        }
        if resource.resource_type != TOPIC {
            let broker = resource.resource_name.parse().ok();
            alter(kafka.options.entry(broker).or_default(), &resource.configs);
            let values = resource.configs.iter();
            let values = values.filter_map(|set| Some((&set.name, set.value.as_ref()?)));
            kafka
                .ever
                .extend(values.map(|(name, value)| format!("{}={value}", name.as_str())));
            return answer;
        }
        let Some(topic) = kafka.topics.get_mut(resource.resource_name.as_str()) else {
            return answer.with_error_code(UNKNOWN_TOPIC);
        };
        let before = topic.config.clone();
        alter(&mut topic.config, &resource.configs);
        if topic.config != before {
            kafka.count(format!("configure {}", resource.resource_name));
        }
        answer
    });
    k::IncrementalAlterConfigsResponse::default().with_responses(results.collect())
}

/// Sets options, or takes them away.
fn alter(options: &mut BTreeMap<String, String>, changes: &[AlterableConfig]) {
    for change in changes {
        match &change.value {
            Some(value) => options.insert(change.name.to_string(), value.to_string()),
            None => options.remove(change.name.as_str()),
        };
    }
}

pub(crate) fn describe_acls(
    kafka: &mut Kafka,
    _: &k::DescribeAclsRequest,
    refusal: Option<i16>,
) -> k::DescribeAclsResponse {
    let resources = kafka.acls.iter().map(|acl| {
        let (kind, pattern, operation, permission, name, principal, host) = acl;
        let description = AclDescription::default()
            .with_principal(text(principal))
            .with_host(text(host))
            .with_operation(*operation)
            .with_permission_type(*permission);
        DescribeAclsResource::default()
            .with_resource_type(*kind)
            .with_resource_name(text(name))
            .with_pattern_type(*pattern)
            .with_acls(vec![description])
    });
    k::DescribeAclsResponse::default()
        .with_error_code(refusal.unwrap_or(0))
        .with_resources(resources.collect())
}

pub(crate) fn create_acls(
    kafka: &mut Kafka,
    request: &k::CreateAclsRequest,
    refusal: Option<i16>,
) -> k::CreateAclsResponse {
    let results = request.creations.iter().map(|creation| {
        if refusal.is_none() {
            let acl: Acl = (
                creation.resource_type,
                creation.resource_pattern_type,
                creation.operation,
                creation.permission_type,
                creation.resource_name.to_string(),
                creation.principal.to_string(),
                creation.host.to_string(),
            );
            let effect = format!("create acl {} {}", acl.5, acl.4);
            if kafka.acls.insert(acl) {
                kafka.count(effect);
            }
        }
        AclCreationResult::default().with_error_code(refusal.unwrap_or(0))
    });
    k::CreateAclsResponse::default().with_results(results.collect())
}

pub(crate) fn delete_acls(
    kafka: &mut Kafka,
    request: &k::DeleteAclsRequest,
    refusal: Option<i16>,
) -> k::DeleteAclsResponse {
    let results = request.filters.iter().map(|filter| {
        if refusal.is_none() {
            let same = |filter: &Option<kafka_protocol::protocol::StrBytes>, value: &str| {
                filter
                    .as_ref()
                    .is_none_or(|wanted| wanted.as_str() == value)
            };
            let gone: Vec<_> = kafka
                .acls
                .iter()
                .filter(|acl| {
                    (acl.0, acl.1, acl.2, acl.3)
                        == (
                            filter.resource_type_filter,
                            filter.pattern_type_filter,
                            filter.operation,
                            filter.permission_type,
                        )
                        && same(&filter.resource_name_filter, &acl.4)
                        && same(&filter.principal_filter, &acl.5)
                        && same(&filter.host_filter, &acl.6)
                })
                .cloned()
                .collect();
            for acl in gone {
                kafka.acls.remove(&acl);
                kafka.count(format!("delete acl {} {}", acl.5, acl.4));
            }
        }
        DeleteAclsFilterResult::default().with_error_code(refusal.unwrap_or(0))
    });
    k::DeleteAclsResponse::default().with_filter_results(results.collect())
}

pub(crate) fn describe_quorum(
    kafka: &mut Kafka,
    request: &k::DescribeQuorumRequest,
    refusal: Option<i16>,
) -> k::DescribeQuorumResponse {
    let up = kafka.up();
    let state = |id: &u32| {
        let caught_up = if up.contains(id) { 100_000 } else { 1 };
        let directory = kafka.nodes.get(id).map(|node| node.directory);
        ReplicaState::default()
            .with_replica_id(BrokerId(*id as i32))
            .with_replica_directory_id(directory.unwrap_or_default())
            .with_last_fetch_timestamp(caught_up)
            .with_last_caught_up_timestamp(caught_up)
    };
    let voters = kafka.voters.iter().map(state);
    let observers = kafka
        .nodes
        .iter()
        .filter(|(id, node)| node.up && node.controller && !kafka.voters.contains(id));
    let observers = observers.map(|(id, _)| state(id));
    let partition = PartitionData::default()
        .with_leader_id(BrokerId(kafka.active.map_or(-1, |id| id as i32)))
        .with_leader_epoch(kafka.epoch)
        .with_current_voters(voters.collect())
        .with_observers(observers.collect());
    let topics = request.topics.iter().map(|topic| {
        TopicData::default()
            .with_topic_name(topic.topic_name.clone())
            .with_partitions(vec![partition.clone()])
    });
    k::DescribeQuorumResponse::default()
        .with_error_code(refusal.unwrap_or(0))
        .with_topics(topics.collect())
}

pub(crate) fn elect_leaders(
    kafka: &mut Kafka,
    request: &k::ElectLeadersRequest,
    refusal: Option<i16>,
) -> k::ElectLeadersResponse {
    for topic in request.topic_partitions.iter().flatten() {
        for index in &topic.partitions {
            if refusal.is_none() {
                kafka.elect(topic.topic.as_str(), *index as usize);
            }
        }
    }
    k::ElectLeadersResponse::default().with_error_code(refusal.unwrap_or(0))
}

/// Options of one broker, or of all of them.
fn broker_options(kafka: &Kafka, broker: Option<u32>) -> Vec<DescribeConfigsResourceResult> {
    let mut shown: BTreeMap<String, (String, i8)> = BTreeMap::new();
    let mut add = |of: Option<u32>, source| {
        let options = kafka.options.get(&of).into_iter().flatten();
        shown.extend(options.map(|(name, value)| (name.clone(), (value.clone(), source))));
    };
    add(None, 3);
    if broker.is_some() {
        add(broker, 2);
        let cordoned = ("cordoned.log.dirs".to_owned(), (String::new(), 5));
        shown.entry(cordoned.0).or_insert(cordoned.1);
    }
    configs(&shown)
}

/// Options with their values and where these come from, as an answer has them.
fn configs(shown: &BTreeMap<String, (String, i8)>) -> Vec<DescribeConfigsResourceResult> {
    let configs = shown.iter().map(|(name, (value, source))| {
        DescribeConfigsResourceResult::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
            .with_config_source(*source)
    });
    configs.collect()
}

pub(crate) fn describe_cluster(
    kafka: &mut Kafka,
    _: &k::DescribeClusterRequest,
    refusal: Option<i16>,
) -> k::DescribeClusterResponse {
    let up = kafka.up();
    let brokers = kafka.registered.iter().map(|id| {
        DescribeClusterBroker::default()
            .with_broker_id(BrokerId(*id as i32))
            .with_host(text("broker"))
            .with_port(9092)
            .with_is_fenced(!up.contains(id))
    });
    k::DescribeClusterResponse::default()
        .with_error_code(refusal.unwrap_or(0))
        .with_brokers(brokers.collect())
}

pub(crate) fn reassign(
    kafka: &mut Kafka,
    request: &k::AlterPartitionReassignmentsRequest,
    refusal: Option<i16>,
) -> k::AlterPartitionReassignmentsResponse {
    let mut responses = Vec::new();
    for topic in &request.topics {
        let partitions = topic.partitions.iter().map(|partition| {
            let target = partition.replicas.iter().flatten();
            let target = target.map(|id| id.0 as u32).collect();
            let index = partition.partition_index;
            let done =
                refusal.is_some() || kafka.reassign(topic.name.as_str(), index as usize, target);
            ReassignablePartitionResponse::default()
                .with_partition_index(index)
                .with_error_code(if done { 0 } else { UNKNOWN_TOPIC })
        });
        let partitions = partitions.collect();
        responses.push(
            ReassignableTopicResponse::default()
                .with_name(topic.name.clone())
                .with_partitions(partitions),
        );
    }
    k::AlterPartitionReassignmentsResponse::default()
        .with_error_code(refusal.unwrap_or(0))
        .with_responses(responses)
}

pub(crate) fn list_reassignments(
    kafka: &mut Kafka,
    _: &k::ListPartitionReassignmentsRequest,
    refusal: Option<i16>,
) -> k::ListPartitionReassignmentsResponse {
    let ids = |ids: &[u32]| ids.iter().map(|id| BrokerId(*id as i32)).collect();
    let topics = kafka.topics.iter().map(|(name, topic)| {
        let partitions = topic.partitions.iter().enumerate();
        let moving = partitions.filter_map(|(index, partition)| {
            let target = partition.target.as_ref()?;
            let adding: Vec<u32> = target
                .iter()
                .copied()
                .filter(|id| !partition.in_sync.contains(id))
                .collect();
            let removing: Vec<u32> = partition
                .replicas
                .iter()
                .copied()
                .filter(|id| !target.contains(id))
                .collect();
            let ongoing = OngoingPartitionReassignment::default()
                .with_partition_index(index as i32)
                .with_replicas(ids(&partition.replicas))
                .with_adding_replicas(ids(&adding))
                .with_removing_replicas(ids(&removing));
            Some(ongoing)
        });
        OngoingTopicReassignment::default()
            .with_name(TopicName(text(name)))
            .with_partitions(moving.collect())
    });
    k::ListPartitionReassignmentsResponse::default()
        .with_error_code(refusal.unwrap_or(0))
        .with_topics(topics.collect())
}

pub(crate) fn add_voter(
    kafka: &mut Kafka,
    request: &k::AddRaftVoterRequest,
    refusal: Option<i16>,
) -> k::AddRaftVoterResponse {
    let code = code(refusal, DUPLICATE_VOTER, || {
        kafka.add_voter(request.voter_id as u32)
    });
    k::AddRaftVoterResponse::default().with_error_code(code)
}

pub(crate) fn remove_voter(
    kafka: &mut Kafka,
    request: &k::RemoveRaftVoterRequest,
    refusal: Option<i16>,
) -> k::RemoveRaftVoterResponse {
    let code = code(refusal, VOTER_NOT_FOUND, || {
        kafka.remove_voter(request.voter_id as u32)
    });
    k::RemoveRaftVoterResponse::default().with_error_code(code)
}

pub(crate) fn unregister(
    kafka: &mut Kafka,
    request: &k::UnregisterBrokerRequest,
    refusal: Option<i16>,
) -> k::UnregisterBrokerResponse {
    let id = request.broker_id.0 as u32;
    let code = match refusal {
        Some(code) => code,
        None if kafka.registered.remove(&id) => {
            kafka.count(format!("unregister {id}"));
            0
        }
        None => BROKER_NOT_REGISTERED,
    };
    k::UnregisterBrokerResponse::default().with_error_code(code)
}

pub(crate) fn update_features(
    kafka: &mut Kafka,
    request: &k::UpdateFeaturesRequest,
    refusal: Option<i16>,
) -> k::UpdateFeaturesResponse {
    for update in &request.feature_updates {
        if refusal.is_none() {
            let name = update.feature.to_string();
            kafka.features.insert(name, update.max_version_level);
        }
    }
    k::UpdateFeaturesResponse::default().with_error_code(refusal.unwrap_or(0))
}
