//! Requests that are seen whole before anything of them goes on.

use std::time::Duration;

use tubeway_protocol::ApiKey;
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::rewrite::fill_rack_id;

use super::{Begin, Known, MAX_PRODUCE, answered, forwarded, layout, malformed, unknown_api};
use crate::body::{BodyError, Ended, RequestBody};
use crate::denials;
use crate::places::Places;
use crate::records::framed;
use crate::session::{Node, Role, Shared};
use crate::step::{Refusal, Step};
use crate::verdict::{self, Amendment, Outcome, put_together};
use crate::{access, sasl, telemetry, versions};

/// A fetch of so many bytes names some ten thousand partitions; a larger one
/// passes without the client's rack rather than be held in memory.
const MAX_HELD: u32 = 1024 * 1024;
/// Requests that are looked at before they go on are held whole. This much is
/// a commit of some hundred thousand partitions.
const MAX_WHOLE: u32 = 16 * 1024 * 1024;
/// From which version on a fetch can carry a rack (KIP-392).
const FETCH_WITH_RACK: i16 = 11;

/// How large a request may be that has to be seen whole; `None` for one that
/// passes as it comes.
pub(super) fn whole_limit(shared: &Shared, header: Known, length: u32) -> Option<u32> {
    match (&shared.role, header.api) {
        (_, ApiKey::API_VERSIONS) => Some(MAX_HELD),
        (Role::Client { rack, .. }, ApiKey::FETCH) => {
            let wants = rack.is_some() && header.version >= FETCH_WITH_RACK && length <= MAX_HELD;
            wants.then_some(MAX_HELD)
        }
        (Role::Client { .. }, _) => None,
        (Role::Node(_), ApiKey::PRODUCE) => (length <= MAX_PRODUCE).then_some(MAX_PRODUCE),
        (Role::Node(_), api) if access::look(api).is_some_and(|look| !look.request) => {
            let own = Places::of(api).is_some() || is_sasl(api) || api == telemetry::PUSH;
            own.then_some(MAX_WHOLE)
        }
        (Role::Node(_), _) => Some(MAX_WHOLE),
    }
}

/// Decides about a whole frame, here without its length.
pub(super) fn whole(
    shared: &mut Shared,
    header: Known,
    header_length: usize,
    frame: &[u8],
    (first, now): (bool, Duration),
) -> Result<Begin, Refusal> {
    let (head, body) = frame.split_at(header_length);
    let (outcome, ended) = decide(shared, header, body).map_err(|e| malformed(header, e))?;
    let consumed = PREFIX + frame.len();
    // All but a pass is a step of its own: what came before goes first, and
    // this frame is decided about again.
    if !first && !matches!(outcome, Outcome::Pass(_)) {
        return Ok(Begin::Alone(Step::NeedMore));
    }
    if outcome.refuses()
        && let Role::Node(node) = &shared.role
        && let Ok(layout) = layout(header)
    {
        let denials = denials::find(&node.guard, layout, body);
        shared.notes.refused(denials);
    }
    let begin = match outcome {
        Outcome::Ask(questions) => return Ok(Begin::Alone(Step::Ask(questions))),
        Outcome::Close(reason) => {
            shared.closing = Some(reason);
            // Looked at again at once, or when the last answer has passed.
            return Ok(Begin::Alone(Step::Answered(consumed)));
        }
        Outcome::ServeAndClose(with, reason) => {
            let ended = checked(header, &with)?;
            forwarded(shared, header, ended, Amendment::None, now);
            shared.closing = Some(reason);
            Begin::Alone(Step::Replace {
                consumed,
                with: framed(head, &with),
            })
        }
        Outcome::Pass(amendment) => {
            let ended = match ended {
                Some(ended) => ended,
                None => checked(header, body)?,
            };
            forwarded(shared, header, ended, amendment, now);
            Begin::Whole(consumed)
        }
        Outcome::Instead(with, amendment) => {
            let ended = checked(header, &with)?;
            forwarded(shared, header, ended, amendment, now);
            Begin::Alone(Step::Replace {
                consumed,
                with: framed(head, &with),
            })
        }
        Outcome::Answer(answer) => {
            let body = put_together(&answer).map_err(|e| malformed(header, e.to_string()))?;
            answered(shared, header, &body, now)?;
            Begin::Alone(Step::Answered(consumed))
        }
        Outcome::AnswerBytes(body) => {
            answered(shared, header, &body, now)?;
            Begin::Alone(Step::Answered(consumed))
        }
    };
    if let Role::Node(node) = &mut shared.role {
        node.guard.decided();
    }
    Ok(begin)
}

fn is_sasl(api: ApiKey) -> bool {
    matches!(api, ApiKey::SASL_HANDSHAKE | ApiKey::SASL_AUTHENTICATE)
}

/// What becomes of a request, and what is counted of it as it came, where the
/// decision has looked at that already.
fn decide(
    shared: &mut Shared,
    header: Known,
    body: &[u8],
) -> Result<(Outcome, Option<Ended>), String> {
    let (api, version) = (header.api, header.version);
    if api == ApiKey::API_VERSIONS {
        let outcome = match versions::too_new() {
            Some(answer) if !versions::knows(version) => Outcome::AnswerBytes(answer),
            _ => Outcome::Pass(Amendment::Versions),
        };
        return Ok((outcome, None));
    }
    let outcome = match &mut shared.role {
        Role::Client { rack, .. } => {
            let rack = rack.as_deref().unwrap_or_default();
            let filled = fill_rack_id(version, body, rack).map_err(|e| e.to_string())?;
            match filled {
                Some(body) => Outcome::Instead(body.into(), Amendment::None),
                None => Outcome::Pass(Amendment::None),
            }
        }
        Role::Node(node) => {
            let layout = layout(header).map_err(|e| e.to_string())?;
            let Node {
                guard, sessions, ..
            } = &mut **node;
            if let Some(places) = Places::of(api) {
                let decided = sessions.decide(places, guard, layout, body);
                let (outcome, ended) = decided.map_err(|e| e.to_string())?;
                return Ok((outcome, Some(ended)));
            }
            let outcome = match api {
                _ if is_sasl(api) => sasl::already_authenticated(api, version),
                telemetry::PUSH => telemetry::decide(layout, body),
                _ => verdict::decide(guard, layout, body),
            };
            outcome.map_err(|e| e.to_string())?
        }
    };
    Ok((outcome, None))
}

/// What a whole body says that is counted, and whether it wants an answer.
fn checked(header: Known, body: &[u8]) -> Result<Ended, Refusal> {
    let mut counting =
        RequestBody::new(header.api, header.version, body.len() as u32).map_err(unknown_api)?;
    let fed = counting.feed(body).map_err(BodyError::from);
    let ended = fed.and_then(|()| counting.finish());
    ended.map_err(|error| malformed(header, error.to_string()))
}
