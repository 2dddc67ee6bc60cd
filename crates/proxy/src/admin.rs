//! The admin port: probes, metrics and flows, on the pod's loopback address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tubeway_telemetry::Shutdown;

use crate::metrics::{Metrics, wants_open_metrics};

/// What the probes answer, set by the role that runs.
#[derive(Debug, Clone, Default)]
pub struct Health {
    inner: Arc<Flags>,
}

#[derive(Debug, Default)]
struct Flags {
    started: AtomicBool,
    ready: AtomicBool,
}

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    health: Health,
}

// === impl Health ===

impl Health {
    /// The sidecar has an identity, knows its cluster, and listens.
    pub fn set_started(&self) {
        self.inner.started.store(true, Ordering::Release);
    }

    /// Whether it would serve a connection now.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Release);
    }

    fn started(&self) -> bool {
        self.inner.started.load(Ordering::Acquire)
    }

    fn ready(&self) -> bool {
        self.started() && self.inner.ready.load(Ordering::Acquire)
    }
}

/// Serves the admin port until the shutdown.
pub async fn serve(
    address: SocketAddr,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let app = Router::new()
        .route(
            "/started",
            get(|State(s): State<Shared>| async move { probe(s.health.started()) }),
        )
        .route(
            "/ready",
            get(|State(s): State<Shared>| async move { probe(s.health.ready()) }),
        )
        .route("/metrics", get(metrics_text))
        .route(
            "/flows",
            get(|State(s): State<Shared>| async move { Json(s.metrics.flows()) }),
        )
        .with_state(Shared { metrics, health });
    tokio::spawn(async move {
        let served =
            axum::serve(listener, app).with_graceful_shutdown(async move { shutdown.wait().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "admin port failed");
        }
    });
    Ok(())
}

fn probe(yes: bool) -> StatusCode {
    if yes {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// OpenMetrics for who asks for it, Prometheus' own text for all others.
async fn metrics_text(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
    let accept = headers.get(header::ACCEPT).and_then(|a| a.to_str().ok());
    let (kind, text) = if wants_open_metrics(accept.unwrap_or_default()) {
        (OPEN_METRICS, shared.metrics.encode())
    } else {
        (PLAIN, shared.metrics.encode_plain())
    };
    match text {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
