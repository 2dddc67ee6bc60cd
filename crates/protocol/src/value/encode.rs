//! From values to bytes.

use super::{Struct, Value};
use crate::schema::{Field, Kind};
use crate::wire::{MAX_STRING, put_uvarint};

/// Why a tree is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The value's type is not the field's.
    #[error("{0} has a value of another type")]
    Type(&'static str),
    /// Null where the schema has no null.
    #[error("{0} may not be null in this version")]
    Null(&'static str),
    /// A length that the wire cannot say.
    #[error("{0} is longer than the wire can say")]
    TooLong(&'static str),
    /// An unknown tag that the schema has, or that does not rise.
    #[error("tag {0} is known, or does not rise")]
    Tag(u32),
}

type Encoded = Result<(), EncodeError>;

// === impl Struct ===

impl Struct {
    /// Appends the encoding of the message.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let of = self.layout.structure(self.id);
        let untagged = usize::from(of.untagged - of.first);
        for (field, value) in self.fields().take(untagged) {
            self.value(field, value, out)?;
        }
        if self.layout.is_flexible() {
            self.tags(untagged, out)?;
        }
        Ok(())
    }

    fn tags(&self, untagged: usize, out: &mut Vec<u8>) -> Encoded {
        let known: Vec<(&Field, &Value)> = self
            .fields()
            .skip(untagged)
            .filter(|(_, value)| **value != Value::Absent)
            .collect();
        put_uvarint(out, (known.len() + self.unknown.len()) as u32);
        let mut unknown = self.unknown.iter().peekable();
        let mut last = None;
        let mut put = |tag: u32, value: &[u8], out: &mut Vec<u8>| {
            if last.is_some_and(|last| last >= tag) {
                return Err(EncodeError::Tag(tag));
            }
            last = Some(tag);
            put_uvarint(out, tag);
            put_uvarint(out, value.len() as u32);
            out.extend_from_slice(value);
            Ok(())
        };
        for (field, value) in known {
            let tag = field.tag.unwrap_or(0);
            while let Some((before, bytes)) = unknown.next_if(|(before, _)| *before < tag) {
                put(*before, bytes, out)?;
            }
            let mut bytes = Vec::new();
            self.value(field, value, &mut bytes)?;
            put(tag, &bytes, out)?;
        }
        unknown.try_for_each(|(tag, bytes)| put(*tag, bytes, out))
    }

    fn value(&self, field: &Field, value: &Value, out: &mut Vec<u8>) -> Encoded {
        if !field.array {
            return self.single(field, field.nullable, value, out);
        }
        match (value, field.kind.size()) {
            (Value::Null, _) => self.null(field, field.nullable, true, out),
            (Value::Packed(bytes), Some(size)) if bytes.len() % size as usize == 0 => {
                self.length(field, bytes.len() / size as usize, true, out)?;
                out.extend_from_slice(bytes);
                Ok(())
            }
            (Value::Array(values), None) => {
                self.length(field, values.len(), true, out)?;
                values
                    .iter()
                    .try_for_each(|value| self.single(field, false, value, out))
            }
            _ => Err(EncodeError::Type(field.name)),
        }
    }

    fn single(&self, field: &Field, nullable: bool, value: &Value, out: &mut Vec<u8>) -> Encoded {
        match (field.kind, value) {
            (Kind::Struct(_), Value::Null) if nullable => out.push(0xff),
            (Kind::String | Kind::Bytes | Kind::Records, Value::Null) => {
                return self.null(field, nullable, false, out);
            }
            (_, Value::Null) => return Err(EncodeError::Null(field.name)),
            (Kind::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
            (Kind::Int8, Value::Int8(value)) => out.extend(value.to_be_bytes()),
            (Kind::Int16, Value::Int16(value)) => out.extend(value.to_be_bytes()),
            (Kind::Uint16, Value::Uint16(value)) => out.extend(value.to_be_bytes()),
            (Kind::Int32, Value::Int32(value)) => out.extend(value.to_be_bytes()),
            (Kind::Int64, Value::Int64(value)) => out.extend(value.to_be_bytes()),
            (Kind::Float64, Value::Float64(value)) => out.extend(value.to_be_bytes()),
            (Kind::Uuid, Value::Uuid(value)) => out.extend(value),
            (Kind::String, Value::String(bytes))
            | (Kind::Bytes, Value::Bytes(bytes))
            | (Kind::Records, Value::Records(bytes)) => {
                self.length(field, bytes.len(), false, out)?;
                out.extend_from_slice(bytes);
            }
            (Kind::Struct(id), Value::Struct(inner)) => {
                if inner.id != id || !std::ptr::eq(inner.layout, self.layout) {
                    return Err(EncodeError::Type(field.name));
                }
                if nullable {
                    out.push(1);
                }
                return inner.encode(out);
            }
            _ => return Err(EncodeError::Type(field.name)),
        }
        Ok(())
    }

    fn length(&self, field: &Field, length: usize, array: bool, out: &mut Vec<u8>) -> Encoded {
        let too_long = EncodeError::TooLong(field.name);
        let signed = i32::try_from(length).map_err(|_| too_long)?;
        if field.kind == Kind::String && !array && i64::from(signed) > MAX_STRING {
            return Err(too_long);
        }
        if self.layout.is_flexible() {
            put_uvarint(out, signed.unsigned_abs() + 1);
        } else if field.kind == Kind::String && !array {
            out.extend(i16::try_from(signed).map_err(|_| too_long)?.to_be_bytes());
        } else {
            out.extend(signed.to_be_bytes());
        }
        Ok(())
    }

    fn null(&self, field: &Field, nullable: bool, array: bool, out: &mut Vec<u8>) -> Encoded {
        if !nullable {
            return Err(EncodeError::Null(field.name));
        }
        if self.layout.is_flexible() {
            out.push(0);
        } else if field.kind == Kind::String && !array {
            out.extend((-1i16).to_be_bytes());
        } else {
            out.extend((-1i32).to_be_bytes());
        }
        Ok(())
    }
}
