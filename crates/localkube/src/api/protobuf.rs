//! Kubernetes' protobuf, as far as bodies of requests need it.
//!
//! Go clients of built-in kinds (`kubectl create`, `kubectl auth can-i`) send protobuf and accept
//! JSON. Messages are turned into the JSON that the same client would have sent, by a table of
//! field numbers; fields that the table does not have are newer than this server and are left out.

mod wire;

use std::collections::HashMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use wire::{Field, Reader};

pub(crate) use wire::WireError;

/// Media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// First bytes of every message.
const MAGIC: &[u8] = b"k8s\0";

/// How deep messages may lie in each other; real objects do not reach 20.
const DEPTH: usize = 64;

/// One field of a message.
struct Known {
    name: &'static str,
    kind: Kind,
    /// Whether a zero value means something other than "not there".
    optional: bool,
    shape: Shape,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Single,
    List,
    Map,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Bytes,
    Int,
    Bool,
    Double,
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    Json,
    /// A list of texts that is a message of its own.
    Items,
    Message(&'static str),
}

type Messages = HashMap<&'static str, HashMap<u32, Known>>;

static MESSAGES: LazyLock<Messages> =
    LazyLock::new(|| parse_table(include_str!("protobuf/messages.txt")));

/// Decodes an object with its envelope.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, WireError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(WireError::Envelope)?;
    let (mut version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Reader::new(body) {
        match field? {
            (1, Field::Bytes(type_meta)) => {
                for field in Reader::new(type_meta) {
                    match field? {
                        (1, Field::Bytes(text)) => version = wire::text(text)?,
                        (2, Field::Bytes(text)) => kind = wire::text(text)?,
                        _ => {}
                    }
                }
            }
            (2, Field::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let name = message_name(&version, &kind);
    let (name, _) = MESSAGES.get_key_value(&*name).ok_or(WireError::Kind {
        version: version.clone(),
        kind: kind.clone(),
    })?;
    let mut object = message(name, raw, DEPTH)?;
    object.insert("apiVersion".into(), version.into());
    object.insert("kind".into(), kind.into());
    Ok(Value::Object(object))
}

/// `rbac.RoleBinding`: the first word of the group, and the kind.
fn message_name(version: &str, kind: &str) -> String {
    if kind == "DeleteOptions" {
        return "meta.DeleteOptions".into();
    }
    let group = version.split_once('/').map_or("core", |(group, _)| group);
    format!("{}.{kind}", group.split('.').next().unwrap_or_default())
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError::Depth)?;
    let known = MESSAGES.get(name);
    let mut object = Map::new();
    for field in Reader::new(bytes) {
        let (number, field) = field?;
        let Some(known) = known.and_then(|known| known.get(&number)) else {
            continue;
        };
        match known.shape {
            Shape::Map => {
                let (key, value) = entry(known.kind, field, depth)?;
                object.entry(known.name).or_insert_with(|| json!({}))[key] = value;
            }
            Shape::List => {
                let value = value(known.kind, field, depth)?;
                match object.entry(known.name).or_insert_with(|| json!([])) {
                    Value::Array(list) => list.push(value),
                    other => *other = value,
                }
            }
            Shape::Single => {
                let value = value(known.kind, field, depth)?;
                match value {
                    // A struct whose fields are those of this object.
                    Value::Object(fields) if known.name == "-" => object.extend(fields),
                    value if known.optional || !is_zero(&value) => {
                        object.insert(known.name.into(), value);
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(object)
}

fn entry(kind: Kind, field: Field<'_>, depth: usize) -> Result<(String, Value), WireError> {
    let (mut key, mut found) = (String::new(), Value::Null);
    for field in Reader::new(field.bytes()?) {
        match field? {
            (1, Field::Bytes(bytes)) => key = wire::text(bytes)?,
            (2, field) => found = value(kind, field, depth)?,
            _ => {}
        }
    }
    if found.is_null() {
        found = value(kind, Field::Bytes(&[]), depth).unwrap_or_default();
    }
    Ok((key, found))
}

fn value(kind: Kind, field: Field<'_>, depth: usize) -> Result<Value, WireError> {
    Ok(match kind {
        Kind::Text => wire::text(field.bytes()?)?.into(),
        Kind::Bytes => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD
                .encode(field.bytes()?)
                .into()
        }
        Kind::Int => field.int()?.into(),
        Kind::Bool => (field.int()? != 0).into(),
        Kind::Double => f64::from_bits(field.fixed64()?).into(),
        Kind::Time => time(field.bytes()?, false)?,
        Kind::MicroTime => time(field.bytes()?, true)?,
        Kind::Duration => {
            let nanoseconds = single_int(field.bytes()?, 1)?;
            format!("{}s", nanoseconds / 1_000_000_000).into()
        }
        Kind::Quantity => single_text(field.bytes()?, 1)?.into(),
        Kind::IntOrString => {
            let bytes = field.bytes()?;
            if single_int(bytes, 1)? == 0 {
                single_int(bytes, 2)?.into()
            } else {
                single_text(bytes, 3)?.into()
            }
        }
        Kind::Json => {
            let text = single_text(field.bytes()?, 1)?;
            if text.is_empty() {
                Value::Null
            } else {
                serde_json::from_str(&text).map_err(|_| WireError::Json)?
            }
        }
        Kind::Items => {
            let mut items = Vec::new();
            for field in Reader::new(field.bytes()?) {
                if let (1, field) = field? {
                    items.push(wire::text(field.bytes()?)?);
                }
            }
            json!(items)
        }
        Kind::Message(name) => Value::Object(message(name, field.bytes()?, depth)?),
    })
}

/// What Go's `omitempty` leaves out.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Seconds and nanoseconds; nothing is no time at all.
fn time(bytes: &[u8], micro: bool) -> Result<Value, WireError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let nanoseconds = i32::try_from(single_int(bytes, 2)?).map_err(|_| WireError::Time)?;
    let time = Timestamp::new(single_int(bytes, 1)?, nanoseconds).map_err(|_| WireError::Time)?;
    let text = if micro {
        time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    } else {
        time.strftime("%Y-%m-%dT%H:%M:%SZ")
    };
    Ok(text.to_string().into())
}

fn single_int(bytes: &[u8], wanted: u32) -> Result<i64, WireError> {
    let mut found = 0;
    for field in Reader::new(bytes) {
        match field? {
            (number, field) if number == wanted => found = field.int()?,
            _ => {}
        }
    }
    Ok(found)
}

fn single_text(bytes: &[u8], wanted: u32) -> Result<String, WireError> {
    let mut found = String::new();
    for field in Reader::new(bytes) {
        match field? {
            (number, field) if number == wanted => found = wire::text(field.bytes()?)?,
            _ => {}
        }
    }
    Ok(found)
}

fn parse_table(text: &'static str) -> Messages {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let mut words = line.split(' ');
            let name = words.next()?;
            let fields = words.filter_map(|word| {
                let (number, rest) = word.split_once('=')?;
                let (name, kind) = rest.split_once(':')?;
                Some((number.parse().ok()?, Known::parse(name, kind)))
            });
            Some((name, fields.collect()))
        })
        .collect()
}

// === impl Known ===

impl Known {
    fn parse(name: &'static str, kind: &'static str) -> Self {
        let (optional, kind) = kind
            .strip_prefix('?')
            .map_or((false, kind), |rest| (true, rest));
        let (shape, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
            (Some(rest), _) => (Shape::List, rest),
            (_, Some(rest)) => (Shape::Map, rest),
            _ => (Shape::Single, kind),
        };
        let kind = match kind {
            "string" => Kind::Text,
            "bytes" => Kind::Bytes,
            "int" => Kind::Int,
            "bool" => Kind::Bool,
            "double" => Kind::Double,
            "time" => Kind::Time,
            "microtime" => Kind::MicroTime,
            "duration" => Kind::Duration,
            "quantity" => Kind::Quantity,
            "intorstring" => Kind::IntOrString,
            "json" => Kind::Json,
            "items" => Kind::Items,
            message => Kind::Message(message),
        };
        Self {
            name,
            kind,
            optional,
            shape,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field of bytes.
    fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [part(1, version.as_bytes()), part(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), part(1, &type_meta), part(2, raw)].concat()
    }

    #[test]
    fn an_object_is_what_its_json_would_be() {
        let label = [part(1, b"a"), part(2, b"b")].concat();
        let metadata = [
            part(1, b"web"),
            part(2, b""),
            part(8, b""),
            part(11, &label),
        ]
        .concat();
        let target = [&[0x08, 0][..], &[0x10, 0x90, 0x3f]].concat();
        let port = [
            part(1, b"http"),
            vec![0x18, 80],
            part(4, &target),
            vec![0x28, 0],
        ]
        .concat();
        let spec = [part(1, &port), part(3, b"")].concat();
        let service = [part(1, &metadata), part(2, &spec), part(3, &part(1, b""))].concat();
        let value = decode(&envelope("v1", "Service", &service)).unwrap();
        assert_eq!(
            value,
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "web", "labels": {"a": "b"}},
                "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            })
        );
    }

    #[test]
    fn a_pointer_to_zero_is_no_absence() {
        let options = decode(&envelope("policy/v1", "DeleteOptions", &[0x08, 0])).unwrap();
        assert_eq!(options["gracePeriodSeconds"], 0);
    }

    #[test]
    fn every_type_of_the_table_is_in_it() {
        for (name, fields) in MESSAGES.iter() {
            for known in fields.values() {
                if let Kind::Message(inner) = known.kind {
                    assert!(
                        MESSAGES.contains_key(inner),
                        "{name}.{} is a {inner}",
                        known.name
                    );
                }
            }
        }
        let kinds = crate::resource::BUILTIN
            .iter()
            .filter(|r| r.group != "apiextensions.k8s.io");
        for resource in kinds {
            let name = message_name(&resource.api_version(), &resource.kind);
            assert!(MESSAGES.contains_key(&*name), "{name}");
        }
    }

    #[test]
    fn what_is_cut_or_deep_is_refused() {
        let whole = envelope("v1", "ConfigMap", &part(1, &part(1, b"name")));
        for end in 0..whole.len() {
            let _ = decode(&whole[..end]);
        }
        assert!(decode(&whole[..whole.len() - 1]).is_err());
        assert!(matches!(
            decode(&envelope("v9", "Nothing", b"")),
            Err(WireError::Kind { .. })
        ));
        assert!(matches!(decode(b"{}"), Err(WireError::Envelope)));
    }
}
