//! ShareFetch and ShareAcknowledge (KIP-932).

use tubeway_policy::acl::Operation;
use tubeway_policy::rules::Resource;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Layout};

use bytes::Bytes;

use crate::access::Questions;
use crate::guard::Guard;
use crate::places::{Denied, Found, Places};
use crate::records::{Opening, RecordsAmendment, has_unknown, rest, session_not_found, update};
use crate::verdict::{Amendment, Outcome, TreeError, response, take_apart};

/// Error code GROUP_AUTHORIZATION_FAILED.
const GROUP_DENIED: i16 = 30;

/// The share session of a connection. The broker knows it by group and member.
#[derive(Debug)]
pub(crate) struct ShareSession {
    group: Bytes,
    member: Bytes,
    /// The rules when it was begun.
    fingerprint: u64,
    /// What is in it for the client, and not for the broker.
    denied: Vec<Denied>,
}

pub(super) fn decide(
    session: &mut Option<ShareSession>,
    guard: &Guard,
    layout: &'static Layout,
    body: &[u8],
    (places, found): (&Places, Found),
) -> Result<Outcome, TreeError> {
    if !found.ask.is_empty() {
        return Ok(Outcome::Ask(Questions::ids(found.ask)));
    }
    let mut request = take_apart(layout, body)?;
    let group = request.str("GroupId").unwrap_or_default();
    if !guard.allows(Operation::Read, Resource::group(group)) {
        return refused(layout, GROUP_DENIED);
    }
    let fingerprint = guard.fingerprint();
    let fetches = layout.api() == ApiKey::SHARE_FETCH;
    let epoch = request.int("ShareSessionEpoch");
    let mut denied = if found.denied {
        places.cut(guard, &mut request)
    } else {
        Vec::new()
    };
    let holds = |session: &ShareSession| session.is_of(&request, fingerprint);
    if epoch > 0 && (has_unknown(&denied) || !session.as_ref().is_some_and(holds)) {
        *session = None;
        return refused(layout, session_not_found(layout.api()));
    }
    let instead = rest(&request, &denied)?;
    if fetches {
        if epoch > 0 {
            if let Some(session) = session {
                update(
                    &mut session.denied,
                    places,
                    std::mem::take(&mut denied),
                    &request,
                );
                denied.clone_from(&session.denied);
            }
        } else {
            // What has no name yet must be named again: no session remembers it.
            let holds = epoch == 0 && !has_unknown(&denied);
            *session = holds.then(|| ShareSession {
                group: bytes(&request, "GroupId"),
                member: bytes(&request, "MemberId"),
                fingerprint,
                denied: denied.clone(),
            });
        }
    }
    let amendment = Amendment::Records(Box::new(RecordsAmendment {
        api: layout.api(),
        version: layout.version(),
        denied,
        opening: Opening::None,
        fingerprint,
        in_session: true,
    }));
    Ok(match instead {
        Some(body) => Outcome::Instead(body, amendment),
        None => Outcome::Pass(amendment),
    })
}

fn refused(layout: &'static Layout, error: i16) -> Result<Outcome, TreeError> {
    let mut answer = response(layout.api(), layout.version())?;
    answer.set("ErrorCode", error);
    Ok(Outcome::Answer(Box::new(answer)))
}

fn bytes(request: &Struct, field: &str) -> Bytes {
    let bytes = request.get(field).and_then(Value::as_bytes);
    // The request's own buffer goes when it has been passed on.
    bytes.map(|b| Bytes::copy_from_slice(b)).unwrap_or_default()
}

// === impl ShareSession ===

impl ShareSession {
    fn is_of(&self, request: &Struct, fingerprint: u64) -> bool {
        let is = |field, own: &Bytes| request.get(field).and_then(Value::as_bytes) == Some(own);
        self.fingerprint == fingerprint
            && is("GroupId", &self.group)
            && is("MemberId", &self.member)
    }
}
