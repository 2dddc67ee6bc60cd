//! Whether the Kafka behind this sidecar serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::info;
use tubeway_config::{NodeRole, Topology};
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_telemetry::Shutdown;

use crate::admin::Health;
use crate::node::login::Login;

/// A broker that starts is looked at often: clients wait for it.
const STARTING: Duration = Duration::from_millis(200);
const RUNNING: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);

/// What is looked at, and how.
pub struct Watched {
    /// The node's id.
    pub node_id: u32,
    /// Where the broker serves clients.
    pub broker: SocketAddr,
    /// Where the controller serves its peers.
    pub controller: SocketAddr,
    /// The node's own identity.
    pub identity: SpiffeId,
    /// Signs logins.
    pub signer: Arc<LoginSigner>,
    /// Says what the node does.
    pub topology: watch::Receiver<Option<Arc<Topology>>>,
}

/// Looks again and again: logs in to a broker as the node itself, connects to a
/// node that is a controller only. The receiver turns true once a login has
/// succeeded, and stays so: after that the broker knows the key.
pub fn start(watched: Watched, health: Health, shutdown: Shutdown) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let look = async move {
        let mut was = false;
        loop {
            let seen = tokio::time::timeout(ANSWER, watched.look()).await;
            let (serves, takes_logins) = seen.unwrap_or_default();
            if serves != was {
                info!(serves, "broker changed");
                was = serves;
            }
            health.set_ready(serves);
            if takes_logins {
                sender.send_if_modified(|known| !std::mem::replace(known, true));
            }
            tokio::time::sleep(if serves { RUNNING } else { STARTING }).await;
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            () = look => {}
            () = shutdown.wait() => {}
        }
    });
    receiver
}

// === impl Watched ===

impl Watched {
    /// Whether the node serves, and whether it takes logins.
    async fn look(&self) -> (bool, bool) {
        let roles = {
            let topology = self.topology.borrow();
            let node = topology
                .as_ref()
                .and_then(|topology| topology.node(self.node_id));
            node.map(|node| node.roles.clone())
        };
        let Some(roles) = roles else {
            return (false, false);
        };
        if roles.contains(&NodeRole::Broker) {
            let login = Login::new(&self.identity);
            let takes_logins = login.connect(self.broker, &self.signer).await.is_ok();
            return (takes_logins, takes_logins);
        }
        let connected = TcpStream::connect(self.controller).await;
        (connected.is_ok(), false)
    }
}
