//! Writing of batches of all formats.

use super::codec::{self, CodecError};
use super::read::{Header, Record};
use super::{APPEND_TIME, BEFORE_LENGTH, CHECKED_LEGACY, CHECKED_V2, CRC_LEGACY, CRC_V2};
use crate::walk::Compression;
use crate::wire::put_varlong;

/// What a batch says of all its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSettings {
    /// The format, 0 to 2. Formats 0 and 1 have no producer, no transactions and no headers.
    pub magic: u8,
    /// The codec.
    pub compression: Compression,
    /// When a broker appended it, in milliseconds since 1970, if that stands for the records'
    /// own timestamps; not in format 0.
    pub append_time: Option<i64>,
    /// The idempotent producer.
    pub producer: Option<Producer>,
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Whether it is a marker of a transaction's end.
    pub control: bool,
    /// The leader's epoch; -1 if it is not known, as in what producers send.
    pub partition_leader_epoch: i32,
}

/// An idempotent producer, and where the batch stands among what it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Producer {
    /// The producer's id.
    pub id: i64,
    /// The id's epoch.
    pub epoch: i16,
    /// The first record's sequence number.
    pub sequence: i32,
}

/// A record to be written.
#[derive(Clone, Copy, Default)]
pub struct NewRecord<'r> {
    /// Its offset; offsets rise.
    pub offset: i64,
    /// Milliseconds since 1970; not written in format 0.
    pub timestamp: i64,
    /// The key, or null.
    pub key: Option<&'r [u8]>,
    /// The value, or null.
    pub value: Option<&'r [u8]>,
    /// The headers, which only format 2 has.
    pub headers: &'r [Header<'r>],
}

/// Collects the records of one batch.
pub struct BatchWriter {
    settings: BatchSettings,
    /// The records so far, in the form of a format 2 batch or of a message set.
    body: Vec<u8>,
    count: i32,
    first_offset: i64,
    last_offset: i64,
    first_timestamp: i64,
    max_timestamp: i64,
}

/// Why a batch could not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There is no such format.
    #[error("there are formats 0, 1 and 2, not {0}")]
    Magic(u8),
    /// The format does not have what was asked for.
    #[error("format {magic} has no {what}")]
    Missing {
        /// The format.
        magic: u8,
        /// What was asked for.
        what: &'static str,
    },
    /// Offsets that do not rise, or do so by more than a batch can say.
    #[error("offset {0} does not follow the one before it, or lies too far from the first")]
    Offset(i64),
    /// More bytes than a length can say.
    #[error("a record or batch is longer than the wire can say")]
    TooLong,
    /// It could not be compressed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

// === impl BatchSettings ===

impl Default for BatchSettings {
    /// Format 2, as a producer without idempotence writes it.
    fn default() -> Self {
        Self {
            magic: 2,
            compression: Compression::None,
            append_time: None,
            producer: None,
            transactional: false,
            control: false,
            partition_leader_epoch: -1,
        }
    }
}

impl BatchSettings {
    fn check(&self) -> Result<(), WriteError> {
        let magic = self.magic;
        if magic > 2 {
            return Err(WriteError::Magic(magic));
        }
        let missing = |what| Err(WriteError::Missing { magic, what });
        match self {
            _ if magic == 2 => Ok(()),
            Self {
                producer: Some(_), ..
            } => missing("producer ids"),
            Self {
                transactional: true,
                ..
            } => missing("transactions"),
            Self { control: true, .. } => missing("control batches"),
            Self {
                append_time: Some(_),
                ..
            } if magic == 0 => missing("timestamps"),
            _ => Ok(()),
        }
    }

    fn attributes(&self) -> u16 {
        let codec = match self.compression {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
            Compression::Unknown(other) => u16::from(other & 0x07),
        };
        codec
            | if self.append_time.is_some() {
                APPEND_TIME
            } else {
                0
            }
            | if self.transactional { 0x10 } else { 0 }
            | if self.control { 0x20 } else { 0 }
    }
}

// === impl BatchWriter ===

impl BatchWriter {
    /// A batch without records.
    pub fn new(settings: BatchSettings) -> Result<Self, WriteError> {
        settings.check()?;
        Ok(Self {
            settings,
            body: Vec::new(),
            count: 0,
            first_offset: 0,
            last_offset: 0,
            first_timestamp: -1,
            max_timestamp: -1,
        })
    }

    /// Appends a record.
    pub fn push(&mut self, record: &NewRecord<'_>) -> Result<(), WriteError> {
        if self.count == 0 {
            self.first_offset = record.offset;
            self.first_timestamp = record.timestamp;
            self.max_timestamp = record.timestamp;
        } else if record.offset <= self.last_offset {
            return Err(WriteError::Offset(record.offset));
        }
        let delta = record.offset.checked_sub(self.first_offset);
        let delta = delta.and_then(|delta| i32::try_from(delta).ok());
        let delta = delta.ok_or(WriteError::Offset(record.offset))?;
        if self.settings.magic == 2 {
            self.push_current(record, delta)?;
        } else {
            self.push_legacy(record, delta)?;
        }
        self.count = self.count.checked_add(1).ok_or(WriteError::TooLong)?;
        self.last_offset = record.offset;
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        Ok(())
    }

    /// Appends a record of another batch.
    pub fn copy(&mut self, record: &Record<'_>) -> Result<(), WriteError> {
        let headers: Vec<Header<'_>> = record.headers.iter().collect();
        self.push(&NewRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        })
    }

    /// The batch; of formats 0 and 1, without a codec, as many messages as were pushed.
    pub fn finish(self) -> Result<Vec<u8>, WriteError> {
        if self.settings.magic == 2 {
            self.finish_current()
        } else if self.settings.compression == Compression::None || self.count == 0 {
            Ok(self.body)
        } else {
            self.finish_legacy()
        }
    }

    fn push_current(&mut self, record: &NewRecord<'_>, delta: i32) -> Result<(), WriteError> {
        let mut body = vec![0];
        put_varlong(
            &mut body,
            record.timestamp.wrapping_sub(self.first_timestamp),
        );
        put_varlong(&mut body, i64::from(delta));
        put_bytes(&mut body, record.key)?;
        put_bytes(&mut body, record.value)?;
        put_varlong(&mut body, i64::from(length(record.headers.len())?));
        for header in record.headers {
            put_bytes(&mut body, Some(header.key))?;
            put_bytes(&mut body, header.value)?;
        }
        put_varlong(&mut self.body, i64::from(length(body.len())?));
        self.body.extend(body);
        Ok(())
    }

    fn push_legacy(&mut self, record: &NewRecord<'_>, delta: i32) -> Result<(), WriteError> {
        let magic = self.settings.magic;
        if !record.headers.is_empty() {
            let what = "headers";
            return Err(WriteError::Missing { magic, what });
        }
        let compressed = self.settings.compression != Compression::None;
        let offset = if compressed && magic == 1 {
            i64::from(delta)
        } else {
            record.offset
        };
        // Without a codec each message is a batch of its own, and says all that a batch says.
        let append_time = self.settings.append_time;
        let attributes = self.settings.attributes() & APPEND_TIME;
        let timestamp = append_time.unwrap_or(record.timestamp);
        message(
            &mut self.body,
            magic,
            offset,
            attributes as u8,
            timestamp,
            [record.key, record.value],
        )
    }

    fn finish_current(self) -> Result<Vec<u8>, WriteError> {
        let settings = self.settings;
        let delta = self.last_offset.wrapping_sub(self.first_offset) as i32;
        let body = codec::compress(settings.compression, 2, self.body)?;
        let mut out = Vec::with_capacity(super::HEADER_V2 + body.len());
        out.extend(self.first_offset.to_be_bytes());
        let length = length(super::HEADER_V2 - BEFORE_LENGTH + body.len())?;
        out.extend(length.to_be_bytes());
        out.extend(settings.partition_leader_epoch.to_be_bytes());
        out.extend([2, 0, 0, 0, 0]);
        out.extend(settings.attributes().to_be_bytes());
        out.extend(delta.to_be_bytes());
        out.extend(self.first_timestamp.to_be_bytes());
        let max_timestamp = settings.append_time.unwrap_or(self.max_timestamp);
        out.extend(max_timestamp.to_be_bytes());
        let producer = settings.producer.unwrap_or(Producer {
            id: -1,
            epoch: -1,
            sequence: -1,
        });
        out.extend(producer.id.to_be_bytes());
        out.extend(producer.epoch.to_be_bytes());
        out.extend(producer.sequence.to_be_bytes());
        out.extend(self.count.to_be_bytes());
        out.extend(body);
        let checksum = crc32c::crc32c(&out[CHECKED_V2..]);
        out[CRC_V2..CHECKED_V2].copy_from_slice(&checksum.to_be_bytes());
        Ok(out)
    }

    fn finish_legacy(self) -> Result<Vec<u8>, WriteError> {
        let settings = self.settings;
        let set = codec::compress(settings.compression, settings.magic, self.body)?;
        let mut out = Vec::new();
        message(
            &mut out,
            settings.magic,
            self.last_offset,
            settings.attributes() as u8,
            settings.append_time.unwrap_or(self.max_timestamp),
            [None, Some(&set)],
        )?;
        Ok(out)
    }
}

/// Appends a message of format 0 or 1.
fn message(
    out: &mut Vec<u8>,
    magic: u8,
    offset: i64,
    attributes: u8,
    timestamp: i64,
    key_and_value: [Option<&[u8]>; 2],
) -> Result<(), WriteError> {
    let start = out.len();
    out.extend(offset.to_be_bytes());
    out.extend([0; 8]);
    out.extend([magic, attributes]);
    if magic == 1 {
        out.extend(timestamp.to_be_bytes());
    }
    for field in key_and_value {
        let size = field.map_or(Ok(-1), |field| length(field.len()))?;
        out.extend(size.to_be_bytes());
        out.extend_from_slice(field.unwrap_or_default());
    }
    let message = &mut out[start..];
    let size = length(message.len() - BEFORE_LENGTH)?;
    message[8..BEFORE_LENGTH].copy_from_slice(&size.to_be_bytes());
    let checksum = crc32fast::hash(&message[CHECKED_LEGACY..]);
    message[CRC_LEGACY..CHECKED_LEGACY].copy_from_slice(&checksum.to_be_bytes());
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) -> Result<(), WriteError> {
    match bytes {
        None => put_varlong(out, -1),
        Some(bytes) => {
            put_varlong(out, i64::from(length(bytes.len())?));
            out.extend_from_slice(bytes);
        }
    }
    Ok(())
}

fn length(length: usize) -> Result<i32, WriteError> {
    i32::try_from(length).map_err(|_| WriteError::TooLong)
}
