//! Quotas on a connection: what the answer says, and for how long nothing more
//! is read.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_policy::quota::{
    Action, Burst, Dimension, Held, Limit, Match, Meter, Quota, QuotaRules, Selector, Share,
};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller};
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::access::{Exists, NameOf, Names};
use tubeway_session::{Guard, Observe, Session, Step, Topic};

const PRINCIPAL: &str = "User:spiffe://cluster.local/ns/shop/sa/checkout";

struct Nothing;

impl Names for Nothing {
    fn name_of(&self, _: &[u8; 16]) -> NameOf {
        NameOf::Known("orders".into())
    }

    fn exists(&self, _: &str) -> Exists {
        Exists::Yes
    }
}

impl Observe for Nothing {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}

/// A connection that has logged in, and what stands between client and broker.
struct Connection {
    session: Session,
    to_broker: Vec<u8>,
    to_client: Vec<u8>,
}

fn meter(limit: Limit) -> Arc<Meter> {
    let any = || Selector::Any;
    let quota = Quota {
        name: "test".into(),
        source: String::new(),
        tier: String::new(),
        scope: Match {
            principals: any(),
            client_ids: any(),
            topics: any(),
            apis: any(),
        },
        limit,
        share: Share::PerSidecar,
    };
    Meter::new(&QuotaRules {
        quotas: vec![quota],
        ..QuotaRules::default()
    })
    .unwrap()
}

fn rate(of: Dimension, per_second: f64) -> Limit {
    Limit::Rate {
        of,
        per_second,
        burst: Burst::Seconds(1.0),
        action: Action::Throttle,
    }
}

impl Connection {
    fn new(meter: &Arc<Meter>, begun: Duration) -> Self {
        let caller = Caller {
            principal: PRINCIPAL.into(),
            host: Ipv4Addr::new(192, 0, 2, 7).into(),
            zone: None,
        };
        let rules = Authorizer::new(AccessRules {
            super_users: [PRINCIPAL.to_owned()].into(),
            rules: Vec::new(),
        });
        let guard = Guard::new(caller, Arc::new(rules), Arc::new(Nothing));
        let mut session = Session::node(guard).limited(meter.charger(PRINCIPAL), begun);
        session.login("token", Duration::ZERO);
        let mut connection = Self {
            session,
            to_broker: Vec::new(),
            to_client: Vec::new(),
        };
        let authenticated = message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response);
        connection.answer(
            0,
            &message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response),
            0,
        );
        connection.answer(1, &authenticated, 0);
        assert_eq!(connection.to_client, []);
        connection
    }

    /// Sends a request at this second; how long nothing more is read, if it
    /// had to wait itself.
    fn ask(&mut self, correlation_id: i32, body: &Struct, at: u64) -> Option<Duration> {
        let mut buffer = BytesMut::from(&request(correlation_id, body)[..]);
        while !buffer.is_empty() {
            let now = Duration::from_secs(at);
            match self.session.request(&buffer, now).unwrap() {
                Step::Forward(n) => self.to_broker.extend(buffer.split_to(n)),
                Step::Pause(time) => return Some(time),
                other => panic!("{other:?}"),
            }
        }
        None
    }

    fn answer(&mut self, correlation_id: i32, body: &Struct, at: u64) {
        let mut buffer = BytesMut::from(&response(correlation_id, body)[..]);
        loop {
            let now = Duration::from_secs(at);
            match self
                .session
                .response(&mut buffer, now, &mut Nothing)
                .unwrap()
            {
                Step::Forward(n) => self.to_client.extend(buffer.split_to(n)),
                Step::Replace { consumed, with } => {
                    drop(buffer.split_to(consumed));
                    self.to_client.extend(with);
                }
                Step::NeedMore => return,
                other => panic!("{other:?}"),
            }
        }
    }

    /// The last answer that the client has got.
    fn got(&mut self, like: &Struct) -> Struct {
        let frame = Bytes::from(std::mem::take(&mut self.to_client));
        assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
        let layout = like.layout();
        let header = ResponseHeader::read(
            &frame[4..],
            frame.len() as u32 - 4,
            layout.api(),
            layout.version(),
        );
        let body = frame.slice(4 + header.unwrap().unwrap().length..);
        decode(layout, &body, Budget::bytes(1 << 20)).unwrap()
    }
}

fn message(api: ApiKey, version: i16, direction: Direction) -> Struct {
    Struct::message(Schemas::get().layout(api, version, direction).unwrap())
}

fn frame(header: impl FnOnce(&mut Vec<u8>), body: &Struct) -> Vec<u8> {
    let mut frame = Vec::new();
    header(&mut frame);
    body.encode(&mut frame).unwrap();
    [&(frame.len() as i32).to_be_bytes()[..], &frame].concat()
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
    let (api, version) = (body.layout().api(), body.layout().version());
    frame(
        |out| ResponseHeader::write(out, api, version, correlation_id).unwrap(),
        body,
    )
}

/// So many bytes of a batch.
fn batch(bytes: usize) -> Value {
    let mut batch = vec![0; bytes];
    batch[8..12].copy_from_slice(&(bytes as i32 - 12).to_be_bytes());
    batch[16] = 2;
    batch[57..61].copy_from_slice(&10_i32.to_be_bytes());
    Value::Records(batch.into())
}

fn produce(bytes: usize) -> Struct {
    let mut body = message(ApiKey::PRODUCE, 9, Direction::Request);
    body.set("Acks", -1_i16);
    let mut topic = body.child("TopicData").unwrap();
    topic.set("Name", "orders");
    let mut partition = topic.child("PartitionData").unwrap();
    partition.set("Records", batch(bytes));
    topic.set("PartitionData", vec![partition]);
    body.set("TopicData", vec![topic]);
    body
}

fn fetched(bytes: usize) -> Struct {
    let mut body = message(ApiKey::FETCH, 12, Direction::Response);
    let mut topic = body.child("Responses").unwrap();
    topic.set("Topic", "orders");
    let mut partition = topic.child("Partitions").unwrap();
    partition.set("Records", batch(bytes));
    topic.set("Partitions", vec![partition]);
    body.set("Responses", vec![topic]);
    body
}

#[test]
fn a_producer_over_its_rate_is_told_so_and_muted_for_as_long() {
    let meter = meter(rate(Dimension::ProducedBytes, 1000.0));
    let mut connection = Connection::new(&meter, Duration::ZERO);
    let ok = message(ApiKey::PRODUCE, 9, Direction::Response);
    assert_eq!(connection.ask(1, &produce(1000), 0), None);
    connection.answer(1, &ok, 0);
    assert_eq!(connection.got(&ok).int("ThrottleTimeMs"), 0);
    // Three seconds' worth, when nothing is left: served, and to be waited for.
    assert_eq!(connection.ask(2, &produce(3000), 0), None);
    connection.answer(2, &ok, 0);
    assert_eq!(connection.got(&ok).int("ThrottleTimeMs"), 3000);
    let forwarded = connection.to_broker.len();
    assert_eq!(
        connection.ask(3, &produce(100), 1),
        Some(Duration::from_secs(2))
    );
    assert_eq!(connection.to_broker.len(), forwarded);
    assert_eq!(connection.ask(3, &produce(100), 3), None);
    assert!(connection.to_broker.len() > forwarded);
}

#[test]
fn a_consumer_over_its_rate_is_told_so_as_the_response_begins() {
    let meter = meter(rate(Dimension::ConsumedBytes, 1000.0));
    let mut connection = Connection::new(&meter, Duration::ZERO);
    let fetch = message(ApiKey::FETCH, 12, Direction::Request);
    assert_eq!(connection.ask(1, &fetch, 0), None);
    let full = fetched(5000);
    connection.answer(1, &full, 0);
    let told = connection.got(&full).int("ThrottleTimeMs");
    // What is told is of the whole frame, what is charged of the records.
    assert!((4000..4100).contains(&told), "{told}");
    assert_eq!(connection.ask(2, &fetch, 1), Some(Duration::from_secs(3)));
}

#[test]
fn a_new_connection_does_not_leave_debts_behind() {
    let meter = meter(rate(Dimension::Requests, 1.0));
    let metadata = message(ApiKey::METADATA, 12, Direction::Request);
    let mut first = Connection::new(&meter, Duration::ZERO);
    for i in 0..2 {
        assert_eq!(first.ask(i, &metadata, 0), None);
    }
    drop(first);
    let mut second = Connection::new(&meter, Duration::ZERO);
    assert_eq!(second.ask(1, &metadata, 0), Some(Duration::from_secs(1)));
    assert_eq!(second.ask(1, &metadata, 1), None);
}

#[test]
fn every_request_of_a_kind_counts_for_its_own_quota() {
    for (dimension, api, version) in [
        (Dimension::MetadataRequests, ApiKey::METADATA, 12),
        (Dimension::GroupJoins, ApiKey::JOIN_GROUP, 7),
        // A member's first heartbeat has epoch 0, as the default message.
        (Dimension::GroupJoins, ApiKey(68), 0),
        (Dimension::OffsetCommits, ApiKey::OFFSET_COMMIT, 8),
        (Dimension::Requests, ApiKey::HEARTBEAT, 4),
    ] {
        let meter = meter(rate(dimension, 1.0));
        let mut connection = Connection::new(&meter, Duration::ZERO);
        let body = message(api, version, Direction::Request);
        let other = message(ApiKey::LIST_OFFSETS, 7, Direction::Request);
        if dimension != Dimension::Requests {
            for i in 10..20 {
                assert_eq!(connection.ask(i, &other, 0), None, "{dimension:?}");
            }
        }
        assert_eq!(connection.ask(1, &body, 0), None, "{dimension:?}");
        assert_eq!(connection.ask(2, &body, 0), None, "{dimension:?}");
        let muted = connection.ask(3, &body, 0);
        assert_eq!(muted, Some(Duration::from_secs(1)), "{dimension:?}");
    }
}

#[test]
fn requests_in_flight_wait_for_each_other_over_connections() {
    let meter = meter(Limit::Held {
        of: Held::RequestsInFlight,
        count: 1,
    });
    let heartbeat = message(ApiKey::HEARTBEAT, 4, Direction::Request);
    let answer = message(ApiKey::HEARTBEAT, 4, Direction::Response);
    let mut one = Connection::new(&meter, Duration::ZERO);
    let mut other = Connection::new(&meter, Duration::ZERO);
    assert_eq!(one.ask(1, &heartbeat, 0), None);
    assert!(other.ask(1, &heartbeat, 0).is_some());
    assert_eq!(other.to_broker, []);
    one.answer(1, &answer, 0);
    assert_eq!(other.ask(1, &heartbeat, 0), None);
    assert_ne!(other.to_broker, []);
}
