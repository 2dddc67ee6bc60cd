//! Record batches (format 2, Kafka 0.11), as small as they can be.

use serde_json::Value as Json;

/// Timestamp of every record: any moment will do, as long as it is the same everywhere.
const TIMESTAMP: i64 = 1_700_000_000_000;

/// Who writes a batch.
#[derive(Debug, Clone, Copy)]
pub struct Producer {
    /// Producer id; -1 for a producer that is not idempotent.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The first sequence number.
    pub sequence: i32,
    /// Whether the batch is part of a transaction.
    pub transactional: bool,
}

// === impl Producer ===

impl Producer {
    /// One that is neither idempotent nor transactional.
    pub const PLAIN: Self = Self {
        id: -1,
        epoch: -1,
        sequence: -1,
        transactional: false,
    };

    /// A batch of `count` records, for a field of records in a message's JSON.
    pub fn batch(&self, count: usize) -> Json {
        let body = self.body(count);
        let mut out = Vec::new();
        out.extend(0i64.to_be_bytes());
        out.extend((9 + body.len() as u32).to_be_bytes());
        out.extend((-1i32).to_be_bytes());
        out.push(2);
        out.extend(crc32c::crc32c(&body).to_be_bytes());
        out.extend(body);
        out.into()
    }

    /// What the checksum covers.
    fn body(&self, count: usize) -> Vec<u8> {
        let attributes: i16 = if self.transactional { 0x10 } else { 0 };
        let mut out = Vec::new();
        out.extend(attributes.to_be_bytes());
        out.extend((count as i32 - 1).to_be_bytes());
        out.extend(TIMESTAMP.to_be_bytes());
        out.extend(TIMESTAMP.to_be_bytes());
        out.extend(self.id.to_be_bytes());
        out.extend(self.epoch.to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend((count as i32).to_be_bytes());
        for offset in 0..count {
            // Attributes, timestamp's distance, offset's distance, no key,
            // three bytes of value, no headers; small numbers in zigzag.
            let record = [0, 0, offset as u8 * 2, 1, 6, b'a', b'b', b'c', 0];
            out.push(record.len() as u8 * 2);
            out.extend(record);
        }
        out
    }
}
