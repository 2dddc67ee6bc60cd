//! Snappy: in the blocks of the Java library (xerial), or bare, as some other clients write it.

use super::{CodecError, Output, malformed};
use crate::wire::head;

/// What a stream of blocks begins with.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The magic, a version and the oldest version that can read it.
const HEADER: usize = 16;
/// Bytes that are compressed at once.
const BLOCK: usize = 32 * 1024;
/// No element of a block becomes more than this many times its length.
const MOST_GAIN: usize = 22;

const BROKEN: CodecError = malformed("Snappy", "a block is broken");

pub(super) fn read(bytes: &[u8], output: &mut Output) -> Result<(), CodecError> {
    if !bytes.starts_with(&MAGIC) {
        return block(bytes, output);
    }
    let mut rest = bytes
        .get(HEADER..)
        .ok_or(malformed("Snappy", "the header is cut short"))?;
    while !rest.is_empty() {
        let cut = malformed("Snappy", "a block is cut short");
        let length = u32::from_be_bytes(head(rest).ok_or(cut)?) as usize;
        let (bytes, after) = rest[4..].split_at_checked(length).ok_or(cut)?;
        block(bytes, output)?;
        rest = after;
    }
    Ok(())
}

fn block(bytes: &[u8], output: &mut Output) -> Result<(), CodecError> {
    let length = snap::raw::decompress_len(bytes).map_err(|_| BROKEN)?;
    if length > output.left() {
        return Err(CodecError::TooLong(output.limit));
    }
    if length > bytes.len().saturating_mul(MOST_GAIN) {
        return Err(BROKEN);
    }
    output.block(length, BROKEN, |out| {
        snap::raw::Decoder::new().decompress(bytes, out).ok()
    })
}

pub(super) fn write(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut out = MAGIC.to_vec();
    out.extend([0, 0, 0, 1, 0, 0, 0, 1]);
    for block in bytes.chunks(BLOCK) {
        let block = snap::raw::Encoder::new()
            .compress_vec(block)
            .map_err(|_| malformed("Snappy", "could not be written"))?;
        out.extend((block.len() as u32).to_be_bytes());
        out.extend(block);
    }
    Ok(out)
}
