//! Rows 9, 10, 31 and 32: what comes when, and what is written in which order.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};

use crate::world::*;

const END_TXN: ApiKey = ApiKey(26);

fn heartbeat(group: &str) -> Struct {
    let mut body = message(HEARTBEAT, 4, Direction::Request);
    body.set("GroupId", group);
    body
}

fn joins() -> tubeway_policy::rules::AccessRules {
    may(&[(Operation::Read, ResourceType::Group, "mine")])
}

/// Answers come in the order of the requests, although some are given here at
/// once and others by the broker later.
#[test]
fn row_09_answers_keep_the_order_of_the_requests() {
    for size in SIZES {
        for split in [1, 3, 20, 1000] {
            let mut talk = Talk::node(size, joins());
            let too_new = framed(&request_header(4, ApiKey::API_VERSIONS, 99), b"");
            let sent = [
                request(1, &heartbeat("mine")),
                request(2, &heartbeat("others")),
                request(3, &heartbeat("others")),
                too_new,
                request(5, &heartbeat("mine")),
                request(6, &heartbeat("mine")),
                request(7, &heartbeat("others")),
            ];
            let passed = [&sent[0][..], &sent[4], &sent[5]].concat();
            assert_eq!(talk.send(&sent.concat()).unwrap(), passed);
            assert!(!talk.session.has_answer(), "the broker's turn");
            assert_eq!(talk.receive(b"").unwrap(), b"");
            let answers: Vec<u8> = [1, 5, 6]
                .into_iter()
                .flat_map(|id| response(id, &blank(&heartbeat(""))))
                .collect();
            for part in answers.chunks(split) {
                talk.receive(part).unwrap();
            }
            assert_eq!(correlations(&talk.to_client), [1, 2, 3, 4, 5, 6, 7]);
            let error = |frame| read_response(frame, heartbeat("").layout()).int("ErrorCode");
            let got = frames(&talk.to_client);
            assert_eq!(
                [0, 1, 2, 4, 5, 6].map(|at| error(&got[at])),
                [0, 30, 30, 0, 0, 30]
            );
        }
    }
}

/// Numbers of requests mean nothing to the order: a client may use one twice.
#[test]
fn row_09_numbers_may_repeat() {
    for size in SIZES {
        let mut talk = Talk::node(size, joins());
        let sent = ["mine", "others", "mine", "others"].map(|group| request(7, &heartbeat(group)));
        talk.send(&sent.concat()).unwrap();
        let answer = response(7, &blank(&heartbeat("")));
        let got = talk.receive(&answer.repeat(2)).unwrap();
        assert_eq!(correlations(&got), [7; 4]);
    }
}

/// A client that never waits for answers is held back, not forgotten: what is
/// remembered of requests in flight has a bound.
#[test]
fn row_09_a_client_that_never_waits_is_held_back() {
    const MOST: usize = 16_384;
    let mut talk = Talk::client(usize::MAX, None);
    let sent = request(7, &heartbeat("mine"));
    let passed = talk.send(&sent.repeat(MOST + 3)).unwrap();
    assert_eq!(passed.len(), sent.len() * MOST);
    assert_eq!(talk.send(b"").unwrap(), b"");
    let answer = response(7, &blank(&heartbeat("")));
    assert_eq!(talk.receive(&answer.repeat(2)).unwrap(), answer.repeat(2));
    assert_eq!(talk.send(b"").unwrap(), sent.repeat(2));
    talk.receive(&answer.repeat(MOST)).unwrap();
    assert_eq!(talk.send(b"").unwrap(), sent);
}

/// The same for answers that wait here for their turn.
#[test]
fn row_09_refused_requests_are_held_back_too() {
    let mut talk = Talk::node(usize::MAX, joins());
    talk.send(&request(1, &heartbeat("mine"))).unwrap();
    // Each refusal repeats 20,000 bytes of the request.
    let mut body = message(ApiKey(42), 2, Direction::Request);
    let name = "x".repeat(20_000);
    body.set("GroupsNames", Value::Array(vec![Value::from(&*name)]));
    let sent = request(2, &body);
    talk.send(&sent.repeat(100)).unwrap();
    let answer = response(1, &blank(&heartbeat("")));
    let got = talk.receive(&answer).unwrap();
    let first = got.len();
    assert!(
        (1 << 20..(1 << 20) + 30_000).contains(&first),
        "{first} bytes waited"
    );
    talk.send(b"").unwrap();
    talk.receive(b"").unwrap();
    assert_eq!(correlations(&talk.to_client).len(), 101);
}

/// A Produce that wants no answer and is denied, in whole or in part, ends the
/// connection, and what of it is allowed is written before; in every version,
/// for where its acks are has changed with them.
#[test]
fn row_10_a_denied_produce_without_acks_ends_the_connection() {
    for size in SIZES {
        for version in all_versions(ApiKey::PRODUCE) {
            let denied: [&[(&str, &[i32])]; 3] = [
                &[("secret", &[0])],
                &[("orders", &[0]), ("secret", &[0])],
                &[("?", &[0])],
            ];
            for topics in denied {
                let mut talk = Talk::node(size, may_write(&["orders"]));
                let sent = request(1, &produce(version, 0, topics));
                let refusal = talk.send(&sent).unwrap_err();
                assert_eq!(refusal.reason(), "denied", "v{version} {topics:?}");
                assert!(refusal.is_clients_fault());
                let allowed = request(1, &produce(version, 0, &[("orders", &[0])]));
                let serves = topics.iter().any(|(name, _)| *name == "orders");
                let expected = if serves { &allowed[..] } else { &[] };
                assert_eq!(talk.to_broker, expected, "v{version} {topics:?}");
            }
        }
    }
}

/// A broker works on one request of a connection after the other, so what was
/// asked before has its answer when the connection ends.
#[test]
fn row_10_answers_are_given_before_a_denial_ends_the_connection() {
    for size in SIZES {
        let mut talk = Talk::node(size, may_write(&["orders"]));
        let before = request(1, &produce(9, 1, &[("orders", &[0])]));
        let denied = request(2, &produce(9, 0, &[("orders", &[0]), ("secret", &[0])]));
        let never = request(3, &produce(9, 1, &[("orders", &[0])]));
        let sent = talk.send(&[&before[..], &denied, &never].concat()).unwrap();
        assert_eq!(frames(&sent).len(), 2);
        let answer = response(1, &produced(&produce(9, 1, &[("orders", &[0])])));
        let (most, last) = answer.split_at(answer.len() - 1);
        talk.receive(most).unwrap();
        talk.send(b"").unwrap();
        talk.receive(last).unwrap();
        assert_eq!(talk.to_client, answer);
        let refusal = talk.send(b"").unwrap_err();
        assert_eq!(refusal.reason(), "denied");
        assert_eq!(frames(&talk.to_broker).len(), 2);
    }
}

/// The same for one that is too large to be held.
#[test]
fn row_10_a_large_denied_produce_without_acks_ends_the_connection() {
    for version in [0, 3, 8, 9, 13] {
        for (size, topics) in [(7_000, ["secret", "orders"]), (usize::MAX, ["?", "orders"])] {
            let mut body = produce(version, 0, &[(topics[0], &[0]), (topics[1], &[0])]);
            grow(&mut body, 600_000);
            let mut talk = Talk::node(size, may_write(&["orders"]));
            let refusal = talk.send(&request(1, &body)).unwrap_err();
            assert_eq!(refusal.reason(), "denied", "v{version}");
            assert!(talk.to_broker.is_empty());
        }
    }
}

/// Makes the batches of a Produce larger by so many bytes.
fn grow(body: &mut Struct, by: usize) {
    let Some(Value::Array(topics)) = body.get_mut("TopicData") else {
        panic!("no topics");
    };
    for topic in topics {
        let Value::Struct(topic) = topic else {
            panic!()
        };
        let Some(Value::Array(partitions)) = topic.get_mut("PartitionData") else {
            panic!("no partitions");
        };
        for partition in partitions {
            let Value::Struct(partition) = partition else {
                panic!()
            };
            let mut large = batch(1).to_vec();
            large.resize(61 + by, 0);
            large[8..12].copy_from_slice(&((49 + by) as i32).to_be_bytes());
            partition.set("Records", Value::Records(large.into()));
        }
    }
}

/// A Produce that wants no answer waits for none, in every version and on
/// either side: the next answer is the next request's.
#[test]
fn row_10_a_produce_without_acks_has_no_answer() {
    for size in SIZES {
        for version in all_versions(ApiKey::PRODUCE) {
            for mut talk in [
                Talk::node(size, may_write(&["orders"])),
                Talk::client(size, None),
            ] {
                let sent = [
                    request(1, &produce(version, 0, &[("orders", &[0, 1])])),
                    request(2, &produce(version, 1, &[("orders", &[0])])),
                    request(3, &produce(version, 0, &[("orders", &[0])])),
                    request(4, &produce(version, -1, &[("orders", &[0])])),
                ]
                .concat();
                assert_eq!(talk.send(&sent).unwrap(), sent, "v{version}");
                let answer = produced(&produce(version, 1, &[("orders", &[0])]));
                let answers = [response(2, &answer), response(4, &answer)].concat();
                assert_eq!(talk.receive(&answers).unwrap(), answers);
                talk.session.drain();
                assert!(talk.session.is_drained(), "nothing is waited for");
            }
        }
    }
}

/// How long the broker asks its client to wait reaches the client, also in
/// answers that are written anew.
#[test]
fn row_31_throttle_times_pass() {
    for size in SIZES {
        for (body, cut) in throttled() {
            for mut talk in [
                Talk::node(size, with(may_read(&["orders"]), may_write(&["orders"]))),
                Talk::client(size, None),
            ] {
                let (seen, answer) = talk.exchange(&body, |request| {
                    let mut answer = blank(request);
                    assert!(answer.set("ThrottleTimeMs", 12_345));
                    answer
                });
                let layout = body.layout();
                let what = format!("{} v{}", layout.api(), layout.version());
                assert_eq!(answer.int("ThrottleTimeMs"), 12_345, "{what}");
                let node = talk.session.rules().is_some();
                assert_eq!(seen.as_ref() != Some(&body), cut && node, "{what}");
            }
        }
    }
}

/// Requests, and whether in front of the broker something is cut from them.
fn throttled() -> Vec<(Struct, bool)> {
    let mut all = Vec::new();
    for version in 1..=13 {
        all.push((
            produce(version, -1, &[("orders", &[0]), ("secret", &[0])]),
            true,
        ));
        all.push((produce(version, -1, &[("orders", &[0])]), false));
    }
    for version in 1..=18 {
        let mut fetch = message(ApiKey::FETCH, version, Direction::Request);
        let topics = ["orders", "secret"].map(|topic| {
            let topic = named(fetch.child("Topics").unwrap(), topic);
            let partition = topic.child("Partitions").unwrap();
            filled(topic, &[("Partitions", vec![partition].into())])
        });
        fetch.set("Topics", Vec::from(topics));
        all.push((fetch, true));
    }
    for version in 3..=13 {
        let mut metadata = message(ApiKey::METADATA, version, Direction::Request);
        let topics = ["orders", "secret"].map(|topic| named_only(&metadata, topic));
        metadata.set("Topics", Vec::from(topics));
        if version >= 4 {
            metadata.set("AllowAutoTopicCreation", false);
        }
        all.push((metadata, true));
    }
    for version in 1..=4 {
        all.push((
            message(ApiKey::API_VERSIONS, version, Direction::Request),
            false,
        ));
    }
    all
}

fn named_only(of: &Struct, topic: &str) -> Struct {
    entry(of, "Topics", &[("Name", Value::from(topic))])
}

/// What a producer sends to several partitions stays in its order and in one
/// request, byte for byte; so do its retries with their numbers.
#[test]
fn row_32_batches_are_neither_reordered_nor_split() {
    let topics: [(&str, &[i32]); 2] = [("payments", &[7, 0, 3]), ("orders", &[2, 1])];
    for size in SIZES {
        for version in all_versions(ApiKey::PRODUCE) {
            for mut talk in [
                Talk::node(size, may_write(&["orders", "payments"])),
                Talk::client(size, None),
            ] {
                let sent: Vec<u8> = (1..=5)
                    .flat_map(|id| request(id, &produce(version, -1, &topics)))
                    .collect();
                assert_eq!(talk.send(&sent).unwrap(), sent, "v{version}");
            }
        }
    }
}

/// Where topics are cut, what is left keeps its order and its bytes, and the
/// answer has each partition once.
#[test]
fn row_32_what_is_left_of_a_cut_produce_keeps_its_order() {
    let asked: [(&str, &[i32]); 3] = [
        ("payments", &[7, 0]),
        ("secret", &[4, 2]),
        ("orders", &[1, 0]),
    ];
    let left: [(&str, &[i32]); 2] = [asked[0], asked[2]];
    for size in SIZES {
        for version in all_versions(ApiKey::PRODUCE) {
            let mut talk = Talk::node(size, may_write(&["orders", "payments"]));
            let (seen, answer) = talk.exchange(&produce(version, -1, &asked), produced);
            assert_eq!(seen, Some(produce(version, -1, &left)), "v{version}");
            let of = |topic: &str, index, error| (topic.to_owned(), index, error);
            assert_eq!(
                errors(&answer, "PartitionResponses", "Index"),
                [
                    of("payments", 7, 0),
                    of("payments", 0, 0),
                    of("orders", 1, 0),
                    of("orders", 0, 0),
                    of("secret", 4, 29),
                    of("secret", 2, 29),
                ]
            );
        }
    }
}

/// The end of a transaction brings the producer its next epoch (KIP-890): it
/// passes as the broker gives it, and who may not end it gets none.
#[test]
fn row_32_the_epoch_of_the_next_transaction_passes() {
    let rights = [(Operation::Write, ResourceType::TransactionalId, "mine")];
    for size in SIZES {
        for version in all_versions(END_TXN) {
            for mut talk in [Talk::node(size, may(&rights)), Talk::client(size, None)] {
                let mut body = message(END_TXN, version, Direction::Request);
                for (field, value) in [
                    ("TransactionalId", Value::from("mine")),
                    ("ProducerId", Value::Int64(4_000_000_000)),
                    ("ProducerEpoch", Value::Int16(32_766)),
                    ("Committed", Value::Bool(true)),
                ] {
                    assert!(body.set(field, value));
                }
                let mut next = blank(&body);
                let has_epoch = next.set("ProducerId", 4_000_000_001_i64);
                assert_eq!(has_epoch, version >= 5);
                next.set("ProducerEpoch", 0_i16);
                let (seen, got) = talk.exchange(&body, |_| next.clone());
                assert_eq!((seen, got), (Some(body), next));
            }
            let mut body = message(END_TXN, version, Direction::Request);
            body.set("TransactionalId", "others");
            let mut talk = Talk::node(size, may(&rights));
            let refused = talk.own_answer(&body);
            assert_eq!(refused.int("ErrorCode"), 53);
            if version >= 5 {
                assert_eq!(
                    (refused.int("ProducerId"), refused.int("ProducerEpoch")),
                    (-1, -1)
                );
            }
        }
    }
}
