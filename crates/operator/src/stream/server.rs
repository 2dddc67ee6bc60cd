//! The gRPC side of the stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{Body, Service, StdError, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tracing::{info, warn};
use tubeway_config::ClusterRef;
use tubeway_config::stream::{Report, SERVICE_NAME, SUBSCRIBE_PATH, Subscribe, TOPOLOGY, Update};
use tubeway_identity::serve::PeerIdentity;
use tubeway_policy::SpiffeId;

use crate::stream::Topologies;

type Updates = Pin<Box<dyn Stream<Item = Result<Update, Status>> + Send>>;

/// The gRPC service, to be mounted beside the certificate authority's.
#[derive(Debug, Clone)]
pub struct ConfigStream {
    topologies: Topologies,
}

/// One sidecar on the stream; leaving is noted when it is dropped.
struct Subscriber {
    topologies: Topologies,
    cluster: ClusterRef,
    pod: String,
}

// === impl ConfigStream ===

impl ConfigStream {
    /// Serves these topologies.
    pub fn new(topologies: Topologies) -> Self {
        Self { topologies }
    }

    async fn subscribe(
        self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Updates>, Status> {
        let peer = request
            .extensions()
            .get::<PeerIdentity>()
            .and_then(|peer| peer.0.clone())
            .ok_or_else(|| {
                Status::unauthenticated("the stream takes callers with a certificate of the mesh")
            })?;
        let mut reports = request.into_inner();
        let subscribe = reports
            .message()
            .await?
            .and_then(|report| report.subscribe)
            .ok_or_else(|| Status::invalid_argument("the first message subscribes"))?;
        let subscriber = self.subscriber(&peer, &subscribe);
        info!(%peer, pod = subscriber.pod, cluster = %subscriber.cluster, "sidecar subscribed");
        let (updates, outgoing) = mpsc::channel(4);
        tokio::spawn(subscriber.serve(reports, updates));
        Ok(Response::new(ReceiverStream::new(outgoing).boxed()))
    }

    fn subscriber(&self, peer: &SpiffeId, subscribe: &Subscribe) -> Subscriber {
        // A pod's name is what it says; the namespace is what it proved, so
        // that nobody can answer for a pod of another namespace.
        let namespace = peer
            .service_account()
            .map_or("", |(namespace, _)| namespace);
        Subscriber {
            topologies: self.topologies.clone(),
            cluster: ClusterRef {
                namespace: subscribe.cluster_namespace.clone(),
                name: subscribe.cluster_name.clone(),
            },
            pod: format!("{namespace}/{}", subscribe.pod),
        }
    }
}

impl NamedService for ConfigStream {
    const NAME: &'static str = SERVICE_NAME;
}

impl<B> Service<http::Request<B>> for ConfigStream
where
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != SUBSCRIBE_PATH {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            let mut grpc = Grpc::new(ProstCodec::<Update, Report>::default());
            Ok(grpc.streaming(service, request).await)
        })
    }
}

impl StreamingService<Report> for ConfigStream {
    type Response = Update;
    type ResponseStream = Updates;
    type Future = BoxFuture<'static, Result<Response<Updates>, Status>>;

    fn call(&mut self, request: Request<Streaming<Report>>) -> Self::Future {
        Box::pin(self.clone().subscribe(request))
    }
}

// === impl Subscriber ===

impl Subscriber {
    /// Sends each change and notes each acknowledgement until the sidecar leaves.
    async fn serve(
        self,
        mut reports: Streaming<Report>,
        updates: mpsc::Sender<Result<Update, Status>>,
    ) {
        let mut newest = self.topologies.subscribe(&self.cluster);
        newest.mark_changed();
        loop {
            tokio::select! {
                changed = newest.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let versioned = newest.borrow_and_update().clone();
                    let Some(versioned) = versioned else { continue };
                    let update = Update {
                        concern: TOPOLOGY.to_owned(),
                        version: versioned.version,
                        document: versioned.topology.to_json(),
                    };
                    if updates.send(Ok(update)).await.is_err() {
                        return;
                    }
                }
                report = reports.message() => match report {
                    Ok(Some(report)) => self.note(report),
                    Ok(None) | Err(_) => return,
                },
            }
        }
    }

    fn note(&self, report: Report) {
        let Some(outcome) = report.outcome else {
            return;
        };
        let result = if outcome.error.is_empty() {
            Ok(outcome.version)
        } else {
            warn!(
                pod = self.pod,
                error = outcome.error,
                "sidecar refused its configuration"
            );
            Err(outcome.error)
        };
        self.topologies.taken(&self.cluster, &self.pod, result);
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.topologies.left(&self.cluster, &self.pod);
    }
}
