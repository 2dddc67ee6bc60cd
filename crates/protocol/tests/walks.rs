//! Walks against value trees, and at every split of the input.

mod common;

use std::sync::Arc;

use common::Random;
use proptest::prelude::*;
use tubeway_protocol::schema::{Field, Kind};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::walk::{
    Batch, Event, Interest, Mark, RecordsTotal, Span, Trailing, WalkError, WalkProblem, Walker,
    What,
};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

const ALL: Mark = Mark(1);
const START: u64 = 17;

/// An event that outlives its chunk.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Number(u64),
    Bytes(Vec<u8>),
    Plain(What<'static>),
}

fn seen(what: What<'_>) -> Seen {
    match what {
        What::Text(text) => Seen::Bytes(text.as_bytes().to_vec()),
        What::Bytes(bytes) => Seen::Bytes(bytes.to_vec()),
        What::Uuid(id) => Seen::Bytes(id.to_vec()),
        What::Int(value) => Seen::Number(value as u64),
        What::Float(value) => Seen::Number(value.to_bits()),
        What::Null => Seen::Plain(What::Null),
        What::TooLong(length) => Seen::Plain(What::TooLong(length)),
        What::ArrayStart(count) => Seen::Plain(What::ArrayStart(count)),
        What::ArrayEnd => Seen::Plain(What::ArrayEnd),
        What::StructStart => Seen::Plain(What::StructStart),
        What::StructEnd => Seen::Plain(What::StructEnd),
        What::RecordsStart(length) => Seen::Plain(What::RecordsStart(length)),
        What::Batch(batch) => Seen::Plain(What::Batch(batch)),
        What::RecordsEnd(total) => Seen::Plain(What::RecordsEnd(total)),
        What::Tags(count) => Seen::Plain(What::Tags(count)),
        What::UnknownTag(tag) => Seen::Plain(What::UnknownTag(tag)),
    }
}

/// Reports every field.
fn everything(layout: &'static Layout) -> Arc<Interest> {
    let names: Vec<String> = layout
        .all_fields()
        .map(|id| format!("**.{}", layout.field(id).name()))
        .collect();
    let paths: Vec<(&str, Mark)> = names.iter().map(|name| (name.as_str(), ALL)).collect();
    Arc::new(Interest::new(layout, &paths).unwrap().unknown_tags(ALL))
}

/// Walks chunks, and returns all events.
fn walk<'c>(
    interest: &Arc<Interest>,
    length: usize,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Result<Vec<(Span, Seen)>, WalkError> {
    let mut events = Vec::new();
    let end = START + length as u64;
    let mut walker = Walker::new(interest.clone(), START, end, Trailing::Refuse);
    let mut visit = |event: Event<'_>| events.push((event.span, seen(event.what)));
    walker.feed(&[], &mut visit)?;
    for chunk in chunks {
        assert_eq!(walker.feed(chunk, &mut visit)?, chunk.len());
    }
    assert!(walker.is_done(), "{} bytes remain", walker.remaining());
    Ok(events)
}

#[test]
fn walks_see_what_trees_have_at_every_split() {
    for layout in common::layouts() {
        let interest = everything(layout);
        for seed in 0..4 {
            let message = common::message(layout, &mut Random::new(seed));
            let bytes = common::encoded(&message);
            let name = format!("{}, seed {seed}", common::name(layout));
            let whole = walk(&interest, bytes.len(), [&bytes[..]])
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut model = Vec::new();
            expect_struct(&message, &mut model);
            let found: Vec<Seen> = whole.iter().map(|(_, seen)| seen.clone()).collect();
            assert_eq!(found, model, "{name}");
            let single = walk(&interest, bytes.len(), bytes.chunks(1)).unwrap();
            assert_eq!(single, whole, "{name}");
            // All of a short message's splits, and some of a long one's.
            for cut in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
                let (head, tail) = bytes.split_at(cut);
                assert_eq!(
                    walk(&interest, bytes.len(), [head, tail]).unwrap(),
                    whole,
                    "{name}"
                );
            }
            let none = Arc::new(Interest::none(layout));
            assert_eq!(walk(&none, bytes.len(), bytes.chunks(7)).unwrap(), []);
        }
    }
}

#[test]
fn shorter_and_longer_frames_are_refused() {
    for layout in common::layouts() {
        let interest = everything(layout);
        let bytes = common::encoded(&common::message(layout, &mut Random::new(3)));
        for cut in (0..bytes.len()).step_by(1 + bytes.len() / 32) {
            assert!(
                walk(&interest, cut, [&bytes[..cut]]).is_err(),
                "{}",
                common::name(layout)
            );
        }
        let mut longer = bytes.clone();
        longer.push(0);
        let error = walk(&interest, longer.len(), [&longer[..]]).unwrap_err();
        assert_eq!(
            error.problem,
            WalkProblem::Trailing(1),
            "{}",
            common::name(layout)
        );
        let end = longer.len() as u64;
        let mut walker = Walker::new(interest, 0, end, Trailing::Allow);
        assert_eq!(walker.feed(&longer, |_| {}).unwrap(), longer.len());
        assert!(walker.is_done());
    }
}

#[test]
fn a_produce_request_is_seen_for_what_it_is() {
    let layout = Schemas::get()
        .layout(ApiKey::PRODUCE, 9, Direction::Request)
        .unwrap();
    let [acks, name, index, records] = [Mark(1), Mark(2), Mark(3), Mark(4)];
    let paths = [
        ("Acks", acks),
        ("TopicData.Name", name),
        ("TopicData.TopicId", name),
        ("TopicData.PartitionData.Index", index),
        ("TopicData.PartitionData.Records", records),
    ];
    let interest = Arc::new(Interest::new(layout, &paths).unwrap());
    let mut body = vec![0, 0xff, 0xff, 0, 0, 0x75, 0x30, 2, 7];
    body.extend(b"orders");
    body.extend([2, 0, 0, 0, 5]);
    let mut batch = vec![0; 61];
    batch[11] = 49 + 10;
    batch[16] = 2;
    batch[22] = 0x10 | 4;
    batch[60] = 3;
    batch.extend([7; 10]);
    body.push(batch.len() as u8 + 1);
    body.extend(&batch);
    body.extend([0, 0, 0]);
    let mut seen = Vec::new();
    let mut walker = Walker::new(interest, 0, body.len() as u64, Trailing::Refuse);
    walker
        .feed(&body, |event| {
            let place = &body[event.span.start as usize..event.span.end as usize];
            match (event.mark, event.what) {
                (Mark(4), What::Batch(found)) => {
                    assert!(found.is_transactional() && !found.is_control());
                    assert_eq!((found.records, found.bytes), (3, 71));
                    assert_eq!(place, batch);
                }
                (Mark(4), What::RecordsEnd(total)) => {
                    let expected = RecordsTotal {
                        batches: 1,
                        records: 3,
                        bytes: 71,
                        partial: false,
                    };
                    assert_eq!(total, expected);
                }
                (_, what) => seen.push(format!("{} {what:?} {}", event.mark.0, place.len())),
            }
        })
        .unwrap();
    assert!(walker.is_done());
    assert_eq!(
        seen,
        [
            "1 Int(-1) 2",
            "2 Text(\"orders\") 7",
            "3 Int(5) 4",
            "4 RecordsStart(71) 1"
        ]
    );
}

#[test]
fn a_batch_cut_short_is_for_responses_only() {
    let mut random = Random::new(1);
    let mut records = Vec::new();
    while records.len() < 150 {
        records = common::records(&mut random);
    }
    for cut in [5, 16, 17, 18, 40, 60, records.len() - 1] {
        let records = &records[..cut];
        for direction in [Direction::Request, Direction::Response] {
            let api = match direction {
                Direction::Request => ApiKey::PRODUCE,
                Direction::Response => ApiKey::FETCH,
            };
            let layout = Schemas::get().layout(api, 4, direction).unwrap();
            let interest = everything(layout);
            let bytes = common::encoded(&with_records(layout, records));
            for chunk in [1, 9, 10_000] {
                let walked = walk(&interest, bytes.len(), bytes.chunks(chunk));
                if direction == Direction::Request {
                    assert!(matches!(walked.unwrap_err().problem, WalkProblem::Batch(_)));
                    continue;
                }
                let totals = walked
                    .unwrap()
                    .into_iter()
                    .find_map(|(_, seen)| match seen {
                        Seen::Plain(What::RecordsEnd(total)) => Some(total),
                        _ => None,
                    });
                let total = totals.unwrap();
                assert!(total.partial && total.bytes == cut as u64, "{total:?}");
            }
        }
    }
}

/// A message with one topic, one partition, and these records.
fn with_records(layout: &'static Layout, records: &[u8]) -> Struct {
    let (topics, partitions) = match layout.direction() {
        Direction::Request => ("TopicData", "PartitionData"),
        Direction::Response => ("Responses", "Partitions"),
    };
    let mut message = Struct::message(layout);
    let mut topic = message.child(topics).unwrap();
    let mut partition = topic.child(partitions).unwrap();
    partition.set("Records", Value::Records(records.to_vec().into()));
    topic.set(partitions, vec![partition]);
    message.set(topics, vec![topic]);
    message
}

#[test]
fn long_strings_are_not_captured() {
    let layout = Schemas::get()
        .layout(ApiKey::DELETE_TOPICS, 1, Direction::Request)
        .unwrap();
    let mut message = Struct::message(layout);
    message.set(
        "TopicNames",
        Value::Array(vec!["abcdef".into(), "abc".into()]),
    );
    let bytes = common::encoded(&message);
    let interest = Interest::new(layout, &[("TopicNames", ALL)])
        .unwrap()
        .capture(5);
    let events = walk(&Arc::new(interest), bytes.len(), bytes.chunks(2)).unwrap();
    assert_eq!(events[1].1, Seen::Plain(What::TooLong(6)));
    assert_eq!(events[2].1, Seen::Bytes(b"abc".to_vec()));
}

#[test]
fn paths_are_checked() {
    let layout = Schemas::get()
        .layout(ApiKey::PRODUCE, 3, Direction::Request)
        .unwrap();
    assert!(Interest::new(layout, &[("TopicData.TopicId", ALL)]).is_ok());
    let error = Interest::new(layout, &[("TopicData.Nmae", ALL)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no version of the Produce Request has a field TopicData.Nmae"
    );
}

#[test]
fn tags_rise_and_keep_their_length() {
    let layout = Schemas::get()
        .layout(ApiKey::FETCH, 12, Direction::Request)
        .unwrap();
    let plain = common::encoded(&Struct::message(layout));
    let interest = Arc::new(Interest::none(layout));
    let check = |tags: &[u8]| {
        let mut bytes = plain.clone();
        bytes.pop();
        bytes.extend(tags);
        walk(&interest, bytes.len(), bytes.chunks(3)).map_err(|error| error.problem)
    };
    assert!(check(&[2, 0, 2, 2, b'x', 9, 1, 0]).is_ok());
    let order = WalkProblem::TagOrder { tag: 9, last: 9 };
    assert_eq!(check(&[2, 9, 1, 0, 9, 1, 0]), Err(order));
    assert_eq!(check(&[1, 0, 3, 2, b'x', 0]), Err(WalkProblem::TagLength));
    assert_eq!(check(&[1, 0, 1, 2, b'x']), Err(WalkProblem::Overrun));
    assert_eq!(
        check(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]),
        Err(WalkProblem::Overrun)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_are_walked_or_refused_alike(
        which: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..150),
        chunk in 1usize..40,
    ) {
        let layouts = common::layouts();
        let layout = layouts[which.index(layouts.len())];
        let interest = everything(layout);
        let whole = walk(&interest, bytes.len(), [&bytes[..]]);
        let parts = walk(&interest, bytes.len(), bytes.chunks(chunk));
        prop_assert_eq!(whole.is_ok(), parts.is_ok());
        if let (Ok(whole), Ok(parts)) = (whole, parts) {
            prop_assert_eq!(whole, parts);
        }
    }

    #[test]
    fn flipped_bytes_are_walked_or_refused_alike(
        which: prop::sample::Index,
        seed: u64,
        at: prop::sample::Index,
        to: u8,
        chunk in 1usize..40,
    ) {
        let layouts = common::layouts();
        let layout = layouts[which.index(layouts.len())];
        let mut bytes = common::encoded(&common::message(layout, &mut Random::new(seed)));
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] = to;
        let interest = everything(layout);
        let whole = walk(&interest, bytes.len(), [&bytes[..]]);
        let parts = walk(&interest, bytes.len(), bytes.chunks(chunk));
        prop_assert_eq!(whole.is_ok(), parts.is_ok());
        let budget = tubeway_protocol::value::Budget::bytes(1 << 20);
        let none = Arc::new(Interest::none(layout));
        let walked = walk(&none, bytes.len(), [&bytes[..]]).is_ok();
        let decoded = tubeway_protocol::value::decode(layout, &bytes.into(), budget).is_ok();
        prop_assert_eq!(walked, decoded);
    }
}

// What a walk should report of a tree, written without a look at the walker.

fn expect_struct(of: &Struct, out: &mut Vec<Seen>) {
    let mut unknown = of.unknown_tags().iter().map(|(tag, _)| *tag).peekable();
    for (field, value) in of.fields() {
        let tag = field.tag();
        while let Some(before) = unknown.next_if(|before| tag.is_some_and(|tag| *before < tag)) {
            out.push(Seen::Plain(What::UnknownTag(before)));
        }
        if *value != Value::Absent {
            expect(field, value, out);
        }
    }
    out.extend(unknown.map(|tag| Seen::Plain(What::UnknownTag(tag))));
}

fn expect(field: &Field, value: &Value, out: &mut Vec<Seen>) {
    match value {
        Value::Absent => {}
        Value::Null => out.push(Seen::Plain(What::Null)),
        Value::Float64(value) => out.push(Seen::Number(value.to_bits())),
        Value::Uuid(id) => out.push(Seen::Bytes(id.to_vec())),
        Value::String(bytes) | Value::Bytes(bytes) => out.push(Seen::Bytes(bytes.to_vec())),
        Value::Records(bytes) => expect_records(bytes, out),
        Value::Struct(inner) => {
            out.push(Seen::Plain(What::StructStart));
            expect_struct(inner, out);
            out.push(Seen::Plain(What::StructEnd));
        }
        Value::Array(values) => {
            out.push(Seen::Plain(What::ArrayStart(values.len() as u32)));
            for value in values {
                expect(field, value, out);
            }
            out.push(Seen::Plain(What::ArrayEnd));
        }
        Value::Packed(bytes) => {
            let size = field.kind().size().unwrap() as usize;
            out.push(Seen::Plain(What::ArrayStart((bytes.len() / size) as u32)));
            out.extend(bytes.chunks(size).map(|bytes| packed(field.kind(), bytes)));
            out.push(Seen::Plain(What::ArrayEnd));
        }
        number => out.push(Seen::Number(number.as_int().unwrap() as u64)),
    }
}

fn packed(kind: Kind, bytes: &[u8]) -> Seen {
    if kind == Kind::Uuid {
        return Seen::Bytes(bytes.to_vec());
    }
    let negative = bytes[0] & 0x80 != 0;
    let value = bytes
        .iter()
        .fold(if negative { -1i64 } else { 0 }, |value, byte| {
            value << 8 | i64::from(*byte)
        });
    Seen::Number(value as u64)
}

fn expect_records(mut bytes: &[u8], out: &mut Vec<Seen>) {
    out.push(Seen::Plain(What::RecordsStart(bytes.len() as u32)));
    let mut total = RecordsTotal {
        bytes: bytes.len() as u64,
        ..RecordsTotal::default()
    };
    while !bytes.is_empty() {
        let (batch, _) = Batch::read(bytes).unwrap().unwrap();
        total.batches += 1;
        total.records += u64::from(batch.records);
        bytes = &bytes[batch.bytes as usize..];
        out.push(Seen::Plain(What::Batch(batch)));
    }
    out.push(Seen::Plain(What::RecordsEnd(total)));
}
