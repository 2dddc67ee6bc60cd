//! Messages at random: of any API, version and direction.

#![allow(dead_code, reason = "each test binary uses some of it")]

use bytes::Bytes;
use tubeway_protocol::schema::{Field, Kind};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{Direction, Layout, Schemas};

/// A small generator of numbers; messages come from a seed, which a failing test names.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
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
    let schemas = Schemas::get();
    let mut layouts = Vec::new();
    for api in schemas.apis() {
        for direction in [Direction::Request, Direction::Response] {
            let versions = api.message(direction).versions();
            for version in versions.first..=versions.last {
                layouts.push(schemas.layout(api.key(), version, direction).unwrap());
            }
        }
    }
    layouts
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
    let fields: Vec<&'static Field> = of.fields().map(|(field, _)| field).collect();
    for field in fields {
        let absent = field.tag().is_some() && random.below(2) == 0;
        let null = field.is_nullable() && random.below(3) == 0;
        let value = match (absent, null) {
            (true, _) => Value::Absent,
            (_, true) => Value::Null,
            _ => value(&of, field, random, depth),
        };
        assert!(of.set(field.name(), value));
    }
    if of.layout().is_flexible() && random.below(4) == 0 {
        // Between and after the known ones, of which none is above 10.
        let mut tag = 10;
        for _ in 0..=random.below(2) {
            tag += 1 + random.below(200) as u32;
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
    let count = random.below(4 - depth.min(3) as u64) + u64::from(depth == 0);
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
    let number = random.next();
    match field.kind() {
        Kind::Bool => Value::Bool(number & 1 == 0),
        Kind::Int8 => Value::Int8(number as i8),
        Kind::Int16 => Value::Int16(number as i16),
        Kind::Uint16 => Value::Uint16(number as u16),
        Kind::Int32 => Value::Int32(number as i32),
        Kind::Int64 => Value::Int64(number as i64),
        Kind::Float64 => Value::Float64(f64::from(number as i32)),
        Kind::Uuid => Value::Uuid(std::array::from_fn(|_| random.next() as u8)),
        Kind::String => {
            let length = if random.below(20) == 0 {
                200
            } else {
                random.below(9)
            };
            let text: String = (0..length)
                .map(|_| char::from(b'a' + random.below(26) as u8))
                .collect();
            Value::String(text.into())
        }
        Kind::Bytes => Value::Bytes(random.bytes(9).into()),
        Kind::Records => Value::Records(records(random).into()),
        Kind::Struct(_) => {
            let child = of.child(field.name()).unwrap();
            filled(child, random, depth + 1).into()
        }
    }
}

/// Batches whose headers are right, of all formats.
pub(crate) fn records(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(4) {
        match random.below(4) {
            0 => message_set(random, 0, &mut bytes),
            1 => message_set(random, 1, &mut bytes),
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
