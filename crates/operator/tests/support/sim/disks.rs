//! The disks of the simulated brokers: what is on which, and what they say of it.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages as k;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
};
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};

use super::kafka::Kafka;
use super::wire::text;

const INVALID_ASSIGNMENT: i16 = 39;
const LOG_DIR_NOT_FOUND: i16 = 57;

/// Disks of brokers, and what is on them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disks {
    /// Those beside the first that each broker's pod has.
    mounted: BTreeMap<u32, BTreeSet<u32>>,
    /// On which disk a broker has a partition.
    places: BTreeMap<(u32, String, usize), u32>,
    /// What pods were made without.
    pub(crate) lost: Vec<String>,
}

fn path(disk: u32) -> String {
    if disk == 0 {
        "/data/log".to_owned()
    } else {
        format!("/data-{disk}/log-{disk}")
    }
}

// === impl Disks ===

impl Disks {
    fn of(&self, broker: u32) -> BTreeSet<u32> {
        let mounted = self.mounted.get(&broker).into_iter().flatten();
        mounted.copied().chain([0]).collect()
    }

    /// How many replicas are on a broker's disk.
    pub(crate) fn on(&self, broker: u32, disk: u32) -> usize {
        let places = self.places.iter();
        let here = places.filter(|((at, ..), on)| *at == broker && **on == disk);
        here.count()
    }
}

// === impl Kafka ===

impl Kafka {
    /// A broker starts with these disks beside the first.
    pub(crate) fn mount(&mut self, broker: u32, disks: BTreeSet<u32>) {
        self.place(broker);
        self.disks.mounted.insert(broker, disks);
        let there = self.disks.of(broker);
        let disks = &mut self.disks;
        disks.places.retain(|(at, topic, index), disk| {
            let stays = *at != broker || there.contains(disk);
            if !stays {
                let what =
                    format!("broker {at} was made without disk {disk}, with {topic}-{index}");
                disks.lost.push(what);
            }
            stays
        });
    }

    /// Every replica of a broker is on one of its disks, new ones where least is.
    fn place(&mut self, broker: u32) {
        let partitions = self.topics.iter().flat_map(|(name, topic)| {
            let partitions = topic.partitions.iter().enumerate();
            let here = partitions.filter(|(_, p)| p.replicas.contains(&broker));
            here.map(|(index, _)| (broker, name.clone(), index))
        });
        let has: BTreeSet<_> = partitions.collect();
        let disks = &mut self.disks;
        disks
            .places
            .retain(|place, _| place.0 != broker || has.contains(place));
        let cordoned = self.options.get(&Some(broker));
        let cordoned = cordoned.and_then(|options| options.get("cordoned.log.dirs"));
        let cordoned = cordoned.map_or("", String::as_str);
        let is_open = |disk: &u32| !cordoned.split(',').any(|dir| dir == path(*disk));
        for place in has {
            if !disks.places.contains_key(&place) {
                let open = disks.of(broker).into_iter().filter(is_open);
                let least = open.min_by_key(|disk| disks.on(broker, *disk));
                disks.places.insert(place, least.unwrap_or(0));
            }
        }
    }
}

pub(crate) fn describe_log_dirs(
    kafka: &mut Kafka,
    _: &k::DescribeLogDirsRequest,
    refusal: Option<i16>,
) -> k::DescribeLogDirsResponse {
    let broker = kafka.asked;
    kafka.place(broker);
    let dirs = kafka.disks.of(broker).into_iter().map(|disk| {
        let places = kafka.disks.places.iter();
        let here = places.filter(|((at, ..), on)| *at == broker && **on == disk);
        let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
        for ((_, topic, index), _) in here {
            let partition = DescribeLogDirsPartition::default()
                .with_partition_index(*index as i32)
                .with_partition_size(1000);
            topics.entry(topic).or_default().push(partition);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            DescribeLogDirsTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions)
        });
        DescribeLogDirsResult::default()
            .with_log_dir(text(&path(disk)))
            .with_topics(topics.collect())
    });
    k::DescribeLogDirsResponse::default()
        .with_error_code(refusal.unwrap_or(0))
        .with_results(dirs.collect())
}

/// Replicas are on the other disk at once.
pub(crate) fn move_between_disks(
    kafka: &mut Kafka,
    request: &k::AlterReplicaLogDirsRequest,
    refusal: Option<i16>,
) -> k::AlterReplicaLogDirsResponse {
    let broker = kafka.asked;
    let mut results = Vec::new();
    for dir in &request.dirs {
        let disks = kafka.disks.of(broker).into_iter();
        let to = disks
            .into_iter()
            .find(|disk| path(*disk) == dir.path.as_str());
        for topic in &dir.topics {
            let partitions = topic.partitions.iter().map(|index| {
                let place = (broker, topic.name.to_string(), *index as usize);
                let code = match (refusal, to) {
                    (Some(code), _) => code,
                    (None, None) => LOG_DIR_NOT_FOUND,
                    (None, Some(to)) => match kafka.disks.places.get_mut(&place) {
                        None => INVALID_ASSIGNMENT,
                        Some(disk) => {
                            *disk = to;
                            0
                        }
                    },
                };
                AlterReplicaLogDirPartitionResult::default()
                    .with_partition_index(*index)
                    .with_error_code(code)
            });
            let partitions = partitions.collect();
            results.push(
                AlterReplicaLogDirTopicResult::default()
                    .with_topic_name(topic.name.clone())
                    .with_partitions(partitions),
            );
        }
    }
    k::AlterReplicaLogDirsResponse::default().with_results(results)
}
