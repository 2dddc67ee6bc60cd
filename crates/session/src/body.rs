//! Bodies as they pass: checked against the schema, counted, and here and
//! there changed.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut as _, Bytes, BytesMut};
use tubeway_protocol::schema::UnknownMessage;
use tubeway_protocol::walk::{Event, Interest, Mark, Trailing, Walker, What};
use crate::rewrite;
use tubeway_protocol::{ApiKey, Direction, Schemas};

use crate::observe::{Observe, Topic};
use crate::session::Routes;

/// Error code TOPIC_AUTHORIZATION_FAILED.
const TOPIC_DENIED: i64 = 29;
/// Topics that one message's counts tell apart; what follows counts as `other`.
/// A topic is a few bytes on the wire and far more in memory.
const MAX_TOPICS: usize = 256;
/// The message's own tagged fields at the end of a response that is passed
/// on: held back whole to be changed, so there has to be an end to it.
const MAX_TAIL: u64 = 64 * 1024;
/// Highest API key and version for which an interest is kept ready.
const APIS: usize = 128;
const VERSIONS: usize = 32;

const ACKS: Mark = Mark(1);
const TOPIC: Mark = Mark(2);
const RECORDS: Mark = Mark(3);
const ERROR: Mark = Mark(4);
const TAIL: Mark = Mark(5);

/// What a request brings for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Produced {
    topic: Topic,
    records: u64,
    bytes: u64,
}

/// A request's body.
pub(crate) struct RequestBody {
    /// None for an API whose bodies are not looked at: an ApiVersions of a
    /// version that is too new, which the broker answers in its own way.
    walker: Option<Walker>,
    acks: Option<i64>,
    counts: Counts,
}

/// What is known of a request at its end.
pub(crate) struct Ended {
    pub(crate) wants_answer: bool,
    pub(crate) produced: Vec<Produced>,
}

/// A response's body.
pub(crate) struct ResponseBody {
    walker: Option<Walker>,
    api: ApiKey,
    version: i16,
    /// Bytes of the current buffer that have been walked and held back.
    held: usize,
    /// Bytes of the body that have been passed on.
    passed: u64,
    /// Where in the body the tail begins, once it has.
    tail: Option<u64>,
    length: u64,
    counts: Counts,
    errors: Vec<i16>,
    /// Topics with any error.
    failed: Vec<Topic>,
    /// Topics that were refused for want of access.
    denied: Vec<Topic>,
}

/// Records by topic, in the order of the message.
#[derive(Debug, Default)]
struct Counts {
    topics: Vec<Produced>,
}

// === impl RequestBody ===

impl RequestBody {
    pub(crate) fn new(api: ApiKey, version: i16, length: u32) -> Result<Self, UnknownMessage> {
        let walker = match walker(api, version, Direction::Request, length) {
            Ok(walker) => Some(walker),
            Err(UnknownMessage::Version { .. }) if api == ApiKey::API_VERSIONS => None,
            Err(unknown) => return Err(unknown),
        };
        Ok(Self {
            walker,
            acks: None,
            counts: Counts::default(),
        })
    }

    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), String> {
        let Some(walker) = &mut self.walker else {
            return Ok(());
        };
        let (acks, counts) = (&mut self.acks, &mut self.counts);
        walker
            .feed(chunk, |event| match (event.mark, event.what) {
                (ACKS, What::Int(value)) => *acks = Some(value),
                (TOPIC, _) => counts.topic(&event),
                (RECORDS, What::RecordsEnd(total)) => counts.add(total.records, total.bytes),
                _ => {}
            })
            .map_err(|e| e.to_string())?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Ended, String> {
        // A body without bytes is walked by one empty chunk.
        self.feed(&[])?;
        if self.walker.as_ref().is_some_and(|walker| !walker.is_done()) {
            return Err("it ends before its last field".to_owned());
        }
        Ok(Ended {
            wants_answer: self.acks != Some(0),
            produced: self.counts.topics,
        })
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn new(api: ApiKey, version: i16, length: u32) -> Result<Self, String> {
        let walker = match walker(api, version, Direction::Response, length) {
            Ok(walker) => Some(walker),
            Err(UnknownMessage::Version { .. }) if api == ApiKey::API_VERSIONS => None,
            Err(unknown) => return Err(unknown.to_string()),
        };
        // A broker answers an ApiVersions that it cannot read in version 0.
        let walker = walker.filter(|_| api != ApiKey::API_VERSIONS);
        Ok(Self {
            walker,
            api,
            version,
            held: 0,
            passed: 0,
            tail: None,
            length: u64::from(length),
            counts: Counts::default(),
            errors: Vec::new(),
            failed: Vec::new(),
            denied: Vec::new(),
        })
    }

    /// Looks at `bytes`, what there is of the body that has not been passed
    /// on, and says how many of them may be.
    pub(crate) fn feed(&mut self, bytes: &mut [u8], routes: Option<&Routes>) -> Result<usize, String> {
        let there = bytes.len();
        self.walk(&bytes[self.held..])?;
        let passes = match (self.tail, routes) {
            (Some(tail), Some(routes)) => {
                let tail = tail.saturating_sub(self.passed) as usize;
                if self.passed + (there as u64) < self.length {
                    tail.min(there)
                } else {
                    rewrite::endpoints_at_equal_length(self.api, self.version, &mut bytes[tail..], |id| {
                        routes.of(id)
                    });
                    there
                }
            }
            _ => there,
        };
        self.held = there - passes;
        self.passed += passes as u64;
        Ok(passes)
    }

    fn walk(&mut self, chunk: &[u8]) -> Result<(), String> {
        let Some(walker) = &mut self.walker else {
            return Ok(());
        };
        let (counts, errors) = (&mut self.counts, &mut self.errors);
        let (failed, denied) = (&mut self.failed, &mut self.denied);
        let (tail, length, metadata) = (&mut self.tail, self.length, self.api == ApiKey::METADATA);
        let mut error_before_name = None;
        let mut too_long = false;
        walker
            .feed(chunk, |event| match (event.mark, event.what) {
                (ERROR, What::Int(0)) => error_before_name = None,
                (ERROR, What::Int(code)) => {
                    if errors.len() < MAX_TOPICS {
                        errors.push(code as i16);
                    }
                    error_before_name = Some(code);
                    if !metadata {
                        note(failed, counts.current());
                        if code == TOPIC_DENIED {
                            note(denied, counts.current());
                        }
                    }
                }
                (TOPIC, _) => {
                    counts.topic(&event);
                    if metadata && error_before_name.take() == Some(TOPIC_DENIED) {
                        note(denied, counts.current());
                    }
                }
                (RECORDS, What::RecordsEnd(total)) => counts.add(total.records, total.bytes),
                (TAIL, What::Tags(_)) => {
                    *tail = Some(event.span.start);
                    too_long = length - event.span.start > MAX_TAIL;
                }
                _ => {}
            })
            .map_err(|e| e.to_string())?;
        if too_long {
            return Err(format!("its tagged fields have more than {MAX_TAIL} bytes"));
        }
        Ok(())
    }

    /// Counts what the response says about the request.
    pub(crate) fn finish(
        mut self,
        api: &'static str,
        produced: &[Produced],
        observe: &mut impl Observe,
    ) -> Result<(), String> {
        self.walk(&[])?;
        if self.walker.as_ref().is_some_and(|walker| !walker.is_done()) {
            return Err("it ends before its last field".to_owned());
        }
        for code in &self.errors {
            observe.error(api, *code);
        }
        for topic in &self.denied {
            observe.denied(topic);
        }
        for count in self.counts.topics.iter().filter(|count| count.bytes > 0) {
            observe.consumed(&count.topic, count.records, count.bytes);
        }
        // A topic of which any partition was refused does not count as taken.
        for count in produced.iter().filter(|count| !self.failed.contains(&count.topic)) {
            observe.produced(&count.topic, count.records, count.bytes);
        }
        Ok(())
    }
}

// === impl Counts ===

impl Counts {
    fn topic(&mut self, event: &Event<'_>) {
        let topic = match event.what {
            What::Text(name) => Topic::Name(name.into()),
            What::Uuid(id) if id != [0; 16] => Topic::Id(id),
            _ => return,
        };
        if self.topics.len() >= MAX_TOPICS {
            return;
        }
        let topic = if self.topics.len() == MAX_TOPICS - 1 {
            Topic::Name("other".into())
        } else {
            topic
        };
        self.topics.push(Produced {
            topic,
            records: 0,
            bytes: 0,
        });
    }

    fn current(&self) -> Option<&Topic> {
        self.topics.last().map(|produced| &produced.topic)
    }

    fn add(&mut self, records: u64, bytes: u64) {
        if let Some(current) = self.topics.last_mut() {
            current.records += records;
            current.bytes += bytes;
        }
    }
}

/// A response that names brokers before its end, whole and with its length:
/// the same with every broker at its route.
pub(crate) fn rewrite_whole(
    api: ApiKey,
    version: i16,
    frame: &Bytes,
    routes: &Routes,
    observe: &mut impl Observe,
) -> Result<Bytes, String> {
    let mut counting = ResponseBody::new(api, version, 0)?;
    let _ = (&mut counting, observe);
    rewrite::addresses(api, version, frame, |id| routes.of(id)).map_err(|e| e.to_string())
}

/// A fetch with its header and body, as a frame that asks for `rack`. One that
/// names a rack of its own keeps it.
pub(crate) fn with_rack(
    version: i16,
    header: &[u8],
    body: &[u8],
    rack: &str,
) -> Result<Bytes, String> {
    let body = rewrite::rack(version, body, rack).map_err(|e| e.to_string())?;
    let mut frame = BytesMut::with_capacity(4 + header.len() + body.len());
    frame.put_i32((header.len() + body.len()) as i32);
    frame.put_slice(header);
    frame.put_slice(&body);
    Ok(frame.freeze())
}

fn note(denied: &mut Vec<Topic>, topic: Option<&Topic>) {
    if let Some(topic) = topic
        && denied.len() < MAX_TOPICS
        && denied.last() != Some(topic)
    {
        denied.push(topic.clone());
    }
}

/// A walker that reports what is counted in this message.
fn walker(
    api: ApiKey,
    version: i16,
    direction: Direction,
    length: u32,
) -> Result<Walker, UnknownMessage> {
    let trailing = match direction {
        Direction::Request => Trailing::Refuse,
        Direction::Response => Trailing::Allow,
    };
    let interest = interest(api, version, direction)?;
    Ok(Walker::new(interest, 0, u64::from(length), trailing))
}

/// The interest of a message, made once: no lock is held by two connections
/// for longer than the first of them needs to make it.
fn interest(api: ApiKey, version: i16, direction: Direction) -> Result<Arc<Interest>, UnknownMessage> {
    static KEPT: [[OnceLock<Arc<Interest>>; APIS * VERSIONS]; 2] =
        [const { [const { OnceLock::new() }; APIS * VERSIONS] }; 2];
    let layout = Schemas::get().layout(api, version, direction)?;
    let make = || {
        let paths: &[(&str, Mark)] = match (api, direction) {
            (ApiKey::PRODUCE, Direction::Request) => &[
                ("Acks", ACKS),
                ("TopicData.Name", TOPIC),
                ("TopicData.TopicId", TOPIC),
                ("TopicData.PartitionData.Records", RECORDS),
            ],
            (ApiKey::PRODUCE, Direction::Response) => &[
                ("**.ErrorCode", ERROR),
                ("Responses.Name", TOPIC),
                ("Responses.TopicId", TOPIC),
            ],
            (ApiKey::FETCH, Direction::Response) => &[
                ("**.ErrorCode", ERROR),
                ("Responses.Topic", TOPIC),
                ("Responses.TopicId", TOPIC),
                ("Responses.Partitions.Records", RECORDS),
            ],
            (ApiKey::SHARE_FETCH, Direction::Response) => &[
                ("**.ErrorCode", ERROR),
                ("Responses.TopicId", TOPIC),
                ("Responses.Partitions.Records", RECORDS),
            ],
            (ApiKey::METADATA, Direction::Response) => &[
                ("**.ErrorCode", ERROR),
                ("Topics.Name", TOPIC),
            ],
            (_, Direction::Response) => &[("**.ErrorCode", ERROR)],
            _ => &[],
        };
        let interest = Interest::new(layout, paths).unwrap_or_else(|_| Interest::none(layout));
        let tail = matches!(
            api,
            ApiKey::PRODUCE | ApiKey::FETCH | ApiKey::SHARE_FETCH | ApiKey::SHARE_ACKNOWLEDGE
        );
        Arc::new(match direction {
            Direction::Response if tail => interest.root_tags(TAIL),
            _ => interest,
        })
    };
    let slot = usize::try_from(api.0)
        .ok()
        .zip(usize::try_from(version).ok())
        .filter(|(api, version)| *api < APIS && *version < VERSIONS);
    Ok(match slot {
        Some((api, version)) => {
            let direction = usize::from(matches!(direction, Direction::Response));
            KEPT[direction][api * VERSIONS + version].get_or_init(make).clone()
        }
        None => make(),
    })
}
