//! The program `tubeway-operator`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tubeway_operator::config::{Config, Images, certificate_life};
use tubeway_operator::istio::IstioConfig;
use tubeway_operator::run::{Listeners, run};
use tubeway_operator::watched::Watched;

/// Apache Kafka in the mesh: clusters, topics and access as Kubernetes
/// resources.
#[derive(Debug, Parser)]
#[command(name = "tubeway-operator", version)]
struct Flags {
    /// The operator's own namespace
    #[arg(long, env = "POD_NAMESPACE", default_value_t = Config::default().namespace)]
    namespace: String,
    /// What this operator is called among those that could lead: its pod's name
    #[arg(long, env = "POD_NAME", default_value_t = host())]
    name: String,
    /// The mesh's trust domain
    #[arg(long, env = "TUBEWAY_TRUST_DOMAIN", default_value_t = Config::default().trust_domain)]
    trust_domain: String,
    /// Where the certificate authority and the configuration stream listen
    #[arg(long, env = "TUBEWAY_GRPC_LISTEN", default_value_t = Config::default().grpc_listen)]
    grpc_listen: SocketAddr,
    /// host:port under which sidecars reach that port
    #[arg(
        long,
        env = "TUBEWAY_ADVERTISE",
        default_value_t = Config::default().advertise
    )]
    advertise: String,
    /// DNS name that the operator's certificate carries
    #[arg(
        long,
        env = "TUBEWAY_SERVICE_NAME",
        default_value_t = Config::default().service_name
    )]
    service_name: String,
    /// Life of the certificates that are signed, as in 24h, 90m or 120s; at
    /// most 24h
    #[arg(long, env = "TUBEWAY_CERT_TTL", default_value = "24h", value_parser = certificate_life)]
    cert_ttl: Duration,
    /// Where /metrics, /livez and /readyz are served
    #[arg(
        long,
        env = "TUBEWAY_METRICS_LISTEN",
        default_value_t = Config::default().metrics_listen
    )]
    metrics_listen: SocketAddr,
    /// Image of the sidecar, with its tag
    #[arg(long, env = "TUBEWAY_PROXY_IMAGE", default_value_t = Images::default().proxy)]
    proxy_image: String,
    /// Image of Kafka, without its tag: the Kafka version is the tag
    #[arg(long, env = "TUBEWAY_KAFKA_IMAGE", default_value_t = Images::default().kafka)]
    kafka_image: String,
    /// host:port of istiod, for clusters whose certificates are Istio's
    #[arg(long, env = "TUBEWAY_ISTIO_ADDRESS", default_value_t = IstioConfig::default().address)]
    istio_address: String,
    /// DNS name that istiod's certificate carries
    #[arg(long, env = "TUBEWAY_ISTIO_SERVER_NAME", default_value_t = IstioConfig::default().server_name)]
    istio_server_name: String,
    /// What Istio calls this Kubernetes
    #[arg(long, env = "TUBEWAY_ISTIO_CLUSTER_ID", default_value_t = IstioConfig::default().cluster_id)]
    istio_cluster_id: String,
    /// File with the operator's token of audience istio-ca
    #[arg(long, env = "TUBEWAY_ISTIO_TOKEN_FILE", default_value_os_t = IstioConfig::default().token_file)]
    istio_token_file: PathBuf,
    /// File with Istio's trust bundle
    #[arg(long, env = "TUBEWAY_ISTIO_ROOTS_FILE", default_value_os_t = IstioConfig::default().roots_file)]
    istio_roots_file: PathBuf,
    /// Namespaces to look after, with commas between them; empty for all
    #[arg(
        long,
        env = "TUBEWAY_WATCH_NAMESPACES",
        value_name = "NAMESPACES",
        default_value_t
    )]
    watch_namespaces: Watched,
    /// Install the kinds' definitions first
    #[arg(long, env = "TUBEWAY_INSTALL_CRDS")]
    install_crds: bool,
    /// Let a pod's own label topology.kubernetes.io/zone say its zone, before
    /// its node's: for one machine that plays several zones. Who may create a
    /// pod may then say where it is
    #[arg(long, env = "TUBEWAY_ZONES_FROM_PODS")]
    zones_from_pods: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tubeway_telemetry::init_logging("info")?;
    let config = Flags::parse().config();
    let client = Client::try_default()
        .await
        .context("no way to the Kubernetes API: run in a pod, or with KUBECONFIG set")?;
    let listeners = Listeners::bind(&config).await?;
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
    };
    run(config, client, listeners, shutdown).await?;
    Ok(())
}

/// Outside of a pod: the machine's name and the process.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", name.trim(), std::process::id())
}

// === impl Flags ===

impl Flags {
    fn config(self) -> Config {
        Config {
            namespace: self.namespace,
            name: self.name,
            trust_domain: self.trust_domain,
            grpc_listen: self.grpc_listen,
            advertise: self.advertise,
            service_name: self.service_name,
            cert_ttl: self.cert_ttl,
            metrics_listen: self.metrics_listen,
            images: Images {
                proxy: self.proxy_image,
                kafka: self.kafka_image,
            },
            istio: IstioConfig {
                address: self.istio_address,
                server_name: self.istio_server_name,
                cluster_id: self.istio_cluster_id,
                token_file: self.istio_token_file,
                roots_file: self.istio_roots_file,
            },
            watched: self.watch_namespaces,
            install_crds: self.install_crds,
            zones_from_pods: self.zones_from_pods,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_flags_the_settings_are_the_defaults() {
        let flags = Flags::parse_from(["tubeway-operator", "--name=tubeway-operator"]);
        assert_eq!(flags.config(), Config::default());
    }
}
