//! What Kafka says about itself, as far as plans depend on it.

use std::collections::BTreeSet;
use std::fmt;

/// What Kafka says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Every partition of the cluster. One that is left out is one that a batch
    /// may take all replicas of.
    pub partitions: Vec<Partition>,
    /// The metadata quorum, as its leader describes it.
    pub quorum: Quorum,
}

/// A partition's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId {
    /// The topic's name.
    pub topic: String,
    /// The partition's number in it.
    pub index: i32,
}

/// One partition's replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// Which one it is.
    pub id: PartitionId,
    /// Brokers that hold it, the preferred leader first.
    pub replicas: Vec<u32>,
    /// Those of them that are in sync.
    pub in_sync: BTreeSet<u32>,
    /// The broker that leads it, if one does.
    pub leader: Option<u32>,
    /// How many must be in sync for producers with `acks=all`.
    pub min_in_sync: usize,
}

/// The metadata quorum.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quorum {
    /// The active controller; `None` while there is none.
    pub leader: Option<u32>,
    /// Nodes that vote.
    pub voters: BTreeSet<u32>,
    /// Voters that have fetched lately, the leader among them.
    pub caught_up: BTreeSet<u32>,
}

// === impl Health ===

impl Health {
    /// The first partition that cannot spare this broker.
    pub fn partition_that_needs(&self, broker: u32) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.needs(broker))
    }

    /// Whether every partition has all of its replicas in sync.
    pub fn is_whole(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.all(|partition| partition.in_sync.len() >= partition.replicas.len())
    }

    /// The first partition that this broker, in sync, keeps above its minimum.
    pub fn partition_that_counts_on(&self, broker: u32) -> Option<&Partition> {
        self.partitions
            .iter()
            .find(|partition| partition.counts_on(broker))
    }
}

// === impl PartitionId ===

impl PartitionId {
    /// The partition of this number in this topic.
    pub fn new(topic: impl Into<String>, index: i32) -> Self {
        Self {
            topic: topic.into(),
            index,
        }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

// === impl Partition ===

impl Partition {
    /// Whether stopping this broker takes the partition below its minimum, or
    /// delays its way back to it.
    pub fn needs(&self, broker: u32) -> bool {
        let floor = self.floor();
        // The common case, and there may be a hundred thousand of them.
        if self.in_sync.len() > floor || !self.replicas.contains(&broker) {
            return false;
        }
        self.in_sync.iter().filter(|id| **id != broker).count() < floor
    }

    /// Whether stopping all of these brokers at once takes the partition below
    /// its minimum, or delays its way back to it.
    pub fn needs_any(&self, brokers: &BTreeSet<u32>) -> bool {
        if !self.replicas.iter().any(|id| brokers.contains(id)) {
            return false;
        }
        self.in_sync.difference(brokers).count() < self.floor()
    }

    /// Whether the broker is in sync, and the partition would be below its
    /// minimum without it. A partition that nobody leads has nothing to lose: the
    /// last replica stays in sync by name when its broker is dead.
    pub fn counts_on(&self, broker: u32) -> bool {
        self.leader.is_some() && self.in_sync.contains(&broker) && self.needs(broker)
    }

    /// The broker that leads when all are in sync.
    pub fn preferred(&self) -> Option<u32> {
        self.replicas.first().copied()
    }

    /// How many replicas stay in sync whatever is planned: the minimum, or all
    /// but one where even a partition that is whole has none to spare. No order
    /// of restarts could keep such a partition above its minimum, and it is not
    /// to block the roll that mends it.
    pub fn floor(&self) -> usize {
        let spare = self.replicas.len().saturating_sub(1);
        self.min_in_sync.min(spare)
    }
}

// === impl Quorum ===

impl Quorum {
    /// Whether the quorum goes on when this node stops.
    ///
    /// With three voters or more, a majority of them must be caught up without
    /// it. With two the other one must be; with one the gap cannot be avoided.
    pub fn spares(&self, node: u32) -> bool {
        if !self.voters.contains(&node) {
            return true;
        }
        let others = self.voters.len() - 1;
        let caught_up = self
            .caught_up
            .iter()
            .filter(|id| **id != node && self.voters.contains(id))
            .count();
        let needed = if others < 2 {
            others
        } else {
            self.voters.len() / 2 + 1
        };
        self.leader.is_some() && caught_up >= needed
    }

    /// Whether the node is caught up, and the quorum would be lost without it.
    pub fn counts_on(&self, node: u32) -> bool {
        self.caught_up.contains(&node) && !self.spares(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(replicas: &[u32], in_sync: &[u32], min: usize) -> Partition {
        Partition {
            id: PartitionId::new("t", 0),
            replicas: replicas.to_vec(),
            in_sync: in_sync.iter().copied().collect(),
            leader: in_sync.first().copied(),
            min_in_sync: min,
        }
    }

    #[test]
    fn a_partition_needs_the_brokers_it_could_not_lose() {
        let whole = partition(&[0, 1, 2], &[0, 1, 2], 2);
        assert!(!whole.needs(0));
        assert!(whole.needs_any(&[0, 1].into()));
        let at_minimum = partition(&[0, 1, 2], &[0, 1], 2);
        assert!(at_minimum.needs(0));
        assert!(!at_minimum.needs(2), "it is out already");
        assert!(!at_minimum.needs(7), "it holds nothing of it");
        let below = partition(&[0, 1, 2], &[0], 2);
        assert!(below.needs(2), "it may be the first to come back");
        assert!(!below.counts_on(2), "it is out already");
        assert!(below.counts_on(0));
        let dead = Partition {
            leader: None,
            ..below
        };
        assert!(!dead.counts_on(0), "it is in sync, and gone");
    }

    #[test]
    fn a_partition_without_spare_replicas_loses_one_at_a_time() {
        assert!(!partition(&[0], &[0], 1).needs(0));
        assert!(!partition(&[0], &[0], 2).needs(0));
        assert!(!partition(&[0, 1], &[0, 1], 2).needs(1));
        assert!(partition(&[0, 1], &[0], 2).needs(0), "nobody would be left");
    }

    #[test]
    fn one_replica_that_is_behind_is_enough_not_to_be_whole() {
        let of = |partitions| Health {
            partitions,
            quorum: Quorum::default(),
        };
        let (whole, behind) = (partition(&[0, 1], &[0, 1], 1), partition(&[0, 1], &[0], 1));
        assert!(of(vec![]).is_whole());
        assert!(of(vec![whole.clone()]).is_whole());
        assert!(!of(vec![whole, behind]).is_whole());
    }

    #[test]
    fn a_quorum_spares_who_leaves_a_majority() {
        let quorum = |voters: u32, caught_up: &[u32]| Quorum {
            leader: Some(caught_up[0]),
            voters: (0..voters).collect(),
            caught_up: caught_up.iter().copied().collect(),
        };
        assert!(quorum(1, &[0]).spares(0));
        assert!(quorum(2, &[0, 1]).spares(0));
        assert!(!quorum(2, &[0]).spares(0));
        assert!(quorum(3, &[0, 1, 2]).spares(0));
        assert!(!quorum(3, &[0, 1]).spares(0));
        assert!(quorum(3, &[0, 1]).spares(2));
        assert!(quorum(3, &[0, 1]).spares(9), "not a voter");
        assert!(
            !quorum(4, &[0, 1, 2]).spares(0),
            "two of four are no majority"
        );
        let leaderless = Quorum {
            leader: None,
            ..quorum(3, &[0, 1, 2])
        };
        assert!(!leaderless.spares(0));
    }

    #[test]
    fn a_quorum_counts_on_the_caught_up_only() {
        let two_of_three = Quorum {
            leader: Some(0),
            voters: (0..3).collect(),
            caught_up: [0, 1].into(),
        };
        assert!(two_of_three.counts_on(1));
        assert!(!two_of_three.counts_on(2));
    }
}
