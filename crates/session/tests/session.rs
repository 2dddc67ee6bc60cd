//! Sessions over frames built from the schemas, in every division into chunks.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller};
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::access::{Exists, NameOf, Names};
use tubeway_session::{Guard, Observe, Refusal, Routes, Session, Step, Topic};

/// What a session reported.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    produced: Vec<(Topic, u64)>,
    consumed: Vec<(Topic, u64)>,
    denied: Vec<Topic>,
    errors: Vec<(&'static str, i16)>,
}

impl Observe for Counts {
    fn produced(&mut self, topic: &Topic, records: u64, _: u64) {
        self.produced.push((topic.clone(), records));
    }
    fn consumed(&mut self, topic: &Topic, records: u64, _: u64) {
        self.consumed.push((topic.clone(), records));
    }
    fn denied(&mut self, topic: &Topic) {
        self.denied.push(topic.clone());
    }
    fn error(&mut self, api: &'static str, code: i16) {
        self.errors.push((api, code));
    }
}

fn message(api: ApiKey, version: i16, direction: Direction) -> Struct {
    Struct::message(Schemas::get().layout(api, version, direction).unwrap())
}

fn frame(header: impl FnOnce(&mut Vec<u8>), body: &Struct) -> Vec<u8> {
    let mut frame = Vec::new();
    header(&mut frame);
    body.encode(&mut frame).unwrap();
    let mut out = (frame.len() as i32).to_be_bytes().to_vec();
    out.extend(frame);
    out
}

fn request(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let layout = body.layout();
    let header = RequestHeader {
        api: layout.api(),
        version: layout.version(),
        correlation_id,
        client_id: Some("test"),
        length: 0,
    };
    frame(|out| header.write(out).unwrap(), body)
}

fn response(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let layout = body.layout();
    let (api, version) = (layout.api(), layout.version());
    frame(
        |out| ResponseHeader::write(out, api, version, correlation_id).unwrap(),
        body,
    )
}

/// A v2 batch by its header; what is inside does not matter here.
fn batch(records: i32) -> Bytes {
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
    batch[16] = 2;
    batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    batch.into()
}

fn produce(acks: i64, topic: &str, records: i32) -> Struct {
    let mut body = message(ApiKey::PRODUCE, 9, Direction::Request);
    body.set("Acks", Value::Int16(acks as i16));
    let mut data = body.child("TopicData").unwrap();
    data.set("Name", topic);
    let mut partition = data.child("PartitionData").unwrap();
    partition.set("Records", Value::Records(batch(records)));
    data.set(
        "PartitionData",
        Value::Array(vec![Value::Struct(Box::new(partition))]),
    );
    body.set(
        "TopicData",
        Value::Array(vec![Value::Struct(Box::new(data))]),
    );
    body
}

fn produced(topic: &str, error: i16) -> Struct {
    let mut body = message(ApiKey::PRODUCE, 9, Direction::Response);
    let mut data = body.child("Responses").unwrap();
    data.set("Name", topic);
    let mut partition = data.child("PartitionResponses").unwrap();
    partition.set("ErrorCode", Value::Int16(error));
    data.set(
        "PartitionResponses",
        Value::Array(vec![Value::Struct(Box::new(partition))]),
    );
    body.set(
        "Responses",
        Value::Array(vec![Value::Struct(Box::new(data))]),
    );
    body
}

/// Feeds `input` in chunks of `size`; what the other side gets.
fn run(
    size: usize,
    input: &[u8],
    mut step: impl FnMut(&mut BytesMut) -> Result<Step, Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
    let mut chunks = input.chunks(size);
    loop {
        match step(&mut buffer)? {
            Step::NeedMore => match chunks.next() {
                Some(chunk) => buffer.extend_from_slice(chunk),
                None => break,
            },
            Step::Forward(n) => out.extend(buffer.split_to(n)),
            Step::Replace { consumed, with } => {
                drop(buffer.split_to(consumed));
                out.extend(with);
            }
            Step::Answered(n) => drop(buffer.split_to(n)),
            Step::Login | Step::Wait | Step::Ask(_) => break,
        }
    }
    Ok(out)
}

/// A caller who may do everything.
fn node() -> Session {
    let principal = "User:spiffe://cluster.local/ns/shop/sa/checkout";
    let rules = AccessRules {
        super_users: [principal.to_owned()].into(),
        rules: Vec::new(),
    };
    let caller = Caller {
        principal: principal.into(),
        host: Ipv4Addr::new(192, 0, 2, 7).into(),
        zone: None,
    };
    let rules = Arc::new(Authorizer::new(rules));
    Session::node(Guard::new(caller, rules, Arc::new(NoNames)))
}

struct NoNames;

impl Names for NoNames {
    fn name_of(&self, _: &[u8; 16]) -> NameOf {
        NameOf::NotAsked
    }

    fn exists(&self, _: &str) -> Exists {
        Exists::NotAsked
    }
}

fn client() -> Session {
    let routes = Routes {
        host: "127.0.0.1".to_owned(),
        brokers_from: 20_000,
    };
    Session::client(routes, None)
}

fn requests(session: &mut Session, size: usize, input: &[u8]) -> Result<Vec<u8>, Refusal> {
    run(size, input, |buffer| {
        session.request(buffer, Duration::ZERO)
    })
}

fn responses(
    session: &mut Session,
    size: usize,
    input: &[u8],
    counts: &mut Counts,
) -> Result<Vec<u8>, Refusal> {
    run(size, input, |buffer| {
        session.response(buffer, Duration::ZERO, counts)
    })
}

fn name(topic: &str) -> Topic {
    Topic::Name(topic.into())
}

#[test]
fn records_count_when_the_broker_has_taken_them_however_the_bytes_come() {
    let input = [
        request(1, &produce(-1, "a", 3)),
        request(2, &produce(-1, "b", 4)),
    ]
    .concat();
    let answer = [
        response(1, &produced("a", 0)),
        response(2, &produced("b", 29)),
    ]
    .concat();
    for size in [1, 2, 7, 50, 10_000] {
        let (mut session, mut counts) = (client(), Counts::default());
        assert_eq!(requests(&mut session, size, &input).unwrap(), input);
        assert_eq!(counts, Counts::default());
        assert_eq!(
            responses(&mut session, size, &answer, &mut counts).unwrap(),
            answer
        );
        assert_eq!(counts.produced, [(name("a"), 3)], "chunks of {size}");
        assert_eq!(counts.denied, [name("b")]);
        assert_eq!(counts.errors, [("Produce", 29)]);
    }
}

#[test]
fn a_produce_without_acks_waits_for_no_answer() {
    let (mut session, mut counts) = (client(), Counts::default());
    let input = [
        request(1, &produce(0, "a", 1)),
        request(2, &message(ApiKey::HEARTBEAT, 4, Direction::Request)),
    ]
    .concat();
    requests(&mut session, 9, &input).unwrap();
    let answer = response(2, &message(ApiKey::HEARTBEAT, 4, Direction::Response));
    responses(&mut session, 9, &answer, &mut counts).unwrap();
    session.drain();
    assert!(session.is_drained());
}

#[test]
fn an_answer_out_of_turn_ends_the_connection() {
    let (mut session, mut counts) = (client(), Counts::default());
    let input = request(1, &message(ApiKey::HEARTBEAT, 4, Direction::Request));
    requests(&mut session, 100, &input).unwrap();
    let answer = response(2, &message(ApiKey::HEARTBEAT, 4, Direction::Response));
    let refusal = responses(&mut session, 100, &answer, &mut counts).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::Unexpected {
            got: 2,
            expected: Some(1)
        }
    );
}

#[test]
fn what_cannot_be_read_is_refused_before_it_is_passed_on() {
    let mut bad = request(1, &produce(-1, "a", 1));
    let length = bad.len();
    for (bytes, what) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "frame_length"),
        (vec![0xff; 20], "frame_length"),
        (
            [0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff].to_vec(),
            "unknown_api",
        ),
        (
            {
                bad[length - 1] = 9;
                bad
            },
            "malformed",
        ),
    ] {
        let mut session = client();
        let refusal = requests(&mut session, 1000, &bytes).unwrap_err();
        assert_eq!(refusal.reason(), what);
        assert!(refusal.is_clients_fault());
    }
}

#[test]
fn every_broker_in_metadata_is_at_the_sidecar() {
    let mut body = message(ApiKey::METADATA, 12, Direction::Response);
    let brokers = (0..3).map(|id| {
        let mut broker = body.child("Brokers").unwrap();
        broker.set("NodeId", Value::Int32(id));
        broker.set("Host", format!("demo-{id}.demo-nodes.kafka.svc").as_str());
        broker.set("Port", Value::Int32(9092));
        Value::Struct(Box::new(broker))
    });
    let brokers = Value::Array(brokers.collect());
    body.set("Brokers", brokers);
    let mut topic = body.child("Topics").unwrap();
    topic.set("ErrorCode", Value::Int16(29));
    topic.set("Name", "secret");
    body.set("Topics", Value::Array(vec![Value::Struct(Box::new(topic))]));
    for size in [1, 13, 10_000] {
        let (mut session, mut counts) = (client(), Counts::default());
        let input = request(5, &message(ApiKey::METADATA, 12, Direction::Request));
        requests(&mut session, size, &input).unwrap();
        let got = responses(&mut session, size, &response(5, &body), &mut counts).unwrap();
        assert_eq!(got[..4], (got.len() as i32 - 4).to_be_bytes());
        let got = Bytes::from(got).slice(4 + 5..);
        let got = decode(body.layout(), &got, Budget::of(got.len())).unwrap();
        let at: Vec<_> = got
            .structs("Brokers")
            .map(|b| {
                (
                    b.int("NodeId"),
                    b.str("Host").unwrap().to_owned(),
                    b.int("Port"),
                )
            })
            .collect();
        let host = || "127.0.0.1".to_owned();
        assert_eq!(
            at,
            [
                (0, host(), 20_000),
                (1, host(), 20_001),
                (2, host(), 20_002)
            ]
        );
        assert_eq!(counts.denied, [name("secret")]);
    }
}

#[test]
fn no_brokers_name_is_left_at_the_end_of_a_fetch_and_no_length_changes() {
    let mut body = message(ApiKey::FETCH, 17, Direction::Response);
    let mut data = body.child("Responses").unwrap();
    data.set("TopicId", Value::Uuid([7; 16]));
    let mut partition = data.child("Partitions").unwrap();
    partition.set("Records", Value::Records(batch(5)));
    data.set(
        "Partitions",
        Value::Array(vec![Value::Struct(Box::new(partition))]),
    );
    body.set(
        "Responses",
        Value::Array(vec![Value::Struct(Box::new(data))]),
    );
    let mut endpoint = body.child("NodeEndpoints").unwrap();
    endpoint.set("NodeId", Value::Int32(2));
    endpoint.set("Host", "demo-2.demo-nodes.kafka.svc");
    endpoint.set("Port", Value::Int32(9092));
    body.set(
        "NodeEndpoints",
        Value::Array(vec![Value::Struct(Box::new(endpoint))]),
    );
    let answer = response(5, &body);
    for size in 1..=answer.len() {
        let (mut session, mut counts) = (client(), Counts::default());
        let input = request(5, &message(ApiKey::FETCH, 17, Direction::Request));
        requests(&mut session, size, &input).unwrap();
        let got = responses(&mut session, size, &answer, &mut counts).unwrap();
        assert_eq!(got.len(), answer.len(), "chunks of {size}");
        assert!(!got.windows(6).any(|w| w == b"demo-2"), "chunks of {size}");
        let got = Bytes::from(got).slice(4 + 5..);
        let got = decode(body.layout(), &got, Budget::bytes(1 << 20)).unwrap();
        let endpoint = got.structs("NodeEndpoints").next().unwrap();
        assert_eq!(
            (endpoint.str("Host"), endpoint.int("Port")),
            (Some("127.0.0.1"), 20_002)
        );
        assert_eq!(counts.consumed, [(Topic::Id([7; 16]), 5)]);
    }
}

#[test]
fn a_node_logs_in_before_the_first_request_and_again_before_the_login_ends() {
    let (mut session, mut counts) = (node(), Counts::default());
    let heartbeat = request(1, &message(ApiKey::HEARTBEAT, 4, Direction::Request));
    let buffer = BytesMut::from(&heartbeat[..]);
    let at = Duration::from_secs;
    let step = session.request(&buffer, at(0)).unwrap();
    assert_eq!(step, Step::Login);
    assert!(!session.login("token", at(0)).is_empty());
    let step = session.request(&buffer, at(0)).unwrap();
    assert_eq!(step, Step::Forward(heartbeat.len()));

    let mut authenticated = message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response);
    authenticated.set("SessionLifetimeMs", Value::Int64(100_000));
    let answers = [
        response(0, &message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response)),
        response(1, &authenticated),
        response(1, &message(ApiKey::HEARTBEAT, 4, Direction::Response)),
    ];
    let got = responses(&mut session, 3, &answers.concat(), &mut counts).unwrap();
    assert_eq!(got, answers[2], "the client sees its own answer alone");

    let mut again = |now| session.request(&heartbeat, now);
    assert_eq!(again(at(79)).unwrap(), Step::Forward(heartbeat.len()));
    assert_eq!(again(at(81)).unwrap(), Step::Login);
}

#[test]
fn a_refused_login_ends_the_connection() {
    let (mut session, mut counts) = (node(), Counts::default());
    session.login("token", Duration::ZERO);
    let mut refused = message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response);
    refused.set(
        "AuthBytes",
        Value::Bytes(br#"{"status":"invalid_token"}"#[..].into()),
    );
    let answers = [
        response(0, &message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response)),
        response(1, &refused),
    ];
    let refusal = responses(&mut session, 100, &answers.concat(), &mut counts).unwrap_err();
    assert_eq!(refusal.reason(), "login");
    assert!(refusal.to_string().contains("invalid_token"));
}

#[test]
fn a_drain_lets_the_request_under_way_end_and_takes_no_other() {
    let (mut session, mut counts) = (client(), Counts::default());
    let heartbeat = request(1, &message(ApiKey::HEARTBEAT, 4, Direction::Request));
    let (begin, rest) = heartbeat.split_at(20);
    requests(&mut session, 100, begin).unwrap();
    session.drain();
    assert!(!session.is_drained());
    let buffer = BytesMut::from(rest);
    let step = session.request(&buffer, Duration::ZERO).unwrap();
    assert_eq!(step, Step::Forward(rest.len()));
    let step = session.request(&heartbeat, Duration::ZERO);
    assert_eq!(step.unwrap(), Step::Wait);
    let answer = response(1, &message(ApiKey::HEARTBEAT, 4, Direction::Response));
    responses(&mut session, 100, &answer, &mut counts).unwrap();
    assert!(session.is_drained());
}
