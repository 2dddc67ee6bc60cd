//! What sidecars say was used, until somebody takes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tubeway_config::stream::Usage;
use tubeway_config::{ClusterRef, MAX_USED};

/// Most reports of one pod that wait, and most pods of one cluster.
const MAX_WAITING: usize = 4;
const MAX_PODS: usize = 4096;

/// The reports of one cluster's pods, oldest first.
pub type ByPod = BTreeMap<String, Vec<Usage>>;

/// The reports that nobody has taken yet. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct UsageReports {
    waiting: Arc<Mutex<BTreeMap<ClusterRef, ByPod>>>,
}

// === impl UsageReports ===

impl UsageReports {
    /// Takes a report in; where too many wait, the oldest goes.
    pub fn add(&self, cluster: &ClusterRef, pod: &str, mut usage: Usage) {
        usage.used.truncate(MAX_USED);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let pods = waiting.entry(cluster.clone()).or_default();
        if pods.len() >= MAX_PODS && !pods.contains_key(pod) {
            return;
        }
        let reports = pods.entry(pod.to_owned()).or_default();
        if reports.len() >= MAX_WAITING {
            reports.remove(0);
        }
        reports.push(usage);
    }

    /// All that has come since the last time.
    pub fn take(&self) -> BTreeMap<ClusterRef, ByPod> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_reports_wait_and_are_taken_once() {
        let reports = UsageReports::default();
        let cluster: ClusterRef = "kafka/demo".parse().unwrap();
        for over_ms in 0..9 {
            let usage = Usage {
                over_ms,
                ..Usage::default()
            };
            reports.add(&cluster, "a", usage);
        }
        let taken = reports.take();
        let times: Vec<_> = taken[&cluster]["a"].iter().map(|u| u.over_ms).collect();
        assert_eq!(times, [5, 6, 7, 8]);
        assert!(reports.take().is_empty());
    }
}
