//! Accepting mutual TLS from workloads of any mesh that shares the issuer.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// What Istio's proxies call plain TCP inside mutual TLS, by ALPN.
pub const ISTIO: &[u8] = b"istio";
/// The same, begun by an exchange of metadata in the stream: Istio's proxies
/// offer it before [`ISTIO`]. Whoever agrees to it must send such a message and
/// read one before the application's bytes; nothing here does.
pub const ISTIO_PEER_EXCHANGE: &[u8] = b"istio-peer-exchange";

/// Ends a server's handshake with a client that may offer any protocols.
///
/// `config` names the protocols that are agreed to. A client that offers none
/// of them is served without an agreement, as one that offers nothing at all:
/// who it is says its certificate, and what it speaks the port. TLS itself
/// would refuse it (RFC 7301, section 3.2).
pub async fn accept<IO>(config: &Arc<ServerConfig>, stream: IO) -> io::Result<TlsStream<IO>>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    let agrees = match hello.client_hello().alpn() {
        None => true,
        Some(mut offered) => offered.any(|name| config.alpn_protocols.iter().any(|p| p == name)),
    };
    let config = if agrees {
        Arc::clone(config)
    } else {
        let mut silent = ServerConfig::clone(config);
        silent.alpn_protocols.clear();
        Arc::new(silent)
    };
    hello.into_stream(config).await
}
