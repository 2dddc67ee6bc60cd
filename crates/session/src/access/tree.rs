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

/// The UTF-16 code units of a name: how Java compares and hashes strings.
pub(super) fn utf16(text: &[u8]) -> Vec<u16> {
    String::from_utf8_lossy(text).encode_utf16().collect()
}

/// How Java orders strings.
pub(super) fn java_order(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    utf16(a).cmp(&utf16(b))
}

/// Sorts names as a `java.util.HashSet` of them lists them, where brokers answer
/// in that order. `all` is how many names are in the set.
pub(super) fn java_set_order<T>(entries: &mut [T], all: usize, name: impl Fn(&T) -> Bytes) {
    // A table of 16 doubles when it is more than three quarters full.
    let mut slots: u32 = 16;
    while all as u64 * 4 > u64::from(slots) * 3 {
        slots *= 2;
    }
    entries.sort_by_cached_key(|entry| {
        let units = utf16(&name(entry)).into_iter();
        let hash = units.fold(0_u32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(u32::from(unit))
        });
        (hash ^ (hash >> 16)) & (slots - 1)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_javas_order() {
        let sorted = |names: &[&'static str]| {
            let mut names = names.to_vec();
            let all = names.len();
            java_set_order(&mut names, all, |name| Bytes::from_static(name.as_bytes()));
            names
        };
        // Lists of a broker of Kafka 4.3.
        assert_eq!(sorted(&["gone", "no", "never"]), ["no", "never", "gone"]);
        assert_eq!(java_order(b"a", b"b"), std::cmp::Ordering::Less);
        // A letter beyond 16 bits is two units, which come before some within.
        let (far, near) = ("\u{10000}", "\u{ffff}");
        assert_eq!(
            java_order(far.as_bytes(), near.as_bytes()),
            std::cmp::Ordering::Less
        );
    }
}
