//! Fetch.

use tubeway_policy::acl::Operation;
use tubeway_policy::rules::Resource;
use tubeway_protocol::Layout;
use tubeway_protocol::value::{Struct, Value};

use crate::access::Questions;
use crate::guard::Guard;
use crate::places::{Denied, FETCH, TOPIC_DENIED};
use crate::records::{
    Opening, RecordsAmendment, forget, has_unknown, remember, rest, session_not_found,
};
use crate::verdict::{Amendment, Outcome, TreeError, response, take_apart};

/// The first version with fetch sessions (KIP-227).
const SESSIONS: i16 = 7;
/// The epoch of a request that wants no session, or ends one.
const FINAL_EPOCH: i64 = -1;

/// The fetch session of a connection, as far as it has to be known here.
#[derive(Debug)]
pub(crate) struct FetchSession {
    id: i32,
    /// The rules when it was begun.
    fingerprint: u64,
    /// What is in it for the client, and not for the broker: Kafka repeats the
    /// refusal in every response.
    denied: Vec<Denied>,
}

// === impl FetchSession ===

impl FetchSession {
    /// The session that a response has given a number; 0 is none.
    pub(crate) fn new(id: i32, fingerprint: u64, denied: Vec<Denied>) -> Option<Self> {
        (id != 0).then_some(Self {
            id,
            fingerprint,
            denied,
        })
    }

    /// Takes in what an incremental request changes.
    fn update(&mut self, added: Vec<Denied>, request: &Struct) {
        for topic in request.structs("ForgottenTopicsData") {
            if let Some(key) = FETCH.key(topic) {
                let forgotten = topic.get("Partitions").and_then(Value::as_bytes);
                forget(&mut self.denied, &key, forgotten);
            }
        }
        remember(&mut self.denied, added);
    }
}

pub(super) fn decide(
    session: &mut Option<FetchSession>,
    guard: &Guard,
    layout: &'static Layout,
    body: &[u8],
) -> Result<Outcome, TreeError> {
    let scan = Scan::of(layout, body)?;
    let fingerprint = guard.fingerprint();
    let version = layout.version();
    let incremental = version >= SESSIONS && scan.epoch > 0;
    let holds =
        |session: &FetchSession| session.id == scan.session && session.fingerprint == fingerprint;
    if incremental && !session.as_ref().is_some_and(holds) {
        return begin_anew(session, layout);
    }
    let follower_denied =
        scan.replica >= 0 && !guard.allows(Operation::ClusterAction, Resource::CLUSTER);
    let found = FETCH.look(guard, layout, body)?;
    if !found.ask.is_empty() && !follower_denied {
        return Ok(Outcome::Ask(Questions::ids(found.ask)));
    }
    let mut denied = Vec::new();
    let mut instead = None;
    let remembers = session.as_ref().is_some_and(|s| !s.denied.is_empty());
    if follower_denied || found.denied || (incremental && remembers) {
        let mut request = take_apart(layout, body)?;
        denied = if follower_denied {
            FETCH.take_all(&mut request, TOPIC_DENIED)
        } else if scan.replica >= 0 {
            // A replica of the cluster's own reads whatever it follows.
            Vec::new()
        } else {
            FETCH.cut(guard, &mut request)
        };
        instead = rest(&request, &denied)?;
        if incremental {
            if has_unknown(&denied) {
                return begin_anew(session, layout);
            }
            if let Some(session) = session {
                session.update(std::mem::take(&mut denied), &request);
                denied.clone_from(&session.denied);
            }
        }
    }
    if !incremental && version >= SESSIONS {
        *session = None;
    }
    let opening = match scan.epoch {
        0 if version < SESSIONS => Opening::None,
        0 if has_unknown(&denied) => Opening::Hide,
        0 => Opening::Remember,
        _ => Opening::None,
    };
    let amendment = Amendment::Records(Box::new(RecordsAmendment {
        api: layout.api(),
        version,
        opening,
        denied,
        fingerprint,
        in_session: version >= SESSIONS && scan.epoch != FINAL_EPOCH,
    }));
    Ok(match instead {
        Some(body) => Outcome::Instead(body, amendment),
        None => Outcome::Pass(amendment),
    })
}

/// Answers as a broker that has forgotten the session: the client begins anew,
/// with everything that it wants.
fn begin_anew(
    session: &mut Option<FetchSession>,
    layout: &'static Layout,
) -> Result<Outcome, TreeError> {
    *session = None;
    let mut answer = response(layout.api(), layout.version())?;
    answer.set("ErrorCode", session_not_found(layout.api()));
    Ok(Outcome::Answer(Box::new(answer)))
}

/// The numbers at the beginning of a request, and the replica's.
#[derive(Debug)]
struct Scan {
    replica: i64,
    session: i32,
    epoch: i64,
}

// === impl Scan ===

impl Scan {
    fn of(layout: &'static Layout, body: &[u8]) -> Result<Self, TreeError> {
        use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker, What};
        const REPLICA: Mark = Mark(1);
        const SESSION: Mark = Mark(2);
        const EPOCH: Mark = Mark(3);
        let paths = [
            ("ReplicaId", REPLICA),
            ("ReplicaState.ReplicaId", REPLICA),
            ("SessionId", SESSION),
            ("SessionEpoch", EPOCH),
        ];
        let interest = Interest::new(layout, &paths).unwrap_or_else(|_| Interest::none(layout));
        let length = body.len() as u64;
        let mut walker = Walker::new(interest.into(), 0, length, Trailing::Refuse);
        let mut scan = Self {
            replica: -1,
            session: 0,
            epoch: FINAL_EPOCH,
        };
        walker.feed(body, |event| match (event.mark, event.what) {
            (REPLICA, What::Int(id)) => scan.replica = id,
            (SESSION, What::Int(id)) => scan.session = id as i32,
            (EPOCH, What::Int(epoch)) => scan.epoch = epoch,
            _ => {}
        })?;
        Ok(scan)
    }
}
