//! The way in for clients: who they are becomes the broker's principal.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{debug, info};
use tubeway_identity::IdentityStore;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_session::Session;
use tubeway_telemetry::Shutdown;

use crate::accept::authenticate;
use crate::dial;
use crate::metrics::Metrics;
use crate::node::login::{LIFE, Login};
use crate::node::names::TopicNames;
use crate::observe::Counting;
use crate::pump::{End, Tokens, pump};

/// Takes connections of clients.
#[derive(Clone)]
pub struct Ingress {
    /// Lets every workload of the trust domain in; the broker decides the rest.
    pub tls: Arc<rustls::ServerConfig>,
    /// Reads who the peer is.
    pub identity: IdentityStore,
    /// The broker's client listener.
    pub broker: SocketAddr,
    /// Signs the logins.
    pub signer: Arc<LoginSigner>,
    /// Whether the broker has taken a login signed with this sidecar's key.
    pub takes_logins: watch::Receiver<bool>,
    /// What topic ids are called.
    pub names: TopicNames,
    /// The sidecar's counters.
    pub metrics: Metrics,
    /// Ends what is open.
    pub shutdown: Shutdown,
}

struct PrincipalTokens<'a> {
    signer: &'a LoginSigner,
    principal: SpiffeId,
}

// === impl Ingress ===

impl Ingress {
    /// Serves one connection to its end.
    pub async fn serve(self, stream: TcpStream, from: SocketAddr) {
        let authenticated = authenticate(
            stream,
            from,
            "client",
            &self.tls,
            &self.identity,
            &self.metrics,
        );
        let Some(client) = authenticated.await else {
            return;
        };
        // A broker that does not know this sidecar's key yet would refuse the
        // login and so the client; closing makes the client try again.
        if !*self.takes_logins.borrow() {
            debug!(%from, peer = %client.peer, "the broker takes no logins yet");
            return;
        }
        let broker = match dial::broker(self.broker).await {
            Ok(broker) => broker,
            Err(error) => {
                info!(%error, %from, peer = %client.peer, "the broker takes no connection");
                return;
            }
        };
        let tokens = PrincipalTokens {
            signer: &self.signer,
            principal: client.peer.clone(),
        };
        let counting = Counting::new(
            self.metrics.clone(),
            client.peer.as_str(),
            self.names.clone(),
        );
        let end = pump(
            client.stream,
            broker,
            Session::node(),
            counting,
            &tokens,
            &self.shutdown,
        )
        .await;
        match end {
            End::Refused(reason) => {
                info!(%reason, %from, peer = %client.peer, "client connection refused");
            }
            end => debug!(%end, %from, peer = %client.peer, "client connection ended"),
        }
    }
}

// === impl PrincipalTokens ===

impl Tokens for PrincipalTokens<'_> {
    fn token(&self) -> Option<String> {
        Login::new(&self.principal).token(self.signer, LIFE).ok()
    }
}
