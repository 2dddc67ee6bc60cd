//! What the topics of one cluster ask of Kafka, a call for many of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kafka_protocol::error::ResponseError;
use tubeway_config::ClusterRef;

use super::batch::Batch;
use super::ensure::TopicError;
use super::plan::ActualTopic;
use crate::kafka_admin::{
    Admin, AdminDirectory, AdminError, ConfigResource, CreatedTopic, NewTopic, Refusal, Results,
};

/// The most topics in one call.
const TOPICS_AT_ONCE: usize = 200;
/// The most partitions that are made in one call. Kafka refuses calls for more than
/// 10,000 whole, and serves nobody else while it makes them.
const PARTITIONS_AT_ONCE: i32 = 1000;
/// What a topic counts for that leaves its partitions to the cluster's default,
/// which is rarely more.
const DEFAULT_PARTITIONS: i32 = 50;

type Look = Result<Option<ActualTopic>, TopicError>;
type Made = Result<CreatedTopic, TopicError>;

/// A client of one cluster that puts the calls of many topics together.
pub struct Calls {
    admin: Admin,
    looks: Batch<String, Look>,
    creations: Batch<NewTopic, Made>,
}

/// The clients of all clusters. Clones are one book.
#[derive(Clone, Default)]
pub struct Book {
    clusters: Arc<Mutex<BTreeMap<ClusterRef, Arc<Calls>>>>,
}

// === impl Book ===

impl Book {
    /// The calls to a cluster, if it can be reached.
    pub fn calls(&self, admins: &AdminDirectory, cluster: &ClusterRef) -> Option<Arc<Calls>> {
        let mut clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = admins.get(cluster) else {
            clusters.remove(cluster);
            return None;
        };
        let known = clusters.get(cluster);
        if let Some(known) = known.filter(|calls| calls.admin.is(&entry.admin)) {
            return Some(Arc::clone(known));
        }
        let calls = Arc::new(Calls::new(entry.admin));
        clusters.retain(|cluster, _| admins.get(cluster).is_some());
        clusters.insert(cluster.clone(), Arc::clone(&calls));
        Some(calls)
    }
}

// === impl Calls ===

impl Calls {
    /// Calls that go through this client.
    pub fn new(admin: Admin) -> Self {
        Self {
            admin,
            looks: Batch::new(TOPICS_AT_ONCE),
            creations: Batch::new(TOPICS_AT_ONCE),
        }
    }

    /// The client, for what is rare.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The topic as it is, if it is.
    pub async fn actual(&self, name: &str) -> Look {
        let all = |names| {
            let admin = self.admin.clone();
            async move { look_all(&admin, names).await }
        };
        self.looks.ask(name.to_owned(), all).await
    }

    /// Makes a topic.
    pub async fn create(&self, topic: NewTopic) -> Made {
        let all = |topics| {
            let admin = self.admin.clone();
            async move { create_all(&admin, topics).await }
        };
        self.creations.ask(topic, all).await
    }
}

/// Topics as they are.
async fn look_all(admin: &Admin, names: Vec<String>) -> Vec<Look> {
    match look(admin, &names).await {
        Ok(looks) => looks,
        Err(error) if error.may_pass() || names.len() == 1 => all_failed(names.len(), error),
        // One that cannot even be asked for is nobody else's trouble.
        Err(_) => {
            let mut looks = Vec::new();
            for name in names {
                let one = look(admin, std::slice::from_ref(&name)).await;
                looks.extend(one.unwrap_or_else(|error| all_failed(1, error)));
            }
            looks
        }
    }
}

async fn look(admin: &Admin, names: &[String]) -> Result<Vec<Look>, AdminError> {
    let mut topics = admin.describe_topics(Some(names)).await?;
    let there = topics.iter().filter(|(_, topic)| topic.is_ok());
    let there: Vec<_> = there
        .map(|(name, _)| ConfigResource::Topic(name.clone()))
        .collect();
    let mut configs = match there.as_slice() {
        [] => BTreeMap::new(),
        there => admin.describe_configs(there, None).await?,
    };
    let looks = names.iter().map(|name| {
        let config = configs.remove(&ConfigResource::Topic(name.clone()));
        let Some(topic) = found(topics.remove(name), name)? else {
            return Ok(None);
        };
        // It may have been deleted between the two questions.
        let config = found(config, name)?;
        Ok(config.map(|config| ActualTopic { topic, config }))
    });
    Ok(looks.collect())
}

/// What an answer says about a topic that may not be there.
fn found<T>(answer: Option<Result<T, Refusal>>, name: &str) -> Result<Option<T>, TopicError> {
    match answer {
        Some(Ok(found)) => Ok(Some(found)),
        Some(Err(refusal)) if refusal.error == ResponseError::UnknownTopicOrPartition => Ok(None),
        Some(Err(refusal)) => Err(TopicError::Refused("description", name.to_owned(), refusal)),
        None => Err(TopicError::NoAnswer(name.to_owned())),
    }
}

async fn create_all(admin: &Admin, topics: Vec<NewTopic>) -> Vec<Made> {
    let mut made = Vec::new();
    for topics in portions(&topics) {
        match admin.create_topics(topics, false).await {
            Ok(results) => made.extend(each(topics, results)),
            Err(error) if error.may_pass() || topics.len() == 1 => {
                made.extend(all_failed(topics.len(), error));
            }
            Err(_) => {
                for topic in topics {
                    let one = std::slice::from_ref(topic);
                    made.extend(match admin.create_topics(one, false).await {
                        Ok(results) => each(one, results),
                        Err(error) => all_failed(1, error),
                    });
                }
            }
        }
    }
    made
}

/// Topics in an order that stays, cut where a call would make too many partitions.
fn portions(topics: &[NewTopic]) -> impl Iterator<Item = &[NewTopic]> {
    let count = |topic: &NewTopic| topic.partitions.unwrap_or(DEFAULT_PARTITIONS);
    let mut so_far = 0;
    topics.chunk_by(move |before, next| {
        so_far += count(before);
        let together = so_far + count(next) <= PARTITIONS_AT_ONCE;
        if !together {
            so_far = 0;
        }
        together
    })
}

fn each(topics: &[NewTopic], mut results: Results<CreatedTopic>) -> Vec<Made> {
    let each = topics.iter().map(|topic| {
        let name = topic.name.clone();
        match results.remove(&topic.name) {
            Some(Ok(created)) => Ok(created),
            Some(Err(refusal)) => Err(TopicError::Refused("creation", name, refusal)),
            None => Err(TopicError::NoAnswer(name)),
        }
    });
    each.collect()
}

/// The same failure for all who asked.
fn all_failed<T>(count: usize, error: AdminError) -> Vec<Result<T, TopicError>> {
    let error = Arc::new(error);
    let each = (0..count).map(|_| Err(TopicError::Admin(Arc::clone(&error))));
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_makes_too_many_partitions() {
        let topic = |partitions| NewTopic {
            partitions,
            ..NewTopic::default()
        };
        let sizes = |topics: &[NewTopic]| portions(topics).map(<[_]>::len).collect::<Vec<_>>();
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&vec![topic(Some(1)); 200]), [200]);
        assert_eq!(sizes(&vec![topic(Some(300)); 7]), [3, 3, 1]);
        assert_eq!(sizes(&vec![topic(None); 41]), [20, 20, 1]);
        // One that is too large goes alone.
        let large = [topic(Some(1)), topic(Some(5000)), topic(Some(1))];
        assert_eq!(sizes(&large), [1, 1, 1]);
    }
}
