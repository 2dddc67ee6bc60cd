//! One topic in Kafka: look, decide, do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use tokio::time::sleep;
use uuid::Uuid;

use super::calls::Calls;
use super::plan::{ActualTopic, Observed, WantedTopic};
use super::replicas::Replicas;
use crate::kafka_admin::{Admin, AdminError, ConfigChange, ConfigResource, Refusal, Results};

/// Why a topic is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Kafka could not be asked.
    #[error("{}", .0.chain())]
    Admin(Arc<AdminError>),
    /// Kafka says no to this topic.
    #[error("{0} of topic {1:?} failed: {2}")]
    Refused(&'static str, String, Refusal),
    /// An answer leaves the topic out.
    #[error("kafka did not say what became of topic {0:?}")]
    NoAnswer(String),
}

/// What a topic is like after it was looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// How it is now.
    pub observed: Observed,
    /// What was done; empty if nothing had to be.
    pub done: Vec<&'static str>,
    /// What the spec wants and Kafka cannot do.
    pub unsupported: Vec<String>,
    /// How many replicas partitions are to have, where that is another number.
    pub moves: Option<usize>,
}

/// How often, and after what pause, a topic is looked for that a broker does not
/// know of yet and the controller has already made.
const LOOKS: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the topic, or makes it as the spec says.
pub async fn ensure(calls: &Calls, wanted: &WantedTopic) -> Result<Ensured, TopicError> {
    let mut looks = 0..LOOKS;
    loop {
        let result = match calls.actual(&wanted.name).await? {
            Some(actual) => return change(calls.admin(), wanted, &actual).await,
            None => create(calls, wanted).await,
        };
        match result {
            Err(error) if error.is_there_already() && looks.next().is_some() => {
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

async fn create(calls: &Calls, wanted: &WantedTopic) -> Result<Ensured, TopicError> {
    let created = calls.create(wanted.creation()).await?;
    Ok(Ensured {
        observed: Observed {
            id: created.id,
            partitions: created.partitions,
            replicas: created.replicas.into(),
        },
        done: vec!["created"],
        unsupported: Vec::new(),
        moves: None,
    })
}

async fn change(
    admin: &Admin,
    wanted: &WantedTopic,
    actual: &ActualTopic,
) -> Result<Ensured, TopicError> {
    let change = wanted.change(actual);
    let mut observed = actual.observed();
    let mut done = Vec::new();
    if !change.config.is_empty() {
        configure(admin, &wanted.name, change.config).await?;
        done.push("configured");
    }
    if let Some(count) = change.partitions {
        let counts = BTreeMap::from([(wanted.name.clone(), count)]);
        let mut results = admin.create_partitions(&counts).await?;
        take(&mut results, "partitioning", &wanted.name)?;
        observed.partitions = count;
        done.push("partitions added");
    }
    let mut unsupported = change.unsupported;
    let mut moves = None;
    match replicas(admin, wanted, actual).await? {
        Replicas::Fine => {}
        Replicas::Move(count) => moves = Some(count),
        Replicas::Cannot(why) => unsupported.push(why),
    }
    Ok(Ensured {
        observed,
        done,
        unsupported,
        moves,
    })
}

/// What to do about the number of replicas. What is on the move anyway, and how
/// many brokers there are, is asked only where the number is another.
async fn replicas(
    admin: &Admin,
    wanted: &WantedTopic,
    actual: &ActualTopic,
) -> Result<Replicas, TopicError> {
    if !wanted.has_other_replicas(actual) {
        return Ok(Replicas::Fine);
    }
    let moving = admin.list_reassignments().await?.into_iter();
    let leaving = moving.filter(|(id, _)| id.topic == wanted.name);
    let leaving = leaving.map(|(id, moving)| (id.index, moving.removing.len()));
    let brokers = admin.describe_cluster().await?.brokers.len();
    Ok(wanted.replicas_of(actual, &leaving.collect(), brokers))
}

/// Deletes the topic with this id; false if there is none.
pub async fn delete(admin: &Admin, name: &str, id: Uuid) -> Result<bool, TopicError> {
    let mut results = admin.delete_topics(&[id]).await?;
    match results.remove(&id) {
        Some(Ok(())) => Ok(true),
        Some(Err(refusal)) if refusal.error == ResponseError::UnknownTopicId => Ok(false),
        Some(Err(refusal)) => Err(TopicError::Refused("deletion", name.to_owned(), refusal)),
        None => Err(TopicError::NoAnswer(name.to_owned())),
    }
}

async fn configure(
    admin: &Admin,
    name: &str,
    config: BTreeMap<String, ConfigChange>,
) -> Result<(), TopicError> {
    let resource = ConfigResource::Topic(name.to_owned());
    let changes = BTreeMap::from([(resource.clone(), config)]);
    match admin.alter_configs(&changes, None).await?.remove(&resource) {
        Some(Ok(())) => Ok(()),
        Some(Err(refusal)) => Err(TopicError::Refused(
            "configuration",
            name.to_owned(),
            refusal,
        )),
        None => Err(TopicError::NoAnswer(name.to_owned())),
    }
}

fn take<T>(results: &mut Results<T>, what: &'static str, name: &str) -> Result<T, TopicError> {
    match results.remove(name) {
        Some(Ok(result)) => Ok(result),
        Some(Err(refusal)) => Err(TopicError::Refused(what, name.to_owned(), refusal)),
        None => Err(TopicError::NoAnswer(name.to_owned())),
    }
}

// === impl TopicError ===

impl From<AdminError> for TopicError {
    fn from(error: AdminError) -> Self {
        Self::Admin(Arc::new(error))
    }
}

impl TopicError {
    /// Whether it can be another outcome a moment later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Admin(error) => error.may_pass(),
            Self::Refused(_, _, refusal) => refusal.may_pass() || self.is_there_already(),
            Self::NoAnswer(_) => true,
        }
    }

    /// A creation that came too late: by someone else, or by us a moment ago.
    fn is_there_already(&self) -> bool {
        matches!(self, Self::Refused(_, _, refusal) if refusal.error == ResponseError::TopicAlreadyExists)
    }
}
