//! From the broker to the client.

mod whole;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::{ApiKey, Direction, Schemas};

use crate::body::{Pass, ResponseBody, Said};
use crate::limits::{Place, raise, throttle_place};
use crate::notes::Answer;
use crate::observe::Observe;
use crate::records::{Head, RecordsAmendment, framed};
use crate::request::split_length;
use crate::session::{InFlight, InFlightKind, Node, Role, Shared};
use crate::step::{Refusal, Step};
use crate::verdict::{Amendment, TreeError, put_together};
use whole::{count, questions, whole};

/// A broker's responses have no limit of Kafka's own; this one is twice the
/// most that a client asks for by default (`fetch.max.bytes`), with room for
/// the one batch that may exceed it.
const MAX_FRAME: u32 = 256 * 1024 * 1024;
/// Responses that are changed are held whole. This much is metadata of about a
/// million partitions.
const MAX_WHOLE: u32 = 64 * 1024 * 1024;
/// Answers to a login.
const MAX_LOGIN: u32 = 64 * 1024;

/// The response direction's state.
#[derive(Default)]
pub(crate) struct Responses {
    body: Option<Passing>,
    /// When the response at hand began to come.
    first: Option<Duration>,
}

/// A response whose header has been forwarded.
struct Passing {
    remaining: usize,
    answer: Answer,
    request: InFlight,
    /// None where the client has got another answer: the broker's is dropped.
    body: Option<ResponseBody>,
}

/// What the beginning of a response leads to.
enum Begin {
    /// More bytes are needed, or what came before it has to go first.
    Later,
    /// So many bytes of length and header can be forwarded; the body follows.
    Body(usize, Box<Passing>),
    /// These bytes go in the place of so many; the rest of the body follows.
    Instead(usize, Bytes, Box<Passing>),
    /// The whole frame, of so many bytes with its length, is there and needed.
    Whole(usize),
    /// The session's own answer.
    Answer(InFlight, Bytes),
}

// === impl Responses ===

impl Responses {
    pub(crate) fn is_between_frames(&self) -> bool {
        self.body.is_none()
    }

    /// Decides about as much of `buffer` as can go in one write.
    pub(crate) fn step(
        &mut self,
        shared: &mut Shared,
        buffer: &mut BytesMut,
        now: Duration,
        observe: &mut impl Observe,
    ) -> Result<Step, Refusal> {
        let mut forward = 0;
        loop {
            if self.body.is_some() {
                let (n, pass) = self.pass(shared, &mut buffer[forward..], now, observe)?;
                if let Pass::Instead(instead) = pass {
                    let mut with = BytesMut::from(&buffer[..forward]);
                    with.extend_from_slice(&instead);
                    return Ok(Step::Replace {
                        consumed: forward + n,
                        with: with.freeze(),
                    });
                }
                forward += n;
                if self.body.is_some() {
                    break;
                }
                continue;
            }
            if !buffer[forward..].is_empty() {
                self.first.get_or_insert(now);
            }
            match begin(shared, &buffer[forward..], now, forward == 0)? {
                Begin::Later => break,
                Begin::Body(length, mut passing) => {
                    passing.answer.first = self.first.take();
                    self.body = Some(*passing);
                    forward += length;
                }
                Begin::Instead(consumed, with, mut passing) => {
                    passing.answer.first = self.first.take();
                    self.body = Some(*passing);
                    return Ok(Step::Replace { consumed, with });
                }
                Begin::Answer(request, with) => {
                    let answer = Answer {
                        first: None,
                        bytes: with.len() as u64,
                        throttle: count(&request, &with, observe)?,
                    };
                    request.done(shared, answer, now);
                    return Ok(Step::Replace { consumed: 0, with });
                }
                Begin::Whole(consumed) => {
                    let frame = buffer[..consumed].to_vec().into();
                    if let Some(questions) = questions(shared, &frame)? {
                        return Ok(Step::Ask(questions));
                    }
                    let first = self.first.take();
                    let with = whole(shared, &frame, (first, now), observe)?;
                    return Ok(Step::Replace { consumed, with });
                }
            }
        }
        Ok(match forward {
            0 => Step::NeedMore,
            n => Step::Forward(n),
        })
    }

    /// Lets the body pass as far as it is there; how many bytes that was.
    fn pass(
        &mut self,
        shared: &mut Shared,
        bytes: &mut [u8],
        now: Duration,
        observe: &mut impl Observe,
    ) -> Result<(usize, Pass), Refusal> {
        let Some(passing) = &mut self.body else {
            return Ok((0, Pass::AsItIs));
        };
        let n = passing.remaining.min(bytes.len());
        let pass = passing.feed(shared, &mut bytes[..n])?;
        passing.remaining -= n;
        if passing.remaining == 0
            && let Some(done) = self.body.take()
        {
            done.charge(shared, now);
            done.finish(shared, now, observe)?;
        }
        Ok((n, pass))
    }
}

// === impl Passing ===

impl Passing {
    fn new(request: InFlight, remaining: usize, rewrites: bool) -> Result<Self, Refusal> {
        let body = ResponseBody::new(request.api, request.version, remaining as u32, rewrites)
            .map_err(|error| malformed(&request, error))?;
        Ok(Self {
            remaining,
            answer: Answer::default(),
            request,
            body: Some(body),
        })
    }

    fn feed(&mut self, shared: &Shared, bytes: &mut [u8]) -> Result<Pass, Refusal> {
        let routes = match &shared.role {
            Role::Client { routes, .. } => Some(routes),
            Role::Node(_) => None,
        };
        let Some(body) = &mut self.body else {
            // Nothing in the place of nothing would be a step without end.
            return Ok(if bytes.is_empty() {
                Pass::AsItIs
            } else {
                Pass::Instead(Vec::new())
            });
        };
        let pass = body
            .feed(bytes, routes)
            .map_err(|error| malformed(&self.request, error))?;
        self.answer.bytes += match &pass {
            Pass::AsItIs => bytes.len(),
            Pass::Instead(with) => with.len(),
        } as u64;
        Ok(pass)
    }

    /// Charges the records that have passed.
    fn charge(&self, shared: &mut Shared, now: Duration) {
        let Role::Node(node) = &mut shared.role else {
            return;
        };
        let Node { guard, limits, .. } = &mut **node;
        if let (Some(limits), Some(body)) = (limits, &self.body)
            && carries_records(self.request.api)
        {
            limits.response(guard, self.request.api, body.consumed(), now);
        }
    }

    fn finish(
        mut self,
        shared: &mut Shared,
        now: Duration,
        observe: &mut impl Observe,
    ) -> Result<(), Refusal> {
        if let Some(body) = self.body {
            let api = self.request.name();
            if let Some(records) = self.request.records() {
                records.tell(api, observe);
            }
            let finished = body.finish(api, self.request.said(), observe);
            self.answer.throttle = finished.map_err(|error| malformed(&self.request, error))?;
        }
        self.request.done(shared, self.answer, now);
        Ok(())
    }
}

fn begin(shared: &mut Shared, bytes: &[u8], now: Duration, first: bool) -> Result<Begin, Refusal> {
    if let Some(InFlightKind::Answered(_)) = shared.in_flight.front().map(|next| &next.kind) {
        return Ok(own_answer(shared, first));
    }
    let Some((length, frame)) = split_length(bytes, MAX_FRAME)? else {
        return Ok(Begin::Later);
    };
    let seen = &frame[..frame.len().min(length as usize)];
    let Some(request) = expected(shared, length, seen)? else {
        return Ok(Begin::Later);
    };
    if let Some(limit) = whole_limit(&shared.role, request) {
        if length > limit {
            return Err(Refusal::FrameLength(i64::from(length)));
        }
        let complete = frame.len() >= length as usize;
        return Ok(if complete && first {
            Begin::Whole(PREFIX + length as usize)
        } else {
            Begin::Later
        });
    }
    let header = ResponseHeader::read(seen, length, request.api, request.version)
        .map_err(|error| malformed(request, error.to_string()))?;
    let Some(header) = header else {
        return Ok(Begin::Later);
    };
    let (head, body) = seen.split_at(header.length);
    let length = length as usize;
    if let Role::Node(node) = &mut shared.role
        && let Some(request) = shared.in_flight.front()
    {
        let throttle = throttle_of(node, request, length, now);
        if !throttle.is_zero()
            || request
                .records()
                .is_some_and(|r| r.changes_head(&node.guard))
        {
            if !first {
                return Ok(Begin::Later);
            }
            let changed = change_head(node, request, throttle, head, body, length);
            let changed = changed.map_err(|error| malformed(request, error.to_string()))?;
            // The request stays in the queue until enough of its response is there.
            let Some(changed) = changed else {
                return Ok(Begin::Later);
            };
            return match shared.in_flight.pop_front() {
                Some(request) => instead(changed, request, length - header.length),
                None => Ok(Begin::Later),
            };
        }
    }
    let Some(request) = shared.in_flight.pop_front() else {
        return Ok(Begin::Later);
    };
    let remaining = length - header.length;
    let rewrites = matches!(shared.role, Role::Client { .. });
    let mut passing = Passing::new(request, remaining, rewrites)?;
    passing.answer.bytes = (PREFIX + header.length) as u64;
    Ok(Begin::Body(PREFIX + header.length, Box::new(passing)))
}

/// The request that a response answers: the oldest one. `None` asks for more.
fn expected<'a>(
    shared: &'a Shared,
    length: u32,
    frame: &[u8],
) -> Result<Option<&'a InFlight>, Refusal> {
    let Some(correlation) = frame.first_chunk::<4>() else {
        return match length {
            0..4 => Err(Refusal::FrameLength(i64::from(length))),
            _ => Ok(None),
        };
    };
    let got = i32::from_be_bytes(*correlation);
    let next = shared.in_flight.front();
    match next {
        Some(request) if request.correlation_id == got => Ok(next),
        _ => Err(Refusal::Unexpected {
            got,
            expected: next.map(|request| request.correlation_id),
        }),
    }
}

/// Takes the session's own answer out of the queue.
fn own_answer(shared: &mut Shared, first: bool) -> Begin {
    if !first {
        return Begin::Later;
    }
    let Some(request) = shared.in_flight.pop_front() else {
        return Begin::Later;
    };
    let frame = match &request.kind {
        InFlightKind::Answered(frame) => frame.clone(),
        _ => Bytes::new(),
    };
    shared.answers = shared.answers.saturating_sub(frame.len());
    Begin::Answer(request, frame)
}

/// The new beginning of a response with records.
struct Changed {
    /// How long the header was.
    header: usize,
    /// Bytes of the body that it stands for.
    taken: Bytes,
    /// The frame's new beginning.
    with: Bytes,
    /// The rest of the body is dropped.
    drops: bool,
}

/// What a response that passes has to say of throttling.
fn throttle_of(node: &mut Node, request: &InFlight, length: usize, now: Duration) -> Duration {
    let Some(limits) = &mut node.limits else {
        return Duration::ZERO;
    };
    let layout = Schemas::get().layout(request.api, request.version, Direction::Response);
    if !layout.is_ok_and(|layout| throttle_place(layout) == Place::First) {
        return Duration::ZERO;
    }
    let expected = if carries_records(request.api) {
        limits.expected(request.api, length, now)
    } else {
        Duration::ZERO
    };
    request.throttle.max(expected)
}

fn change_head(
    node: &mut Node,
    request: &InFlight,
    throttle: Duration,
    header: &[u8],
    body: &[u8],
    length: usize,
) -> Result<Option<Changed>, TreeError> {
    let records = request
        .records()
        .filter(|records| records.changes_head(&node.guard));
    if let Some(records) = records.filter(|records| records.is_outdated(&node.guard)) {
        let answer = put_together(&records.outdated()?)?;
        return Ok(Some(Changed {
            header: header.len(),
            taken: Bytes::new(),
            with: framed(header, &answer),
            drops: true,
        }));
    }
    let complete = header.len() + body.len() == length;
    let head = match records {
        Some(records) => records.head(&mut node.sessions, body, complete)?,
        // The throttle time alone.
        None => body.first_chunk::<4>().map(|place| Head {
            length: place.len(),
            instead: place.to_vec(),
        }),
    };
    let Some(mut head) = head else {
        return Ok(None);
    };
    if !throttle.is_zero() {
        raise(&mut head.instead, throttle);
    }
    let mut with = Vec::with_capacity(PREFIX + header.len() + head.instead.len());
    let length = length + head.instead.len() - head.length;
    with.extend((length as i32).to_be_bytes());
    with.extend_from_slice(header);
    with.extend_from_slice(&head.instead);
    Ok(Some(Changed {
        header: header.len(),
        taken: Bytes::copy_from_slice(&body[..head.length]),
        with: with.into(),
        drops: false,
    }))
}

fn instead(changed: Changed, request: InFlight, body: usize) -> Result<Begin, Refusal> {
    let mut passing = Passing::new(request, body, false)?;
    if changed.drops {
        passing.body = None;
    } else if let Some(counting) = &mut passing.body {
        let mut taken = BytesMut::from(&changed.taken[..]);
        counting
            .feed(&mut taken, None)
            .map_err(|error| malformed(&passing.request, error))?;
    }
    passing.remaining -= changed.taken.len();
    passing.answer.bytes = changed.with.len() as u64;
    let consumed = PREFIX + changed.header + changed.taken.len();
    Ok(Begin::Instead(consumed, changed.with, Box::new(passing)))
}

/// How large a response may be that has to be seen whole; `None` for one that
/// passes as it comes.
fn whole_limit(role: &Role, request: &InFlight) -> Option<u32> {
    let InFlightKind::Client(amendment) = &request.kind else {
        return Some(MAX_LOGIN);
    };
    match amendment {
        Amendment::Versions => Some(MAX_LOGIN),
        Amendment::Access(_) => Some(MAX_WHOLE),
        Amendment::Records(records) if records.needs_whole() => Some(MAX_WHOLE),
        _ if matches!(role, Role::Client { .. }) && names_brokers(request.api) => Some(MAX_WHOLE),
        // Its throttle time stands behind what has to be passed before it.
        _ if !request.throttle.is_zero() => {
            let layout = Schemas::get().layout(request.api, request.version, Direction::Response);
            let later = layout.is_ok_and(|layout| throttle_place(layout) == Place::Later);
            later.then_some(MAX_WHOLE)
        }
        Amendment::Records(_) | Amendment::None => None,
    }
}

/// Responses whose records are counted against quotas.
fn carries_records(api: ApiKey) -> bool {
    matches!(api, ApiKey::FETCH | ApiKey::SHARE_FETCH)
}

/// Responses in which brokers' addresses stand before the end.
fn names_brokers(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::METADATA | ApiKey::FIND_COORDINATOR | ApiKey::DESCRIBE_CLUSTER
    )
}

// === impl InFlight ===

impl InFlight {
    fn name(&self) -> &'static str {
        self.api.name().unwrap_or("unknown API")
    }

    fn said(&self) -> &Said {
        &self.account.said
    }

    /// The client has its answer.
    fn done(self, shared: &mut Shared, answer: Answer, now: Duration) {
        let header = (self.api, self.version);
        shared.notes.done(header, self.account, answer, now);
    }

    fn records(&self) -> Option<&RecordsAmendment> {
        match &self.kind {
            InFlightKind::Client(Amendment::Records(records)) => Some(records),
            _ => None,
        }
    }
}

fn malformed(request: &InFlight, error: String) -> Refusal {
    Refusal::Malformed {
        side: "response",
        api: request.name(),
        version: request.version,
        error,
    }
}
