//! Rows 18, 19 and 26: groups of the newer kinds, telemetry, coordinators.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_policy::rules::AccessRules;
use tubeway_protocol::records::codec::compress;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::walk::Compression;
use tubeway_protocol::{ApiKey, Direction};

use crate::world::*;

const CONSUMER_HEARTBEAT: ApiKey = ApiKey(68);
const TELEMETRY: [ApiKey; 2] = [ApiKey(71), ApiKey(72)];

fn mine(topics: &[&'static str]) -> AccessRules {
    let group = (Operation::Read, ResourceType::Group, "mine");
    with(may_read(topics), may(&[group]))
}

fn strings(values: &[&str]) -> Value {
    Value::Array(values.iter().map(|value| Value::from(*value)).collect())
}

fn consumer(version: i16, group: &str, topics: &[&str]) -> Struct {
    let body = message(CONSUMER_HEARTBEAT, version, Direction::Request);
    let values = [
        ("GroupId", Value::from(group)),
        ("MemberId", Value::from("me")),
        ("SubscribedTopicNames", strings(topics)),
    ];
    filled(body, &values)
}

/// A heartbeat with a regular expression passes to the broker, which alone knows
/// all topics and, by the login, who is asking; the offer of it stays.
#[test]
fn row_18_a_regular_expression_is_the_brokers_to_match() {
    for size in SIZES {
        for mut talk in [Talk::node(size, mine(&[])), Talk::client(size, None)] {
            let mut body = consumer(1, "mine", &[]);
            body.set("SubscribedTopicNames", Value::Null);
            body.set("SubscribedTopicRegex", "ord.*|(broken");
            let sent = request(7, &body);
            assert_eq!(talk.send(&sent).unwrap(), sent);
            let mut refused = blank(&body);
            refused.set("ErrorCode", 128_i16);
            let answer = response(7, &refused);
            assert_eq!(talk.receive(&answer).unwrap(), answer);
            let versions = message(ApiKey::API_VERSIONS, 4, Direction::Request);
            let offer = offering(4, &[(68, 0, 1)]);
            let (_, got) = talk.exchange(&versions, |_| offer.clone());
            assert_eq!(got, offer);
        }
    }
}

/// Topics that are subscribed to by name are authorised here, and the group.
#[test]
fn row_18_names_and_groups_are_authorised() {
    for size in SIZES {
        for version in all_versions(CONSUMER_HEARTBEAT) {
            let mut talk = Talk::node(size, mine(&["orders"]));
            for (group, topics, error) in [
                ("others", &["orders"][..], 30),
                ("mine", &["orders", "secret"], 29),
                ("mine", &["secret"], 29),
            ] {
                let refused = talk.own_answer(&consumer(version, group, topics));
                assert_eq!(refused.int("ErrorCode"), error, "v{version} {topics:?}");
            }
            let body = consumer(version, "mine", &["orders"]);
            let (seen, _) = talk.exchange(&body, blank);
            assert_eq!(seen, Some(body));
        }
    }
}

/// Assignments by topic id, and what a member says it owns, pass.
#[test]
fn row_18_assignments_pass() {
    for size in SIZES {
        for version in all_versions(CONSUMER_HEARTBEAT) {
            for mut talk in [
                Talk::node(size, mine(&["orders"])),
                Talk::client(size, None),
            ] {
                let mut body = consumer(version, "mine", &["orders"]);
                let values = [
                    ("TopicId", Value::Uuid(id_of("orders"))),
                    ("Partitions", Value::ints([0, 5])),
                ];
                let owned = entry(&body, "TopicPartitions", &values);
                body.set("TopicPartitions", vec![owned]);
                let mut answer = blank(&body);
                let assignment = answer.child("Assignment").unwrap();
                let assigned = entry(&assignment, "TopicPartitions", &values);
                let assigned = vec![assigned].into();
                let assignment = filled(assignment, &[("TopicPartitions", assigned)]);
                answer.set("Assignment", assignment);
                answer.set("MemberEpoch", 3);
                let (seen, got) = talk.exchange(&body, |_| answer.clone());
                assert_eq!((seen, got), (Some(body), answer));
            }
        }
    }
}

/// Telemetry needs no right and goes to the broker, compressed as it is; it is
/// not taken out of what is offered.
#[test]
fn row_19_telemetry_passes() {
    for size in SIZES {
        for mut talk in [Talk::node(size, may(&[])), Talk::client(size, None)] {
            let versions = message(ApiKey::API_VERSIONS, 4, Direction::Request);
            let offer = offering(4, &[(71, 0, 0), (72, 0, 0)]);
            let (_, got) = talk.exchange(&versions, |_| offer.clone());
            assert_eq!(got, offer);
            for api in TELEMETRY {
                let mut body = message(api, 0, Direction::Request);
                body.set("ClientInstanceId", Value::Uuid([5; 16]));
                pushing(&mut body, Compression::Zstd, 2000);
                let sent = request(7, &body);
                assert_eq!(talk.send(&sent).unwrap(), sent);
                let mut answer = blank(&body);
                answer.set("ErrorCode", 118_i16);
                answer.set("ThrottleTimeMs", 30_000);
                let answer = response(7, &answer);
                assert_eq!(talk.receive(&answer).unwrap(), answer);
            }
        }
    }
}

/// Beside a client telemetry passes without being held.
#[test]
fn row_19_telemetry_is_not_held_beside_the_client() {
    let mut talk = Talk::client(4096, None);
    let mut body = message(TELEMETRY[1], 0, Direction::Request);
    body.set("Metrics", Value::Bytes(vec![1; 1 << 20].into()));
    let sent = request(7, &body);
    assert_eq!(talk.send(&sent).unwrap().len(), sent.len());
    assert!(talk.peak <= 4096, "{} bytes were held", talk.peak);
}

/// Telemetry that would fill a broker's memory once decompressed does not reach
/// it (CVE-2026-111073), nor does what cannot be read; the connection goes on.
#[test]
fn row_19_telemetry_is_small_when_decompressed() {
    const MIB: usize = 1 << 20;
    let (too_large, invalid) = (118, 87);
    let codecs = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];
    for codec in codecs {
        for (size, refusal) in [(8 * MIB, None), (8 * MIB + 1, Some(too_large))] {
            // Without a codec it is as large as it looks, which the broker limits.
            let refusal = refusal.filter(|_| codec != Compression::None);
            let mut body = message(TELEMETRY[1], 0, Direction::Request);
            pushing(&mut body, codec, size);
            assert_eq!(refused(&body), refusal, "{codec:?}, {size} bytes");
        }
        let mut body = message(TELEMETRY[1], 0, Direction::Request);
        pushing(&mut body, codec, 1000);
        body.set("Metrics", Value::Bytes(vec![0x28; 2000].into()));
        let refusal = (codec != Compression::None).then_some(invalid);
        assert_eq!(refused(&body), refusal, "broken {codec:?}");
    }
    // Which codecs there are is the broker's to say.
    let mut body = message(TELEMETRY[1], 0, Direction::Request);
    body.set("CompressionType", 9_i8);
    assert_eq!(refused(&body), None);
}

/// The error by which a node's session answers a request itself, if it does.
fn refused(body: &Struct) -> Option<i64> {
    let mut talk = Talk::node(usize::MAX, may(&[]));
    let (seen, got) = talk.exchange(body, blank);
    seen.is_none().then(|| got.int("ErrorCode"))
}

/// Makes a push of so many bytes of metrics, compressed.
fn pushing(body: &mut Struct, codec: Compression, size: usize) {
    let number = match codec {
        Compression::None => 0_i8,
        Compression::Gzip => 1,
        Compression::Snappy => 2,
        Compression::Lz4 => 3,
        Compression::Zstd => 4,
        Compression::Unknown(number) => number as i8,
    };
    let metrics = compress(codec, 2, vec![0; size]).unwrap();
    body.set("CompressionType", number);
    body.set("Metrics", Value::Bytes(metrics.into()));
}

fn find(version: i16, kind: i8, keys: &[&str]) -> Struct {
    let mut body = message(ApiKey::FIND_COORDINATOR, version, Direction::Request);
    if !body.set("CoordinatorKeys", strings(keys)) {
        body.set("Key", keys[0]);
    }
    body.set("KeyType", kind);
    body
}

/// A broker's answer: a coordinator for each key but `lost`, which has none.
fn found(request: &Struct) -> Struct {
    let mut body = blank(request);
    let place = [
        ("NodeId", Value::Int32(2)),
        ("Host", Value::from("demo-2.kafka.svc")),
        ("Port", Value::Int32(9092)),
    ];
    let nowhere = [
        ("NodeId", Value::Int32(-1)),
        ("Port", Value::Int32(-1)),
        ("ErrorCode", 15_i16.into()),
    ];
    let Some(Value::Array(keys)) = request.get("CoordinatorKeys") else {
        return filled(body, &place);
    };
    let entries = keys.iter().map(|key| {
        let key = key.as_str().unwrap();
        let of = if key == "lost" { &nowhere } else { &place };
        let entry = entry(&body, "Coordinators", of);
        filled(entry, &[("Key", Value::from(key))])
    });
    let entries: Vec<_> = entries.collect();
    body.set("Coordinators", entries);
    body
}

fn coordinators(answer: &Struct) -> Vec<(String, i64, String)> {
    let of = |entry: &Struct| {
        let text = |field| entry.str(field).unwrap_or_default().to_owned();
        (text("Key"), entry.int("ErrorCode"), text("Host"))
    };
    let several = answer.structs("Coordinators").map(of).collect();
    match answer.get("Coordinators") {
        Some(_) => several,
        None => vec![of(answer)],
    }
}

/// Keys that the caller may not use are refused one by one, in their places; the
/// others are asked for (version 4 on, KIP-699).
#[test]
fn row_26_coordinators_are_refused_key_by_key() {
    let rights = [
        (Operation::Read, ResourceType::Group, "mine"),
        (Operation::Describe, ResourceType::Group, "lost"),
        (Operation::Write, ResourceType::TransactionalId, "mine"),
        (Operation::Describe, ResourceType::TransactionalId, "lost"),
    ];
    let of = |key: &str, error, host: &str| (key.to_owned(), error, host.to_owned());
    let there = "demo-2.kafka.svc";
    for size in SIZES {
        for version in 4..=6 {
            for (kind, denied) in [(0, 30), (1, 53)] {
                let mut talk = Talk::node(size, may(&rights));
                let keys = ["others", "mine", "lost", "theirs"];
                let (seen, answer) = talk.exchange(&find(version, kind, &keys), found);
                assert_eq!(seen, Some(find(version, kind, &["mine", "lost"])));
                let expected = [
                    of("others", denied, ""),
                    of("mine", 0, there),
                    of("lost", 15, ""),
                    of("theirs", denied, ""),
                ];
                assert_eq!(coordinators(&answer), expected, "v{version}");
                let none = talk.own_answer(&find(version, kind, &["others"]));
                assert_eq!(coordinators(&none), expected[..1]);
            }
        }
        for version in 0..=3 {
            let mut talk = Talk::node(size, may(&rights));
            let answer = talk.own_answer(&find(version, 0, &["others"]));
            assert_eq!(answer.int("ErrorCode"), 30);
            let body = find(version, 0, &["mine"]);
            let (seen, answer) = talk.exchange(&body, found);
            assert_eq!(seen, Some(body));
            assert_eq!(answer.int("NodeId"), 2);
        }
    }
}

/// Coordinators of share groups' states (version 6) are for brokers to find.
#[test]
fn row_26_coordinators_of_share_states_are_for_brokers() {
    let of = |key: &str, error| (key.to_owned(), error, String::new());
    for size in SIZES {
        let mut talk = Talk::node(size, mine(&[]));
        let keys = ["mine:topic:0", "other:topic:1"];
        let answer = talk.own_answer(&find(6, 2, &keys));
        assert_eq!(coordinators(&answer), keys.map(|key| of(key, 31)));
        let answer = talk.own_answer(&find(5, 2, &keys));
        assert_eq!(coordinators(&answer), keys.map(|key| of(key, 42)));
    }
}

/// Beside the client each coordinator is at the sidecar, and one that is nowhere
/// stays so.
#[test]
fn row_26_coordinators_are_at_the_sidecar() {
    let of = |key: &str, error, host: &str| (key.to_owned(), error, host.to_owned());
    for size in SIZES {
        for version in all_versions(ApiKey::FIND_COORDINATOR) {
            let mut talk = Talk::client(size, None);
            let keys = ["mine", "lost"];
            let body = find(version, 0, &keys);
            let (seen, answer) = talk.exchange(&body, found);
            assert_eq!(seen, Some(body));
            if version < 4 {
                assert_eq!(answer.str("Host"), Some("127.0.0.1"));
                assert_eq!((answer.int("NodeId"), answer.int("Port")), (2, 20_002));
                continue;
            }
            let expected = [of("mine", 0, "127.0.0.1"), of("lost", 15, "")];
            assert_eq!(coordinators(&answer), expected, "v{version}");
            let lost = answer.structs("Coordinators").last().unwrap();
            assert_eq!((lost.int("NodeId"), lost.int("Port")), (-1, -1));
        }
    }
}
