//! The broker's way out: its peers are at loopback addresses of its sidecar.
//!
//! The broker's client sends ApiVersions, which is passed on, and logs in with
//! PLAIN, which ends here: the peer's sidecar knows this node by its
//! certificate. The password is the pod's own secret, so that nothing else on
//! a shared machine can go out as this node.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tracing::debug;
use tubeway_identity::IdentityStore;
use tubeway_policy::SpiffeId;
use tubeway_session::sasl::{PeerRequest, authenticated, read_peer_request};
use tubeway_telemetry::Shutdown;

use crate::ahead::ReadAhead;
use crate::control::Topologies;
use crate::frames::{read_frame, write_frame};
use crate::{dial, relay};

/// What comes before the login is small; the broker's own limit is larger.
const BEFORE_LOGIN: usize = 64 * 1024;
const API_VERSIONS: i16 = 18;

/// Takes the broker's connections for one peer and port.
#[derive(Clone)]
pub struct Egress {
    /// The peer's node id.
    pub node_id: u32,
    /// The mesh port, the same on both sides.
    pub port: u16,
    /// This pod's address.
    pub pod: IpAddr,
    /// The cluster's nodes' identity: this node's own and the peer's.
    pub nodes: SpiffeId,
    /// The pod's secret.
    pub secret: Arc<str>,
    /// Where the peer is now.
    pub topology: Topologies,
    /// This node's certificate.
    pub identity: IdentityStore,
    /// Ends what is open.
    pub shutdown: Shutdown,
}

// === impl Egress ===

impl Egress {
    /// Serves one connection of the broker to its end.
    pub async fn serve(self, mut broker: TcpStream, from: SocketAddr) {
        let result = match self.log_in(&mut broker).await {
            Ok(Some(peer)) => relay::relay(broker, peer, &self.shutdown).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            debug!(%error, %from, node = self.node_id, port = self.port, "egress connection ended");
        }
    }

    /// Answers the broker until it has logged in; gives the connection to the
    /// peer, or none where the broker left.
    async fn log_in(
        &self,
        broker: &mut TcpStream,
    ) -> io::Result<Option<TlsStream<ReadAhead<TcpStream>>>> {
        let mut peer = None;
        while let Some(frame) = read_frame(broker, BEFORE_LOGIN).await? {
            match read_peer_request(&frame).map_err(invalid)? {
                PeerRequest::Handshake(answer) => broker.write_all(&answer).await?,
                PeerRequest::Authenticate {
                    version,
                    correlation_id,
                    user: _,
                    password,
                } => {
                    let accepted = same(password.as_bytes(), self.secret.as_bytes());
                    broker
                        .write_all(&authenticated(version, correlation_id, accepted))
                        .await?;
                    if !accepted {
                        return Err(invalid("a login without this pod's secret"));
                    }
                    return match peer {
                        Some(peer) => Ok(Some(peer)),
                        None => self.dial().await.map(Some),
                    };
                }
                PeerRequest::Other {
                    api_key: API_VERSIONS,
                } => {
                    let mut to = match peer.take() {
                        Some(peer) => peer,
                        None => self.dial().await?,
                    };
                    let Some(answer) = ask(&mut to, &frame).await? else {
                        return Ok(None);
                    };
                    write_frame(broker, &answer).await?;
                    peer = Some(to);
                }
                PeerRequest::Other { api_key } => {
                    return Err(invalid(format!("api key {api_key} before the login")));
                }
            }
        }
        Ok(None)
    }

    async fn dial(&self) -> io::Result<TlsStream<ReadAhead<TcpStream>>> {
        let address = self
            .topology
            .borrow()
            .as_ref()
            .and_then(|topology| topology.node(self.node_id).map(|node| node.address))
            .ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the peer has no address now")
            })?;
        dial::mesh(&self.identity, &self.nodes, self.pod, address, self.port).await
    }
}

async fn ask<S>(to: &mut S, frame: &Bytes) -> io::Result<Option<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    write_frame(to, frame).await?;
    read_frame(to, BEFORE_LOGIN).await
}

/// Compares in a time that does not tell where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y)) == 0
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
