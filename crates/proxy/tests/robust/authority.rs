//! A certificate authority of the tests' own, and who it vouches for.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rustls::ClientConfig;
use rustls_pki_types::UnixTime;
use tokio::net::TcpListener;
use tubeway_identity::IdentityStore;
use tubeway_identity::TrustBundle;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::ca_server::{CaService, ReviewError, ServiceAccount, TokenReviewer};
use tubeway_identity::channel::H2;
use tubeway_identity::serve::{ServeLimits, serve_tls};
use tubeway_identity::tls::{Expected, client_config, server_config_optional_client};

pub const DOMAIN: &str = "cluster.local";
pub const NODE: &str = "spiffe://cluster.local/ns/kafka/sa/demo-node";
pub const CHECKOUT: &str = "spiffe://cluster.local/ns/shop/sa/checkout";
pub const BILLING: &str = "spiffe://cluster.local/ns/shop/sa/billing";
pub const OPERATOR: &str = "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator";
/// The operator's DNS name.
pub const OPERATOR_NAME: &str = "operator.svc";
const DAY: Duration = Duration::from_secs(86_400);

/// An authority that can be replaced.
pub struct Authority {
    current: Arc<ArcSwap<CertificateAuthority>>,
    /// Roots that are trusted.
    bundle: TrustBundle,
}

/// Takes the token itself as `<namespace>/<service account>`.
struct Trusting;

// === impl Authority ===

impl Authority {
    pub fn new() -> Self {
        let ca = generate();
        Self {
            bundle: ca.bundle().clone(),
            current: Arc::new(ArcSwap::from_pointee(ca)),
        }
    }

    /// From now on another root signs; both are trusted.
    pub fn replace(&mut self) {
        let new = generate();
        let old = self.bundle.certificates().iter();
        let both = old.chain(new.bundle().certificates()).cloned().collect();
        self.bundle = TrustBundle::new(both).expect("a bundle of two");
        self.current.store(Arc::new(new));
    }

    /// A store with an identity for `id`.
    pub fn store(&self, id: &str) -> IdentityStore {
        let store = IdentityStore::new(DOMAIN);
        self.renew(&store, id);
        store
    }

    /// Gives a store a new certificate and key.
    pub fn renew(&self, store: &IdentityStore, id: &str) {
        let id = id.parse().expect("a SPIFFE id");
        let names = [OPERATOR_NAME.to_owned()];
        let issued = self
            .current
            .load()
            .issue(&id, &names, DAY, UnixTime::now())
            .expect("a certificate");
        store
            .install(issued.with_bundle(self.bundle.clone()))
            .expect("an identity that its own roots vouch for");
    }

    /// What a client of this identity connects to the node with.
    pub fn client(&self, id: &str) -> Arc<ClientConfig> {
        to_node(&self.store(id))
    }

    pub fn roots_pem(&self) -> String {
        self.current.load().certificate_pem().to_owned()
    }

    /// Serves certificates as the operator does; where.
    pub async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let service = CaService::new(self.current.clone(), Arc::new(Trusting), "tubeway-ca", DAY);
        let own = self.store(OPERATOR);
        let config = server_config_optional_client(&own, Expected::InTrustDomain, &[H2]);
        let routes = tonic::service::Routes::new(service);
        let limits = ServeLimits::default();
        let serving = serve_tls(listener, config, routes, limits, std::future::pending());
        tokio::spawn(serving);
        address
    }
}

/// A client of this store's identity that expects the node.
pub fn to_node(store: &IdentityStore) -> Arc<ClientConfig> {
    let node = Expected::only(NODE.parse().expect("a SPIFFE id"));
    client_config(store, node, &[])
}

fn generate() -> CertificateAuthority {
    CertificateAuthority::generate(DOMAIN, DAY, UnixTime::now()).expect("an authority")
}

// === impl Trusting ===

#[async_trait]
impl TokenReviewer for Trusting {
    async fn review(&self, token: &str, _: &str) -> Result<ServiceAccount, ReviewError> {
        let (namespace, name) = token
            .split_once('/')
            .ok_or_else(|| ReviewError::Invalid("no slash".to_owned()))?;
        Ok(ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}
