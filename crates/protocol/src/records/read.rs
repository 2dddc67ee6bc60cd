//! Records of format 2, and what records of all formats look like.

use std::borrow::Cow;
use std::fmt;

use super::legacy::LegacyIter;
use super::{RecordBatch, RecordsError};
use crate::wire::{varint, varlong};

/// The records of one batch.
pub struct Records<'a> {
    pub(super) batch: RecordBatch<'a>,
    /// What the batch's records are in, decompressed.
    pub(super) body: Cow<'a, [u8]>,
    /// Of a compressed set of format 1: what the relative offsets are added to.
    pub(super) relative_to: i64,
}

/// One record.
#[derive(Clone, Copy, PartialEq)]
pub struct Record<'r> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970; -1 in format 0, which has none.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<&'r [u8]>,
    /// The value, or null.
    pub value: Option<&'r [u8]>,
    /// The headers; none before format 2.
    pub headers: Headers<'r>,
}

/// A record's header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header<'r> {
    /// The key: text, if the producer was one of Kafka's.
    pub key: &'r [u8],
    /// The value, or null.
    pub value: Option<&'r [u8]>,
}

/// The headers of a record, which have been checked when it was read.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'r> {
    count: u32,
    bytes: &'r [u8],
}

/// The records of a batch, in their order. After an error nothing follows.
pub struct RecordIter<'r>(Iter<'r>);

enum Iter<'r> {
    Current(CurrentIter<'r>),
    Legacy(LegacyIter<'r>),
}

/// Records of format 2.
struct CurrentIter<'r> {
    rest: &'r [u8],
    at: u32,
    count: u32,
    base_offset: i64,
    base_timestamp: i64,
    /// The timestamp of all, if a broker set it.
    append_time: Option<i64>,
    failed: bool,
}

/// One record's bytes, as they are read.
struct Reader<'r> {
    rest: &'r [u8],
    at: u32,
}

// === impl Records ===

impl<'a> Records<'a> {
    pub(super) fn current(batch: RecordBatch<'a>, body: Cow<'a, [u8]>) -> Self {
        Self {
            batch,
            body,
            relative_to: 0,
        }
    }

    /// The records in their order.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter(if self.batch.header.magic == 2 {
            Iter::Current(CurrentIter::new(&self.batch, &self.body))
        } else {
            Iter::Legacy(LegacyIter::new(self))
        })
    }

    /// Bytes of the records, decompressed.
    pub fn size(&self) -> usize {
        self.body.len()
    }
}

impl<'r> IntoIterator for &'r Records<'_> {
    type Item = Result<Record<'r>, RecordsError>;
    type IntoIter = RecordIter<'r>;

    fn into_iter(self) -> RecordIter<'r> {
        self.iter()
    }
}

impl fmt::Debug for Records<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "records of {} bytes", self.body.len())
    }
}

// === impl RecordIter ===

impl<'r> Iterator for RecordIter<'r> {
    type Item = Result<Record<'r>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Iter::Current(records) => records.next(),
            Iter::Legacy(records) => records.next(),
        }
    }
}

// === impl CurrentIter ===

impl<'r> CurrentIter<'r> {
    fn new(batch: &RecordBatch<'_>, body: &'r [u8]) -> Self {
        Self {
            rest: body,
            at: 0,
            count: batch.header.records,
            base_offset: batch.header.base_offset,
            base_timestamp: i64::from_be_bytes(batch.at(27)),
            append_time: batch
                .has_append_time()
                .then(|| i64::from_be_bytes(batch.at(35))),
            failed: false,
        }
    }

    fn next(&mut self) -> Option<Result<Record<'r>, RecordsError>> {
        if self.failed || (self.at == self.count && self.rest.is_empty()) {
            return None;
        }
        let record = if self.at == self.count {
            Err(RecordsError::Trailing(self.rest.len()))
        } else {
            self.record()
        };
        self.failed = record.is_err();
        self.at += 1;
        Some(record)
    }

    fn record(&mut self) -> Result<Record<'r>, RecordsError> {
        let mut outer = Reader {
            rest: self.rest,
            at: self.at,
        };
        let length = outer.length()?.ok_or(RecordsError::Number(self.at))?;
        let mut reader = Reader {
            rest: outer.take(length)?,
            at: self.at,
        };
        self.rest = outer.rest;
        // Attributes, of which none is in use.
        reader.take(1)?;
        let timestamp = self.base_timestamp.wrapping_add(reader.long()?);
        let offset = self.base_offset.wrapping_add(i64::from(reader.int()?));
        let key = reader.bytes()?;
        let value = reader.bytes()?;
        let headers = reader.headers()?;
        if !reader.rest.is_empty() {
            return Err(RecordsError::TooLong(self.at));
        }
        Ok(Record {
            offset,
            timestamp: self.append_time.unwrap_or(timestamp),
            key,
            value,
            headers,
        })
    }
}

// === impl Reader ===

impl<'r> Reader<'r> {
    fn take(&mut self, length: usize) -> Result<&'r [u8], RecordsError> {
        let overrun = RecordsError::Overrun(self.at);
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(overrun)?;
        self.rest = rest;
        Ok(taken)
    }

    fn int(&mut self) -> Result<i32, RecordsError> {
        let read = varint(self.rest).map_err(|_| RecordsError::Number(self.at))?;
        let (value, taken) = read.ok_or(RecordsError::Overrun(self.at))?;
        self.take(taken)?;
        Ok(value)
    }

    fn long(&mut self) -> Result<i64, RecordsError> {
        let read = varlong(self.rest).map_err(|_| RecordsError::Number(self.at))?;
        let (value, taken) = read.ok_or(RecordsError::Overrun(self.at))?;
        self.take(taken)?;
        Ok(value)
    }

    /// A length; `None` for any number below zero, all of which Kafka takes for null.
    fn length(&mut self) -> Result<Option<usize>, RecordsError> {
        Ok(usize::try_from(self.int()?).ok())
    }

    fn bytes(&mut self) -> Result<Option<&'r [u8]>, RecordsError> {
        self.length()?.map(|length| self.take(length)).transpose()
    }

    fn headers(&mut self) -> Result<Headers<'r>, RecordsError> {
        let count = u32::try_from(self.int()?).map_err(|_| RecordsError::Number(self.at))?;
        let bytes = self.rest;
        // However great the count, each turn takes two bytes.
        for _ in 0..count {
            self.header()?;
        }
        Ok(Headers {
            count,
            bytes: &bytes[..bytes.len() - self.rest.len()],
        })
    }

    fn header(&mut self) -> Result<Header<'r>, RecordsError> {
        let key = self.bytes()?.ok_or(RecordsError::Number(self.at))?;
        let value = self.bytes()?;
        Ok(Header { key, value })
    }
}

// === impl Headers ===

impl<'r> Headers<'r> {
    /// The headers in their order.
    pub fn iter(self) -> impl Iterator<Item = Header<'r>> {
        let mut reader = Reader {
            rest: self.bytes,
            at: 0,
        };
        (0..self.count).map_while(move |_| reader.header().ok())
    }

    /// How many.
    pub fn count(self) -> u32 {
        self.count
    }
}

/// How long it is: headers may be secret.
impl fmt::Debug for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a header of {} bytes",
            self.key.len() + self.value.map_or(0, <[u8]>::len)
        )
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} headers", self.count)
    }
}

/// Without keys, values and headers, which may be secret.
impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("offset", &self.offset)
            .field("timestamp", &self.timestamp)
            .finish_non_exhaustive()
    }
}
