//! What the operator measures of itself.

use std::sync::Mutex;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Which controller a series is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ControllerLabel {
    /// Name of the controller, a constant of the program.
    pub controller: &'static str,
}

/// The operator's series. All labels are constants of the program, so their
/// number does not grow with what is in the cluster.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    reconciles: Family<ControllerLabel, Counter>,
    errors: Family<ControllerLabel, Counter>,
    writes: Family<ControllerLabel, Counter>,
    durations: Family<ControllerLabel, Histogram, fn() -> Histogram>,
    sidecars: Gauge,
}

// === impl Metrics ===

impl Metrics {
    /// All series at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tubeway_operator");
        let reconciles = Family::default();
        let errors = Family::default();
        let writes = Family::default();
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        let sidecars = Gauge::default();
        registry.register("reconciles", "Objects looked at", reconciles.clone());
        registry.register(
            "reconcile_errors",
            "Looks that ended in an error and are tried again",
            errors.clone(),
        );
        registry.register(
            "writes",
            "Changes sent to the Kubernetes API",
            writes.clone(),
        );
        registry.register(
            "reconcile_duration_seconds",
            "Time of one look",
            durations.clone(),
        );
        registry.register(
            "sidecars_connected",
            "Sidecars on the configuration stream",
            sidecars.clone(),
        );
        Self {
            registry: Mutex::new(registry),
            reconciles,
            errors,
            writes,
            durations,
            sidecars,
        }
    }

    /// One look of `controller` that took `time`.
    pub fn reconciled(&self, controller: &'static str, time: Duration, failed: bool) {
        let label = ControllerLabel { controller };
        self.reconciles.get_or_create(&label).inc();
        if failed {
            self.errors.get_or_create(&label).inc();
        }
        self.durations
            .get_or_create(&label)
            .observe(time.as_secs_f64());
    }

    /// One change that `controller` sent to the Kubernetes API.
    pub fn wrote(&self, controller: &'static str) {
        self.writes
            .get_or_create(&ControllerLabel { controller })
            .inc();
    }

    /// How many changes `controller` has sent.
    pub fn writes(&self, controller: &'static str) -> u64 {
        self.writes
            .get_or_create(&ControllerLabel { controller })
            .get()
    }

    /// A sidecar came onto the stream, or left it.
    pub fn sidecar(&self, connected: bool) {
        if connected {
            self.sidecars.inc();
        } else {
            self.sidecars.dec();
        }
    }

    /// Adds series of another part of the operator.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        let mut registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        add(&mut registry);
    }

    /// All series in OpenMetrics text.
    pub fn text(&self) -> String {
        let registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)
            .unwrap_or_else(|_| unreachable!("writing to a string"));
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_by_controller() {
        let metrics = Metrics::new();
        metrics.reconciled("cluster", Duration::from_millis(3), true);
        metrics.wrote("cluster");
        let text = metrics.text();
        assert!(
            text.contains("tubeway_operator_reconciles_total{controller=\"cluster\"} 1"),
            "{text}"
        );
        assert!(text.contains("tubeway_operator_reconcile_errors_total{controller=\"cluster\"} 1"));
        assert_eq!(metrics.writes("cluster"), 1);
    }
}
