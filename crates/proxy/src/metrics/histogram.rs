//! A histogram of durations that is counted without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// Upper bounds in microseconds; a last bucket has no bound. The sidecar's own
/// time is around the first ones, a fetch that waits for records around the last.
const BOUNDS: [u64; 11] = [
    50, 200, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000, 5_000_000,
];

/// Durations by size. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

// === impl Histogram ===

impl Histogram {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let micros = duration.as_nanos().div_ceil(1_000);
        let at = BOUNDS.partition_point(|bound| u128::from(*bound) < micros);
        self.0.buckets[at].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.0.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let bounds = BOUNDS.iter().map(|micros| *micros as f64 / 1e6);
        let counts = self.0.buckets.iter().map(|n| n.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        // By the buckets alone, so that the two agree while others count.
        let count = buckets.iter().map(|(_, n)| n).sum();
        let sum = self.0.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9;
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_in_its_bucket() {
        for (nanos, bucket) in [
            (0, 0),
            (50_000, 0),
            (50_001, 1),
            (200_000, 1),
            (5_000_000_000, 10),
            (5_000_000_001, 11),
            (u64::MAX, 11),
        ] {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_nanos(nanos));
            let counts = histogram.0.buckets.each_ref();
            let counts = counts.map(|n| n.load(Ordering::Relaxed));
            assert_eq!(counts.iter().position(|n| *n == 1), Some(bucket), "{nanos}");
        }
    }
}
