//! A node's sidecar in this process, in front of a broker.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tubeway_policy::SpiffeId;
use tubeway_policy::rules::AccessRules;
use tubeway_proxy::pump::{Tokens, pump};
use tubeway_session::{Observe, Session, Topic};
use tubeway_telemetry::Shutdown;

use super::client::Target;
use super::world::Keys;

/// Where clients of one principal connect to: the data path of a node's
/// sidecar without the TLS, whose part is to say who the principal is.
///
/// The listener lives until the runtime ends.
pub async fn sidecar(
    keys: Arc<Keys>,
    broker: SocketAddr,
    principal: SpiffeId,
    rules: Arc<AccessRules>,
) -> io::Result<Target> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let login = Arc::new(Principal {
        keys,
        id: principal,
    });
    tokio::spawn(async move {
        while let Ok((client, from)) = listener.accept().await {
            tokio::spawn(serve(client, from, broker, login.clone(), rules.clone()));
        }
    });
    Ok(Target::open(address))
}

/// One connection, as the sidecar's ingress serves it once TLS has ended.
async fn serve(
    client: TcpStream,
    from: SocketAddr,
    broker: SocketAddr,
    login: Arc<Principal>,
    rules: Arc<AccessRules>,
) {
    let Ok(broker) = TcpStream::connect(broker).await else {
        return;
    };
    let shutdown = Shutdown::default();
    let session = node_session(&login.id, from, &rules);
    let ended = pump(client, broker, session, Uncounted, &*login, &shutdown);
    let _ = ended.await;
}

/// The session that enforces `rules` for `principal` from that address.
///
/// So far a session enforces none: this is where the rules go in once it does.
fn node_session(_principal: &SpiffeId, _from: SocketAddr, _rules: &AccessRules) -> Session {
    Session::node()
}

struct Principal {
    keys: Arc<Keys>,
    id: SpiffeId,
}

/// Counts nothing.
struct Uncounted;

impl Tokens for Principal {
    fn token(&self) -> Option<String> {
        Some(self.keys.token(&self.id))
    }
}

impl Observe for Uncounted {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}
