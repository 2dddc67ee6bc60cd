//! Zstandard: any number of frames.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{CodecError, Output, malformed};
use crate::wire::head;

/// What frames begin with that a decoder passes over, but for the last four bits.
const SKIPPABLE: u32 = 0x184d_2a50;
/// Where a frame's descriptor and window lie.
const DESCRIPTOR: usize = 4;
const WINDOW: usize = 5;
/// Of the descriptor: the frame has no window but its content's size.
const SINGLE_SEGMENT: u8 = 0x20;
/// Most that a block becomes; a window is as great at least, or blocks would not fit.
const BLOCK: u64 = 128 << 10;
/// Greatest window that is read: that of the highest level without `--long`.
const MAX_WINDOW: u64 = 128 << 20;

const BROKEN: CodecError = malformed("Zstandard", "a frame is broken");

pub(super) fn read(mut bytes: &[u8], output: &mut Output) -> Result<(), CodecError> {
    if bytes.is_empty() {
        return Err(malformed("Zstandard", "there is no frame"));
    }
    while !bytes.is_empty() {
        let magic = u32::from_le_bytes(head(bytes).ok_or(BROKEN)?);
        if magic & !0x0f == SKIPPABLE {
            let length = u32::from_le_bytes(head(&bytes[4..]).ok_or(BROKEN)?) as usize;
            bytes = bytes[8..].get(length..).ok_or(BROKEN)?;
        } else {
            frame(&mut bytes, output)?;
        }
    }
    Ok(())
}

/// Reads one frame off the front of `bytes`.
fn frame(bytes: &mut &[u8], output: &mut Output) -> Result<(), CodecError> {
    let mut decoder = FrameDecoder::new();
    let (start, rest) = bytes.split_at_checked(WINDOW + 1).ok_or(BROKEN)?;
    let start = narrow(start, output.left());
    let mut source = (&start[..]).chain(rest);
    decoder.set_max_window_size(MAX_WINDOW);
    decoder.init(&mut source).map_err(|_| BROKEN)?;
    if decoder.content_size() > output.left() as u64 {
        return Err(CodecError::TooLong(output.limit));
    }
    loop {
        let one = BlockDecodingStrategy::UptoBlocks(1);
        let done = decoder
            .decode_blocks(&mut source, one)
            .map_err(|_| BROKEN)?;
        if decoder.can_collect() > output.left() {
            return Err(CodecError::TooLong(output.limit));
        }
        decoder
            .collect_to_writer(&mut *output)
            .map_err(|_| BROKEN)?;
        if done {
            break;
        }
    }
    if let (Some(stored), Some(computed)) = (
        decoder.get_checksum_from_data(),
        decoder.get_calculated_checksum(),
    ) && stored != computed
    {
        return Err(malformed("Zstandard", "a frame's checksum is wrong"));
    }
    *bytes = source.into_inner().1;
    Ok(())
}

/// The start of a frame with a window that is no greater than what may be produced.
///
/// The decoder keeps a window of what it has produced, whose size the frame claims. No match
/// reaches behind the first byte, so that a frame of at most `limit` bytes is the same with a
/// window of that size.
fn narrow(start: &[u8], limit: usize) -> [u8; WINDOW + 1] {
    let mut narrowed = [0; WINDOW + 1];
    narrowed.copy_from_slice(start);
    if narrowed[DESCRIPTOR] & SINGLE_SEGMENT == 0 {
        // 2^(10 + exponent) bytes, and eighths of that by the last three bits.
        let limit = (limit as u64).clamp(BLOCK, MAX_WINDOW);
        let exponent = limit.next_power_of_two().trailing_zeros();
        let most = (exponent.saturating_sub(10) << 3) as u8;
        narrowed[WINDOW] = narrowed[WINDOW].min(most);
    }
    narrowed
}

pub(super) fn write(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}
