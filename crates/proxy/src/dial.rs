//! Connections to other pods: mutual TLS to one expected identity.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tubeway_identity::IdentityStore;
use tubeway_identity::tls::{Expected, client_config};
use tubeway_policy::SpiffeId;

use crate::socket;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to `address` and proves to each side who the other is.
pub async fn mesh(
    identity: &IdentityStore,
    expected: &SpiffeId,
    address: IpAddr,
    port: u16,
) -> io::Result<TlsStream<TcpStream>> {
    let address = SocketAddr::new(address, port);
    let config = client_config(identity, Expected::only(expected.clone()), &[]);
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        socket::prepare(&stream)?;
        TlsConnector::from(config)
            .connect(ServerName::IpAddress(address.ip().into()), stream)
            .await
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connect)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|e| io::Error::new(e.kind(), format!("{address} as {expected}: {e}")))
}

/// Connects to the broker of this pod.
pub async fn broker(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    socket::prepare(&stream)?;
    Ok(stream)
}
