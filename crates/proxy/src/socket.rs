//! How every socket of the data path is set.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A peer that has said nothing for so long is asked whether it is there.
const IDLE: Duration = Duration::from_secs(60);
/// And asked again so often, this many times.
const INTERVAL: Duration = Duration::from_secs(10);
const PROBES: u32 = 6;

/// Sends what is written at once, and notices when the peer's machine is gone:
/// Kafka closes what is idle for ten minutes, but a consumer that waits for
/// records is idle on a dead connection for as long as TCP lets it.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let asks = TcpKeepalive::new().with_time(IDLE);
    let asks = asks.with_interval(INTERVAL).with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_peer_is_noticed_after_two_minutes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        prepare(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        let idle = socket.tcp_keepalive_time().unwrap();
        let interval = socket.tcp_keepalive_interval().unwrap();
        let probes = socket.tcp_keepalive_retries().unwrap();
        assert_eq!(idle + interval * probes, Duration::from_secs(120));
    }
}
