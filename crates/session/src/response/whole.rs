//! Responses that have to be seen whole.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::{ApiKey, Direction, Schemas};

use super::{malformed, names_brokers};
use crate::access::Questions;
use crate::body::{ResponseBody, rewrite_whole};
use crate::limits::throttled;
use crate::notes::Answer;
use crate::observe::Observe;
use crate::records::framed;
use crate::session::{InFlight, InFlightKind, Node, Role, Shared};
use crate::step::Refusal;
use crate::verdict::{Amendment, TreeError, put_together, trusted};
use crate::{sasl, versions};

/// From which version on OffsetFetch names topics by id.
const OFFSETS_BY_ID: i16 = 10;

/// Offsets of all topics come by id (version 10 on): which of them the caller
/// may see can be said only when their names are known.
pub(super) fn questions(shared: &Shared, frame: &Bytes) -> Result<Option<Questions>, Refusal> {
    let (Role::Node(node), Some(request)) = (&shared.role, shared.in_flight.front()) else {
        return Ok(None);
    };
    let InFlightKind::Client(Amendment::Access(amend)) = &request.kind else {
        return Ok(None);
    };
    if request.api != ApiKey::OFFSET_FETCH || request.version < OFFSETS_BY_ID {
        return Ok(None);
    }
    let ids = || -> Result<_, TreeError> {
        let layout = Schemas::get().layout(request.api, request.version, Direction::Response)?;
        let body = frame.slice(header_length(request, frame)?..);
        let response = trusted(layout, &body)?;
        Ok(amend.ids_to_resolve(&node.guard.access(), &response))
    };
    let ids = ids().map_err(|error| malformed(request, error.to_string()))?;
    Ok((!ids.is_empty()).then(|| Questions::ids(ids)))
}

/// Handles a whole frame, its length included; what the client gets for it.
pub(super) fn whole(
    shared: &mut Shared,
    frame: &Bytes,
    (first, now): (Option<Duration>, Duration),
    observe: &mut impl Observe,
) -> Result<Bytes, Refusal> {
    let Some(mut request) = shared.in_flight.pop_front() else {
        return Ok(Bytes::new());
    };
    let body = || frame.slice((PREFIX + 4).min(frame.len())..);
    let amendment = match &mut request.kind {
        InFlightKind::Handshake => {
            sasl::read_handshake(&body()).map_err(|e| Refusal::Login(e.to_string()))?;
            return Ok(Bytes::new());
        }
        InFlightKind::Authenticate => {
            let life =
                sasl::read_authenticate(&body()).map_err(|e| Refusal::Login(e.to_string()))?;
            shared.logged_in(Duration::from_millis(life));
            return Ok(Bytes::new());
        }
        InFlightKind::Answered(frame) => return Ok(frame.clone()),
        InFlightKind::Client(amendment) => std::mem::take(amendment),
    };
    let error = |request: &InFlight, error: TreeError| malformed(request, error.to_string());
    let (with, throttle) = match &shared.role {
        Role::Client { routes, .. } if names_brokers(request.api) => {
            rewrite_whole(request.api, request.version, frame, routes, observe)
                .map_err(|error| malformed(&request, error))?
        }
        Role::Client { .. } => {
            let with = amended(None, &request, amendment, frame);
            (with.map_err(|e| error(&request, e))?, Duration::ZERO)
        }
        Role::Node(node) => {
            let frame =
                amended(Some(node), &request, amendment, frame).map_err(|e| error(&request, e))?;
            let throttle = count(&request, &frame, observe)?;
            (frame, throttle)
        }
    };
    let answer = Answer {
        first,
        bytes: with.len() as u64,
        throttle,
    };
    request.done(shared, answer, now);
    Ok(with)
}

/// The frame as the client gets it.
fn amended(
    node: Option<&Node>,
    request: &InFlight,
    amendment: Amendment,
    frame: &Bytes,
) -> Result<Bytes, TreeError> {
    let (api, version) = (request.api, request.version);
    let header = header_length(request, frame)?;
    let (head, body) = (&frame[PREFIX..header], frame.slice(header..));
    let changed = match (amendment, node) {
        (Amendment::None, _) => body,
        (Amendment::Versions, _) => versions::clamp(version, &body)?,
        (amendment, node) => {
            let layout = Schemas::get().layout(api, version, Direction::Response)?;
            let mut response = trusted(layout, &body)?;
            match (amendment, node) {
                (Amendment::Access(amend), Some(node)) => {
                    amend.apply(&node.guard.access(), &mut response);
                }
                (Amendment::Records(records), _) => records.apply(&mut response),
                _ => {}
            }
            put_together(&response)?
        }
    };
    let changed = throttled(api, version, changed, request.throttle)?;
    Ok(framed(head, &changed))
}

/// Counts what a whole frame says; how long the client is to pause.
pub(super) fn count(
    request: &InFlight,
    frame: &Bytes,
    observe: &mut impl Observe,
) -> Result<Duration, Refusal> {
    let error = |error: String| malformed(request, error);
    let header = header_length(request, frame).map_err(|e| error(e.to_string()))?;
    let mut body = BytesMut::from(&frame[header..]);
    let mut counting =
        ResponseBody::new(request.api, request.version, body.len() as u32, false).map_err(error)?;
    counting.feed(&mut body, None).map_err(error)?;
    counting
        .finish(request.name(), request.said(), observe)
        .map_err(error)
}

/// Where the body of a whole frame begins.
fn header_length(request: &InFlight, frame: &Bytes) -> Result<usize, TreeError> {
    let length = frame.len().saturating_sub(PREFIX) as u32;
    let frame = frame.get(PREFIX..).unwrap_or_default();
    let header = ResponseHeader::read(frame, length, request.api, request.version)?;
    header
        .map(|header| PREFIX + header.length)
        .ok_or(TreeError::Header)
}
