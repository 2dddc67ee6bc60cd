//! The APIs that carry records: Produce, Fetch, ShareFetch, ShareAcknowledge.
//!
//! What of a request may not be used is cut from it, and its refusal is put
//! into the response; all else passes as it came.
//!
//! # Sessions
//! Fetch sessions (KIP-227) and share sessions (KIP-932) let later requests name
//! only what changes. So that what was allowed when a session began is not
//! served for ever, a session holds only as long as the rules that concern its
//! caller: when they change, its next request is answered as by a broker that
//! has forgotten the session, and the client begins a new one with everything
//! in it. A session that was not begun on this connection is answered the same.

mod fetch;
mod large;
mod produce;
mod share;

use bytes::{Bytes, BytesMut};
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::walk::What;
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

use std::collections::BTreeSet;

use crate::body::Ended;
use crate::guard::Guard;
use crate::interest::{ERROR, RESPONSES, walker};
use crate::observe::Observe;
use crate::places::{Denied, Key, NOT_LEADER, Places, TOPIC_DENIED, UNKNOWN_TOPIC_ID};
use crate::verdict::{Outcome, TreeError, put_together, response};

pub(crate) use fetch::FetchSession;
pub(crate) use large::{Beginning, Large};
pub(crate) use produce::UNACKNOWLEDGED;
pub(crate) use share::ShareSession;

/// Everything before the first topic of a response fits into this.
const MAX_HEAD: usize = 64 * 1024;

/// What a response with records needs.
#[derive(Debug)]
pub(crate) struct RecordsAmendment {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    /// What the caller may not use, to be told so.
    denied: Vec<Denied>,
    /// What becomes of the session that the broker may open.
    opening: Opening,
    /// The rules under which the request was let through.
    fingerprint: u64,
    /// Whether the request was in a session, or wanted one.
    in_session: bool,
}

/// What becomes of a fetch session that the broker opens for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// The request asks for none.
    None,
    /// It is remembered, with what was denied.
    Remember,
    /// The client is told that there is none: something in the request has no
    /// name yet, and has to be asked for again as long as that is so.
    Hide,
}

/// The beginning of a response's body, up to its topics.
pub(crate) struct Head {
    /// Bytes of it.
    pub(crate) length: usize,
    /// What it becomes.
    pub(crate) instead: Vec<u8>,
}

/// The sessions of a connection.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    fetch: Option<FetchSession>,
    share: Option<ShareSession>,
}

// === impl Sessions ===

impl Sessions {
    /// Decides about a whole request of an API that carries records, and says
    /// what is counted of it where it passes as it is.
    pub(crate) fn decide(
        &mut self,
        places: &Places,
        guard: &Guard,
        layout: &'static Layout,
        body: &[u8],
    ) -> Result<(Outcome, Ended), TreeError> {
        let (found, ended) = places.look(guard, layout, body)?;
        let outcome = match layout.api() {
            ApiKey::PRODUCE => produce::decide(guard, layout, body, found)?,
            ApiKey::FETCH => fetch::decide(&mut self.fetch, guard, layout, body, found)?,
            _ => share::decide(&mut self.share, guard, layout, body, (places, found))?,
        };
        Ok((outcome, ended))
    }
}

// === impl RecordsAmendment ===

impl RecordsAmendment {
    /// Whether the response has to be seen whole; those with records pass.
    pub(crate) fn needs_whole(&self) -> bool {
        self.api == ApiKey::PRODUCE
    }

    /// Whether the beginning of the response has to be changed, or looked at.
    pub(crate) fn changes_head(&self, guard: &Guard) -> bool {
        !self.denied.is_empty() || self.opening != Opening::None || self.is_outdated(guard)
    }

    /// Counts the refusals.
    pub(crate) fn tell(&self, api: &'static str, observe: &mut impl Observe) {
        for denied in &self.denied {
            for _ in &denied.partitions {
                observe.error(api, denied.error);
            }
            if matches!(denied.error, TOPIC_DENIED | NOT_LEADER) {
                observe.denied(&denied.topic.observed());
            }
        }
    }

    /// Whether the rules have changed since the request was let through: what
    /// the broker sends now may be what the caller may no longer read.
    pub(crate) fn is_outdated(&self, guard: &Guard) -> bool {
        !self.needs_whole() && self.fingerprint != guard.fingerprint()
    }

    /// The answer in place of one that is outdated: nothing, and in a session
    /// that it is to be begun anew.
    pub(crate) fn outdated(&self) -> Result<Struct, TreeError> {
        let mut answer = response(self.api, self.version)?;
        if self.in_session {
            answer.set("ErrorCode", session_not_found(self.api));
        }
        Ok(answer)
    }

    /// Puts the refusals into a whole response.
    pub(crate) fn apply(&self, response: &mut Struct) {
        produce::refuse(response, &self.denied);
    }

    /// Changes the beginning of a response; `None` asks for more of it.
    pub(crate) fn head(
        &self,
        sessions: &mut Sessions,
        body: &[u8],
        complete: bool,
    ) -> Result<Option<Head>, TreeError> {
        let layout = Schemas::get().layout(self.api, self.version, Direction::Response)?;
        let Some((start, end, count, error)) = find_topics(layout, body)? else {
            let enough = complete || body.len() > MAX_HEAD;
            return Ok(enough.then(|| Head {
                length: 0,
                instead: Vec::new(),
            }));
        };
        let mut instead = body[..start].to_vec();
        if error == 0 {
            self.open(sessions, &mut instead);
        }
        if error == 0 && !self.denied.is_empty() {
            let entries = self.entries()?;
            instead.extend(layout.encode_count(count + entries.len() as u32));
            for entry in entries {
                entry.encode(&mut instead)?;
            }
        } else {
            instead.extend_from_slice(&body[start..end]);
        }
        Ok(Some(Head {
            length: end,
            instead,
        }))
    }

    /// Takes note of the session's number, which follows throttle time and error.
    fn open(&self, sessions: &mut Sessions, head: &mut [u8]) {
        let Some(number) = head.get_mut(6..10).filter(|_| self.api == ApiKey::FETCH) else {
            return;
        };
        match self.opening {
            Opening::None => {}
            Opening::Hide => number.fill(0),
            Opening::Remember => {
                let id = (&*number).try_into().map_or(0, i32::from_be_bytes);
                sessions.fetch = FetchSession::new(id, self.fingerprint, self.denied.clone());
            }
        }
    }

    /// One entry a topic that may not be used.
    fn entries(&self) -> Result<Vec<Struct>, TreeError> {
        let message = response(self.api, self.version)?;
        let entry = |denied: &Denied| {
            let mut entry = message.child("Responses")?;
            denied.topic.name_in(&mut entry, "Topic");
            let partitions = denied.partitions.iter().filter_map(|index| {
                let mut partition = entry.child("Partitions")?;
                partition.set("PartitionIndex", *index);
                partition.set("ErrorCode", denied.error);
                if self.api == ApiKey::FETCH {
                    partition.set("HighWatermark", -1_i64);
                    partition.set("Records", Value::Records(Bytes::new()));
                }
                Some(partition)
            });
            let partitions: Vec<_> = partitions.collect();
            entry.set("Partitions", partitions);
            Some(entry)
        };
        Ok(self.denied.iter().filter_map(entry).collect())
    }
}

/// Where the count of topics is, what it is, and the error before it.
fn find_topics(
    layout: &'static Layout,
    body: &[u8],
) -> Result<Option<(usize, usize, u32, i64)>, TreeError> {
    // How long the body is does not matter: only its beginning is walked.
    let mut walker = walker(layout, Direction::Response, u64::from(u32::MAX));
    let (mut found, mut error) = (None, 0);
    let head = &body[..body.len().min(MAX_HEAD)];
    let outcome = walker.feed(head, |event| match (event.mark, event.what) {
        (ERROR, What::Int(code)) if found.is_none() => error = code,
        (RESPONSES, What::ArrayStart(count)) if found.is_none() => {
            found = Some((event.span.start as usize, event.span.end as usize, count));
        }
        _ => {}
    });
    match found {
        Some((start, end, count)) => Ok(Some((start, end, count, error))),
        None => outcome.map(|_| None).map_err(TreeError::from),
    }
}

/// Kafka's word for a session that it does not know.
fn session_not_found(api: ApiKey) -> i16 {
    match api {
        ApiKey::FETCH => 70,
        _ => 122,
    }
}

/// A frame of the session's own: its length, header and body.
pub(crate) fn framed(header: &[u8], body: &[u8]) -> Bytes {
    use bytes::BufMut as _;
    let length = header.len() + body.len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_i32(length as i32);
    frame.put_slice(header);
    frame.put_slice(body);
    frame.freeze()
}

/// What is left of a request, if something was cut.
fn rest(request: &Struct, denied: &[Denied]) -> Result<Option<Bytes>, TreeError> {
    if denied.is_empty() {
        return Ok(None);
    }
    put_together(request).map(Some)
}

/// Whether something has no name yet.
fn has_unknown(denied: &[Denied]) -> bool {
    denied.iter().any(|denied| denied.error == UNKNOWN_TOPIC_ID)
}

/// Takes into a session's refusals what an incremental request changes.
fn update(session: &mut Vec<Denied>, places: &Places, added: Vec<Denied>, request: &Struct) {
    for topic in request.structs("ForgottenTopicsData") {
        if let Some(key) = places.key(topic) {
            let forgotten = topic.get("Partitions").and_then(Value::as_bytes);
            forget(session, &key, forgotten);
        }
    }
    remember(session, added);
}

/// Takes partitions (packed, as they are on the wire) of a topic out of a
/// session's refusals.
fn forget(from: &mut [Denied], topic: &Key, packed: Option<&Bytes>) {
    let Some(packed) = packed else {
        return;
    };
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, i32::from_be_bytes);
    let forgotten: BTreeSet<i32> = packed.chunks_exact(4).map(number).collect();
    for denied in from.iter_mut().filter(|denied| denied.topic == *topic) {
        denied.partitions.retain(|index| !forgotten.contains(index));
    }
}

/// Adds refusals to those of a session.
fn remember(all: &mut Vec<Denied>, added: Vec<Denied>) {
    for new in added {
        match all.iter_mut().find(|old| old.topic == new.topic) {
            Some(old) => {
                let known: BTreeSet<i32> = old.partitions.iter().copied().collect();
                let fresh = new.partitions.into_iter();
                old.partitions
                    .extend(fresh.filter(|index| !known.contains(index)));
            }
            None => all.push(new),
        }
    }
    all.retain(|denied| !denied.partitions.is_empty());
}
