//! Row 20: share groups.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_policy::rules::AccessRules;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};

use crate::world::*;

/// Error codes SHARE_SESSION_NOT_FOUND and GROUP_AUTHORIZATION_FAILED.
const NO_SESSION: i64 = 122;
const GROUP_DENIED: i64 = 30;
const BOTH: [ApiKey; 2] = [ApiKey::SHARE_FETCH, ApiKey::SHARE_ACKNOWLEDGE];

fn ask(api: ApiKey, version: i16, epoch: i32, topics: &[&str]) -> Struct {
    let mut body = message(api, version, Direction::Request);
    body.set("GroupId", "mine");
    body.set("MemberId", "me");
    body.set("ShareSessionEpoch", epoch);
    let topics = topics.iter().map(|topic| {
        let topic = named(body.child("Topics").unwrap(), topic);
        let mut partition = topic.child("Partitions").unwrap();
        let values = [
            ("FirstOffset", Value::Int64(5)),
            ("LastOffset", Value::Int64(9)),
            ("AcknowledgeTypes", Value::Packed(b"\x01"[..].into())),
        ];
        let acknowledged = entry(&partition, "AcknowledgementBatches", &values);
        partition.set("AcknowledgementBatches", vec![acknowledged]);
        filled(topic, &[("Partitions", vec![partition].into())])
    });
    let topics: Vec<_> = topics.collect();
    body.set("Topics", topics);
    body
}

fn fetch(version: i16, epoch: i32, topics: &[&str]) -> Struct {
    ask(ApiKey::SHARE_FETCH, version, epoch, topics)
}

fn answered(request: &Struct) -> Struct {
    let mut body = blank(request);
    let topics = request.structs("Topics").map(|topic| {
        let topic = named(body.child("Responses").unwrap(), &name_in(topic));
        let partition = topic.child("Partitions").unwrap();
        filled(topic, &[("Partitions", vec![partition].into())])
    });
    let topics: Vec<_> = topics.collect();
    body.set("Responses", topics);
    body
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

fn rules(topics: &[&'static str]) -> AccessRules {
    let group = (Operation::Read, ResourceType::Group, "mine");
    with(may_read(topics), may(&[group]))
}

fn each(test: impl Fn(&mut Talk, i16)) {
    for size in SIZES {
        for version in all_versions(ApiKey::SHARE_FETCH) {
            test(&mut Talk::node(size, rules(&["orders"])), version);
        }
    }
}

fn begun(talk: &mut Talk, version: i16) {
    let body = fetch(version, 0, &["orders", "secret", "?"][..2]);
    let (seen, answer) = talk.exchange(&body, answered);
    assert_eq!(seen, Some(fetch(version, 0, &["orders"])), "v{version}");
    assert_eq!(told(&answer), [one("secret", 29), one("orders", 0)]);
}

/// What is denied in a share session is refused in each of its answers, and
/// neither fetched nor acknowledged.
#[test]
fn row_20_denied_topics_are_refused_in_every_answer() {
    each(|talk, version| {
        begun(talk, version);
        let (_, answer) = talk.exchange(&fetch(version, 1, &[]), answered);
        assert_eq!(told(&answer), [one("secret", 29)]);
        let body = ask(ApiKey::SHARE_ACKNOWLEDGE, version, 2, &["secret", "orders"]);
        let (seen, answer) = talk.exchange(&body, answered);
        let left = ask(ApiKey::SHARE_ACKNOWLEDGE, version, 2, &["orders"]);
        assert_eq!(seen, Some(left));
        assert_eq!(told(&answer), [one("secret", 29), one("orders", 0)]);
    });
}

/// A forgotten topic is not refused any more.
#[test]
fn row_20_a_forgotten_topic_is_forgotten() {
    each(|talk, version| {
        begun(talk, version);
        let mut body = fetch(version, 1, &[]);
        let values = [
            ("TopicId", Value::Uuid(id_of("secret"))),
            ("Partitions", Value::ints([0])),
        ];
        let forgotten = entry(&body, "ForgottenTopicsData", &values);
        body.set("ForgottenTopicsData", vec![forgotten]);
        let (_, answer) = talk.exchange(&body, answered);
        assert_eq!(told(&answer), []);
    });
}

/// When the rules change, or the session is another connection's, another
/// member's or another group's, there is none.
#[test]
fn row_20_a_session_is_of_one_connection_and_one_set_of_rules() {
    each(|talk, version| {
        for api in BOTH {
            let strange = talk.own_answer(&ask(api, version, 1, &["orders"]));
            assert_eq!(strange.int("ErrorCode"), NO_SESSION, "none was begun");
            begun(talk, version);
            let mut body = ask(api, version, 1, &["orders"]);
            body.set("MemberId", "somebody");
            assert_eq!(talk.own_answer(&body).int("ErrorCode"), NO_SESSION);
            begun(talk, version);
            talk.set_rules(rules(&["orders", "secret"]));
            let over = talk.own_answer(&ask(api, version, 1, &[]));
            assert_eq!(over.int("ErrorCode"), NO_SESSION);
            let body = fetch(version, 0, &["orders", "secret"]);
            let (seen, answer) = talk.exchange(&body, answered);
            assert_eq!(seen, Some(body), "everything is there now");
            assert_eq!(told(&answer), [one("orders", 0), one("secret", 0)]);
            talk.set_rules(rules(&["orders"]));
        }
    });
}

/// Records that are on their way when the rules change do not arrive.
#[test]
fn row_20_what_was_acquired_under_other_rules_does_not_arrive() {
    each(|talk, version| {
        begun(talk, version);
        let body = fetch(version, 1, &["orders"]);
        talk.send(&request(1, &body)).unwrap();
        talk.set_rules(rules(&[]));
        let got = talk.receive(&response(1, &answered(&body))).unwrap();
        let got = read_response(&frames(&got)[0], body.layout());
        assert_eq!(got.int("ErrorCode"), NO_SESSION, "v{version}");
        assert_eq!(told(&got), []);
        talk.lives();
    });
}

/// A group that the caller may not use has no sessions.
#[test]
fn row_20_the_group_is_authorised_in_every_request() {
    each(|talk, version| {
        begun(talk, version);
        talk.set_rules(may_read(&["orders"]));
        for api in BOTH {
            for epoch in [-1, 0, 1] {
                let refused = talk.own_answer(&ask(api, version, epoch, &["orders"]));
                assert_eq!(refused.int("ErrorCode"), GROUP_DENIED);
            }
        }
    });
}

/// An unknown id is answered as unknown, a denied one as denied; with either
/// there is a session only if all have names.
#[test]
fn row_20_unknown_ids_are_not_denied_ones() {
    each(|talk, version| {
        let (_, answer) = talk.exchange(&fetch(version, 0, &["?", "secret", "orders"]), answered);
        assert_eq!(
            told(&answer),
            [one("?", 100), one("secret", 29), one("orders", 0)]
        );
        let over = talk.own_answer(&fetch(version, 1, &[]));
        assert_eq!(over.int("ErrorCode"), NO_SESSION, "v{version}");
    });
}

/// Acknowledgements that end a session, and its records with it, pass.
#[test]
fn row_20_the_end_of_a_session_passes() {
    each(|talk, version| {
        begun(talk, version);
        for api in BOTH {
            let body = ask(api, version, -1, &["orders"]);
            let (seen, answer) = talk.exchange(&body, answered);
            assert_eq!(seen, Some(body), "v{version}");
            assert_eq!(told(&answer), [one("orders", 0)]);
        }
    });
}
