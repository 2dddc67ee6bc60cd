//! `/metrics`, `/livez` and `/readyz`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tubeway_identity::IdentityStore;

use crate::metrics::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Shown {
    metrics: Arc<Metrics>,
    identity: IdentityStore,
    leads: Arc<AtomicBool>,
}

/// The routes. Ready is an operator that leads, with a valid certificate of its
/// own: sidecars are to come to no other.
pub fn routes(metrics: Arc<Metrics>, identity: IdentityStore, leads: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .with_state(Shown {
            metrics,
            identity,
            leads,
        })
}

async fn metrics_text(State(shown): State<Shown>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shown.metrics.text())
}

async fn ready(State(shown): State<Shown>) -> impl IntoResponse {
    let problem = if !shown.leads.load(Ordering::Relaxed) {
        "another operator leads"
    } else if shown.identity.current().is_none() {
        "no valid certificate of its own"
    } else {
        return (StatusCode::OK, "ok");
    };
    (StatusCode::SERVICE_UNAVAILABLE, problem)
}
