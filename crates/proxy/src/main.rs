//! `tubeway-proxy`: the sidecar and its probes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tubeway_config::ports;
use tubeway_identity::IdentityStore;
use tubeway_identity::provider::{IstioCa, IstioCaConfig};
use tubeway_identity::renew::Renewer;
use tubeway_proxy::admin::{self, Health};
use tubeway_proxy::control::Identities;
use tubeway_proxy::metrics::Metrics;
use tubeway_proxy::settings::{ClientSettings, NodeSettings, Settings};
use tubeway_proxy::{client, node, probe};
use tubeway_telemetry::Shutdown;

/// The sidecar of a Kafka broker or of a Kafka client. Its environment is
/// described in docs/pods.md.
#[derive(Debug, clap::Parser)]
#[command(version, about)]
enum Cli {
    /// Stand in front of a broker.
    Node,
    /// Stand beside an application.
    Client,
    /// Ask a running sidecar; the exit code is the answer.
    Probe {
        /// What to ask.
        question: probe::Question,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    tubeway_telemetry::init_logging("info")?;
    let env = |name: &str| std::env::var(name).ok();
    if let Cli::Probe { question } = cli {
        return probe::ask(admin_address(&env)?, question).await;
    }
    let settings = Arc::new(Settings::read(&env)?);
    let shutdown = tubeway_telemetry::on_signal()?;
    let (metrics, health) = (Metrics::default(), Health::default());
    admin::serve(
        admin_address(&env)?,
        metrics.clone(),
        health.clone(),
        shutdown.clone(),
    )
    .await
    .context("cannot open the admin port")?;
    let identities = identities(&settings, &metrics, &shutdown);
    if let Cli::Node = cli {
        let node = NodeSettings::read(&env)?;
        node::run(settings, node, identities, metrics, health, shutdown).await
    } else {
        let client = ClientSettings::read(&env)?;
        client::run(settings, client, identities, metrics, health, shutdown).await
    }
}

/// Stores that tasks keep filled: from the operator's certificate authority, and
/// what other pods see from Istio's, where there is one.
fn identities(settings: &Settings, metrics: &Metrics, shutdown: &Shutdown) -> Identities {
    let plane = &settings.control_plane;
    let control = keep(
        settings,
        shutdown,
        IstioCaConfig {
            address: plane.address.clone(),
            server_name: plane.name.clone(),
            id: Some(plane.id.clone()),
            token_file: plane.token_file.clone(),
            roots_file: plane.roots_file.clone(),
            cluster_id: "Kubernetes".to_owned(),
            // No wish of our own: how long certificates live is the issuer's to say.
            ttl: Duration::ZERO,
        },
    );
    let mesh = settings.issuer.as_ref().map(|issuer| {
        let config = IstioCaConfig {
            address: issuer.address.clone(),
            server_name: issuer.name.clone(),
            // Istio's control plane has no SPIFFE id in its certificate.
            id: None,
            token_file: issuer.token_file.clone(),
            roots_file: issuer.roots_file.clone(),
            cluster_id: issuer.cluster_id.clone(),
            ttl: Duration::ZERO,
        };
        keep(settings, shutdown, config)
    });
    let mesh = mesh.unwrap_or_else(|| control.clone());
    let mut changes = mesh.subscribe();
    let expiry = metrics.certificate_expiry.clone();
    tokio::spawn(async move {
        while changes.changed().await.is_ok() {
            if let Some(svid) = changes.borrow_and_update().as_ref() {
                expiry.set(i64::try_from(svid.not_after().as_secs()).unwrap_or(i64::MAX));
            }
        }
    });
    Identities { mesh, control }
}

/// A store that a task keeps filled from this issuer.
fn keep(settings: &Settings, shutdown: &Shutdown, config: IstioCaConfig) -> IdentityStore {
    let store = IdentityStore::new(&settings.trust_domain);
    let roots_file = config.roots_file.clone();
    let renewer = Renewer::new(IstioCa::new(config), store.clone())
        .with_bundle_file(roots_file)
        .with_jitter(rand::random());
    let stop = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = renewer.run() => {}
            () = stop.wait() => {}
        }
    });
    store
}

/// Where this pod's sidecar answers probes and scrapes. `TUBEWAY_ADMIN_PORT`
/// is for sidecars that run beside others of the same address.
fn admin_address(env: &dyn Fn(&str) -> Option<String>) -> Result<SocketAddr> {
    let loopback: Ipv4Addr = env("TUBEWAY_LOOPBACK")
        .as_deref()
        .unwrap_or("127.0.0.1")
        .parse()
        .context("TUBEWAY_LOOPBACK is not an IPv4 address")?;
    let port = match env("TUBEWAY_ADMIN_PORT") {
        Some(port) => port.parse().context("TUBEWAY_ADMIN_PORT is not a port")?,
        None => ports::ADMIN,
    };
    Ok((loopback, port).into())
}
