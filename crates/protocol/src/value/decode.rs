//! From bytes to values.

use std::mem::size_of;

use bytes::Bytes;

use super::{Struct, Value};
use crate::schema::{Field, FieldId, Kind, Layout, StructId};
use crate::wire::{self, MAX_STRING, VarintOverflow, head};

/// How much memory a tree may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(usize);

/// Why bytes are not the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}, {field}: {problem}")]
pub struct DecodeError {
    /// Offset in the body.
    pub at: usize,
    /// The field that was read.
    pub field: &'static str,
    /// What is wrong.
    pub problem: DecodeProblem,
}

/// What is wrong with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeProblem {
    /// A value, length or count reaches beyond the body, or beyond its tagged field.
    #[error("reaches beyond the end of the body or of its tagged field")]
    Overrun,
    /// A length or count below zero that does not mean null, or a string longer than
    /// [`MAX_STRING`].
    #[error("has a length or count of {0}")]
    Length(i64),
    /// Null where the schema has no null.
    #[error("may not be null")]
    Null,
    /// A nullable struct's first byte is neither -1 nor 1.
    #[error("a nullable struct begins with -1 or 1, not {0}")]
    Presence(i8),
    /// A variable-length number that does not fit.
    #[error(transparent)]
    Varint(#[from] VarintOverflow),
    /// Tags that do not rise.
    #[error("tag {0} does not rise")]
    TagOrder(u32),
    /// A tagged field is longer than its value.
    #[error("ends before its tagged field does")]
    TagLength,
    /// The tree would be too large for its budget.
    #[error("would take more than {0} bytes of memory; walk messages of this size instead")]
    Amplifies(usize),
    /// Bytes after the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(usize),
}

/// Reads one body.
struct Decoder {
    layout: &'static Layout,
    input: Bytes,
    at: usize,
    /// Where the innermost tagged field ends, or the body.
    limit: usize,
    budget: usize,
    spent: usize,
    field: &'static str,
}

type Decoded<T> = Result<T, DecodeError>;

/// Decodes a body, all of it.
pub fn decode(
    layout: &'static Layout,
    body: &Bytes,
    budget: Budget,
) -> Result<Struct, DecodeError> {
    let mut decoder = Decoder {
        layout,
        input: body.clone(),
        at: 0,
        limit: body.len(),
        budget: budget.0,
        spent: 0,
        field: "the message",
    };
    let message = decoder.structure(layout.root())?;
    match decoder.left() {
        0 => Ok(message),
        left => Err(decoder.error(DecodeProblem::Trailing(left))),
    }
}

// === impl Budget ===

impl Budget {
    /// Small messages may take this in any case.
    const FLOOR: usize = 48 * 1024;

    /// Three times the bytes received; for small messages 48 KiB.
    pub fn of(received: usize) -> Self {
        Self(received.saturating_mul(3).max(Self::FLOOR))
    }

    /// As many bytes as this.
    pub fn bytes(bytes: usize) -> Self {
        Self(bytes)
    }
}

// === impl Decoder ===

impl Decoder {
    fn error(&self, problem: impl Into<DecodeProblem>) -> DecodeError {
        DecodeError {
            at: self.at,
            field: self.field,
            problem: problem.into(),
        }
    }

    fn left(&self) -> usize {
        self.limit - self.at
    }

    /// Counts memory before it is taken.
    fn spend(&mut self, bytes: usize) -> Decoded<()> {
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.budget {
            return Err(self.error(DecodeProblem::Amplifies(self.budget)));
        }
        Ok(())
    }

    fn take(&mut self, length: usize) -> Decoded<Bytes> {
        if length > self.left() {
            return Err(self.error(DecodeProblem::Overrun));
        }
        let taken = self.input.slice(self.at..self.at + length);
        self.at += length;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let value = head::<N>(&self.input[self.at..self.limit]);
        let value = value.ok_or_else(|| self.error(DecodeProblem::Overrun))?;
        self.at += N;
        Ok(value)
    }

    fn uvarint(&mut self) -> Decoded<u32> {
        let read = wire::uvarint(&self.input[self.at..self.limit]);
        let read = read.map_err(|overflow| self.error(overflow))?;
        let (value, taken) = read.ok_or_else(|| self.error(DecodeProblem::Overrun))?;
        self.at += taken;
        Ok(value)
    }

    fn structure(&mut self, id: StructId) -> Decoded<Struct> {
        let of = self.layout.structure(id);
        let fields = usize::from(of.end - of.first);
        self.spend(size_of::<Struct>() + fields * size_of::<Value>())?;
        let mut values = Vec::with_capacity(fields);
        for id in (of.first..of.untagged).map(FieldId) {
            values.push(self.value(id)?);
        }
        values.resize(fields, Value::Absent);
        let mut unknown = Vec::new();
        if self.layout.is_flexible() {
            self.tags(id, &mut values, &mut unknown)?;
        }
        Ok(Struct {
            layout: self.layout,
            id,
            values,
            unknown,
        })
    }

    fn tags(
        &mut self,
        id: StructId,
        values: &mut [Value],
        unknown: &mut Vec<(u32, Bytes)>,
    ) -> Decoded<()> {
        let of = self.layout.structure(id);
        self.field = "tagged fields";
        let count = self.uvarint()?;
        let mut last = None;
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()? as usize;
            if last.is_some_and(|last| last >= tag) {
                return Err(self.error(DecodeProblem::TagOrder(tag)));
            }
            last = Some(tag);
            let mut known = (of.untagged..of.end).map(FieldId);
            let Some(field) = known.find(|id| self.layout.field(*id).tag == Some(tag)) else {
                // A vector that grows has up to twice what is in it, and while it does so the
                // old one too.
                self.spend(4 * size_of::<(u32, Bytes)>())?;
                let value = self.take(size)?;
                unknown.push((tag, value));
                continue;
            };
            if size > self.left() {
                return Err(self.error(DecodeProblem::Overrun));
            }
            let outer = std::mem::replace(&mut self.limit, self.at + size);
            let value = self.value(field)?;
            if self.left() > 0 {
                return Err(self.error(DecodeProblem::TagLength));
            }
            self.limit = outer;
            values[usize::from(field.0 - of.first)] = value;
            self.field = "tagged fields";
        }
        Ok(())
    }

    fn value(&mut self, id: FieldId) -> Decoded<Value> {
        let layout = self.layout;
        let field = layout.field(id);
        self.field = field.name;
        if field.array {
            self.array(field)
        } else {
            self.single(field, field.nullable)
        }
    }

    fn array(&mut self, field: &'static Field) -> Decoded<Value> {
        let Some(count) = self.length(field, field.nullable, true)? else {
            return Ok(Value::Null);
        };
        if let Some(size) = field.kind.size() {
            let length = count.checked_mul(size as usize);
            let length = length.ok_or_else(|| self.error(DecodeProblem::Overrun))?;
            return Ok(Value::Packed(self.take(length)?));
        }
        let least = self.layout.element_min(field).max(1);
        if count as u64 * least > self.left() as u64 {
            return Err(self.error(DecodeProblem::Overrun));
        }
        self.spend(count * size_of::<Value>())?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(self.single(field, false)?);
        }
        Ok(Value::Array(values))
    }

    fn single(&mut self, field: &'static Field, nullable: bool) -> Decoded<Value> {
        Ok(match field.kind {
            Kind::Bool => Value::Bool(self.fixed::<1>()? != [0]),
            Kind::Int8 => Value::Int8(i8::from_be_bytes(self.fixed()?)),
            Kind::Int16 => Value::Int16(i16::from_be_bytes(self.fixed()?)),
            Kind::Uint16 => Value::Uint16(u16::from_be_bytes(self.fixed()?)),
            Kind::Int32 => Value::Int32(i32::from_be_bytes(self.fixed()?)),
            Kind::Int64 => Value::Int64(i64::from_be_bytes(self.fixed()?)),
            Kind::Float64 => Value::Float64(f64::from_be_bytes(self.fixed()?)),
            Kind::Uuid => Value::Uuid(self.fixed()?),
            Kind::Struct(id) => {
                if nullable {
                    match i8::from_be_bytes(self.fixed()?) {
                        1 => {}
                        -1 => return Ok(Value::Null),
                        other => return Err(self.error(DecodeProblem::Presence(other))),
                    }
                }
                Value::Struct(Box::new(self.structure(id)?))
            }
            Kind::String | Kind::Bytes | Kind::Records => {
                let Some(length) = self.length(field, nullable, false)? else {
                    return Ok(Value::Null);
                };
                let bytes = self.take(length)?;
                match field.kind {
                    Kind::String => Value::String(bytes),
                    Kind::Bytes => Value::Bytes(bytes),
                    _ => Value::Records(bytes),
                }
            }
        })
    }

    /// A length or count; `None` for null.
    fn length(&mut self, field: &Field, nullable: bool, array: bool) -> Decoded<Option<usize>> {
        let length = if self.layout.is_flexible() {
            i64::from(self.uvarint()?) - 1
        } else if field.kind == Kind::String && !array {
            i64::from(i16::from_be_bytes(self.fixed()?))
        } else {
            i64::from(i32::from_be_bytes(self.fixed()?))
        };
        match usize::try_from(length) {
            Ok(_) if field.kind == Kind::String && !array && length > MAX_STRING => {
                Err(self.error(DecodeProblem::Length(length)))
            }
            Ok(length) => Ok(Some(length)),
            Err(_) if length < -1 => Err(self.error(DecodeProblem::Length(length))),
            Err(_) if nullable => Ok(None),
            Err(_) => Err(self.error(DecodeProblem::Null)),
        }
    }
}
