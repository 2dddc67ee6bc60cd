//! Where in a message topics and partitions are, for the APIs that carry
//! records; and what happens to the ones that may not be used.

use std::sync::Arc;

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::walk::{Event, What};
use tubeway_protocol::{ApiKey, Layout};

use crate::access::{NameOf, Names as _};
use crate::body::{BodyError, Ended, RequestBody};
use crate::guard::{Guard, Permit, TopicId};
use crate::interest::{PARTITION, RECORDS, REPLICA, SESSION, SESSION_EPOCH, TOPIC, TRANSACTION};

/// Field names of one API's request and response.
#[derive(Debug)]
pub(crate) struct Places {
    /// The request's array of topics.
    pub(crate) topics: &'static str,
    /// In it, the name that older versions have; ids are always `TopicId`.
    pub(crate) name: &'static str,
    /// In it, the array of partitions.
    pub(crate) partitions: &'static str,
    /// In that, the partition's number.
    pub(crate) index: &'static str,
    /// What the caller has to be allowed.
    pub(crate) operation: Operation,
}

/// A topic as a message names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Key {
    Name(Bytes),
    Id(TopicId),
}

/// Error code TOPIC_AUTHORIZATION_FAILED.
pub(crate) const TOPIC_DENIED: i16 = 29;
/// Error code NOT_LEADER_OR_FOLLOWER: for a partition that may not be used while
/// others of its topic may. Metadata says that nobody leads it, and clients know
/// what to do then; 29 is about topics, and ends some of them.
pub(crate) const NOT_LEADER: i16 = 6;
/// Error code UNKNOWN_TOPIC_ID.
pub(crate) const UNKNOWN_TOPIC_ID: i16 = 100;

/// Partitions of one topic that the caller does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) topic: Key,
    /// [`TOPIC_DENIED`], [`NOT_LEADER`], or [`UNKNOWN_TOPIC_ID`]: what has no name cannot be
    /// judged, and might get one before the broker looks.
    pub(crate) error: i16,
    pub(crate) partitions: Vec<i32>,
}

/// What a look at a whole request has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Something may not be used.
    pub(crate) denied: bool,
    /// Ids whose names have to be known first.
    pub(crate) ask: Vec<TopicId>,
    /// The transaction that it says it belongs to.
    pub(crate) transaction: Option<Box<str>>,
    /// A batch of a transaction is there.
    pub(crate) transactional: bool,
    /// The follower that fetches; -1 is a client.
    pub(crate) replica: i64,
    /// The fetch session's number and the request's in it (KIP-227).
    pub(crate) session: (i32, i64),
}

/// The epoch of a request that wants no session, or ends one.
pub(crate) const FINAL_EPOCH: i64 = -1;

pub(crate) static PRODUCE: Places = Places {
    topics: "TopicData",
    name: "Name",
    partitions: "PartitionData",
    index: "Index",
    operation: Operation::Write,
};

pub(crate) static FETCH: Places = Places {
    topics: "Topics",
    name: "Topic",
    partitions: "Partitions",
    index: "Partition",
    operation: Operation::Read,
};

pub(crate) static SHARE_FETCH: Places = Places {
    topics: "Topics",
    name: "",
    partitions: "Partitions",
    index: "PartitionIndex",
    operation: Operation::Read,
};

pub(crate) static SHARE_ACKNOWLEDGE: Places = Places {
    topics: "Topics",
    name: "",
    partitions: "Partitions",
    index: "PartitionIndex",
    operation: Operation::Read,
};

// === impl Places ===

impl Places {
    /// The places of an API, if it carries records or acknowledges them.
    pub(crate) fn of(api: ApiKey) -> Option<&'static Self> {
        match api {
            ApiKey::PRODUCE => Some(&PRODUCE),
            ApiKey::FETCH => Some(&FETCH),
            ApiKey::SHARE_FETCH => Some(&SHARE_FETCH),
            ApiKey::SHARE_ACKNOWLEDGE => Some(&SHARE_ACKNOWLEDGE),
            _ => None,
        }
    }

    /// Looks at a whole body, once for all: what may not be used, and what is
    /// counted.
    pub(crate) fn look(
        &self,
        guard: &Guard,
        layout: &'static Layout,
        body: &[u8],
    ) -> Result<(Found, Ended), BodyError> {
        let mut found = Found::default();
        let mut topic = Topic::default();
        let mut passing = RequestBody::of(layout, body.len());
        passing.show(body, |event| found.event(self, guard, &mut topic, event))?;
        Ok((found, passing.finish()?))
    }

    /// Takes out of `request` what the caller may not use.
    pub(crate) fn cut(&self, guard: &Guard, request: &mut Struct) -> Vec<Denied> {
        let Some(Value::Array(topics)) = request.get_mut(self.topics) else {
            return Vec::new();
        };
        let mut denied = Vec::new();
        topics.retain_mut(|topic| {
            let Value::Struct(topic) = topic else {
                return true;
            };
            let Some(key) = self.key(topic) else {
                return true;
            };
            let (error, cut) = self.cut_partitions(guard, &key, topic);
            if cut.is_empty() {
                return true;
            }
            denied.push(Denied {
                topic: key.detached(),
                error,
                partitions: cut,
            });
            topic.structs(self.partitions).next().is_some()
        });
        denied
    }

    /// Takes everything out of `request`, to be refused with `error`.
    pub(crate) fn take_all(&self, request: &mut Struct, error: i16) -> Vec<Denied> {
        let topic = |topic: &Struct| {
            let partitions = topic.structs(self.partitions);
            Some(Denied {
                topic: self.key(topic)?.detached(),
                error,
                partitions: partitions
                    .map(|partition| partition.int(self.index) as i32)
                    .collect(),
            })
        };
        let all = request.structs(self.topics).filter_map(topic).collect();
        request.set(self.topics, Vec::<Struct>::new());
        all
    }

    fn cut_partitions(&self, guard: &Guard, key: &Key, topic: &mut Struct) -> (i16, Vec<i32>) {
        let (error, name) = match guard.name_of_key(key) {
            NameOf::Known(name) => (TOPIC_DENIED, Some(name)),
            NameOf::NoSuchTopic | NameOf::NotAsked => (UNKNOWN_TOPIC_ID, None),
        };
        let permit = name
            .as_deref()
            .map_or(Permit::None, |name| guard.topic(self.operation, name));
        let error = match permit {
            Permit::Some => NOT_LEADER,
            Permit::All | Permit::None => error,
        };
        let mut cut = Vec::new();
        if permit != Permit::All
            && let Some(Value::Array(partitions)) = topic.get_mut(self.partitions)
        {
            let may = |index| {
                let name = name.as_deref().filter(|_| permit == Permit::Some);
                name.is_some_and(|name| guard.partition(self.operation, name, index))
            };
            partitions.retain(|partition| {
                let Value::Struct(partition) = partition else {
                    return true;
                };
                let index = partition.int(self.index) as i32;
                let stays = may(index);
                if !stays {
                    cut.push(index);
                }
                stays
            });
        }
        (error, cut)
    }

    /// How this version names the topic.
    pub(crate) fn key(&self, topic: &Struct) -> Option<Key> {
        match topic.get("TopicId") {
            Some(Value::Uuid(id)) => Some(Key::Id(*id)),
            _ => topic
                .get(self.name)
                .and_then(Value::as_bytes)
                .cloned()
                .map(Key::Name),
        }
    }
}

/// The topic that a walk is in.
pub(crate) struct Topic {
    name: Option<Arc<str>>,
    permit: Permit,
}

impl Default for Topic {
    fn default() -> Self {
        Self {
            name: None,
            permit: Permit::All,
        }
    }
}

// === impl Found ===

impl Default for Found {
    fn default() -> Self {
        Self {
            denied: false,
            ask: Vec::new(),
            transaction: None,
            transactional: false,
            replica: -1,
            session: (0, FINAL_EPOCH),
        }
    }
}

impl Found {
    pub(crate) fn event(
        &mut self,
        places: &Places,
        guard: &Guard,
        topic: &mut Topic,
        event: &Event<'_>,
    ) {
        match (event.mark, event.what) {
            (TOPIC, What::Text(name)) => {
                self.topic(topic, guard.topic(places.operation, name));
                topic.name = (topic.permit == Permit::Some).then(|| name.into());
            }
            (TOPIC, What::Uuid(id)) => match guard.name_of(&id) {
                NameOf::Known(name) => {
                    self.topic(topic, guard.topic(places.operation, &name));
                    topic.name = Some(name);
                }
                NameOf::NoSuchTopic => self.topic(topic, Permit::None),
                NameOf::NotAsked => {
                    self.ask.push(id);
                    self.topic(topic, Permit::All);
                }
            },
            // Names that are too long for Kafka name no topic that there is.
            (TOPIC, _) => self.topic(topic, Permit::None),
            (PARTITION, What::Int(index)) if topic.permit == Permit::Some => {
                let allowed = topic
                    .name
                    .as_deref()
                    .is_some_and(|name| guard.partition(places.operation, name, index as i32));
                self.denied |= !allowed;
            }
            (TRANSACTION, What::Text(id)) => self.transaction = Some(id.into()),
            (RECORDS, What::Batch(batch)) => self.transactional |= batch.is_transactional(),
            (REPLICA, What::Int(id)) => self.replica = id,
            (SESSION, What::Int(id)) => self.session.0 = id as i32,
            (SESSION_EPOCH, What::Int(epoch)) => self.session.1 = epoch,
            _ => {}
        }
    }

    fn topic(&mut self, topic: &mut Topic, permit: Permit) {
        topic.permit = permit;
        self.denied |= permit == Permit::None;
    }
}

// === impl Key ===

impl Key {
    /// The same, not keeping the message alive that it came in.
    fn detached(self) -> Self {
        match self {
            Self::Name(name) => Self::Name(Bytes::copy_from_slice(&name)),
            id @ Self::Id(_) => id,
        }
    }

    /// As it is counted.
    pub(crate) fn observed(&self) -> crate::Topic {
        match self {
            Self::Name(name) => crate::Topic::Name(String::from_utf8_lossy(name).into()),
            Self::Id(id) => crate::Topic::Id(*id),
        }
    }

    /// Names the topic in an entry of a response.
    pub(crate) fn name_in(&self, entry: &mut Struct, name: &str) {
        match self {
            Self::Name(bytes) => entry.set(name, Value::String(bytes.clone())),
            Self::Id(id) => entry.set("TopicId", Value::Uuid(*id)),
        };
    }
}

// === impl Guard ===

impl Guard {
    pub(crate) fn name_of_key(&self, key: &Key) -> NameOf {
        match key {
            Key::Id(id) => self.name_of(id),
            // What is no text is no topic's name, and no rule's.
            Key::Name(bytes) => NameOf::Known(String::from_utf8_lossy(bytes).into()),
        }
    }
}
