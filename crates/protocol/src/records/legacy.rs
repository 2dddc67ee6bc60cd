//! Messages of formats 0 and 1, alone or in compressed sets.

use std::borrow::Cow;

use super::read::{Headers, Record, Records};
use super::{BEFORE_LENGTH, CHECKED_LEGACY, RecordBatch, RecordsError, batches, codec};
use crate::wire::head;

/// Messages of a set, or the single message of a batch that is not compressed.
pub(super) struct LegacyIter<'r> {
    rest: &'r [u8],
    at: u32,
    magic: u8,
    relative_to: i64,
    /// The timestamp of all, if a broker set it on the message that is the set.
    append_time: Option<i64>,
    /// Whether these are the messages of a compressed set.
    set: bool,
}

/// A message's fields.
struct Message<'r> {
    timestamp: i64,
    key: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
}

/// The messages of a batch.
pub(super) fn records(batch: RecordBatch<'_>, limit: usize) -> Result<Records<'_>, RecordsError> {
    if !batch.is_compressed() {
        return Ok(Records {
            batch,
            body: Cow::Borrowed(batch.bytes),
            relative_to: 0,
        });
    }
    let header = batch.header;
    let set = message(batch.bytes, header.magic, 0)?
        .value
        .ok_or(RecordsError::Empty)?;
    let body = codec::decompress(header.compression(), header.magic, set, limit)?;
    let last = last_offset(&body)?;
    Ok(Records {
        batch,
        body,
        // Format 1: the set has the last message's offset, its messages count from their first.
        // Producers that do not know their offsets leave the set's at 0; so does Kafka then.
        relative_to: match header.magic {
            0 => 0,
            _ => header.base_offset.wrapping_sub(last).max(0),
        },
    })
}

/// The offset that the last message of a set has in it.
fn last_offset(set: &[u8]) -> Result<i64, RecordsError> {
    let mut last = None;
    for message in batches(set) {
        last = Some(message?.header.base_offset);
    }
    last.ok_or(RecordsError::Empty)
}

/// Reads the fields of the message at the start of `bytes`, which ends where it does.
fn message(bytes: &[u8], magic: u8, at: u32) -> Result<Message<'_>, RecordsError> {
    let overrun = RecordsError::Overrun(at);
    // Format and attributes have been read.
    let mut rest = bytes.get(CHECKED_LEGACY + 2..).ok_or(overrun)?;
    let mut timestamp = -1;
    if magic == 1 {
        timestamp = i64::from_be_bytes(head(rest).ok_or(overrun)?);
        rest = &rest[8..];
    }
    let mut field = || -> Result<Option<&[u8]>, RecordsError> {
        let length = i32::from_be_bytes(head(rest).ok_or(overrun)?);
        rest = &rest[4..];
        let Ok(length) = usize::try_from(length) else {
            return Ok(None);
        };
        let (value, after) = rest.split_at_checked(length).ok_or(overrun)?;
        rest = after;
        Ok(Some(value))
    };
    let (key, value) = (field()?, field()?);
    if !rest.is_empty() {
        return Err(RecordsError::TooLong(at));
    }
    Ok(Message {
        timestamp,
        key,
        value,
    })
}

// === impl LegacyIter ===

impl<'r> LegacyIter<'r> {
    pub(super) fn new(records: &'r Records<'_>) -> Self {
        let batch = records.batch;
        let append_time = batch
            .has_append_time()
            .then(|| i64::from_be_bytes(batch.at(BEFORE_LENGTH + 6)));
        Self {
            rest: &records.body,
            at: 0,
            magic: batch.header.magic,
            relative_to: records.relative_to,
            append_time,
            set: batch.is_compressed(),
        }
    }

    pub(super) fn next(&mut self) -> Option<Result<Record<'r>, RecordsError>> {
        let batch = batches(self.rest).next()?;
        let record = batch.and_then(|batch| self.record(batch));
        if record.is_err() {
            self.rest = &[];
        }
        self.at += 1;
        Some(record)
    }

    fn record(&mut self, batch: RecordBatch<'r>) -> Result<Record<'r>, RecordsError> {
        if batch.header.magic != self.magic || (self.set && batch.is_compressed()) {
            return Err(RecordsError::Nested(self.at));
        }
        self.rest = &self.rest[batch.bytes.len()..];
        let message = message(batch.bytes, self.magic, self.at)?;
        Ok(Record {
            offset: self.relative_to.wrapping_add(batch.header.base_offset),
            timestamp: self.append_time.unwrap_or(message.timestamp),
            key: message.key,
            value: message.value,
            headers: Headers::default(),
        })
    }
}
