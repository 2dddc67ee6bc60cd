//! A client, a broker, and the session between them, all in memory.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_policy::acl::{AclBinding, Operation, ResourceType};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller, Rule};
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};
use tubeway_session::access::{Exists, NameOf, Names, Questions};
use tubeway_session::{Answers, Guard, Observe, Refusal, Routes, Session, Step, Topic};

pub type Id = [u8; 16];

pub const PRINCIPAL: &str = "User:spiffe://cluster.local/ns/shop/sa/checkout";
pub const HEARTBEAT: ApiKey = ApiKey::HEARTBEAT;
/// How the bytes come in: one by one, in pieces, or all at once.
pub const SIZES: [usize; 4] = [1, 7, 64, usize::MAX];
/// Topics that there are.
pub const TOPICS: [(&str, Id); 3] = [
    ("orders", [1; 16]),
    ("secret", [2; 16]),
    ("payments", [3; 16]),
];
/// A topic id that no topic has.
pub const NOBODYS: Id = [9; 16];

/// The connection.
pub struct Talk {
    pub session: Session,
    size: usize,
    pub now: Duration,
    requests: BytesMut,
    responses: BytesMut,
    /// What each side has got so far.
    pub to_broker: Vec<u8>,
    pub to_client: Vec<u8>,
    /// The most that has waited in the session's buffers.
    pub peak: usize,
    pub logins: usize,
    pub asked: Vec<Questions>,
    learned: Arc<Learned>,
    next: i32,
}

/// Nothing is counted here.
pub struct Uncounted;

#[derive(Default)]
struct Learned(Mutex<HashMap<Id, Arc<str>>>);

impl Observe for Uncounted {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}

impl Names for Learned {
    fn name_of(&self, id: &Id) -> NameOf {
        let known = self.0.lock().unwrap();
        known
            .get(id)
            .map_or(NameOf::NotAsked, |name| NameOf::Known(name.clone()))
    }

    fn exists(&self, _: &str) -> Exists {
        Exists::NotAsked
    }
}

pub fn id_of(name: &str) -> Id {
    let found = TOPICS.iter().find(|(topic, _)| *topic == name);
    found.map_or(NOBODYS, |(_, id)| *id)
}

// === rules ===

pub type Right = (Operation, ResourceType, &'static str);

pub fn may(rights: &[Right]) -> AccessRules {
    let rule = |(operation, kind, name): &Right| {
        Rule::from(AclBinding::allow(PRINCIPAL, *operation, *kind, *name))
    };
    AccessRules {
        super_users: [].into(),
        rules: rights.iter().map(rule).collect(),
    }
}

pub fn may_read(topics: &[&'static str]) -> AccessRules {
    let right = |topic: &&'static str| (Operation::Read, ResourceType::Topic, *topic);
    may(&topics.iter().map(right).collect::<Vec<_>>())
}

pub fn may_write(topics: &[&'static str]) -> AccessRules {
    let right = |topic: &&'static str| (Operation::Write, ResourceType::Topic, *topic);
    may(&topics.iter().map(right).collect::<Vec<_>>())
}

pub fn everything() -> AccessRules {
    AccessRules {
        super_users: [PRINCIPAL.to_owned()].into(),
        rules: Vec::new(),
    }
}

pub fn with(mut rules: AccessRules, more: AccessRules) -> AccessRules {
    rules.rules.extend(more.rules);
    rules
}

// === impl Talk ===

impl Talk {
    /// In front of a broker that has taken a login for ever.
    pub fn node(size: usize, rules: AccessRules) -> Self {
        let mut talk = Self::strange(size, rules);
        talk.session.login("token", Duration::ZERO);
        talk.receive(&login_taken([0, 1], 0)).unwrap();
        assert!(talk.to_client.is_empty());
        talk.peak = 0;
        talk
    }

    /// In front of a broker that has not been spoken to yet.
    pub fn strange(size: usize, rules: AccessRules) -> Self {
        let caller = Caller {
            principal: PRINCIPAL.into(),
            host: Ipv4Addr::new(192, 0, 2, 7).into(),
            zone: None,
        };
        let learned = Arc::new(Learned::default());
        let rules = Arc::new(Authorizer::new(rules));
        Self::of(
            size,
            Session::node(Guard::new(caller, rules, learned.clone())),
            learned,
        )
    }

    /// Beside a client.
    pub fn client(size: usize, rack: Option<&str>) -> Self {
        let routes = Routes {
            host: "127.0.0.1".to_owned(),
            brokers_from: 20_000,
        };
        let session = Session::client(routes, rack.map(str::to_owned));
        Self::of(size, session, Arc::default())
    }

    /// A connection of either role, with a caller who may do everything.
    pub fn both(size: usize) -> [Self; 2] {
        [Self::node(size, everything()), Self::client(size, None)]
    }

    fn of(size: usize, session: Session, learned: Arc<Learned>) -> Self {
        Self {
            session,
            size,
            now: Duration::ZERO,
            requests: BytesMut::new(),
            responses: BytesMut::new(),
            to_broker: Vec::new(),
            to_client: Vec::new(),
            peak: 0,
            logins: 0,
            asked: Vec::new(),
            learned,
            next: 100,
        }
    }

    pub fn set_rules(&mut self, rules: AccessRules) {
        self.session.set_rules(Arc::new(Authorizer::new(rules)));
    }

    /// The client sends; what of it the broker gets now.
    pub fn send(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let before = self.to_broker.len();
        let mut chunks = bytes.chunks(self.size);
        loop {
            match self.session.request(&self.requests, self.now)? {
                Step::NeedMore => match chunks.next() {
                    Some(chunk) => self.requests.extend_from_slice(chunk),
                    None => break,
                },
                Step::Forward(n) => self.to_broker.extend_from_slice(&self.requests.split_to(n)),
                Step::Replace { consumed, with } => {
                    drop(self.requests.split_to(consumed));
                    self.to_broker.extend_from_slice(&with);
                }
                Step::Answered(n) => drop(self.requests.split_to(n)),
                Step::Login => {
                    let login = self.session.login("token", self.now);
                    self.to_broker.extend_from_slice(&login);
                    self.logins += 1;
                }
                Step::Ask(questions) => self.answer(questions),
                Step::Wait | Step::Pause(_) => {
                    chunks.for_each(|rest| self.requests.extend_from_slice(rest));
                    break;
                }
            }
            self.peak = self.peak.max(self.requests.len());
        }
        Ok(self.to_broker[before..].to_vec())
    }

    /// The broker sends; what of it, or of the session, the client gets now.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        let before = self.to_client.len();
        let mut chunks = bytes.chunks(self.size);
        loop {
            match self
                .session
                .response(&mut self.responses, self.now, &mut Uncounted)?
            {
                Step::NeedMore => match chunks.next() {
                    Some(chunk) => self.responses.extend_from_slice(chunk),
                    None => break,
                },
                Step::Forward(n) => self
                    .to_client
                    .extend_from_slice(&self.responses.split_to(n)),
                Step::Replace { consumed, with } => {
                    drop(self.responses.split_to(consumed));
                    self.to_client.extend_from_slice(&with);
                }
                Step::Ask(questions) => self.answer(questions),
                step => panic!("{step:?} is none of a response's"),
            }
            self.peak = self.peak.max(self.responses.len());
        }
        Ok(self.to_client[before..].to_vec())
    }

    /// The sidecar around the session asks the broker.
    fn answer(&mut self, questions: Questions) {
        let mut answers = Answers::default();
        for id in &questions.ids {
            match TOPICS.iter().find(|(_, topic)| topic == id) {
                Some((name, _)) => {
                    let mut known = self.learned.0.lock().unwrap();
                    known.insert(*id, (*name).into());
                }
                None => answers.unknown_ids.push(*id),
            }
        }
        for topic in &questions.topics {
            let exists = TOPICS.iter().any(|(name, _)| *name == &**topic);
            answers.topics.insert(topic.clone(), exists);
        }
        self.session.answer(answers);
        self.asked.push(questions);
    }

    /// One request and its answer: what the broker sees of it, if anything,
    /// and what the client gets.
    pub fn exchange(
        &mut self,
        body: &Struct,
        respond: impl FnOnce(&Struct) -> Struct,
    ) -> (Option<Struct>, Struct) {
        self.next += 1;
        let sent = self.send(&request(self.next, body)).unwrap();
        let seen = frames(&sent).first().map(read_request);
        let answer = seen
            .as_ref()
            .map(|seen| response(self.next, &respond(seen)));
        let got = self.receive(&answer.unwrap_or_default()).unwrap();
        let got = frames(&got);
        assert_eq!(got.len(), 1, "one answer to one request");
        assert_eq!(got[0][..4], self.next.to_be_bytes());
        (seen, read_response(&got[0], body.layout()))
    }

    /// The answer of the session itself; the broker must not see the request.
    pub fn own_answer(&mut self, body: &Struct) -> Struct {
        let (seen, answer) = self.exchange(body, blank);
        assert_eq!(seen, None, "the broker sees nothing of it");
        answer
    }

    /// That the connection still works.
    pub fn lives(&mut self) {
        let body = message(HEARTBEAT, 4, Direction::Request);
        let (seen, answer) = self.exchange(&body, blank);
        assert!(seen.is_some() || answer.int("ErrorCode") != 0);
    }
}

// === frames ===

pub fn message(api: ApiKey, version: i16, direction: Direction) -> Struct {
    Struct::message(Schemas::get().layout(api, version, direction).unwrap())
}

/// All versions of an API's requests.
pub fn all_versions(api: ApiKey) -> std::ops::RangeInclusive<i16> {
    let api = Schemas::get().api(api).unwrap();
    let versions = api.message(Direction::Request).versions();
    versions.first..=versions.last
}

/// The response to `request` with nothing in it.
pub fn blank(request: &Struct) -> Struct {
    let layout = request.layout();
    message(layout.api(), layout.version(), Direction::Response)
}

pub fn encoded(body: &Struct) -> Vec<u8> {
    let mut out = Vec::new();
    body.encode(&mut out).unwrap();
    out
}

pub fn framed(header: &[u8], body: &[u8]) -> Vec<u8> {
    let length = (header.len() + body.len()) as i32;
    [&length.to_be_bytes(), header, body].concat()
}

pub fn request_header(correlation_id: i32, api: ApiKey, version: i16) -> Vec<u8> {
    let header = RequestHeader {
        api,
        version,
        correlation_id,
        client_id: Some("test"),
        length: 0,
    };
    let mut out = Vec::new();
    header.write(&mut out).unwrap();
    out
}

pub fn request(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let layout = body.layout();
    let header = request_header(correlation_id, layout.api(), layout.version());
    framed(&header, &encoded(body))
}

pub fn response(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let layout = body.layout();
    let mut header = Vec::new();
    ResponseHeader::write(&mut header, layout.api(), layout.version(), correlation_id).unwrap();
    framed(&header, &encoded(body))
}

/// The broker's answers to a login of the session's own.
pub fn login_taken([handshake, authenticate]: [i32; 2], life: i64) -> Vec<u8> {
    let mut taken = message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response);
    taken.set("SessionLifetimeMs", life);
    let shaken = message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response);
    [response(handshake, &shaken), response(authenticate, &taken)].concat()
}

/// Whole frames, each without its length.
pub fn frames(mut bytes: &[u8]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(i32::from_be_bytes(*length) as usize);
        frames.push(Bytes::copy_from_slice(frame));
        bytes = rest;
    }
    frames
}

pub fn header_of(frame: &Bytes) -> RequestHeader<'_> {
    let header = RequestHeader::read(frame, frame.len() as u32);
    header.unwrap().unwrap()
}

pub fn read_request(frame: &Bytes) -> Struct {
    let header = header_of(frame);
    let layout = Schemas::get().layout(header.api, header.version, Direction::Request);
    read(layout.unwrap(), &frame.slice(header.length..))
}

/// Reads the answer to a request of this layout.
pub fn read_response(frame: &Bytes, request: &Layout) -> Struct {
    let (api, version) = (request.api(), request.version());
    let header = ResponseHeader::read(frame, frame.len() as u32, api, version);
    let body = frame.slice(header.unwrap().unwrap().length..);
    let layout = Schemas::get().layout(api, version, Direction::Response);
    read(layout.unwrap(), &body)
}

fn read(layout: &'static Layout, body: &Bytes) -> Struct {
    decode(layout, body, Budget::bytes(1 << 24)).unwrap()
}

pub fn correlations(bytes: &[u8]) -> Vec<i32> {
    let id = |frame: &Bytes| i32::from_be_bytes(frame[..4].try_into().unwrap());
    frames(bytes).iter().map(id).collect()
}

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

// === messages ===

/// An element of an array, with these values, which must be fields of it.
pub fn entry(of: &Struct, field: &str, values: &[(&str, Value)]) -> Struct {
    filled(of.child(field).unwrap(), values)
}

pub fn filled(mut of: Struct, values: &[(&str, Value)]) -> Struct {
    for (field, value) in values {
        assert!(of.set(field, value.clone()), "no field {field}");
    }
    of
}

/// Names a topic as this version does: by its name or its id.
pub fn named(mut topic: Struct, name: &str) -> Struct {
    let by_name = ["Name", "Topic", "TopicName"].map(|field| topic.set(field, name));
    if !by_name.contains(&true) {
        topic.set("TopicId", Value::Uuid(id_of(name)));
    }
    topic
}

/// What a message calls a topic: see [`named`].
pub fn name_in(topic: &Struct) -> String {
    if let Some(Value::Uuid(id)) = topic.get("TopicId")
        && *id != [0; 16]
    {
        let found = TOPICS.iter().find(|(_, topic)| topic == id);
        return found.map_or("?", |(name, _)| name).to_owned();
    }
    let name = ["Name", "Topic", "TopicName"].map(|field| topic.str(field));
    name.into_iter().flatten().next().unwrap_or("?").to_owned()
}

/// A v2 batch by its header; what is inside does not matter here.
pub fn batch(records: i32) -> Bytes {
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
    batch[16] = 2;
    batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    batch.into()
}

/// A Produce of one batch to each of these partitions.
pub fn produce(version: i16, acks: i16, topics: &[(&str, &[i32])]) -> Struct {
    let mut body = message(ApiKey::PRODUCE, version, Direction::Request);
    body.set("Acks", acks);
    let topics = topics.iter().map(|(name, partitions)| {
        let mut topic = named(body.child("TopicData").unwrap(), name);
        let partitions = partitions.iter().map(|index| {
            let records = Value::Records(batch(index + 1));
            let values = [("Index", Value::Int32(*index)), ("Records", records)];
            entry(&topic, "PartitionData", &values)
        });
        let partitions: Vec<_> = partitions.collect();
        topic.set("PartitionData", partitions);
        topic
    });
    let topics: Vec<_> = topics.collect();
    body.set("TopicData", topics);
    body
}

/// A broker's answer to a Produce: everything was written.
pub fn produced(request: &Struct) -> Struct {
    let mut body = blank(request);
    let topics = request.structs("TopicData").map(|topic| {
        let name = name_in(topic);
        let mut answer = named(body.child("Responses").unwrap(), &name);
        let partitions = topic.structs("PartitionData").map(|partition| {
            let index = Value::Int32(partition.int("Index") as i32);
            entry(&answer, "PartitionResponses", &[("Index", index)])
        });
        let partitions: Vec<_> = partitions.collect();
        answer.set("PartitionResponses", partitions);
        answer
    });
    let topics: Vec<_> = topics.collect();
    body.set("Responses", topics);
    body
}

/// Topic, partition and error of each partition in a response.
pub fn errors(body: &Struct, partitions: &str, index: &str) -> Vec<(String, i64, i64)> {
    let topics = body.structs("Responses").flat_map(|topic| {
        topic.structs(partitions).map(|partition| {
            let error = partition.int("ErrorCode");
            (name_in(topic), partition.int(index), error)
        })
    });
    topics.collect()
}

/// ApiVersions that offer these keys with these first and last versions.
pub fn offering(version: i16, ranges: &[(i16, i16, i16)]) -> Struct {
    let mut body = message(ApiKey::API_VERSIONS, version, Direction::Response);
    let entries = ranges.iter().map(|(key, first, last)| {
        let values = [
            ("ApiKey", Value::Int16(*key)),
            ("MinVersion", Value::Int16(*first)),
            ("MaxVersion", Value::Int16(*last)),
        ];
        entry(&body, "ApiKeys", &values)
    });
    let entries: Vec<_> = entries.collect();
    body.set("ApiKeys", entries);
    body
}

/// What ApiVersions offer: see [`offering`].
pub fn offered(body: &Struct) -> Vec<(i16, i16, i16)> {
    let number = |entry: &Struct, field| entry.int(field) as i16;
    let range = |entry: &Struct| {
        (
            number(entry, "ApiKey"),
            number(entry, "MinVersion"),
            number(entry, "MaxVersion"),
        )
    };
    body.structs("ApiKeys").map(range).collect()
}
