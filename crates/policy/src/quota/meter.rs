//! What all connections of a sidecar use, counted against the rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bucket::Bucket;
use super::charger::Charger;
use super::gauge::Gauge;
use super::index::Index;
use super::store::{Counter, Store};
use super::{InvalidQuotas, QuotaRules, Scope};

/// Shared by all connections of a sidecar. Each has a [`Charger`], which takes
/// a lock only when it comes upon something it has not charged before, and when
/// the rules have changed.
///
/// Time is an argument everywhere: the time since any fixed moment, such as the
/// sidecar's start, by a clock that does not go back.
#[derive(Debug)]
pub struct Meter {
    /// Counts the changes of rules, so that chargers notice them.
    generation: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) index: Arc<Index>,
    buckets: Store<Bucket>,
    gauges: Store<Gauge>,
}

/// What has been used of a bucket of a cluster-wide quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// The quota's name.
    pub quota: Arc<str>,
    /// The bucket; none is the one that is shared when there is no room.
    pub scope: Option<Scope>,
    /// Everything that was charged since the bucket was made; a number smaller
    /// than the last one begins anew.
    pub charged: u64,
}

/// A counter that the state has a store for.
pub(super) trait Stored: Counter {
    fn store(state: &mut State) -> &mut Store<Self>;
}

// === impl Meter ===

impl Meter {
    /// Refuses rules that do not pass [`QuotaRules::check`].
    pub fn new(rules: &QuotaRules) -> Result<Arc<Self>, InvalidQuotas> {
        rules.check()?;
        let state = State {
            index: Arc::new(Index::new(rules)),
            buckets: Store::default(),
            gauges: Store::default(),
        };
        Ok(Arc::new(Self {
            generation: AtomicU64::new(0),
            state: Mutex::new(state),
        }))
    }

    /// Puts other rules in force, for every charger from its next call on.
    ///
    /// A bucket stays, with what has been used of it, where a quota of the same
    /// name and dimension still has a bucket of that scope. Rules that do not
    /// pass [`QuotaRules::check`] are refused, and those in force stay.
    pub fn replace(&self, rules: &QuotaRules, now: Duration) -> Result<(), InvalidQuotas> {
        rules.check()?;
        let index = Arc::new(Index::new(rules));
        let mut state = self.state();
        state.buckets = state.buckets.carried(&index, now);
        state.gauges = state.gauges.carried(&index, now);
        state.index = index;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// For a connection of this principal (`User:…`).
    pub fn charger(self: &Arc<Self>, principal: impl Into<Arc<str>>) -> Charger {
        Charger::new(Arc::clone(self), principal.into())
    }

    /// Changes whenever the rules do.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What has been used of cluster-wide rates: what the operator needs to
    /// know to share them out.
    pub fn used(&self) -> Vec<Used> {
        let state = self.state();
        let used = state.buckets.iter().filter_map(|(quota, scope, bucket)| {
            Some(Used {
                quota: Arc::clone(quota),
                scope: scope.cloned(),
                charged: bucket.charged()?,
            })
        });
        used.collect()
    }

    /// How many buckets and gauges there are, besides shared ones.
    pub fn counters(&self) -> usize {
        let state = self.state();
        state.buckets.len() + state.gauges.len()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // What is under the lock is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl Stored for Bucket {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.buckets
    }
}

impl Stored for Gauge {
    fn store(state: &mut State) -> &mut Store<Self> {
        &mut state.gauges
    }
}

#[cfg(test)]
mod tests;
