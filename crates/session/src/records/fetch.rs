//! Fetch.

use tubeway_policy::acl::Operation;
use tubeway_policy::rules::Resource;
use tubeway_protocol::Layout;

use crate::access::Questions;
use crate::guard::Guard;
use crate::places::{Denied, FETCH, FINAL_EPOCH, Found, TOPIC_DENIED};
use crate::records::{Opening, RecordsAmendment, has_unknown, rest, session_not_found, update};
use crate::verdict::{Amendment, Outcome, TreeError, response, take_apart};

/// The first version with fetch sessions (KIP-227).
const SESSIONS: i16 = 7;

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
}

pub(super) fn decide(
    session: &mut Option<FetchSession>,
    guard: &Guard,
    layout: &'static Layout,
    body: &[u8],
    found: Found,
) -> Result<Outcome, TreeError> {
    let (id, epoch) = found.session;
    let fingerprint = guard.fingerprint();
    let version = layout.version();
    let incremental = version >= SESSIONS && epoch > 0;
    let holds = |session: &FetchSession| session.id == id && session.fingerprint == fingerprint;
    if incremental && !session.as_ref().is_some_and(holds) {
        return begin_anew(session, layout);
    }
    let follower_denied =
        found.replica >= 0 && !guard.allows(Operation::ClusterAction, Resource::CLUSTER);
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
        } else if found.replica >= 0 {
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
                update(
                    &mut session.denied,
                    &FETCH,
                    std::mem::take(&mut denied),
                    &request,
                );
                denied.clone_from(&session.denied);
            }
        }
    }
    if !incremental && version >= SESSIONS {
        *session = None;
    }
    let opening = match epoch {
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
        in_session: version >= SESSIONS && epoch != FINAL_EPOCH,
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
