//! What reading takes of memory, whatever the bytes say. One test, because all allocations of the
//! process count.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::Random;
use peak_alloc::PeakAlloc;
use tubeway_protocol::rewrite::AddressRewriter;
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Most that `work` had allocated at one time, in bytes.
fn peak<T>(work: impl FnOnce() -> T) -> usize {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    drop(result);
    peak
}

#[test]
fn memory_is_bounded_by_the_bytes_received() {
    let layouts = common::layouts();
    streams_take_next_to_nothing();
    trees_take_three_times_their_input(&layouts);
    addresses_take_twice_their_input();
}

/// 32 MB of records, in chunks as a socket gives them.
fn streams_take_next_to_nothing() {
    let layout = Schemas::get()
        .layout(ApiKey::FETCH, 16, Direction::Response)
        .unwrap();
    let paths = [
        ("**.ErrorCode", Mark(1)),
        ("Responses.Partitions.Records", Mark(2)),
    ];
    let interest = Arc::new(Interest::new(layout, &paths).unwrap());
    let mut random = Random::new(1);
    let mut records = Vec::new();
    while records.len() < 32 << 20 {
        records.extend(common::records(&mut random));
    }
    let mut message = Struct::message(layout);
    let mut topic = message.child("Responses").unwrap();
    let mut partition = topic.child("Partitions").unwrap();
    partition.set("Records", Value::Records(records.into()));
    topic.set("Partitions", vec![partition]);
    message.set("Responses", vec![topic]);
    let body = common::encoded(&message);
    let taken = peak(|| {
        let mut walker = Walker::new(interest, 0, body.len() as u64, Trailing::Refuse);
        let mut events = 0u64;
        for chunk in body.chunks(16 * 1024) {
            walker.feed(chunk, |_| events += 1).unwrap();
        }
        assert!(walker.is_done() && events > 1000);
    });
    assert!(taken < 2048, "{taken} bytes for a walk");
}

/// Bodies of many small things, bodies at random, and bodies that lie about their counts.
fn trees_take_three_times_their_input(layouts: &[&'static Layout]) {
    let mut bodies = Vec::new();
    let mut random = Random::new(2);
    for filler in [0u8, 1, 2, 3, 5, 0x7f, 0xff] {
        for first in [0u8, 1, 2, 0x7f] {
            let mut body = vec![filler; 200_000];
            body[..8].copy_from_slice(&[first, 0, filler, 0, 1, 0xff, 0xff, 0x02]);
            bodies.push(Bytes::from(body));
        }
    }
    for _ in 0..20 {
        let body: Vec<u8> = (0..30_000).map(|_| random.below(5) as u8).collect();
        bodies.push(body.into());
    }
    for layout in layouts {
        for body in &bodies {
            let taken = peak(|| decode(layout, body, Budget::of(body.len())));
            let most = (3 * body.len()).max(48 * 1024) + 1024;
            assert!(taken <= most, "{} took {taken} bytes", common::name(layout));
        }
    }
}

fn addresses_take_twice_their_input() {
    let rewriter = AddressRewriter::new(ApiKey::METADATA, 9).unwrap();
    let mut message = Struct::message(rewriter.layout());
    let mut broker = message.child("Brokers").unwrap();
    broker.set("Host", "h");
    broker.set("Port", 1i32);
    message.set("Brokers", vec![broker; 20_000]);
    let body = common::encoded(&message);
    let taken = peak(|| rewriter.rewrite(&body, |_, host, port| Some((host.to_owned(), port))));
    // The new body, as it grows.
    assert!(
        taken <= 3 * body.len() + 1024,
        "{taken} bytes for {}",
        body.len()
    );
}
