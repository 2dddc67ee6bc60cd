//! The smallest question that only a running broker answers.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// ApiVersions v0, correlation id 7, no client id, behind its length.
const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
/// Correlation id 7, error NONE.
const RIGHT: [u8; 6] = [0, 0, 0, 7, 0, 0];

/// Whether whoever listens there answers as a Kafka broker.
pub(super) async fn answers(address: SocketAddr) -> bool {
    ask(address).await.is_ok_and(|answer| answer == RIGHT)
}

async fn ask(address: SocketAddr) -> io::Result<[u8; 6]> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&REQUEST).await?;
    let mut frame = [0; 10];
    stream.read_exact(&mut frame).await?;
    let [_, _, _, _, answer @ ..] = frame;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn asked(reply: &'static [u8]) -> bool {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let broker = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 14];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(reply).await.unwrap();
            request
        });
        let answers = answers(address).await;
        assert_eq!(broker.await.unwrap(), REQUEST);
        answers
    }

    #[tokio::test]
    async fn tells_a_broker_from_others() {
        assert!(asked(&[0, 0, 0, 6, 0, 0, 0, 7, 0, 0]).await);
        assert!(!asked(&[0, 0, 0, 6, 0, 0, 0, 7, 0, 35]).await);
        assert!(!asked(b"HTTP/1.1 400").await);
        assert!(!asked(b"").await);
    }
}
