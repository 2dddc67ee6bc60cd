//! How one operator is set up.

use std::net::SocketAddr;
use std::time::Duration;

use tubeway_policy::{SpiffeError, SpiffeId};

/// The operator's settings; the program's flags and environment fill them in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The operator's own namespace, where the authority's Secret is kept.
    pub namespace: String,
    /// What this operator is called among those that could lead: its pod's name.
    pub name: String,
    /// The mesh's trust domain.
    pub trust_domain: String,
    /// Where the certificate authority and the configuration stream listen.
    pub grpc_listen: SocketAddr,
    /// `host:port` under which sidecars reach that port.
    pub advertise: String,
    /// DNS name that the operator's own certificate carries.
    pub service_name: String,
    /// Life of the certificates that are signed.
    pub cert_ttl: Duration,
    /// Where `/metrics`, `/livez` and `/readyz` are served.
    pub metrics_listen: SocketAddr,
    /// The images that pods are made of.
    pub images: Images,
    /// Whether to install the kinds' definitions at the start.
    pub install_crds: bool,
    /// Whether a pod's own label says its zone, before its node's label: only
    /// for one machine that plays several zones. Who may create a pod may then
    /// say where it is, and so get around rules with zones.
    pub zones_from_pods: bool,
}

/// The images that pods are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// The sidecar's image, with its tag.
    pub proxy: String,
    /// The Kafka image without its tag: the Kafka version is the tag.
    pub kafka: String,
}

/// ServiceAccount that the operator runs as.
pub const OPERATOR_ACCOUNT: &str = "tubeway-operator";
/// Audience of the tokens that workloads show to get a certificate.
pub const TOKEN_AUDIENCE: &str = "tubeway-ca";

// === impl Config ===

impl Config {
    /// The operator's own identity.
    pub fn operator_id(&self) -> Result<SpiffeId, SpiffeError> {
        SpiffeId::of_service_account(&self.trust_domain, &self.namespace, OPERATOR_ACCOUNT)
    }
}

// === impl Images ===

impl Default for Images {
    fn default() -> Self {
        Self {
            proxy: "tubeway.dev/proxy:latest".to_owned(),
            kafka: "tubeway.dev/kafka".to_owned(),
        }
    }
}
