//! Whether the broker behind this sidecar serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_telemetry::Shutdown;

use crate::admin::Health;
use crate::node::login::Login;

/// A broker that starts is looked at often: clients wait for it.
const STARTING: Duration = Duration::from_millis(200);
const RUNNING: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(5);

/// Logs in again and again, as the node itself. The receiver turns true once a
/// login has succeeded, and stays so: after that the broker knows the key.
pub fn start(
    broker: SocketAddr,
    signer: Arc<LoginSigner>,
    node: SpiffeId,
    health: Health,
    shutdown: Shutdown,
) -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let look = async move {
        let mut was = false;
        loop {
            let login = Login::new(&node);
            let serves = matches!(
                tokio::time::timeout(ANSWER, login.connect(broker, &signer)).await,
                Ok(Ok(_))
            );
            if serves != was {
                info!(serves, "broker changed");
                was = serves;
            }
            health.set_ready(serves);
            if serves {
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
