//! What is to be done about one topic. Pure.

use std::collections::BTreeMap;

use tubeway_api::KafkaTopic;
use tubeway_policy::{TopicNameError, check_topic_name};
use uuid::Uuid;

use crate::kafka_admin::{ConfigChange, ConfigEntry, ConfigSource, NewTopic, TopicDescription};

/// Options that tools set while they move replicas. They come and go by
/// themselves, and taking them away would let the move take all bandwidth.
const TRANSIENT: [&str; 2] = [
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
];

/// Why a spec cannot be a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    /// No object can stand for a topic of this name.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// An option's value is neither text nor number nor boolean.
    #[error("spec.config.{0} is not allowed: the value must be a string, a number or a boolean")]
    Config(String),
    /// No topic has so few or so many.
    #[error("spec.{field} is {value}; it must be from 1 to {max}")]
    Range {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: i32,
        /// What it may say at most.
        max: i32,
    },
}

/// A topic that can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedTopic {
    /// The name in Kafka.
    pub name: String,
    /// How many partitions, where that matters.
    pub partitions: Option<i32>,
    /// How many replicas, where that matters.
    pub replicas: Option<i16>,
    /// Options of its own.
    pub config: BTreeMap<String, String>,
}

/// A topic that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActualTopic {
    /// Its partitions and id.
    pub topic: TopicDescription,
    /// All its options.
    pub config: BTreeMap<String, ConfigEntry>,
}

/// What to do about a topic that is; with nothing in any field, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Bring it to so many partitions.
    pub partitions: Option<i32>,
    /// Options to set, or to give back to the cluster's default.
    pub config: BTreeMap<String, ConfigChange>,
    /// What the spec wants and Kafka cannot do, in words for its author.
    pub unsupported: Vec<String>,
}

/// What a status tells of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Kafka's id.
    pub id: Uuid,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas the first of them has.
    pub replicas: i32,
}

// === impl WantedTopic ===

impl WantedTopic {
    /// Checks what a schema has let through, or has not seen.
    pub fn of(topic: &KafkaTopic) -> Result<Self, InvalidTopic> {
        let name = topic.topic_name();
        check_topic_name(&name)?;
        let spec = &topic.spec;
        let partitions = in_range("partitions", spec.partitions, 100_000)?;
        let replicas = in_range("replicas", spec.replicas, 1000)?;
        let config = spec.config.iter().map(|(option, value)| {
            let text = value.text();
            let text = text.ok_or_else(|| InvalidTopic::Config(option.clone()))?;
            Ok((option.clone(), text))
        });
        Ok(Self {
            name,
            partitions,
            replicas: replicas.and_then(|n| i16::try_from(n).ok()),
            config: config.collect::<Result<_, InvalidTopic>>()?,
        })
    }

    /// What to create, where there is no such topic.
    pub fn creation(&self) -> NewTopic {
        NewTopic {
            name: self.name.clone(),
            partitions: self.partitions,
            replicas: self.replicas,
            config: self.config.clone(),
        }
    }

    /// What to do about the topic as it is.
    pub fn change(&self, actual: &ActualTopic) -> Change {
        let has = actual.observed();
        let mut unsupported = Vec::new();
        if let Some(wanted) = self.partitions.filter(|n| *n < has.partitions) {
            unsupported.push(format!(
                "the topic has {} partitions and Kafka cannot take any away: set spec.partitions to {0} (not {wanted}), or make another topic",
                has.partitions
            ));
        }
        Change {
            partitions: self.partitions.filter(|n| *n > has.partitions),
            config: self.config_changes(&actual.config),
            unsupported,
        }
    }

    fn config_changes(
        &self,
        actual: &BTreeMap<String, ConfigEntry>,
    ) -> BTreeMap<String, ConfigChange> {
        let own = |name: &String| {
            let entry = actual.get(name)?;
            (entry.source == ConfigSource::Topic).then_some(entry)
        };
        let set = self.config.iter().filter(|(name, value)| {
            // A value that only happens to be the default is set all the same:
            // it must stay when the default becomes another.
            let now = own(name).and_then(|entry| entry.value.as_ref());
            now.is_none_or(|now| !same_value(now, value))
        });
        let set = set.map(|(name, value)| (name.clone(), ConfigChange::Set(value.clone())));
        let delete = actual.keys().filter(|name| {
            own(name).is_some()
                && !self.config.contains_key(*name)
                && !TRANSIENT.contains(&name.as_str())
        });
        let delete = delete.map(|name| (name.clone(), ConfigChange::Delete));
        set.chain(delete).collect()
    }
}

// === impl ActualTopic ===

impl ActualTopic {
    /// For the status.
    pub fn observed(&self) -> Observed {
        let partitions = &self.topic.partitions;
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        Observed {
            id: self.topic.id,
            partitions: count(partitions.len()),
            replicas: partitions.first().map_or(0, |p| count(p.replicas.len())),
        }
    }
}

fn in_range(
    field: &'static str,
    value: Option<i32>,
    max: i32,
) -> Result<Option<i32>, InvalidTopic> {
    match value {
        Some(value) if !(1..=max).contains(&value) => {
            Err(InvalidTopic::Range { field, value, max })
        }
        value => Ok(value),
    }
}

/// Whether two texts are one value to Kafka, which writes back what it has read:
/// numbers and booleans in their shortest form, lists without spaces. Taking
/// these for changes would write the same again every minute.
fn same_value(now: &str, wanted: &str) -> bool {
    let (now, wanted) = (now.trim(), wanted.trim());
    if now == wanted {
        return true;
    }
    if let (Ok(now), Ok(wanted)) = (now.parse::<i64>(), wanted.parse::<i64>()) {
        return now == wanted;
    }
    if let (Ok(now), Ok(wanted)) = (now.parse::<f64>(), wanted.parse::<f64>()) {
        return now.total_cmp(&wanted).is_eq();
    }
    let boolean = |text: &str| text.to_ascii_lowercase().parse::<bool>().ok();
    if let (Some(now), Some(wanted)) = (boolean(now), boolean(wanted)) {
        return now == wanted;
    }
    now.split(',')
        .map(str::trim)
        .eq(wanted.split(',').map(str::trim))
}

#[cfg(test)]
mod tests;
