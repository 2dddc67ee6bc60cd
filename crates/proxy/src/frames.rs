//! Whole small frames, for the few exchanges that a sidecar has itself.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tubeway_session::sasl::{self, SaslError};

/// Why a login at a broker failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The broker did not take it.
    #[error(transparent)]
    Refused(#[from] SaslError),
}

/// Reads one frame of at most `limit` bytes, without its length. `None` where
/// the stream ended before a frame began.
///
/// Memory grows with what has arrived, never with what the length claims.
pub async fn read_frame<R: AsyncRead + Unpin>(
    from: &mut R,
    limit: usize,
) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match from.read(&mut length).await? {
        0 => return Ok(None),
        n => from.read_exact(&mut length[n..]).await?,
    };
    let length = usize::try_from(i32::from_be_bytes(length))
        .ok()
        .filter(|length| *length <= limit)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of at most {limit} bytes was expected"),
            )
        })?;
    let mut frame = BytesMut::new();
    let mut from = from.take(length as u64);
    while frame.len() < length {
        if from.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(frame.freeze()))
}

/// Writes one frame, with its length.
pub async fn write_frame<W: AsyncWrite + Unpin>(to: &mut W, frame: &[u8]) -> io::Result<()> {
    to.write_i32(frame.len() as i32).await?;
    to.write_all(frame).await?;
    to.flush().await
}

/// Logs in at a broker with the two frames of `login`.
pub async fn log_in<S>(stream: &mut S, login: &[u8]) -> Result<(), LoginError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    const LIMIT: usize = 64 * 1024;
    stream.write_all(login).await?;
    stream.flush().await?;
    for step in [0, 1] {
        let frame = read_frame(stream, LIMIT)
            .await?
            .ok_or(io::ErrorKind::UnexpectedEof)
            .map_err(io::Error::from)?;
        // After the correlation id.
        let body = frame.slice(4.min(frame.len())..);
        if step == 0 {
            sasl::read_handshake(&body)?;
        } else {
            sasl::read_authenticate(&body)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_read_whole_and_a_length_alone_costs_nothing() {
        let mut input: &[u8] = &[0, 0, 0, 2, b'h', b'i', 0x7f, 0xff, 0xff, 0xff];
        let frame = read_frame(&mut input, 100).await.unwrap().unwrap();
        assert_eq!(&frame[..], b"hi");
        let error = read_frame(&mut input, 100).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(read_frame(&mut &[][..], 100).await.unwrap().is_none());
        assert!(read_frame(&mut &[0, 0][..], 100).await.is_err());
        assert!(read_frame(&mut &[0, 0, 0, 9, 1][..], 100).await.is_err());
    }
}
