//! Whole messages as trees of values, for those that are built, or small enough to be taken apart.
//!
//! # Guarantees
//! * Strings, bytes, records and arrays of numbers are slices of the input.
//! * Tagged fields that the schema does not have are kept, and an absent tagged field stays
//!   absent: what was encoded canonically (shortest numbers, booleans of 0 and 1) is encoded again
//!   to the same bytes.
//! * A tree takes no more memory than its [`Budget`]: by default three times the input, so that
//!   input and tree together stay within four times the bytes received. Messages of many small
//!   fields do not fit into that and are refused; those are for a [walk](crate::walk) and
//!   [edits](crate::edit), which take no memory at all. What a trusted peer sends may be given a
//!   larger budget.

mod decode;
mod encode;

use std::fmt;

use bytes::Bytes;

use crate::schema::{Field, FieldId, Kind, Layout, StructId};

pub use decode::{Budget, DecodeError, DecodeProblem, decode};
pub use encode::EncodeError;

/// A field's value.
#[derive(Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names are Kafka's")]
pub enum Value {
    /// A tagged field that is not there: it has its default.
    #[default]
    Absent,
    Null,
    Bool(bool),
    Int8(i8),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Int64(i64),
    Float64(f64),
    Uuid([u8; 16]),
    /// Not checked to be UTF-8; [`Value::as_str`] is.
    String(Bytes),
    Bytes(Bytes),
    Records(Bytes),
    Struct(Box<Struct>),
    /// An array of strings or structs.
    Array(Vec<Value>),
    /// An array of values of fixed size, as they are on the wire.
    Packed(Bytes),
}

/// A struct, or a whole message: one value for each field of its version.
#[derive(Clone)]
pub struct Struct {
    layout: &'static Layout,
    id: StructId,
    values: Vec<Value>,
    /// Tagged fields that the schema does not have, by rising tag.
    unknown: Vec<(u32, Bytes)>,
}

// === impl Struct ===

impl Struct {
    /// A message of this layout with every field at its default.
    pub fn message(layout: &'static Layout) -> Self {
        Self::of(layout, layout.root())
    }

    /// An element for the array of structs, or a value for the struct, at field `name`.
    ///
    /// `None` if there is no such field in this version, or it is no struct.
    pub fn child(&self, name: &str) -> Option<Self> {
        match self.layout.field(self.id_of(name)?).kind {
            Kind::Struct(id) => Some(Self::of(self.layout, id)),
            _ => None,
        }
    }

    fn of(layout: &'static Layout, id: StructId) -> Self {
        let values = layout
            .field_ids(id)
            .map(|id| default(layout, layout.field(id)))
            .collect();
        Self {
            layout,
            id,
            values,
            unknown: Vec::new(),
        }
    }

    /// The wire form that this is of.
    pub fn layout(&self) -> &'static Layout {
        self.layout
    }

    /// The value of a field; `None` if this version does not have it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(self.place(name)?)
    }

    /// The value of a field, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        let place = self.place(name)?;
        self.values.get_mut(place)
    }

    /// Sets a field, and says whether this version has it. The value's type is checked when the
    /// message is encoded.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> bool {
        match self.get_mut(name) {
            Some(place) => {
                *place = value.into();
                true
            }
            None => false,
        }
    }

    /// The fields in the order of the layout, with their values.
    pub fn fields(&self) -> impl Iterator<Item = (&'static Field, &Value)> {
        let layout = self.layout;
        layout
            .field_ids(self.id)
            .map(move |id| layout.field(id))
            .zip(&self.values)
    }

    /// Tagged fields that the schema does not have, by rising tag.
    pub fn unknown_tags(&self) -> &[(u32, Bytes)] {
        &self.unknown
    }

    /// Adds a tagged field that the schema does not have; its tag must be greater than those of
    /// the ones added before.
    pub fn push_unknown_tag(&mut self, tag: u32, value: Bytes) {
        self.unknown.push((tag, value));
    }

    /// An integer field; its default if it is tagged and absent, or 0 if this version does not
    /// have it.
    pub fn int(&self, name: &str) -> i64 {
        let value = match self.get(name) {
            Some(Value::Absent) => self
                .id_of(name)
                .and_then(|id| self.layout.default_of(self.layout.field(id)).as_int()),
            value => value.and_then(Value::as_int),
        };
        value.unwrap_or(0)
    }

    /// A string field, if this version has it and it is neither null nor malformed.
    pub fn str(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// The structs of an array field; none if it is null or not there.
    pub fn structs(&self, name: &str) -> impl Iterator<Item = &Struct> {
        let values = match self.get(name) {
            Some(Value::Array(values)) => values.as_slice(),
            _ => &[],
        };
        values.iter().filter_map(|value| match value {
            Value::Struct(inner) => Some(&**inner),
            _ => None,
        })
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.layout
            .field_ids(self.id)
            .position(|id| self.layout.field(id).name == name)
    }

    fn id_of(&self, name: &str) -> Option<FieldId> {
        self.layout
            .field_ids(self.id)
            .find(|id| self.layout.field(*id).name == name)
    }
}

impl PartialEq for Struct {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.layout, other.layout)
            && self.id == other.id
            && self.values == other.values
            && self.unknown == other.unknown
    }
}

impl fmt::Debug for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (field, value) in self.fields() {
            map.entry(&field.name, value);
        }
        for (tag, value) in &self.unknown {
            map.entry(tag, &format_args!("{} bytes", value.len()));
        }
        map.finish()
    }
}

/// What a field is when nothing is said.
fn default(layout: &'static Layout, field: &Field) -> Value {
    match field.tag {
        Some(_) => Value::Absent,
        None => layout.default_of(field),
    }
}

// === impl Layout ===

impl Layout {
    /// The default of one of this layout's fields: what an absent tagged field stands for, and
    /// what Kafka never writes of a tagged field.
    pub fn default_of(&'static self, field: &Field) -> Value {
        if field.default == Some("null") && field.nullable {
            return Value::Null;
        }
        if field.array {
            return match field.kind.size() {
                Some(_) => Value::Packed(Bytes::new()),
                None => Value::Array(Vec::new()),
            };
        }
        let number = field.default.and_then(parse_number).unwrap_or(0);
        match field.kind {
            Kind::Bool => Value::Bool(field.default == Some("true")),
            Kind::Int8 => Value::Int8(number as i8),
            Kind::Int16 => Value::Int16(number as i16),
            Kind::Uint16 => Value::Uint16(number as u16),
            Kind::Int32 => Value::Int32(number as i32),
            Kind::Int64 => Value::Int64(number),
            Kind::Float64 => Value::Float64(number as f64),
            Kind::Uuid => Value::Uuid([0; 16]),
            Kind::String => Value::String(Bytes::new()),
            Kind::Bytes => Value::Bytes(Bytes::new()),
            Kind::Records => Value::Records(Bytes::new()),
            Kind::Struct(id) => Value::Struct(Box::new(Struct::of(self, id))),
        }
    }
}

fn parse_number(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

// === impl Value ===

impl Value {
    /// An integer or boolean.
    pub fn as_int(&self) -> Option<i64> {
        Some(match self {
            Self::Bool(value) => i64::from(*value),
            Self::Int8(value) => i64::from(*value),
            Self::Int16(value) => i64::from(*value),
            Self::Uint16(value) => i64::from(*value),
            Self::Int32(value) => i64::from(*value),
            Self::Int64(value) => *value,
            _ => return None,
        })
    }

    /// A string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of a string, byte field, records, or packed array.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::String(bytes)
            | Self::Bytes(bytes)
            | Self::Records(bytes)
            | Self::Packed(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// An array of 32-bit integers.
    pub fn ints(values: impl IntoIterator<Item = i32>) -> Self {
        Self::Packed(values.into_iter().flat_map(i32::to_be_bytes).collect())
    }
}

/// Numbers, and how long everything else is: strings, bytes and records may be secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::Null => f.write_str("Null"),
            Self::Float64(value) => write!(f, "{value}"),
            Self::Uuid(id) => write!(f, "{:032x}", u128::from_be_bytes(*id)),
            Self::Struct(inner) => inner.fmt(f),
            Self::Array(values) => f.debug_list().entries(values).finish(),
            other => match (other.as_bytes(), other.as_int()) {
                (Some(bytes), _) => write!(f, "{} bytes", bytes.len()),
                (None, number) => write!(f, "{}", number.unwrap_or_default()),
            },
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        text.map_or(Self::Null, Self::from)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i8> for Value {
    fn from(value: i8) -> Self {
        Self::Int8(value)
    }
}

impl From<i16> for Value {
    fn from(value: i16) -> Self {
        Self::Int16(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int32(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int64(value)
    }
}

impl From<Struct> for Value {
    fn from(value: Struct) -> Self {
        Self::Struct(Box::new(value))
    }
}

impl From<Vec<Struct>> for Value {
    fn from(values: Vec<Struct>) -> Self {
        Self::Array(values.into_iter().map(Self::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiKey, Direction, Schemas};

    #[test]
    fn debug_keeps_secrets() {
        let layout = Schemas::get().layout(ApiKey::SASL_AUTHENTICATE, 2, Direction::Request);
        let mut message = Struct::message(layout.unwrap());
        message.set(
            "AuthBytes",
            Value::Bytes(Bytes::from_static(b"\0user\0pass")),
        );
        message.push_unknown_tag(1, Bytes::from_static(b"pass"));
        assert_eq!(
            format!("{message:?}"),
            r#"{"AuthBytes": 10 bytes, 1: 4 bytes}"#
        );
    }

    #[test]
    fn defaults_are_kafkas() {
        let layout = Schemas::get()
            .layout(ApiKey::FETCH, 3, Direction::Request)
            .unwrap();
        let message = Struct::message(layout);
        assert_eq!(
            (message.int("ReplicaId"), message.int("MaxBytes")),
            (-1, 0x7fff_ffff)
        );
        assert_eq!(message.int("NoSuchField"), 0);
        let layout = Schemas::get()
            .layout(ApiKey::API_VERSIONS, 3, Direction::Response)
            .unwrap();
        // Tagged and absent.
        assert_eq!(Struct::message(layout).int("FinalizedFeaturesEpoch"), -1);
    }
}
