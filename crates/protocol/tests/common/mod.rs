//! Messages at random: of any API, version and direction.

#![allow(dead_code, reason = "each test binary uses some of it")]

use bytes::Bytes;
use tubeway_protocol::records::{BatchSettings, BatchWriter, NewRecord};
use tubeway_protocol::schema::{Field, Kind};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{Layout, Schemas};

/// A small generator of numbers; messages come from a seed, which a failing test names.
pub(crate) struct Random {
    state: u64,
    /// Bytes of the longest strings, which are rare.
    pub(crate) longest: usize,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            longest: 300,
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound
    }

    pub(crate) fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most + 1))
            .map(|_| self.next() as u8)
            .collect()
    }
}

/// Every wire form there is.
pub(crate) fn layouts() -> Vec<&'static Layout> {
    Schemas::get().layouts().collect()
}

pub(crate) fn name(layout: &Layout) -> String {
    format!(
        "{} v{} {:?}",
        layout.api(),
        layout.version(),
        layout.direction()
    )
}

pub(crate) fn message(layout: &'static Layout, random: &mut Random) -> Struct {
    filled(Struct::message(layout), random, 0)
}

pub(crate) fn encoded(message: &Struct) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

fn filled(mut of: Struct, random: &mut Random, depth: usize) -> Struct {
    let layout = of.layout();
    let fields: Vec<&'static Field> = of.fields().map(|(field, _)| field).collect();
    for field in fields {
        let absent = field.tag().is_some() && random.below(2) == 0;
        let null = field.is_nullable() && random.below(3) == 0;
        let mut value = match (absent, null) {
            (true, _) => Value::Absent,
            (_, true) => Value::Null,
            _ => value(&of, field, random, depth),
        };
        if field.tag().is_some() && value == layout.default_of(field) {
            // Kafka does not write those.
            value = Value::Absent;
        }
        assert!(of.set(field.name(), value));
    }
    if layout.is_flexible() && random.below(4) == 0 {
        // After the known ones, of which none is above 10: Kafka refuses a tag that another
        // version of the same struct knows.
        let mut tag = 10;
        for _ in 0..=random.below(2) {
            let far = random.below(8) == 0;
            tag += 1 + random.below(if far { 1 << 29 } else { 200 }) as u32;
            let value = Bytes::from(random.bytes(5));
            of.push_unknown_tag(tag, value);
        }
    }
    of
}

fn value(of: &Struct, field: &Field, random: &mut Random, depth: usize) -> Value {
    if !field.is_array() {
        return single(of, field, random, depth);
    }
    let count = match random.below(4) {
        0 => 0,
        _ => 1 + random.below(4 - depth.min(3) as u64),
    };
    match field.kind().size() {
        Some(size) => Value::Packed(
            (0..count * u64::from(size))
                .map(|_| random.next() as u8)
                .collect(),
        ),
        None => Value::Array(
            (0..count)
                .map(|_| single(of, field, random, depth))
                .collect(),
        ),
    }
}

fn single(of: &Struct, field: &Field, random: &mut Random, depth: usize) -> Value {
    let number = number(random);
    match field.kind() {
        Kind::Bool => Value::Bool(number & 1 == 0),
        Kind::Int8 => Value::Int8(number as i8),
        Kind::Int16 => Value::Int16(number as i16),
        Kind::Uint16 => Value::Uint16(number as u16),
        Kind::Int32 => Value::Int32(number as i32),
        Kind::Int64 => Value::Int64(number as i64),
        Kind::Float64 => Value::Float64(match random.below(6) {
            0 => f64::INFINITY,
            1 => f64::MIN,
            2 => f64::MIN_POSITIVE,
            _ => f64::from(number as i32) / 3.0,
        }),
        Kind::Uuid => {
            let (high, low) = (random.next(), random.next());
            Value::Uuid((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
        }
        Kind::String => Value::String(text(random).into()),
        Kind::Bytes => Value::Bytes(random.bytes(9).into()),
        Kind::Records => Value::Records(records(random).into()),
        Kind::Struct(_) => {
            let child = of.child(field.name()).unwrap();
            filled(child, random, depth + 1).into()
        }
    }
}

/// Any number; often the least or greatest of some width.
fn number(random: &mut Random) -> u64 {
    let number = random.next();
    match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        // The sign bit alone, and all but it, of each width.
        2 => [1 << 7, 1 << 15, 1 << 31, 1 << 63][(number >> 20) as usize % 4],
        3 => [0x7f, 0x7fff, 0x7fff_ffff, i64::MAX as u64][(number >> 20) as usize % 4],
        _ => number,
    }
}

/// Characters of one to four bytes.
fn text(random: &mut Random) -> String {
    const CHARACTERS: [char; 16] = [
        'a', 'b', 'c', 'd', 'x', 'y', '.', '-', '_', '0', '\0', '\u{7f}', 'ß', '€', '日', '𝄞',
    ];
    match random.below(2000) {
        0 => "z".repeat(random.longest),
        1..100 => "é".repeat(60 + random.below(10) as usize),
        _ => {
            let mut bits = random.next();
            let length = random.below(9);
            let pick = |_| {
                bits >>= 4;
                CHARACTERS[(bits & 15) as usize]
            };
            (0..length).map(pick).collect()
        }
    }
}

/// Batches of all formats: whole ones, and some of which only the headers are right.
pub(crate) fn records(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(4) {
        match random.below(6) {
            0 => message_set(random, 0, &mut bytes),
            1 => message_set(random, 1, &mut bytes),
            2..=3 => whole_batch(random, &mut bytes),
            _ => batch(random, &mut bytes),
        }
    }
    bytes
}

fn message_set(random: &mut Random, magic: u8, out: &mut Vec<u8>) {
    let body = random.bytes(30);
    let fixed = if magic == 0 { 14 } else { 22 };
    out.extend(random.next().to_be_bytes());
    out.extend((fixed + body.len() as u32).to_be_bytes());
    out.extend([1, 2, 3, 4, magic, 1]);
    out.extend((6..fixed).map(|_| 0xff));
    out.extend(body);
}

fn whole_batch(random: &mut Random, out: &mut Vec<u8>) {
    let settings = BatchSettings {
        magic: random.below(3) as u8,
        ..BatchSettings::default()
    };
    let mut writer = BatchWriter::new(settings).unwrap();
    for offset in 0..=random.below(2) as i64 {
        let value = random.bytes(20);
        let record = NewRecord {
            offset,
            timestamp: random.below(1 << 42) as i64,
            value: Some(&value),
            ..NewRecord::default()
        };
        writer.push(&record).unwrap();
    }
    out.extend(writer.finish().unwrap());
}

fn batch(random: &mut Random, out: &mut Vec<u8>) {
    let body = random.bytes(100);
    out.extend(random.next().to_be_bytes());
    out.extend((49 + body.len() as u32).to_be_bytes());
    out.extend([0, 0, 0, 1, 2, 9, 9, 9, 9]);
    out.extend((random.below(64) as u16).to_be_bytes());
    out.extend((0..34).map(|_| random.next() as u8));
    out.extend((random.below(1000) as u32).to_be_bytes());
    out.extend(body);
}

pub(crate) fn encoded_length(message: &Struct) -> usize {
    encoded(message).len()
}
