//! The admin port: probes, metrics and flows, on the pod's loopback address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tubeway_telemetry::Shutdown;

use crate::metrics::Metrics;

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

async fn metrics_text(State(shared): State<Shared>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match shared.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
