//! Rows 1 to 6 and 25: what versions there are, and who is asking.

use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};
use tubeway_session::Refusal;

use crate::world::*;

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;

fn api_versions(version: i16) -> Struct {
    message(ApiKey::API_VERSIONS, version, Direction::Request)
}

/// What a broker of this release offers.
fn release(release: &str) -> Vec<(i16, i16, i16)> {
    let apis = Schemas::get().apis().iter().filter(|api| api.on_brokers());
    let range = |api: &tubeway_protocol::schema::Api| {
        let stable = api.served_by(release)?.stable()?;
        // Kafka 4 offers versions of Produce that it does not serve.
        let first = if api.key().0 == PRODUCE {
            0
        } else {
            stable.first
        };
        Some((api.key().0, first, stable.last))
    };
    apis.filter_map(range).collect()
}

/// The ranges that a client gets from a broker that offers these.
fn clamped(talk: &mut Talk, version: i16, ranges: &[(i16, i16, i16)]) -> Vec<(i16, i16, i16)> {
    let (_, answer) = talk.exchange(&api_versions(version), |_| offering(version, ranges));
    offered(&answer)
}

/// An ApiVersions that is too new is answered with error 35 in the form of
/// version 0, with the versions that there are; the connection stays.
#[test]
fn row_01_an_api_versions_that_is_too_new_is_answered_in_version_0() {
    let versions = Schemas::get().api(ApiKey::API_VERSIONS).unwrap();
    let served = versions.message(Direction::Request).versions();
    for size in SIZES {
        for version in [served.last + 1, 9, 99, i16::MAX] {
            for mut talk in Talk::both(size) {
                let header = request_header(7, ApiKey::API_VERSIONS, version);
                // A body as no version that is known has it.
                let sent = talk.send(&framed(&header, b"\x05what is this\x00"));
                assert_eq!(sent.unwrap(), b"", "the broker is not asked");
                let mut expected = vec![0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18];
                expected.extend(served.first.to_be_bytes());
                expected.extend(served.last.to_be_bytes());
                assert_eq!(talk.receive(b"").unwrap(), expected, "v{version}");
                talk.lives();
                assert_eq!(
                    clamped(&mut talk, served.last, &[(18, 0, 4)]),
                    [(18, 0, 4)],
                    "the client asks again with a version that there is"
                );
            }
        }
    }
}

/// The same where it is the broker that does not know the version.
#[test]
fn row_01_a_brokers_answer_in_version_0_passes() {
    for size in SIZES {
        for mut talk in Talk::both(size) {
            let mut old = offering(0, &[(18, 0, 3)]);
            old.set("ErrorCode", 35_i16);
            talk.send(&request(7, &api_versions(4))).unwrap();
            let answer = response(7, &old);
            assert_eq!(talk.receive(&answer).unwrap(), answer);
            talk.lives();
        }
    }
}

/// The header of the answer has no tagged fields, whatever the version.
#[test]
fn row_02_the_header_of_api_versions_is_always_version_0() {
    for size in SIZES {
        for version in all_versions(ApiKey::API_VERSIONS) {
            for mut talk in Talk::both(size) {
                talk.send(&request(7, &api_versions(version))).unwrap();
                // Something has to be taken out, so that it is written anew.
                let answer = offering(version, &[(FETCH, 4, 99), (18, 0, 4), (12_345, 0, 0)]);
                let got = talk.receive(&response(7, &answer)).unwrap();
                let body = encoded(&offering(version, &[(FETCH, 4, 18), (18, 0, 4)]));
                assert_eq!(got, framed(&7_i32.to_be_bytes(), &body), "v{version}");
            }
        }
    }
}

/// What the client says it is reaches the broker as the client wrote it, also
/// where the broker is going to refuse it.
#[test]
fn row_03_the_clients_software_is_the_brokers_to_see() {
    let names = ["apache-kafka-java", "librdkafka", "no good: !", ""];
    for size in SIZES {
        for version in 3..=4 {
            for name in names {
                for mut talk in Talk::both(size) {
                    let mut body = api_versions(version);
                    body.set("ClientSoftwareName", name);
                    body.set("ClientSoftwareVersion", "4.1.0-rc1");
                    let sent = request(7, &body);
                    assert_eq!(talk.send(&sent).unwrap(), sent);
                    let mut refused = offering(version, &[]);
                    refused.set("ErrorCode", 42_i16);
                    let answer = response(7, &refused);
                    assert_eq!(talk.receive(&answer).unwrap(), answer);
                }
            }
        }
    }
}

/// Each connection is offered what its own broker and the sidecar share;
/// nothing is remembered of another, or of before.
#[test]
fn row_04_each_connection_has_the_versions_of_its_own_broker() {
    let (old, new) = (release("3.9.1"), release("4.3.1"));
    assert_ne!(old, new);
    for size in SIZES {
        for version in all_versions(ApiKey::API_VERSIONS) {
            for (mut one, mut other) in Talk::both(size).into_iter().zip(Talk::both(size)) {
                assert_eq!(clamped(&mut one, version, &old), old);
                assert_eq!(clamped(&mut other, version, &new), new);
                assert_eq!(clamped(&mut one, version, &new), new);
            }
        }
    }
    for mut talk in Talk::both(64) {
        let future = [(FETCH, 4, 99), (2, 90, 99), (3, -1, 2)];
        let shared = [(FETCH, 4, 18), (3, 0, 2)];
        assert_eq!(clamped(&mut talk, 4, &future), shared);
    }
}

/// Features and whatever else the broker says stay in an answer that is clamped.
#[test]
fn row_04_all_else_in_api_versions_stays() {
    for mut talk in Talk::both(7) {
        let mut full = offering(4, &[(FETCH, 4, 99), (12_345, 0, 0)]);
        full.set("FinalizedFeaturesEpoch", 17_i64);
        full.set("ThrottleTimeMs", 250);
        full.push_unknown_tag(9, b"later"[..].into());
        let values = [
            ("Name", Value::from("metadata.version")),
            ("MaxVersion", Value::Int16(25)),
        ];
        let feature = entry(&full, "SupportedFeatures", &values);
        full.set("SupportedFeatures", vec![feature]);
        let mut expected = full.clone();
        let entry = entry(&full, "ApiKeys", &[]);
        let values = [
            ("ApiKey", Value::Int16(FETCH)),
            ("MinVersion", Value::Int16(4)),
            ("MaxVersion", Value::Int16(18)),
        ];
        expected.set("ApiKeys", vec![filled(entry, &values)]);
        let (_, got) = talk.exchange(&api_versions(4), |_| full);
        assert_eq!(got, expected);
    }
}

/// Produce is offered from version 0 on where the broker does so, although it
/// serves none below 3: older librdkafka would not compress otherwise.
#[test]
fn row_05_produce_is_offered_from_version_0_on() {
    for size in SIZES {
        for version in all_versions(ApiKey::API_VERSIONS) {
            for mut talk in Talk::both(size) {
                for range in [(PRODUCE, 0, 13), (PRODUCE, 0, 11), (PRODUCE, 3, 12)] {
                    assert_eq!(clamped(&mut talk, version, &[range]), [range]);
                }
            }
        }
    }
}

/// A client may begin with any request: none has to come before another.
#[test]
fn row_06_any_request_may_be_the_first() {
    for size in [7, usize::MAX] {
        for api in Schemas::get().apis() {
            for version in all_versions(api.key()) {
                first(size, &message(api.key(), version, Direction::Request));
            }
        }
    }
}

fn first(size: usize, body: &Struct) {
    let sent = request(7, body);
    let mut beside = Talk::client(size, None);
    assert_eq!(beside.send(&sent).unwrap(), sent);

    let mut front = Talk::strange(size, everything());
    let api = body.layout().api();
    let got = front.send(&sent).unwrap();
    assert_eq!(front.logins, 1, "{api}: a login goes first");
    let got = frames(&got);
    let passed: Vec<_> = got.iter().map(|frame| header_of(frame).api).collect();
    let login = [ApiKey::SASL_HANDSHAKE, ApiKey::SASL_AUTHENTICATE];
    assert_eq!(passed[..2], login);
    front.receive(&login_taken([0, 1], 0)).unwrap();
    match front.send(b"") {
        Err(Refusal::Denied(reason)) => assert!(reason.contains("controllers"), "{api}"),
        Err(other) => panic!("{api}: {other}"),
        Ok(_) if login.contains(&api) => {}
        Ok(_) => assert_eq!(got[2], sent[4..], "{api}"),
    }
}

/// Keys that only others' brokers have, and keys that nobody has, are refused
/// before anything of them is passed on; nothing panics.
#[test]
fn row_25_unknown_keys_are_refused() {
    let known = |key| Schemas::get().api(ApiKey(key)).is_some();
    let some = [-1, 93, 127, 128, 9_999, 10_000, 10_019, i16::MAX];
    let keys = (i16::MIN..=i16::MAX).step_by(997).chain(some);
    for key in keys.filter(|key| !known(*key)) {
        for version in [-1, 0, 1, i16::MAX] {
            for mut talk in [
                Talk::client(usize::MAX, None),
                Talk::strange(usize::MAX, everything()),
            ] {
                let key = key.to_be_bytes();
                let header = [&key[..], &i16::to_be_bytes(version), &[0, 0, 0, 7, 0, 0]].concat();
                let refusal = talk.send(&framed(&header, b"body")).unwrap_err();
                assert_eq!(refusal.reason(), "unknown_api");
                assert!(refusal.is_clients_fault());
                assert!(talk.to_broker.is_empty());
            }
        }
    }
}

/// The same for versions of known keys, and in pieces.
#[test]
fn row_25_unknown_versions_are_refused() {
    for api in Schemas::get().apis() {
        let versions = api.message(Direction::Request).versions();
        let is_asked = api.key() == ApiKey::API_VERSIONS;
        for version in [versions.first - 1, versions.last + 1, i16::MAX, i16::MIN] {
            if versions.contains(version) || is_asked && version > versions.last {
                continue;
            }
            for size in SIZES {
                for mut talk in [Talk::client(size, None), Talk::strange(size, everything())] {
                    let key = api.key().0.to_be_bytes();
                    let header =
                        [&key[..], &i16::to_be_bytes(version), &[0, 0, 0, 7, 0, 0]].concat();
                    let refusal = talk.send(&framed(&header, b"body")).unwrap_err();
                    assert_eq!(refusal.reason(), "unknown_api", "{} {version}", api.name());
                    assert!(talk.to_broker.is_empty());
                }
            }
        }
    }
}

/// What the sidecar could not pass on is not offered.
#[test]
fn row_25_unknown_keys_are_not_offered() {
    let unknown = [(10_000, 0, 3), (10_019, 0, 0), (i16::MAX, 0, 0), (-1, 0, 0)];
    let known = [(PRODUCE, 0, 13), (18, 0, 4), (75, 0, 0)];
    for size in SIZES {
        for version in all_versions(ApiKey::API_VERSIONS) {
            for mut talk in Talk::both(size) {
                let all = [&unknown[..2], &known, &unknown[2..]].concat();
                assert_eq!(clamped(&mut talk, version, &all), known);
            }
        }
    }
}
