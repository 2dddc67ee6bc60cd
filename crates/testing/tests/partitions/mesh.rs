//! The data path between a client and a broker, in this process and without
//! TLS: a client's sidecar and a node's, one behind the other.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustls_pki_types::UnixTime;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tubeway_identity::jwt::{AUDIENCE, ISSUER, LoginSigner};
use tubeway_policy::SpiffeId;
use tubeway_policy::acl::{AclBinding, Operation, ResourceType, WILDCARD};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller, Rule};
use tubeway_proxy::node::names::TopicNames;
use tubeway_proxy::pump::{NoQuestions, Surroundings, pump};
use tubeway_proxy::rules::RulesInForce;
use tubeway_session::access::Questions;
use tubeway_session::{Answers, Exchange, Guard, Observe, Routes, Session, SharedNames, Topic};
use tubeway_telemetry::Shutdown;
use tubeway_testing::broker::{BrokerOptions, TestBroker};
use tubeway_testing::tools::Tools;

/// How long a login lasts: longer than the suite runs.
const LIFE: Duration = Duration::from_secs(3600);
/// What is on its way between the two sidecars, in bytes.
const BETWEEN: usize = 64 * 1024;
/// The id of the only broker.
const BROKER: u16 = 1;

/// What somebody may do to some partitions of a topic: `("0-2", Operation::Read)`.
pub(crate) type Grant = (&'static str, Operation);

/// A broker that lets everybody do everything, and what its sidecar knows.
pub(crate) struct Mesh {
    pub(crate) broker: TestBroker,
    signer: Arc<LoginSigner>,
    names: TopicNames,
    _keys: TempDir,
}

/// Where the clients of one principal connect to.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) bootstrap: String,
    topic: String,
    principal: SpiffeId,
    rules: RulesInForce,
    seen: Arc<Mutex<Vec<(Instant, &'static str)>>>,
}

/// What one connection is served with.
#[derive(Clone)]
struct Serving {
    broker: SocketAddr,
    routes: Routes,
    signer: Arc<LoginSigner>,
    names: TopicNames,
    door: Door,
}

/// Counts requests by API.
struct Counting(Door);

/// Counts nothing.
struct Uncounted;

// === impl Mesh ===

impl Mesh {
    pub(crate) async fn start(tools: &Tools) -> Self {
        let keys = tempfile::tempdir().expect("a temporary folder");
        let signer = Arc::new(LoginSigner::generate().expect("random numbers"));
        let jwks = keys.path().join("jwks.json");
        fs::write(&jwks, signer.jwks()).expect("written");
        let options = BrokerOptions::default()
            .with_jwks(&jwks)
            .with_warnings_only()
            .with_property("group.consumer.assignment.interval.ms", "0")
            .with_property("group.share.assignment.interval.ms", "0");
        let broker = TestBroker::start(tools, &options).await.expect("a broker");
        let node = id("node");
        let (sasl, shutdown) = (broker.sasl_bootstrap(), Shutdown::default());
        let names = TopicNames::start(sasl, signer.clone(), node, &shutdown);
        Self {
            broker,
            signer,
            names,
            _keys: keys,
        }
    }

    /// Lets `name` in, who may do to the partitions of `topic` what is granted,
    /// and use every group and transactional id. Open until the runtime ends.
    pub(crate) async fn door(&self, name: &str, topic: &str, grants: &[Grant]) -> Door {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let door = Door {
            bootstrap: address.to_string(),
            topic: topic.to_owned(),
            principal: id(name),
            rules: RulesInForce::default(),
            seen: Arc::default(),
        };
        door.grant(grants);
        let serving = Serving {
            broker: self.broker.sasl_bootstrap(),
            routes: Routes {
                host: Ipv4Addr::LOCALHOST.to_string(),
                brokers_from: address.port() - BROKER,
            },
            signer: self.signer.clone(),
            names: self.names.clone(),
            door: door.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, from)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(client, from));
            }
        });
        door
    }
}

/// The SPIFFE id of somebody here.
fn id(name: &str) -> SpiffeId {
    let id = format!("spiffe://cluster.local/ns/partitions/sa/{name}");
    id.parse().expect("a SPIFFE id")
}

// === impl Door ===

impl Door {
    /// The topic that its rules are about.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// From now on this is granted, and nothing else, also on open connections.
    pub(crate) fn grant(&self, grants: &[Grant]) {
        let principal = self.principal.principal();
        let allow = |operation, kind, name: &str| -> Rule {
            AclBinding::allow(principal.clone(), operation, kind, name).into()
        };
        let mut rules = vec![
            allow(Operation::Read, ResourceType::Group, WILDCARD),
            allow(Operation::Write, ResourceType::TransactionalId, WILDCARD),
        ];
        for (partitions, operation) in grants {
            let mut rule = allow(*operation, ResourceType::Topic, &self.topic);
            rule.partitions = Some(partitions.parse().expect("partitions"));
            rules.push(rule);
        }
        let rules = AccessRules {
            rules,
            ..AccessRules::default()
        };
        rules.check().expect("rules");
        self.rules.replace(rules);
    }

    /// Requests from `begun` on, by API.
    pub(crate) fn requests_since(&self, begun: Instant) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, api) in seen.iter().filter(|(at, _)| *at >= begun) {
            *counts.entry(*api).or_default() += 1;
        }
        counts
    }
}

// === impl Serving ===

impl Serving {
    /// One connection, through both sidecars.
    async fn serve(self, client: TcpStream, from: SocketAddr) {
        let Ok(broker) = TcpStream::connect(self.broker).await else {
            return;
        };
        let _ = (client.set_nodelay(true), broker.set_nodelay(true));
        let (near, far) = tokio::io::duplex(BETWEEN);
        let shutdown = Shutdown::default();
        let caller = Caller {
            principal: self.door.principal.principal().into(),
            host: from.ip(),
            zone: None,
        };
        let names: SharedNames = Arc::new(self.names.clone());
        let rules = self.door.rules.current().expect("rules");
        let node = Session::node(Guard::new(caller, rules, names));
        let beside = Session::client(self.routes.clone(), None);
        let counting = Counting(self.door.clone());
        tokio::join!(
            pump(client, near, beside, Uncounted, &NoQuestions, &shutdown),
            pump(far, broker, node, counting, &self, &shutdown),
        );
    }
}

#[async_trait]
impl Surroundings for Serving {
    fn token(&self) -> Option<String> {
        let (id, now) = (&self.door.principal, UnixTime::now());
        self.signer.token(id, ISSUER, AUDIENCE, now, LIFE).ok()
    }

    async fn ask(&self, questions: Questions) -> Option<Answers> {
        self.names.ask(&questions).await
    }

    fn newer_rules(&self, than: &Arc<Authorizer>) -> Option<Arc<Authorizer>> {
        self.door.rules.newer(than)
    }
}

// === impl Counting ===

impl Observe for Counting {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
    fn finished(&mut self, exchange: &Exchange) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((Instant::now(), exchange.name));
    }
}

impl Observe for Uncounted {
    fn produced(&mut self, _: &Topic, _: u64, _: u64) {}
    fn consumed(&mut self, _: &Topic, _: u64, _: u64) {}
    fn denied(&mut self, _: &Topic) {}
    fn error(&mut self, _: &'static str, _: i16) {}
}
