//! Whether a topic's partitions have as many replicas as they should. Pure.

use std::collections::BTreeMap;

use super::plan::{ActualTopic, WantedTopic};
use crate::kafka_admin::ConfigSource;

const MIN_IN_SYNC: &str = "min.insync.replicas";

/// What is to be done about a topic's number of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replicas {
    /// Nothing.
    Fine,
    /// Partitions are to have so many.
    Move(usize),
    /// They cannot; in words for the author of the spec.
    Cannot(String),
}

impl WantedTopic {
    /// Whether some partition has another number of replicas than it should; it may
    /// be on the move.
    pub fn has_other_replicas(&self, actual: &ActualTopic) -> bool {
        let wanted = self.replicas.and_then(|n| usize::try_from(n).ok());
        let mut partitions = actual.topic.partitions.iter();
        wanted.is_some_and(|wanted| partitions.any(|p| p.replicas.len() != wanted))
    }

    /// What to do about the number of replicas, given how many each partition loses
    /// when what is under way with it is done, and how many brokers there are.
    pub fn replicas_of(
        &self,
        actual: &ActualTopic,
        leaving: &BTreeMap<i32, usize>,
        brokers: usize,
    ) -> Replicas {
        let Some(wanted) = self.replicas.and_then(|n| usize::try_from(n).ok()) else {
            return Replicas::Fine;
        };
        let counts = actual.topic.partitions.iter().map(|partition| {
            let leaves = leaving.get(&partition.index).copied().unwrap_or_default();
            partition.replicas.len().saturating_sub(leaves)
        });
        let others: Vec<usize> = counts.filter(|count| *count != wanted).collect();
        let Some(most) = others.iter().max() else {
            return Replicas::Fine;
        };
        if wanted > brokers {
            return Replicas::Cannot(format!(
                "spec.replicas is {wanted}, and the cluster has {brokers} brokers: add brokers, or \
                 set it to {brokers} at most"
            ));
        }
        let minimum = self.min_in_sync(actual).unwrap_or_default();
        if wanted < *most && wanted < minimum {
            return Replicas::Cannot(format!(
                "spec.replicas is {wanted}, and {MIN_IN_SYNC} of the topic is {minimum}: producers \
                 with acks=all would be refused; lower that first, or set spec.replicas to \
                 {minimum} at least"
            ));
        }
        Replicas::Move(wanted)
    }

    /// As it will be when the spec's options are in force.
    fn min_in_sync(&self, actual: &ActualTopic) -> Option<usize> {
        if let Some(own) = self.config.get(MIN_IN_SYNC) {
            return own.trim().parse().ok();
        }
        let entry = actual.config.get(MIN_IN_SYNC)?;
        // One that the topic had of its own goes with the next change.
        let stays = entry.source != ConfigSource::Topic;
        entry.value.as_ref().filter(|_| stays)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::kafka_admin::{ConfigEntry, PartitionDescription, TopicDescription};

    fn actual(counts: &[i32], minimum: &str, source: ConfigSource) -> ActualTopic {
        let partitions = counts
            .iter()
            .zip(0..)
            .map(|(count, index)| PartitionDescription {
                index,
                leader: Some(0),
                leader_epoch: 0,
                replicas: (0..*count).collect(),
                in_sync: Vec::new(),
                offline: Vec::new(),
            });
        let entry = ConfigEntry {
            value: Some(minimum.to_owned()),
            source,
            read_only: false,
        };
        ActualTopic {
            topic: TopicDescription {
                id: Uuid::nil(),
                internal: false,
                partitions: partitions.collect(),
            },
            config: [(MIN_IN_SYNC.to_owned(), entry)].into(),
        }
    }

    fn wanted(replicas: Option<i16>, config: &[(&str, &str)]) -> WantedTopic {
        let config = config.iter();
        WantedTopic {
            name: "t".to_owned(),
            replicas,
            config: config
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..WantedTopic::default()
        }
    }

    #[test]
    fn replicas_are_moved_where_they_can_be() {
        use ConfigSource::{AllBrokers, Topic};
        let own = [(MIN_IN_SYNC, "1")];
        for (counts, minimum, source, replicas, config, brokers, expected) in [
            (vec![2, 2], "2", AllBrokers, None, &[][..], 3, "fine"),
            (vec![2, 2], "2", AllBrokers, Some(2), &[], 3, "fine"),
            (vec![2, 2], "2", AllBrokers, Some(3), &[], 3, "move"),
            (vec![2, 3], "2", AllBrokers, Some(3), &[], 3, "move"),
            (
                vec![2, 2],
                "2",
                AllBrokers,
                Some(4),
                &[],
                3,
                "the cluster has 3 brokers",
            ),
            (vec![3, 3], "2", AllBrokers, Some(2), &[], 3, "move"),
            (
                vec![3, 3],
                "2",
                AllBrokers,
                Some(1),
                &[],
                3,
                "of the topic is 2",
            ),
            // It is as bad already, and gets better.
            (vec![1, 1], "3", AllBrokers, Some(2), &[], 3, "move"),
            // The spec's own option counts, and what goes with it does not.
            (vec![3, 3], "2", AllBrokers, Some(1), &own, 3, "move"),
            (vec![3, 3], "2", Topic, Some(1), &[], 3, "move"),
        ] {
            let wanted = wanted(replicas, config);
            let actual = actual(&counts, minimum, source);
            let found = wanted.replicas_of(&actual, &BTreeMap::new(), brokers);
            let fine = match &found {
                Replicas::Fine => expected == "fine",
                Replicas::Move(n) => expected == "move" && Some(*n as i16) == replicas,
                Replicas::Cannot(words) => words.contains(expected),
            };
            assert!(fine, "{counts:?} {replicas:?}: {found:?}");
            let differs = wanted.has_other_replicas(&actual);
            assert_eq!(differs, found != Replicas::Fine);
        }
    }

    #[test]
    fn a_replica_that_is_on_its_way_out_does_not_count() {
        let drained = actual(&[4, 3], "2", ConfigSource::AllBrokers);
        let wanted = wanted(Some(3), &[]);
        assert!(wanted.has_other_replicas(&drained));
        let found = wanted.replicas_of(&drained, &[(0, 1)].into(), 4);
        assert_eq!(found, Replicas::Fine);
    }
}
