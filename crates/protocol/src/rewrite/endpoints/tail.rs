//! The bytes of a tail.

use crate::wire::{self, head, put_uvarint, put_uvarint_padded, uvarint_length};

/// The tag of the endpoints where they have one.
const TAG: u32 = 0;
/// A tag of one byte that no message has.
const UNKNOWN: u8 = 0x7f;

/// A response's end is not what the walk said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the end of a response is malformed")]
pub struct TailError;

/// Reads a tail's parts one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The start of a tail of `length` bytes without endpoints; zeros follow.
pub(super) fn replacement(length: usize, tagged: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    if !tagged {
        // An empty array.
        out.push(1);
    }
    out.extend([1, UNKNOWN]);
    let left = length.checked_sub(out.len())?;
    put_fill_size(&mut out, left)?;
    Some(out)
}

/// Writes the size of a field such that size and field take `room` bytes, and returns the size.
fn put_fill_size(out: &mut Vec<u8>, room: usize) -> Option<usize> {
    let prefix =
        (1..=wire::MAX_UVARINT).find(|prefix| room < prefix + (1usize << (7 * prefix).min(32)))?;
    let size = room.checked_sub(prefix)?;
    put_uvarint_padded(out, u32::try_from(size).ok()?, prefix).then_some(size)
}

/// A whole tail, rewritten.
pub(super) fn rewrite(
    tail: &[u8],
    tagged: bool,
    mut map: impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
) -> Result<Vec<u8>, TailError> {
    let mut reader = Reader { bytes: tail, at: 0 };
    let mut out = Vec::with_capacity(tail.len());
    let complete = if tagged {
        tagged_endpoints(&mut reader, &mut out, &mut map)?
    } else {
        endpoints(&mut reader, &mut out, &mut map)?
    };
    if complete {
        out.extend_from_slice(&tail[reader.at..]);
    }
    if complete && out.len() == tail.len() {
        return Ok(out);
    }
    let mut out = replacement(tail.len(), tagged).ok_or(TailError)?;
    out.resize(tail.len(), 0);
    Ok(out)
}

/// Rewrites tagged fields up to the endpoints. False if they cannot have equal length.
fn tagged_endpoints(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    map: &mut impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
) -> Result<bool, TailError> {
    let count = reader.uvarint()?;
    // Tags rise: the endpoints' is the first or not there.
    if count > 0 && reader.uvarint()? == TAG {
        let size = reader.uvarint()? as usize;
        out.extend_from_slice(&reader.bytes[..reader.at]);
        let end = reader.at + size;
        return Ok(endpoints(reader, out, map)? && reader.at == end && out.len() == end);
    }
    out.extend_from_slice(&reader.bytes[..reader.at]);
    Ok(true)
}

/// Rewrites an array of endpoints. False if one of them cannot have equal length.
fn endpoints(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    map: &mut impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
) -> Result<bool, TailError> {
    let from = reader.at;
    let count = reader.uvarint()?.checked_sub(1).ok_or(TailError)?;
    out.extend_from_slice(&reader.bytes[from..reader.at]);
    for _ in 0..count {
        let start = reader.at;
        let node = reader.int()?;
        let host_length = reader.uvarint()?.checked_sub(1).ok_or(TailError)? as usize;
        let host = std::str::from_utf8(reader.take(host_length)?).map_err(|_| TailError)?;
        let port = reader.int()?;
        let rack_at = reader.at;
        let rack_length = reader.uvarint()?.saturating_sub(1) as usize;
        reader.take(rack_length)?;
        let rack = &reader.bytes[rack_at..reader.at];
        let tags = reader.tags()?;
        let Ok(port) = u16::try_from(port) else {
            return Ok(false);
        };
        let Some((host, port)) = map(node, host, port) else {
            return Ok(false);
        };
        let length = reader.at - start;
        let endpoint = Endpoint {
            node,
            host: &host,
            port,
            rack,
            tags,
        };
        let Some(encoded) = endpoint.encode(length) else {
            return Ok(false);
        };
        out.extend(encoded);
    }
    Ok(true)
}

/// One endpoint to be written.
struct Endpoint<'a> {
    node: i32,
    host: &'a str,
    port: u16,
    /// Encoded.
    rack: &'a [u8],
    tags: Tags<'a>,
}

/// An endpoint's tagged fields.
struct Tags<'a> {
    count: u32,
    last: Option<u32>,
    /// Encoded, without the count.
    fields: &'a [u8],
}

impl Endpoint<'_> {
    /// The endpoint in exactly `length` bytes, if it can be.
    fn encode(&self, length: usize) -> Option<Vec<u8>> {
        let host = u32::try_from(self.host.len() + 1).ok()?;
        let least = 8
            + uvarint_length(host)
            + self.host.len()
            + self.rack.len()
            + uvarint_length(self.tags.count)
            + self.tags.fields.len();
        let room = length.checked_sub(least)?;
        let mut out = Vec::with_capacity(length);
        out.extend(self.node.to_be_bytes());
        let longer = usize::from(room == 1);
        if !put_uvarint_padded(&mut out, host, uvarint_length(host) + longer) {
            return None;
        }
        out.extend(self.host.as_bytes());
        out.extend(i32::from(self.port).to_be_bytes());
        out.extend(self.rack);
        self.tags
            .write(&mut out, if longer == 1 { 0 } else { room })?;
        (out.len() == length).then_some(out)
    }
}

impl Tags<'_> {
    /// Writes the fields, and `room` bytes more in a field that no client knows.
    fn write(&self, out: &mut Vec<u8>, room: usize) -> Option<()> {
        put_uvarint(out, self.count + u32::from(room > 0));
        out.extend(self.fields);
        if room == 0 {
            return Some(());
        }
        // Tags rise.
        if self.last.is_some_and(|last| last >= u32::from(UNKNOWN)) {
            return None;
        }
        out.push(UNKNOWN);
        let size = put_fill_size(out, room.checked_sub(1)?)?;
        out.resize(out.len() + size, 0);
        Some(())
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], TailError> {
        let end = self.at.checked_add(length).ok_or(TailError)?;
        let taken = self.bytes.get(self.at..end).ok_or(TailError)?;
        self.at = end;
        Ok(taken)
    }

    fn int(&mut self) -> Result<i32, TailError> {
        let bytes = self.take(4)?;
        Ok(i32::from_be_bytes(head(bytes).ok_or(TailError)?))
    }

    fn uvarint(&mut self) -> Result<u32, TailError> {
        let rest = self.bytes.get(self.at..).ok_or(TailError)?;
        let (value, taken) = wire::uvarint(rest)
            .map_err(|_| TailError)?
            .ok_or(TailError)?;
        self.at += taken;
        Ok(value)
    }

    fn tags(&mut self) -> Result<Tags<'a>, TailError> {
        let count = self.uvarint()?;
        let start = self.at;
        let mut last = None;
        for _ in 0..count {
            last = Some(self.uvarint()?);
            let size = self.uvarint()? as usize;
            self.take(size)?;
        }
        Ok(Tags {
            count,
            last,
            fields: &self.bytes[start..self.at],
        })
    }
}
