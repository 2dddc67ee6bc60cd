//! What the operator is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use tubeway_policy::{SpiffeError, SpiffeId};

/// The operator's flags; each can also come from the environment.
#[derive(Debug, Clone, clap::Parser)]
#[command(
    name = "tubeway-operator",
    version,
    about = "Runs Kafka clusters, topics and access as Kubernetes resources."
)]
pub struct Config {
    /// Namespace that the operator runs in.
    #[arg(long, env = "TUBEWAY_NAMESPACE", default_value = "tubeway-system")]
    pub namespace: String,
    /// Service account that the operator runs as.
    #[arg(
        long,
        env = "TUBEWAY_SERVICE_ACCOUNT",
        default_value = "tubeway-operator"
    )]
    pub service_account: String,
    /// Trust domain of the mesh.
    #[arg(long, env = "TUBEWAY_TRUST_DOMAIN", default_value = "cluster.local")]
    pub trust_domain: String,
    /// Where the certificate authority and the configuration stream listen.
    #[arg(long, env = "TUBEWAY_GRPC_LISTEN", default_value = "0.0.0.0:15012")]
    pub grpc_listen: SocketAddr,
    /// The address of that port, as sidecars are told it.
    #[arg(
        long,
        env = "TUBEWAY_ADVERTISE",
        default_value = "tubeway-operator.tubeway-system.svc:15012"
    )]
    pub advertise: String,
    /// DNS name in the operator's certificate, which sidecars check.
    #[arg(
        long,
        env = "TUBEWAY_SERVICE_NAME",
        default_value = "tubeway-operator.tubeway-system.svc"
    )]
    pub service_name: String,
    /// Longest life of the certificates that sidecars get, in seconds with an s.
    #[arg(long, env = "TUBEWAY_CERT_TTL", default_value = "86400s", value_parser = seconds)]
    pub cert_ttl: Duration,
    /// Where metrics and health are served; loopback of the pod by default.
    #[arg(
        long,
        env = "TUBEWAY_METRICS_LISTEN",
        default_value = "127.0.0.1:15021"
    )]
    pub metrics_listen: SocketAddr,
    /// Image of the sidecar.
    #[arg(
        long,
        env = "TUBEWAY_PROXY_IMAGE",
        default_value = "tubeway.dev/proxy:dev"
    )]
    pub proxy_image: String,
    /// Image of Kafka, without its tag, which is the Kafka version.
    #[arg(long, env = "TUBEWAY_KAFKA_IMAGE", default_value = "tubeway.dev/kafka")]
    pub kafka_image: String,
}

// === impl Config ===

impl Config {
    /// The operator's own identity.
    pub fn identity(&self) -> Result<SpiffeId, SpiffeError> {
        SpiffeId::of_service_account(&self.trust_domain, &self.namespace, &self.service_account)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.strip_suffix('s')
        .and_then(|number| number.parse().ok())
        .filter(|n| *n >= 10)
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{text:?} must be at least 10s, as in 86400s"))
}
