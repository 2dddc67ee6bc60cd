//! Copies bytes both ways where the frames are nobody's business: between the
//! nodes of one cluster, once both ends have been authenticated.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tubeway_telemetry::Shutdown;

/// Large enough that a replica fetch of a few batches is one read.
const BUFFER: usize = 64 * 1024;
/// How long the other direction may go on after one has ended: one client
/// connection is one broker connection, so neither outlives the other.
const LINGER: Duration = Duration::from_secs(1);

/// Copies until either side ends, then ends the other.
///
/// Back-pressure is natural: nothing is read that has not been written on.
pub async fn relay<A, B>(a: A, b: B, shutdown: &Shutdown) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (a_read, a_write) = tokio::io::split(a);
    let (b_read, b_write) = tokio::io::split(b);
    let mut forth = std::pin::pin!(copy(a_read, b_write));
    let mut back = std::pin::pin!(copy(b_read, a_write));
    tokio::select! {
        done = &mut forth => { done?; finish(back).await }
        done = &mut back => { done?; finish(forth).await }
        () = shutdown.wait() => Ok(()),
    }
}

async fn finish(other: std::pin::Pin<&mut impl Future<Output = io::Result<()>>>) -> io::Result<()> {
    tokio::time::timeout(LINGER, other).await.unwrap_or(Ok(()))
}

async fn copy<R, W>(mut from: R, mut to: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..n]).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_and_the_end_of_one_side_ends_the_other() {
        let (mut near, a) = tokio::io::duplex(100);
        let (b, mut far) = tokio::io::duplex(100);
        let shutdown = Shutdown::default();
        let relay = tokio::spawn(async move { relay(a, b, &shutdown).await });
        let sent = vec![7; 100_000];
        let (to_write, mut received) = (sent.clone(), vec![0; sent.len()]);
        tokio::join!(async { near.write_all(&to_write).await.unwrap() }, async {
            far.read_exact(&mut received).await.unwrap()
        });
        assert_eq!(received, sent);
        far.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        near.read_exact(&mut answer).await.unwrap();
        drop(near);
        assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
        relay.await.unwrap().unwrap();
    }
}
