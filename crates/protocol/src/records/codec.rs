//! Compression of record batches: the forms that Kafka's clients write, and no more.
//!
//! # Memory
//! [`decompress`] takes memory as it produces bytes, never for a length that the input claims:
//! at most four times what has been produced, which is at most the caller's limit, and
//! [`WORKING_MEMORY`]. What would become longer than the limit is refused.

mod lz4;
mod snappy;
mod zstd;

use std::borrow::Cow;
use std::io::{Read, Write};

use crate::walk::Compression;

/// Most memory of a decoder itself, in bytes: tables, and a block or two. Zstandard takes most: its
/// window grows in steps of 128 KiB blocks, and is copied as it does.
pub const WORKING_MEMORY: usize = 2 * 1024 * 1024;

/// Why bytes could not be decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They would become longer than is allowed.
    #[error("would become longer than {0} bytes")]
    TooLong(usize),
    /// They are not what the codec writes.
    #[error("is not {codec}: {problem}")]
    Malformed {
        /// The codec.
        codec: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// The number of the codec, or the codec in this format of records.
    #[error("{0:?} is no codec of format {1}")]
    Unknown(Compression, u8),
}

/// What has been produced, and how much more may be.
struct Output {
    bytes: Vec<u8>,
    limit: usize,
}

/// Decompresses what a batch of format `magic` (0 to 2) holds, to at most `limit` bytes.
pub fn decompress(
    codec: Compression,
    magic: u8,
    bytes: &[u8],
    limit: usize,
) -> Result<Cow<'_, [u8]>, CodecError> {
    let mut output = Output {
        bytes: Vec::new(),
        limit,
    };
    match codec {
        Compression::None => return Ok(Cow::Borrowed(bytes)),
        Compression::Gzip => gunzip(bytes, &mut output)?,
        Compression::Snappy => snappy::read(bytes, &mut output)?,
        Compression::Lz4 => lz4::read(bytes, magic, &mut output)?,
        // KIP-110: with format 2 only.
        Compression::Zstd if magic == 2 => zstd::read(bytes, &mut output)?,
        other => return Err(CodecError::Unknown(other, magic)),
    }
    Ok(Cow::Owned(output.bytes))
}

/// Compresses what a batch of format `magic` is to hold.
pub fn compress(codec: Compression, magic: u8, bytes: Vec<u8>) -> Result<Vec<u8>, CodecError> {
    Ok(match codec {
        Compression::None => bytes,
        Compression::Gzip => gzip(&bytes)?,
        Compression::Snappy => snappy::write(&bytes)?,
        Compression::Lz4 => lz4::write(&bytes, magic),
        Compression::Zstd if magic == 2 => zstd::write(&bytes),
        other => return Err(CodecError::Unknown(other, magic)),
    })
}

fn gunzip(bytes: &[u8], output: &mut Output) -> Result<(), CodecError> {
    const MALFORMED: CodecError = malformed("gzip", "the stream is broken");
    let mut decoder = flate2::bufread::MultiGzDecoder::new(bytes);
    let mut chunk = [0; 4096];
    loop {
        match decoder.read(&mut chunk).map_err(|_| MALFORMED)? {
            0 => return Ok(()),
            read => output.extend(&chunk[..read])?,
        }
    }
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    const FAILED: CodecError = malformed("gzip", "could not be written");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).map_err(|_| FAILED)?;
    encoder.finish().map_err(|_| FAILED)
}

const fn malformed(codec: &'static str, problem: &'static str) -> CodecError {
    CodecError::Malformed { codec, problem }
}

// === impl Output ===

impl Output {
    fn left(&self) -> usize {
        self.limit - self.bytes.len()
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        if bytes.len() > self.left() {
            return Err(CodecError::TooLong(self.limit));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends what `decode` writes into up to `most` bytes; it says how many, or `None` if the
    /// input is not what it should be or does not fit.
    fn block(
        &mut self,
        most: usize,
        failure: CodecError,
        decode: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), CodecError> {
        let from = self.bytes.len();
        let room = most.min(self.left());
        self.bytes.resize(from + room, 0);
        let written = decode(&mut self.bytes[from..]);
        self.bytes.truncate(from + written.unwrap_or(0));
        match written {
            Some(_) => Ok(()),
            // It may have been the limit that it did not fit into.
            None if room < most => Err(CodecError::TooLong(self.limit)),
            None => Err(failure),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.extend(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
