//! Connections to other pods: mutual TLS to one expected identity.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tubeway_identity::IdentityStore;
use tubeway_identity::tls::{Expected, client_config};
use tubeway_policy::SpiffeId;

use crate::ahead::ReadAhead;
use crate::socket;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects from `pod`, this pod's address, to `address`, and proves to each
/// side who the other is.
pub async fn mesh(
    identity: &IdentityStore,
    expected: &SpiffeId,
    pod: IpAddr,
    address: IpAddr,
    port: u16,
) -> io::Result<TlsStream<ReadAhead<TcpStream>>> {
    let address = SocketAddr::new(address, port);
    let config = client_config(identity, Expected::only(expected.clone()), &[]);
    let connect = async {
        let stream = connect(pod, address).await?;
        socket::prepare(&stream)?;
        TlsConnector::from(config)
            .connect(
                ServerName::IpAddress(address.ip().into()),
                ReadAhead::new(stream),
            )
            .await
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connect)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|e| io::Error::new(e.kind(), format!("{address} as {expected}: {e}")))
}

/// A pod has one address, and its connections come from there, but where pods
/// share a loopback interface: all would come from 127.0.0.1, and no rule could
/// tell one pod from another.
async fn connect(pod: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let shared = pod.is_loopback() && to.ip().is_loopback();
    match (shared, to) {
        (true, SocketAddr::V4(_)) if pod.is_ipv4() => {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(pod, 0))?;
            socket.connect(to).await
        }
        _ => TcpStream::connect(to).await,
    }
}

/// Connects to the broker of this pod.
pub async fn broker(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    socket::prepare(&stream)?;
    Ok(stream)
}
