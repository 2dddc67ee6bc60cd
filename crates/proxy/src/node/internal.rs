//! The way in for the cluster's own nodes: replication and the quorum.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tracing::{debug, info};
use tubeway_identity::IdentityStore;
use tubeway_session::sasl::plain_login;
use tubeway_telemetry::Shutdown;

use crate::accept::authenticate;
use crate::frames::{LoginError, log_in};
use crate::metrics::Metrics;
use crate::{dial, relay};

/// Takes connections of peers for one of the broker's internal listeners.
#[derive(Clone)]
pub struct Internal {
    /// `replication` or `controller`.
    pub listener: &'static str,
    /// Lets only the cluster's own nodes in.
    pub tls: Arc<rustls::ServerConfig>,
    /// For the peer's name in logs.
    pub identity: IdentityStore,
    /// The broker's listener.
    pub broker: SocketAddr,
    /// The pod's secret.
    pub secret: Arc<str>,
    /// Counts refusals.
    pub metrics: Metrics,
    /// Ends what is open.
    pub shutdown: Shutdown,
}

// === impl Internal ===

impl Internal {
    /// Serves one connection to its end.
    pub async fn serve(self, stream: TcpStream, from: SocketAddr) {
        let authenticated = authenticate(
            stream,
            from,
            self.listener,
            &self.tls,
            &self.identity,
            &self.metrics,
        );
        let Some(peer) = authenticated.await else {
            return;
        };
        match self.connect().await {
            Ok(broker) => {
                if let Err(error) = relay::relay(peer.stream, broker, &self.shutdown).await {
                    debug!(%error, %from, listener = self.listener, "peer connection ended");
                }
            }
            Err(error) => {
                info!(%error, %from, listener = self.listener, "the broker takes no peer now");
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream, LoginError> {
        let mut broker = dial::broker(self.broker).await?;
        log_in(&mut broker, &plain_login("peer", &self.secret, 0)).await?;
        Ok(broker)
    }
}
