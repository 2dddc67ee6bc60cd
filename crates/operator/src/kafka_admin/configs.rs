//! Options of topics and brokers.

use std::collections::BTreeMap;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
};

use super::error::{AdminError, Refusal};
use super::pool::Admin;
use super::topics::not_controller;
use super::{BrokerAddress, text};

const SET: i8 = 0;
const DELETE: i8 = 1;

/// What has options.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic, by name.
    Topic(String),
    /// One broker, by node id.
    Broker(i32),
    /// The dynamic defaults of all brokers.
    AllBrokers,
}

/// Where an option's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set on this broker while it runs.
    Broker,
    /// Set on all brokers while they run.
    AllBrokers,
    /// The broker's `server.properties`.
    Static,
    /// Kafka's own default.
    Default,
    /// Something that is newer than this program.
    Other(i8),
}

/// One option as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its value; none where it is secret.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
}

/// What to do to one option.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigChange {
    /// Give it this value.
    Set(String),
    /// Take its own value away, so that the default is in force.
    Delete,
}

// === impl ConfigResource ===

impl ConfigResource {
    const TOPIC: i8 = 2;
    const BROKER: i8 = 4;

    fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => Self::TOPIC,
            Self::Broker(_) | Self::AllBrokers => Self::BROKER,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(id) => id.to_string(),
            Self::AllBrokers => String::new(),
        }
    }

    fn read(code: i8, name: &str) -> Option<Self> {
        match (code, name) {
            (Self::TOPIC, name) => Some(Self::Topic(name.to_owned())),
            (Self::BROKER, "") => Some(Self::AllBrokers),
            (Self::BROKER, id) => id.parse().ok().map(Self::Broker),
            _ => None,
        }
    }
}

// === impl ConfigSource ===

impl From<i8> for ConfigSource {
    fn from(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::Static,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

// === impl Admin ===

impl Admin {
    /// All options of each resource. Options of one broker are asked of that
    /// broker, at `at`; everything else can be asked of any.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        at: Option<&BrokerAddress>,
    ) -> Result<BTreeMap<ConfigResource, Result<BTreeMap<String, ConfigEntry>, Refusal>>, AdminError>
    {
        let request = |_| {
            let asked = resources.iter().map(|resource| {
                DescribeConfigsResource::default()
                    .with_resource_type(resource.code())
                    .with_resource_name(text(&resource.name()))
                    .with_configuration_keys(None)
            });
            DescribeConfigsRequest::default().with_resources(asked.collect())
        };
        let response = match at {
            Some(broker) => self.call_at(broker, request, |_| Ok(())).await?,
            None => self.call(request, |_| Ok(())).await?,
        };
        let mut results = BTreeMap::new();
        for result in response.results {
            let name = result.resource_name.as_str();
            let Some(resource) = ConfigResource::read(result.resource_type, name) else {
                continue;
            };
            let entries = || {
                let entries = result.configs.iter().map(|config| {
                    let entry = ConfigEntry {
                        value: config.value.as_ref().map(ToString::to_string),
                        source: config.config_source.into(),
                        read_only: config.read_only,
                    };
                    (config.name.to_string(), entry)
                });
                entries.collect()
            };
            let checked = Refusal::check(result.error_code, result.error_message.as_ref());
            results.insert(resource, checked.map(|()| entries()));
        }
        Ok(results)
    }

    /// Changes options of each resource; either all of a resource's or none.
    /// Options of one broker are told that broker, at `at`; everything else can
    /// be told any.
    pub async fn alter_configs(
        &self,
        changes: &BTreeMap<ConfigResource, BTreeMap<String, ConfigChange>>,
        at: Option<&BrokerAddress>,
    ) -> Result<BTreeMap<ConfigResource, Result<(), Refusal>>, AdminError> {
        let request = |_| {
            let resources = changes.iter().map(|(resource, changes)| {
                AlterConfigsResource::default()
                    .with_resource_type(resource.code())
                    .with_resource_name(text(&resource.name()))
                    .with_configs(changes.iter().map(alterable).collect())
            });
            IncrementalAlterConfigsRequest::default().with_resources(resources.collect())
        };
        let check = |r: &IncrementalAlterConfigsResponse| {
            not_controller(r.responses.iter().map(|r| r.error_code))
        };
        let response = match at {
            Some(broker) => self.call_at(broker, request, check).await?,
            None => self.call(request, check).await?,
        };
        let results = response.responses.iter().filter_map(|r| {
            let resource = ConfigResource::read(r.resource_type, &r.resource_name)?;
            let result = Refusal::check(r.error_code, r.error_message.as_ref());
            Some((resource, result))
        });
        Ok(results.collect())
    }
}

fn alterable((name, change): (&String, &ConfigChange)) -> AlterableConfig {
    let (operation, value) = match change {
        ConfigChange::Set(value) => (SET, Some(text(value))),
        ConfigChange::Delete => (DELETE, None),
    };
    AlterableConfig::default()
        .with_name(text(name))
        .with_config_operation(operation)
        .with_value(value)
}
