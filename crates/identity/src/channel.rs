//! gRPC channels over this crate's TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};

/// How long dialling and the handshake may take together.
const CONNECT: Duration = Duration::from_secs(5);

/// The ALPN name of gRPC's transport.
pub const H2: &[u8] = b"h2";

/// A channel to `authority` (`host:port`) through TLS with this configuration.
///
/// `server_name` goes out as SNI, and is what a configuration that checks names
/// checks. The channel connects when it is first used and again after the
/// connection is lost, with a new handshake each time.
pub fn tls_channel(
    authority: &str,
    server_name: ServerName<'static>,
    config: Arc<ClientConfig>,
) -> Result<Channel, tonic::transport::Error> {
    let address: Arc<str> = authority.into();
    let connector = TlsConnector::from(config);
    // The scheme only shapes the `:scheme` of requests; the bytes go through TLS below.
    let endpoint = Endpoint::from_shared(format!("http://{authority}"))?
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    Ok(
        endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
            let (address, connector) = (Arc::clone(&address), connector.clone());
            let server_name = server_name.clone();
            async move {
                let stream = dial(&address, &connector, server_name).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        })),
    )
}

async fn dial(
    address: &str,
    connector: &TlsConnector,
    server_name: ServerName<'static>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    connector.connect(server_name, stream).await
}
