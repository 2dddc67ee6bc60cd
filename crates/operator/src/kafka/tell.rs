//! What a cluster is told, through Kafka's own protocol.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{ElectLeadersRequest, TopicName};
use tubeway_config::ports;
use tubeway_planner::reassign::ThrottlePlan;
use tubeway_planner::{Directory, PartitionId, VoterChange};
use uuid::Uuid;

use super::look::{THROTTLED_FOLLOWERS, THROTTLED_LEADERS};
use super::survey::{ALL, CORDONED, THROTTLED_RATES};
use super::{Order, TellError, address};
use crate::kafka_admin::{
    Admin, AdminError, BrokerAddress, ConfigChange, ConfigResource, Entry, Refusal,
};

/// Partitions whose leaders are elected, or that begin to move, at one time.
const PARTITIONS_AT_ONCE: usize = 1000;
/// How long a broker may take to see elections through.
const ELECTION: Duration = Duration::from_secs(5);
const PREFERRED: i8 = 0;

type Changes = BTreeMap<ConfigResource, BTreeMap<String, ConfigChange>>;

/// Carries an order out.
pub(super) async fn tell(entry: &Entry, order: &Order) -> Result<(), TellError> {
    let admin = &entry.admin;
    match order {
        Order::Elect(partitions) => {
            for partitions in partitions.chunks(PARTITIONS_AT_ONCE) {
                elect(admin, partitions).await?;
            }
        }
        Order::Cordon { broker, cordoned } => {
            let dirs = cordoned.then(|| ALL.to_owned());
            cordon(entry, *broker, dirs).await?;
        }
        Order::CordonDisks { broker, dirs } => {
            let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
            cordon(entry, *broker, (!dirs.is_empty()).then(|| dirs.join(","))).await?;
        }
        Order::Vote(change) => vote(entry, *change).await?,
        Order::Unregister(broker) => admin.unregister_broker(number(*broker)).await?,
        Order::Reassign(changes) => {
            for changes in changes.chunks(PARTITIONS_AT_ONCE) {
                admin.reassign(changes).await?;
            }
        }
        Order::Throttle(plan) => throttle(entry, plan).await?,
        Order::MoveBetweenDisks { broker, moves } => {
            let at = address(entry, *broker).ok_or(TellError::NoBroker(*broker))?;
            admin.move_between_disks(&at, moves).await?;
        }
        Order::Defaults(changes) => {
            let changes = [(ConfigResource::AllBrokers, changes.clone())];
            alter(admin, &changes.into(), None).await?;
        }
        Order::Feature { name, level, down } => {
            admin.update_feature(name, *level, *down).await?;
        }
    }
    Ok(())
}

async fn cordon(entry: &Entry, broker: u32, dirs: Option<String>) -> Result<(), TellError> {
    let at = address(entry, broker).ok_or(TellError::NoBroker(broker))?;
    let change = dirs.map_or(ConfigChange::Delete, ConfigChange::Set);
    let change = [(CORDONED.to_owned(), change)].into();
    let changes = [(ConfigResource::Broker(number(broker)), change)];
    alter(&entry.admin, &changes.into(), Some(&at)).await?;
    Ok(())
}

async fn vote(entry: &Entry, change: VoterChange) -> Result<(), TellError> {
    let uuid = |Directory(id): Directory| Uuid::from_u128(id);
    match change {
        VoterChange::Add { id, directory } => {
            let at = address(entry, id).ok_or(TellError::NoBroker(id))?;
            let at = BrokerAddress::new(at.host, ports::CONTROLLER);
            let admin = &entry.admin;
            admin.add_voter(number(id), uuid(directory), &at).await?;
        }
        VoterChange::Remove { id, directory } => {
            let admin = &entry.admin;
            admin.remove_voter(number(id), uuid(directory)).await?;
        }
    }
    Ok(())
}

/// Sets rates before the replicas that they are for, and takes them away after
/// these, so that a crash in between holds nobody back for long.
async fn throttle(entry: &Entry, plan: &ThrottlePlan) -> Result<(), TellError> {
    let admin = &entry.admin;
    for (broker, rate) in &plan.set.brokers {
        rates(entry, *broker, &ConfigChange::Set(rate.to_string())).await?;
    }
    let set = plan.set.topics.iter().map(|(topic, throttle)| {
        let (leaders, followers) = throttle.values();
        let changes = [
            (THROTTLED_LEADERS, ConfigChange::Set(leaders)),
            (THROTTLED_FOLLOWERS, ConfigChange::Set(followers)),
        ];
        (topic, changes)
    });
    let clear = plan.clear.topics.iter().map(|topic| {
        let changes = [THROTTLED_LEADERS, THROTTLED_FOLLOWERS].map(|o| (o, ConfigChange::Delete));
        (topic, changes)
    });
    let topics: Changes = set
        .chain(clear)
        .map(|(topic, changes)| {
            let changes = changes.map(|(option, change)| (option.to_owned(), change));
            (ConfigResource::Topic(topic.clone()), changes.into())
        })
        .collect();
    if !topics.is_empty() {
        alter(admin, &topics, None).await?;
    }
    for broker in &plan.clear.brokers {
        rates(entry, *broker, &ConfigChange::Delete).await?;
    }
    Ok(())
}

/// Changes what a broker sends and receives at most.
async fn rates(entry: &Entry, broker: u32, change: &ConfigChange) -> Result<(), TellError> {
    // One that is away moves nothing, and is told when it is back.
    let Some(at) = address(entry, broker) else {
        return Ok(());
    };
    let changes = THROTTLED_RATES.map(|option| (option.to_owned(), change.clone()));
    let changes = [(ConfigResource::Broker(number(broker)), changes.into())];
    alter(&entry.admin, &changes.into(), Some(&at)).await?;
    Ok(())
}

/// Changes options; a topic that is gone by now is no error.
async fn alter(
    admin: &Admin,
    changes: &Changes,
    at: Option<&BrokerAddress>,
) -> Result<(), AdminError> {
    for result in admin.alter_configs(changes, at).await?.into_values() {
        match result {
            Err(refusal) if refusal.error == ResponseError::UnknownTopicOrPartition => {}
            Err(refusal) => {
                return Err(AdminError::Refused {
                    api: "IncrementalAlterConfigs",
                    refusal,
                });
            }
            Ok(()) => {}
        }
    }
    Ok(())
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

fn number(id: u32) -> i32 {
    i32::try_from(id).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
