//! A node's sidecar in this process, in front of a broker.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tubeway_policy::SpiffeId;
use tubeway_policy::rules::{AccessRules, Authorizer, Caller};
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::pump::{Surroundings, pump};
use tubeway_session::access::{Exists, NameOf, Names, Questions};
use tubeway_session::{Answers, Guard, Observe, Session, SharedNames, Topic, TopicId};
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
    names: TopicNames,
) -> io::Result<Target> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let login = Arc::new(Principal {
        keys,
        id: principal,
        names,
    });
    let rules = Arc::new(Authorizer::new((*rules).clone()));
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
    rules: Arc<Authorizer>,
) {
    let Ok(broker) = TcpStream::connect(broker).await else {
        return;
    };
    let shutdown = Shutdown::default();
    let caller = Caller {
        principal: login.id.principal().into(),
        host: from.ip(),
        zone: None,
    };
    let names: SharedNames = Arc::new(Creating(login.names.clone()));
    let session = Session::node(Guard::new(caller, rules, names));
    let ended = pump(client, broker, session, Uncounted, &*login, &shutdown);
    let _ = ended.await;
}

/// The names asked for with the identity of the broker's own node.
pub fn names(keys: &Keys, broker: SocketAddr) -> TopicNames {
    let node = NODE.parse().expect("a SPIFFE id");
    TopicNames::start(broker, keys.signer(), node, &Shutdown::default())
}

/// Who the sidecar itself is: a super user.
pub const NODE: &str = "spiffe://cluster.local/ns/kafka/sa/node";

struct Principal {
    keys: Arc<Keys>,
    id: SpiffeId,
    names: TopicNames,
}

/// What is asked of a broker that creates topics.
struct Creating(TopicNames);

impl Names for Creating {
    fn name_of(&self, id: &TopicId) -> NameOf {
        self.0.name_of(id)
    }

    fn exists(&self, topic: &str) -> Exists {
        self.0.exists(topic)
    }

    fn auto_create(&self) -> bool {
        true
    }
}

/// Counts nothing.
struct Uncounted;

#[async_trait]
impl Surroundings for Principal {
    fn token(&self) -> Option<String> {
        Some(self.keys.token(&self.id))
    }

    async fn ask(&self, questions: Questions) -> Option<Answers> {
        self.names.ask(&questions).await
    }

    fn newer_rules(&self, _: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        None
    }
}

impl Observe for Uncounted {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}
