//! Which KafkaTopic object speaks for a topic of Kafka.

use std::collections::BTreeMap;

use crate::rbac::{Cluster, ObjectRef, Topic};

/// What became of one KafkaTopic object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// It speaks for its topic.
    Owner,
    /// An older object speaks for the same topic of the same cluster.
    Conflict(&'a ObjectRef),
    /// The cluster does not admit topics from the object's namespace.
    NotAllowed,
    /// There is no such cluster.
    NoCluster,
}

/// Decides for every object, in the order given.
///
/// The oldest of those that a cluster admits owns the topic; of the same second,
/// the first by namespace and name. Both what the operator does to Kafka and
/// whom a Role lets in go by this one answer, or a second object in another
/// namespace would open someone else's topic.
pub fn claims<'a>(topics: &'a [Topic], clusters: &[Cluster]) -> Vec<Claim<'a>> {
    let clusters: BTreeMap<_, _> = clusters.iter().map(|c| (&c.object, c)).collect();
    let mut owners: BTreeMap<(&ObjectRef, &str), &Topic> = BTreeMap::new();
    for topic in topics {
        if !admitted(&clusters, topic) {
            continue;
        }
        owners
            .entry((&topic.cluster, &topic.topic))
            .and_modify(|owner| {
                if (topic.created, &topic.object) < (owner.created, &owner.object) {
                    *owner = topic;
                }
            })
            .or_insert(topic);
    }
    topics
        .iter()
        .map(|topic| {
            if !clusters.contains_key(&topic.cluster) {
                return Claim::NoCluster;
            }
            match owners.get(&(&topic.cluster, topic.topic.as_str())) {
                _ if !admitted(&clusters, topic) => Claim::NotAllowed,
                Some(owner) if owner.object != topic.object => Claim::Conflict(&owner.object),
                _ => Claim::Owner,
            }
        })
        .collect()
}

fn admitted(clusters: &BTreeMap<&ObjectRef, &Cluster>, topic: &Topic) -> bool {
    clusters
        .get(&topic.cluster)
        .is_some_and(|cluster| cluster.admits(&topic.object.namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rbac::AllowedNamespaces;

    fn topic(object: &str, created: i64) -> Topic {
        Topic {
            object: object.parse().unwrap(),
            cluster: ObjectRef::new("kafka", "main"),
            topic: "orders".to_owned(),
            created,
        }
    }

    fn cluster(allowed: AllowedNamespaces) -> Vec<Cluster> {
        vec![Cluster {
            object: ObjectRef::new("kafka", "main"),
            allowed,
        }]
    }

    #[test]
    fn the_oldest_owns_the_topic_whatever_the_order() {
        let clusters = cluster(AllowedNamespaces::All);
        let mut topics = vec![topic("b/x", 7), topic("a/y", 9)];
        let older = ObjectRef::new("b", "x");
        assert_eq!(
            claims(&topics, &clusters),
            [Claim::Owner, Claim::Conflict(&older)]
        );
        topics.reverse();
        assert_eq!(
            claims(&topics, &clusters),
            [Claim::Conflict(&older), Claim::Owner]
        );
    }

    #[test]
    fn of_one_second_the_first_by_name_owns_it() {
        let topics = [topic("b/x", 7), topic("a/y", 7)];
        let first = ObjectRef::new("a", "y");
        assert_eq!(
            claims(&topics, &cluster(AllowedNamespaces::All)),
            [Claim::Conflict(&first), Claim::Owner]
        );
    }

    #[test]
    fn one_that_is_not_admitted_stands_in_nobodys_way() {
        let clusters = cluster(AllowedNamespaces::Only(["shop".to_owned()].into()));
        let topics = [topic("evil/x", 1), topic("shop/x", 9), topic("kafka/x", 10)];
        let owner = ObjectRef::new("shop", "x");
        assert_eq!(
            claims(&topics, &clusters),
            [Claim::NotAllowed, Claim::Owner, Claim::Conflict(&owner)]
        );
    }

    #[test]
    fn without_the_cluster_there_is_no_owner() {
        assert_eq!(claims(&[topic("a/x", 1)], &[]), [Claim::NoCluster]);
    }
}
