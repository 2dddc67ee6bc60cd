//! Row 7: tagged fields that the schemas do not have (KIP-482).

use bytes::Bytes;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};

use crate::world::*;

/// Greater than any tag that Kafka uses.
const TAG: u32 = 1000;

/// Gives each struct in a message a tagged field.
fn tag(of: &mut Struct) {
    let fields: Vec<_> = of.fields().map(|(field, _)| field.name()).collect();
    for field in fields {
        match of.get_mut(field) {
            Some(Value::Struct(inner)) => tag(inner),
            Some(Value::Array(values)) => {
                for value in values {
                    if let Value::Struct(inner) = value {
                        tag(inner);
                    }
                }
            }
            _ => {}
        }
    }
    of.push_unknown_tag(TAG, Bytes::from_static(b"from the future"));
}

/// A frame whose header has a tagged field too.
fn tagged(header: &[u8], body: &Struct) -> Vec<u8> {
    let (none, header) = header.split_last().unwrap();
    assert_eq!(*none, 0);
    // One field, with this tag (in two bytes) and four bytes.
    let header = [header, &[1, 0xe8, 0x07, 4], b"head"].concat();
    framed(&header, &encoded(body))
}

fn topics(body: &mut Struct, array: &str, partitions: &str, topics: &[&str]) {
    let topics = topics.iter().map(|topic| {
        let mut topic = named(body.child(array).unwrap(), topic);
        if let Some(partition) = topic.child(partitions) {
            topic.set(partitions, vec![partition]);
        }
        topic
    });
    let topics: Vec<_> = topics.collect();
    body.set(array, topics);
}

fn asking(api: ApiKey, version: i16, of: &[&str]) -> Struct {
    let mut body = message(api, version, Direction::Request);
    let places = match api {
        ApiKey::PRODUCE => ("TopicData", "PartitionData"),
        _ => ("Topics", "Partitions"),
    };
    topics(&mut body, places.0, places.1, of);
    body.set("Acks", -1_i16);
    body.set("ReplicaId", -1);
    body.set("AllowAutoTopicCreation", false);
    body
}

fn answering(request: &Struct) -> Struct {
    let mut body = blank(request);
    let places = match request.layout().api() {
        ApiKey::PRODUCE => ("Responses", "PartitionResponses"),
        ApiKey::FETCH => ("Responses", "Partitions"),
        _ => ("Topics", "Partitions"),
    };
    topics(&mut body, places.0, places.1, &["orders"]);
    body
}

/// Where something is cut from a request, or put into a response, all that is
/// not understood stays where it is: in the header, the message, its topics and
/// their partitions.
#[test]
fn row_07_unknown_tagged_fields_stay_when_something_is_cut() {
    let apis = [
        ApiKey::PRODUCE,
        ApiKey::FETCH,
        ApiKey::METADATA,
        ApiKey::LIST_OFFSETS,
    ];
    for size in SIZES {
        for api in apis {
            for version in all_versions(api) {
                let mut asked = asking(api, version, &["orders", "secret"]);
                let mut left = asking(api, version, &["orders"]);
                let header = request_header(7, api, version);
                if header.last() != Some(&0) || !flexible(api, version) {
                    continue;
                }
                tag(&mut asked);
                tag(&mut left);
                let rules = with(may_read(&["orders"]), may_write(&["orders"]));
                let mut talk = Talk::node(size, rules);
                let sent = talk.send(&tagged(&header, &asked)).unwrap();
                assert_eq!(sent, tagged(&header, &left), "{api} v{version}");

                let mut answer = answering(&left);
                tag(&mut answer);
                let header = [0, 0, 0, 7, 0];
                let got = talk.receive(&tagged(&header, &answer)).unwrap();
                let got = frames(&got).remove(0);
                assert_eq!(got[..12], *b"\x00\x00\x00\x07\x01\xe8\x07\x04head");
                let got = read_response(&got, left.layout());
                let untouched = kept(got);
                assert_eq!(untouched, answer, "{api} v{version}");
            }
        }
    }
}

fn flexible(api: ApiKey, version: i16) -> bool {
    let api = tubeway_protocol::Schemas::get().api(api).unwrap();
    api.message(Direction::Request).is_flexible(version)
}

/// The response without the refusals that were put into it.
fn kept(mut response: Struct) -> Struct {
    for field in ["Responses", "Topics"] {
        if let Some(Value::Array(topics)) = response.get_mut(field) {
            let refused = topics.len();
            topics.retain(|topic| match topic {
                Value::Struct(topic) => name_in(topic) != "secret",
                _ => true,
            });
            assert_eq!(topics.len() + 1, refused, "one topic is refused");
        }
    }
    response
}

/// Where nothing is denied, and beside the client, they pass as they are, also
/// in what is rewritten.
#[test]
fn row_07_unknown_tagged_fields_pass() {
    for size in SIZES {
        for api in tubeway_protocol::Schemas::get().apis() {
            let api = api.key();
            for version in all_versions(api) {
                // Versions of the two messages are flexible from the same on,
                // but for ApiVersions, whose response has no tags in its header.
                let apart = [
                    ApiKey::API_VERSIONS,
                    ApiKey::SASL_HANDSHAKE,
                    ApiKey::SASL_AUTHENTICATE,
                ];
                if !flexible(api, version) || apart.contains(&api) {
                    continue;
                }
                let mut body = message(api, version, Direction::Request);
                body.set("Acks", -1_i16);
                tag(&mut body);
                let header = request_header(7, api, version);
                let sent = tagged(&header, &body);
                let mut talk = Talk::client(size, Some("zone"));
                let passed = talk.send(&sent).unwrap();
                let seen = frames(&passed).remove(0);
                assert_eq!(header_of(&seen).length, header.len() + 7);
                assert_eq!(read_request(&seen).unknown_tags(), body.unknown_tags());
                let mut answer = blank(&body);
                tag(&mut answer);
                let answer = tagged(&[0, 0, 0, 7, 0], &answer);
                let got = talk.receive(&answer).unwrap();
                assert_eq!(got, answer, "{api} v{version}");
            }
        }
    }
}

/// The same for brokers' addresses that change.
#[test]
fn row_07_unknown_tagged_fields_stay_when_addresses_change() {
    let places = [
        (ApiKey::METADATA, "Brokers", "NodeId"),
        (ApiKey::DESCRIBE_CLUSTER, "Brokers", "BrokerId"),
        (ApiKey::FIND_COORDINATOR, "Coordinators", "NodeId"),
    ];
    for size in SIZES {
        for (api, array, id) in places {
            let version = *all_versions(api).end();
            let body = message(api, version, Direction::Request);
            let mut answer = blank(&body);
            let broker = |host: &str, port: i32| {
                let values = [
                    (id, Value::Int32(3)),
                    ("Host", Value::from(host)),
                    ("Port", Value::Int32(port)),
                ];
                entry(&blank(&body), array, &values)
            };
            answer.set(array, vec![broker("demo-3.kafka.svc", 9092)]);
            let mut expected = answer.clone();
            expected.set(array, vec![broker("127.0.0.1", 20_003)]);
            tag(&mut answer);
            tag(&mut expected);
            let mut talk = Talk::client(size, None);
            talk.send(&request(7, &body)).unwrap();
            let got = talk.receive(&tagged(&[0, 0, 0, 7, 0], &answer)).unwrap();
            assert_eq!(got, tagged(&[0, 0, 0, 7, 0], &expected), "{api}");
        }
    }
}
