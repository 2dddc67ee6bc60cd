//! How a broker is reached.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerAddress {
    /// The broker's name: what TLS asks for.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A connection's bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

/// Makes connections to the brokers of one cluster.
///
/// # Contract
/// The returned stream is ready for Kafka's first request, and whoever is at
/// its other end has proved to be a broker of the cluster.
pub trait Connect: Send + Sync {
    /// Connects. Dropping the future gives up.
    fn connect<'a>(
        &'a self,
        address: &'a BrokerAddress,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>>;
}

/// Plain TCP, for brokers on this machine's loopback interface.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainConnect;

/// Mutual TLS to the brokers' sidecars.
#[derive(Clone)]
pub struct MeshConnect {
    tls: TlsConnector,
    addresses: BTreeMap<String, IpAddr>,
}

// === impl BrokerAddress ===

impl BrokerAddress {
    /// The broker of this name and port.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

// === impl ByteStream ===

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

// === impl PlainConnect ===

impl Connect for PlainConnect {
    fn connect<'a>(
        &'a self,
        address: &'a BrokerAddress,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        async move {
            let tcp = TcpStream::connect((address.host.as_str(), address.port)).await?;
            tcp.set_nodelay(true)?;
            Ok(Box::new(tcp) as Box<dyn ByteStream>)
        }
        .boxed()
    }
}

// === impl MeshConnect ===

impl MeshConnect {
    /// Connects with `tls`, which says who we are and whom we expect. Hosts of
    /// `addresses` are reached there, and others by name.
    pub fn new(tls: Arc<ClientConfig>, addresses: BTreeMap<String, IpAddr>) -> Self {
        Self {
            tls: tls.into(),
            addresses,
        }
    }

    async fn tcp(&self, address: &BrokerAddress) -> io::Result<TcpStream> {
        match self.addresses.get(&address.host) {
            Some(ip) => TcpStream::connect((*ip, address.port)).await,
            None => TcpStream::connect((address.host.as_str(), address.port)).await,
        }
    }
}

impl Connect for MeshConnect {
    fn connect<'a>(
        &'a self,
        address: &'a BrokerAddress,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        async move {
            let name = ServerName::try_from(address.host.clone())
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
            let tcp = self.tcp(address).await?;
            tcp.set_nodelay(true)?;
            let tls = self.tls.connect(name, tcp).await?;
            Ok(Box::new(tls) as Box<dyn ByteStream>)
        }
        .boxed()
    }
}

impl fmt::Debug for MeshConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeshConnect")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
