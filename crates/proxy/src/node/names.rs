//! What topic ids are called (KIP-516).
//!
//! Clients name topics by id in Produce and Fetch; counts are by name. Names
//! are learned from the broker with the node's own identity. An id never
//! changes its name, so what has been learned stays right.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::debug;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::Answers;
use tubeway_session::access::{Exists, NameOf, Names, Questions};
use tubeway_telemetry::Shutdown;

use crate::frames::{LoginError, read_frame, write_frame};
use crate::node::login::Login;

/// Names that are kept; more topics than this are asked for again and again.
const MAX_NAMES: usize = 100_000;
/// Ids that wait to be asked for.
const MAX_WAITING: usize = 1024;
/// Error codes UNKNOWN_TOPIC_OR_PARTITION and INVALID_TOPIC_EXCEPTION.
const MISSING: [i64; 2] = [3, 17];
/// After a question that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Metadata about the topics asked for.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// A broker that takes longer is not well, and the client is better off with
/// another connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first version in which topics are asked for by id alone.
const METADATA_BY_ID: i16 = 12;

type Id = [u8; 16];

/// Names by id. Clones share them. Without a broker to ask (the default),
/// nothing is known.
#[derive(Clone, Default)]
pub struct TopicNames {
    known: Arc<RwLock<HashMap<Id, Arc<str>>>>,
    later: Option<mpsc::Sender<Id>>,
    resolver: Option<Arc<Resolver>>,
}

/// A topic as the broker answers.
struct Found {
    id: Id,
    name: Option<String>,
    error: i64,
}

struct Resolver {
    broker: SocketAddr,
    signer: Arc<LoginSigner>,
    node: SpiffeId,
}

// === impl TopicNames ===

impl TopicNames {
    /// Names that are asked of `broker` as the node itself.
    pub fn start(
        broker: SocketAddr,
        signer: Arc<LoginSigner>,
        node: SpiffeId,
        shutdown: &Shutdown,
    ) -> Self {
        let (later, asked) = mpsc::channel(MAX_WAITING);
        let resolver = Resolver {
            broker,
            signer,
            node,
        };
        let names = Self {
            known: Arc::default(),
            later: None,
            resolver: Some(Arc::new(resolver)),
        };
        let (asking, shutdown) = (names.clone(), shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = asking.answer(asked) => {}
                () = shutdown.wait() => {}
            }
        });
        Self {
            later: Some(later),
            ..names
        }
    }

    /// Asks the broker now. None where it does not answer, or not in time.
    pub async fn ask(&self, questions: &Questions) -> Option<Answers> {
        let asked = self.resolver.as_ref()?.ask(questions);
        let asked = tokio::time::timeout(PATIENCE, asked).await;
        let asked = asked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        let found = asked
            .inspect_err(|error| debug!(%error, "the broker could not be asked about topics"))
            .ok()?;
        let mut answers = Answers::default();
        for topic in found {
            match topic.name {
                None => answers.unknown_ids.push(topic.id),
                Some(name) => {
                    let exists = !MISSING.contains(&topic.error);
                    if exists {
                        self.learn(topic.id, &name);
                    }
                    answers.topics.insert(name.into(), exists);
                }
            }
        }
        Some(answers)
    }

    /// The name, if it is known; if not, it is asked for.
    pub fn get(&self, id: &Id) -> Option<Arc<str>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(id) {
            return Some(name.clone());
        }
        drop(known);
        if let Some(later) = &self.later {
            // Full: it is asked for again with the next request.
            let _ = later.try_send(*id);
        }
        None
    }

    /// Asks for what has come up in counts, many ids at a time.
    async fn answer(self, mut asked: mpsc::Receiver<Id>) {
        let mut ids = Vec::new();
        while asked.recv_many(&mut ids, MAX_WAITING).await > 0 {
            let questions = Questions {
                ids: ids.drain(..).filter(|id| !self.knows(id)).collect(),
                ..Questions::default()
            };
            if !questions.ids.is_empty() && self.ask(&questions).await.is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn knows(&self, id: &Id) -> bool {
        let known = self.known.read();
        known
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(id)
    }

    /// Remembers a name.
    pub fn learn(&self, id: Id, name: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_NAMES {
            known.clear();
        }
        known.entry(id).or_insert_with(|| name.into());
    }
}

impl Names for TopicNames {
    fn name_of(&self, id: &Id) -> NameOf {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known
            .get(id)
            .map_or(NameOf::NotAsked, |name| NameOf::Known(name.clone()))
    }

    /// Always asked anew: topics come and go.
    fn exists(&self, _: &str) -> Exists {
        Exists::NotAsked
    }
}

// === impl Resolver ===

impl Resolver {
    async fn ask(&self, questions: &Questions) -> Result<Vec<Found>, LoginError> {
        let login = Login::new(&self.node);
        let mut broker = login.connect(self.broker, &self.signer).await?;
        let question = question(questions).map_err(io::Error::other)?;
        write_frame(&mut broker, &question).await?;
        let answer = read_frame(&mut broker, MAX_ANSWER)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(read_topics(&answer).map_err(io::Error::other)?)
    }
}

/// A Metadata request for these topics, without its length.
fn question(questions: &Questions) -> Result<Bytes, String> {
    let mut out = Vec::new();
    let header = RequestHeader {
        api: ApiKey::METADATA,
        version: METADATA_BY_ID,
        correlation_id: 0,
        client_id: Some("tubeway"),
        length: 0,
    };
    header.write(&mut out).map_err(|e| e.to_string())?;
    let mut request = message(Direction::Request)?;
    let topic = |id: Id, name: Option<&str>| {
        let mut topic = request.child("Topics")?;
        topic.set("TopicId", Value::Uuid(id));
        topic.set("Name", name);
        Some(topic)
    };
    let ids = questions.ids.iter().filter_map(|id| topic(*id, None));
    let names = questions.topics.iter();
    let names = names.filter_map(|name| topic([0; 16], Some(name)));
    let topics: Vec<Struct> = ids.chain(names).collect();
    request.set("Topics", topics);
    request.set("AllowAutoTopicCreation", false);
    request.encode(&mut out).map_err(|e| e.to_string())?;
    Ok(out.into())
}

/// The topics of a Metadata response, which comes without its length.
fn read_topics(frame: &Bytes) -> Result<Vec<Found>, String> {
    let length = frame.len() as u32;
    let header = ResponseHeader::read(frame, length, ApiKey::METADATA, METADATA_BY_ID)
        .map_err(|e| e.to_string())?
        .ok_or("the response ends within its header")?;
    let body = frame.slice(header.length..);
    let layout = message(Direction::Response)?.layout();
    let budget = Budget::bytes(64 * body.len());
    let response = decode(layout, &body, budget).map_err(|e| e.to_string())?;
    let found = |topic: &Struct| Found {
        id: match topic.get("TopicId") {
            Some(Value::Uuid(id)) => *id,
            _ => [0; 16],
        },
        name: topic.str("Name").map(str::to_owned),
        error: topic.int("ErrorCode"),
    };
    Ok(response.structs("Topics").map(found).collect())
}

fn message(direction: Direction) -> Result<Struct, String> {
    let layout = Schemas::get().layout(ApiKey::METADATA, METADATA_BY_ID, direction);
    layout.map(Struct::message).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_names_topics_by_id_and_by_name_and_creates_none() {
        let questions = Questions {
            ids: [[7; 16]].into(),
            topics: ["orders".into()].into(),
        };
        let frame = question(&questions).unwrap();
        let header = RequestHeader::read(&frame, frame.len() as u32)
            .unwrap()
            .unwrap();
        let body = frame.slice(header.length..);
        let layout = message(Direction::Request).unwrap().layout();
        let request = decode(layout, &body, Budget::of(body.len())).unwrap();
        let topics: Vec<_> = request.structs("Topics").collect();
        assert_eq!(topics[0].get("TopicId"), Some(&Value::Uuid([7; 16])));
        assert_eq!(topics[0].get("Name"), Some(&Value::Null));
        assert_eq!(topics[1].str("Name"), Some("orders"));
        assert_eq!(request.int("AllowAutoTopicCreation"), 0);
    }

    #[test]
    fn what_is_learned_is_known_and_stays() {
        let names = TopicNames::default();
        assert_eq!(names.get(&[1; 16]), None);
        names.learn([1; 16], "orders");
        names.learn([1; 16], "other");
        assert_eq!(names.get(&[1; 16]).as_deref(), Some("orders"));
    }
}
