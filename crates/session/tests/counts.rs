//! What a session reports: times, offsets, software, refusals.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tubeway_policy::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller, Rule};
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::access::{Exists, NameOf, Names};
use tubeway_session::{
    Denial, Exchange, Guard, Observe, Offset, Routes, Session, Software, Step, Topic,
};

const PRINCIPAL: &str = "User:spiffe://cluster.local/ns/shop/sa/checkout";

#[derive(Debug, Default)]
struct Seen {
    produced: Vec<(Topic, u64)>,
    exchanges: Vec<Exchange>,
    software: Vec<Software>,
    refused: Vec<Vec<Denial>>,
    committed: Vec<(String, Topic, Vec<Offset>)>,
    watermarks: Vec<(Topic, Vec<Offset>)>,
    named: Vec<([u8; 16], String)>,
}

impl Observe for Seen {
    fn produced(&mut self, topic: &Topic, records: u64, _: u64) {
        self.produced.push((topic.clone(), records));
    }
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
    fn finished(&mut self, exchange: &Exchange) {
        self.exchanges.push(exchange.clone());
    }
    fn software(&mut self, software: &Software) {
        self.software.push(software.clone());
    }
    fn refused(&mut self, denials: &[Denial]) {
        self.refused.push(denials.to_vec());
    }
    fn committed(&mut self, group: &str, topic: &Topic, offsets: &[Offset]) {
        self.committed
            .push((group.to_owned(), topic.clone(), offsets.to_vec()));
    }
    fn high_watermarks(&mut self, topic: &Topic, offsets: &[Offset]) {
        self.watermarks.push((topic.clone(), offsets.to_vec()));
    }
    fn named(&mut self, id: &[u8; 16], name: &str) {
        self.named.push((*id, name.to_owned()));
    }
}

/// One topic is known by its id.
struct Orders;

impl Names for Orders {
    fn name_of(&self, id: &[u8; 16]) -> NameOf {
        match id {
            [7, ..] => NameOf::Known("orders".into()),
            _ => NameOf::NoSuchTopic,
        }
    }

    fn exists(&self, _: &str) -> Exists {
        Exists::Yes
    }
}

fn client() -> Session {
    let routes = Routes {
        host: "127.0.0.1".to_owned(),
        brokers_from: 20_000,
    };
    Session::client(routes, None)
}

/// In front of a broker, logged in.
fn node(rules: Vec<Rule>) -> Session {
    let caller = Caller {
        principal: PRINCIPAL.into(),
        host: Ipv4Addr::new(192, 0, 2, 7).into(),
        zone: None,
    };
    let rules = AccessRules {
        super_users: [].into(),
        rules,
    };
    let guard = Guard::new(caller, Arc::new(Authorizer::new(rules)), Arc::new(Orders));
    let mut session = Session::node(guard);
    session.login("token", Duration::ZERO);
    let mut answers = BytesMut::new();
    for (i, api) in [ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE]
        .into_iter()
        .enumerate()
    {
        answers.extend(response(i as i32, &message(api, 1, Direction::Response)));
    }
    let mut seen = Seen::default();
    while !answers.is_empty() {
        match session.response(&mut answers, Duration::ZERO, &mut seen) {
            Ok(Step::Replace { consumed, .. }) => drop(answers.split_to(consumed)),
            step => panic!("{step:?}"),
        }
    }
    session.report(Duration::ZERO, &mut seen);
    assert!(seen.exchanges.is_empty(), "a login is no client's request");
    session
}

fn rule(permission: Permission, operation: Operation, topic: &str, source: &str) -> Rule {
    let mut rule = Rule::from(AclBinding {
        resource_type: ResourceType::Topic,
        pattern: PatternType::Literal,
        name: topic.to_owned(),
        principal: PRINCIPAL.to_owned(),
        host: "*".to_owned(),
        operation,
        permission,
    });
    source.clone_into(&mut rule.source);
    rule
}

fn message(api: ApiKey, version: i16, direction: Direction) -> Struct {
    Struct::message(Schemas::get().layout(api, version, direction).unwrap())
}

fn framed(header: Vec<u8>, body: &Struct) -> Vec<u8> {
    let mut frame = header;
    body.encode(&mut frame).unwrap();
    let mut out = (frame.len() as i32).to_be_bytes().to_vec();
    out.extend(frame);
    out
}

fn request(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let header = RequestHeader {
        api: body.layout().api(),
        version: body.layout().version(),
        correlation_id,
        client_id: Some("test"),
        length: 0,
    };
    let mut out = Vec::new();
    header.write(&mut out).unwrap();
    framed(out, body)
}

fn response(correlation_id: i32, body: &Struct) -> Vec<u8> {
    let (api, version) = (body.layout().api(), body.layout().version());
    let mut out = Vec::new();
    ResponseHeader::write(&mut out, api, version, correlation_id).unwrap();
    framed(out, body)
}

/// An array of one element made by `fill`.
fn one(body: &mut Struct, field: &'static str, fill: impl FnOnce(&mut Struct)) {
    let mut element = body.child(field).unwrap();
    fill(&mut element);
    body.set(field, vec![element]);
}

fn produce(acks: i16, topic: &str) -> Struct {
    let mut body = message(ApiKey::PRODUCE, 9, Direction::Request);
    body.set("Acks", acks);
    one(&mut body, "TopicData", |data| {
        data.set("Name", topic);
        one(data, "PartitionData", |partition| {
            partition.set("Index", 0);
            partition.set("Records", Value::Records(batch(3).into()));
        });
    });
    body
}

/// A v2 batch by its header; what is inside does not matter here.
fn batch(records: i32) -> Vec<u8> {
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
    batch[16] = 2;
    batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    batch
}

fn commit(version: i16, error: i16) -> (Struct, Struct) {
    let mut request = message(ApiKey::OFFSET_COMMIT, version, Direction::Request);
    let mut answer = message(ApiKey::OFFSET_COMMIT, version, Direction::Response);
    let name = |topic: &mut Struct| {
        if version >= 10 {
            topic.set("TopicId", Value::Uuid([7; 16]));
        } else {
            topic.set("Name", "orders");
        }
    };
    request.set("GroupId", "billing");
    one(&mut request, "Topics", |topic| {
        name(topic);
        one(topic, "Partitions", |partition| {
            partition.set("PartitionIndex", 3);
            partition.set("CommittedOffset", 40_i64);
        });
    });
    one(&mut answer, "Topics", |topic| {
        name(topic);
        one(topic, "Partitions", |partition| {
            partition.set("PartitionIndex", 3);
            partition.set("ErrorCode", error);
        });
    });
    (request, answer)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One exchange through a client's session, at no cost of time.
fn exchange(session: &mut Session, asked: &Struct, answer: &Struct) -> Seen {
    let mut seen = Seen::default();
    let frame = request(1, asked);
    let step = session.request(&frame, ms(0)).unwrap();
    assert!(!matches!(step, Step::NeedMore | Step::Wait), "{step:?}");
    session.report(ms(0), &mut seen);
    let mut buffer = BytesMut::from(&*response(1, answer));
    session.response(&mut buffer, ms(0), &mut seen).unwrap();
    session.report(ms(0), &mut seen);
    seen
}

#[test]
fn the_brokers_time_and_the_sidecars_own_are_told_apart() {
    let (mut session, mut seen) = (client(), Seen::default());
    let asked = request(1, &message(ApiKey::HEARTBEAT, 4, Direction::Request));
    // The client takes its time.
    let step = session.request(&asked[..20], ms(10)).unwrap();
    assert_eq!(step, Step::Forward(20));
    session.report(ms(10), &mut seen);
    let step = session.request(&asked[20..], ms(100)).unwrap();
    assert_eq!(step, Step::Forward(asked.len() - 20));
    // This step took 2 ms, and the broker answers after 50 more, bit by bit.
    session.report(ms(102), &mut seen);
    let mut answer = message(ApiKey::HEARTBEAT, 4, Direction::Response);
    answer.set("ThrottleTimeMs", 250);
    let answer = response(1, &answer);
    let mut buffer = BytesMut::from(&answer[..6]);
    let step = session.response(&mut buffer, ms(152), &mut seen).unwrap();
    assert_eq!(step, Step::NeedMore);
    session.report(ms(153), &mut seen);
    buffer.extend_from_slice(&answer[6..]);
    let step = session.response(&mut buffer, ms(170), &mut seen).unwrap();
    assert_eq!(step, Step::Forward(answer.len()));
    assert!(seen.exchanges.is_empty());
    session.report(ms(173), &mut seen);
    let expected = Exchange {
        api: ApiKey::HEARTBEAT,
        name: "Heartbeat",
        version: 4,
        request_bytes: asked.len() as u64,
        response_bytes: answer.len() as u64,
        broker: Some(ms(50)),
        own: ms(2 + 3),
        throttle: ms(250),
        answered_here: false,
    };
    assert_eq!(seen.exchanges, [expected]);
}

#[test]
fn waiting_for_a_login_is_the_sidecars_own_time() {
    let caller = Caller {
        principal: PRINCIPAL.into(),
        host: Ipv4Addr::new(192, 0, 2, 7).into(),
        zone: None,
    };
    let rules = Arc::new(Authorizer::new(AccessRules {
        super_users: [PRINCIPAL.to_owned()].into(),
        rules: Vec::new(),
    }));
    let mut session = Session::node(Guard::new(caller, rules, Arc::new(Orders)));
    let mut seen = Seen::default();
    let asked = request(1, &message(ApiKey::HEARTBEAT, 4, Direction::Request));
    let step = session.request(&asked, ms(5)).unwrap();
    assert_eq!(step, Step::Login);
    session.login("token", ms(6));
    session.report(ms(6), &mut seen);
    let step = session.request(&asked, ms(15)).unwrap();
    assert_eq!(step, Step::Forward(asked.len()));
    session.report(ms(15), &mut seen);
    let answers = [
        response(0, &message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response)),
        response(
            1,
            &message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response),
        ),
        response(1, &message(ApiKey::HEARTBEAT, 4, Direction::Response)),
    ];
    let mut buffer = BytesMut::from(&*answers.concat());
    while !buffer.is_empty() {
        match session.response(&mut buffer, ms(20), &mut seen).unwrap() {
            Step::Forward(n) => drop(buffer.split_to(n)),
            Step::Replace { consumed, .. } => drop(buffer.split_to(consumed)),
            step => panic!("{step:?}"),
        }
        session.report(ms(20), &mut seen);
    }
    let times: Vec<_> = seen.exchanges.iter().map(|e| (e.broker, e.own)).collect();
    assert_eq!(times, [(Some(ms(5)), ms(10))]);
}

#[test]
fn what_wants_no_acknowledgement_counts_when_it_is_sent() {
    let (mut session, mut seen) = (client(), Seen::default());
    let asked = request(1, &produce(0, "orders"));
    session.request(&asked, ms(1)).unwrap();
    session.report(ms(3), &mut seen);
    assert_eq!(seen.produced, [(Topic::Name("orders".into()), 3)]);
    let [done] = &*seen.exchanges else {
        panic!("{:?}", seen.exchanges);
    };
    assert_eq!((done.broker, done.own), (None, ms(2)));
    assert_eq!((done.response_bytes, done.answered_here), (0, false));
}

#[test]
fn offsets_count_once_the_broker_has_taken_them() {
    let orders = Topic::Name("orders".into());
    let offset = Offset {
        partition: 3,
        offset: 40,
    };
    let cases = [
        (2, 0, Some(orders.clone())),
        (8, 0, Some(orders)),
        (10, 0, Some(Topic::Id([7; 16]))),
        // REBALANCE_IN_PROGRESS
        (8, 27, None),
        (10, 27, None),
    ];
    for (version, error, topic) in cases {
        let (asked, answer) = commit(version, error);
        let seen = exchange(&mut client(), &asked, &answer);
        let expected = topic.map(|topic| ("billing".to_owned(), topic, vec![offset]));
        assert_eq!(seen.committed, Vec::from_iter(expected), "v{version}");
        assert!(seen.produced.is_empty());
    }
}

#[test]
fn a_fetch_tells_where_logs_end() {
    let mut answer = message(ApiKey::FETCH, 12, Direction::Response);
    let partition = |of: &Struct, index: i32, watermark: i64| {
        let mut partition = of.child("Partitions").unwrap();
        partition.set("PartitionIndex", index);
        partition.set("HighWatermark", watermark);
        partition
    };
    let topics = ["a", "b"].map(|name| {
        let mut topic = answer.child("Responses").unwrap();
        topic.set("Topic", name);
        let partitions = vec![
            partition(&topic, 0, 10),
            // A partition that is refused has none.
            partition(&topic, 1, -1),
            partition(&topic, 2, 30),
        ];
        topic.set("Partitions", partitions);
        topic
    });
    answer.set("Responses", Vec::from(topics));
    let asked = message(ApiKey::FETCH, 12, Direction::Request);
    let seen = exchange(&mut client(), &asked, &answer);
    let ends = [(0, 10), (2, 30)].map(|(partition, offset)| Offset { partition, offset });
    let of = |name: &str| (Topic::Name(name.into()), ends.to_vec());
    assert_eq!(seen.watermarks, [of("a"), of("b")]);
}

#[test]
fn metadata_tells_what_topics_are_called() {
    let mut answer = message(ApiKey::METADATA, 12, Direction::Response);
    let topic = |id: u8, name: Option<&str>| {
        let mut topic = answer.child("Topics").unwrap();
        topic.set("TopicId", Value::Uuid([id; 16]));
        topic.set("Name", name);
        topic
    };
    let topics = vec![
        topic(7, Some("orders")),
        // Asked for by an id that no topic has.
        topic(9, None),
        topic(0, Some("secret")),
    ];
    answer.set("Topics", topics);
    let asked = message(ApiKey::METADATA, 12, Direction::Request);
    let seen = exchange(&mut client(), &asked, &answer);
    assert_eq!(seen.named, [([7; 16], "orders".to_owned())]);
}

#[test]
fn a_client_may_say_what_it_is() {
    let cases = [
        (4, "librdkafka", "2.10.0", true),
        (3, "apache-kafka-java", "4.1.0", true),
        (3, "a b", "1", false),
        (3, "", "", false),
        (0, "", "", false),
    ];
    for (version, name, number, taken) in cases {
        let mut asked = message(ApiKey::API_VERSIONS, version, Direction::Request);
        if version >= 3 {
            asked.set("ClientSoftwareName", name);
            asked.set("ClientSoftwareVersion", number);
        }
        let answer = message(ApiKey::API_VERSIONS, version, Direction::Response);
        let seen = exchange(&mut client(), &asked, &answer);
        let expected = taken.then(|| Software::new(name, number).unwrap());
        assert_eq!(seen.software, Vec::from_iter(expected), "{name} v{version}");
    }
}

/// The refusals that a request leads to.
fn refused(rules: Vec<Rule>, asked: &Struct) -> Vec<(String, Option<String>)> {
    let (mut session, mut seen) = (node(rules), Seen::default());
    let frame = request(1, asked);
    // One that has no answer ends the connection, and is told nevertheless.
    let _ = session.request(&frame, ms(0));
    session.report(ms(0), &mut seen);
    let what = |denial: &Denial| {
        let partition = denial.partition.map(|p| format!("-{p}"));
        let what = format!(
            "{} {:?} {:?} {}{}",
            denial.api,
            denial.operation,
            denial.kind,
            denial.name,
            partition.unwrap_or_default()
        );
        (what, denial.rule.as_deref().map(str::to_owned))
    };
    assert!(seen.refused.len() <= 1, "one report a request");
    seen.refused.iter().flatten().map(what).collect()
}

#[test]
fn a_refusal_says_what_and_by_which_rule() {
    let heartbeat = {
        let mut body = message(ApiKey::HEARTBEAT, 4, Direction::Request);
        body.set("GroupId", "billing");
        body
    };
    let coordinator = {
        let mut body = message(ApiKey::FIND_COORDINATOR, 4, Direction::Request);
        let key = Value::String("tx-1".into());
        body.set("KeyType", Value::Int8(1));
        body.set("CoordinatorKeys", Value::Array(vec![key]));
        body
    };
    let fetch = {
        let mut body = message(ApiKey::FETCH, 13, Direction::Request);
        one(&mut body, "Topics", |topic| {
            topic.set("TopicId", Value::Uuid([7; 16]));
            one(topic, "Partitions", |partition| {
                partition.set("Partition", 5);
            });
        });
        body
    };
    let acls = message(ApiKey(29), 3, Direction::Request);
    let cases = [
        (&produce(-1, "orders"), "Produce Write Topic orders"),
        (&produce(0, "orders"), "Produce Write Topic orders"),
        (&commit(8, 0).0, "OffsetCommit Read Group billing"),
        (&heartbeat, "Heartbeat Read Group billing"),
        (
            &coordinator,
            "FindCoordinator Describe TransactionalId tx-1",
        ),
        (&fetch, "Fetch Read Topic orders"),
        (&acls, "DescribeAcls Describe Cluster kafka-cluster"),
    ];
    for (asked, what) in cases {
        let found = refused(Vec::new(), asked);
        assert_eq!(found[0], (what.to_owned(), None));
    }
    let source = "KafkaAcl shop/no-writes";
    let denies = rule(Permission::Deny, Operation::Write, "orders", source);
    let found = refused(vec![denies], &produce(-1, "orders"));
    let expected = (
        "Produce Write Topic orders".to_owned(),
        Some(source.to_owned()),
    );
    assert_eq!(found, [expected]);
    let mut some = rule(Permission::Allow, Operation::Read, "orders", "");
    some.partitions = Some("0-4".parse().unwrap());
    let found = refused(vec![some], &fetch);
    assert_eq!(found, [("Fetch Read Topic orders-5".to_owned(), None)]);
}

#[test]
fn what_is_allowed_is_not_told_as_refused() {
    let writes = rule(Permission::Allow, Operation::Write, "orders", "");
    assert_eq!(refused(vec![writes], &produce(-1, "orders")), []);
}

#[test]
fn a_request_that_names_much_is_reported_in_part() {
    let mut body = message(ApiKey::DELETE_TOPICS, 5, Direction::Request);
    let long = |i| Value::String(format!("{i}-{}", "ä".repeat(200)).into());
    body.set("TopicNames", Value::Array((0..1_100).map(long).collect()));
    let found = refused(Vec::new(), &body);
    assert_eq!(found.len(), 16);
    assert!(found.iter().all(|(what, _)| what.len() < 300), "{found:?}");
}
