//! Reading and changing trees of values in the ways that access needs.

use bytes::Bytes;
use tubeway_protocol::value::{Struct, Value};

/// The id that is none.
pub(super) const NO_ID: [u8; 16] = [0; 16];

/// The bytes of a string field; none at all if it is null or not there.
pub(super) fn bytes(of: &Struct, field: &str) -> Bytes {
    nullable_bytes(of, field).unwrap_or_default()
}

pub(super) fn nullable_bytes(of: &Struct, field: &str) -> Option<Bytes> {
    match of.get(field) {
        Some(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

pub(super) fn uuid(of: &Struct, field: &str) -> [u8; 16] {
    match of.get(field) {
        Some(Value::Uuid(id)) => *id,
        _ => NO_ID,
    }
}

pub(super) fn values<'a>(of: &'a Struct, field: &str) -> &'a [Value] {
    match of.get(field) {
        Some(Value::Array(values)) => values,
        _ => &[],
    }
}

/// The strings of an array of strings.
pub(super) fn strings(of: &Struct, field: &str) -> Vec<Bytes> {
    let text = |value: &Value| value.as_bytes().cloned();
    values(of, field).iter().filter_map(text).collect()
}

/// The numbers of an array of 32-bit integers.
pub(super) fn ints(of: &Struct, field: &str) -> Vec<i32> {
    let packed = of.get(field).and_then(Value::as_bytes);
    let int = |chunk: &[u8]| i32::from_be_bytes(chunk.try_into().unwrap_or_default());
    packed.map_or_else(Vec::new, |packed| packed.chunks_exact(4).map(int).collect())
}

pub(super) fn is_null(of: &Struct, field: &str) -> bool {
    matches!(of.get(field), Some(Value::Null))
}

/// The elements of an array field, to be changed; none if it is null or not there.
pub(super) fn array<'a>(of: &'a mut Struct, field: &str) -> Option<&'a mut Vec<Value>> {
    match of.get_mut(field) {
        Some(Value::Array(values)) => Some(values),
        _ => None,
    }
}

/// The structs of an array field, to be changed.
pub(super) fn structs_mut<'a>(
    of: &'a mut Struct,
    field: &str,
) -> impl Iterator<Item = &'a mut Struct> {
    let values = match of.get_mut(field) {
        Some(Value::Array(values)) => values.as_mut_slice(),
        _ => &mut [],
    };
    values.iter_mut().filter_map(|value| match value {
        Value::Struct(inner) => Some(&mut **inner),
        _ => None,
    })
}

/// Keeps the structs of an array field that `keep` says yes to.
pub(super) fn retain(of: &mut Struct, field: &str, mut keep: impl FnMut(&Struct) -> bool) {
    if let Some(values) = array(of, field) {
        values.retain(|value| match value {
            Value::Struct(inner) => keep(inner),
            _ => true,
        });
    }
}

/// An element for the array at `field` of `of`, to be filled in.
///
/// The fields are those of this crate's tables; one that is not there makes an
/// element of the wrong kind, which does not encode, and which the tests find.
pub(super) fn element(of: &Struct, field: &str) -> Struct {
    of.child(field).unwrap_or_else(|| of.clone())
}

pub(super) fn push(of: &mut Struct, field: &str, value: impl Into<Value>) {
    if let Some(values) = array(of, field) {
        values.push(value.into());
    }
}

pub(super) fn text(bytes: &Bytes) -> Value {
    Value::String(bytes.clone())
}

/// `text`, or null.
pub(super) fn nullable(bytes: Option<Bytes>) -> Value {
    bytes.map_or(Value::Null, Value::String)
}

/// How Java orders strings: by UTF-16 code units.
pub(super) fn java_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    let units = |text: &[u8]| {
        String::from_utf8_lossy(text)
            .encode_utf16()
            .collect::<Vec<_>>()
    };
    units(a).cmp(&units(b))
}
