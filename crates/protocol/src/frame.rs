//! Where one frame ends and the next begins.
//!
//! A frame is four bytes of length, big-endian, and that many bytes. Offsets elsewhere in this
//! crate count from the first byte after the length.

/// Bytes of the length before each frame.
pub const PREFIX: usize = 4;

/// What Kafka's brokers allow by default (`socket.request.max.bytes`).
pub const DEFAULT_LIMIT: u32 = 100 * 1024 * 1024;

/// Reads the length before a frame, however the bytes come in.
#[derive(Debug, Clone)]
pub struct LengthReader {
    limit: u32,
    bytes: [u8; PREFIX],
    have: usize,
}

/// A length that no frame may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length is below zero.
    #[error("a frame says it is {0} bytes long; is this Kafka's protocol?")]
    Negative(i32),
    /// The frame is longer than the reader was told to allow.
    #[error("a frame is {length} bytes long, {limit} are allowed; TLS or HTTP looks like that too")]
    TooLong {
        /// What the frame says.
        length: u32,
        /// What is allowed.
        limit: u32,
    },
}

// === impl LengthReader ===

impl LengthReader {
    /// Allows frames of up to `limit` bytes.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            bytes: [0; PREFIX],
            have: 0,
        }
    }

    /// Changes the limit for lengths that are still to come.
    pub fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Takes bytes off the front of `input` until the length is complete, and returns it then.
    ///
    /// The reader is ready for the next frame's length afterwards. The limit is also the only
    /// thing that is known of the frame: no memory should be taken for it yet.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<u32>, FrameError> {
        let take = (PREFIX - self.have).min(input.len());
        let (head, rest) = input.split_at(take);
        self.bytes[self.have..self.have + take].copy_from_slice(head);
        self.have += take;
        *input = rest;
        if self.have < PREFIX {
            return Ok(None);
        }
        self.have = 0;
        let signed = i32::from_be_bytes(self.bytes);
        let length = u32::try_from(signed).map_err(|_| FrameError::Negative(signed))?;
        if length > self.limit {
            return Err(FrameError::TooLong {
                length,
                limit: self.limit,
            });
        }
        Ok(Some(length))
    }

    /// Whether a length has begun and not ended: the stream may not end here.
    pub fn is_partial(&self) -> bool {
        self.have > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_pieces() {
        let mut reader = LengthReader::new(300);
        for (piece, expected) in [
            (&[0u8, 0][..], None),
            (&[1][..], None),
            (&[0x2c, 9][..], Some(300)),
        ] {
            let mut input = piece;
            assert_eq!(reader.read(&mut input), Ok(expected));
            assert_eq!(input.len(), usize::from(expected.is_some()));
        }
        assert!(!reader.is_partial());
    }

    #[test]
    fn bad_lengths() {
        let mut reader = LengthReader::new(300);
        assert_eq!(
            reader.read(&mut &[0xff; 4][..]),
            Err(FrameError::Negative(-1))
        );
        let tls = [0x15, 3, 3, 0];
        let length = 0x1503_0300;
        assert_eq!(
            reader.read(&mut &tls[..]),
            Err(FrameError::TooLong { length, limit: 300 })
        );
    }
}
