//! Rows 14 and 15: fetch sessions and topic ids.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_policy::rules::AccessRules;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};

use crate::world::*;

/// Error code FETCH_SESSION_ID_NOT_FOUND.
const NO_SESSION: i64 = 70;
const SESSION: i32 = 4711;

/// A Fetch in a session: these topics' partition 0 are added, those taken out.
pub fn fetch(version: i16, session: (i32, i32), add: &[&str], forget: &[&str]) -> Struct {
    let mut body = message(ApiKey::FETCH, version, Direction::Request);
    body.set("SessionId", session.0);
    body.set("SessionEpoch", session.1);
    let topics = add.iter().map(|topic| {
        let topic = named(body.child("Topics").unwrap(), topic);
        let partition = topic.child("Partitions").unwrap();
        filled(topic, &[("Partitions", vec![partition].into())])
    });
    let topics: Vec<_> = topics.collect();
    body.set("Topics", topics);
    let forgotten = forget.iter().map(|topic| {
        let topic = named(body.child("ForgottenTopicsData").unwrap(), topic);
        filled(topic, &[("Partitions", Value::ints([0]))])
    });
    let forgotten: Vec<_> = forgotten.collect();
    if version >= 7 {
        body.set("ForgottenTopicsData", forgotten);
    }
    body
}

/// A broker's answer: a batch for each topic that was asked for, or `also`.
pub fn fetched(request: &Struct, session: i32, also: &[&str]) -> Struct {
    let mut body = blank(request);
    body.set("SessionId", session);
    let asked = request.structs("Topics").map(name_in);
    let topics = asked.chain(also.iter().map(|&topic| topic.to_owned()));
    let topics = topics.map(|topic| {
        let topic = named(body.child("Responses").unwrap(), &topic);
        let records = ("Records", Value::Records(batch(3)));
        let partition = entry(&topic, "Partitions", &[records]);
        filled(topic, &[("Partitions", vec![partition].into())])
    });
    let topics: Vec<_> = topics.collect();
    body.set("Responses", topics);
    body
}

pub fn group_and(topics: &[&'static str]) -> AccessRules {
    let group = (Operation::Read, ResourceType::Group, "mine");
    with(may_read(topics), may(&[group]))
}

fn told(answer: &Struct) -> Vec<(String, i64)> {
    let all = errors(answer, "Partitions", "PartitionIndex");
    all.into_iter()
        .map(|(topic, _, error)| (topic, error))
        .collect()
}

fn one(topic: &str, error: i64) -> (String, i64) {
    (topic.to_owned(), error)
}

fn asked(seen: Option<&Struct>) -> Vec<String> {
    let seen = seen.expect("the broker is asked");
    seen.structs("Topics").map(name_in).collect()
}

/// Begins a session with `orders` and `secret`, of which the first is allowed.
fn begun(talk: &mut Talk, version: i16) {
    let body = fetch(version, (0, 0), &["orders", "secret"], &[]);
    let (seen, answer) = talk.exchange(&body, |r| fetched(r, SESSION, &[]));
    assert_eq!(asked(seen.as_ref()), ["orders"], "v{version}");
    assert_eq!(answer.int("SessionId"), i64::from(SESSION));
    assert_eq!(told(&answer), [one("secret", 29), one("orders", 0)]);
}

fn each(test: impl Fn(&mut Talk, i16)) {
    for size in SIZES {
        for version in 7..=18 {
            test(&mut Talk::node(size, may_read(&["orders"])), version);
        }
    }
}

/// What is denied in a session is refused in each of its answers, as a broker
/// does it, although the client names it once and the broker never hears of it.
#[test]
fn row_14_denied_partitions_are_refused_in_every_answer() {
    each(|talk, version| {
        begun(talk, version);
        for epoch in 1..4 {
            // Nothing new is asked for, and orders has nothing new to give.
            let quiet = epoch == 2;
            let also: &[&str] = if quiet { &[] } else { &["orders"] };
            let body = fetch(version, (SESSION, epoch), &[], &[]);
            let (seen, answer) = talk.exchange(&body, |r| fetched(r, SESSION, also));
            assert_eq!(seen, Some(body));
            let mut expected = vec![one("secret", 29)];
            expected.extend(also.iter().map(|topic| one(topic, 0)));
            assert_eq!(told(&answer), expected, "v{version}, epoch {epoch}");
        }
    });
}

/// A session's set of denied partitions follows what the client adds and takes
/// out.
#[test]
fn row_14_denied_partitions_come_and_go_with_the_session() {
    each(|talk, version| {
        begun(talk, version);
        let body = fetch(version, (SESSION, 1), &["payments"], &["secret"]);
        let (seen, answer) = talk.exchange(&body, |r| fetched(r, SESSION, &[]));
        assert_eq!(asked(seen.as_ref()), [""; 0]);
        assert_eq!(told(&answer), [one("payments", 29)], "v{version}");
        let body = fetch(version, (SESSION, 2), &["secret"], &["payments"]);
        let (_, answer) = talk.exchange(&body, |r| fetched(r, SESSION, &[]));
        assert_eq!(told(&answer), [one("secret", 29)]);
        let body = fetch(version, (SESSION, 3), &[], &["secret", "orders"]);
        let (seen, answer) = talk.exchange(&body, |r| fetched(r, SESSION, &[]));
        assert_eq!(seen, Some(body), "nothing is cut");
        assert_eq!(told(&answer), []);
    });
}

/// When the rules change half-way, either way, the session is over as if the
/// broker had forgotten it, and the next one has what is allowed then.
#[test]
fn row_14_a_session_ends_when_the_rules_change() {
    for now in [may_read(&["orders", "secret"]), may_read(&[])] {
        each(|talk, version| {
            begun(talk, version);
            talk.set_rules(now.clone());
            let body = fetch(version, (SESSION, 1), &[], &[]);
            let over = talk.own_answer(&body);
            assert_eq!(over.int("ErrorCode"), NO_SESSION, "v{version}");
            assert_eq!(told(&over), []);
            let body = fetch(version, (0, 0), &["orders", "secret"], &[]);
            let (_, answer) = talk.exchange(&body, |r| fetched(r, SESSION + 1, &[]));
            assert_eq!(answer.int("SessionId"), i64::from(SESSION + 1));
            let error = if now.rules.is_empty() { 29 } else { 0 };
            assert_eq!(told(&answer), [one("orders", error), one("secret", error)]);
            let body = fetch(version, (SESSION, 1), &[], &[]);
            let over = talk.own_answer(&body);
            assert_eq!(over.int("ErrorCode"), NO_SESSION, "the old one is over");
        });
    }
}

/// Changes of rules that are not about the caller leave the session alone.
#[test]
fn row_14_a_session_outlives_the_rules_of_others() {
    each(|talk, version| {
        begun(talk, version);
        let mut more = may_read(&["orders"]);
        let mut others = may_read(&["secret"]).rules;
        others[0].acl.principal = "User:somebody".to_owned();
        more.rules.extend(others);
        talk.set_rules(more);
        let body = fetch(version, (SESSION, 1), &[], &[]);
        let (_, answer) = talk.exchange(&body, |r| fetched(r, SESSION, &[]));
        assert_eq!(answer.int("ErrorCode"), 0);
    });
}

/// Records that are on their way when the rules change do not arrive.
#[test]
fn row_14_what_was_fetched_under_other_rules_does_not_arrive() {
    for size in SIZES {
        for version in all_versions(ApiKey::FETCH) {
            for epoch in [0, 1] {
                if epoch == 1 && version < 7 {
                    continue;
                }
                let mut talk = Talk::node(size, may_read(&["orders", "secret"]));
                let first = fetch(version, (0, 0), &["orders", "secret"], &[]);
                if epoch == 1 {
                    talk.exchange(&first, |r| fetched(r, SESSION, &[]));
                }
                let body = match epoch {
                    0 => first,
                    _ => fetch(version, (SESSION, 1), &[], &[]),
                };
                talk.send(&request(1, &body)).unwrap();
                talk.set_rules(may_read(&["orders"]));
                let late = response(1, &fetched(&body, SESSION, &["orders", "secret"]));
                let got = talk.receive(&late).unwrap();
                let got = read_response(&frames(&got)[0], body.layout());
                assert_eq!(told(&got), [], "v{version}");
                let error = if version >= 7 { NO_SESSION } else { 0 };
                assert_eq!(got.int("ErrorCode"), error);
                assert_eq!(got.int("SessionId"), 0);
                talk.lives();
            }
        }
    }
}

/// A session that was not begun on this connection is none: its rights may be
/// another caller's.
#[test]
fn row_14_sessions_of_other_connections_are_unknown() {
    each(|talk, version| {
        let body = fetch(version, (SESSION, 5), &[], &[]);
        let unknown = talk.own_answer(&body);
        assert_eq!(unknown.int("ErrorCode"), NO_SESSION, "none was begun");
        begun(talk, version);
        for id in [SESSION + 1, 0, -1] {
            let unknown = talk.own_answer(&fetch(version, (id, 1), &[], &[]));
            assert_eq!(unknown.int("ErrorCode"), NO_SESSION, "{id}");
        }
    });
}

/// A Fetch without a session, in versions that have none or by the epoch that
/// wants none, is refused partition by partition, and leaves none behind.
#[test]
fn row_14_without_a_session_nothing_is_remembered() {
    for size in SIZES {
        for version in all_versions(ApiKey::FETCH) {
            let mut talk = Talk::node(size, may_read(&["orders"]));
            let body = fetch(version, (0, -1), &["secret", "orders"], &[]);
            for _ in 0..2 {
                let (seen, answer) = talk.exchange(&body, |r| fetched(r, 0, &[]));
                assert_eq!(asked(seen.as_ref()), ["orders"]);
                assert_eq!(told(&answer), [one("secret", 29), one("orders", 0)]);
            }
        }
    }
}

/// Errors of the broker about a session are the client's to see as they are.
#[test]
fn row_14_a_brokers_own_errors_pass() {
    each(|talk, version| {
        begun(talk, version);
        for error in [70_i16, 71] {
            let body = fetch(version, (SESSION, 1), &[], &[]);
            let (_, answer) = talk.exchange(&body, |request| {
                let mut answer = blank(request);
                answer.set("ErrorCode", error);
                answer
            });
            assert_eq!(answer.int("ErrorCode"), i64::from(error));
            assert_eq!(told(&answer), [], "nothing is put into an error");
        }
    });
}

/// Who fetches as a replica needs the right of brokers.
#[test]
fn row_14_a_client_is_no_replica() {
    for size in SIZES {
        for version in all_versions(ApiKey::FETCH) {
            let mut body = fetch(version, (0, -1), &["orders"], &[]);
            if !body.set("ReplicaId", 1) {
                let state = body.child("ReplicaState").unwrap();
                let state = filled(state, &[("ReplicaId", Value::Int32(1))]);
                body.set("ReplicaState", state);
            }
            let mut talk = Talk::node(size, may_read(&["orders"]));
            let (seen, answer) = talk.exchange(&body, |r| fetched(r, 0, &[]));
            assert_eq!(asked(seen.as_ref()), [""; 0], "v{version}");
            assert_eq!(told(&answer), [one("orders", 29)]);
            let action = (
                Operation::ClusterAction,
                ResourceType::Cluster,
                "kafka-cluster",
            );
            let mut talk = Talk::node(size, may(&[action]));
            let (seen, _) = talk.exchange(&body, |r| fetched(r, 0, &[]));
            assert_eq!(seen, Some(body));
        }
    }
}

/// An id that no topic has is answered UNKNOWN_TOPIC_ID, and one that the
/// caller may not use TOPIC_AUTHORIZATION_FAILED, as by a broker; in Fetch the
/// client then gets no session, so that it asks again by name.
#[test]
fn row_15_unknown_ids_are_not_denied_ones_in_fetch() {
    for size in SIZES {
        for version in 13..=18 {
            let mut talk = Talk::node(size, may_read(&["orders"]));
            let topics = ["?", "secret", "orders"];
            for epoch in [-1, 0] {
                let body = fetch(version, (0, epoch), &topics, &[]);
                let (seen, answer) = talk.exchange(&body, |r| fetched(r, SESSION, &[]));
                assert_eq!(asked(seen.as_ref()), ["orders"]);
                let expected = [one("?", 100), one("secret", 29), one("orders", 0)];
                assert_eq!(told(&answer), expected, "v{version}");
                let session = if epoch == 0 { 0 } else { i64::from(SESSION) };
                assert_eq!(answer.int("SessionId"), session, "hidden if begun");
            }
            assert!(!talk.asked.is_empty(), "the broker knows best");
        }
    }
}

/// An unknown id that is added to a session ends it: see above.
#[test]
fn row_15_an_unknown_id_ends_the_session() {
    for size in SIZES {
        for version in 13..=18 {
            let mut talk = Talk::node(size, may_read(&["orders"]));
            begun(&mut talk, version);
            let body = fetch(version, (SESSION, 1), &["?"], &[]);
            assert_eq!(talk.own_answer(&body).int("ErrorCode"), NO_SESSION);
        }
    }
}

/// The same in Produce.
#[test]
fn row_15_unknown_ids_are_not_denied_ones_in_produce() {
    for size in SIZES {
        let mut talk = Talk::node(size, may_write(&["orders"]));
        let asked: [(&str, &[i32]); 3] = [("?", &[1]), ("secret", &[2]), ("orders", &[3])];
        let (seen, answer) = talk.exchange(&produce(13, -1, &asked), produced);
        assert_eq!(seen, Some(produce(13, -1, &asked[2..])));
        let of = |topic: &str, index, error| (topic.to_owned(), index, error);
        assert_eq!(
            errors(&answer, "PartitionResponses", "Index"),
            [of("orders", 3, 0), of("?", 1, 100), of("secret", 2, 29)]
        );
    }
}

/// The same where offsets are committed and metadata is asked for by id: what
/// an unknown id is answered is the broker's to say there.
#[test]
fn row_15_unknown_ids_are_not_denied_ones_in_metadata() {
    for size in SIZES {
        for version in 12..=13 {
            let mut body = message(ApiKey::METADATA, version, Direction::Request);
            let topics = ["?", "secret", "orders"].map(|topic| {
                let id = ("TopicId", Value::Uuid(id_of(topic)));
                entry(&body, "Topics", &[id, ("Name", Value::Null)])
            });
            body.set("Topics", Vec::from(topics));
            let mut talk = Talk::node(size, may_read(&["orders"]));
            let (seen, answer) = talk.exchange(&body, |request| {
                let mut answer = blank(request);
                let known = |topic: &Struct| name_in(topic) != "?";
                let topics = request.structs("Topics").map(|topic| {
                    let error = if known(topic) { 0_i16 } else { 100 };
                    let name = match name_in(topic) {
                        name if known(topic) => Value::from(&*name),
                        _ => Value::Null,
                    };
                    let id = topic.get("TopicId").unwrap().clone();
                    let values = [("TopicId", id), ("ErrorCode", error.into()), ("Name", name)];
                    entry(&answer, "Topics", &values)
                });
                let topics: Vec<_> = topics.collect();
                answer.set("Topics", topics);
                answer
            });
            assert_eq!(asked(seen.as_ref()), ["?", "orders"]);
            let told = answer.structs("Topics");
            let told: Vec<_> = told
                .map(|topic| (name_in(topic), topic.int("ErrorCode")))
                .collect();
            assert_eq!(told, [one("?", 100), one("orders", 0), one("secret", 29)]);
        }
    }
}

/// Offsets of all topics of a group come by id from version 10 on: their names
/// are asked for before it is said which of them the caller sees.
#[test]
fn row_15_offsets_of_all_topics_are_filtered_by_name() {
    for size in SIZES {
        for version in 8..=10 {
            let mut talk = Talk::node(size, group_and(&["orders"]));
            let mut body = message(ApiKey::OFFSET_FETCH, version, Direction::Request);
            let all = [("GroupId", "mine".into()), ("Topics", Value::Null)];
            let group = entry(&body, "Groups", &all);
            body.set("Groups", vec![group]);
            for _ in 0..2 {
                let (seen, answer) = talk.exchange(&body, |request| {
                    let mut answer = blank(request);
                    let group = entry(&answer, "Groups", &[("GroupId", "mine".into())]);
                    let topics = ["secret", "orders", "?"].map(|topic| {
                        let topic = named(group.child("Topics").unwrap(), topic);
                        let partition = topic.child("Partitions").unwrap();
                        filled(topic, &[("Partitions", vec![partition].into())])
                    });
                    let group = filled(group, &[("Topics", Vec::from(topics).into())]);
                    answer.set("Groups", vec![group]);
                    answer
                });
                assert_eq!(seen.as_ref(), Some(&body));
                let group = answer.structs("Groups").next().unwrap();
                let told: Vec<_> = group.structs("Topics").map(name_in).collect();
                assert_eq!(told, ["orders"], "v{version}");
            }
        }
    }
}

/// A topic that is deleted and made again has another id: the old one is
/// unknown, and nothing that was learned of it gives rights on the new one.
#[test]
fn row_15_a_name_is_asked_for_once_and_for_each_id() {
    let mut talk = Talk::node(usize::MAX, may_read(&["orders"]));
    let body = fetch(17, (0, -1), &["orders"], &[]);
    for _ in 0..3 {
        talk.exchange(&body, |r| fetched(r, 0, &[]));
    }
    assert_eq!(talk.asked.len(), 1, "what a topic is called is remembered");
    let gone = fetch(17, (0, -1), &["?"], &[]);
    for _ in 0..3 {
        talk.exchange(&gone, |r| fetched(r, 0, &[]));
    }
    assert_eq!(talk.asked.len(), 4, "that there is none is not");
}
