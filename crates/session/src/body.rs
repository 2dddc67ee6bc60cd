//! Bodies as they pass: checked against the schema, counted, and here and
//! there changed.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::rewrite::{AddressRewriter, EndpointRewriter};
use tubeway_protocol::schema::UnknownMessage;
use tubeway_protocol::walk::{Event, Interest, Mark, Trailing, Walker, What};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use crate::observe::{Observe, Topic};
use crate::records::framed;
use crate::session::Routes;

/// Error code TOPIC_AUTHORIZATION_FAILED.
const TOPIC_DENIED: i64 = 29;
/// Topics that one message's counts tell apart; what follows counts as `other`.
/// A topic is a few bytes on the wire and far more in memory.
const MAX_TOPICS: usize = 256;
/// Highest API key and version for which an interest is kept ready.
const APIS: usize = 128;
const VERSIONS: usize = 32;

const ACKS: Mark = Mark(1);
const TOPIC: Mark = Mark(2);
const RECORDS: Mark = Mark(3);
const ERROR: Mark = Mark(4);
const ENDPOINTS: Mark = Mark(5);

/// What a request brings for one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) topic: Topic,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
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
    metadata: bool,
    /// Rewrites the brokers at the end of what is passed on as it comes.
    endpoints: Option<EndpointRewriter>,
    seen: Seen,
}

/// What a response has said so far.
#[derive(Debug, Default)]
struct Seen {
    counts: Counts,
    errors: Vec<i16>,
    /// Topics with any error.
    failed: Vec<Topic>,
    /// Topics that were refused for want of access.
    denied: Vec<Topic>,
    /// Metadata says the error before the name.
    last_error: i64,
}

/// What becomes of a chunk of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It goes on as it now is.
    AsItIs,
    /// This goes on in its place.
    Instead(Vec<u8>),
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
    /// `rewrites` says that brokers in it are to be replaced.
    pub(crate) fn new(
        api: ApiKey,
        version: i16,
        length: u32,
        rewrites: bool,
    ) -> Result<Self, String> {
        // A broker answers an ApiVersions that it cannot read in version 0.
        let walker = match walker(api, version, Direction::Response, length) {
            _ if api == ApiKey::API_VERSIONS => None,
            Ok(walker) => Some(walker),
            Err(unknown) => return Err(unknown.to_string()),
        };
        let endpoints = rewrites.then(|| EndpointRewriter::new(ENDPOINTS, 0, u64::from(length)));
        Ok(Self {
            endpoints: endpoints.filter(|_| walker.is_some()),
            metadata: api == ApiKey::METADATA,
            walker,
            seen: Seen::default(),
        })
    }

    /// Looks at the next bytes of the body.
    pub(crate) fn feed(
        &mut self,
        chunk: &mut [u8],
        routes: Option<&Routes>,
    ) -> Result<Pass, String> {
        self.walk(chunk)?;
        let (Some(walker), Some(endpoints), Some(routes)) =
            (&self.walker, &mut self.endpoints, routes)
        else {
            return Ok(Pass::AsItIs);
        };
        let passed = endpoints
            .pass(chunk, walker, |id, _, _| routes.of(id))
            .map_err(|e| e.to_string())?;
        let rest = passed.chunk.end;
        if passed.before.is_empty() && rest + passed.after.len() == chunk.len() {
            chunk[rest..].copy_from_slice(&passed.after);
            return Ok(Pass::AsItIs);
        }
        let mut instead = passed.before;
        instead.extend_from_slice(&chunk[passed.chunk]);
        instead.extend_from_slice(&passed.after);
        Ok(Pass::Instead(instead))
    }

    fn walk(&mut self, chunk: &[u8]) -> Result<(), String> {
        let Some(walker) = &mut self.walker else {
            return Ok(());
        };
        let (seen, endpoints, metadata) = (&mut self.seen, &mut self.endpoints, self.metadata);
        walker
            .feed(chunk, |event| {
                if event.mark == ENDPOINTS
                    && let Some(endpoints) = endpoints
                {
                    endpoints.observe(&event);
                }
                seen.event(&event, metadata);
            })
            .map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Records by topic, as far as they have passed.
    pub(crate) fn consumed(&self) -> &[Produced] {
        &self.seen.counts.topics
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
        self.seen.tell(api, produced, observe);
        Ok(())
    }
}

// === impl Seen ===

impl Seen {
    fn event(&mut self, event: &Event<'_>, metadata: bool) {
        match (event.mark, event.what) {
            (ERROR, What::Int(code)) => {
                self.last_error = code;
                if code != 0 {
                    self.error(code, metadata);
                }
            }
            (TOPIC, _) => {
                self.counts.topic(event);
                if metadata && self.last_error == TOPIC_DENIED {
                    note(&mut self.denied, self.counts.current());
                }
            }
            (RECORDS, What::RecordsEnd(total)) => self.counts.add(total.records, total.bytes),
            _ => {}
        }
    }

    fn error(&mut self, code: i64, metadata: bool) {
        if self.errors.len() < MAX_TOPICS {
            self.errors.push(code as i16);
        }
        if !metadata {
            note(&mut self.failed, self.counts.current());
            if code == TOPIC_DENIED {
                note(&mut self.denied, self.counts.current());
            }
        }
    }

    fn tell(&self, api: &'static str, produced: &[Produced], observe: &mut impl Observe) {
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
        for count in produced
            .iter()
            .filter(|count| !self.failed.contains(&count.topic))
        {
            observe.produced(&count.topic, count.records, count.bytes);
        }
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
    let length = (frame.len() - PREFIX) as u32;
    let header = ResponseHeader::read(&frame[PREFIX..], length, api, version)
        .map_err(|e| e.to_string())?
        .ok_or("it ends within its header")?;
    let (head, body) = frame.split_at(PREFIX + header.length);
    let mut counting = ResponseBody::new(api, version, body.len() as u32, false)?;
    counting.walk(body)?;
    counting.finish(api.name().unwrap_or("unknown API"), &[], observe)?;
    let rewriter = AddressRewriter::new(api, version).ok_or("it names no brokers")?;
    // A broker without a route keeps its name, which leads nowhere from here.
    let body = rewriter
        .rewrite(body, |id, _, _| routes.of(id))
        .map_err(|e| e.to_string())?;
    Ok(match body {
        Some(body) => framed(&head[PREFIX..], &body),
        None => frame.clone(),
    })
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
fn interest(
    api: ApiKey,
    version: i16,
    direction: Direction,
) -> Result<Arc<Interest>, UnknownMessage> {
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
            (ApiKey::METADATA, Direction::Response) => {
                &[("**.ErrorCode", ERROR), ("Topics.Name", TOPIC)]
            }
            (_, Direction::Response) => &[("**.ErrorCode", ERROR)],
            _ => &[],
        };
        let interest = Interest::new(layout, paths).unwrap_or_else(|_| Interest::none(layout));
        Arc::new(EndpointRewriter::watch(interest, ENDPOINTS))
    };
    let slot = usize::try_from(api.0)
        .ok()
        .zip(usize::try_from(version).ok())
        .filter(|(api, version)| *api < APIS && *version < VERSIONS);
    Ok(match slot {
        Some((api, version)) => {
            let direction = usize::from(matches!(direction, Direction::Response));
            KEPT[direction][api * VERSIONS + version]
                .get_or_init(make)
                .clone()
        }
        None => make(),
    })
}
