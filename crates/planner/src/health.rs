//! What Kafka says about itself, as far as plans depend on it.

use std::collections::BTreeSet;

/// What Kafka says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Every partition of the cluster, or at least each that is not wholly in
    /// sync or could not spare a replica.
    pub partitions: Vec<Partition>,
    /// The metadata quorum, as its leader describes it.
    pub quorum: Quorum,
}

/// One partition's replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// `<topic>-<partition>`, for messages.
    pub name: String,
    /// Brokers that hold it.
    pub replicas: BTreeSet<u32>,
    /// Those of them that are in sync.
    pub in_sync: BTreeSet<u32>,
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
}

// === impl Partition ===

impl Partition {
    /// Whether stopping this broker takes the partition below its minimum, or
    /// delays its way back to it.
    ///
    /// A partition that has no replica to spare even when all are in sync
    /// blocks nothing: no order of restarts could keep it available.
    pub fn needs(&self, broker: u32) -> bool {
        if !self.replicas.contains(&broker) || self.replicas.len() <= self.min_in_sync {
            return false;
        }
        let left = self.in_sync.iter().filter(|id| **id != broker).count();
        left < self.min_in_sync
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(replicas: &[u32], in_sync: &[u32], min: usize) -> Partition {
        Partition {
            name: "t-0".to_owned(),
            replicas: replicas.iter().copied().collect(),
            in_sync: in_sync.iter().copied().collect(),
            min_in_sync: min,
        }
    }

    #[test]
    fn a_partition_needs_the_brokers_it_could_not_lose() {
        let whole = partition(&[0, 1, 2], &[0, 1, 2], 2);
        assert!(!whole.needs(0));
        let at_minimum = partition(&[0, 1, 2], &[0, 1], 2);
        assert!(at_minimum.needs(0));
        assert!(!at_minimum.needs(2), "it is out already");
        assert!(!at_minimum.needs(7), "it holds nothing of it");
        let below = partition(&[0, 1, 2], &[0], 2);
        assert!(below.needs(2), "it may be the first to come back");
    }

    #[test]
    fn a_partition_without_spare_replicas_blocks_nothing() {
        assert!(!partition(&[0], &[0], 1).needs(0));
        assert!(!partition(&[0, 1], &[0, 1], 2).needs(1));
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
}
