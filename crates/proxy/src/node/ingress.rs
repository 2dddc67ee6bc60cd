//! The way in for clients: who they are becomes the broker's principal.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tracing::{debug, info};
use tubeway_identity::IdentityStore;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_policy::quota::{Charger, Permit};
use tubeway_policy::rules::{Authorizer, Caller};
use tubeway_session::access::Questions;
use tubeway_session::{self as session, Guard, Session, SharedNames};
use tubeway_telemetry::Shutdown;

use crate::accept::authenticate;
use crate::dial;
use crate::metrics::{Metrics, RefusedLabels};
use crate::node::login::{LIFE, Login};
use crate::node::names::TopicNames;
use crate::observe::Counting;
use crate::pump::{End, Surroundings, pump};
use crate::quotas::QuotasInForce;
use crate::rules::RulesInForce;

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
    /// Who may do what.
    pub rules: RulesInForce,
    /// How much of it.
    pub quotas: QuotasInForce,
    /// The sidecar's counters.
    pub metrics: Metrics,
    /// Ends what is open.
    pub shutdown: Shutdown,
}

/// Answers for one client's connection.
struct Answers<'a> {
    ingress: &'a Ingress,
    principal: &'a SpiffeId,
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
        let Some(rules) = self.rules.current() else {
            info!(%from, peer = %client.peer, "no access rules have come from the operator yet");
            return;
        };
        let principal: Arc<str> = client.peer.principal().into();
        let Some((charger, _permit)) = self.admit(&principal, from).await else {
            return;
        };
        let broker = match dial::broker(self.broker).await {
            Ok(broker) => broker,
            Err(error) => {
                info!(%error, %from, peer = %client.peer, "the broker takes no connection");
                return;
            }
        };
        let caller = Caller {
            principal,
            host: from.ip(),
            zone: None,
        };
        let names: SharedNames = Arc::new(self.names.clone());
        let session =
            Session::node(Guard::new(caller, rules, names)).limited(charger, self.quotas.now());
        let answers = Answers {
            ingress: &self,
            principal: &client.peer,
        };
        let counting = Counting::new(
            self.metrics.clone(),
            client.peer.as_str(),
            self.names.clone(),
        );
        let end = pump(
            client.stream,
            broker,
            session,
            counting,
            &answers,
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

impl Ingress {
    /// Holds a connection to the quotas about connections; none where it is
    /// refused.
    async fn admit(&self, principal: &Arc<str>, from: SocketAddr) -> Option<(Charger, Permit)> {
        let mut charger = self.quotas.charger(principal.clone());
        let now = self.quotas.now();
        let admitted = charger
            .attempt(now)
            .and_then(|throttle| Ok((throttle, charger.open(now)?)));
        match admitted {
            Ok((throttle, permit)) => {
                tokio::time::sleep(throttle.delay).await;
                Some((charger, permit))
            }
            Err(refused) => {
                let labels = RefusedLabels {
                    listener: "client",
                    reason: "quota",
                };
                self.metrics.refused.get_or_create_owned(&labels).inc();
                info!(%from, %principal, quota = %refused.quota, "connection refused by a quota");
                None
            }
        }
    }
}

// === impl Answers ===

#[async_trait]
impl Surroundings for Answers<'_> {
    fn token(&self) -> Option<String> {
        let login = Login::new(self.principal);
        login.token(&self.ingress.signer, LIFE).ok()
    }

    async fn ask(&self, questions: Questions) -> Option<session::Answers> {
        self.ingress.names.ask(&questions).await
    }

    fn newer_rules(&self, than: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        self.ingress.rules.newer(than)
    }
}
