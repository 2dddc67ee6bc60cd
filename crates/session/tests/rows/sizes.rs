//! Rows 29 and 30: connections that are quiet, and frames that are large.

use std::time::Duration;

use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction};
use tubeway_session::Refusal;

use crate::world::*;

const CHUNK: usize = 64 * 1024;
const MB: usize = 1 << 20;
/// Kafka's limit for requests (`socket.request.max.bytes`).
const LIMIT: usize = 100 * MB;

/// A session keeps no time of its own: who has nothing to say for days can go
/// on, and it is the ends that close what is idle (the pump passes that on).
#[test]
fn row_29_a_quiet_connection_stays() {
    for mut talk in Talk::both(7) {
        for days in [1, 30, 1000] {
            talk.now = Duration::from_hours(24 * days);
            talk.lives();
        }
        assert_eq!(talk.logins, 0, "the login was for ever");
    }
}

/// The same where a login has run out meanwhile: the next request renews it.
#[test]
fn row_29_a_quiet_connection_logs_in_again() {
    let mut talk = Talk::strange(7, everything());
    let beat = request(7, &message(HEARTBEAT, 4, Direction::Request));
    talk.send(&beat).unwrap();
    let answer = response(7, &message(HEARTBEAT, 4, Direction::Response));
    talk.receive(&login_taken([0, 1], 60_000)).unwrap();
    talk.receive(&answer).unwrap();
    talk.now = Duration::from_hours(24);
    talk.send(&beat).unwrap();
    talk.receive(&login_taken([2, 3], 60_000)).unwrap();
    assert_eq!(talk.receive(&answer).unwrap(), answer);
    assert_eq!(talk.logins, 2);
}

/// One batch of so many bytes, of which the first are there.
fn batch_of(length: usize) -> Vec<u8> {
    let mut head = batch(1).to_vec();
    head[8..12].copy_from_slice(&((length - 12) as i32).to_be_bytes());
    head
}

/// A message with one batch, in two parts, between which the batch is.
fn around(message: &Struct) -> (Vec<u8>, Vec<u8>) {
    // A batch of one byte's length more than what is encoded would be: the
    // records' own length is written here by hand.
    let whole = encoded(message);
    let mark = b"HERE THE RECORDS ARE";
    let at = whole.windows(mark.len()).position(|w| w == mark).unwrap();
    (whole[..at - 4].to_vec(), whole[at + mark.len()..].to_vec())
}

fn marked() -> Value {
    Value::Records(b"HERE THE RECORDS ARE"[..].into())
}

/// A Produce v8 (whose lengths have four bytes) of one batch.
fn producing() -> (Vec<u8>, Vec<u8>) {
    let mut body = produce(8, -1, &[("orders", &[0])]);
    let topic = body.structs("TopicData").next().unwrap();
    let partition = entry(topic, "PartitionData", &[("Records", marked())]);
    let topic = filled(topic.clone(), &[("PartitionData", vec![partition].into())]);
    body.set("TopicData", vec![topic]);
    around(&body)
}

/// The answer to a Fetch v11 with one batch.
fn fetching() -> (Vec<u8>, Vec<u8>) {
    let mut body = message(ApiKey::FETCH, 11, Direction::Response);
    let topic = named(body.child("Responses").unwrap(), "orders");
    let partition = entry(&topic, "Partitions", &[("Records", marked())]);
    let topic = filled(topic, &[("Partitions", vec![partition].into())]);
    body.set("Responses", vec![topic]);
    around(&body)
}

/// The parts of a frame of `total` bytes: chunks of its batch are zeros.
struct Large {
    first: Vec<u8>,
    zeros: usize,
    last: Vec<u8>,
}

fn large(header: &[u8], (before, after): (Vec<u8>, Vec<u8>), total: usize) -> Large {
    let records = total - header.len() - before.len() - 4 - after.len();
    let head = batch_of(records);
    let zeros = records - head.len();
    let length = (total as i32).to_be_bytes();
    let records = (records as i32).to_be_bytes();
    Large {
        first: [&length, header, &before, &records, &head].concat(),
        zeros,
        last: after,
    }
}

impl Large {
    /// Passes the frame chunk by chunk; how many bytes have come out.
    fn through(&self, mut pass: impl FnMut(&[u8]) -> usize) -> usize {
        let mut out = pass(&self.first);
        let zeros = vec![0; CHUNK];
        for at in (0..self.zeros).step_by(CHUNK) {
            out += pass(&zeros[..CHUNK.min(self.zeros - at)]);
        }
        out + pass(&self.last)
    }
}

/// A request as large as Kafka allows passes with no more in memory than a
/// chunk, or than its beginning where that is looked at.
#[test]
fn row_30_a_large_produce_streams() {
    let header = request_header(7, ApiKey::PRODUCE, 8);
    let frame = large(&header, producing(), LIMIT);
    for (mut talk, most) in [
        (Talk::client(CHUNK, None), CHUNK),
        (Talk::node(CHUNK, may_write(&["orders"])), 2 * CHUNK),
    ] {
        let out = frame.through(|chunk| {
            let n = talk.send(chunk).unwrap().len();
            talk.to_broker.clear();
            n
        });
        assert_eq!(out, 4 + LIMIT);
        assert!(talk.peak <= most, "{} bytes were held", talk.peak);
        talk.receive(&response(
            7,
            &message(ApiKey::PRODUCE, 8, Direction::Response),
        ))
        .unwrap();
        talk.lives();
    }
}

/// One that is denied is read to its end, held no more, and answered.
#[test]
fn row_30_a_large_denied_produce_is_dropped_as_it_comes() {
    let header = request_header(7, ApiKey::PRODUCE, 8);
    let frame = large(&header, producing(), LIMIT);
    let mut talk = Talk::node(CHUNK, may_write(&["payments"]));
    assert_eq!(frame.through(|chunk| talk.send(chunk).unwrap().len()), 0);
    assert!(talk.peak <= 2 * CHUNK, "{} bytes were held", talk.peak);
    let answer = talk.receive(b"").unwrap();
    let layout = produce(8, -1, &[]).layout();
    let answer = read_response(&frames(&answer)[0], layout);
    let refused = errors(&answer, "PartitionResponses", "Index");
    assert_eq!(refused, [("orders".to_owned(), 0, 29)]);
    talk.lives();
}

/// A response larger than all limits of consumers passes the same way, with
/// refusals in it or without.
#[test]
fn row_30_a_large_fetch_streams() {
    let total = LIMIT + 20 * MB;
    let frame = large(&7_i32.to_be_bytes(), fetching(), total);
    for (mut talk, topics) in [
        (Talk::client(CHUNK, None), &["orders"][..]),
        (Talk::node(CHUNK, may_read(&["orders"])), &["orders"]),
        (
            Talk::node(CHUNK, may_read(&["orders"])),
            &["orders", "secret"],
        ),
    ] {
        let mut body = message(ApiKey::FETCH, 11, Direction::Request);
        let asked = topics.iter().map(|topic| {
            let topic = named(body.child("Topics").unwrap(), topic);
            let partition = topic.child("Partitions").unwrap();
            filled(topic, &[("Partitions", vec![partition].into())])
        });
        let asked: Vec<_> = asked.collect();
        body.set("Topics", asked);
        talk.send(&request(7, &body)).unwrap();
        let mut got = 0;
        let out = frame.through(|chunk| {
            let n = talk.receive(chunk).unwrap().len();
            if got == 0 && n >= 4 {
                let length = talk.to_client.first_chunk().unwrap();
                got = 4 + i32::from_be_bytes(*length) as usize;
            }
            talk.to_client.clear();
            n
        });
        assert_eq!(out, got, "as long as it says");
        assert_eq!(out > 4 + total, topics.len() > 1, "refusals are in it");
        assert!(talk.peak <= 2 * CHUNK, "{} bytes were held", talk.peak);
        talk.lives();
    }
}

/// Nothing is believed of a length that is over the limit, or below none.
#[test]
fn row_30_lengths_over_the_limit_are_refused() {
    for size in SIZES {
        for length in [LIMIT as i32 + 1, i32::MAX, -1, i32::MIN] {
            for mut talk in Talk::both(size) {
                let sent = [&length.to_be_bytes()[..], &[0, 3, 0, 12]].concat();
                let refusal = talk.send(&sent).unwrap_err();
                assert_eq!(refusal, Refusal::FrameLength(i64::from(length)));
            }
        }
        for mut talk in Talk::both(size) {
            talk.send(&request(7, &message(HEARTBEAT, 4, Direction::Request)))
                .unwrap();
            let refusal = talk.receive(&i32::MAX.to_be_bytes()).unwrap_err();
            assert_eq!(refusal, Refusal::FrameLength(i64::from(i32::MAX)));
        }
    }
}

/// Headers have their own limit: a client id or tags without end are refused
/// when it is reached, and no more is kept of them.
#[test]
fn row_30_headers_have_a_limit() {
    const MOST: usize = 16 * 1024;
    let start = [0, 12, 0, 4, 0, 0, 0, 7];
    let id = [&start[..], &[0x7f, 0xff], &vec![b'x'; 0x7fff]].concat();
    let tags = [
        &start[..],
        &[0xff, 0xff, 1, 1, 0xff, 0xff, 0x7f],
        &vec![0; MB],
    ]
    .concat();
    for header in [id, tags] {
        for size in [1000, usize::MAX] {
            for mut talk in [Talk::client(size, None), Talk::strange(size, everything())] {
                let refusal = talk.send(&framed(&header, b"")).unwrap_err();
                assert_eq!(refusal.reason(), "header");
                assert!(talk.peak < MOST + 1000 || size > MB, "{}", talk.peak);
                assert!(talk.to_broker.is_empty());
            }
        }
    }
    // A long one below the limit passes.
    let header = [&start[..], &[0x3f, 0], &vec![b'x'; 0x3f00], &[0]].concat();
    let sent = framed(
        &header,
        &encoded(&message(HEARTBEAT, 4, Direction::Request)),
    );
    for size in SIZES {
        for mut talk in Talk::both(size) {
            assert_eq!(talk.send(&sent).unwrap(), sent);
        }
    }
}
