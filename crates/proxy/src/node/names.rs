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

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::mpsc;
use tracing::debug;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker, What};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::access::{NameOf, Names};
use tubeway_telemetry::Shutdown;

use crate::frames::{LoginError, read_frame, write_frame};
use crate::node::login::Login;

/// Names that are kept; more topics than this are asked for again and again.
const MAX_NAMES: usize = 100_000;
/// Ids that wait to be asked for.
const MAX_WAITING: usize = 1024;
/// After a question that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// Metadata about the topics asked for.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// The first version in which topics are asked for by id alone.
const METADATA_BY_ID: i16 = 12;

type Id = [u8; 16];

/// Names by id. Clones share them. Without a broker to ask (the default),
/// nothing is known.
#[derive(Clone, Default)]
pub struct TopicNames {
    known: Arc<RwLock<HashMap<Id, Arc<str>>>>,
    ask: Option<mpsc::Sender<Id>>,
    resolver: Option<Arc<Resolver>>,
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
        let (ask, asked) = mpsc::channel(MAX_WAITING);
        let resolver = Resolver {
            broker,
            signer,
            node,
        };
        let names = Self {
            known: Arc::default(),
            ask: None,
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
            ask: Some(ask),
            ..names
        }
    }

    /// Asks the broker now, and says which of the ids are no topics'. None
    /// where it could not be asked.
    pub async fn resolve(&self, mut ids: Vec<Id>) -> Option<Vec<Id>> {
        ids.sort_unstable();
        ids.dedup();
        let found = match self.resolver.as_ref()?.ask(&ids).await {
            Ok(found) => found,
            Err(error) => {
                debug!(%error, "topic ids could not be resolved");
                return None;
            }
        };
        for (id, name) in found {
            self.learn(id, &name);
        }
        ids.retain(|id| !self.knows(id));
        Some(ids)
    }

    /// The name, if it is known; if not, it is asked for.
    pub fn get(&self, id: &Id) -> Option<Arc<str>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known.get(id) {
            return Some(name.clone());
        }
        drop(known);
        if let Some(ask) = &self.ask {
            // Full: it is asked for again with the next request.
            let _ = ask.try_send(*id);
        }
        None
    }

    /// Asks for what has come up in counts, many ids at a time.
    async fn answer(self, mut asked: mpsc::Receiver<Id>) {
        let mut ids = Vec::new();
        while asked.recv_many(&mut ids, MAX_WAITING).await > 0 {
            let mut ids: Vec<Id> = ids.drain(..).filter(|id| !self.knows(id)).collect();
            ids.dedup();
            if !ids.is_empty() && self.resolve(ids).await.is_none() {
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
}

// === impl Resolver ===

impl Resolver {
    async fn ask(&self, ids: &[Id]) -> Result<Vec<(Id, String)>, LoginError> {
        let login = Login::new(&self.node);
        let mut broker = login.connect(self.broker, &self.signer).await?;
        write_frame(&mut broker, &question(ids)).await?;
        let answer = read_frame(&mut broker, MAX_ANSWER)
            .await?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(read_names(&answer).map_err(io::Error::other)?)
    }
}

/// A Metadata request for these ids, without its length.
fn question(ids: &[Id]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(ApiKey::METADATA.0);
    out.put_i16(METADATA_BY_ID);
    out.put_i32(0);
    out.put_i16(-1);
    out.put_u8(0);
    put_varint(&mut out, ids.len() as u32 + 1);
    for id in ids {
        out.put_slice(id);
        // No name, no tagged fields.
        out.put_slice(&[0, 0]);
    }
    // No creation, no authorized operations, no tagged fields.
    out.put_slice(&[0, 0, 0]);
    out.freeze()
}

/// Ids and names of the topics in a Metadata response, without its length.
fn read_names(frame: &[u8]) -> Result<Vec<(Id, String)>, String> {
    const ID: Mark = Mark(1);
    const NAME: Mark = Mark(2);
    let layout = Schemas::get()
        .layout(ApiKey::METADATA, METADATA_BY_ID, Direction::Response)
        .map_err(|e| e.to_string())?;
    let paths = [("Topics.TopicId", ID), ("Topics.Name", NAME)];
    let interest = Interest::new(layout, &paths).map_err(|e| e.to_string())?;
    let length = frame.len() as u32;
    let header = ResponseHeader::read(frame, length, ApiKey::METADATA, METADATA_BY_ID)
        .map_err(|e| e.to_string())?
        .ok_or("the response ends within its header")?;
    let start = header.length as u64;
    let mut walker = Walker::new(
        Arc::new(interest),
        start,
        u64::from(length),
        Trailing::Allow,
    );
    let mut names = Vec::new();
    let mut name = None;
    walker
        .feed(&frame[header.length..], |event| {
            match (event.mark, event.what) {
                (NAME, What::Text(text)) => name = Some(text.to_owned()),
                (NAME, _) => name = None,
                (ID, What::Uuid(id)) => names.extend(name.take().map(|name| (id, name))),
                _ => {}
            }
        })
        .map_err(|e| e.to_string())?;
    Ok(names)
}

fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_a_metadata_request_by_the_schema() {
        let frame = question(&[[7; 16], [8; 16]]);
        let header = tubeway_protocol::header::RequestHeader::read(&frame, frame.len() as u32)
            .unwrap()
            .unwrap();
        let layout = Schemas::get()
            .layout(header.api, header.version, Direction::Request)
            .unwrap();
        let interest = Arc::new(Interest::none(layout));
        let length = frame.len() as u64;
        let mut walker = Walker::new(interest, header.length as u64, length, Trailing::Refuse);
        walker.feed(&frame[header.length..], |_| {}).unwrap();
        assert!(walker.is_done());
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
