//! `xtask bench`: what the hot path costs, to be looked at and not to be asserted.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tubeway_protocol::header::RequestHeader;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::walk::{Interest, Mark, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Schemas};

/// How long each case runs.
const TIME: Duration = Duration::from_millis(500);
/// What sockets give at a time.
const CHUNK: usize = 64 * 1024;

pub(crate) fn run() -> anyhow::Result<()> {
    let text = include_str!("../../protocol/schemas/kafka.txt");
    let started = Instant::now();
    Schemas::parse(text)?;
    println!(
        "{:<40} {:>10.1} µs",
        "schemas, parsed once",
        micros(started.elapsed())
    );
    for (name, batches, batch) in [
        ("Produce v9, 1 batch of 1 KB", 1, 1024),
        ("Produce v9, 64 batches of 16 KB", 64, 16 * 1024),
        ("Produce v9, 1024 batches of 1 KB", 1024, 1024),
    ] {
        produce(name, batches, batch)?;
    }
    Ok(())
}

/// Header and walk of one Produce request with one partition.
fn produce(name: &str, batches: usize, batch: usize) -> anyhow::Result<()> {
    let layout = Schemas::get().layout(ApiKey::PRODUCE, 9, Direction::Request)?;
    let interest = Arc::new(Interest::new(
        layout,
        &[
            ("Acks", Mark(1)),
            ("TransactionalId", Mark(2)),
            ("TopicData.Name", Mark(3)),
            ("TopicData.PartitionData.Index", Mark(4)),
            ("TopicData.PartitionData.Records", Mark(5)),
        ],
    )?);
    let frame = frame(layout, batches, batch)?;
    let length = frame.len() as u64;
    let mut rounds = 0u32;
    let started = Instant::now();
    while started.elapsed() < TIME {
        let header = RequestHeader::read(&frame, length as u32)?;
        let header = header.map_or(0, |header| header.length);
        let mut walker = Walker::new(
            Arc::clone(&interest),
            header as u64,
            length,
            Trailing::Refuse,
        );
        for chunk in frame[header..].chunks(CHUNK) {
            walker.feed(chunk, |event| {
                black_box(&event);
            })?;
        }
        rounds += 1;
    }
    let each = started.elapsed() / rounds;
    let rate = length as f64 / each.as_secs_f64() / 1e9;
    println!("{name:<40} {:>10.3} µs {rate:>10.1} GB/s", micros(each));
    Ok(())
}

fn frame(
    layout: &'static tubeway_protocol::Layout,
    batches: usize,
    batch: usize,
) -> anyhow::Result<Vec<u8>> {
    let mut records = Vec::new();
    for _ in 0..batches {
        let start = records.len();
        records.resize(start + batch, 0);
        let length = (batch as u32 - 12).to_be_bytes();
        records[start + 8..start + 12].copy_from_slice(&length);
        records[start + 16] = 2;
        records[start + 60] = 10;
    }
    let mut request = Struct::message(layout);
    request.set("Acks", -1i16);
    if let Some(mut topic) = request.child("TopicData") {
        topic.set("Name", "orders");
        if let Some(mut partition) = topic.child("PartitionData") {
            partition.set("Records", Value::Records(records.into()));
            topic.set("PartitionData", vec![partition]);
        }
        request.set("TopicData", vec![topic]);
    }
    let mut frame = Vec::new();
    let header = RequestHeader {
        api: layout.api(),
        version: layout.version(),
        correlation_id: 1,
        client_id: Some("producer-1"),
        length: 0,
    };
    header.write(&mut frame)?;
    request.encode(&mut frame)?;
    Ok(frame)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
