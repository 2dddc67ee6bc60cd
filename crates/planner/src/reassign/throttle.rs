//! How fast replicas move (KIP-73).
//!
//! The limit is set on brokers, and holds for the replicas that topics name:
//! on the sending side all that have the partition, on the receiving side only
//! those that are new, so that a follower that merely fell behind is not held
//! back. A limit below what producers write to a partition would keep its new
//! replicas from ever getting in sync.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Layout};

/// The options that hold a reassignment back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throttle {
    /// `leader.replication.throttled.rate` and `follower.replication.throttled.rate`
    /// of these brokers, in bytes a second.
    pub brokers: BTreeMap<u32, u64>,
    /// The throttled replicas, by topic.
    pub topics: BTreeMap<String, TopicThrottle>,
}

/// A topic's throttled replicas: partition and broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicThrottle {
    /// `leader.replication.throttled.replicas`.
    pub leaders: BTreeSet<(i32, u32)>,
    /// `follower.replication.throttled.replicas`.
    pub followers: BTreeSet<(i32, u32)>,
}

/// Where the operator has set such options, as they are found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throttled {
    /// Brokers with a rate.
    pub brokers: BTreeSet<u32>,
    /// Topics with throttled replicas.
    pub topics: BTreeSet<String>,
}

/// What to set before the next moves begin, and what to take away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThrottlePlan {
    /// To be set, in place of what there is.
    pub set: Throttle,
    /// No longer needed.
    pub clear: Throttled,
}

// === impl TopicThrottle ===

impl TopicThrottle {
    /// The values of the two options: for leaders, and for followers.
    pub fn values(&self) -> (String, String) {
        (listed(&self.leaders), listed(&self.followers))
    }
}

fn listed(replicas: &BTreeSet<(i32, u32)>) -> String {
    let replicas = replicas.iter().map(|(index, id)| format!("{index}:{id}"));
    replicas.collect::<Vec<_>>().join(",")
}

/// The throttle for what is under way and what is about to start; without a
/// `rate` (bytes a second) there is none.
pub fn throttle(
    layout: &Layout,
    start: &[Change],
    rate: Option<u64>,
    seen: &Throttled,
) -> ThrottlePlan {
    let mut set = Throttle::default();
    if let Some(rate) = rate {
        let starting: BTreeMap<_, _> = start.iter().map(|c| (&c.id, &c.adding)).collect();
        for placed in &layout.partitions {
            let adding = starting.get(&placed.id).copied().unwrap_or(&placed.adding);
            if adding.is_empty() {
                continue;
            }
            let old = placed.replicas.iter().copied();
            let old = old.filter(|id| !placed.adding.contains(id));
            let index = placed.id.index;
            let topic = set.topics.entry(placed.id.topic.clone()).or_default();
            for id in old {
                topic.leaders.insert((index, id));
                set.brokers.insert(id, rate);
            }
            for id in adding {
                topic.followers.insert((index, *id));
                set.brokers.insert(*id, rate);
            }
        }
    }
    let brokers = seen.brokers.iter().copied();
    let topics = seen.topics.iter().cloned();
    ThrottlePlan {
        clear: Throttled {
            brokers: brokers.filter(|id| !set.brokers.contains_key(id)).collect(),
            topics: topics
                .filter(|topic| !set.topics.contains_key(topic))
                .collect(),
        },
        set,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Placed;
    use super::*;
    use crate::health::PartitionId;

    #[test]
    fn who_sends_and_who_receives_is_throttled_and_nobody_afterwards() {
        let moving = Placed {
            id: PartitionId::new("a", 0),
            replicas: vec![4, 2, 1],
            adding: [4].into(),
            removing: [1].into(),
            ..Placed::default()
        };
        let starting = Placed {
            id: PartitionId::new("b", 7),
            replicas: vec![1, 2],
            ..Placed::default()
        };
        let layout = Layout {
            partitions: vec![moving, starting],
            ..Layout::default()
        };
        let start = [Change {
            id: PartitionId::new("b", 7),
            target: vec![3, 2],
            adding: [3].into(),
            bytes: 9,
        }];
        let seen = Throttled {
            brokers: [1, 9].into(),
            topics: ["a".to_owned(), "z".to_owned()].into(),
        };
        let plan = throttle(&layout, &start, Some(1000), &seen);
        assert_eq!(
            plan.set.topics["a"].values(),
            ("0:1,0:2".into(), "0:4".into())
        );
        assert_eq!(
            plan.set.topics["b"].values(),
            ("7:1,7:2".into(), "7:3".into())
        );
        assert_eq!(plan.set.brokers, [1, 2, 3, 4].map(|id| (id, 1000)).into());
        assert_eq!(plan.clear.brokers, [9].into());
        assert_eq!(plan.clear.topics, ["z".to_owned()].into());

        let still = Layout::default();
        assert_eq!(throttle(&still, &[], Some(1000), &seen).clear, seen);
        assert_eq!(throttle(&layout, &start, None, &seen).clear, seen);
    }
}
