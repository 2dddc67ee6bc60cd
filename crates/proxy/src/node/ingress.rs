//! The way in for clients: who they are becomes the broker's principal.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tubeway_identity::IdentityStore;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_policy::quota::{Charger, Permit, Refused};
use tubeway_policy::rules::{Authorizer, Caller};
use tubeway_session::access::Questions;
use tubeway_session::{self as session, Guard, Session, SharedNames};
use tubeway_telemetry::Shutdown;

use crate::accept::authenticate;
use crate::dial;
use crate::metrics::Metrics;
use crate::node::login::{LIFE, Login};
use crate::node::names::TopicNames;
use crate::observe::{ConnectionLine, Counting};
use crate::pump::{Surroundings, pump};
use crate::quotas::QuotasInForce;
use crate::rules::RulesInForce;
use crate::zones::ZonesInForce;

/// How long a caller waits whose zone matters and is not known yet: that a new
/// pod has an address is known to the operator a moment after the pod.
const PLACED: Duration = Duration::from_secs(3);

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
    /// Where callers are.
    pub zones: ZonesInForce,
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
    /// By which version of the zones the caller has its zone.
    zones: AtomicU64,
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
        let tls = client.stream.get_ref().1.protocol_version();
        let line = ConnectionLine::new("client", from, client.peer.as_str(), self.metrics.clone())
            .with_tls(tls);
        // A broker that does not know this sidecar's key yet would refuse the
        // login and so the client; closing makes the client try again.
        if !*self.takes_logins.borrow() {
            return line.refused("logins", &"the broker takes no logins yet");
        }
        let Some(rules) = self.rules.current() else {
            let reason = "no access rules have come from the operator yet";
            return line.refused("no_rules", &reason);
        };
        let principal: Arc<str> = client.peer.principal().into();
        let (charger, _permit) = match self.admit(&principal).await {
            Ok(admitted) => admitted,
            Err(refused) => return line.refused("quota", &refused),
        };
        let zones = self.zones.version().into();
        let guard = self.guard(principal, from.ip(), rules).await;
        let broker = match dial::broker(self.broker).await {
            Ok(broker) => broker,
            Err(error) => return line.refused("broker", &error),
        };
        let answers = Answers {
            ingress: &self,
            principal: &client.peer,
            zones,
        };
        let session = Session::node(guard).limited(charger, self.quotas.now());
        let mut counting = Counting::new(
            self.metrics.clone(),
            client.peer.as_str(),
            self.names.clone(),
        );
        let end = pump(
            client.stream,
            broker,
            session,
            &mut counting,
            &answers,
            &self.shutdown,
        )
        .await;
        line.ended(&end, &counting);
    }
}

impl Ingress {
    /// What decides about a caller. Waits a moment where the caller's zone
    /// matters and is not known.
    async fn guard(&self, principal: Arc<str>, host: IpAddr, rules: Arc<Authorizer>) -> Guard {
        if rules.tells_zones_apart(&principal) {
            self.zones.find(host, PLACED).await;
        }
        let caller = Caller {
            principal,
            host,
            zone: None,
        };
        let names: SharedNames = Arc::new(self.names.clone());
        let zones = self.zones.clone();
        Guard::new(caller, rules, names).with_zones(Arc::new(move |host| zones.zone_of(host)))
    }

    /// Holds a connection to the quotas about connections.
    async fn admit(&self, principal: &Arc<str>) -> Result<(Charger, Permit), Refused> {
        let mut charger = self.quotas.charger(principal.clone());
        let now = self.quotas.now();
        let throttle = charger.attempt(now)?;
        let permit = charger.open(now)?;
        tokio::time::sleep(throttle.delay).await;
        Ok((charger, permit))
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

    /// Also the same rules again, where the caller may be in another zone now.
    fn newer_rules(&self, than: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        let zones = self.ingress.zones.version();
        if self.zones.swap(zones, Ordering::Relaxed) != zones {
            return self.ingress.rules.current();
        }
        self.ingress.rules.newer(than)
    }
}
