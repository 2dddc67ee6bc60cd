//! What a sidecar counts, bounded in the number of series.
//!
//! A connection looks its counters up once and keeps them: the shared maps,
//! and their locks, are met when a connection sees a topic or an error for the
//! first time, never for each request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tubeway_config::Flow;

/// Flows a sidecar tells apart; what comes later is counted as `other`.
/// Each is five series, so this keeps a sidecar below 10,000.
const MAX_FLOWS: usize = 1_000;
/// Error series a sidecar tells apart.
const MAX_ERRORS: usize = 1_000;
const OTHER: &str = "other";

/// The counters of one sidecar. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    flows: Arc<Mutex<Flows>>,
    errors: Family<ErrorLabels, Counter>,
    error_series: Arc<Mutex<std::collections::HashSet<ErrorLabels>>>,
    /// Open connections by listener.
    pub connections: Family<ListenerLabels, Gauge>,
    /// Connections that were refused before any request, by listener and reason.
    pub refused: Family<RefusedLabels, Counter>,
    /// Seconds since the epoch at which the sidecar's certificate ends.
    pub certificate_expiry: Gauge,
}

#[derive(Default)]
struct Flows {
    by_key: BTreeMap<(Arc<str>, Arc<str>), Arc<FlowCounters>>,
    produced_records: Family<FlowLabels, Counter>,
    produced_bytes: Family<FlowLabels, Counter>,
    consumed_records: Family<FlowLabels, Counter>,
    consumed_bytes: Family<FlowLabels, Counter>,
    denied: Family<FlowLabels, Counter>,
}

/// The counters of one principal on one topic.
#[derive(Debug, Default)]
pub struct FlowCounters {
    produced_records: Counter,
    produced_bytes: Counter,
    consumed_records: Counter,
    consumed_bytes: Counter,
    denied: Counter,
}

/// Labels of the flow series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FlowLabels {
    principal: String,
    topic: String,
}

/// Labels of the error series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    principal: String,
    api: &'static str,
    error: String,
}

/// Labels of what is counted by listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabels {
    /// `client`, `replication`, `controller`, `egress` or `bootstrap`.
    pub listener: &'static str,
}

/// Labels of refused connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusedLabels {
    /// As in [`ListenerLabels`].
    pub listener: &'static str,
    /// A constant text.
    pub reason: &'static str,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        let flows = Flows::default();
        let errors = Family::default();
        let connections = Family::default();
        let refused = Family::default();
        let certificate_expiry = Gauge::default();
        let mut registry = Registry::with_prefix("tubeway");
        let r = &mut registry;
        r.register(
            "produced_records",
            "Records that the broker took",
            flows.produced_records.clone(),
        );
        r.register(
            "produced",
            "Size of the records that the broker took",
            flows.produced_bytes.clone(),
        );
        r.register(
            "consumed_records",
            "Records that the broker sent",
            flows.consumed_records.clone(),
        );
        r.register(
            "consumed",
            "Size of the records that the broker sent",
            flows.consumed_bytes.clone(),
        );
        r.register(
            "denied",
            "Answers that refused a topic",
            flows.denied.clone(),
        );
        r.register(
            "response_errors",
            "Error codes in responses",
            errors.clone(),
        );
        r.register("connections", "Open connections", connections.clone());
        r.register(
            "refused_connections",
            "Connections refused before any request",
            refused.clone(),
        );
        r.register_with_unit(
            "certificate_expiry",
            "End of the sidecar's certificate, since the epoch",
            Unit::Seconds,
            certificate_expiry.clone(),
        );
        Self {
            registry: Arc::new(registry),
            flows: Arc::new(Mutex::new(flows)),
            errors,
            error_series: Arc::default(),
            connections,
            refused,
            certificate_expiry,
        }
    }
}

impl Metrics {
    /// The counters of `principal` on `topic`.
    pub fn flow(&self, principal: &Arc<str>, topic: &Arc<str>) -> Arc<FlowCounters> {
        let mut flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (principal.clone(), topic.clone());
        if let Some(found) = flows.by_key.get(&key) {
            return found.clone();
        }
        let key = if flows.by_key.len() < MAX_FLOWS {
            key
        } else {
            (OTHER.into(), OTHER.into())
        };
        if let Some(found) = flows.by_key.get(&key) {
            return found.clone();
        }
        let labels = FlowLabels {
            principal: key.0.to_string(),
            topic: key.1.to_string(),
        };
        let counters = Arc::new(FlowCounters {
            produced_records: flows.produced_records.get_or_create_owned(&labels),
            produced_bytes: flows.produced_bytes.get_or_create_owned(&labels),
            consumed_records: flows.consumed_records.get_or_create_owned(&labels),
            consumed_bytes: flows.consumed_bytes.get_or_create_owned(&labels),
            denied: flows.denied.get_or_create_owned(&labels),
        });
        flows.by_key.insert(key, counters.clone());
        counters
    }

    /// The counter of one error code in responses of one API.
    pub fn error(&self, principal: &str, api: &'static str, code: i16) -> Counter {
        let mut labels = ErrorLabels {
            principal: principal.to_owned(),
            api,
            error: code.to_string(),
        };
        let mut series = self
            .error_series
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !series.contains(&labels) {
            if series.len() >= MAX_ERRORS {
                OTHER.clone_into(&mut labels.principal);
                OTHER.clone_into(&mut labels.error);
            }
            series.insert(labels.clone());
        }
        drop(series);
        self.errors.get_or_create_owned(&labels)
    }

    /// All flows counted so far.
    pub fn flows(&self) -> Vec<Flow> {
        let flows = self.flows.lock().unwrap_or_else(PoisonError::into_inner);
        flows
            .by_key
            .iter()
            .map(|((principal, topic), counters)| Flow {
                principal: principal.to_string(),
                topic: topic.to_string(),
                produced_records: counters.produced_records.get(),
                produced_bytes: counters.produced_bytes.get(),
                consumed_records: counters.consumed_records.get(),
                consumed_bytes: counters.consumed_bytes.get(),
                denied: counters.denied.get(),
            })
            .collect()
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

// === impl FlowCounters ===

impl FlowCounters {
    /// Counts records the broker took.
    pub fn produced(&self, records: u64, bytes: u64) {
        self.produced_records.inc_by(records);
        self.produced_bytes.inc_by(bytes);
    }

    /// Counts records the broker sent.
    pub fn consumed(&self, records: u64, bytes: u64) {
        self.consumed_records.inc_by(records);
        self.consumed_bytes.inc_by(bytes);
    }

    /// Counts answers that refused the topic.
    pub fn denied(&self, answers: u64) {
        self.denied.inc_by(answers);
    }
}

/// A gauge that counts something for as long as it lives.
pub struct Held(Gauge<i64, std::sync::atomic::AtomicI64>);

// === impl Held ===

impl Held {
    /// Adds one to `gauge` until this is dropped.
    pub fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_topics_makes_a_bounded_number_of_series() {
        let metrics = Metrics::default();
        let principal: Arc<str> = "spiffe://td/ns/a/sa/b".into();
        for i in 0..20_000_u64 {
            let flow = metrics.flow(&principal, &format!("topic-{i}").into());
            flow.produced(1, 10);
            metrics.error(&format!("p{i}"), "Produce", 29).inc();
        }
        let flows = metrics.flows();
        assert_eq!(flows.len(), MAX_FLOWS + 1);
        assert_eq!(
            flows.iter().map(|f| f.produced_records).sum::<u64>(),
            20_000
        );
        let text = metrics.encode().unwrap();
        assert!(text.lines().count() < 10_000, "{}", text.lines().count());
        assert!(text.ends_with("# EOF\n"));
    }
}
