//! Everything the operator does, started and stopped together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::get;
use kube::Client;
use tokio::net::TcpListener;
use tracing::info;
use tubeway_identity::IdentityStore;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::ca_server::CaService;
use tubeway_identity::channel::H2;
use tubeway_identity::provider::Local;
use tubeway_identity::renew::Renewer;
use tubeway_identity::serve::{ServeLimits, serve_tls};
use tubeway_identity::tls::{Expected, server_config_optional_client};
use tubeway_telemetry::Shutdown;

use crate::authority::{KubernetesReviewer, load_or_create, publish_roots};
use crate::build::sidecar::TOKEN_AUDIENCE;
use crate::config::Config;
use crate::context::Context;
use crate::controllers::cluster;
use crate::kafka_admin::AdminDirectory;
use crate::metrics::Metrics;
use crate::stream::{ConfigStream, Topologies};
use crate::{access, topics};

/// Runs the operator until the shutdown.
pub async fn run(client: Client, config: Config, shutdown: Shutdown) -> Result<()> {
    let config = Arc::new(config);
    let authority = load_or_create(&client, &config)
        .await
        .context("the mesh has no certificate authority")?;
    let authority = Arc::new(authority);
    let identity = own_identity(&config, &authority).await?;
    let metrics = Arc::new(Metrics::new());
    let topologies = Topologies::default();
    serve_health(&config, metrics.clone(), shutdown.clone()).await?;
    let grpc = serve_grpc(
        &client,
        &config,
        &authority,
        &identity,
        &topologies,
        &shutdown,
    )
    .await?;
    let admins = AdminDirectory::mesh(identity.clone());
    let (stores, watches) = access::Stores::new(&client);
    let context = Context::new(
        client.clone(),
        config.clone(),
        identity,
        metrics,
        topologies,
        admins.clone(),
    );
    let access = access::Context {
        client: client.clone(),
        stores: stores.clone(),
        admins: admins.clone(),
        trust_domain: config.trust_domain.clone(),
        operator_principal: config.identity()?.principal(),
    };
    let topics = topics::Context {
        client: client.clone(),
        stores,
        admins,
    };
    let stop = shutdown.clone();
    info!(namespace = config.namespace, "operator started");
    tokio::select! {
        () = cluster::run(context) => {}
        result = topics::controller(topics, async move { stop.wait().await }) => result.context("the topics controller ended")?,
        result = access::controller(access) => result.context("the access controller ended")?,
        () = watches => {}
        () = publish_roots(client, authority) => {}
        () = shutdown.wait() => {}
    }
    grpc.await.context("the gRPC server failed")
}

/// The operator's own certificate, kept fresh from the authority beside it.
async fn own_identity(
    config: &Config,
    authority: &Arc<CertificateAuthority>,
) -> Result<IdentityStore> {
    let store = IdentityStore::new(&config.trust_domain);
    let provider = Local::new(
        Arc::new(ArcSwap::new(authority.clone())),
        Arc::new(ArcSwap::from_pointee(authority.bundle().clone())),
        config.identity()?,
        vec![config.service_name.clone()],
        config.cert_ttl,
    );
    tokio::spawn(Renewer::new(provider, store.clone()).run());
    tokio::time::timeout(Duration::from_secs(10), store.ready())
        .await
        .context("the operator got no certificate from its own authority")?;
    Ok(store)
}

/// The port that sidecars know: certificates and configuration.
async fn serve_grpc(
    client: &Client,
    config: &Config,
    authority: &Arc<CertificateAuthority>,
    identity: &IdentityStore,
    topologies: &Topologies,
    shutdown: &Shutdown,
) -> Result<tokio::task::JoinHandle<()>> {
    let ca = CaService::new(
        Arc::new(ArcSwap::new(authority.clone())),
        Arc::new(KubernetesReviewer::new(client.clone())),
        TOKEN_AUDIENCE,
        config.cert_ttl,
    );
    let routes = tonic::service::Routes::new(ca).add_service(ConfigStream::new(topologies.clone()));
    let tls = server_config_optional_client(identity, Expected::InTrustDomain, &[H2]);
    let listener = TcpListener::bind(config.grpc_listen)
        .await
        .with_context(|| format!("cannot listen on {} (--grpc-listen)", config.grpc_listen))?;
    let stop = shutdown.clone();
    Ok(tokio::spawn(async move {
        serve_tls(listener, tls, routes, ServeLimits::default(), stop.wait()).await;
    }))
}

async fn serve_health(config: &Config, metrics: Arc<Metrics>, shutdown: Shutdown) -> Result<()> {
    let listener = TcpListener::bind(config.metrics_listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {} (--metrics-listen)",
                config.metrics_listen
            )
        })?;
    let app = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/metrics", get(move || async move { metrics.text() }));
    tokio::spawn(async move {
        let server =
            axum::serve(listener, app).with_graceful_shutdown(async move { shutdown.wait().await });
        if let Err(error) = server.await {
            tracing::error!(%error, "health port failed");
        }
    });
    Ok(())
}
