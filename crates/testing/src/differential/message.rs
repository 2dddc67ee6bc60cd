//! Requests as JSON: one text for every version of an API.
//!
//! Names of fields are Kafka's. A field that a version does not have is left
//! out, so that a case can name those of all versions. Fields that are not
//! named have their defaults.
//!
//! | field | value |
//! |---|---|
//! | uuid | a topic's name, for the id it has on the side the request goes to; or 32 hexadecimal digits |
//! | bytes | a text, or an array of byte values |
//! | records | an array of byte values, as [`super::records`] makes them; `null` |
//! | any | `"$name"`: what the case has kept under that name for the side |

use bytes::Bytes;
use serde_json::Value as Json;
use tubeway_protocol::schema::{Field, Kind, UnknownMessage};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};

/// What a message may refer to.
pub trait Lookup {
    /// The topic's id on this side; an id that is nobody's for a topic that does not exist.
    fn topic_id(&self, name: &str) -> [u8; 16];
    /// What was kept under this name.
    fn kept(&self, name: &str) -> Option<Json>;
}

/// Makes the request of this API and version that `fields` describes.
///
/// Panics where the value is not of the field's type: cases are constants.
pub fn request(
    api: ApiKey,
    version: i16,
    fields: &Json,
    side: &dyn Lookup,
) -> Result<Struct, UnknownMessage> {
    let layout = Schemas::get().layout(api, version, Direction::Request)?;
    Ok(filled(Struct::message(layout), fields, side))
}

fn filled(mut of: Struct, json: &Json, side: &dyn Lookup) -> Struct {
    let Json::Object(given) = json else {
        panic!("{json} is no object of fields");
    };
    let fields: Vec<&'static Field> = of.fields().map(|(field, _)| field).collect();
    for field in fields {
        if let Some(json) = given.get(field.name()) {
            let json = resolved(json, side);
            let value = value(&of, field, &json, side);
            of.set(field.name(), value);
        }
    }
    of
}

fn resolved(json: &Json, side: &dyn Lookup) -> Json {
    match json.as_str().and_then(|text| text.strip_prefix('$')) {
        Some(name) => side
            .kept(name)
            .unwrap_or_else(|| panic!("nothing is kept as {name}")),
        None => json.clone(),
    }
}

fn value(of: &Struct, field: &Field, json: &Json, side: &dyn Lookup) -> Value {
    if json.is_null() {
        return Value::Null;
    }
    if !field.is_array() {
        return single(of, field, json, side);
    }
    let Json::Array(items) = json else {
        panic!("{} is an array, not {json}", field.name());
    };
    let values = items
        .iter()
        .map(|item| single(of, field, &resolved(item, side), side));
    if field.kind().size().is_none() {
        return Value::Array(values.collect());
    }
    let packed: Vec<u8> = values.flat_map(|value| fixed(&value)).collect();
    Value::Packed(packed.into())
}

fn single(of: &Struct, field: &Field, json: &Json, side: &dyn Lookup) -> Value {
    let name = field.name();
    let number = || {
        json.as_i64()
            .unwrap_or_else(|| panic!("{name} is a number, not {json}"))
    };
    let text = || {
        json.as_str()
            .unwrap_or_else(|| panic!("{name} is a text, not {json}"))
    };
    match field.kind() {
        Kind::Bool => Value::Bool(json.as_bool().unwrap_or_else(|| panic!("{name}: {json}"))),
        Kind::Int8 => Value::Int8(number() as i8),
        Kind::Int16 => Value::Int16(number() as i16),
        Kind::Uint16 => Value::Uint16(number() as u16),
        Kind::Int32 => Value::Int32(number() as i32),
        Kind::Int64 => Value::Int64(number()),
        Kind::Float64 => Value::Float64(json.as_f64().unwrap_or_else(|| panic!("{name}: {json}"))),
        Kind::Uuid => Value::Uuid(uuid(text(), side)),
        Kind::String => text().into(),
        Kind::Bytes => Value::Bytes(bytes(json)),
        Kind::Records => Value::Records(bytes(json)),
        Kind::Struct(_) => {
            let child = of
                .child(name)
                .unwrap_or_else(|| panic!("{name} is no struct"));
            filled(child, json, side).into()
        }
    }
}

/// 32 hexadecimal digits are the id itself; all else is a topic's name.
fn uuid(text: &str, side: &dyn Lookup) -> [u8; 16] {
    match u128::from_str_radix(text, 16) {
        Ok(number) if text.len() == 32 => number.to_be_bytes(),
        _ => side.topic_id(text),
    }
}

fn bytes(json: &Json) -> Bytes {
    match json {
        Json::String(text) => Bytes::copy_from_slice(text.as_bytes()),
        Json::Array(values) => values
            .iter()
            .map(|value| value.as_u64().unwrap_or_default() as u8)
            .collect(),
        _ => panic!("{json} is neither a text nor an array of byte values"),
    }
}

fn fixed(value: &Value) -> Vec<u8> {
    match value {
        Value::Bool(value) => vec![u8::from(*value)],
        Value::Int8(value) => value.to_be_bytes().to_vec(),
        Value::Int16(value) => value.to_be_bytes().to_vec(),
        Value::Uint16(value) => value.to_be_bytes().to_vec(),
        Value::Int32(value) => value.to_be_bytes().to_vec(),
        Value::Int64(value) => value.to_be_bytes().to_vec(),
        Value::Uuid(id) => id.to_vec(),
        other => panic!("{other:?} has no fixed size"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Side;

    impl Lookup for Side {
        fn topic_id(&self, _: &str) -> [u8; 16] {
            [7; 16]
        }

        fn kept(&self, name: &str) -> Option<Json> {
            (name == "epoch").then(|| json!(9))
        }
    }

    #[test]
    fn a_version_gets_the_fields_it_has() {
        let fields = json!({
            "SessionEpoch": "$epoch",
            "Topics": [{"Topic": "a", "TopicId": "a", "Partitions": [{"Partition": 3}]}],
            "ForgottenTopicsData": [{"Topic": "b", "Partitions": [1, 2]}],
        });
        let old = request(ApiKey::FETCH, 4, &fields, &Side).unwrap();
        let topic = old.structs("Topics").next().unwrap();
        assert_eq!(topic.str("Topic"), Some("a"));
        assert!(old.get("SessionEpoch").is_none());

        let new = request(ApiKey::FETCH, 13, &fields, &Side).unwrap();
        assert_eq!(new.int("SessionEpoch"), 9);
        let topic = new.structs("Topics").next().unwrap();
        assert_eq!(topic.get("TopicId"), Some(&Value::Uuid([7; 16])));
        assert_eq!(
            topic.structs("Partitions").next().unwrap().int("Partition"),
            3
        );
        let forgotten = new.structs("ForgottenTopicsData").next().unwrap();
        assert_eq!(forgotten.get("Partitions"), Some(&Value::ints([1, 2])));
    }
}
