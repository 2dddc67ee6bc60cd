//! Rows 8, 21 to 24, 27 and 28: where clients find brokers.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::Refusal;

use crate::world::*;

/// Responses that name the brokers which lead now (KIP-951).
const TAILS: [ApiKey; 4] = [
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::SHARE_FETCH,
    ApiKey::SHARE_ACKNOWLEDGE,
];

/// Brokers at addresses of their own, in an array of `of`.
fn brokers(of: &mut Struct, array: &str, id: &str, ids: &[i32]) {
    let brokers = ids.iter().map(|number| {
        let host = format!("demo-{number}.demo-nodes.kafka.svc");
        let values = [
            (id, Value::Int32(*number)),
            ("Host", Value::from(&*host)),
            ("Port", Value::Int32(9092)),
        ];
        entry(of, array, &values)
    });
    let brokers: Vec<_> = brokers.collect();
    assert!(of.set(array, brokers), "no {array}");
}

/// Id, host and port of each broker.
fn at(of: &Struct, array: &str, id: &str) -> Vec<(i64, String, i64)> {
    let broker = |broker: &Struct| {
        let host = broker.str("Host").unwrap_or_default();
        (broker.int(id), host.to_owned(), broker.int("Port"))
    };
    of.structs(array).map(broker).collect()
}

fn here(id: i64) -> (i64, String, i64) {
    (id, "127.0.0.1".to_owned(), 20_000 + id)
}

fn there(id: i64) -> (i64, String, i64) {
    (id, format!("demo-{id}.demo-nodes.kafka.svc"), 9092)
}

fn wants_answer(api: ApiKey, version: i16) -> Struct {
    let mut body = message(api, version, Direction::Request);
    if api == ApiKey::PRODUCE {
        body.set("Acks", -1_i16);
    }
    body
}

/// New leaders that a broker names reach the client at the sidecar's addresses;
/// one for which there is none is not named at all.
#[test]
fn row_08_new_leaders_are_at_the_sidecar() {
    for size in SIZES {
        for api in TAILS {
            for version in all_versions(api) {
                let body = wants_answer(api, version);
                if blank(&body).child("NodeEndpoints").is_none() {
                    continue;
                }
                let what = format!("{api} v{version} in {size}");
                let mut talk = Talk::client(size, None);
                let (seen, answer) = talk.exchange(&body, |request| {
                    let mut answer = blank(request);
                    brokers(&mut answer, "NodeEndpoints", "NodeId", &[2, 0]);
                    answer
                });
                assert_eq!(seen, Some(body.clone()));
                let told = at(&answer, "NodeEndpoints", "NodeId");
                assert_eq!(told, [here(2), here(0)], "{what}");

                let (_, answer) = talk.exchange(&body, |request| {
                    let mut answer = blank(request);
                    brokers(&mut answer, "NodeEndpoints", "NodeId", &[2, 70_000]);
                    answer
                });
                let told = at(&answer, "NodeEndpoints", "NodeId");
                assert!(told.iter().all(|broker| *broker == here(2)), "{what}");
                assert!(!contains(&talk.to_client, b"kafka.svc"), "{what}");
            }
        }
    }
}

/// What a TLS server says to a client that speaks without TLS reads as a frame
/// of 352 MB: it is refused by its length, from either side.
#[test]
fn row_08_a_tls_alert_is_no_frame() {
    let alert = [0x15, 3, 3, 0, 2, 2, 0x46];
    for size in SIZES {
        for mut talk in Talk::both(size) {
            talk.send(&request(7, &wants_answer(HEARTBEAT, 4))).unwrap();
            let refusal = talk.receive(&alert).unwrap_err();
            assert_eq!(refusal, Refusal::FrameLength(0x1503_0300));
        }
        for mut talk in Talk::both(size) {
            let refusal = talk.send(&alert).unwrap_err();
            assert_eq!(refusal, Refusal::FrameLength(0x1503_0300));
            assert!(talk.peak < 16);
        }
    }
}

/// A broker of version 13 may send its clients back to where they began; that
/// passes, and goes for both sides.
#[test]
fn row_21_rebootstrapping_passes() {
    for size in SIZES {
        for mut talk in [Talk::node(size, may_read(&[])), Talk::client(size, None)] {
            for asked in [Value::Null, Value::Array(Vec::new())] {
                let mut body = message(ApiKey::METADATA, 13, Direction::Request);
                body.set("Topics", asked);
                let (_, answer) = talk.exchange(&body, |request| {
                    let mut answer = blank(request);
                    answer.set("ErrorCode", 129_i16);
                    brokers(&mut answer, "Brokers", "NodeId", &[0]);
                    answer
                });
                assert_eq!(answer.int("ErrorCode"), 129);
                assert_eq!(answer.structs("Brokers").count(), 1);
            }
        }
    }
}

/// Requests for metadata: of all, of none, of what is allowed, partly and not.
fn asking(version: i16) -> Vec<Struct> {
    let body = message(ApiKey::METADATA, version, Direction::Request);
    let with = |topics: &[&str]| {
        let topics = topics.iter();
        let topics = topics.map(|topic| entry(&body, "Topics", &[("Name", Value::from(*topic))]));
        let mut body = body.clone();
        body.set("Topics", topics.collect::<Vec<_>>());
        body
    };
    let mut all = vec![
        with(&[]),
        with(&["orders"]),
        with(&["secret"]),
        with(&["orders", "secret", "no such"]),
    ];
    if version >= 1 {
        let mut every = body.clone();
        every.set("Topics", Value::Null);
        all.push(every);
    }
    all
}

/// No metadata comes without the brokers that the broker itself names, whatever
/// is denied of its topics: clients that are told of none forget all.
#[test]
fn row_21_metadata_is_never_without_brokers() {
    for size in SIZES {
        for version in all_versions(ApiKey::METADATA) {
            for body in asking(version) {
                for rules in [may_read(&[]), may_read(&["orders"]), everything()] {
                    let mut talk = Talk::node(size, rules);
                    let (seen, answer) = talk.exchange(&body, |request| {
                        let mut answer = blank(request);
                        brokers(&mut answer, "Brokers", "NodeId", &[0, 1, 2]);
                        answer
                    });
                    assert!(seen.is_some(), "the broker is asked, v{version}");
                    let told = at(&answer, "Brokers", "NodeId");
                    assert_eq!(told, [there(0), there(1), there(2)], "v{version}");
                }
            }
        }
    }
}

/// Brokers keep their ids, their order and their number, also one that the
/// sidecar has no port for; what is asked twice is answered the same.
#[test]
fn row_22_brokers_keep_their_ids() {
    for size in SIZES {
        for version in all_versions(ApiKey::METADATA) {
            let mut talk = Talk::client(size, None);
            for body in asking(version) {
                let (seen, answer) = talk.exchange(&body, |request| {
                    let mut answer = blank(request);
                    brokers(
                        &mut answer,
                        "Brokers",
                        "NodeId",
                        &[2, 0, 45_535, 45_536, 70_000],
                    );
                    answer.set("ControllerId", 2);
                    answer
                });
                assert_eq!(seen, Some(body));
                let told = at(&answer, "Brokers", "NodeId");
                let expected = [here(2), here(0), here(45_535), there(45_536), there(70_000)];
                assert_eq!(told, expected, "v{version}");
                if version >= 1 {
                    assert_eq!(answer.int("ControllerId"), 2);
                }
            }
        }
    }
}

/// One connection can be drained while others go on: it takes no further
/// request, gives the answers that are due, its own included, and is over then.
#[test]
fn row_23_connections_are_drained_one_by_one() {
    let group = (Operation::Read, ResourceType::Group, "mine");
    let ask = |group: &str| filled(wants_answer(HEARTBEAT, 4), &[("GroupId", group.into())]);
    for size in SIZES {
        let mut talk = Talk::node(size, may(&[group]));
        let mut other = Talk::node(size, may(&[group]));
        talk.send(&request(1, &ask("mine"))).unwrap();
        talk.send(&request(2, &ask("others"))).unwrap();
        talk.session.drain();
        assert_eq!(talk.send(&request(3, &ask("mine"))).unwrap(), b"");
        assert!(!talk.session.is_drained());
        other.lives();
        let got = talk.receive(&response(1, &blank(&ask("")))).unwrap();
        assert_eq!(correlations(&got), [1, 2]);
        assert!(talk.session.is_drained());
        assert_eq!(talk.send(b"").unwrap(), b"", "and stays so");
    }
}

/// What a client is told does not depend on what was said before on this
/// connection or another: it may dial a broker's port first, and ask anything.
#[test]
fn row_24_a_brokers_port_may_be_the_first() {
    for size in SIZES {
        let mut fetch = Talk::client(size, None);
        let (_, answer) = fetch.exchange(&wants_answer(ApiKey::FETCH, 17), |request| {
            let mut answer = blank(request);
            brokers(&mut answer, "NodeEndpoints", "NodeId", &[7]);
            answer
        });
        assert_eq!(at(&answer, "NodeEndpoints", "NodeId"), [here(7)]);
        let mut find = Talk::client(size, None);
        let (_, answer) = find.exchange(&wants_answer(ApiKey::FIND_COORDINATOR, 3), |request| {
            let mut answer = blank(request);
            answer.set("NodeId", 7);
            answer.set("Host", "demo-7.kafka.svc");
            answer.set("Port", 9092);
            answer
        });
        let (_, host, port) = here(7);
        assert_eq!(
            (answer.str("Host"), answer.int("Port")),
            (Some(&*host), port)
        );
    }
}

/// DescribeCluster names brokers at the sidecar, with their own ids, and needs
/// no right; in front of the broker it passes.
#[test]
fn row_27_a_described_cluster_is_at_the_sidecar() {
    for size in SIZES {
        for version in all_versions(ApiKey::DESCRIBE_CLUSTER) {
            let describe = |request: &Struct| {
                let mut answer = blank(request);
                brokers(&mut answer, "Brokers", "BrokerId", &[1, 0, 70_000]);
                answer.set("ControllerId", 1);
                answer.set("ClusterId", "an id");
                answer
            };
            let body = wants_answer(ApiKey::DESCRIBE_CLUSTER, version);
            let (seen, answer) = Talk::client(size, None).exchange(&body, describe);
            assert_eq!(seen.as_ref(), Some(&body));
            let told = at(&answer, "Brokers", "BrokerId");
            assert_eq!(told, [here(1), here(0), there(70_000)], "v{version}");
            assert_eq!(answer.int("ControllerId"), 1);
            let (seen, answer) = Talk::node(size, may(&[])).exchange(&body, describe);
            assert_eq!(answer, describe(&body));
            assert_eq!(seen, Some(body));
        }
    }
}

/// Pages of topics have ids of brokers and no addresses; their cursor goes both
/// ways, and topics that may not be seen are refused in them.
#[test]
fn row_27_pages_of_topics_pass_with_their_cursor() {
    let api = ApiKey::DESCRIBE_TOPIC_PARTITIONS;
    let response_has = Schemas::get()
        .api(api)
        .unwrap()
        .message(Direction::Response);
    assert!(
        !response_has.has_field_named("Host"),
        "addresses would be rewritten"
    );
    let asking = |topics: &[&str]| {
        let mut body = message(api, 0, Direction::Request);
        let topics = topics.iter();
        let topics = topics.map(|topic| entry(&body, "Topics", &[("Name", Value::from(*topic))]));
        let topics: Vec<_> = topics.collect();
        body.set("Topics", topics);
        let at = [
            ("TopicName", Value::from("orders")),
            ("PartitionIndex", 3_i32.into()),
        ];
        let cursor = filled(body.child("Cursor").unwrap(), &at);
        body.set("Cursor", cursor);
        body
    };
    let page = |request: &Struct| {
        let mut answer = blank(request);
        let topic = entry(&answer, "Topics", &[("Name", Value::from("orders"))]);
        let leads = [
            ("PartitionIndex", 3_i32.into()),
            ("LeaderId", Value::Int32(2)),
        ];
        let partition = entry(&topic, "Partitions", &leads);
        let topic = filled(topic, &[("Partitions", vec![partition].into())]);
        answer.set("Topics", vec![topic]);
        let at = [
            ("TopicName", Value::from("orders")),
            ("PartitionIndex", 4_i32.into()),
        ];
        let next = filled(answer.child("NextCursor").unwrap(), &at);
        answer.set("NextCursor", next);
        answer
    };
    for size in SIZES {
        let body = asking(&["orders"]);
        let (seen, answer) = Talk::client(size, None).exchange(&body, page);
        assert_eq!((seen, answer), (Some(body.clone()), page(&body)));
        let mut talk = Talk::node(size, may_read(&["orders"]));
        let (seen, answer) = talk.exchange(&asking(&["orders", "secret"]), page);
        assert_eq!(seen.as_ref(), Some(&body), "the cursor stays");
        assert_eq!(answer.get("NextCursor"), page(&body).get("NextCursor"));
        let told = answer.structs("Topics");
        let told: Vec<_> = told
            .map(|topic| (name_in(topic), topic.int("ErrorCode")))
            .collect();
        assert!(told.contains(&("orders".to_owned(), 0)));
        assert!(told.contains(&("secret".to_owned(), 29)));
    }
}

/// No name has to be verified: the client finds all brokers at one loopback
/// address, and who is at the other end is in the SPIFFE id between sidecars.
#[test]
fn row_28_all_brokers_have_one_address() {
    let mut talk = Talk::client(64, None);
    let body = wants_answer(ApiKey::METADATA, 12);
    let (_, answer) = talk.exchange(&body, |request| {
        let mut answer = blank(request);
        brokers(&mut answer, "Brokers", "NodeId", &[0, 1, 2, 3]);
        answer
    });
    let told = at(&answer, "Brokers", "NodeId");
    assert!(told.iter().all(|(_, host, _)| host == "127.0.0.1"));
    let mut ports: Vec<_> = told.iter().map(|(_, _, port)| port).collect();
    ports.dedup();
    assert_eq!(ports.len(), 4, "and a port each");
}
