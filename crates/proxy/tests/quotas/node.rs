//! The way in of a node's sidecar, in this process, with the quotas that it is
//! given as a document.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tubeway_config::Quotas;
use tubeway_identity::IdentityStore;
use tubeway_identity::jwt::LoginSigner;
use tubeway_identity::tls::{Expected, server_config};
use tubeway_policy::SpiffeId;
use tubeway_policy::quota::{Amount, Asked};
use tubeway_policy::rules::AccessRules;
use tubeway_proxy::accept::Listener;
use tubeway_proxy::metrics::Metrics;
use tubeway_proxy::node::ingress::Ingress;
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::quotas::QuotasInForce;
use tubeway_proxy::rules::RulesInForce;
use tubeway_proxy::zones::ZonesInForce;
use tubeway_telemetry::Shutdown;

use crate::quotas::Limit;
use crate::world::spiffe_id;

/// How much of a quota is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing: its client waits.
    Owing,
    /// Some.
    Some,
    /// All of the burst: what it would allow more is lost.
    Full,
}

/// A node's way in, with threads of its own.
pub struct Node {
    pub address: SocketAddr,
    quotas: QuotasInForce,
    shutdown: Shutdown,
    /// Always there but while this is dropped.
    runtime: Option<Runtime>,
    _takes_logins: watch::Sender<bool>,
}

// === impl Node ===

impl Node {
    pub async fn start(
        address: SocketAddr,
        broker: SocketAddr,
        identity: IdentityStore,
        own: SpiffeId,
        signer: Arc<LoginSigner>,
        rules: AccessRules,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let (takes_logins, known) = watch::channel(true);
        let in_force = RulesInForce::default();
        in_force.replace(rules);
        let quotas = QuotasInForce::none().expect("no quotas are valid quotas");
        let (metrics, shutdown) = (Metrics::default(), Shutdown::default());
        let within = runtime.enter();
        let ingress = Ingress {
            tls: server_config(&identity, Expected::InTrustDomain, &[]),
            identity,
            broker,
            signer: signer.clone(),
            takes_logins: known,
            names: TopicNames::start(broker, signer, own, &shutdown),
            rules: in_force,
            zones: ZonesInForce::default(),
            quotas: quotas.clone(),
            metrics: metrics.clone(),
            shutdown: shutdown.clone(),
        };
        drop(within);
        let until = shutdown.clone();
        let (bound, ready) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = Listener::bind("client", address, metrics).await;
            let listener = listener.expect("an address of our own");
            let _ = bound.send(());
            let serve = move |stream, from| ingress.clone().serve(stream, from);
            listener.run(until, serve).await;
        });
        ready.await.expect("a listener");
        Self {
            address,
            quotas,
            shutdown,
            runtime: Some(runtime),
            _takes_logins: takes_logins,
        }
    }

    /// Takes a document of quotas, as from the operator's stream.
    pub fn take(&self, document: &[u8]) {
        let quotas = Quotas::from_json(document).expect("a document that is right");
        self.quotas
            .replace(&quotas.quotas)
            .expect("quotas that are right");
    }

    /// How much is left of a quota that the node was given.
    pub fn level(&self, limit: Limit) -> Level {
        let principal = format!("User:{}", spiffe_id(limit.account));
        let mut charger = self.quotas.charger(principal.into());
        let asked = Asked {
            client_id: "",
            api: "",
        };
        let burst = Amount {
            dimension: limit.dimension,
            topic: None,
            amount: limit.per_second as u64,
        };
        let now = self.quotas.now();
        if !charger.debt(now, asked, &[burst]).delay.is_zero() {
            Level::Owing
        } else if charger.preview(now, asked, &[burst]).delay.is_zero() {
            Level::Full
        } else {
            Level::Some
        }
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
