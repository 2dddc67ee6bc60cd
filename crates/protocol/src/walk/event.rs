//! What a walk reports.

use super::{Batch, RecordsTotal};

/// The caller's own name for a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark(pub u8);

/// Where in the frame something lies, from its first byte to before its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
}

/// Something about a field that was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event<'a> {
    /// Which field.
    pub mark: Mark,
    /// The encoding of what is reported; with strings, lengths are part of it.
    pub span: Span,
    /// What is reported.
    pub what: What<'a>,
}

/// What is reported of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What<'a> {
    /// A field that is null.
    Null,
    /// A boolean (0 or 1) or an integer, or one of an array.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// An id of 16 bytes.
    Uuid([u8; 16]),
    /// A string, or one of an array.
    Text(&'a str),
    /// A byte field.
    Bytes(&'a [u8]),
    /// A string or byte field of this length, which is more than is captured.
    TooLong(u32),
    /// An array begins: its number of elements. The span is the count's.
    ArrayStart(u32),
    /// An array ends. The span is the array's.
    ArrayEnd,
    /// A struct, or an array's next one, begins. The span is empty.
    StructStart,
    /// A struct ends. The span is the struct's.
    StructEnd,
    /// Records begin: their length. The span is the length's.
    RecordsStart(u32),
    /// A whole batch within records, or one message of the formats before batches. The span is
    /// the batch's, most of which is still to come.
    Batch(Batch),
    /// Records end. The span is the field's.
    RecordsEnd(RecordsTotal),
    /// The message's own tagged fields begin: how many. The span is the count's.
    Tags(u32),
    /// A tagged field that the schema does not have. The span is that of its value.
    UnknownTag(u32),
}

// === impl Span ===

impl Span {
    /// Length in bytes.
    pub fn length(self) -> u64 {
        self.end - self.start
    }
}
