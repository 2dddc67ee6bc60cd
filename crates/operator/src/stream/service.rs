//! The stream as a gRPC service.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Body, BoxFuture, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tubeway_config::stream::{
    MAX_REPORT, PLACE, Report, SERVICE_NAME, SUBSCRIBE_PATH, Subscribe, Update,
};
use tubeway_config::{Access, ClusterRef, Place, Topology, Zones};
use tubeway_identity::serve::PeerIdentity;
use tubeway_policy::SpiffeId;

use super::hub::{
    AccessDocuments, Document, QuotaPlans, Subscription, Topologies, Versioned, ZoneDocuments,
};
use super::plan::QuotaPlan;
use super::usage::UsageReports;
use crate::cluster::names;
use crate::metrics::Metrics;
use crate::zones::Places;

/// How long a caller may take to say what it wants.
const FIRST_REPORT: Duration = Duration::from_secs(10);
/// How long a sidecar waits at the operator's start until its zone is known.
const PLACED: Duration = Duration::from_secs(2);

/// Everything that goes over the stream. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Hubs {
    /// Where the nodes of each cluster are.
    pub topologies: Topologies,
    /// Who may do what.
    pub access: AccessDocuments,
    /// Where callers are.
    pub zones: ZoneDocuments,
    /// How much anyone may use.
    pub quotas: QuotaPlans,
    /// What sidecars say was used.
    pub usage: UsageReports,
}

/// Pushes each cluster's topology to whoever in the mesh asks for it, with the
/// zone of its own pod, and access rules, zones and quotas to the cluster's own
/// nodes.
///
/// A caller must have shown a certificate of the mesh. Acknowledgements and
/// reports of use count only from callers with the identity of the cluster's
/// own nodes.
#[derive(Clone)]
pub struct ConfigService {
    hubs: Hubs,
    places: Option<Places>,
    metrics: Arc<Metrics>,
}

type Updates = Pin<Box<dyn Stream<Item = Result<Update, Status>> + Send>>;

/// One open stream.
struct Session {
    topology: Subscription<Topology>,
    own: Option<Own>,
    reports: Streaming<Report>,
    updates: mpsc::Sender<Result<Update, Status>>,
}

/// What only the cluster's own nodes get: who may do what, and how much of it,
/// is nobody else's business.
struct Own {
    cluster: ClusterRef,
    pod: String,
    access: Subscription<Access>,
    zones: Subscription<Zones>,
    /// Rules that wait for zones to go first.
    rules: Option<Update>,
    quotas: Subscription<QuotaPlan>,
    usage: UsageReports,
}

/// Counts a stream for as long as it lives.
struct Counted(Arc<Metrics>);

// === impl Hubs ===

impl Hubs {
    /// Nothing yet; the first version of each is above `version`, as with
    /// [`Topologies::above`].
    pub fn above(version: u64) -> Self {
        Self {
            topologies: Topologies::above(version),
            access: AccessDocuments::above(version),
            zones: ZoneDocuments::above(version),
            quotas: QuotaPlans::above(version),
            usage: UsageReports::default(),
        }
    }

    /// Ends every stream; nobody can join any more.
    pub fn close(&self) {
        self.topologies.close();
        self.access.close();
        self.zones.close();
        self.quotas.close();
    }
}

// === impl ConfigService ===

impl ConfigService {
    /// Serves what these hold.
    pub fn new(hubs: Hubs, metrics: Arc<Metrics>) -> Self {
        Self {
            hubs,
            places: None,
            metrics,
        }
    }

    /// The same; sidecars are also told in which zone they are.
    #[must_use]
    pub fn with_places(mut self, places: Places) -> Self {
        self.places = Some(places);
        self
    }

    fn open(&self, request: Request<Streaming<Report>>) -> Result<Updates, Status> {
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let Some(PeerIdentity(Some(caller))) = peer else {
            return Err(Status::unauthenticated(
                "the configuration stream takes callers with a certificate of the mesh",
            ));
        };
        let (updates, receiver) = mpsc::channel(1);
        let service = self.clone();
        tokio::spawn(async move {
            if let Err(status) = service.serve(&caller, request.into_inner(), &updates).await {
                tracing::debug!(%caller, code = ?status.code(), "configuration stream ended");
                // Nobody to tell if the caller has gone already.
                let _ = updates.send(Err(status)).await;
            }
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }

    async fn serve(
        &self,
        caller: &SpiffeId,
        mut reports: Streaming<Report>,
        updates: &mpsc::Sender<Result<Update, Status>>,
    ) -> Result<(), Status> {
        let first = timeout(FIRST_REPORT, reports.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no subscription came"))??;
        let wanted = first
            .and_then(|report| report.subscribe)
            .ok_or_else(|| Status::invalid_argument("the first report subscribes to a cluster"))?;
        let cluster = cluster_of(&wanted)?;
        let node = names::is_node(caller, &cluster).then(|| wanted.pod.clone());
        tracing::info!(%caller, %cluster, pod = wanted.pod, node = node.is_some(), "sidecar subscribed");
        let stopping = || Status::unavailable("the operator is about to stop");
        let own = match &node {
            Some(pod) => Some(Own::new(&self.hubs, &cluster, pod).ok_or_else(stopping)?),
            None => None,
        };
        let topology = self.hubs.topologies.subscribe(&cluster, node);
        let _counted = Counted::new(&self.metrics);
        if let Some(place) = self.place(caller, &wanted, cluster).await {
            // A caller that has gone already is found out by the session.
            let _ = updates.send(Ok(place)).await;
        }
        let session = Session {
            topology: topology.ok_or_else(stopping)?.from_now(),
            own,
            reports,
            updates: updates.clone(),
        };
        session.run().await
    }
}

impl ConfigService {
    /// Where the caller's pod is. Which one that is it says itself, but not of
    /// which namespace, and it deceives nobody but itself.
    async fn place(
        &self,
        caller: &SpiffeId,
        wanted: &Subscribe,
        cluster: ClusterRef,
    ) -> Option<Update> {
        let places = self.places.as_ref()?;
        let (namespace, _) = caller.service_account()?;
        timeout(PLACED, places.ready()).await.ok()?.ok()?;
        let zone = places.zone_of(namespace, &wanted.pod)?;
        Some(Update {
            concern: PLACE.to_owned(),
            version: 1,
            document: Place { cluster, zone }.to_json(),
        })
    }
}

impl NamedService for ConfigService {
    const NAME: &'static str = SERVICE_NAME;
}

impl<B> Service<http::Request<B>> for ConfigService
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != SUBSCRIBE_PATH {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let codec = ProstCodec::<Update, Report>::default();
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_REPORT);
            Ok(grpc.streaming(service, request).await)
        })
    }
}

impl StreamingService<Report> for ConfigService {
    type Response = Update;
    type ResponseStream = Updates;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<Report>>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { service.open(request).map(Response::new) })
    }
}

// === impl Session ===

impl Session {
    /// Runs until either side ends the stream.
    async fn run(mut self) -> Result<(), Status> {
        loop {
            tokio::select! {
                update = next(&mut self.topology, self.own.as_mut()) => {
                    let update = update.ok_or_else(|| {
                        Status::unavailable("the cluster or the operator is going away")
                    })?;
                    if self.updates.send(Ok(update)).await.is_err() {
                        return Ok(());
                    }
                }
                report = self.reports.message() => match report? {
                    Some(report) => self.hear(report),
                    None => return Ok(()),
                },
                () = self.updates.closed() => return Ok(()),
            }
        }
    }

    fn hear(&self, report: Report) {
        if let (Some(usage), Some(own)) = (report.usage, &self.own) {
            own.usage.add(&own.cluster, &own.pod, usage);
        }
        let Some(outcome) = &report.outcome else {
            return;
        };
        match (outcome.concern.as_str(), &self.own) {
            (Topology::CONCERN, _) => self.topology.acknowledge(outcome),
            (Access::CONCERN, Some(own)) => own.access.acknowledge(outcome),
            (Zones::CONCERN, Some(own)) => own.zones.acknowledge(outcome),
            (QuotaPlan::CONCERN, Some(own)) => own.quotas.acknowledge(outcome),
            _ => {}
        }
    }
}

// === impl Own ===

impl Own {
    /// None when the operator is about to stop.
    fn new(hubs: &Hubs, cluster: &ClusterRef, pod: &str) -> Option<Self> {
        let node = Some(pod.to_owned());
        Some(Self {
            cluster: cluster.clone(),
            pod: pod.to_owned(),
            access: hubs.access.subscribe(cluster, node.clone())?.from_now(),
            zones: hubs.zones.subscribe(cluster, node.clone())?.from_now(),
            rules: None,
            quotas: hubs.quotas.subscribe(cluster, node)?.from_now(),
            usage: hubs.usage.clone(),
        })
    }

    /// Zones that were published before access rules go before them.
    async fn next(&mut self) -> Option<Update> {
        if let Some(rules) = self.rules.take() {
            return Some(rules);
        }
        tokio::select! {
            new = self.zones.next() => new.map(|new| update(&self.zones, &new)),
            new = self.access.next() => {
                let rules = new.map(|new| update(&self.access, &new))?;
                let Some(zones) = self.zones.ready() else {
                    return Some(rules);
                };
                self.rules = Some(rules);
                Some(update(&self.zones, &zones))
            }
            new = self.quotas.next() => new.map(|new| update(&self.quotas, &new)),
        }
    }
}

// === impl Counted ===

impl Counted {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.sidecar(true);
        Self(Arc::clone(metrics))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sidecar(false);
    }
}

/// The next update of any concern; `None` when one of them ends.
async fn next(topology: &mut Subscription<Topology>, own: Option<&mut Own>) -> Option<Update> {
    let Some(own) = own else {
        let new = topology.next().await?;
        return Some(update(topology, &new));
    };
    tokio::select! {
        new = topology.next() => new.map(|new| update(topology, &new)),
        new = own.next() => new,
    }
}

fn update<T: Document>(to: &Subscription<T>, new: &Versioned<T>) -> Update {
    Update {
        concern: T::CONCERN.to_owned(),
        version: new.version,
        document: to.to_json(&new.document),
    }
}

fn cluster_of(wanted: &Subscribe) -> Result<ClusterRef, Status> {
    let fine = |name: &str| {
        (1..=253).contains(&name.len())
            && name
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
    };
    if !fine(&wanted.cluster_namespace) || !fine(&wanted.cluster_name) || wanted.pod.len() > 253 {
        return Err(Status::invalid_argument(
            "a subscription names a cluster's namespace, its name, and the pod that asks",
        ));
    }
    Ok(ClusterRef {
        namespace: wanted.cluster_namespace.clone(),
        name: wanted.cluster_name.clone(),
    })
}
