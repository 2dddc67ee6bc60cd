//! The control plane of the bench: an authority that signs for everybody here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::UnixTime;
use tokio::net::TcpListener;
use tubeway_identity::IdentityStore;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::ca_server::{CaService, ReviewError, ServiceAccount, TokenReviewer};
use tubeway_identity::channel::H2;
use tubeway_identity::serve::{ServeLimits, serve_tls};
use tubeway_identity::tls::{Expected, server_config_optional_client};

use crate::relay;

/// The trust domain of all identities here.
pub const DOMAIN: &str = "cluster.local";
/// The control plane's identity.
pub const OPERATOR: &str = "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator";
/// Its DNS name.
pub const OPERATOR_NAME: &str = "operator.svc";
/// The identity of the broker's sidecar.
pub const NODE: &str = "spiffe://cluster.local/ns/kafka/sa/demo-node";
const DAY: Duration = Duration::from_hours(24);

/// Signs certificates for the sidecars, over the network as the operator does,
/// and for the other pairs into files.
pub struct Authority {
    ca: Arc<ArcSwap<CertificateAuthority>>,
    /// `host:port` of the certificate service.
    pub address: String,
}

/// Takes the token itself as `<namespace>/<service account>`.
struct Trusting;

// === impl Authority ===

impl Authority {
    /// Makes one and serves certificates until the runtime ends.
    pub async fn start() -> Result<Self> {
        let ca = CertificateAuthority::generate(DOMAIN, DAY, UnixTime::now())?;
        let store = IdentityStore::new(DOMAIN);
        let names = [OPERATOR_NAME.to_owned()];
        store.install(ca.issue(&OPERATOR.parse()?, &names, DAY, UnixTime::now())?)?;
        let ca = Arc::new(ArcSwap::from_pointee(ca));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let service = CaService::new(ca.clone(), Arc::new(Trusting), "tubeway-ca", DAY);
        let config = server_config_optional_client(&store, Expected::InTrustDomain, &[H2]);
        let routes = tonic::service::Routes::new(service);
        let limits = ServeLimits::default();
        tokio::spawn(serve_tls(
            listener,
            config,
            routes,
            limits,
            std::future::pending(),
        ));
        Ok(Self { ca, address })
    }

    /// The root certificate.
    pub fn roots_pem(&self) -> String {
        self.ca.load().certificate_pem().to_owned()
    }

    /// Writes chain.pem, key.pem (ECDSA P-256) and roots.pem for a half of a
    /// pair that has no identity service.
    pub fn write_certificates(&self, folder: &Path) -> Result<()> {
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        let id = NODE.parse()?;
        let names = [relay::NAME.to_owned()];
        let ca = self.ca.load();
        let issued = ca.sign(&request.pem()?, &id, &names, DAY, UnixTime::now())?;
        let leaf = issued.chain.first().context("a chain without a leaf")?;
        for (name, content) in [
            ("chain.pem", leaf.clone()),
            ("key.pem", key.serialize_pem()),
            ("roots.pem", self.roots_pem()),
        ] {
            std::fs::write(folder.join(name), content)?;
        }
        Ok(())
    }
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
