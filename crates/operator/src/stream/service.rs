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
use tubeway_config::stream::{Report, SERVICE_NAME, SUBSCRIBE_PATH, Subscribe, Update};
use tubeway_config::{Access, ClusterRef, Topology};
use tubeway_identity::serve::PeerIdentity;
use tubeway_policy::SpiffeId;

use super::hub::{AccessDocuments, Document, Subscription, Topologies, Versioned};
use crate::cluster::names;
use crate::metrics::Metrics;

/// Largest report that is read, in bytes.
const MAX_REPORT: usize = 16 * 1024;
/// How long a caller may take to say what it wants.
const FIRST_REPORT: Duration = Duration::from_secs(10);

/// Pushes each cluster's topology to whoever in the mesh asks for it, and the
/// access rules to the cluster's own nodes.
///
/// A caller must have shown a certificate of the mesh. Acknowledgements count
/// only from callers with the identity of the cluster's own nodes.
#[derive(Clone, Debug)]
pub struct ConfigService {
    topologies: Topologies,
    access: AccessDocuments,
    metrics: Arc<Metrics>,
}

type Updates = Pin<Box<dyn Stream<Item = Result<Update, Status>> + Send>>;

/// One open stream.
struct Session {
    topology: Subscription<Topology>,
    /// Only for the cluster's own nodes: who may do what is nobody else's business.
    access: Option<Subscription<Access>>,
    reports: Streaming<Report>,
    updates: mpsc::Sender<Result<Update, Status>>,
}

/// Counts a stream for as long as it lives.
struct Counted(Arc<Metrics>);

// === impl ConfigService ===

impl ConfigService {
    /// Serves what these hold.
    pub fn new(topologies: Topologies, access: AccessDocuments, metrics: Arc<Metrics>) -> Self {
        Self {
            topologies,
            access,
            metrics,
        }
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
        let access = match &node {
            Some(_) => {
                let access = self.access.subscribe(&cluster, node.clone());
                Some(access.ok_or_else(stopping)?.from_now())
            }
            None => None,
        };
        let topology = self.topologies.subscribe(&cluster, node);
        let _counted = Counted::new(&self.metrics);
        let session = Session {
            topology: topology.ok_or_else(stopping)?.from_now(),
            access,
            reports,
            updates: updates.clone(),
        };
        session.run().await
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
                update = next(&mut self.topology, &mut self.access) => {
                    let update = update.ok_or_else(|| {
                        Status::unavailable("the cluster or the operator is going away")
                    })?;
                    if self.updates.send(Ok(update)).await.is_err() {
                        return Ok(());
                    }
                }
                report = self.reports.message() => match report? {
                    Some(report) => self.hear(&report),
                    None => return Ok(()),
                },
                () = self.updates.closed() => return Ok(()),
            }
        }
    }

    fn hear(&self, report: &Report) {
        let Some(outcome) = &report.outcome else {
            return;
        };
        match (outcome.concern.as_str(), &self.access) {
            (Topology::CONCERN, _) => self.topology.acknowledge(outcome),
            (Access::CONCERN, Some(access)) => access.acknowledge(outcome),
            _ => {}
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
async fn next(
    topology: &mut Subscription<Topology>,
    access: &mut Option<Subscription<Access>>,
) -> Option<Update> {
    match access {
        None => topology.next().await.map(|new| update(&new)),
        Some(access) => tokio::select! {
            new = topology.next() => new.map(|new| update(&new)),
            new = access.next() => new.map(|new| update(&new)),
        },
    }
}

fn update<T: Document>(new: &Versioned<T>) -> Update {
    Update {
        concern: T::CONCERN.to_owned(),
        version: new.version,
        document: new.document.to_json(),
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
