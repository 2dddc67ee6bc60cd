//! Messages at random, there and back.

mod common;

use bytes::Bytes;
use common::Random;
use proptest::prelude::*;
use tubeway_protocol::value::{Budget, DecodeProblem, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};

/// Messages of each wire form.
const CASES: u64 = 40;
/// Those of them that are also cut short at every byte.
const CUT_CASES: u64 = 5;

#[test]
fn every_message_comes_back_byte_for_byte() {
    for layout in common::layouts() {
        for seed in 0..CASES {
            let message = common::message(layout, &mut Random::new(seed));
            let bytes = Bytes::from(common::encoded(&message));
            let name = common::name(layout);
            let read = decode(layout, &bytes, Budget::of(bytes.len()))
                .unwrap_or_else(|error| panic!("{name}, seed {seed}: {error}"));
            assert_eq!(read, message, "{name}, seed {seed}");
            assert_eq!(common::encoded(&read), bytes, "{name}, seed {seed}");
            if seed >= CUT_CASES {
                continue;
            }
            for cut in 0..bytes.len() {
                let short = bytes.slice(..cut);
                assert!(
                    decode(layout, &short, Budget::of(cut)).is_err(),
                    "{name}, cut {cut}"
                );
            }
        }
    }
}

#[test]
fn many_small_things_are_refused() {
    let layout = Schemas::get()
        .layout(ApiKey::DELETE_TOPICS, 4, Direction::Request)
        .unwrap();
    let mut message = Struct::message(layout);
    let names = vec![Value::from(""); 100_000];
    assert!(message.set("TopicNames", Value::Array(names)));
    let bytes = Bytes::from(common::encoded(&message));
    let error = decode(layout, &bytes, Budget::of(bytes.len())).unwrap_err();
    assert!(
        matches!(error.problem, DecodeProblem::Amplifies(_)),
        "{error}"
    );
    assert!(decode(layout, &bytes, Budget::bytes(16 << 20)).is_ok());
}

#[test]
fn an_endless_count_takes_nothing() {
    let layout = Schemas::get()
        .layout(ApiKey::METADATA, 1, Direction::Request)
        .unwrap();
    let bytes = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff]);
    let error = decode(layout, &bytes, Budget::of(4)).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::Overrun);
}

#[test]
fn wrong_values_are_not_encoded() {
    let layout = Schemas::get()
        .layout(ApiKey::METADATA, 0, Direction::Request)
        .unwrap();
    let mut message = Struct::message(layout);
    let mut out = Vec::new();
    message.set("Topics", Value::Null);
    assert!(message.encode(&mut out).is_err());
    message.set("Topics", 5i32);
    assert!(message.encode(&mut out).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_are_decoded_or_refused(
        which: prop::sample::Index,
        bytes in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        let layouts = common::layouts();
        let layout = layouts[which.index(layouts.len())];
        let bytes = Bytes::from(bytes);
        if let Ok(message) = decode(layout, &bytes, Budget::of(bytes.len())) {
            // Long forms of numbers are read, and written short.
            prop_assert!(common::encoded(&message).len() <= bytes.len());
        }
    }
}
