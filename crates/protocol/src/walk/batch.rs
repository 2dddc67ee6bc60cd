//! What the headers of record batches say.

use super::BatchProblem;
use crate::wire::head;

/// Bytes of every format up to the format's number.
pub(super) const TO_MAGIC: usize = 17;
/// Bytes of a header of format 2.
pub(super) const HEADER_V2: usize = 61;
/// Bytes of formats 0 and 1 up to the attributes.
pub(super) const HEADER_V0: usize = 18;
/// Bytes before those that a batch's length counts: base offset and the length itself.
const BEFORE_LENGTH: u64 = 12;

/// A record batch, as its header has it. Formats 0 and 1 have no batches: one message, which may
/// be a compressed set of them, stands for a batch of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// The format: 0, 1 or 2.
    pub magic: u8,
    /// The attributes' bits.
    pub attributes: u16,
    /// Records, as the header counts them.
    pub records: u32,
    /// Bytes of the batch with its header.
    pub bytes: u64,
    /// Offset of the first record.
    pub base_offset: i64,
    /// The last record's offset less the first's.
    pub last_offset_delta: i32,
    /// The idempotent producer's id; -1 without one.
    pub producer_id: i64,
    /// The idempotent producer's epoch; -1 without one.
    pub producer_epoch: i16,
    /// The first record's sequence number; -1 without one.
    pub base_sequence: i32,
}

/// How a batch is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the codecs")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
    /// A number that means no codec.
    Unknown(u8),
}

impl From<u8> for Compression {
    /// By the number that Kafka has for it in batches and in telemetry (KIP-714).
    fn from(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            other => Self::Unknown(other),
        }
    }
}

/// Sums over one records field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordsTotal {
    /// Whole batches.
    pub batches: u32,
    /// Records in them, as their headers count.
    pub records: u64,
    /// Bytes of the field, with a batch that is cut short.
    pub bytes: u64,
    /// Whether the last batch is cut short, which brokers may do in fetch responses.
    pub partial: bool,
}

// === impl Batch ===

impl Batch {
    /// Reads a batch's header from the start of `bytes`, and how many bytes it took.
    ///
    /// `None` when the header is longer than `bytes`.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, BatchProblem> {
        let Some(head) = head::<TO_MAGIC>(bytes) else {
            return Ok(None);
        };
        let length = i32::from_be_bytes([head[8], head[9], head[10], head[11]]);
        let magic = head[16] as i8;
        // The shortest there is: of format 2 a header without records, of the others a message
        // without key and value.
        let (shortest, header) = match magic {
            0 => (14, HEADER_V0),
            1 => (22, HEADER_V0),
            2 => (HEADER_V2 as i32 - BEFORE_LENGTH as i32, HEADER_V2),
            other => return Err(BatchProblem::Magic(other)),
        };
        if length < shortest {
            return Err(BatchProblem::Length(length));
        }
        let Some(header) = bytes.get(..header) else {
            return Ok(None);
        };
        let mut batch = Self {
            magic: magic as u8,
            attributes: u16::from(*header.get(HEADER_V0 - 1).unwrap_or(&0)),
            records: 1,
            bytes: BEFORE_LENGTH + length as u64,
            base_offset: i64::from_be_bytes(at(header, 0)),
            last_offset_delta: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
        };
        if magic == 2 {
            batch.attributes = u16::from_be_bytes(at(header, 21));
            batch.last_offset_delta = i32::from_be_bytes(at(header, 23));
            batch.producer_id = i64::from_be_bytes(at(header, 43));
            batch.producer_epoch = i16::from_be_bytes(at(header, 51));
            batch.base_sequence = i32::from_be_bytes(at(header, 53));
            let count = i32::from_be_bytes(at(header, 57));
            batch.records = u32::try_from(count).map_err(|_| BatchProblem::Count(count))?;
        }
        Ok(Some((batch, header.len())))
    }

    /// The codec.
    pub fn compression(&self) -> Compression {
        Compression::from((self.attributes & 0x07) as u8)
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(&self) -> bool {
        self.magic == 2 && self.attributes & 0x10 != 0
    }

    /// Whether the batch is a marker of a transaction's end, which only brokers write.
    pub fn is_control(&self) -> bool {
        self.magic == 2 && self.attributes & 0x20 != 0
    }
}

/// `N` bytes of a header that is long enough.
fn at<const N: usize>(header: &[u8], from: usize) -> [u8; N] {
    header.get(from..).and_then(head).unwrap_or([0; N])
}
