//! The records inside of a records field, of formats 0, 1 and 2.
//!
//! # Expected flow
//! * Reading: [`batches`] over the field; per batch [`RecordBatch::check`] for its checksum, if
//!   that matters, and [`RecordBatch::records`], whose [`Records::iter`] gives the records.
//! * Writing: a [`BatchWriter`] of a [`BatchSettings`], one push per record.
//!
//! # Guarantees
//! * Keys, values and headers are slices of the field, or of what was decompressed.
//! * Nothing is allocated but what a compressed batch becomes, up to the limit that the caller
//!   gives; see [`codec`].
//! * What is read without error is what Kafka reads: records fill their batch, as many as it
//!   says, and each fills its own length.
//!
//! # Formats
//! | format | since | a batch is | checksum |
//! |---|---|---|---|
//! | 0 | 0.8 | one message, or a message whose value is a compressed set of messages | CRC-32 |
//! | 1 | 0.10 (KIP-32) | the same, with timestamps; offsets in a set are relative (KIP-31) | CRC-32 |
//! | 2 | 0.11 (KIP-98) | a header and records with headers, compressed together | CRC-32C |

pub mod codec;
mod legacy;
mod read;
mod write;

use crate::walk::{Batch, BatchProblem, Compression};
use crate::wire::head;
use codec::CodecError;

pub use read::{Header, Headers, Record, RecordIter, Records};
pub use write::{BatchSettings, BatchWriter, NewRecord, Producer, WriteError};

/// Bytes before those that a batch's length counts.
const BEFORE_LENGTH: usize = 12;
/// Of formats 0 and 1: where the checksum lies, and where the bytes begin that it is of.
const CRC_LEGACY: usize = 12;
const CHECKED_LEGACY: usize = 16;
/// Of format 2: the same, and where the records begin.
const CRC_V2: usize = 17;
const CHECKED_V2: usize = 21;
const HEADER_V2: usize = 61;
/// The attribute that says that a broker has set the timestamps.
const APPEND_TIME: u16 = 0x08;

/// The batches of a records field, in their order.
///
/// After an error nothing follows. The last batch of a fetch response may be cut short, which is
/// an error here too: [`BatchProblem::Partial`].
#[derive(Debug, Clone)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

/// One batch; of formats 0 and 1 a message, which may hold a compressed set of messages.
#[derive(Clone, Copy)]
pub struct RecordBatch<'a> {
    header: Batch,
    bytes: &'a [u8],
}

/// Why records were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The batch's header.
    #[error("a record batch {0}")]
    Batch(#[from] BatchProblem),
    /// The checksum is not that of the bytes.
    #[error("a record batch has checksum {stored:08x}, its bytes have {computed:08x}")]
    Checksum {
        /// What the batch says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
    /// It could not be decompressed.
    #[error("a compressed record batch: {0}")]
    Codec(#[from] CodecError),
    /// A record, key, value or header reaches beyond what it is in.
    #[error("record {0} reaches beyond its batch")]
    Overrun(u32),
    /// A record has bytes that no field of it takes.
    #[error("record {0} is longer than its fields")]
    TooLong(u32),
    /// A length or count below zero where it does not mean null, or a number that does not fit.
    #[error("record {0} has a length or number that cannot be")]
    Number(u32),
    /// Bytes follow the last record that the batch counts.
    #[error("{0} bytes follow the last record")]
    Trailing(usize),
    /// A message in a compressed set is of another format than the set, or compressed itself.
    #[error("message {0} in a compressed set is of another format, or compressed itself")]
    Nested(u32),
    /// A compressed message of formats 0 and 1 that holds no message.
    #[error("a compressed message holds no messages")]
    Empty,
}

/// The batches of a records field.
pub fn batches(field: &[u8]) -> Batches<'_> {
    Batches { rest: field }
}

// === impl Batches ===

impl<'a> Batches<'a> {
    fn read(&mut self) -> Result<RecordBatch<'a>, RecordsError> {
        let (header, _) = Batch::read(self.rest)?.ok_or(BatchProblem::Partial)?;
        let length = usize::try_from(header.bytes).map_err(|_| BatchProblem::Partial)?;
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(BatchProblem::Partial)?;
        self.rest = rest;
        Ok(RecordBatch { header, bytes })
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<RecordBatch<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let batch = self.read();
        if batch.is_err() {
            self.rest = &[];
        }
        Some(batch)
    }
}

// === impl RecordBatch ===

impl<'a> RecordBatch<'a> {
    /// What the header says.
    pub fn header(&self) -> &Batch {
        &self.header
    }

    /// The batch as it is on the wire.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The offset of the last record: of formats 0 and 1 the one that the message itself has.
    pub fn last_offset(&self) -> i64 {
        let delta = i64::from(self.header.last_offset_delta);
        self.header.base_offset.wrapping_add(delta)
    }

    /// The leader's epoch when the batch was appended (KIP-101); -1 if it is not known.
    pub fn partition_leader_epoch(&self) -> i32 {
        match self.header.magic {
            2 => i32::from_be_bytes(self.at(BEFORE_LENGTH)),
            _ => -1,
        }
    }

    /// Whether the timestamps are those of a broker's append, not of the producer.
    pub fn has_append_time(&self) -> bool {
        self.header.magic > 0 && self.header.attributes & APPEND_TIME != 0
    }

    /// Compares the checksum with the bytes.
    pub fn check(&self) -> Result<(), RecordsError> {
        let (stored, computed) = match self.header.magic {
            2 => (
                u32::from_be_bytes(self.at(CRC_V2)),
                crc32c::crc32c(&self.bytes[CHECKED_V2..]),
            ),
            _ => (
                u32::from_be_bytes(self.at(CRC_LEGACY)),
                crc32fast::hash(&self.bytes[CHECKED_LEGACY..]),
            ),
        };
        if stored == computed {
            Ok(())
        } else {
            Err(RecordsError::Checksum { stored, computed })
        }
    }

    /// The records, decompressed if need be to at most `limit` bytes.
    pub fn records(&self, limit: usize) -> Result<Records<'a>, RecordsError> {
        match self.header.magic {
            2 => {
                let body = &self.bytes[HEADER_V2..];
                let body = codec::decompress(self.header.compression(), 2, body, limit)?;
                Ok(Records::current(*self, body))
            }
            _ => legacy::records(*self, limit),
        }
    }

    fn is_compressed(&self) -> bool {
        self.header.compression() != Compression::None
    }

    /// `N` bytes of the header, which is there.
    fn at<const N: usize>(&self, from: usize) -> [u8; N] {
        self.bytes.get(from..).and_then(head).unwrap_or([0; N])
    }
}

/// The header alone: records may be secret.
impl std::fmt::Debug for RecordBatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.header.fmt(f)
    }
}
