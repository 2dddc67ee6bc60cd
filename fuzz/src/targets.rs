//! One target per parser of bytes from outside. Each may fail in two ways: an assertion, or more
//! memory than four times its input and a constant.

use std::sync::Arc;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use tubeway_protocol::edit::Edits;
use tubeway_protocol::frame::LengthReader;
use tubeway_protocol::header::{RequestHeader, ResponseHeader};
use tubeway_protocol::records::codec::{self, WORKING_MEMORY};
use tubeway_protocol::records::{RecordsError, batches};
use tubeway_protocol::rewrite::{AddressRewriter, EndpointRewriter, fill_rack_id};
use tubeway_protocol::value::{Budget, Struct, decode};
use tubeway_protocol::walk::{Compression, Event, Interest, Mark, Span, Trailing, Walker};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What may be allocated whatever the input is: levels of a walk, an error, a small tree.
const SLACK: usize = 64 * 1024;
/// What decompression is allowed to produce here.
const LIMIT: usize = 256 * 1024;

/// A target's name, and the target.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 6] = [
    ("header", header),
    ("walk", walk),
    ("decode", decoded),
    ("rewrite", rewrite),
    ("records", records),
    ("decompress", decompress),
];

/// Runs `work`, which may have `most` bytes and the slack at one time.
fn within<T>(most: usize, work: impl FnOnce() -> T) -> T {
    // The tables are made once, by whoever comes first.
    Schemas::get();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken <= most + SLACK, "{taken} bytes, {most} allowed");
    result
}

/// Frame lengths and headers are read or refused, and lie within what was given.
pub fn header(input: &[u8]) {
    let Some(([api, version], bytes)) = input.split_first_chunk() else {
        return;
    };
    within(0, || {
        let mut rest = bytes;
        let _ = LengthReader::new(1 << 20).read(&mut rest);
        assert!(rest.len() + 4 >= bytes.len());
        let frame = bytes.len() as u32;
        for frame in [frame, frame + 1, 1 << 20] {
            if let Ok(Some(header)) = RequestHeader::read(bytes, frame) {
                assert!(header.length <= bytes.len());
            }
            let (api, version) = (ApiKey((*api).into()), (*version).into());
            if let Ok(Some(header)) = ResponseHeader::read(bytes, frame, api, version) {
                assert!(header.length <= bytes.len());
            }
        }
    });
}

/// A walk in chunks reports what a walk of the whole does, and its spans lie within the body.
pub fn walk(input: &[u8]) {
    let Some((layout, chunk, body)) = message(input) else {
        return;
    };
    let interest = everything(layout);
    let whole = walk_all(&interest, body, body.len());
    let parts = walk_all(&interest, body, chunk);
    assert_eq!(whole, parts);
    // Without a look at what is reported, which the test itself keeps.
    within(0, || {
        let end = body.len() as u64;
        let mut walker = Walker::new(interest, 0, end, Trailing::Allow);
        for chunk in body.chunks(chunk) {
            if walker.feed(chunk, |_| {}).is_err() {
                break;
            }
        }
    });
}

/// What decodes encodes to no more bytes, which decode to the same; and a walk agrees.
pub fn decoded(input: &[u8]) {
    let Some((layout, _, body)) = message(input) else {
        return;
    };
    let body = Bytes::copy_from_slice(body);
    // The body itself is the fourth.
    let bounded = within(3 * body.len(), || {
        decode(layout, &body, Budget::of(body.len())).is_ok()
    });
    let read = decode(layout, &body, Budget::bytes(1 << 24));
    assert!(!bounded || read.is_ok());
    let walked = walk_all(&Arc::new(Interest::none(layout)), &body, body.len());
    assert_eq!(walked.is_some(), read.is_ok());
    let Ok(read) = read else { return };
    let written = encode(&read);
    assert!(written.len() <= body.len());
    let again = decode(layout, &written.clone().into(), Budget::bytes(1 << 24));
    assert_eq!(encode(&again.expect("decodes again")), written);
}

/// Edits at any place, and rewritten addresses, endpoints and racks, leave a message that walks.
pub fn rewrite(input: &[u8]) {
    let Some((layout, chunk, body)) = message(input) else {
        return;
    };
    let (api, version) = (layout.api(), layout.version());
    edits(body);
    let none = Arc::new(Interest::none(layout));
    let good = walk_all(&none, body, body.len()).is_some();
    if layout.direction() == Direction::Request {
        if api == ApiKey::FETCH {
            let filled = within(3 * body.len(), || fill_rack_id(version, body, "zone-a"));
            if let (Ok(Some(filled)), true) = (filled, good) {
                assert!(walk_all(&none, &filled, filled.len()).is_some());
            }
        }
        return;
    }
    if let Some(rewriter) = AddressRewriter::new(api, version) {
        let map = |_: i32, host: &str, port: u16| Some((host.to_owned(), port ^ 1));
        let changed = within(3 * body.len(), || rewriter.rewrite(body, map));
        if let (Ok(Some(changed)), true) = (changed, good) {
            assert!(walk_all(&none, &changed, changed.len()).is_some());
        }
    }
    endpoints(layout, chunk, body, good);
}

fn edits(body: &[u8]) {
    let mut edits = Edits::new();
    for place in body.chunks_exact(3).take(4) {
        let (start, end) = (u64::from(place[0]), u64::from(place[1]));
        edits.replace(Span { start, end }, vec![place[2]; usize::from(place[2])]);
    }
    if let Ok(edited) = within(4 * body.len() + 2048, || edits.apply(body, 0)) {
        assert!(edited.len() <= body.len() + 4 * 255);
    }
}

fn endpoints(layout: &'static Layout, chunk: usize, body: &[u8], good: bool) {
    const MARK: Mark = Mark(1);
    let interest = Arc::new(EndpointRewriter::watch(Interest::none(layout), MARK));
    let end = body.len() as u64;
    let mut walker = Walker::new(interest, 0, end, Trailing::Allow);
    let mut rewriter = EndpointRewriter::new(MARK, 0, end);
    let mut out = Vec::with_capacity(body.len());
    let streamed = within(4 * body.len(), || {
        for chunk in body.chunks(chunk) {
            let fed = walker.feed(chunk, |event| rewriter.observe(&event));
            let map = |_: i32, _: &str, port: u16| Some(("h".to_owned(), port));
            let Ok(passed) = fed.map(|_| rewriter.pass(chunk, &walker, map)) else {
                return false;
            };
            let Ok(passed) = passed else { return false };
            out.extend(passed.before);
            out.extend_from_slice(&chunk[passed.chunk]);
            out.extend(passed.after);
        }
        true
    });
    if streamed && walker.is_done() {
        assert_eq!(out.len(), body.len());
        if good {
            let none = Arc::new(Interest::none(layout));
            assert!(walk_all(&none, &out, out.len()).is_some());
        }
    }
}

/// Records are read or refused, and are slices of what they are in.
pub fn records(input: &[u8]) {
    let mut read = 0u64;
    for batch in batches(input) {
        let Ok(batch) = batch else { return };
        let size = batch.bytes().len();
        assert!(size as u64 == batch.header().bytes);
        let _ = batch.check();
        let plain = batch.header().compression() == Compression::None;
        let allowed = if plain { 0 } else { 4 * LIMIT + WORKING_MEMORY };
        let outcome: Result<usize, RecordsError> = within(allowed, || {
            let records = batch.records(LIMIT)?;
            let mut bytes = 0;
            for record in &records {
                let record = record?;
                bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
                let headers = record.headers.iter().count();
                assert_eq!(headers, record.headers.count() as usize);
                read += 1;
            }
            assert!(bytes <= records.size());
            Ok(bytes)
        });
        if plain && let Ok(bytes) = outcome {
            assert!(bytes <= size);
        }
    }
    // A record takes seven bytes at least; a codec gives a thousand times as much at most.
    assert!(read <= 1 + input.len() as u64 * 1024);
}

/// Every codec stays within its limit, in bytes and in memory.
pub fn decompress(input: &[u8]) {
    let Some(([codec, magic, limit], bytes)) = input.split_first_chunk() else {
        return;
    };
    let codec = match codec % 4 {
        0 => Compression::Gzip,
        1 => Compression::Snappy,
        2 => Compression::Lz4,
        _ => Compression::Zstd,
    };
    let limit = usize::from(*limit) * LIMIT / 255;
    within(4 * limit + WORKING_MEMORY, || {
        if let Ok(out) = codec::decompress(codec, magic % 3, bytes, limit) {
            assert!(out.len() <= limit);
        }
    });
}

/// Which message, in what chunks, and the body.
fn message(input: &[u8]) -> Option<(&'static Layout, usize, &[u8])> {
    let ([api, version, chunk], body) = input.split_first_chunk()?;
    let direction = if version & 0x80 == 0 {
        Direction::Request
    } else {
        Direction::Response
    };
    let version = i16::from(version & 0x7f);
    let layout = Schemas::get().layout(ApiKey((*api).into()), version, direction);
    Some((layout.ok()?, usize::from(*chunk).max(1), body))
}

/// What chooses a layout in the first bytes of an input.
pub fn choose(layout: &Layout, chunk: u8) -> [u8; 3] {
    let response = u8::from(layout.direction() == Direction::Response) << 7;
    [
        layout.api().0 as u8,
        layout.version() as u8 | response,
        chunk,
    ]
}

fn everything(layout: &'static Layout) -> Arc<Interest> {
    let names: Vec<String> = layout
        .all_fields()
        .map(|id| format!("**.{}", layout.field(id).name()))
        .collect();
    let paths: Vec<(&str, Mark)> = names.iter().map(|name| (&**name, Mark(0))).collect();
    let interest = Interest::new(layout, &paths).expect("fields of this layout");
    Arc::new(interest.root_tags(Mark(1)).unknown_tags(Mark(2)))
}

/// The spans of all events, or `None` if the body is refused.
fn walk_all(interest: &Arc<Interest>, body: &[u8], chunk: usize) -> Option<Vec<Span>> {
    let end = body.len() as u64;
    let mut walker = Walker::new(interest.clone(), 0, end, Trailing::Refuse);
    let mut spans = Vec::new();
    let mut visit = |event: Event<'_>| {
        assert!(event.span.start <= event.span.end && event.span.end <= end);
        spans.push(event.span);
    };
    walker.feed(&[], &mut visit).ok()?;
    for chunk in body.chunks(chunk.max(1)) {
        walker.feed(chunk, &mut visit).ok()?;
    }
    assert!(walker.is_done());
    Some(spans)
}

fn encode(message: &Struct) -> Vec<u8> {
    let mut out = Vec::new();
    message
        .encode(&mut out)
        .expect("what was decoded can be encoded");
    out
}
