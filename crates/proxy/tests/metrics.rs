//! What a sidecar's metrics say of a scripted session, whether Prometheus can
//! read them, and that no names make them grow. Needs promtool.

use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tubeway_policy::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller, Rule};
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_proxy::metrics::{
    HandshakeLabels, Held, ListenerLabels, MAX_SERIES, Metrics, ReasonLabels,
};
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::observe::Counting;
use tubeway_session::{
    Denial, Exchange, Guard, Observe as _, Offset, Session, Software, Step, Topic,
};

const CHECKOUT: &str = "spiffe://cluster.local/ns/shop/sa/checkout";

/// A client's connection through a node's sidecar, step by step.
struct Script {
    session: Session,
    counting: Counting,
    now: Duration,
    correlation: i32,
}

// === impl Script ===

impl Script {
    fn new(metrics: &Metrics) -> Self {
        let principal: Arc<str> = format!("User:{CHECKOUT}").into();
        let allow = |kind, name: &str, operation| {
            Rule::from(AclBinding {
                resource_type: kind,
                pattern: PatternType::Literal,
                name: name.to_owned(),
                principal: principal.to_string(),
                host: "*".to_owned(),
                operation,
                permission: Permission::Allow,
            })
        };
        let rules = AccessRules {
            super_users: [].into(),
            rules: vec![
                allow(ResourceType::Topic, "orders", Operation::All),
                allow(ResourceType::Group, "billing", Operation::Read),
            ],
        };
        let caller = Caller {
            principal: principal.clone(),
            host: Ipv4Addr::new(192, 0, 2, 7).into(),
            zone: None,
        };
        let names = TopicNames::default();
        let authorizer = Arc::new(Authorizer::new(rules));
        let guard = Guard::new(caller, authorizer, Arc::new(names.clone()));
        let mut script = Self {
            session: Session::node(guard),
            counting: Counting::new(metrics.clone(), CHECKOUT, names),
            now: Duration::ZERO,
            correlation: 0,
        };
        script.session.login("token", Duration::ZERO);
        for api in [ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE] {
            script.answer(&message(api, 1, Direction::Response));
        }
        script.correlation = 0;
        script
    }

    /// A request that the broker answers after 3 ms.
    fn exchange(&mut self, asked: &Struct, answer: &Struct) {
        let step = self.ask(asked);
        assert!(
            matches!(step, Step::Forward(_) | Step::Replace { .. }),
            "{step:?}"
        );
        self.now += Duration::from_millis(3);
        self.answer(answer);
    }

    /// A request that is answered here.
    fn refused(&mut self, asked: &Struct) {
        let step = self.ask(asked);
        assert!(matches!(step, Step::Answered(_)), "{step:?}");
        let mut nothing = BytesMut::new();
        let answer = self
            .session
            .response(&mut nothing, self.now, &mut self.counting);
        assert!(matches!(answer, Ok(Step::Replace { .. })), "{answer:?}");
        self.session.report(self.now, &mut self.counting);
        self.correlation += 1;
    }

    /// One step, which takes 100 µs.
    fn ask(&mut self, asked: &Struct) -> Step {
        let header = RequestHeader {
            api: asked.layout().api(),
            version: asked.layout().version(),
            correlation_id: self.correlation,
            client_id: Some("checkout-1"),
            length: 0,
        };
        let mut out = Vec::new();
        header.write(&mut out).unwrap();
        let frame = framed(out, asked);
        let step = self.session.request(&frame, self.now).unwrap();
        self.now += Duration::from_micros(100);
        self.session.report(self.now, &mut self.counting);
        step
    }

    fn answer(&mut self, answer: &Struct) {
        let (api, version) = (answer.layout().api(), answer.layout().version());
        let mut out = Vec::new();
        ResponseHeader::write(&mut out, api, version, self.correlation).unwrap();
        let mut frame = BytesMut::from(&*framed(out, answer));
        self.session
            .response(&mut frame, self.now, &mut self.counting)
            .unwrap();
        self.session.report(self.now, &mut self.counting);
        self.correlation += 1;
    }
}

fn message(api: ApiKey, version: i16, direction: Direction) -> Struct {
    Struct::message(Schemas::get().layout(api, version, direction).unwrap())
}

fn both(api: ApiKey, version: i16) -> (Struct, Struct) {
    let of = |direction| message(api, version, direction);
    (of(Direction::Request), of(Direction::Response))
}

fn framed(header: Vec<u8>, body: &Struct) -> Vec<u8> {
    let mut frame = header;
    body.encode(&mut frame).unwrap();
    let mut out = (frame.len() as i32).to_be_bytes().to_vec();
    out.extend(frame);
    out
}

/// An array of one element made by `fill`.
fn one(body: &mut Struct, field: &'static str, fill: impl FnOnce(&mut Struct)) {
    let mut element = body.child(field).unwrap();
    fill(&mut element);
    body.set(field, vec![element]);
}

/// A v2 batch of so many records, by its header.
fn batch(records: i32) -> Value {
    let mut batch = vec![0; 61];
    batch[8..12].copy_from_slice(&49_i32.to_be_bytes());
    batch[16] = 2;
    batch[23..27].copy_from_slice(&(records - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&records.to_be_bytes());
    Value::Records(batch.into())
}

fn produce(topic: &str) -> (Struct, Struct) {
    let (mut asked, mut answer) = both(ApiKey::PRODUCE, 9);
    asked.set("Acks", -1_i16);
    one(&mut asked, "TopicData", |data| {
        data.set("Name", topic);
        one(data, "PartitionData", |partition| {
            partition.set("Records", batch(5));
        });
    });
    one(&mut answer, "Responses", |data| {
        data.set("Name", topic);
        one(data, "PartitionResponses", |_| {});
    });
    answer.set("ThrottleTimeMs", 1_500);
    (asked, answer)
}

fn fetch() -> (Struct, Struct) {
    let (mut asked, mut answer) = both(ApiKey::FETCH, 12);
    asked.set("SessionEpoch", -1);
    one(&mut asked, "Topics", |topic| {
        topic.set("Topic", "orders");
        one(topic, "Partitions", |_| {});
    });
    one(&mut answer, "Responses", |topic| {
        topic.set("Topic", "orders");
        one(topic, "Partitions", |partition| {
            partition.set("HighWatermark", 120_i64);
            partition.set("Records", batch(4));
        });
    });
    (asked, answer)
}

fn commit(offset: i64) -> (Struct, Struct) {
    let (mut asked, mut answer) = both(ApiKey::OFFSET_COMMIT, 8);
    asked.set("GroupId", "billing");
    one(&mut asked, "Topics", |topic| {
        topic.set("Name", "orders");
        one(topic, "Partitions", |partition| {
            partition.set("CommittedOffset", offset);
        });
    });
    one(&mut answer, "Topics", |topic| {
        topic.set("Name", "orders");
        one(topic, "Partitions", |_| {});
    });
    (asked, answer)
}

/// Runs the script; what it leaves open is kept.
fn scripted(metrics: &Metrics) -> (Script, Held) {
    let listener = "client";
    let open = metrics
        .connections
        .get_or_create_owned(&ListenerLabels { listener });
    let held = Held::new(open);
    for outcome in ["ok", "identity"] {
        let labels = HandshakeLabels { listener, outcome };
        metrics.handshakes.get_or_create_owned(&labels).inc();
    }
    let times = &metrics.handshake_time;
    let time = times.get_or_create_owned(&ListenerLabels { listener });
    time.observe(Duration::from_micros(1_200));
    for (family, reason) in [
        (&metrics.refused, "identity"),
        (&metrics.ended, "malformed"),
    ] {
        let labels = ReasonLabels { listener, reason };
        family.get_or_create_owned(&labels).inc();
    }
    metrics.certificate_expiry.set(1_900_000_000);

    let mut script = Script::new(metrics);
    let (mut versions, offered) = both(ApiKey::API_VERSIONS, 3);
    versions.set("ClientSoftwareName", "apache-kafka-java");
    versions.set("ClientSoftwareVersion", "4.1.0");
    script.exchange(&versions, &offered);
    let (asked, answer) = produce("orders");
    script.exchange(&asked, &answer);
    script.refused(&produce("salaries").0);
    let (asked, answer) = fetch();
    script.exchange(&asked, &answer);
    for offset in [100, 110] {
        let (asked, answer) = commit(offset);
        script.exchange(&asked, &answer);
    }
    let (mut asked, mut answer) = both(ApiKey::HEARTBEAT, 4);
    asked.set("GroupId", "billing");
    // REBALANCE_IN_PROGRESS
    answer.set("ErrorCode", 27_i16);
    script.exchange(&asked, &answer);
    asked.set("GroupId", "payroll");
    script.refused(&asked);
    (script, held)
}

/// The text with the samples of each family in order.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    for family in lines.chunk_by_mut(|a, b| a.starts_with('#') == b.starts_with('#')) {
        if !family[0].starts_with('#') {
            family.sort_unstable();
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_scripted_session_counts_as_it_did() {
    let metrics = Metrics::default();
    let open = scripted(&metrics);
    let text = sorted(&metrics.encode().unwrap());
    drop(open);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/metrics.txt");
    if std::env::var_os("TUBEWAY_UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &text).unwrap();
    }
    let before = fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        text == before,
        "{text}\nrun again with TUBEWAY_UPDATE_GOLDEN=1 if this is meant"
    );
}

#[test]
fn flows_say_who_produces_and_consumes() {
    let metrics = Metrics::default();
    let open = scripted(&metrics);
    drop(open);
    let flows = metrics.flows();
    let flows: Vec<_> = flows
        .iter()
        .map(|f| (&*f.topic, f.produced_records, f.consumed_records, f.denied))
        .collect();
    assert_eq!(flows, [("orders", 5, 4, 0), ("salaries", 0, 0, 1)]);
}

fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs; if it is missing: apt-get install prometheus");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn assert_fine(output: &Output) {
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
}

/// Names that have to be escaped.
fn odd_names(metrics: &Metrics) -> Counting {
    let mut counting = Counting::new(metrics.clone(), CHECKOUT, TopicNames::default());
    for name in ["a\"b", "a\\b", "a\nb", "a{b}", "ä # EOF"] {
        counting.denied(&Topic::Name(name.into()));
        let at = Offset {
            partition: 0,
            offset: 1,
        };
        counting.committed(name, &Topic::Name(name.into()), &[at]);
    }
    counting
}

#[test]
fn promtool_has_nothing_to_say_about_the_text() {
    let metrics = Metrics::default();
    let open = (scripted(&metrics), odd_names(&metrics));
    let text = metrics.encode_plain().unwrap();
    drop(open);
    let checked = promtool(&["check", "metrics"], &text);
    assert_fine(&checked);
    assert!(checked.stderr.is_empty(), "{checked:?}");
}

#[test]
fn promtool_reads_the_open_metrics() {
    let metrics = Metrics::default();
    let open = (scripted(&metrics), odd_names(&metrics));
    let text = metrics.encode().unwrap();
    drop(open);
    // It makes blocks of samples that have a time, which a scrape has not.
    let timed = |line: &str| {
        let time = if line.starts_with('#') {
            ""
        } else {
            " 1700000000"
        };
        format!("{line}{time}\n")
    };
    let timed: String = text.lines().map(timed).collect();
    let folder = tempfile::tempdir().unwrap();
    let (file, blocks) = (folder.path().join("in"), folder.path().join("out"));
    fs::write(&file, timed).unwrap();
    let paths = [&file, &blocks].map(|path| path.to_str().unwrap());
    let make = ["tsdb", "create-blocks-from", "openmetrics"];
    assert_fine(&promtool(&[&make[..], &paths[..]].concat(), ""));
}

/// Numbers in no order, always the same.
fn scattered(mut n: u64) -> u64 {
    n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

/// P13: 10⁶ random topics, and 10⁵ random groups, software names and denials, of
/// 500 principals that use every API. Client ids are no labels.
#[test]
fn a_million_names_make_a_bounded_number_of_series() {
    const NAMES: u64 = 1_000_000;
    const EACH: u64 = 2_000;
    let metrics = Metrics::default();
    let apis: Vec<ApiKey> = (0..93).map(ApiKey).collect();
    let mut open = Vec::new();
    for first in (0..NAMES).step_by(EACH as usize) {
        let principal = format!("spiffe://cluster.local/ns/n/sa/{:x}", scattered(first));
        let mut counting = Counting::new(metrics.clone(), &principal, TopicNames::default());
        for n in first..first + EACH {
            let topic = Topic::Name(format!("{:x}", scattered(n)).into());
            let api = apis[n as usize / 10 % apis.len()];
            flood(&mut counting, &topic, api, n);
        }
        if first % 10_000 == 0 {
            open.push(counting);
        }
    }
    let text = metrics.encode().unwrap();
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    assert!(series <= MAX_SERIES, "{series}");
    assert!(series > MAX_SERIES / 2, "{series}: the budget is in use");
    let flows = metrics.flows();
    let sum = |of: fn(&tubeway_config::Flow) -> u64| flows.iter().map(of).sum::<u64>();
    assert_eq!(sum(|flow| flow.produced_records), 2 * NAMES);
    assert_eq!(sum(|flow| flow.denied), NAMES / 10);
    assert_eq!(total(&text, "tubeway_requests_total"), NAMES / 10);
    assert_eq!(total(&text, "tubeway_response_errors_total"), NAMES / 10);
    assert_eq!(total(&text, "tubeway_denied_requests_total"), NAMES / 10);
    assert_eq!(total(&text, "tubeway_group_commits_total"), NAMES / 10);
    assert_eq!(
        total(&text, "tubeway_client_connections"),
        open.len() as u64
    );
    assert_fine(&promtool(
        &["check", "metrics"],
        &metrics.encode_plain().unwrap(),
    ));
}

/// What a name can make a series of; all of it for one in ten.
fn flood(counting: &mut Counting, topic: &Topic, api: ApiKey, n: u64) {
    let name = api.name().unwrap_or("unknown API");
    counting.produced(topic, 2, 20);
    let Topic::Name(text) = topic else { return };
    if !n.is_multiple_of(10) {
        return;
    }
    counting.software(&Software::new(text, "1").unwrap());
    counting.consumed(topic, 1, 10);
    counting.denied(topic);
    counting.error(name, (n / 10 % 30_000) as i16);
    let at = Offset {
        partition: n as i32,
        offset: 1,
    };
    counting.high_watermarks(topic, &[at]);
    counting.committed(text, topic, &[at]);
    counting.finished(&Exchange {
        api,
        name,
        version: 0,
        request_bytes: 1,
        response_bytes: 1,
        broker: Some(Duration::from_nanos(n)),
        own: Duration::from_nanos(n),
        throttle: Duration::ZERO,
        answered_here: false,
    });
    counting.refused(&[Denial {
        api: name,
        operation: Operation::Read,
        kind: ResourceType::ALL[n as usize % ResourceType::ALL.len()],
        name: (&**text).into(),
        partition: None,
        rule: None,
    }]);
}

/// The sum of a family's samples.
fn total(text: &str, family: &str) -> u64 {
    let value = |line: &str| {
        let rest = line.strip_prefix(family)?.strip_prefix('{')?;
        rest.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    text.lines().filter_map(value).sum()
}
