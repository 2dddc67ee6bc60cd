//! How much of something there is at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A count with a limit. Two of different limits may share the count.
#[derive(Debug)]
pub(super) struct Gauge {
    held: Arc<AtomicU32>,
    limit: u32,
}

// === impl Gauge ===

impl Gauge {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            held: Arc::default(),
            limit,
        }
    }

    /// The same count under another limit.
    pub(super) fn relimited(&self, limit: u32) -> Self {
        Self {
            held: Arc::clone(&self.held),
            limit,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts one more, if that is not too much.
    pub(super) fn take(&self) -> bool {
        let more = |held: u32| (held < self.limit).then_some(held + 1);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_ok()
    }

    /// Counts one more, whatever the limit.
    pub(super) fn take_anyway(&self) {
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one less.
    pub(super) fn give_back(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }
}
