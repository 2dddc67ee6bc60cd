//! Listeners: bind, accept, and end a TLS handshake in time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use tubeway_identity::IdentityStore;
use tubeway_policy::SpiffeId;
use tubeway_telemetry::Shutdown;

use crate::ahead::ReadAhead;
use crate::metrics::{HandshakeLabels, Held, ListenerLabels, Metrics, ReasonLabels};
use crate::socket;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A listening socket with its name in logs and metrics.
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    metrics: Metrics,
}

/// A connection whose peer has proved who it is.
pub struct Authenticated {
    /// The peer.
    pub peer: SpiffeId,
    /// The connection.
    pub stream: TlsStream<ReadAhead<TcpStream>>,
}

// === impl Listener ===

impl Listener {
    /// Binds `address`; the error says which.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await.map_err(|e| {
            io::Error::new(
                e.kind(),
                format!("cannot listen on {address} ({name}): {e}"),
            )
        })?;
        Ok(Self {
            name,
            socket,
            metrics,
        })
    }

    /// Gives each connection to `serve`, in a task of its own, until the
    /// shutdown; done when the last of them is.
    pub async fn run<F, T>(self, shutdown: Shutdown, serve: F)
    where
        F: Fn(TcpStream, SocketAddr) -> T + Clone + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let labels = ListenerLabels {
            listener: self.name,
        };
        let open = self.metrics.connections.get_or_create_owned(&labels);
        let serving = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = shutdown.wait() => break,
            };
            match accepted {
                Ok((stream, address)) => {
                    // Kafka's small requests must not wait for each other's acknowledgements.
                    let _ = socket::prepare(&stream);
                    let held = Held::new(open.clone());
                    let serve = serve.clone();
                    serving.spawn(async move {
                        serve(stream, address).await;
                        drop(held);
                    });
                }
                Err(error) => {
                    warn!(%error, listener = self.name, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.socket);
        serving.close();
        serving.wait().await;
    }
}

/// Ends the TLS handshake and says who the peer is; a refusal is logged and
/// counted here.
pub async fn authenticate(
    stream: TcpStream,
    address: SocketAddr,
    listener: &'static str,
    tls: &Arc<rustls::ServerConfig>,
    identity: &IdentityStore,
    metrics: &Metrics,
) -> Option<Authenticated> {
    let handshake = tubeway_identity::accept::accept(tls, ReadAhead::new(stream));
    let begun = Instant::now();
    let over = |outcome: &'static str| {
        let labels = HandshakeLabels { listener, outcome };
        metrics.handshakes.get_or_create_owned(&labels).inc();
    };
    let refused = |reason: &'static str| {
        over(reason);
        let labels = ReasonLabels { listener, reason };
        metrics.refused.get_or_create_owned(&labels).inc();
    };
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            refused("handshake");
            let reason = tubeway_identity::tls::refusal(&error);
            if let Some(reason) = reason {
                info!(%address, listener, %reason, "peer refused");
            } else {
                info!(%address, listener, %error, "handshake failed");
            }
            return None;
        }
        Err(_) => {
            refused("handshake_timeout");
            debug!(%address, listener, "handshake timed out");
            return None;
        }
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    match identity.peer_identity(chain) {
        Ok(peer) => {
            over("ok");
            let times = &metrics.handshake_time;
            let time = times.get_or_create_owned(&ListenerLabels { listener });
            time.observe(begun.elapsed());
            Some(Authenticated { peer, stream })
        }
        Err(reason) => {
            refused("identity");
            info!(%address, listener, %reason, "peer refused");
            None
        }
    }
}
