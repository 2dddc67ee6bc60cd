//! Encodings against those of Kafka's own serializers, for every API, version and direction.
//!
//! `kafka/encodings.txt` was written by `kafka/Encodings.java`, which says how.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use tubeway_protocol::schema::{Field, Kind};
use tubeway_protocol::value::{Budget, Struct, Value, decode};
use tubeway_protocol::{ApiKey, Direction};

/// By API, version and direction: of the newest release that has it, the default message's
/// length and checksum, and the filled one's.
fn encodings() -> BTreeMap<(i16, i16, Direction), [&'static str; 2]> {
    let mut encodings = BTreeMap::new();
    for line in include_str!("kafka/encodings.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_release, api, version, direction, default, filled] = words[..] else {
            panic!("{line}")
        };
        let direction = match direction {
            "request" => Direction::Request,
            _ => Direction::Response,
        };
        // Later releases come later, and win.
        let key = (api.parse().unwrap(), version.parse().unwrap(), direction);
        encodings.insert(key, [default, filled]);
    }
    encodings
}

#[test]
fn kafka_encodes_the_same() {
    let mut expected = encodings();
    for layout in common::layouts() {
        let name = common::name(layout);
        let key = (layout.api().0, layout.version(), layout.direction());
        let [default, filled] = expected
            .remove(&key)
            .unwrap_or_else(|| panic!("Kafka has no {name}"));
        let message = Struct::message(layout);
        assert_eq!(
            encoding(&message),
            default,
            "{name}, at its defaults: {message:?}"
        );
        let message = fill(message);
        assert_eq!(encoding(&message), filled, "{name}, filled: {message:?}");
        let bytes = Bytes::from(common::encoded(&message));
        assert_eq!(
            decode(layout, &bytes, Budget::of(bytes.len())),
            Ok(message),
            "{name}"
        );
    }
    assert_eq!(
        expected.keys().collect::<Vec<_>>(),
        Vec::<&(i16, i16, Direction)>::new()
    );
    assert_eq!(ApiKey::PRODUCE.name(), Some("Produce"));
}

fn encoding(message: &Struct) -> String {
    let bytes = common::encoded(message);
    format!("{}:{:x}", bytes.len(), crc32c::crc32c(&bytes))
}

/// Sets every field as `Encodings.java` does.
fn fill(mut of: Struct) -> Struct {
    let fields: Vec<&'static Field> = of.fields().map(|(field, _)| field).collect();
    for field in fields {
        let value = match (field.is_array(), field.kind().size()) {
            (false, _) => single(&of, field),
            (true, None) => Value::Array(vec![single(&of, field)]),
            (true, Some(_)) => Value::Packed(packed(field.kind()).into()),
        };
        of.set(field.name(), value);
    }
    of
}

fn single(of: &Struct, field: &Field) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(true),
        Kind::Int8 => Value::Int8(7),
        Kind::Int16 => Value::Int16(8),
        Kind::Uint16 => Value::Uint16(9),
        Kind::Int32 => Value::Int32(9),
        Kind::Int64 => Value::Int64(10),
        Kind::Float64 => Value::Float64(1.5),
        Kind::Uuid => Value::Uuid([0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]),
        Kind::String => Value::from("text"),
        Kind::Bytes => Value::Bytes(Bytes::from_static(&[1, 2, 3])),
        Kind::Records => Value::Records(Bytes::from_static(&[1, 2, 3, 4])),
        Kind::Struct(_) => fill(of.child(field.name()).unwrap()).into(),
    }
}

fn packed(kind: Kind) -> Vec<u8> {
    match kind {
        Kind::Int8 => vec![7],
        Kind::Int16 => vec![0, 8],
        Kind::Int32 => vec![0, 0, 0, 9],
        Kind::Int64 => vec![0, 0, 0, 0, 0, 0, 0, 10],
        Kind::Uuid => vec![0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2],
        other => panic!("no schema has an array of {other:?}"),
    }
}
