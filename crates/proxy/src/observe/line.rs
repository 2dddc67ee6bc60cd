//! One log line a connection, at its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::info;

use super::Counting;
use crate::metrics::{Metrics, ReasonLabels};
use crate::pump::End;

/// What is known of a connection from its beginning.
pub struct ConnectionLine {
    listener: &'static str,
    from: SocketAddr,
    peer: Arc<str>,
    tls: Option<rustls::ProtocolVersion>,
    begun: Instant,
    metrics: Metrics,
}

// === impl ConnectionLine ===

impl ConnectionLine {
    /// A connection of `peer` (a SPIFFE id) that came in `from` there.
    pub fn new(listener: &'static str, from: SocketAddr, peer: &str, metrics: Metrics) -> Self {
        Self {
            listener,
            from,
            peer: peer.into(),
            tls: None,
            begun: Instant::now(),
            metrics,
        }
    }

    /// The version of TLS between the two sidecars.
    #[must_use]
    pub fn with_tls(mut self, version: Option<rustls::ProtocolVersion>) -> Self {
        self.tls = version;
        self
    }

    /// It was served, and is over.
    pub fn ended(&self, end: &End, counting: &Counting) {
        self.count(end.reason());
        let totals = counting.totals;
        let software = counting.software.as_ref();
        info!(
            listener = self.listener,
            from = %self.from,
            peer = &*self.peer,
            elapsed_ms = self.elapsed_ms(),
            requests = totals.requests,
            request_bytes = totals.request_bytes,
            response_bytes = totals.response_bytes,
            denied = totals.denied,
            software = software.map(|software| &*software.name),
            software_version = software.map(|software| &*software.version),
            tls = self.tls(),
            reason = %end,
            "connection ended"
        );
    }

    /// It was not served, because of `reason`, a constant; `detail` is for the log.
    pub fn refused(&self, reason: &'static str, detail: &dyn std::fmt::Display) {
        let labels = ReasonLabels {
            listener: self.listener,
            reason,
        };
        self.metrics.refused.get_or_create_owned(&labels).inc();
        info!(
            listener = self.listener,
            from = %self.from,
            peer = &*self.peer,
            elapsed_ms = self.elapsed_ms(),
            tls = self.tls(),
            reason = %detail,
            "connection refused"
        );
    }

    fn count(&self, reason: &'static str) {
        let labels = ReasonLabels {
            listener: self.listener,
            reason,
        };
        self.metrics.ended.get_or_create_owned(&labels).inc();
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tls(&self) -> Option<&'static str> {
        self.tls.and_then(|version| version.as_str())
    }
}
