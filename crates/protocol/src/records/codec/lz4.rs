//! LZ4's frame format, as far as Kafka reads it: version 1, independent blocks, one frame.
//!
//! Format 0 of records has a wrong checksum of the frame's header: Kafka took it over the magic
//! number too, and with that format still writes it so, and does not look at it (KIP-57).

use twox_hash::XxHash32;

use super::{CodecError, Output, malformed};
use crate::wire::head;

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Version 1, independent blocks.
const FLAGS: u8 = 0x60;
/// Of the flags: those of the version and of independent blocks, which must be as above; those
/// that no version has; and what may be there.
const FIXED: u8 = 0xe0;
const RESERVED: u8 = 0x03;
const BLOCK_CHECKSUMS: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
/// 64 KiB blocks, by their number in the header, and in bytes.
const BLOCK_CODE: u8 = 4;
const BLOCK: usize = 64 * 1024;
/// Of a block's length: it is not compressed.
const STORED: u32 = 1 << 31;
/// A block becomes at most this many times as long, give or take a few bytes.
const MOST_GAIN: usize = 256;

const CUT: CodecError = malformed("LZ4", "the frame is cut short");

/// What follows the header, and what the header says.
struct Frame<'a> {
    rest: &'a [u8],
    block_checksums: bool,
    block_size: usize,
}

pub(super) fn read(bytes: &[u8], magic: u8, output: &mut Output) -> Result<(), CodecError> {
    let mut frame = Frame::read(bytes, magic)?;
    while let Some((stored, block)) = frame.block()? {
        if stored {
            output.extend(block)?;
            continue;
        }
        let most = frame.block_size.min(block.len().saturating_mul(MOST_GAIN));
        let broken = malformed("LZ4", "a block is broken");
        output.block(most, broken, |out| {
            lz4_flex::block::decompress_into(block, out).ok()
        })?;
    }
    Ok(())
}

pub(super) fn write(bytes: &[u8], magic: u8) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend([FLAGS, BLOCK_CODE << 4]);
    out.push(header_checksum(if magic == 0 { &out } else { &out[4..] }));
    for block in bytes.chunks(BLOCK) {
        let compressed = lz4_flex::block::compress(block);
        let (length, block) = if compressed.len() < block.len() {
            (compressed.len() as u32, &compressed[..])
        } else {
            (block.len() as u32 | STORED, block)
        };
        out.extend(length.to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend([0; 4]);
    out
}

fn header_checksum(bytes: &[u8]) -> u8 {
    (XxHash32::oneshot(0, bytes) >> 8) as u8
}

// === impl Frame ===

impl<'a> Frame<'a> {
    fn read(bytes: &'a [u8], magic: u8) -> Result<Self, CodecError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(malformed("LZ4", "another magic number"));
        }
        let [flags, block] = head(&bytes[4..]).ok_or(CUT)?;
        if flags & FIXED != FLAGS || flags & RESERVED != 0 {
            return Err(malformed("LZ4", "a form of frame that Kafka does not read"));
        }
        let end = if flags & CONTENT_SIZE == 0 { 6 } else { 14 };
        let checksum = *bytes.get(end).ok_or(CUT)?;
        if magic > 0 && checksum != header_checksum(&bytes[4..end]) {
            return Err(malformed("LZ4", "the header's checksum is wrong"));
        }
        let code = u32::from(block >> 4);
        if block & 0x8f != 0 || !(4..=7).contains(&code) {
            return Err(malformed("LZ4", "a block size that there is not"));
        }
        Ok(Self {
            rest: &bytes[end + 1..],
            block_checksums: flags & BLOCK_CHECKSUMS != 0,
            block_size: 1 << (8 + 2 * code),
        })
    }

    /// Whether the next block is not compressed, and its bytes; `None` at the end mark.
    fn block(&mut self) -> Result<Option<(bool, &'a [u8])>, CodecError> {
        let length = u32::from_le_bytes(head(self.rest).ok_or(CUT)?);
        let (stored, length) = (length & STORED != 0, (length & !STORED) as usize);
        if length == 0 {
            // A checksum of the content may follow; Kafka does not look at it.
            return Ok(None);
        }
        if length > self.block_size {
            return Err(malformed("LZ4", "a block is longer than the header says"));
        }
        let (block, rest) = self.rest[4..].split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        if self.block_checksums {
            let checksum = u32::from_le_bytes(head(rest).ok_or(CUT)?);
            if checksum != XxHash32::oneshot(0, block) {
                return Err(malformed("LZ4", "a block's checksum is wrong"));
            }
            self.rest = &rest[4..];
        }
        Ok(Some((stored, block)))
    }
}
