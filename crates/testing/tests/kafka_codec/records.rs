//! Records of every format and codec: what Kafka writes we read, and what we write Kafka reads,
//! with right checksums.

use std::fmt::Write as _;

use tubeway_protocol::records::{BatchSettings, BatchWriter, Header, NewRecord, Producer, batches};
use tubeway_protocol::walk::Compression;

use crate::common::Random;
use crate::helper::Kafka;

/// Fields for each format, codec and release.
const CASES: u64 = 50;
const SEED: u64 = 0x7ab3_0002;
const LIMIT: usize = 4 << 20;
const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// A field to be written by both.
struct Case {
    settings: BatchSettings,
    /// 0: no marker; 1: abort; 2: commit.
    marker: u8,
    records: Vec<Owned>,
}

struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

#[test]
fn records_of_every_format_and_codec_are_kafkas() {
    println!("seed {SEED:#x}");
    let mut checked = 0;
    for mut kafka in Kafka::all() {
        for magic in 0..=2u8 {
            for (codec, compression) in CODECS.into_iter().enumerate() {
                if compression == Compression::Zstd && magic < 2 {
                    continue;
                }
                for case in 0..CASES {
                    let mut random =
                        Random::new(SEED ^ case << 16 ^ (codec as u64) << 8 ^ u64::from(magic));
                    let case = Case::new(magic, compression, &mut random);
                    case.check(&mut kafka);
                    checked += 1;
                }
            }
        }
    }
    println!("{checked} fields each way");
}

/// What we read in a field, in the words of `Codec.java`.
fn describe(field: &[u8]) -> String {
    let mut text = String::new();
    for batch in batches(field) {
        let batch = batch.expect("a batch");
        batch.check().expect("its checksum");
        let records = batch.records(LIMIT).expect("its records");
        let header = batch.header();
        let first = records
            .iter()
            .next()
            .map(|record| record.expect("a record").offset);
        let base = match (header.magic, first) {
            (0 | 1, Some(first)) => first,
            _ => header.base_offset,
        };
        let stamps = match header.magic {
            0 => -1,
            _ => i32::from(batch.has_append_time()),
        };
        writeln!(
            text,
            "batch {} codec {} base {base} last {} producer {} {} {} transactional {} control {} \
             stamps {stamps} epoch {}",
            header.magic,
            header.attributes & 7,
            batch.last_offset(),
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.is_transactional(),
            header.is_control(),
            batch.partition_leader_epoch(),
        )
        .expect("a string");
        for record in &records {
            let record = record.expect("a record");
            let (key, value) = (hex(record.key), hex(record.value));
            write!(
                text,
                " {} at {} key {key} value {value}",
                record.offset, record.timestamp
            )
            .expect("a string");
            for header in record.headers.iter() {
                write!(text, " {}={}", hex(Some(header.key)), hex(header.value)).expect("a string");
            }
            text.push('\n');
        }
    }
    text
}

fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    bytes.iter().fold("x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string");
        text
    })
}

// === impl Case ===

impl Case {
    fn new(magic: u8, compression: Compression, random: &mut Random) -> Self {
        let current = magic == 2;
        let producer = current && random.below(2) == 0;
        let plain = producer && compression == Compression::None;
        let marker = match (plain, random.below(6)) {
            (true, marker @ 1..=2) => marker as u8,
            _ => 0,
        };
        let settings = BatchSettings {
            magic,
            compression,
            append_time: (magic > 0 && random.below(3) == 0).then_some(1_700_000_000_123),
            producer: producer.then(|| Producer {
                id: random.below(1 << 40) as i64,
                epoch: random.below(1 << 14) as i16,
                sequence: random.below(1 << 30) as i32,
            }),
            transactional: producer && random.below(2) == 0,
            control: false,
            partition_leader_epoch: if current {
                random.below(100) as i32
            } else {
                -1
            },
        };
        let mut offset = random.below(1 << 40) as i64;
        let records = (0..=random.below(6)).map(|_| {
            offset += 1 + random.below(3) as i64;
            Owned::new(offset, magic, random)
        });
        Self {
            settings,
            marker,
            records: records.collect(),
        }
    }

    fn check(&self, kafka: &mut Kafka) {
        let name = format!("Kafka {}, {:?}", kafka.release, self.settings);
        let theirs = kafka
            .write_records(&self.request())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let seen = kafka
            .read_records(&theirs)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(describe(&theirs), seen, "{name}: what Kafka writes");
        if self.marker > 0 {
            assert!(seen.contains("control true"), "{seen}");
            return;
        }
        let ours = self.write();
        if self.settings.compression == Compression::None {
            assert_eq!(ours, theirs, "{name}: the bytes");
        }
        let seen_of_ours = kafka
            .read_records(&ours)
            .unwrap_or_else(|error| panic!("{name}: what we write: {error}"));
        assert_eq!(seen_of_ours, seen, "{name}: what we write");
        assert_eq!(describe(&ours), seen, "{name}: what we write, read by us");
    }

    fn write(&self) -> Vec<u8> {
        let mut writer = BatchWriter::new(self.settings).expect("settings");
        for record in &self.records {
            let headers: Vec<Header<'_>> = record
                .headers
                .iter()
                .map(|(key, value)| Header {
                    key: key.as_bytes(),
                    value: value.as_deref(),
                })
                .collect();
            let record = NewRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            };
            writer.push(&record).expect("a record");
        }
        writer.finish().expect("a batch")
    }

    /// As `Codec.java` takes it.
    fn request(&self) -> Vec<u8> {
        let settings = &self.settings;
        let codec = CODECS
            .iter()
            .position(|codec| *codec == settings.compression);
        let mut out = vec![settings.magic, codec.expect("one of them") as u8];
        out.push(u8::from(settings.append_time.is_some()));
        out.extend(self.records[0].offset.to_be_bytes());
        out.extend(settings.append_time.unwrap_or(-1).to_be_bytes());
        let producer = settings.producer.unwrap_or(Producer {
            id: -1,
            epoch: -1,
            sequence: -1,
        });
        out.extend(producer.id.to_be_bytes());
        out.extend(producer.epoch.to_be_bytes());
        out.extend(producer.sequence.to_be_bytes());
        out.push(u8::from(settings.transactional));
        out.push(self.marker);
        out.extend(settings.partition_leader_epoch.to_be_bytes());
        out.extend((self.records.len() as u32).to_be_bytes());
        for record in &self.records {
            out.extend(record.offset.to_be_bytes());
            out.extend(record.timestamp.to_be_bytes());
            optional(&mut out, record.key.as_deref());
            optional(&mut out, record.value.as_deref());
            out.extend((record.headers.len() as u32).to_be_bytes());
            for (key, value) in &record.headers {
                optional(&mut out, Some(key.as_bytes()));
                optional(&mut out, value.as_deref());
            }
        }
        out
    }
}

fn optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.extend(bytes.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
    out.extend(bytes.unwrap_or_default());
}

// === impl Owned ===

impl Owned {
    fn new(offset: i64, magic: u8, random: &mut Random) -> Self {
        let headers = if magic == 2 { random.below(3) } else { 0 };
        Self {
            offset,
            timestamp: if magic == 0 {
                -1
            } else {
                random.below(1 << 42) as i64
            },
            key: (random.below(3) > 0).then(|| random.bytes(20)),
            value: (random.below(4) > 0).then(|| Self::value(random)),
            headers: (0..headers)
                .map(|at| {
                    let value = (random.below(3) > 0).then(|| random.bytes(9));
                    (format!("{at}-ß"), value)
                })
                .collect(),
        }
    }

    /// Of a few bytes; or long, and compressible in the ways that matter: not, in runs, in words.
    fn value(random: &mut Random) -> Vec<u8> {
        match random.below(12) {
            0 => random.bytes(40_000),
            1 => vec![7; 70_000],
            2 => b"all work and no play ".repeat(random.below(4000) as usize),
            _ => random.bytes(60),
        }
    }
}
