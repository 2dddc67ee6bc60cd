//! From the client to the broker.

mod whole;

use std::time::Duration;

use bytes::Bytes;
use tubeway_policy::quota::Permit;
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::{HeaderError, RequestHeader, ResponseHeader};
use tubeway_protocol::schema::UnknownMessage;
use tubeway_protocol::walk::WalkError;
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

use crate::body::{Ended, Produced, RequestBody, Said};
use crate::denials;
use crate::guard::Guard;
use crate::limits::{Admission, throttled};
use crate::notes::Account;
use crate::records::{Beginning, Large, UNACKNOWLEDGED, framed};
use crate::session::{Admitted, InFlight, InFlightKind, Node, Role, Shared};
use crate::step::{Refusal, Step};
use crate::verdict::{Amendment, put_together};
use whole::{whole, whole_limit};

/// Kafka's own default limit (`socket.request.max.bytes`).
const MAX_FRAME: u32 = 100 * 1024 * 1024;
/// A Produce up to this size is held whole, so that what is denied in it can be
/// cut out. Java sends no larger ones unless told to.
const MAX_PRODUCE: u32 = 1024 * 1024;
/// So much of a larger one has to be there before it begins to pass: its first
/// topic is in it.
const LOOK_AHEAD: usize = 64 * 1024;

/// The request direction's state.
#[derive(Default)]
pub(crate) struct Requests {
    body: Option<Passing>,
    /// Since when the request at hand could go, if it were not for this sidecar.
    arrived: Option<Duration>,
}

/// A request whose header has been forwarded.
struct Passing {
    remaining: usize,
    /// How long it had to wait before it could begin to pass.
    held: Duration,
    header: Known,
    body: RequestBody,
    /// Judges a Produce that is too large to be held.
    large: Option<Box<Large>>,
}

/// What is remembered of a header.
#[derive(Debug, Clone, Copy)]
struct Known {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    /// Of the frame, with its length.
    bytes: u64,
    arrived: Duration,
}

// === impl Requests ===

impl Requests {
    pub(crate) fn is_between_frames(&self) -> bool {
        self.body.is_none()
    }

    /// Decides about as much of `buffer` as can go in one write.
    pub(crate) fn step(
        &mut self,
        shared: &mut Shared,
        buffer: &[u8],
        now: Duration,
    ) -> Result<Step, Refusal> {
        let mut forward = 0;
        loop {
            if self.is_dropping() && !buffer[forward..].is_empty() {
                // What came before it goes first.
                return Ok(match forward {
                    0 => Step::Answered(self.pass(shared, buffer, now)?),
                    n => Step::Forward(n),
                });
            }
            if self.body.is_some() {
                forward += self.pass(shared, &buffer[forward..], now)?;
                if self.body.is_some() {
                    break;
                }
                continue;
            }
            let begin = self.begin(shared, &buffer[forward..], now, forward == 0)?;
            if !begin.is_held() {
                self.arrived = None;
            }
            match begin {
                Begin::Body(n) | Begin::Whole(n) => forward += n,
                Begin::Alone(step) if forward == 0 => return Ok(step),
                // What came before it goes first.
                Begin::Alone(_) | Begin::More => break,
            }
        }
        Ok(match forward {
            0 => Step::NeedMore,
            n => Step::Forward(n),
        })
    }

    /// Looks at the beginning of a frame.
    fn begin(
        &mut self,
        shared: &mut Shared,
        bytes: &[u8],
        now: Duration,
        first: bool,
    ) -> Result<Begin, Refusal> {
        if let Some(reason) = shared.closing.filter(|_| shared.is_settled()) {
            return Err(Refusal::Denied(reason));
        }
        if shared.draining || shared.closing.is_some() {
            return Ok(Begin::Alone(Step::Wait));
        }
        let muted = shared.muted_for(now);
        if !muted.is_zero() {
            return Ok(Begin::Alone(Step::Pause(muted)));
        }
        let Some((length, frame)) = split_length(bytes, MAX_FRAME)? else {
            return Ok(Begin::More);
        };
        let seen = &frame[..frame.len().min(length as usize)];
        let header = RequestHeader::read(seen, length).map_err(|e| match e {
            HeaderError::Unknown { unknown, .. } => unknown_api(unknown),
            e => Refusal::Header(e.to_string()),
        })?;
        let Some(header) = header else {
            return Ok(Begin::More);
        };
        let arrived = *self.arrived.get_or_insert(now);
        if !shared.has_room() {
            return Ok(Begin::Alone(Step::Wait));
        }
        if shared.login_is_due(now) {
            return Ok(Begin::Alone(Step::Login));
        }
        let known = Known {
            api: header.api,
            version: header.version,
            correlation_id: header.correlation_id,
            bytes: PREFIX as u64 + u64::from(length),
            arrived,
        };
        let header_length = header.length;
        let client_id = header.client_id.unwrap_or_default();
        if let Some(limit) = whole_limit(shared, known, length) {
            if length > limit {
                return Err(Refusal::FrameLength(i64::from(length)));
            }
            if frame.len() < length as usize {
                return Ok(Begin::More);
            }
            let frame = &frame[..length as usize];
            if let Some(wait) = admit(shared, known, client_id, now) {
                return Ok(Begin::Alone(wait));
            }
            return whole(shared, known, header_length, frame, (first, now));
        }
        let remaining = length as usize - header_length;
        let beginning = &frame[header_length..frame.len().min(length as usize)];
        let mut large = None;
        if let (Role::Node(node), ApiKey::PRODUCE) = (&shared.role, known.api) {
            if beginning.len() < LOOK_AHEAD.min(remaining) {
                return Ok(Begin::More);
            }
            large = match begin_large(&node.guard, known, beginning, remaining)? {
                Beginning::Ask(questions) => return Ok(Begin::Alone(Step::Ask(questions))),
                Beginning::Drops(_) if !first => return Ok(Begin::Alone(Step::NeedMore)),
                Beginning::Drops(large) => {
                    let layout = layout(known).map_err(unknown_api)?;
                    let denials = denials::find(&node.guard, layout, beginning);
                    shared.notes.refused(denials);
                    Some(large)
                }
                Beginning::Passes(large) => Some(large),
            };
        }
        let body =
            RequestBody::new(known.api, known.version, remaining as u32).map_err(unknown_api)?;
        if let Some(wait) = admit(shared, known, client_id, now) {
            return Ok(Begin::Alone(wait));
        }
        self.body = Some(Passing {
            remaining,
            held: now.saturating_sub(arrived),
            header: known,
            body,
            large,
        });
        let header = PREFIX + header_length;
        Ok(if self.is_dropping() {
            Begin::Alone(Step::Answered(header))
        } else {
            Begin::Body(header)
        })
    }

    /// Lets the body pass as far as it is there; how many bytes that was.
    fn pass(&mut self, shared: &mut Shared, bytes: &[u8], now: Duration) -> Result<usize, Refusal> {
        let Some(passing) = &mut self.body else {
            return Ok(0);
        };
        let n = passing.remaining.min(bytes.len());
        passing.feed(shared, &bytes[..n])?;
        passing.remaining -= n;
        if passing.remaining == 0
            && let Some(done) = self.body.take()
        {
            done.finish(shared, now)?;
        }
        Ok(n)
    }

    fn is_dropping(&self) -> bool {
        let large = self.body.as_ref().and_then(|body| body.large.as_ref());
        large.is_some_and(|large| large.is_dropped())
    }
}

// === impl Passing ===

impl Passing {
    fn feed(&mut self, shared: &Shared, chunk: &[u8]) -> Result<(), Refusal> {
        let header = self.header;
        let malformed = |error: WalkError| malformed(header, error.to_string());
        let (Some(large), Role::Node(node)) = (&mut self.large, &shared.role) else {
            return self.body.feed(chunk).map_err(malformed);
        };
        let guard = &node.guard;
        let shown = self.body.show(chunk, |event| large.see(guard, event));
        shown.map_err(malformed)?;
        large.verdict(guard).map_err(Refusal::Denied)
    }

    fn finish(self, shared: &mut Shared, now: Duration) -> Result<(), Refusal> {
        // The time in which it came in is the client's.
        let header = Known {
            arrived: now.saturating_sub(self.held),
            ..self.header
        };
        let ended = self.body.finish();
        let ended = ended.map_err(|error| malformed(header, error.to_string()))?;
        match (self.large, &shared.role) {
            (Some(large), Role::Node(node)) if large.is_dropped() => {
                if !ended.wants_answer {
                    return Err(Refusal::Denied(UNACKNOWLEDGED));
                }
                let answer = large
                    .answer(&node.guard)
                    .and_then(|answer| put_together(&answer));
                let answer = answer.map_err(|error| malformed(header, error.to_string()))?;
                answered(shared, header, &answer, now)
            }
            _ => {
                forwarded(shared, header, ended, Amendment::None, now);
                Ok(())
            }
        }
    }
}

fn begin_large(
    guard: &Guard,
    header: Known,
    beginning: &[u8],
    length: usize,
) -> Result<Beginning, Refusal> {
    let layout = layout(header).map_err(unknown_api)?;
    Large::begin(guard, layout, beginning, length)
        .map_err(|error| malformed(header, error.to_string()))
}

fn layout(header: Known) -> Result<&'static Layout, UnknownMessage> {
    Schemas::get().layout(header.api, header.version, Direction::Request)
}

/// Lets a request in, or says what to do until it may go.
fn admit(shared: &mut Shared, header: Known, client_id: &str, now: Duration) -> Option<Step> {
    let Role::Node(node) = &mut shared.role else {
        return None;
    };
    if shared.admitted.is_some() {
        return None;
    }
    match node.limits.as_mut()?.admit(header.api, client_id, now) {
        Admission::Goes(permit) => {
            shared.admitted = Some(Admitted(permit));
            None
        }
        Admission::Waits(wait) => Some(Step::Pause(wait)),
    }
}

fn forwarded(
    shared: &mut Shared,
    header: Known,
    ended: Ended,
    amendment: Amendment,
    now: Duration,
) {
    let throttle = charged(shared, header, &ended.said.produced, ended.joins, now);
    let permit = shared.admitted.take().and_then(|admitted| admitted.0);
    shared.notes.software(ended.software);
    let account = header.account(ended.said);
    if !ended.wants_answer {
        let header = (header.api, header.version);
        return shared.notes.unanswered(header, account, now);
    }
    let kind = InFlightKind::Client(amendment);
    let request = header.in_flight(kind, account, throttle, permit);
    shared.in_flight.push_back(request);
}

fn charged(
    shared: &mut Shared,
    header: Known,
    produced: &[Produced],
    joins: bool,
    now: Duration,
) -> Duration {
    let Role::Node(node) = &mut shared.role else {
        return Duration::ZERO;
    };
    let Node { guard, limits, .. } = &mut **node;
    limits.as_mut().map_or(Duration::ZERO, |limits| {
        limits.request(guard, header.api, produced, joins, now)
    })
}

/// Puts an answer of the session's own into the queue.
fn answered(shared: &mut Shared, header: Known, body: &[u8], now: Duration) -> Result<(), Refusal> {
    let throttle = charged(shared, header, &[], false, now);
    let permit = shared.admitted.take().and_then(|admitted| admitted.0);
    let mut frame = Vec::new();
    ResponseHeader::write(
        &mut frame,
        header.api,
        header.version,
        header.correlation_id,
    )
    .map_err(unknown_api)?;
    let body = Bytes::copy_from_slice(body);
    let body = throttled(header.api, header.version, body, throttle)
        .map_err(|error| malformed(header, error.to_string()))?;
    let frame = framed(&frame, &body);
    shared.answers += frame.len();
    let kind = InFlightKind::Answered(frame);
    let account = header.account(Said::default());
    let request = header.in_flight(kind, account, throttle, permit);
    shared.in_flight.push_back(request);
    Ok(())
}

// === impl Known ===

impl Known {
    fn account(self, said: Said) -> Account {
        Account::new(self.arrived, self.bytes, said)
    }

    fn in_flight(
        self,
        kind: InFlightKind,
        account: Account,
        throttle: Duration,
        permit: Option<Permit>,
    ) -> InFlight {
        InFlight {
            correlation_id: self.correlation_id,
            api: self.api,
            version: self.version,
            kind,
            account,
            throttle,
            permit,
        }
    }
}

/// What the beginning of a frame leads to.
enum Begin {
    /// So many bytes of length and header can be forwarded; the body follows.
    Body(usize),
    /// A whole frame of so many bytes can be forwarded.
    Whole(usize),
    /// This, and nothing else in the same step.
    Alone(Step),
    /// More bytes are needed.
    More,
}

// === impl Begin ===

impl Begin {
    /// Whether the request is there and has to wait.
    fn is_held(&self) -> bool {
        match self {
            Self::Alone(step) => !matches!(step, Step::Replace { .. } | Step::Answered(_)),
            _ => false,
        }
    }
}

/// Length and what there is of the frame.
pub(crate) fn split_length(bytes: &[u8], limit: u32) -> Result<Option<(u32, &[u8])>, Refusal> {
    let Some((length, frame)) = bytes.split_first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let signed = i32::from_be_bytes(*length);
    match u32::try_from(signed) {
        Ok(length) if length <= limit => Ok(Some((length, frame))),
        _ => Err(Refusal::FrameLength(i64::from(signed))),
    }
}

fn malformed(header: Known, error: impl Into<String>) -> Refusal {
    Refusal::Malformed {
        side: "request",
        api: header.api.name().unwrap_or("unknown API"),
        version: header.version,
        error: error.into(),
    }
}

fn unknown_api(unknown: UnknownMessage) -> Refusal {
    match unknown {
        UnknownMessage::Api(api) => Refusal::UnknownApi {
            key: api.0,
            version: -1,
        },
        UnknownMessage::Version { api, version, .. } => Refusal::UnknownApi {
            key: api.0,
            version,
        },
    }
}
