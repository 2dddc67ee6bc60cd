//! The operator as a whole.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::ca_server::CaService;
use tubeway_identity::provider::Local;
use tubeway_identity::renew::Renewer;
use tubeway_identity::serve::{ServeLimits, serve_tls};
use tubeway_identity::tls::{Expected, server_config_optional_client};
use tubeway_identity::{IdentityStore, TrustBundle};
use tubeway_policy::SpiffeId;

use crate::authority::{self, AuthorityError, KubernetesReviewer};
use crate::config::{Config, TOKEN_AUDIENCE};
use crate::context::{Context, Parts};
use crate::error::Error;
use crate::istio::Identities;
use crate::kafka::RealKafka;
use crate::kafka_admin::AdminDirectory;
use crate::leader::Candidate;
use crate::stream::{ConfigService, Hubs};
use crate::zones::{Places, ZoneSource};
use crate::{access, cluster, crds, http, quotas, roots, topics, webhook};

/// How long the operator may take to get its own certificate.
const OWN_IDENTITY: Duration = Duration::from_secs(30);

/// The ports of an operator, open before it runs, so that whoever chose port 0
/// knows what they became.
#[derive(Debug)]
pub struct Listeners {
    grpc: TcpListener,
    metrics: TcpListener,
}

/// Why the operator does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A port is not to be had.
    #[error("{address} cannot be listened on")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is no certificate authority.
    #[error("no certificate authority")]
    Authority(#[from] AuthorityError),
    /// The kinds' definitions could not be installed.
    #[error("the kinds are not installed")]
    Crds(#[from] Error),
    /// The operator's namespace or trust domain makes no SPIFFE id.
    #[error("the operator's own name is no SPIFFE id")]
    Identity(#[from] tubeway_policy::SpiffeError),
    /// The operator got no certificate of its own.
    #[error("no certificate of its own within {} s; the log says why", OWN_IDENTITY.as_secs())]
    NoIdentity,
    /// It leads no more, and what it was doing is for the next one.
    #[error("the lead was lost; the log says why")]
    LeadLost,
}

/// A signal that any number of tasks can wait for.
type Signal = Shared<BoxFuture<'static, ()>>;

// === impl Listeners ===

impl Listeners {
    /// Opens the ports that `config` names.
    pub async fn bind(config: &Config) -> Result<Self, RunError> {
        Ok(Self {
            grpc: listen(config.grpc_listen).await?,
            metrics: listen(config.metrics_listen).await?,
        })
    }

    /// Where sidecars connect.
    pub fn grpc_address(&self) -> io::Result<SocketAddr> {
        self.grpc.local_addr()
    }

    /// Where `/metrics` is served.
    pub fn metrics_address(&self) -> io::Result<SocketAddr> {
        self.metrics.local_addr()
    }
}

/// Runs an operator until `shutdown`.
pub async fn run(
    config: Config,
    client: Client,
    listeners: Listeners,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let operator_id = config.operator_id()?;
    if config.install_crds {
        crds::install(&client).await?;
    }
    let ca = authority::load(&client, &config.namespace, &config.trust_domain).await?;
    let (_roots_sender, roots) = watch::channel(ca.certificate_pem().to_owned());
    let bundle = Arc::new(ArcSwap::from_pointee(TrustBundle::clone(ca.bundle())));
    let ca = Arc::new(ArcSwap::from_pointee(ca));
    let identity = IdentityStore::new(&config.trust_domain);
    let own = Local::new(
        Arc::clone(&ca),
        bundle,
        operator_id.clone(),
        vec![config.service_name.clone()],
        config.cert_ttl,
    );

    let candidate = Candidate::new(&client, &config.namespace, config.name.clone());
    let mut background = JoinSet::new();
    background.spawn(Renewer::new(own, identity.clone()).run());
    if tokio::time::timeout(OWN_IDENTITY, identity.ready())
        .await
        .is_err()
    {
        return Err(RunError::NoIdentity);
    }
    let admins = AdminDirectory::mesh(Identities::new(identity.clone(), &config));
    let ctx = Context::new(Parts {
        client,
        config: Arc::new(config),
        identity,
        // Milliseconds leave room for a thousand changes a second between restarts.
        hubs: Hubs::above(milliseconds()),
        kafka: Arc::new(RealKafka::new(admins.clone())),
        admins,
        roots,
    });
    let shutdown = shutdown.boxed().shared();
    let leads = Arc::new(AtomicBool::new(false));
    background.spawn(serve_http(ctx.clone(), leads.clone(), listeners.metrics));
    tokio::select! {
        () = candidate.acquire() => {}
        () = shutdown.clone() => return Ok(()),
    }
    leads.store(true, Ordering::Relaxed);
    let served = tokio::select! {
        () = serve(ctx, ca, operator_id, listeners.grpc, shutdown) => Ok(()),
        // What is under way stops here: somebody else may do it already.
        () = candidate.keep() => Err(RunError::LeadLost),
    };
    candidate.release().await;
    background.shutdown().await;
    served
}

/// Everything that runs from now until the end.
async fn serve(
    ctx: Context,
    ca: Arc<ArcSwap<CertificateAuthority>>,
    operator_id: SpiffeId,
    listener: TcpListener,
    shutdown: Signal,
) {
    let mut tasks = JoinSet::new();
    let (places, watching) =
        Places::watching(&ctx.client, &ctx.config.watched, ctx.config.zones_from_pods);
    let zones = ZoneSource::new(places.clone(), ctx.zones.clone());
    let access = Access::new(&ctx, &operator_id, zones.clone());
    tasks.spawn(until(shutdown.clone(), watching));
    tasks.spawn(until(shutdown.clone(), access.watches));
    tasks.spawn(until(shutdown.clone(), keep_zones(zones, ctx.clone())));
    tasks.spawn(until(shutdown.clone(), keep_access(access.rules)));
    tasks.spawn(until(shutdown.clone(), keep_quotas(access.quotas)));
    tasks.spawn(keep_topics(access.topics, shutdown.clone()));
    tasks.spawn(until(shutdown.clone(), webhook::keep_roots(ctx.clone())));
    tasks.spawn(cluster::controller(ctx.clone(), shutdown.clone()));
    tasks.spawn(roots::controller(ctx.clone(), shutdown.clone()));
    tasks.spawn(serve_grpc(
        ctx.clone(),
        ca,
        places,
        listener,
        shutdown.clone(),
    ));
    let hubs = ctx.hubs();
    tasks.spawn(async move {
        shutdown.await;
        // Streams have no end of their own: without this they would be cut.
        hubs.close();
    });
    tracing::info!(
        namespace = ctx.config.namespace,
        watched = %ctx.config.watched,
        "operator running"
    );
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the operator broke");
        }
    }
}

/// What the controllers of access, quotas and topics share.
struct Access {
    watches: BoxFuture<'static, ()>,
    rules: access::Context,
    quotas: quotas::Controller,
    topics: topics::Context,
}

impl Access {
    fn new(ctx: &Context, operator_id: &SpiffeId, zones: ZoneSource) -> Self {
        let (stores, watches) = access::Stores::watching(&ctx.client, &ctx.config.watched);
        Self {
            watches,
            rules: access::Context {
                ctx: ctx.clone(),
                stores: stores.clone(),
                zones,
                operator_principal: operator_id.principal(),
            },
            quotas: quotas::Controller::new(ctx.clone(), stores.clone()),
            topics: topics::Context::new(
                ctx.client.clone(),
                stores,
                ctx.admins.clone(),
                ctx.replication.clone(),
            ),
        }
    }
}

async fn keep_access(context: access::Context) {
    if let Err(error) = access::controller(context).await {
        tracing::error!(%error, "access is not looked after any more");
    }
}

async fn keep_zones(zones: ZoneSource, ctx: Context) {
    if let Err(error) = zones.keep(ctx.access).await {
        tracing::error!(%error, "zones are not looked after any more");
    }
}

async fn keep_quotas(controller: quotas::Controller) {
    if let Err(error) = controller.run().await {
        tracing::error!(%error, "quotas are not looked after any more");
    }
}

async fn keep_topics(context: topics::Context, shutdown: Signal) {
    if let Err(error) = topics::controller(context, shutdown).await {
        tracing::error!(%error, "topics are not looked after any more");
    }
}

async fn until(shutdown: Signal, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = shutdown => {}
    }
}

async fn serve_grpc(
    ctx: Context,
    ca: Arc<ArcSwap<CertificateAuthority>>,
    places: Places,
    listener: TcpListener,
    shutdown: Signal,
) {
    let reviewer = Arc::new(KubernetesReviewer::new(ctx.client.clone()));
    let issuer = CaService::new(ca, reviewer, TOKEN_AUDIENCE, ctx.config.cert_ttl);
    let stream = ConfigService::new(ctx.hubs(), Arc::clone(&ctx.metrics)).with_places(places);
    let routes = Routes::new(issuer).add_service(stream);
    // The Kubernetes API comes to the same port, without a certificate.
    let routes = routes.prepare().into_axum_router();
    let routes = routes.merge(webhook::routes(ctx.clone()));
    // A workload that asks for its first certificate has none to show. And the
    // Kubernetes API speaks HTTP/1.1 and nothing newer to a webhook behind a Service.
    let protocols = [&b"h2"[..], b"http/1.1"];
    let tls = server_config_optional_client(&ctx.identity, Expected::InTrustDomain, &protocols);
    serve_tls(listener, tls, routes, ServeLimits::default(), shutdown).await;
}

/// Serves until it is dropped: also who waits for the lead is alive.
async fn serve_http(ctx: Context, leads: Arc<AtomicBool>, listener: TcpListener) {
    let routes = http::routes(Arc::clone(&ctx.metrics), ctx.identity.clone(), leads);
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!(%error, "metrics are not served any more");
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Listen { address, source })
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
