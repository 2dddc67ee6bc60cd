//! Reads ahead of TLS.
//!
//! rustls reads 4 KiB at a time, and a record of 16 KiB costs it five calls of
//! the kernel. Here one call fetches what has arrived, and TLS is given of that.

use std::cell::Cell;
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

/// Bytes that are asked for at once: four TLS records.
const AHEAD: usize = 64 * 1024;

thread_local! {
    /// A buffer that nobody holds. Between two messages of one connection it
    /// serves the others of its thread, and no read costs an allocation.
    static SPARE: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A stream whose small reads are served from few large ones. It holds no
/// buffer while nothing arrives.
#[derive(Debug)]
pub struct ReadAhead<S> {
    stream: S,
    held: BytesMut,
}

// === impl ReadAhead ===

impl<S> ReadAhead<S> {
    /// Reads ahead on `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            held: BytesMut::new(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadAhead<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, held } = self.get_mut();
        if held.is_empty() {
            if buf.remaining() >= AHEAD {
                return Pin::new(stream).poll_read(cx, buf);
            }
            *held = SPARE.take();
            held.reserve(AHEAD);
            let read = poll_read_buf(Pin::new(stream), cx, held);
            if !matches!(read, Poll::Ready(Ok(1..))) {
                SPARE.set(mem::take(held));
            }
            ready!(read)?;
        }
        let taken = held.len().min(buf.remaining());
        buf.put_slice(&held[..taken]);
        held.advance(taken);
        if held.is_empty() {
            SPARE.set(mem::take(held));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadAhead<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Counts reads.
    struct Counted<S>(S, usize);

    impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let this = self.get_mut();
            this.1 += 1;
            Pin::new(&mut this.0).poll_read(cx, buf)
        }
    }

    #[tokio::test]
    async fn small_reads_are_served_from_a_large_one_in_order() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i % 251) as u8).collect();
        let mut stream = ReadAhead::new(Counted(&bytes[..], 0));
        let mut read = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match stream.read(&mut piece).await.unwrap() {
                0 => break,
                n => read.extend_from_slice(&piece[..n]),
            }
        }
        assert_eq!(read, bytes);
        // Four with bytes, and the end.
        assert_eq!(stream.stream.1, 5);
    }

    #[tokio::test]
    async fn nothing_is_held_while_nothing_arrives() {
        let (near, mut far) = tokio::io::duplex(1024);
        let mut stream = ReadAhead::new(near);
        far.write_all(b"hello").await.unwrap();
        let mut piece = [0; 3];
        assert_eq!(stream.read(&mut piece).await.unwrap(), 3);
        assert_eq!(stream.read(&mut piece).await.unwrap(), 2);
        let waits = tokio::time::timeout(std::time::Duration::ZERO, stream.read(&mut piece));
        waits.await.unwrap_err();
        assert_eq!(stream.held.capacity(), 0);
    }
}
