//! The classic capture file, as `tcpdump -w` writes it.

use std::io::{self, ErrorKind, Read};

use super::packet::Link;
use super::{CaptureError, failed};

/// Longest packet that is believed; `tcpdump` cuts at this length itself.
const MAX_PACKET: u32 = 262_144;

/// A capture file, read packet by packet.
pub(super) struct Pcap<R> {
    input: R,
    link: Link,
    u32_of: fn([u8; 4]) -> u32,
    packet: Vec<u8>,
}

// === impl Pcap ===

impl<R: Read> Pcap<R> {
    pub(super) fn open(mut input: R) -> Result<Self, CaptureError> {
        let mut header = [0; 24];
        input
            .read_exact(&mut header)
            .map_err(|_| CaptureError::Format("it is shorter than a header"))?;
        let [a, b, c, d, ..] = header;
        // Microseconds or nanoseconds, in either byte order.
        let u32_of = match [a, b, c, d] {
            [0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1] => u32::from_le_bytes,
            [0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d] => u32::from_be_bytes,
            _ => return Err(CaptureError::Format("it has another magic number")),
        };
        let link = Link::of(u32_of(field(&header, 20)))
            .ok_or(CaptureError::Format("it is of a link type not read here"))?;
        Ok(Self {
            input,
            link,
            u32_of,
            packet: Vec::new(),
        })
    }

    /// The next packet; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<(Link, &[u8])>, CaptureError> {
        let mut header = [0; 16];
        match self.input.read_exact(&mut header) {
            Ok(()) => {}
            // tcpdump writes whole packets, so a cut one is the file's end.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(failed("read the capture")(error)),
        }
        let kept = (self.u32_of)(field(&header, 8));
        let length = (self.u32_of)(field(&header, 12));
        if kept > MAX_PACKET || kept < length {
            return Err(CaptureError::Format("it has packets that are not whole"));
        }
        self.packet.resize(kept as usize, 0);
        self.input
            .read_exact(&mut self.packet)
            .map_err(|error: io::Error| failed("read the capture")(error))?;
        Ok(Some((self.link, &self.packet)))
    }
}

fn field(header: &[u8], at: usize) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[at..at + 4]);
    bytes
}
