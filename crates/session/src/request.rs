//! From the client to the broker.

use std::time::Duration;

use tubeway_protocol::ApiKey;
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::{HeaderError, RequestHeader};
use tubeway_protocol::schema::UnknownMessage;

use crate::body::{Produced, RequestBody, with_rack};
use crate::session::{InFlight, InFlightKind, Role, Shared};
use crate::step::{Refusal, Step};

/// Kafka's own default limit (`socket.request.max.bytes`).
const MAX_FRAME: u32 = 100 * 1024 * 1024;
/// A fetch of so many bytes names some ten thousand partitions; a larger one
/// passes without the client's rack rather than be held in memory.
const MAX_HELD: u32 = 1024 * 1024;
/// From which version on a fetch can carry a rack (KIP-392).
const FETCH_WITH_RACK: i16 = 11;

/// The request direction's state.
#[derive(Default)]
pub(crate) struct Requests {
    body: Option<Passing>,
}

/// A request whose header has been forwarded.
struct Passing {
    remaining: usize,
    header: Known,
    body: RequestBody,
}

/// What is remembered of a header.
#[derive(Debug, Clone, Copy)]
struct Known {
    api: ApiKey,
    version: i16,
    correlation_id: i32,
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
            if self.body.is_some() {
                forward += self.pass(shared, &buffer[forward..])?;
                if self.body.is_some() {
                    break;
                }
                continue;
            }
            match self.begin(shared, &buffer[forward..], now, forward == 0)? {
                Begin::Body(header) => forward += header,
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
        if shared.draining {
            return Ok(Begin::Alone(Step::Wait));
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
        };
        let header_length = header.length;
        if let Role::Client {
            rack: Some(rack), ..
        } = &shared.role
            && known.api == ApiKey::FETCH
            && known.version >= FETCH_WITH_RACK
            && length <= MAX_HELD
        {
            if frame.len() < length as usize {
                return Ok(Begin::More);
            }
            // Anything before this frame is forwarded first.
            if !first {
                return Ok(Begin::Alone(Step::NeedMore));
            }
            let (head, body) = frame[..length as usize].split_at(header_length);
            let with = with_rack(known.version, head, body, rack)
                .map_err(|error| malformed(known, error))?;
            self.sent(shared, known, Vec::new());
            return Ok(Begin::Alone(Step::Replace {
                consumed: PREFIX + length as usize,
                with,
            }));
        }
        let remaining = length as usize - header_length;
        let body =
            RequestBody::new(known.api, known.version, remaining as u32).map_err(unknown_api)?;
        self.body = Some(Passing {
            remaining,
            header: known,
            body,
        });
        Ok(Begin::Body(PREFIX + header_length))
    }

    /// Lets the body pass as far as it is there; how many bytes that was.
    fn pass(&mut self, shared: &mut Shared, bytes: &[u8]) -> Result<usize, Refusal> {
        let Some(passing) = &mut self.body else {
            return Ok(0);
        };
        let n = passing.remaining.min(bytes.len());
        let header = passing.header;
        passing
            .body
            .feed(&bytes[..n])
            .map_err(|error| malformed(header, error))?;
        passing.remaining -= n;
        if passing.remaining == 0
            && let Some(done) = self.body.take()
        {
            let ended = done
                .body
                .finish()
                .map_err(|error| malformed(header, error))?;
            if ended.wants_answer {
                self.sent(shared, header, ended.produced);
            }
        }
        Ok(n)
    }

    #[expect(
        clippy::unused_self,
        reason = "reads as what it is: this direction has sent a request"
    )]
    fn sent(&self, shared: &mut Shared, header: Known, produced: Vec<Produced>) {
        shared.in_flight.push_back(InFlight {
            correlation_id: header.correlation_id,
            api: header.api,
            version: header.version,
            kind: InFlightKind::Client(produced),
        });
    }
}

/// What the beginning of a frame leads to.
enum Begin {
    /// So many bytes of length and header can be forwarded; the body follows.
    Body(usize),
    /// This, and nothing else in the same step.
    Alone(Step),
    /// More bytes are needed.
    More,
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

fn malformed(header: Known, error: String) -> Refusal {
    Refusal::Malformed {
        side: "request",
        api: header.api.name().unwrap_or("unknown API"),
        version: header.version,
        error,
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
