//! Istio as the issuer: where it is, and who the operator is to its mesh.
//!
//! Which Istio that is says the operator's own set-up and no KafkaCluster: a
//! token goes there, and who writes a cluster must not choose where to.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::task::JoinHandle;
use tubeway_api::MeshProvider;
use tubeway_identity::IdentityStore;
use tubeway_identity::provider::{IstioCa, IstioCaConfig};
use tubeway_identity::renew::Renewer;

use crate::config::Config;

/// Audience of the tokens that Istio's certificate authority takes.
pub const AUDIENCE: &str = "istio-ca";
/// ConfigMap that istiod writes into every namespace.
pub const ROOTS_CONFIG_MAP: &str = "istio-ca-root-cert";
/// Key of the trust bundle in it.
pub const ROOTS_KEY: &str = "root-cert.pem";

/// Where Istio's certificate authority is, and with what it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IstioConfig {
    /// `host:port` of istiod, for the operator and for every sidecar.
    pub address: String,
    /// DNS name that its certificate must carry.
    pub server_name: String,
    /// What it calls this Kubernetes; `Kubernetes` unless Istio spans several.
    pub cluster_id: String,
    /// File with the operator's own token for it.
    pub token_file: PathBuf,
    /// File with its trust bundle, which is followed.
    pub roots_file: PathBuf,
}

/// Who the operator is to the nodes of a cluster, by the cluster's issuer.
///
/// Clones are one. Istio is asked for a certificate when the first cluster needs
/// one, and never where none does.
#[derive(Clone)]
pub struct Identities {
    own: IdentityStore,
    istio: Arc<ByIstio>,
}

struct ByIstio {
    config: IstioConfig,
    trust_domain: String,
    kept: OnceLock<(IdentityStore, JoinHandle<()>)>,
}

// === impl IstioConfig ===

impl Default for IstioConfig {
    fn default() -> Self {
        Self {
            address: "istiod.istio-system.svc:15012".to_owned(),
            server_name: "istiod.istio-system.svc".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            token_file: "/var/run/tubeway/istio/token".into(),
            roots_file: "/var/run/tubeway/istio/root-cert.pem".into(),
        }
    }
}

// === impl Identities ===

impl Identities {
    /// `own` is by the operator's own authority.
    pub fn new(own: IdentityStore, config: &Config) -> Self {
        let istio = ByIstio {
            config: config.istio.clone(),
            trust_domain: config.trust_domain.clone(),
            kept: OnceLock::new(),
        };
        Self {
            own,
            istio: Arc::new(istio),
        }
    }

    /// The identity that nodes of a cluster of this mesh accept. Until Istio has
    /// given one the store is empty, and connections with it fail.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn of(&self, provider: MeshProvider) -> IdentityStore {
        match provider {
            MeshProvider::Builtin => self.own.clone(),
            MeshProvider::Istio => self.istio.store(),
        }
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("own", &self.own)
            .finish_non_exhaustive()
    }
}

// === impl ByIstio ===

impl ByIstio {
    fn store(&self) -> IdentityStore {
        let (store, _) = self.kept.get_or_init(|| {
            let store = IdentityStore::new(&self.trust_domain);
            let renewer = self.renewer(store.clone());
            (store, tokio::spawn(renewer.run()))
        });
        store.clone()
    }

    fn renewer(&self, store: IdentityStore) -> Renewer<IstioCa> {
        let config = &self.config;
        tracing::info!(address = config.address, "asking Istio for a certificate");
        let provider = IstioCa::new(IstioCaConfig {
            address: config.address.clone(),
            server_name: config.server_name.clone(),
            // Istio's control plane has no SPIFFE id in its certificate.
            id: None,
            token_file: config.token_file.clone(),
            roots_file: config.roots_file.clone(),
            cluster_id: config.cluster_id.clone(),
            // How long certificates live is the issuer's to say.
            ttl: Duration::ZERO,
        });
        Renewer::new(provider, store).with_bundle_file(&config.roots_file)
    }
}

impl Drop for ByIstio {
    fn drop(&mut self) {
        if let Some((_, task)) = self.kept.get() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;
    use tubeway_identity::ca::CertificateAuthority;

    use super::*;
    use crate::fixture;

    #[tokio::test]
    async fn the_own_identity_is_never_shown_where_istio_s_is_expected() {
        let hour = Duration::from_hours(1);
        let ca = CertificateAuthority::generate("td", hour, UnixTime::now()).unwrap();
        let id = "spiffe://td/ns/tubeway-system/sa/tubeway-operator";
        let own = IdentityStore::new("td");
        let svid = ca.issue(&id.parse().unwrap(), &[], hour, UnixTime::now());
        own.install(svid.unwrap()).unwrap();

        // No Istio is there, so it gives nothing.
        let context = fixture::context(&fixture::FakeApi::default());
        let identities = Identities::new(own, &context.config);
        assert!(identities.of(MeshProvider::Builtin).current().is_some());
        assert!(identities.istio.kept.get().is_none(), "asked too early");
        let istio = identities.of(MeshProvider::Istio);
        assert!(istio.current().is_none());
        assert_eq!(istio.trust_domain(), "td");
    }
}
