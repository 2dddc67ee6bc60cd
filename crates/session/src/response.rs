//! From the broker to the client.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_protocol::ApiKey;
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::ResponseHeader;

use crate::body::{Pass, ResponseBody, rewrite_whole};
use crate::observe::Observe;
use crate::request::split_length;
use crate::sasl;
use crate::session::{InFlight, InFlightKind, Role, Shared};
use crate::step::{Refusal, Step};

/// A broker's responses have no limit of Kafka's own; this one is twice the
/// most that a client asks for by default (`fetch.max.bytes`), with room for
/// the one batch that may exceed it.
const MAX_FRAME: u32 = 256 * 1024 * 1024;
/// Responses that name brokers are held whole. This much is metadata of about
/// a million partitions.
const MAX_WHOLE: u32 = 64 * 1024 * 1024;
/// Answers to a login.
const MAX_LOGIN: u32 = 64 * 1024;

/// The response direction's state.
#[derive(Default)]
pub(crate) struct Responses {
    body: Option<Passing>,
}

/// A response whose header has been forwarded.
struct Passing {
    remaining: usize,
    request: InFlight,
    body: ResponseBody,
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
        observe: &mut impl Observe,
    ) -> Result<Step, Refusal> {
        let mut forward = 0;
        loop {
            if let Some(passing) = &mut self.body {
                let (n, pass) = passing.pass(shared, &mut buffer[forward..])?;
                if passing.remaining == 0
                    && let Some(done) = self.body.take()
                {
                    done.finish(observe)?;
                }
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
            match begin(shared, &buffer[forward..])? {
                Begin::More => break,
                Begin::Body(length, passing) => {
                    self.body = Some(*passing);
                    forward += length;
                }
                // What came before it goes first.
                Begin::Whole(_) if forward > 0 => break,
                Begin::Whole(length) => {
                    let frame = buffer[..length].to_vec().into();
                    let with = whole(shared, &frame, observe)?;
                    return Ok(Step::Replace {
                        consumed: length,
                        with,
                    });
                }
            }
        }
        Ok(match forward {
            0 => Step::NeedMore,
            n => Step::Forward(n),
        })
    }
}

// === impl Passing ===

impl Passing {
    /// Lets the body pass as far as it is there; how many bytes that was.
    fn pass(&mut self, shared: &Shared, bytes: &mut [u8]) -> Result<(usize, Pass), Refusal> {
        let n = self.remaining.min(bytes.len());
        let routes = match &shared.role {
            Role::Client { routes, .. } => Some(routes),
            Role::Node(_) => None,
        };
        let pass = self
            .body
            .feed(&mut bytes[..n], routes)
            .map_err(|error| malformed(&self.request, error))?;
        self.remaining -= n;
        Ok((n, pass))
    }

    fn finish(self, observe: &mut impl Observe) -> Result<(), Refusal> {
        let api = self.request.api.name().unwrap_or("unknown API");
        let produced: &[_] = match &self.request.kind {
            InFlightKind::Client(produced) => produced,
            _ => &[],
        };
        self.body
            .finish(api, produced, observe)
            .map_err(|error| malformed(&self.request, error))
    }
}

/// What the beginning of a response leads to.
enum Begin {
    /// More bytes are needed.
    More,
    /// So many bytes of length and header can be forwarded; the body follows.
    Body(usize, Box<Passing>),
    /// The whole frame, of so many bytes with its length, is there and needed.
    Whole(usize),
}

fn begin(shared: &mut Shared, bytes: &[u8]) -> Result<Begin, Refusal> {
    let Some((length, frame)) = split_length(bytes, MAX_FRAME)? else {
        return Ok(Begin::More);
    };
    let seen = &frame[..frame.len().min(length as usize)];
    let Some(correlation) = seen.first_chunk::<4>() else {
        return if length < 4 {
            Err(Refusal::FrameLength(i64::from(length)))
        } else {
            Ok(Begin::More)
        };
    };
    let got = i32::from_be_bytes(*correlation);
    let Some(request) = shared.in_flight.front() else {
        return Err(Refusal::Unexpected {
            got,
            expected: None,
        });
    };
    if got != request.correlation_id {
        return Err(Refusal::Unexpected {
            got,
            expected: Some(request.correlation_id),
        });
    }
    let limit = whole_limit(shared, request);
    if let Some(limit) = limit {
        if length > limit {
            return Err(Refusal::FrameLength(i64::from(length)));
        }
        return Ok(if frame.len() < length as usize {
            Begin::More
        } else {
            Begin::Whole(PREFIX + length as usize)
        });
    }
    let header = ResponseHeader::read(seen, length, request.api, request.version)
        .map_err(|error| malformed(request, error.to_string()))?;
    let Some(header) = header else {
        return Ok(Begin::More);
    };
    let Some(request) = shared.in_flight.pop_front() else {
        return Ok(Begin::More);
    };
    let remaining = length as usize - header.length;
    let rewrites = matches!(shared.role, Role::Client { .. });
    let body = ResponseBody::new(request.api, request.version, remaining as u32, rewrites)
        .map_err(|error| malformed(&request, error))?;
    let passing = Passing {
        remaining,
        request,
        body,
    };
    Ok(Begin::Body(PREFIX + header.length, Box::new(passing)))
}

/// How large a response may be that has to be seen whole; `None` for one that
/// passes as it comes.
fn whole_limit(shared: &Shared, request: &InFlight) -> Option<u32> {
    match request.kind {
        InFlightKind::Handshake | InFlightKind::Authenticate => Some(MAX_LOGIN),
        InFlightKind::Client(_) => match shared.role {
            Role::Client { .. } if names_brokers(request.api) => Some(MAX_WHOLE),
            _ => None,
        },
    }
}

/// Responses in which brokers' addresses stand before the end.
fn names_brokers(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::METADATA | ApiKey::FIND_COORDINATOR | ApiKey::DESCRIBE_CLUSTER
    )
}

/// Handles a whole frame, its length included; what the client gets for it.
fn whole(shared: &mut Shared, frame: &Bytes, observe: &mut impl Observe) -> Result<Bytes, Refusal> {
    let Some(request) = shared.in_flight.pop_front() else {
        return Ok(Bytes::new());
    };
    let body = || frame.slice((PREFIX + 4).min(frame.len())..);
    match request.kind {
        InFlightKind::Handshake => {
            sasl::read_handshake(&body()).map_err(|e| Refusal::Login(e.to_string()))?;
            Ok(Bytes::new())
        }
        InFlightKind::Authenticate => {
            let life =
                sasl::read_authenticate(&body()).map_err(|e| Refusal::Login(e.to_string()))?;
            shared.logged_in(Duration::from_millis(life));
            Ok(Bytes::new())
        }
        InFlightKind::Client(_) => {
            let Role::Client { routes, .. } = &shared.role else {
                return Ok(frame.clone());
            };
            rewrite_whole(request.api, request.version, frame, routes, observe)
                .map_err(|error| malformed(&request, error))
        }
    }
}

fn malformed(request: &InFlight, error: String) -> Refusal {
    Refusal::Malformed {
        side: "response",
        api: request.api.name().unwrap_or("unknown API"),
        version: request.version,
        error,
    }
}
