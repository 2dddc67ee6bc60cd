//! The targets of `fuzz/` without a fuzzer: inputs from a corpus of good ones, changed at random.
//!
//! As a test, each target runs [`RUNS`] inputs that are always the same. With `FUZZ_SECONDS` set
//! (`make fuzz`) each runs that long, from a seed that it prints; `FUZZ_SEED` sets the seed, and
//! `FUZZ_TARGET` picks one target. A failing input is printed.

mod common;

#[path = "../../../fuzz/src/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::Random;
use targets::{TARGETS, Target};
use tubeway_protocol::ApiKey;
use tubeway_protocol::header::{RequestHeader, request_header_version};
use tubeway_protocol::records::codec;
use tubeway_protocol::records::{BatchSettings, BatchWriter, NewRecord};
use tubeway_protocol::walk::Compression;

/// Inputs of each target in a test.
const RUNS: u64 = 20_000;
/// Longest input.
const LONGEST: usize = 8 * 1024;
const CODECS: [Compression; 5] = [
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
    Compression::None,
];

#[test]
fn every_target_bears_every_input() {
    let variable = |name| std::env::var(name).ok();
    let seconds = variable("FUZZ_SECONDS").and_then(|text| text.parse().ok());
    let seed = variable("FUZZ_SEED").and_then(|text| text.parse().ok());
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |now| now.as_secs())
    };
    let seed = seed.unwrap_or_else(|| seconds.map_or(1, |_: u64| clock()));
    println!("FUZZ_SEED={seed}");
    let only = variable("FUZZ_TARGET");
    for target in TARGETS {
        if only.as_deref().is_none_or(|only| only == target.0) {
            run(target, seed, seconds.map(Duration::from_secs));
        }
    }
}

fn run((name, target): Target, seed: u64, time: Option<Duration>) {
    let mut random = Random::new(seed);
    let corpus = corpus(name, &mut random);
    let started = Instant::now();
    let mut runs = 0;
    loop {
        let more = match time {
            // The clock is looked at now and then.
            Some(time) => runs % 64 != 0 || started.elapsed() < time,
            None => runs < RUNS,
        };
        if !more {
            break;
        }
        let input = mutate(&corpus, &mut random);
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&input)));
        assert!(outcome.is_ok(), "{name} fails on {input:02x?}");
        runs += 1;
    }
    println!("{name}: {runs} executions in {:?}", started.elapsed());
}

/// Good inputs of a target.
fn corpus(name: &str, random: &mut Random) -> Vec<Vec<u8>> {
    match name {
        "header" => headers(random),
        "records" => (0..200).map(|_| field(random)).collect(),
        "decompress" => (0..200).map(|_| compressed(random)).collect(),
        _ => messages(name, random),
    }
}

/// A few messages of each form; for rewrites more of those that are rewritten.
fn messages(name: &str, random: &mut Random) -> Vec<Vec<u8>> {
    const REWRITTEN: [i16; 7] = [0, 1, 3, 10, 60, 78, 79];
    let mut corpus = Vec::new();
    for layout in common::layouts() {
        let often = name == "rewrite" && REWRITTEN.contains(&layout.api().0);
        for _ in 0..if often { 10 } else { 1 } {
            let mut input = targets::choose(layout, 1 + random.below(60) as u8).to_vec();
            input.extend(common::encoded(&common::message(layout, random)));
            corpus.push(input);
        }
    }
    corpus
}

fn headers(random: &mut Random) -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for layout in common::layouts() {
        let (api, version) = (layout.api(), layout.version());
        let client_id = (api != ApiKey::CONTROLLED_SHUTDOWN).then_some("client");
        let mut input = vec![api.0 as u8, version as u8];
        let header = RequestHeader {
            api,
            version,
            correlation_id: 7,
            client_id,
            length: 0,
        };
        header.write(&mut input).expect("a known message");
        if request_header_version(api, version) == Ok(2) {
            input.pop();
            input.extend([2, 0, 3, b'x', b'y', b'z', 9, random.below(3) as u8]);
        }
        corpus.push(input);
    }
    corpus
}

/// One or two batches.
fn field(random: &mut Random) -> Vec<u8> {
    let mut field = Vec::new();
    for _ in 0..=random.below(2) {
        let magic = random.below(3) as u8;
        let codec = CODECS[random.below(5) as usize];
        let plain = codec == Compression::Zstd && magic < 2;
        let compression = if plain { Compression::None } else { codec };
        let settings = BatchSettings {
            magic,
            compression,
            ..BatchSettings::default()
        };
        let mut writer = BatchWriter::new(settings).expect("settings");
        for offset in 0..=random.below(4) as i64 {
            let (key, value) = (random.bytes(10), random.bytes(200));
            let key = (random.below(2) == 0).then_some(&*key);
            let timestamp = random.below(1 << 42) as i64;
            let record = NewRecord {
                offset,
                timestamp,
                key,
                value: Some(&value),
                headers: &[],
            };
            writer.push(&record).expect("a record");
        }
        field.extend(writer.finish().expect("a batch"));
    }
    field
}

fn compressed(random: &mut Random) -> Vec<u8> {
    let at = random.below(4) as usize;
    let content = match random.below(3) {
        0 => random.bytes(500),
        1 => vec![7; random.below(200_000) as usize],
        _ => b"all work and no play ".repeat(random.below(2000) as usize),
    };
    let mut input = vec![at as u8, 2, random.next() as u8];
    input.extend(codec::compress(CODECS[at], 2, content).expect("compressed"));
    input.truncate(LONGEST);
    input
}

/// A good input with a few changes, of the kinds that readers of lengths and counts fear.
fn mutate(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let pick = |random: &mut Random| &corpus[random.below(corpus.len() as u64) as usize];
    let mut input = pick(random).clone();
    for _ in 0..random.below(5) {
        let at = random.below(input.len() as u64 + 1) as usize;
        match random.below(8) {
            0 => flip(&mut input, at, random),
            1 => overwrite(
                &mut input,
                at,
                EDGES[random.below(EDGES.len() as u64) as usize],
            ),
            2 => {
                let byte = [0, 1, 2, 0x7f, 0x80, 0xff, random.next() as u8];
                overwrite(&mut input, at, &[byte[random.below(7) as usize]]);
            }
            3 => drop(input.drain(at..input.len().min(at + random.below(9) as usize))),
            4 => drop(input.splice(at..at, random.bytes(9))),
            5 => {
                let again = input[at..input.len().min(at + 40)].repeat(random.below(20) as usize);
                drop(input.splice(at..at, again));
            }
            6 => {
                let other = pick(random);
                let from = random.below(other.len() as u64 + 1) as usize;
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => input.truncate(at),
        }
        input.truncate(LONGEST);
    }
    input
}

/// Numbers at the edges of their types, plain and of variable length.
const EDGES: [&[u8]; 10] = [
    &[0xff; 4],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xfe],
    &[0x7f, 0xff],
    &[0, 0, 0x10, 0],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0x80, 0x80, 0x80, 0x80, 0x00],
    &[0; 8],
];

fn flip(input: &mut [u8], at: usize, random: &mut Random) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in input.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}
