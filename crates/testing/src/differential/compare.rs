//! Where two messages differ, for people.

use tubeway_protocol::value::{Struct, Value};

/// Most lines of one difference.
const LINES: usize = 30;

/// Lines `path: left | right`, one for each field that differs; names, numbers
/// and lengths, never records. Empty if nothing does.
pub fn differences(left: &Struct, right: &Struct) -> Vec<String> {
    let mut found = Vec::new();
    structs("", left, right, &mut found);
    let more = found.len().saturating_sub(LINES);
    found.truncate(LINES);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    found
}

fn structs(path: &str, left: &Struct, right: &Struct, found: &mut Vec<String>) {
    for ((field, a), (_, b)) in left.fields().zip(right.fields()) {
        values(&format!("{path}.{}", field.name()), a, b, found);
    }
    if left.unknown_tags() != right.unknown_tags() {
        found.push(format!("{path}: unknown tagged fields"));
    }
}

fn values(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    match (left, right) {
        (Value::Struct(a), Value::Struct(b)) => structs(path, a, b, found),
        (Value::Array(a), Value::Array(b)) => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                values(&format!("{path}[{i}]"), a, b, found);
            }
            let both = a.len().min(b.len());
            found.extend(a.iter().enumerate().skip(both).map(|(i, a)| {
                let a = shown(a);
                format!("{path}[{i}]: {a} | nothing")
            }));
            found.extend(b.iter().enumerate().skip(both).map(|(i, b)| {
                let b = shown(b);
                format!("{path}[{i}]: nothing | {b}")
            }));
        }
        (a, b) if a != b => found.push(format!("{path}: {} | {}", shown(a), shown(b))),
        _ => {}
    }
}

/// A value on one line; names as they are, since the fixtures' are no secrets.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{:?}", String::from_utf8_lossy(text)),
        Value::Struct(inner) => {
            let fields = inner
                .fields()
                .filter(|(_, value)| !matches!(value, Value::Absent))
                .map(|(field, value)| format!("{}: {}", field.name(), shown(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Packed(bytes) => format!("packed {:02x?}", &bytes[..bytes.len().min(32)]),
        other => format!("{other:?}"),
    }
}

/// A whole message on one line.
pub fn one_line(message: &Struct) -> String {
    shown(&Value::Struct(Box::new(message.clone())))
}
