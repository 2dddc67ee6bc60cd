//! Broker addresses at the end of responses that are too large to hold (KIP-951).
//!
//! Produce 10+, Fetch 16+, ShareFetch and ShareAcknowledge name the new leaders' addresses in
//! tagged field 0 of the message itself, which comes last. By then the frame's length and most
//! of its bytes have gone to the client, so the field is rewritten at equal length:
//!
//! * A shorter host leaves room that goes to an unknown tagged field of the same endpoint, or
//!   for a single byte to a longer form of the host's own length. Kafka's clients and librdkafka
//!   skip the one and read the other.
//! * Where that cannot be done, the field's tag becomes one that no client knows. Clients then
//!   learn of the leader from Metadata, as they do from older brokers.

use crate::walk::Span;
use crate::wire::{self, head, put_uvarint, put_uvarint_padded, uvarint_length};

/// Longest tail that is held back to be rewritten; longer ones lose the field.
pub const MAX_TAIL: u64 = 64 * 1024;

/// The tag of the endpoints in all four responses.
const ENDPOINTS: u32 = 0;
/// A tag that no message has; one byte, like those that it replaces.
const UNKNOWN: u8 = 0x7f;

/// The message's own tagged fields, from their count to the end of the frame.
///
/// Expected flow: walk the response with [`Interest::root_tags`](crate::walk::Interest::root_tags);
/// at [`What::Tags`](crate::walk::What::Tags), make a tail of the event's span and the frame's
/// end, pass on all bytes before the span's start, and give those from there on to the tail.
#[derive(Debug)]
pub struct EndpointTail {
    /// Bytes of the count.
    count: usize,
    /// Bytes of the tail that are still to come.
    left: u64,
    held: Vec<u8>,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All of the tail is held back, then rewritten.
    Hold,
    /// The tail is too long: the first tag is looked at, and changed if it is the endpoints'.
    Neutralise,
    /// The rest passes.
    Pass,
}

/// A tail that is not what the walk said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tagged fields at the end of a response are malformed")]
pub struct TailError;

/// Reads a tail's parts one after the other.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

// === impl EndpointTail ===

impl EndpointTail {
    /// For tagged fields whose count lies at `count`, in a frame of `end` bytes.
    pub fn new(count: Span, end: u64) -> Self {
        let left = end.saturating_sub(count.start);
        let mode = if left > MAX_TAIL {
            Mode::Neutralise
        } else {
            Mode::Hold
        };
        Self {
            count: count.length() as usize,
            left,
            held: Vec::new(),
            mode,
        }
    }

    /// Takes the next bytes of the tail and appends to `out` what can be passed on; as much
    /// comes out as goes in by the end of the frame.
    ///
    /// `map` says for a node's id, host and port which address to show instead. When it says
    /// `None`, no address is shown at all: one that was not mapped must not reach the client.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        map: impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
    ) -> Result<(), TailError> {
        self.left = self.left.checked_sub(chunk.len() as u64).ok_or(TailError)?;
        match self.mode {
            Mode::Pass => out.extend_from_slice(chunk),
            Mode::Hold => {
                self.held.extend_from_slice(chunk);
                if self.left == 0 {
                    rewrite(&mut self.held, map)?;
                    out.append(&mut self.held);
                    self.mode = Mode::Pass;
                }
            }
            Mode::Neutralise => {
                self.held.extend_from_slice(chunk);
                if let Some(tag) = self.held.get_mut(self.count) {
                    match *tag {
                        0 => *tag = UNKNOWN,
                        // A long form of what may be tag 0: no broker writes that.
                        0x80 => return Err(TailError),
                        _ => {}
                    }
                    out.append(&mut self.held);
                    self.mode = Mode::Pass;
                }
            }
        }
        Ok(())
    }

    /// Whether the frame's last byte has been taken and passed on.
    pub fn is_done(&self) -> bool {
        self.left == 0 && self.held.is_empty()
    }
}

/// Rewrites a whole tail in place.
fn rewrite(
    tail: &mut [u8],
    mut map: impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
) -> Result<(), TailError> {
    let mut reader = Reader { bytes: tail, at: 0 };
    let count = reader.uvarint()?;
    for _ in 0..count {
        let tag_at = reader.at;
        let tag = reader.uvarint()?;
        let tag_end = reader.at;
        let size = reader.uvarint()? as usize;
        let value_at = reader.at;
        let value = reader.take(size)?;
        if tag != ENDPOINTS {
            continue;
        }
        let new = endpoints(value, &mut map)?;
        match new {
            Some(new) if new.len() == size => {
                tail[value_at..value_at + size].copy_from_slice(&new);
            }
            _ => {
                let mut tag = Vec::new();
                if !put_uvarint_padded(&mut tag, u32::from(UNKNOWN), tag_end - tag_at) {
                    return Err(TailError);
                }
                tail[tag_at..tag_end].copy_from_slice(&tag);
            }
        }
        // Tags rise: the endpoints' is the first or not there.
        return Ok(());
    }
    Ok(())
}

/// The endpoints' encoding at the same length with other addresses; `None` if that cannot be.
fn endpoints(
    value: &[u8],
    map: &mut impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
) -> Result<Option<Vec<u8>>, TailError> {
    let mut reader = Reader {
        bytes: value,
        at: 0,
    };
    let count = reader.uvarint()?.checked_sub(1).ok_or(TailError)?;
    let mut out = Vec::with_capacity(value.len());
    out.extend_from_slice(&value[..reader.at]);
    for _ in 0..count {
        let start = reader.at;
        let node = reader.int()?;
        let host_length = reader.uvarint()?.checked_sub(1).ok_or(TailError)? as usize;
        let host = std::str::from_utf8(reader.take(host_length)?).map_err(|_| TailError)?;
        let port = reader.int()?;
        let rack_at = reader.at;
        let rack_length = reader.uvarint()?.saturating_sub(1) as usize;
        reader.take(rack_length)?;
        let rack = &value[rack_at..reader.at];
        let tags = reader.tags()?;
        let Ok(port) = u16::try_from(port) else {
            return Ok(None);
        };
        let Some((host, port)) = map(node, host, port) else {
            return Ok(None);
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
            return Ok(None);
        };
        out.extend(encoded);
    }
    Ok(Some(out))
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
        let room = room.checked_sub(1)?;
        let prefix = (1..=3).find(|prefix| room < *prefix + (1 << (7 * prefix)))?;
        let size = room.checked_sub(prefix)?;
        if !put_uvarint_padded(out, size as u32, prefix) {
            return None;
        }
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
