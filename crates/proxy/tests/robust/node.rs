//! The way in of a node's sidecar, in this process: its tasks and counters can
//! be looked at, its rules and identity replaced.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tubeway_identity::IdentityStore;
use tubeway_identity::jwt::LoginSigner;
use tubeway_identity::tls::{Expected, server_config};
use tubeway_policy::acl::{AclBinding, Operation, ResourceType};
use tubeway_policy::rules::{AccessRules, Rule};
use tubeway_proxy::accept::Listener;
use tubeway_proxy::metrics::{ListenerLabels, Metrics};
use tubeway_proxy::node::ingress::Ingress;
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::quotas::QuotasInForce;
use tubeway_proxy::rules::RulesInForce;
use tubeway_proxy::zones::ZonesInForce;
use tubeway_telemetry::Shutdown;

use crate::authority::{Authority, NODE};
use crate::broker::Broker;
use crate::wire::{GROUP, TOPIC};

/// A node's way in, with threads of its own.
pub struct Node {
    pub address: SocketAddr,
    pub identity: IdentityStore,
    pub rules: RulesInForce,
    pub zones: ZonesInForce,
    metrics: Metrics,
    shutdown: Shutdown,
    /// Always there but while this is dropped.
    runtime: Option<Runtime>,
    _takes_logins: watch::Sender<bool>,
}

// === impl Node ===

impl Node {
    pub async fn start(authority: &Authority, broker: &Broker, rules: AccessRules) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let identity = authority.store(NODE);
        let (takes_logins, known) = watch::channel(true);
        let in_force = RulesInForce::default();
        in_force.replace(rules);
        let zones = ZonesInForce::default();
        let (metrics, shutdown) = (Metrics::default(), Shutdown::default());
        let signer = Arc::new(LoginSigner::generate().expect("a key"));
        let within = runtime.enter();
        let ingress = Ingress {
            tls: server_config(&identity, Expected::InTrustDomain, &[]),
            identity: identity.clone(),
            broker: broker.address,
            signer: signer.clone(),
            takes_logins: known,
            names: TopicNames::start(
                broker.address,
                signer,
                NODE.parse().expect("a SPIFFE id"),
                &shutdown,
            ),
            rules: in_force.clone(),
            zones: zones.clone(),
            quotas: QuotasInForce::none().expect("no quotas are valid quotas"),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        drop(within);
        let (named, until) = (metrics.clone(), shutdown.clone());
        let (bound, ready) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = Listener::bind("client", address, named).await;
            let listener = listener.expect("a port");
            let _ = bound.send(());
            let serve = move |stream, from| ingress.clone().serve(stream, from);
            listener.run(until, serve).await;
        });
        ready.await.expect("a listener");
        Self {
            address,
            identity,
            rules: in_force,
            zones,
            metrics,
            shutdown,
            runtime: Some(runtime),
            _takes_logins: takes_logins,
        }
    }

    /// Takes no more connections and ends those that are open, answers first.
    pub fn end(&self) {
        self.shutdown.begin();
    }

    /// Tasks of the sidecar that live.
    pub fn tasks(&self) -> usize {
        let runtime = self.runtime.as_ref();
        runtime.map_or(0, |runtime| runtime.metrics().num_alive_tasks())
    }

    /// Connections that its gauge says are open.
    pub fn open(&self) -> i64 {
        let labels = ListenerLabels { listener: "client" };
        self.metrics.connections.get_or_create_owned(&labels).get()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shutdown.begin();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Rules by which these may use the topic and the group.
pub fn allowing(clients: &[&str]) -> AccessRules {
    let rules = clients.iter().flat_map(|client| {
        let user = format!("User:{client}");
        [
            (Operation::Write, ResourceType::Topic, TOPIC),
            (Operation::Read, ResourceType::Topic, TOPIC),
            (Operation::Read, ResourceType::Group, GROUP),
        ]
        .map(|(operation, kind, name)| Rule::from(AclBinding::allow(&user, operation, kind, name)))
    });
    AccessRules {
        super_users: [format!("User:{NODE}")].into(),
        rules: rules.collect(),
    }
}
