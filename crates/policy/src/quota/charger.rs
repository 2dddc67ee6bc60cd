//! One connection's way to the counters.

mod cache;

use std::sync::Arc;
use std::time::Duration;

use self::cache::{Cache, Counters};
use super::bucket::Bucket;
use super::gauge::Gauge;
use super::index::{Index, Metric, Usage, clip};
use super::meter::Meter;
use super::store::Kept;
use super::{Dimension, Held};

/// Counts what one connection does.
///
/// What it has charged before it charges again with a few atomic operations,
/// without a lock and without memory of its own growing. It follows a change of
/// the rules by itself.
#[derive(Debug)]
pub struct Charger {
    meter: Arc<Meter>,
    generation: u64,
    index: Arc<Index>,
    principal: Arc<str>,
    /// What the caches are for.
    client_id: Box<str>,
    buckets: Cache<Bucket>,
    gauges: Cache<Gauge>,
}

/// A request, as far as quotas tell requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The client id of its header; empty where it has none.
    pub client_id: &'a str,
    /// Name of its API, as in `Produce`.
    pub api: &'a str,
}

/// What a request uses of one dimension.
///
/// Where a dimension [adds up](Dimension::adds_up_over_topics), everything is
/// given by topic once. Where it does not, once without a topic, and besides
/// once with each topic that the request names; [`Wants`] says if that is worth
/// the trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount<'a> {
    /// Of what.
    pub dimension: Dimension,
    /// Of which topic.
    pub topic: Option<&'a str>,
    /// How much.
    pub amount: u64,
}

/// How long a client is to be slowed down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throttle {
    /// For so long the connection is not read; at most the rules'
    /// `maxThrottleSeconds`. Zero is not at all.
    pub delay: Duration,
    /// Name of the quota with the longest wait, where there is one.
    pub quota: Option<Arc<str>>,
}

/// Too much: not now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("quota {quota:?} is used up")]
pub struct Refused {
    /// Name of the quota.
    pub quota: Arc<str>,
    /// After so long it may be tried again, where that is known.
    pub after: Option<Duration>,
}

/// Which amounts of a dimension quotas are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wants {
    /// Some are about all of it.
    pub whole: bool,
    /// Some are about topics.
    pub topics: bool,
}

/// Counts as one connection or one request until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it does not count any more"]
pub struct Permit(Option<Counters<Gauge>>);

// === impl Charger ===

impl Charger {
    pub(super) fn new(meter: Arc<Meter>, principal: Arc<str>) -> Self {
        let (generation, index) = {
            let state = meter.state();
            (meter.generation(), Arc::clone(&state.index))
        };
        Self {
            meter,
            generation,
            index,
            principal,
            client_id: Box::default(),
            buckets: Cache::default(),
            gauges: Cache::default(),
        }
    }

    /// Which amounts of a dimension need not be worked out at all.
    pub fn wants(&mut self, dimension: Dimension) -> Wants {
        self.follow();
        let rules = self.index.of(Metric::Rate(dimension));
        Wants {
            whole: rules.is_some_and(|rules| rules.topicless),
            topics: rules.is_some_and(|rules| rules.topics),
        }
    }

    /// Takes what a request uses, whether it is there or not, and says for how
    /// long the connection is not to be read after its answer.
    ///
    /// May be called twice for a request whose response uses something too; the
    /// longer wait is what counts, not the sum.
    pub fn charge(&mut self, now: Duration, asked: Asked<'_>, amounts: &[Amount<'_>]) -> Throttle {
        self.each_bucket(now, asked, amounts, |bucket, amount| {
            bucket.charge(now, amount)
        })
    }

    /// For how long the connection would not be read had this been charged. It
    /// is not: for answers whose beginning has to say what their end will cost.
    pub fn preview(&mut self, now: Duration, asked: Asked<'_>, amounts: &[Amount<'_>]) -> Throttle {
        self.each_bucket(now, asked, amounts, |bucket, amount| {
            bucket.preview(now, amount)
        })
    }

    /// For how long the connection should not be read if such a request was all
    /// that it did: what is owed already. To be asked before the first request
    /// of a connection, so that to connect anew does not leave debts behind.
    pub fn debt(&mut self, now: Duration, asked: Asked<'_>, amounts: &[Amount<'_>]) -> Throttle {
        self.each_bucket(now, asked, amounts, |bucket, _| bucket.debt(now))
    }

    /// Counts an attempt to connect, and says for how long to let it wait.
    pub fn attempt(&mut self, now: Duration) -> Result<Throttle, Refused> {
        let mut throttle = Throttle::default();
        self.follow();
        let counters = self.buckets(now, Asked::NOTHING, Dimension::ConnectionAttempts, None);
        let refusing = || counters.iter().filter(|kept| kept.rule.refuses());
        let refused = |kept: &Kept<Bucket>, after| Refused {
            quota: Arc::clone(kept.rule.name()),
            after: Some(after),
        };
        // An attempt that is refused by one quota is to count for none.
        for kept in refusing() {
            let debt = kept.counter.debt(now);
            if !debt.is_zero() {
                return Err(refused(kept, debt));
            }
        }
        for kept in refusing() {
            let charged = kept.counter.charge_unless_owing(now, 1);
            charged.map_err(|after| refused(kept, after))?;
        }
        for kept in counters.iter().filter(|kept| !kept.rule.refuses()) {
            throttle.at_least(kept.counter.charge(now, 1), kept.rule.name());
        }
        Ok(throttle.capped(self.index.max_throttle))
    }

    /// Counts an open connection.
    pub fn open(&mut self, now: Duration) -> Result<Permit, Refused> {
        self.take(now, Asked::NOTHING, Held::Connections)
    }

    /// Counts a connection that is open already, as when the rules have changed.
    pub fn keep_open(&mut self, now: Duration) -> Permit {
        self.follow();
        let counters = self.gauges(now, Asked::NOTHING, Held::Connections);
        for kept in counters.iter().flat_map(|counters| counters.iter()) {
            kept.counter.take_anyway();
        }
        Permit(counters)
    }

    /// Counts a request that has no answer yet. Where there are too many, it is
    /// to wait until another one has its answer.
    pub fn begin(&mut self, now: Duration, asked: Asked<'_>) -> Result<Permit, Refused> {
        self.enter(asked.client_id);
        self.take(now, asked, Held::RequestsInFlight)
    }

    fn take(&mut self, now: Duration, asked: Asked<'_>, held: Held) -> Result<Permit, Refused> {
        self.follow();
        let counters = self.gauges(now, asked, held);
        let all = counters.as_deref().unwrap_or_default();
        for (taken, kept) in all.iter().enumerate() {
            if !kept.counter.take() {
                for kept in &all[..taken] {
                    kept.counter.give_back();
                }
                return Err(Refused {
                    quota: Arc::clone(kept.rule.name()),
                    after: None,
                });
            }
        }
        Ok(Permit(counters))
    }

    fn each_bucket(
        &mut self,
        now: Duration,
        asked: Asked<'_>,
        amounts: &[Amount<'_>],
        mut charge: impl FnMut(&Bucket, u64) -> Duration,
    ) -> Throttle {
        let mut throttle = Throttle::default();
        self.follow();
        self.enter(asked.client_id);
        for used in amounts.iter().filter(|used| used.amount > 0) {
            for kept in self.buckets(now, asked, used.dimension, used.topic) {
                throttle.at_least(charge(&kept.counter, used.amount), kept.rule.name());
            }
        }
        throttle.capped(self.index.max_throttle)
    }

    fn buckets(
        &mut self,
        now: Duration,
        asked: Asked<'_>,
        dimension: Dimension,
        topic: Option<&str>,
    ) -> &[Kept<Bucket>] {
        let metric = Metric::Rate(dimension);
        let Some(rules) = self.index.of(metric) else {
            return &[];
        };
        let topic = match topic {
            Some(_) if !rules.topics && dimension.adds_up_over_topics() => None,
            Some(_) if !rules.topics => return &[],
            topic => topic.map(clip),
        };
        let usage = usage(&self.principal, asked, topic);
        self.buckets
            .get(&self.meter, metric, rules.apis, usage, now)
    }

    fn gauges(&mut self, now: Duration, asked: Asked<'_>, held: Held) -> Option<Counters<Gauge>> {
        let metric = Metric::Held(held);
        let rules = self.index.of(metric)?;
        let usage = usage(&self.principal, asked, None);
        let counters = self.gauges.get(&self.meter, metric, rules.apis, usage, now);
        Some(Arc::clone(counters))
    }

    /// Another client id counts elsewhere.
    fn enter(&mut self, client_id: &str) {
        if *self.client_id != *client_id {
            self.client_id = client_id.into();
            self.buckets = Cache::default();
            self.gauges = Cache::default();
        }
    }

    fn follow(&mut self) {
        if self.generation == self.meter.generation() {
            return;
        }
        let meter = Arc::clone(&self.meter);
        let state = meter.state();
        self.generation = meter.generation();
        self.index = Arc::clone(&state.index);
        drop(state);
        self.buckets = Cache::default();
        self.gauges = Cache::default();
    }
}

fn usage<'a>(principal: &'a Arc<str>, asked: Asked<'a>, topic: Option<&'a str>) -> Usage<'a> {
    Usage {
        principal,
        client_id: asked.client_id,
        topic,
        api: asked.api,
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// No request at all: quotas on connections tell no client ids or APIs apart.
    const NOTHING: Asked<'static> = Asked {
        client_id: "",
        api: "",
    };
}

// === impl Throttle ===

impl Throttle {
    fn at_least(&mut self, delay: Duration, quota: &Arc<str>) {
        if delay > self.delay {
            self.delay = delay;
            self.quota = Some(Arc::clone(quota));
        }
    }

    fn capped(mut self, most: Duration) -> Self {
        self.delay = self.delay.min(most);
        self
    }
}

// === impl Permit ===

impl Drop for Permit {
    fn drop(&mut self) {
        for kept in self.0.iter().flat_map(|counters| counters.iter()) {
            kept.counter.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
