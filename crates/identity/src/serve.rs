//! HTTP behind mutual TLS: accept, say who the peer is, stop in peace.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::{Service, ServiceExt};
use tubeway_policy::SpiffeId;

use crate::leaf::Leaf;

/// Who is at the other end, as a request extension.
///
/// `None` where the configuration lets clients in without a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerIdentity(pub Option<SpiffeId>);

/// What one port of a server may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// How long a handshake, and a request's head, may take.
    pub handshake: Duration,
    /// Connections at one time; one more is closed at once.
    pub connections: usize,
    /// How long open requests may go on after the server is told to stop.
    pub drain: Duration,
    /// After how long a silent HTTP/2 connection is asked for a sign of life.
    pub keep_alive: Duration,
}

/// Serves `service` on `listener` until `shutdown` is done, then drains.
///
/// # Guarantees
/// Handshakes run beside each other and beside accepting: a client that sends
/// nothing costs a task until its time is over and delays nobody. Each request
/// carries a [`PeerIdentity`]. HTTP/2 and HTTP/1.1 are both spoken, as the
/// client chooses by ALPN.
pub async fn serve_tls<S, B>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    service: S,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let acceptor = TlsAcceptor::from(config);
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut tasks = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
            () = &mut shutdown => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                // Out of file descriptors, most likely: spinning would not free any.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(limit = limits.connections, "connection refused: too many");
            continue;
        };
        let (acceptor, service, watcher) = (acceptor.clone(), service.clone(), graceful.watcher());
        tasks.spawn(async move {
            if let Some(stream) = handshake(&acceptor, stream, limits.handshake).await {
                serve_connection(stream, service, watcher, limits).await;
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::info!("requests still open at the end of the drain time");
    }
    tasks.shutdown().await;
}

/// Who finished the handshake at the other end.
///
/// The certificate was checked by the configuration's verifier; this only reads it.
pub fn peer_of(connection: &rustls::CommonState) -> PeerIdentity {
    let leaf = connection.peer_certificates().and_then(<[_]>::first);
    PeerIdentity(
        leaf.and_then(|leaf| Leaf::parse(leaf).ok())
            .map(|leaf| leaf.id),
    )
}

async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    limit: Duration,
) -> Option<TlsStream<TcpStream>> {
    let peer = stream.peer_addr().ok();
    // Small frames both ways; a delayed acknowledgement would cost 40 ms each.
    let _ = stream.set_nodelay(true);
    let accepted = tokio::time::timeout(limit, acceptor.accept(stream)).await;
    match accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(?peer, %error, "handshake failed");
            None
        }
    }
}

async fn serve_connection<S, B>(
    stream: TlsStream<TcpStream>,
    service: S,
    watcher: Watcher,
    limits: ServeLimits,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let peer = peer_of(stream.get_ref().1);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        service.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.handshake);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error, "connection ended");
    }
}

// === impl ServeLimits ===

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            connections: 8192,
            drain: Duration::from_secs(5),
            keep_alive: Duration::from_secs(20),
        }
    }
}
