//! Rows 11 to 13: logins, the client's and the session's own.

use std::time::Duration;

use bytes::Bytes;

use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};
use tubeway_session::Step;

use crate::world::*;

/// Error code ILLEGAL_SASL_STATE.
const ILLEGAL_STATE: i64 = 34;
/// Java's numbers for the requests of a re-authentication.
const RESERVED: [i32; 2] = [2_147_483_640, 2_147_483_647];

fn heartbeat() -> Struct {
    message(ApiKey::HEARTBEAT, 4, Direction::Request)
}

fn handshake(version: i16, mechanism: &str) -> Struct {
    let mut body = message(ApiKey::SASL_HANDSHAKE, version, Direction::Request);
    body.set("Mechanism", mechanism);
    body
}

fn authenticate(version: i16, token: &'static [u8]) -> Struct {
    let mut body = message(ApiKey::SASL_AUTHENTICATE, version, Direction::Request);
    body.set("AuthBytes", Value::Bytes(token.into()));
    body
}

fn answer(correlation_id: i32) -> Vec<u8> {
    response(correlation_id, &blank(&heartbeat()))
}

/// A client that logs in, or logs in anew with requests in flight, is told in
/// its turn that it is logged in already, as its certificate says: who it is
/// cannot change, and the broker hears nothing of it.
#[test]
fn row_11_a_clients_login_is_answered_in_its_turn() {
    for size in SIZES {
        for (shakes, proves) in [(0, 0), (1, 0), (1, 1), (1, 2)] {
            let mut talk = Talk::node(size, everything());
            let [first, last] = RESERVED;
            let sent = [
                request(1, &heartbeat()),
                request(first, &handshake(shakes, "OAUTHBEARER")),
                request(2, &heartbeat()),
                request(
                    last,
                    &authenticate(proves, b"n,,\x01auth=Bearer other\x01\x01"),
                ),
                request(3, &heartbeat()),
            ];
            let passed = [&sent[0][..], &sent[2], &sent[4]].concat();
            assert_eq!(talk.send(&sent.concat()).unwrap(), passed);
            assert_eq!(talk.receive(b"").unwrap(), b"", "the first comes first");
            let answers = [answer(1), answer(2), answer(3)].concat();
            let got = talk.receive(&answers).unwrap();
            assert_eq!(correlations(&got), [1, first, 2, last, 3]);
            let got = frames(&got);
            for (at, of) in [(1, handshake(shakes, "")), (3, authenticate(proves, b""))] {
                let refusal = read_response(&got[at], of.layout());
                assert_eq!(refusal.int("ErrorCode"), ILLEGAL_STATE);
            }
            talk.lives();
        }
    }
}

/// The session's own logins stand between two frames of the client, whatever
/// numbers the client gives its requests, and the client sees nothing of them.
#[test]
fn row_11_own_logins_go_between_the_clients_requests() {
    // Numbers as the session's, as Java reserves them, and at the ends.
    let numbers = [0, 1, 2, 3, RESERVED[0], RESERVED[1], i32::MIN, -1, 0, 2];
    for size in SIZES {
        let mut talk = Talk::strange(size, everything());
        let mut due = Duration::ZERO;
        for (login, number) in (0_i32..).zip(numbers) {
            let own = [2 * login, 2 * login + 1];
            let earlier = request(number, &heartbeat());
            // None of this frame has passed when the login falls due.
            let (begin, rest) = earlier.split_at(20);
            let mut passed = Vec::new();
            if login > 0 {
                passed.extend(talk.send(begin).unwrap());
                talk.now = due;
                passed.extend(talk.send(rest).unwrap());
            }
            let more = [request(number, &heartbeat()), request(5, &heartbeat())].concat();
            passed.extend(talk.send(&more).unwrap());
            assert_eq!(talk.logins, 1 + login as usize, "one login at a time");

            let mut answers = Vec::new();
            for frame in frames(&passed) {
                let header = header_of(&frame);
                answers.extend(match header.api {
                    ApiKey::SASL_HANDSHAKE => login_taken(own, 100_000)[..].to_vec(),
                    ApiKey::SASL_AUTHENTICATE => Vec::new(),
                    _ => answer(header.correlation_id),
                });
            }
            let expected: &[i32] = match login {
                0 => &[number, 5],
                _ => &[number, number, 5],
            };
            assert_eq!(correlations(&talk.receive(&answers).unwrap()), expected);
            due = talk.now + Duration::from_secs(81);
        }
    }
}

/// A login is renewed before it ends, and not while the last is under way.
#[test]
fn row_11_a_login_is_renewed_in_time() {
    let mut talk = Talk::strange(usize::MAX, everything());
    talk.send(&request(7, &heartbeat())).unwrap();
    talk.receive(&login_taken([0, 1], 100_000)).unwrap();
    talk.receive(&answer(7)).unwrap();
    for (second, logins) in [(1, 1), (79, 1), (80, 2), (81, 2), (200, 2)] {
        talk.now = Duration::from_secs(second);
        talk.send(&request(8, &heartbeat())).unwrap();
        assert_eq!(talk.logins, logins, "at {second} s");
    }
    talk.receive(&answer(8)).unwrap();
    talk.receive(&answer(8)).unwrap();
    talk.receive(&login_taken([2, 3], 0)).unwrap();
    talk.now = Duration::from_secs(1_000_000);
    talk.send(&request(9, &heartbeat())).unwrap();
    assert_eq!(talk.logins, 2, "this one is for ever");
}

/// A frame of which part has gone to the broker is never cut by a login.
#[test]
fn row_11_no_login_goes_into_a_frame() {
    let mut talk = Talk::strange(usize::MAX, everything());
    talk.send(&request(7, &heartbeat())).unwrap();
    talk.receive(&login_taken([0, 1], 10_000)).unwrap();
    // RenewDelegationToken passes as it comes.
    let renewal = {
        let mut renewal = message(ApiKey(39), 2, Direction::Request);
        renewal.set("Hmac", Value::Bytes(vec![1; 1000].into()));
        request(8, &renewal)
    };
    for (at, part) in renewal.chunks(100).enumerate() {
        talk.now = Duration::from_secs(if at < 5 { 1 } else { 9 });
        assert_eq!(talk.send(part).unwrap(), part);
    }
    assert_eq!(talk.logins, 1);
    talk.send(&request(9, &heartbeat())).unwrap();
    assert_eq!(talk.logins, 2);
}

/// A broker that does not take the login again ends the connection.
#[test]
fn row_11_a_renewal_that_is_refused_ends_the_connection() {
    for size in SIZES {
        let mut talk = Talk::strange(size, everything());
        talk.send(&request(7, &heartbeat())).unwrap();
        let taken = [login_taken([0, 1], 10_000), answer(7)].concat();
        talk.receive(&taken).unwrap();
        talk.now = Duration::from_secs(9);
        talk.send(&request(8, &heartbeat())).unwrap();
        let mut refused = message(ApiKey::SASL_AUTHENTICATE, 1, Direction::Response);
        refused.set("ErrorCode", 58_i16);
        let shaken = message(ApiKey::SASL_HANDSHAKE, 1, Direction::Response);
        let answers = [response(2, &shaken), response(3, &refused)].concat();
        let refusal = talk.receive(&answers).unwrap_err();
        assert_eq!(refusal.reason(), "login");
    }
}

/// Beside the client there are no logins: what a client sends of that kind goes
/// on to the node's sidecar, which answers it.
#[test]
fn row_11_beside_the_client_logins_pass() {
    for size in SIZES {
        let mut talk = Talk::client(size, None);
        let body = handshake(1, "PLAIN");
        let (seen, answer) = talk.exchange(&body, |_| {
            let mut refused = blank(&body);
            refused.set("ErrorCode", 34_i16);
            refused
        });
        assert_eq!(seen, Some(body));
        assert_eq!(answer.int("ErrorCode"), ILLEGAL_STATE);
    }
}

/// Tokens without Kafka's framing, which follow a SaslHandshake v0 in old
/// clients, are refused: the handshake is answered with an error, and a token
/// that comes all the same ends the connection before a byte of it has passed.
#[test]
fn row_12_raw_tokens_are_refused() {
    // Of kafka-python, of librdkafka, and of RFC 7628.
    let tokens: [&[u8]; 4] = [
        b"u\0u\0p",
        b"\0user\0pass",
        b"n,,\x01auth=Bearer t\x01\x01",
        b"",
    ];
    for size in SIZES {
        for token in tokens {
            let mut talk = Talk::node(size, everything());
            let refused = talk.own_answer(&handshake(0, "PLAIN"));
            assert_eq!(refused.int("ErrorCode"), ILLEGAL_STATE);
            let raw = framed(b"", token);
            let refusal = talk.send(&raw).unwrap_err();
            assert!(refusal.is_clients_fault(), "{refusal}");
            assert!(talk.to_broker.is_empty());
        }
    }
}

/// A token of any length is refused by its first bytes; none is collected.
#[test]
fn row_12_a_long_raw_token_is_not_collected() {
    let mut talk = Talk::node(1, everything());
    talk.own_answer(&handshake(0, "GSSAPI"));
    let raw = framed(b"", &vec![0x60; 100_000]);
    talk.send(&raw).unwrap_err();
    assert!(talk.peak < 32, "{} bytes were kept", talk.peak);
}

/// SCRAM's exchange is bound to its two ends, so none goes through: the client
/// is told that it is logged in, and its user and nonce stay here.
#[test]
fn row_13_scram_is_never_passed_on() {
    for size in SIZES {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "GSSAPI"] {
            let mut talk = Talk::node(size, everything());
            for version in 0..=1 {
                let answer = talk.own_answer(&handshake(version, mechanism));
                assert_eq!(answer.int("ErrorCode"), ILLEGAL_STATE);
                let offered = answer.get("Mechanisms");
                assert_eq!(offered, Some(&Value::Array(Vec::new())));
            }
            for version in 0..=2 {
                let first = authenticate(version, b"n,,n=alice,r=fyko+d2lbbFgONRv9qkxdawL");
                let answer = talk.own_answer(&first);
                assert_eq!(answer.int("ErrorCode"), ILLEGAL_STATE);
                let token = answer.get("AuthBytes").and_then(Value::as_bytes);
                assert_eq!(token.map(Bytes::len), Some(0));
            }
            assert!(talk.to_broker.is_empty());
            talk.lives();
        }
    }
}

/// The only mechanism that a broker is asked for is the session's own.
#[test]
fn row_13_the_broker_sees_the_sessions_login_alone() {
    let mut talk = Talk::strange(usize::MAX, everything());
    let step = talk
        .session
        .request(&request(1, &heartbeat()), Duration::ZERO);
    assert_eq!(step.unwrap(), Step::Login);
    let login = frames(&talk.session.login("a.b.c", Duration::ZERO));
    let shaken = read_request(&login[0]);
    assert_eq!(shaken.str("Mechanism"), Some("OAUTHBEARER"));
    let proven = read_request(&login[1]);
    let token = proven.get("AuthBytes").and_then(Value::as_bytes).unwrap();
    assert_eq!(token, &b"n,,\x01auth=Bearer a.b.c\x01\x01"[..]);
}
