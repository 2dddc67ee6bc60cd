//! Records of every format and codec, there and back, and what is refused.

use proptest::prelude::*;
use tubeway_protocol::records::codec::{self, CodecError};
use tubeway_protocol::records::{
    BatchSettings, BatchWriter, Header, NewRecord, Producer, RecordsError, WriteError, batches,
};
use tubeway_protocol::walk::{BatchProblem, Compression};

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];
/// What the batches here may become.
const LIMIT: usize = 1 << 20;

/// A record that owns what it has.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    offset: i64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        // What compresses well, and straddles the codecs' blocks.
        (any::<u8>(), 0usize..100_000).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn record() -> impl Strategy<Value = Owned> {
    let header = (
        prop::collection::vec(any::<u8>(), 0..9),
        prop::option::of(bytes()),
    );
    (
        1i64..5,
        any::<i64>(),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
        prop::option::of(bytes()),
        prop::collection::vec(header, 0..3),
    )
        .prop_map(|(offset, timestamp, key, value, headers)| Owned {
            offset,
            timestamp,
            key,
            value,
            headers,
        })
}

fn write(settings: BatchSettings, records: &[Owned]) -> Result<Vec<u8>, WriteError> {
    let mut writer = BatchWriter::new(settings)?;
    for record in records {
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header {
                key,
                value: value.as_deref(),
            })
            .collect();
        writer.push(&NewRecord {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        })?;
    }
    writer.finish()
}

fn read(field: &[u8], limit: usize) -> Result<Vec<Owned>, RecordsError> {
    let mut all = Vec::new();
    for batch in batches(field) {
        let batch = batch?;
        batch.check()?;
        let records = batch.records(limit)?;
        for record in &records {
            let record = record?;
            let headers = record.headers.iter();
            all.push(Owned {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers
                    .map(|header| (header.key.to_vec(), header.value.map(<[u8]>::to_vec)))
                    .collect(),
            });
        }
    }
    Ok(all)
}

/// The records as a format can have them, with offsets that rise from `base`.
fn shaped(mut records: Vec<Owned>, base: i64, magic: u8) -> Vec<Owned> {
    let mut offset = base;
    for record in &mut records {
        offset += record.offset;
        record.offset = offset;
        if magic < 2 {
            record.headers.clear();
        }
        if magic == 0 {
            record.timestamp = -1;
        }
    }
    records
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn records_come_back(
        records in prop::collection::vec(record(), 1..6),
        base in 0i64..1 << 40,
        magic in 0u8..=2,
        codec in prop::sample::select(&CODECS[..]),
        append_time in prop::option::of(any::<i64>()),
        producer in prop::option::of((any::<i64>(), any::<i16>(), any::<i32>())),
        transactional: bool,
    ) {
        prop_assume!(codec != Compression::Zstd || magic == 2);
        let mut records = shaped(records, base, magic);
        let producer = producer.map(|(id, epoch, sequence)| Producer { id, epoch, sequence });
        let settings = BatchSettings {
            magic,
            compression: codec,
            append_time: append_time.filter(|_| magic > 0),
            producer: producer.filter(|_| magic == 2),
            transactional: transactional && magic == 2,
            control: false,
            partition_leader_epoch: 7,
        };
        let field = write(settings, &records).unwrap();
        if let Some(time) = settings.append_time {
            for record in &mut records {
                record.timestamp = time;
            }
        }
        prop_assert_eq!(read(&field, LIMIT), Ok(records));
        let batch = batches(&field).next().unwrap().unwrap();
        prop_assert_eq!(batch.header().compression(), codec);
        prop_assert_eq!(batch.has_append_time(), settings.append_time.is_some());
        prop_assert_eq!(batch.header().is_transactional(), settings.transactional);
        if magic == 2 {
            prop_assert_eq!(batch.partition_leader_epoch(), 7);
            prop_assert_eq!(batch.header().producer_id, producer.map_or(-1, |one| one.id));
        }
    }

    #[test]
    fn what_is_changed_is_noticed(
        record in record(),
        magic in 0u8..=2,
        codec in prop::sample::select(&CODECS[..4]),
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let settings = BatchSettings { magic, compression: codec, ..BatchSettings::default() };
        let mut field = write(settings, &shaped(vec![record], 0, magic)).unwrap();
        // Offset, length and epoch are not what the checksum is of.
        let at = 17 + at.index(field.len() - 17);
        field[at] ^= 1 << bit;
        prop_assert!(read(&field, LIMIT).is_err());
    }

    #[test]
    fn any_bytes_are_decompressed_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        codec in prop::sample::select(&CODECS[..]),
        limit in 0usize..300,
    ) {
        if let Ok(out) = codec::decompress(codec, 2, &bytes, limit) {
            prop_assert!(codec == Compression::None || out.len() <= limit);
        }
    }

    #[test]
    fn a_limit_is_kept_to_the_byte(
        bytes in bytes(),
        codec in prop::sample::select(&CODECS[1..]),
    ) {
        let packed = codec::compress(codec, 2, bytes.clone()).unwrap();
        let fits = codec::decompress(codec, 2, &packed, bytes.len()).unwrap();
        prop_assert_eq!(&*fits, &bytes[..]);
        if let Some(short) = bytes.len().checked_sub(1) {
            let refused = codec::decompress(codec, 2, &packed, short);
            prop_assert_eq!(refused, Err(CodecError::TooLong(short)));
        }
    }
}

#[test]
fn a_batch_that_is_cut_short() {
    let record = NewRecord {
        value: Some(b"value"),
        ..NewRecord::default()
    };
    for magic in 0..=2 {
        let settings = BatchSettings {
            magic,
            ..BatchSettings::default()
        };
        let mut writer = BatchWriter::new(settings).unwrap();
        writer.push(&record).unwrap();
        let field = writer.finish().unwrap();
        for cut in 1..field.len() {
            let last = batches(&field[..cut]).last().unwrap().err();
            assert_eq!(
                last,
                Some(RecordsError::Batch(BatchProblem::Partial)),
                "{magic}, {cut}"
            );
        }
    }
}

#[test]
fn what_a_format_does_not_have_is_not_written() {
    let refuse = |settings: BatchSettings| BatchWriter::new(settings).err().unwrap().to_string();
    let one = BatchSettings {
        magic: 1,
        ..BatchSettings::default()
    };
    assert_eq!(
        refuse(BatchSettings {
            transactional: true,
            ..one
        }),
        "format 1 has no transactions"
    );
    assert_eq!(
        refuse(BatchSettings {
            append_time: Some(1),
            magic: 0,
            ..one
        }),
        "format 0 has no timestamps"
    );
    assert_eq!(
        refuse(BatchSettings { magic: 3, ..one }),
        "there are formats 0, 1 and 2, not 3"
    );
    let zstd = BatchSettings {
        compression: Compression::Zstd,
        ..one
    };
    let written = write(
        zstd,
        &[Owned {
            offset: 0,
            timestamp: 0,
            key: None,
            value: None,
            headers: vec![],
        }],
    );
    assert_eq!(
        written.unwrap_err().to_string(),
        "Zstd is no codec of format 1"
    );
    let mut writer = BatchWriter::new(BatchSettings::default()).unwrap();
    let far = NewRecord {
        offset: 1 << 40,
        ..NewRecord::default()
    };
    writer.push(&NewRecord::default()).unwrap();
    assert_eq!(writer.push(&far), Err(WriteError::Offset(1 << 40)));
    assert_eq!(
        writer.push(&NewRecord::default()),
        Err(WriteError::Offset(0))
    );
}

#[test]
fn snappy_without_blocks_is_read_too() {
    let bytes = b"no blocks, no blocks, no blocks".repeat(9);
    let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
    let read = codec::decompress(Compression::Snappy, 2, &packed, LIMIT).unwrap();
    assert_eq!(*read, bytes);
}
