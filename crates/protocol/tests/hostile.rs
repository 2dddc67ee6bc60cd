//! Bytes that were made to exhaust a reader: those of known vulnerabilities, and their kin.
//!
//! Each test says what its bytes may make us allocate: at most four times their length, or what
//! a caller allowed, and a small constant. All allocations of the process count, so that only one
//! test measures at a time.

mod common;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use tubeway_protocol::edit::Edits;
use tubeway_protocol::frame::{FrameError, LengthReader};
use tubeway_protocol::header::{HeaderError, RequestHeader};
use tubeway_protocol::records::codec::{self, CodecError, WORKING_MEMORY};
use tubeway_protocol::records::{BatchSettings, BatchWriter, NewRecord, RecordsError, batches};
use tubeway_protocol::value::{Budget, DecodeProblem, Struct, decode};
use tubeway_protocol::walk::{
    Compression, Interest, Mark, Span, Trailing, WalkError, WalkProblem, Walker, What,
};
use tubeway_protocol::wire::{put_uvarint, uvarint, varint, varlong};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What the test harness and errors may take.
const SLACK: usize = 64 * 1024;

/// Held by each test, all along: what one prepares another would measure.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work`, which may have `most` bytes at one time.
fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= most + SLACK, "{taken} bytes, {most} allowed");
    result
}

fn layout(api: ApiKey, version: i16, direction: Direction) -> &'static Layout {
    Schemas::get().layout(api, version, direction).unwrap()
}

fn walk(layout: &'static Layout, body: &[u8]) -> Result<(), WalkError> {
    let interest = Arc::new(Interest::none(layout));
    within(0, || {
        let mut walker = Walker::new(interest, 0, body.len() as u64, Trailing::Refuse);
        for chunk in body.chunks(16 * 1024) {
            walker.feed(chunk, |_| {})?;
        }
        Ok(())
    })
}

/// Decodes within four times the bytes received, of which the body itself is one.
fn tree(layout: &'static Layout, body: &Bytes) -> Result<Struct, DecodeProblem> {
    within(3 * body.len(), || {
        decode(layout, body, Budget::of(body.len()))
    })
    .map_err(|error| error.problem)
}

/// The first field of a message that has nothing but tagged fields of ours.
fn tagged(layout: &'static Layout, count: u32, tags: impl Iterator<Item = u32>) -> Bytes {
    let mut body = common::encoded(&Struct::message(layout));
    body.pop();
    put_uvarint(&mut body, count);
    for tag in tags {
        put_uvarint(&mut body, tag);
        body.push(0);
    }
    body.into()
}

#[test]
fn cve_2026_111115_unknown_tags_by_the_million() {
    let _alone = alone();
    let layout = layout(ApiKey::API_VERSIONS, 3, Direction::Request);
    // Kafka reads the same tag again and again: two bytes each, an object each.
    let same = tagged(layout, 5_000_000, std::iter::repeat_n(11, 5_000_000));
    let problem = walk(layout, &same).unwrap_err().problem;
    assert_eq!(problem, WalkProblem::TagOrder { tag: 11, last: 11 });
    assert_eq!(tree(layout, &same), Err(DecodeProblem::TagOrder(11)));
    // Tags that rise are allowed, and passed over; a tree of them is not.
    let rising = tagged(layout, 1_000_000, 11..1_000_011);
    walk(layout, &rising).unwrap();
    assert!(matches!(
        tree(layout, &rising),
        Err(DecodeProblem::Amplifies(_))
    ));
    // A count that no bytes follow.
    let none = tagged(layout, u32::MAX, std::iter::empty());
    assert_eq!(
        walk(layout, &none).unwrap_err().problem,
        WalkProblem::Overrun
    );
    assert_eq!(tree(layout, &none), Err(DecodeProblem::Overrun));
}

#[test]
fn cve_2026_111115_unknown_tags_in_the_header() {
    let _alone = alone();
    let mut frame = b"\0\x12\0\x03\0\0\0\x01\xff\xff".to_vec();
    put_uvarint(&mut frame, 5_000_000);
    frame.extend([11, 0].repeat(5_000_000));
    let length = frame.len() as u32;
    let read = within(0, || RequestHeader::read(&frame, length));
    assert_eq!(read, Err(HeaderError::Tags));
}

/// Every array of every message says that it has more elements than there are.
#[test]
fn cve_2026_111108_array_counts_beyond_their_bytes() {
    let _alone = alone();
    for layout in common::layouts() {
        let names: Vec<String> = layout
            .all_fields()
            .map(|id| format!("**.{}", layout.field(id).name()))
            .collect();
        let paths: Vec<(&str, Mark)> = names.iter().map(|name| (&**name, Mark(0))).collect();
        let interest = Arc::new(Interest::new(layout, &paths).unwrap());
        let body = common::encoded(&common::message(layout, &mut common::Random::new(3)));
        let mut counts: Vec<Span> = Vec::new();
        let mut walker = Walker::new(interest, 0, body.len() as u64, Trailing::Refuse);
        walker
            .feed(&body, |event| {
                if let What::ArrayStart(_) = event.what {
                    counts.push(event.span);
                }
            })
            .unwrap();
        for span in counts {
            for count in [10_000, i32::MAX as u32] {
                let mut edits = Edits::new();
                edits.replace(span, layout.encode_count(count));
                let body = Bytes::from(edits.apply(&body, 0).unwrap());
                let name = common::name(layout);
                assert!(walk(layout, &body).is_err(), "{name}");
                assert!(tree(layout, &body).is_err(), "{name}");
            }
        }
    }
}

/// Every array is as full as its bytes allow, with elements as small as there are.
#[test]
fn cve_2026_111108_array_amplification() {
    let _alone = alone();
    for layout in common::layouts() {
        for filler in [0u8, 1] {
            let mut body = common::encoded(&Struct::message(layout));
            body.resize(body.len() + 50_000, filler);
            for at in 0..body.len().min(12) {
                let mut body = body.clone();
                let count = layout.encode_count(40_000);
                body.splice(at..=at, count);
                let _ = walk(layout, &body);
                let _ = tree(layout, &body.into());
            }
        }
    }
}

#[test]
fn cve_2026_111073_gzip_bomb() {
    let _alone = alone();
    let bomb = codec::compress(Compression::Gzip, 2, vec![0; 8 << 20]).unwrap();
    assert!(bomb.len() < 16 * 1024);
    refused_at_its_limit(Compression::Gzip, &bomb);
}

#[test]
fn cve_2023_34455_snappy_chunk_length() {
    let _alone = alone();
    // The Java library allocated what a chunk says before it looked for its bytes.
    let mut chunk = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    chunk.extend([0x7f, 0xff, 0xff, 0xff]);
    chunk.extend(b"few");
    let read = within(0, || {
        codec::decompress(Compression::Snappy, 2, &chunk, usize::MAX)
    });
    assert!(matches!(read, Err(CodecError::Malformed { .. })));
    // A block that says it becomes 4 GB.
    let block = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, b'x'];
    let read = within(0, || {
        codec::decompress(Compression::Snappy, 2, &block, usize::MAX)
    });
    assert!(matches!(read, Err(CodecError::Malformed { .. })));
}

#[test]
fn snappy_bomb() {
    let _alone = alone();
    let bomb = codec::compress(Compression::Snappy, 2, vec![0; 8 << 20]).unwrap();
    refused_at_its_limit(Compression::Snappy, &bomb);
}

#[test]
fn lz4_bomb() {
    let _alone = alone();
    let bomb = codec::compress(Compression::Lz4, 2, vec![0; 8 << 20]).unwrap();
    assert!(bomb.len() < 64 * 1024);
    refused_at_its_limit(Compression::Lz4, &bomb);
    // Blocks of 4 MB that have three bytes.
    let mut frame = codec::compress(Compression::Lz4, 0, Vec::new()).unwrap();
    frame[5] = 0x70;
    frame.truncate(7);
    frame.extend([3, 0, 0, 0, 0x10, b'x', 0, 0, 0, 0, 0]);
    let _ = within(4096, || {
        codec::decompress(Compression::Lz4, 0, &frame, usize::MAX).map(drop)
    });
}

#[test]
fn rustsec_2026_0344_zstd_bomb() {
    let _alone = alone();
    // Blocks of 128 KB of one byte, four bytes each; the window is as great as can be said.
    for window in [0x58u8, 0x88, 0xff] {
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
        for _ in 0..4000 {
            bomb.extend([0x02, 0x00, 0x10, b'x']);
        }
        refused_at_its_limit(Compression::Zstd, &bomb);
    }
    let bomb = codec::compress(Compression::Zstd, 2, vec![0; 8 << 20]).unwrap();
    refused_at_its_limit(Compression::Zstd, &bomb);
    // A window, or a content, that is said and not there.
    for frame in [
        &[0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0][..],
        &[
            0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0xff, 0, 0, 0, 1, 0, 0,
        ],
    ] {
        let _ = within(WORKING_MEMORY, || {
            codec::decompress(Compression::Zstd, 2, frame, 1 << 40).map(drop)
        });
    }
}

fn refused_at_its_limit(codec: Compression, bomb: &[u8]) {
    for limit in [0, 1000, 1 << 20] {
        let read = within(4 * limit + WORKING_MEMORY, || {
            codec::decompress(codec, 2, bomb, limit).map(|out| out.len())
        });
        assert_eq!(read, Err(CodecError::TooLong(limit)), "{codec:?}");
    }
}

#[test]
fn cve_2026_10142_frame_length() {
    let _alone = alone();
    // Nothing is allocated for a length, and a length that is too great is refused.
    let mut reader = LengthReader::new(100 << 20);
    let read = within(0, || reader.read(&mut &[0x7f, 0xff, 0xff, 0xff][..]));
    assert!(matches!(read, Err(FrameError::TooLong { .. })));
    let read = within(0, || reader.read(&mut &[0x80, 0, 0, 0][..]));
    assert_eq!(read, Err(FrameError::Negative(i32::MIN)));
}

#[test]
fn numbers_of_ten_bytes() {
    let _alone = alone();
    let bytes = [0xff; 10];
    assert!(uvarint(&bytes).is_err() && varint(&bytes).is_err() && varlong(&bytes).is_err());
    // Where a length, a count or a tag is read.
    let flexible = layout(ApiKey::METADATA, 12, Direction::Request);
    for at in 0..2 {
        let mut body = vec![1; at];
        body.extend([0xff; 10]);
        assert!(matches!(
            walk(flexible, &body).unwrap_err().problem,
            WalkProblem::Varint(_) | WalkProblem::Overrun
        ));
        assert!(tree(flexible, &body.into()).is_err());
    }
}

#[test]
fn lengths_below_zero_and_beyond_the_frame() {
    let _alone = alone();
    // A string, an array and bytes, before and after compact lengths.
    for (api, version, body) in [
        (ApiKey::SASL_HANDSHAKE, 1, &b"\x80\0"[..]),
        (ApiKey::SASL_HANDSHAKE, 1, b"\xff\xfe"),
        (ApiKey::SASL_HANDSHAKE, 1, b"\x7f\xff\x61"),
        (ApiKey::METADATA, 4, b"\xff\xff\xff\xfe"),
        (ApiKey::METADATA, 4, b"\x7f\xff\xff\xff"),
        (ApiKey::SASL_AUTHENTICATE, 1, b"\x80\0\0\0"),
        (ApiKey::SASL_AUTHENTICATE, 1, b"\x7f\xff\xff\xff\x61"),
        (ApiKey::SASL_AUTHENTICATE, 2, b"\xff\xff\xff\xff\x0f\x61"),
        (ApiKey::METADATA, 12, b"\xff\xff\xff\xff\x0f\x61"),
        (ApiKey::DELETE_TOPICS, 5, b"\x02\xff\xff\x01\x61"),
        // A compact string of 32,768 bytes, which are there: Kafka refuses it.
        (
            ApiKey::DELETE_TOPICS,
            5,
            &[&b"\x02\x81\x80\x02"[..], &vec![b'a'; 40_000]].concat(),
        ),
    ] {
        let layout = layout(api, version, Direction::Request);
        assert!(walk(layout, body).is_err(), "{api} {version}");
        assert!(
            tree(layout, &Bytes::copy_from_slice(body)).is_err(),
            "{api} {version}"
        );
    }
}

#[test]
fn nesting_ends_with_the_schema() {
    let _alone = alone();
    for layout in common::layouts() {
        let body = common::encoded(&common::message(layout, &mut common::Random::new(5)));
        // A level per level of the schema, of which there are few: no stack can overflow.
        assert!(walk(layout, &body).is_ok());
        assert!(layout.depth() <= 8, "{}", common::name(layout));
    }
}

/// A batch of one record, with bytes of it changed and its checksum left wrong.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<u32, RecordsError> {
    let mut writer = BatchWriter::new(BatchSettings::default()).unwrap();
    let value = Some(&b"value"[..]);
    writer
        .push(&NewRecord {
            value,
            ..NewRecord::default()
        })
        .unwrap();
    let mut field = writer.finish().unwrap();
    change(&mut field);
    within(0, || {
        let mut count = 0;
        for batch in batches(&field) {
            for record in &batch?.records(1 << 20)? {
                count += 1 + record?.headers.iter().count() as u32;
            }
        }
        Ok(count)
    })
}

#[test]
fn records_that_lie() {
    let _alone = alone();
    assert_eq!(changed(|_| {}), Ok(1));
    // Records, as the header counts them.
    let counted = changed(|field| field[57..61].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(counted, Err(RecordsError::Overrun(1)));
    assert!(changed(|field| field[57..61].copy_from_slice(&[0; 4])).is_err());
    // The record: length, attributes, timestamp, offset, key, value, headers.
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    for at in [61, 65, 66, 72] {
        let longer = changed(|field| {
            field.splice(at..=at, huge);
            let length = field.len() as u32 - 12;
            field[8..12].copy_from_slice(&length.to_be_bytes());
        });
        assert!(longer.is_err(), "byte {at}");
    }
}
