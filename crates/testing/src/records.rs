//! Records that can be told apart, and what became of each.
//!
//! A record's value is `<producer>:<seq>:<crc32c of payload>:<payload>` and
//! its key `p<producer>`. The payload follows from producer and sequence
//! number, so the whole value can be computed again wherever it is checked.
//! Kafka's VerifiableProducer writes values of its own, `<producer>.<seq>`;
//! both forms are read.

/// Which record: the `seq`-th (from 0) of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The producer's number; unique among those that write to one topic.
    pub producer: u32,
    /// Place in the producer's order of sending.
    pub seq: u64,
}

/// Where a broker put a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

/// What the producer was told about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Written; some clients also say where.
    Acked(Option<Position>),
    /// The client reported an error. It may have been written all the same.
    Unknown,
    /// Refused for a reason that means that nothing was written, such as
    /// TOPIC_AUTHORIZATION_FAILED.
    Refused,
}

/// One record that a producer tried to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub id: RecordId,
    /// CRC-32C of its value.
    pub digest: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// One record that a consumer received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Where it was.
    pub at: Position,
    /// Which it says it is; `None` if the value is damaged or of another form.
    pub id: Option<RecordId>,
    /// CRC-32C of its value.
    pub digest: u32,
}

/// The records that one producer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    /// The producer's number.
    pub producer: u32,
    /// How many records.
    pub count: u64,
    /// Length of the payload in bytes.
    pub payload: usize,
    /// Records a second, as the client is fed; `None` is as fast as it can.
    pub rate: Option<u32>,
}

// === impl Workload ===

impl Workload {
    /// `count` records of 32 payload bytes, as fast as the client can.
    pub fn new(producer: u32, count: u64) -> Self {
        Self {
            producer,
            count,
            payload: 32,
            rate: None,
        }
    }

    /// The same at `rate` records a second.
    #[must_use]
    pub fn at_rate(self, rate: u32) -> Self {
        Self {
            rate: Some(rate),
            ..self
        }
    }

    /// The key of all its records.
    pub fn key(&self) -> String {
        format!("p{}", self.producer)
    }

    /// The value of its `seq`-th record.
    pub fn value(&self, seq: u64) -> String {
        let id = RecordId {
            producer: self.producer,
            seq,
        };
        let payload = payload(id, self.payload);
        let crc = crc32c::crc32c(payload.as_bytes());
        format!("{}:{seq}:{crc:08x}:{payload}", self.producer)
    }

    /// What is known of the `seq`-th record once its outcome is.
    pub fn sent(&self, seq: u64, outcome: Outcome) -> Sent {
        Sent {
            id: RecordId {
                producer: self.producer,
                seq,
            },
            digest: crc32c::crc32c(self.value(seq).as_bytes()),
            outcome,
        }
    }
}

// === impl Read ===

impl Read {
    /// What a consumer's `value` at `at` is.
    pub fn new(at: Position, value: &[u8]) -> Self {
        Self {
            at,
            id: std::str::from_utf8(value).ok().and_then(parse_value),
            digest: crc32c::crc32c(value),
        }
    }
}

// === impl RecordId ===

impl std::fmt::Display for RecordId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.producer, self.seq)
    }
}

// === impl Position ===

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

/// The id in a value of either form, if the value is whole.
pub fn parse_value(value: &str) -> Option<RecordId> {
    let Some((producer, rest)) = value.split_once(':') else {
        let (producer, seq) = value.split_once('.')?;
        return Some(RecordId {
            producer: producer.parse().ok()?,
            seq: seq.parse().ok()?,
        });
    };
    let (seq, rest) = rest.split_once(':')?;
    let (crc, payload) = rest.split_once(':')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    if crc != crc32c::crc32c(payload.as_bytes()) {
        return None;
    }
    Some(RecordId {
        producer: producer.parse().ok()?,
        seq: seq.parse().ok()?,
    })
}

/// Letters and digits that follow from the id (SplitMix64), the same every time.
fn payload(id: RecordId, len: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut state = u64::from(id.producer) << 40 ^ id.seq;
    let mut text = String::with_capacity(len + 12);
    while text.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        text.extend((0..12).map(|i| char::from(ALPHABET[(word >> (5 * i)) as usize & 31])));
    }
    text.truncate(len);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Position = Position {
        partition: 0,
        offset: 0,
    };

    #[test]
    fn reads_verifiable_producers_values() {
        let id = RecordId {
            producer: 7,
            seq: 41,
        };
        assert_eq!(parse_value("7.41"), Some(id));
        assert_eq!(parse_value("41"), None);
        assert_eq!(parse_value("7.41."), None);
    }

    proptest! {
        #[test]
        fn a_value_is_read_back(producer: u32, seq: u64, payload in 0_usize..100) {
            let workload = Workload { payload, ..Workload::new(producer, 1) };
            let value = workload.value(seq);
            let read = Read::new(AT, value.as_bytes());
            prop_assert_eq!(read.id, Some(RecordId { producer, seq }));
            prop_assert_eq!(read.digest, workload.sent(seq, Outcome::Unknown).digest);
        }

        #[test]
        fn a_damaged_value_is_never_taken_for_the_sent_one(
            seq in 0_u64..1000, index: prop::sample::Index, flip in 1_u8..=255,
        ) {
            let workload = Workload::new(1, 1000);
            let mut value = workload.value(seq).into_bytes();
            let at = index.index(value.len());
            value[at] ^= flip;
            let read = Read::new(AT, &value);
            let sent = read.id.map(|id| workload.sent(id.seq, Outcome::Unknown));
            prop_assert!(sent.is_none_or(|sent| sent.id.producer != read.id.unwrap().producer
                || sent.digest != read.digest));
        }
    }
}
