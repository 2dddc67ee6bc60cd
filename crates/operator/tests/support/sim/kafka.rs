//! A Kafka cluster that is simulated: which brokers are up, who has which
//! replica and is in sync, who votes, which ACLs and options there are.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::disks::Disks;

/// `min.insync.replicas` of topics that say nothing else.
const MIN_IN_SYNC: usize = 2;

/// One node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) up: bool,
    pub(crate) broker: bool,
    pub(crate) controller: bool,
    /// Of the folder that its metadata is in: another one on another volume.
    pub(crate) directory: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) replicas: Vec<u32>,
    pub(crate) in_sync: BTreeSet<u32>,
    pub(crate) leader: Option<u32>,
    /// Where it is moving to.
    pub(crate) target: Option<Vec<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) id: Uuid,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) config: BTreeMap<String, String>,
}

/// An ACL: resource type, pattern, operation, permission, name, principal, host.
pub(crate) type Acl = (i8, i8, i8, i8, String, String, String);

/// The cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kafka {
    pub(crate) nodes: BTreeMap<u32, Node>,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) acls: BTreeSet<Acl>,
    pub(crate) voters: BTreeSet<u32>,
    pub(crate) active: Option<u32>,
    pub(crate) epoch: i32,
    /// Options that are set while brokers run, by broker; `None` is all of them.
    pub(crate) options: BTreeMap<Option<u32>, BTreeMap<String, String>>,
    /// All values that options of brokers have had, as `name=value`.
    pub(crate) ever: BTreeSet<String>,
    /// Brokers that have ever registered and were not unregistered.
    pub(crate) registered: BTreeSet<u32>,
    /// Features that were brought to a level; `metadata.version` begins at the newest.
    pub(crate) features: BTreeMap<String, i16>,
    /// Their disks.
    pub(crate) disks: Disks,
    /// The broker that is being asked.
    pub(crate) asked: u32,
    /// What was made and taken away, and how often.
    pub(crate) effects: BTreeMap<String, u32>,
    next_id: u128,
}

// === impl Partition ===

impl Partition {
    /// Ends a move whose replicas have all arrived; whether it did.
    fn arrive(&mut self) -> bool {
        let all_there = |target: &Vec<u32>| target.iter().all(|id| self.in_sync.contains(id));
        if !self.target.as_ref().is_some_and(all_there) {
            return false;
        }
        self.replicas = self.target.take().unwrap_or_default();
        self.in_sync.retain(|id| self.replicas.contains(id));
        if self.leader.is_none_or(|id| !self.replicas.contains(&id)) {
            self.leader = self.replicas.first().copied();
        }
        true
    }
}

// === impl Topic ===

impl Topic {
    pub(crate) fn min_in_sync(&self) -> usize {
        let option = self.config.get("min.insync.replicas");
        option
            .and_then(|text| text.parse().ok())
            .unwrap_or(MIN_IN_SYNC)
    }
}

// === impl Kafka ===

impl Kafka {
    /// The topics, with each partition's followers by number: which of them comes
    /// first is of no account, unlike which replica is the preferred leader.
    pub(crate) fn placed(&self) -> BTreeMap<String, Topic> {
        let mut topics = self.topics.clone();
        for partition in topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            if let Some((_, followers)) = partition.replicas.split_first_mut() {
                followers.sort_unstable();
            }
        }
        topics
    }

    /// A node is up and has joined; its replicas catch up at the next [`Kafka::step`].
    pub(crate) fn start(&mut self, id: u32, broker: bool, controller: bool, directory: Uuid) {
        let before = self.nodes.get(&id).map(|node| node.directory);
        let node = Node {
            up: true,
            broker,
            controller,
            directory,
        };
        self.nodes.insert(id, node);
        if broker {
            self.registered.insert(id);
        }
        if before.is_some_and(|before| before != directory) {
            self.forget(id);
        }
        self.settle_quorum();
        for partition in self.partitions() {
            if partition.leader.is_none() && partition.in_sync.contains(&id) {
                partition.leader = Some(id);
            }
        }
    }

    /// A node is gone: what it led is led by others, and it is in sync no more.
    pub(crate) fn stop(&mut self, id: u32) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.up = false;
        }
        let up = self.up();
        for partition in self.partitions() {
            if partition.in_sync.len() > 1 {
                partition.in_sync.remove(&id);
            }
            if partition.leader == Some(id) {
                let mut heirs = partition.replicas.iter();
                partition.leader = heirs
                    .find(|heir| partition.in_sync.contains(heir) && up.contains(heir))
                    .copied();
            }
        }
        self.settle_quorum();
    }

    /// Lets replicas catch up; whether any had to.
    pub(crate) fn step(&mut self) -> bool {
        let up = self.up();
        let mut moved = false;
        for partition in self.partitions() {
            if partition.leader.is_none() {
                continue;
            }
            for id in partition.replicas.clone() {
                if up.contains(&id) && partition.in_sync.insert(id) {
                    moved = true;
                }
            }
            moved |= partition.arrive();
        }
        moved
    }

    /// Begins a move; nothing is done to a partition that is there already.
    pub(crate) fn reassign(&mut self, topic: &str, index: usize, target: Vec<u32>) -> bool {
        let found = self.topics.get_mut(topic);
        let Some(partition) = found.and_then(|t| t.partitions.get_mut(index)) else {
            return false;
        };
        let old = partition.replicas.clone();
        partition.replicas.clone_from(&target);
        let leaving = old.into_iter().filter(|id| !target.contains(id));
        partition.replicas.extend(leaving);
        partition.target = Some(target);
        true
    }

    /// The voter's vote goes; false if it has none.
    pub(crate) fn remove_voter(&mut self, id: u32) -> bool {
        let voted = self.voters.remove(&id);
        if voted {
            self.count(format!("remove voter {id}"));
            if self.active == Some(id) {
                self.active = None;
            }
            self.settle_quorum();
        }
        voted
    }

    /// The controller gets a vote; false if it has one.
    pub(crate) fn add_voter(&mut self, id: u32) -> bool {
        let new = self.voters.insert(id);
        if new {
            self.count(format!("add voter {id}"));
        }
        new
    }

    /// Everything that a node had is gone with its volume.
    fn forget(&mut self, id: u32) {
        let up = self.up();
        for partition in self.partitions() {
            if partition.in_sync.len() > 1 {
                partition.in_sync.remove(&id);
            }
            if partition.leader == Some(id) {
                let heirs = partition.in_sync.intersection(&up);
                partition.leader = heirs.copied().next();
            }
        }
    }

    /// Makes a topic; its id, or none if there is one of the name.
    pub(crate) fn create_topic(
        &mut self,
        name: &str,
        partitions: usize,
        replicas: usize,
        config: BTreeMap<String, String>,
    ) -> Option<Uuid> {
        if self.topics.contains_key(name) {
            return None;
        }
        self.next_id += 1;
        let id = Uuid::from_u128(self.next_id);
        let topic = Topic {
            id,
            partitions: (0..partitions)
                .map(|index| self.partition(index, replicas))
                .collect(),
            config,
        };
        self.topics.insert(name.to_owned(), topic);
        self.count(format!("create topic {name}"));
        Some(id)
    }

    pub(crate) fn delete_topic(&mut self, id: Uuid) -> bool {
        let found = self.topics.iter().find(|(_, topic)| topic.id == id);
        let Some(name) = found.map(|(name, _)| name.clone()) else {
            return false;
        };
        self.topics.remove(&name);
        self.count(format!("delete topic {name}"));
        true
    }

    /// Brings a topic to so many partitions; false if it has them already.
    pub(crate) fn add_partitions(&mut self, name: &str, count: usize) -> bool {
        let Some(topic) = self.topics.get(name) else {
            return false;
        };
        let has = topic.partitions.len();
        let replicas = topic.partitions.first().map_or(1, |p| p.replicas.len());
        if has >= count {
            return false;
        }
        let new: Vec<_> = (has..count).map(|i| self.partition(i, replicas)).collect();
        if let Some(topic) = self.topics.get_mut(name) {
            topic.partitions.extend(new);
        }
        self.count(format!("add partitions {name}"));
        true
    }

    pub(crate) fn elect(&mut self, topic: &str, index: usize) {
        let up = self.up();
        let found = self.topics.get_mut(topic);
        let Some(partition) = found.and_then(|t| t.partitions.get_mut(index)) else {
            return;
        };
        let preferred = partition.replicas.first().copied();
        if let Some(id) = preferred.filter(|id| partition.in_sync.contains(id) && up.contains(id)) {
            partition.leader = Some(id);
        }
    }

    /// Partitions that are below their minimum, or would not be if they had one to
    /// spare, with how many replicas of each are up and in sync.
    pub(crate) fn below_minimum(&self) -> BTreeMap<String, usize> {
        let up = self.up();
        let mut below = BTreeMap::new();
        for (name, topic) in &self.topics {
            for (index, partition) in topic.partitions.iter().enumerate() {
                let spare = partition.replicas.len().saturating_sub(1);
                let floor = topic.min_in_sync().min(spare);
                let live = partition.in_sync.intersection(&up).count();
                if live < floor {
                    below.insert(format!("{name}-{index} of {floor}"), live);
                }
            }
        }
        below
    }

    /// Whether a majority of the voters is up.
    pub(crate) fn has_quorum(&self) -> bool {
        let up = self.up();
        self.voters.is_empty() || self.voters.intersection(&up).count() > self.voters.len() / 2
    }

    /// Replicas on a node.
    pub(crate) fn replicas_on(&self, id: u32) -> usize {
        let topics = self.topics.values();
        let partitions = topics.flat_map(|topic| &topic.partitions);
        partitions.filter(|p| p.replicas.contains(&id)).count()
    }

    pub(crate) fn up(&self) -> BTreeSet<u32> {
        let up = self.nodes.iter().filter(|(_, node)| node.up);
        up.map(|(id, _)| *id).collect()
    }

    pub(crate) fn count(&mut self, effect: String) {
        *self.effects.entry(effect).or_default() += 1;
    }

    fn brokers(&self) -> Vec<u32> {
        let open = |id: &u32| {
            let options = self.options.get(&Some(*id));
            !options.is_some_and(|options| options.contains_key("cordoned.log.dirs"))
        };
        let brokers = self.nodes.iter().filter(|(_, node)| node.broker && node.up);
        brokers.map(|(id, _)| *id).filter(open).collect()
    }

    fn partition(&self, index: usize, replicas: usize) -> Partition {
        let brokers = self.brokers();
        let count = replicas.min(brokers.len());
        let at = |offset: usize| brokers[(index + offset) % brokers.len()];
        let replicas: Vec<u32> = (0..count).map(at).collect();
        Partition {
            in_sync: replicas.iter().copied().collect(),
            leader: replicas.first().copied(),
            replicas,
            target: None,
        }
    }

    fn settle_quorum(&mut self) {
        let up = self.up();
        let stays = self.active.is_some_and(|id| up.contains(&id));
        if !self.has_quorum() {
            self.active = None;
        } else if !stays {
            self.active = self.voters.intersection(&up).next().copied();
            self.epoch += 1;
        }
    }

    fn partitions(&mut self) -> impl Iterator<Item = &mut Partition> {
        let topics = self.topics.values_mut();
        topics.flat_map(|topic| topic.partitions.iter_mut())
    }
}
