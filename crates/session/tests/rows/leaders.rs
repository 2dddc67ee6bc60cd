//! Rows 16 and 17: leader epochs, and the replica to read from.

use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};

use crate::fetches::{fetch, fetched, group_and};
use crate::world::*;

/// Requests that carry leader epochs.
fn with_epochs() -> Vec<Struct> {
    let mut all = Vec::new();
    let mut add = |api, versions: std::ops::RangeInclusive<i16>, at: [&str; 2], fields: &[&str]| {
        for version in versions {
            let mut body = message(api, version, Direction::Request);
            let topics = ["orders", "secret"].map(|topic| {
                let mut topic = named(body.child(at[0]).unwrap(), topic);
                let mut partition = topic.child(at[1]).unwrap();
                for (value, field) in (41_i32..).zip(fields) {
                    partition.set(field, value);
                }
                topic.set(at[1], vec![partition]);
                topic
            });
            body.set(at[0], Vec::from(topics));
            body.set("GroupId", "mine");
            // A consumer, and not a replica.
            body.set("ReplicaId", -1);
            all.push(body);
        }
    };
    let topics = ["Topics", "Partitions"];
    add(
        ApiKey::FETCH,
        9..=18,
        topics,
        &["CurrentLeaderEpoch", "LastFetchedEpoch"],
    );
    add(
        ApiKey::LIST_OFFSETS,
        4..=11,
        topics,
        &["CurrentLeaderEpoch"],
    );
    add(
        ApiKey(23),
        2..=4,
        topics,
        &["CurrentLeaderEpoch", "LeaderEpoch"],
    );
    add(
        ApiKey::OFFSET_COMMIT,
        6..=10,
        topics,
        &["CommittedLeaderEpoch"],
    );
    all
}

/// Leaders here are the brokers' own, so their epochs pass as they are, alone
/// and in requests from which something is cut.
#[test]
fn row_16_leader_epochs_pass() {
    for size in SIZES {
        for body in with_epochs() {
            let sent = request(7, &body);
            let rules = group_and(&["orders", "secret"]);
            for mut talk in [Talk::node(size, rules), Talk::client(size, None)] {
                assert_eq!(talk.send(&sent).unwrap(), sent);
            }
            let mut talk = Talk::node(size, group_and(&["orders"]));
            let (seen, _) = talk.exchange(&body, blank);
            let seen = seen.unwrap();
            let topic = |of: &Struct| of.structs("Topics").next().cloned().unwrap();
            let what = format!("{} v{}", body.layout().api(), body.layout().version());
            assert_eq!(seen.structs("Topics").count(), 1, "{what}");
            assert_eq!(topic(&seen), topic(&body), "{what}");
        }
    }
}

/// A new leader, and where a log parted from it, pass in answers too.
#[test]
fn row_16_epochs_in_answers_pass() {
    for size in SIZES {
        for version in 12..=18 {
            let rules = || [may_read(&["orders"]), may_read(&["orders", "secret"])];
            let talks = rules().map(|rules| Talk::node(size, rules));
            for mut talk in talks.into_iter().chain([Talk::client(size, None)]) {
                let body = fetch(version, (0, -1), &["orders", "secret"], &[]);
                let mut expected = None;
                let (_, answer) = talk.exchange(&body, |request| {
                    let mut answer = fetched(request, 0, &[]);
                    let mut topic = answer.structs("Responses").next().cloned().unwrap();
                    let mut partition = topic.structs("Partitions").next().cloned().unwrap();
                    partition.set("ErrorCode", 74_i16);
                    let leader = [
                        ("LeaderId", Value::Int32(3)),
                        ("LeaderEpoch", 12_i32.into()),
                    ];
                    let leader = filled(partition.child("CurrentLeader").unwrap(), &leader);
                    partition.set("CurrentLeader", leader);
                    let parted = [("Epoch", Value::Int32(11)), ("EndOffset", 99_i64.into())];
                    let parted = filled(partition.child("DivergingEpoch").unwrap(), &parted);
                    partition.set("DivergingEpoch", parted);
                    topic.set("Partitions", vec![partition]);
                    answer.set("Responses", vec![topic.clone()]);
                    expected = Some(topic);
                    answer
                });
                assert_eq!(answer.structs("Responses").last(), expected.as_ref());
            }
        }
    }
}

/// The replica that a broker recommends has the same id in Metadata beside the
/// client, with an address there.
#[test]
fn row_17_the_preferred_replica_is_a_broker_in_metadata() {
    for size in SIZES {
        for version in 11..=18 {
            for mut talk in [
                Talk::node(size, may_read(&["orders"])),
                Talk::client(size, Some("a")),
            ] {
                let body = fetch(version, (0, -1), &["orders"], &[]);
                let (_, answer) = talk.exchange(&body, |request| {
                    let mut answer = fetched(request, 0, &[]);
                    let topic = answer.structs("Responses").next().cloned().unwrap();
                    let preferred = ("PreferredReadReplica", Value::Int32(2));
                    let partition = entry(&topic, "Partitions", &[preferred]);
                    let topic = filled(topic, &[("Partitions", vec![partition].into())]);
                    answer.set("Responses", vec![topic]);
                    answer
                });
                let topic = answer.structs("Responses").next().unwrap();
                let partition = topic.structs("Partitions").next().unwrap();
                assert_eq!(partition.int("PreferredReadReplica"), 2, "v{version}");
            }
        }
        let mut talk = Talk::client(size, Some("a"));
        let metadata = message(ApiKey::METADATA, 12, Direction::Request);
        let (_, answer) = talk.exchange(&metadata, |request| {
            let mut answer = blank(request);
            let broker = |id| {
                let values = [
                    ("NodeId", Value::Int32(id)),
                    ("Host", Value::from("demo.kafka.svc")),
                    ("Port", Value::Int32(9092)),
                ];
                entry(&answer, "Brokers", &values)
            };
            let brokers = vec![broker(0), broker(2)];
            answer.set("Brokers", brokers);
            answer
        });
        let broker = answer
            .structs("Brokers")
            .find(|broker| broker.int("NodeId") == 2);
        assert_eq!(broker.unwrap().str("Host"), Some("127.0.0.1"));
    }
}

/// Beside a client whose zone is known a fetch says so, unless the client has
/// said something itself; nothing else in it changes.
#[test]
fn row_17_a_fetch_carries_the_clients_rack() {
    for size in SIZES {
        for version in all_versions(ApiKey::FETCH) {
            let plain = fetch(version, (0, -1), &["orders"], &[]);
            let mut own = plain.clone();
            let can = own.set("RackId", "own");
            let mut filled = plain.clone();
            filled.set("RackId", "zone-a");
            for (rack, asked, expected) in [
                (Some("zone-a"), &plain, &filled),
                (Some("zone-a"), &own, &own),
                (None, &plain, &plain),
            ] {
                let mut talk = Talk::client(size, rack);
                let (seen, _) = talk.exchange(asked, blank);
                assert_eq!(seen.as_ref(), Some(expected), "v{version}");
            }
            assert_eq!(can, version >= 11);
        }
    }
}
