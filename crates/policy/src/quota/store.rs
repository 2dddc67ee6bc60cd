//! All buckets, or all gauges, of a sidecar: as many as there may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Scope;
use super::bucket::Bucket;
use super::gauge::Gauge;
use super::index::{Index, Metric, Rule};

/// Most buckets, and most gauges, that a sidecar keeps; who comes when they are
/// all in use shares one with everybody else who does, a quota.
pub const MAX_COUNTERS: usize = 10_000;
/// Most of them that one principal's doing can have brought about, so that a
/// single one that makes up client ids does not use them up for all.
pub const MAX_PER_PRINCIPAL: usize = 2_500;
/// How often the store looks for counters that it can do without.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What a quota counts with.
pub(super) trait Counter: Sized {
    /// A new one.
    fn new(rule: &Rule, scope: Option<&Scope>) -> Self;
    /// The same under another rule; none if the rule changes nothing.
    fn carried(&self, rule: &Rule, scope: Option<&Scope>, now: Duration) -> Option<Self>;
    /// Whether it is as good as a new one.
    fn is_idle(&self, now: Duration) -> bool;
}

/// A counter with what it counts for.
#[derive(Debug)]
pub(super) struct Kept<C> {
    pub(super) rule: Arc<Rule>,
    pub(super) counter: Arc<C>,
}

/// The counters, by quota and scope.
#[derive(Debug)]
pub(super) struct Store<C> {
    /// Quota → scope; none is the one that is shared when no more fit.
    counters: BTreeMap<QuotaKey, BTreeMap<Option<Scope>, Entry<C>>>,
    /// How many there are besides the shared ones.
    len: usize,
    owned: BTreeMap<Arc<str>, usize>,
    swept: Option<Duration>,
}

/// A quota that limits something else now is another one.
type QuotaKey = (Metric, Arc<str>);

#[derive(Debug)]
struct Entry<C> {
    counter: Arc<C>,
    /// The principal that it was made for.
    owner: Arc<str>,
}

// === impl Store ===

impl<C: Counter> Store<C> {
    /// The counter of this scope, made if need be; and whether it is the one
    /// that is shared because there is no room.
    pub(super) fn get(
        &mut self,
        rule: &Arc<Rule>,
        scope: Scope,
        owner: &Arc<str>,
        now: Duration,
    ) -> (Kept<C>, bool) {
        let key = Some(scope);
        let kept = |counter: &Arc<C>| Kept {
            rule: Arc::clone(rule),
            counter: Arc::clone(counter),
        };
        let quota = (rule.metric(), Arc::clone(rule.name()));
        let known = self.counters.get(&quota).and_then(|of| of.get(&key));
        if let Some(entry) = known {
            return (kept(&entry.counter), false);
        }
        let fits = self.has_room(owner) || (self.sweep(now) && self.has_room(owner));
        let key = key.filter(|_| fits);
        let of = self.counters.entry(quota).or_default();
        let entry = of.entry(key).or_insert_with_key(|key| Entry {
            counter: Arc::new(C::new(rule, key.as_ref())),
            owner: Arc::clone(owner),
        });
        let counter = kept(&entry.counter);
        if fits {
            self.len += 1;
            *self.owned.entry(Arc::clone(owner)).or_default() += 1;
        }
        (counter, !fits)
    }

    fn has_room(&self, owner: &Arc<str>) -> bool {
        self.len < MAX_COUNTERS && self.owned.get(owner).is_none_or(|n| *n < MAX_PER_PRINCIPAL)
    }

    /// Drops the counters that nobody holds and that are as good as new. Nobody
    /// can come to hold one meanwhile: they are handed out by `&mut self` only.
    /// False if it has been done just before.
    fn sweep(&mut self, now: Duration) -> bool {
        if self.swept.is_some_and(|at| now < at + SWEEP_EVERY) {
            return false;
        }
        self.swept = Some(now);
        for of in self.counters.values_mut() {
            of.retain(|_, entry| {
                Arc::strong_count(&entry.counter) > 1 || !entry.counter.is_idle(now)
            });
        }
        self.counters.retain(|_, of| !of.is_empty());
        self.recount();
        true
    }

    fn recount(&mut self) {
        self.len = 0;
        self.owned.clear();
        for (scope, entry) in self.counters.values().flatten() {
            if scope.is_some() {
                self.len += 1;
                *self.owned.entry(Arc::clone(&entry.owner)).or_default() += 1;
            }
        }
    }

    /// The counters that other rules go on with. Those that they do not change
    /// stay the same ones, with whoever holds them.
    pub(super) fn carried(&self, index: &Index, now: Duration) -> Self {
        let mut new = Self::default();
        for rule in index.rules() {
            let quota = (rule.metric(), Arc::clone(rule.name()));
            let Some(of) = self.counters.get(&quota) else {
                continue;
            };
            let kept = of
                .iter()
                .filter(|(scope, _)| scope.as_ref().is_none_or(|scope| rule.has_scope(scope)))
                .map(|(scope, entry)| {
                    let counter = match entry.counter.carried(rule, scope.as_ref(), now) {
                        Some(counter) => Arc::new(counter),
                        None => Arc::clone(&entry.counter),
                    };
                    let owner = Arc::clone(&entry.owner);
                    (scope.clone(), Entry { counter, owner })
                });
            new.counters.insert(quota, kept.collect());
        }
        new.recount();
        new
    }

    /// Every counter, with its quota's name and its scope.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Option<&Scope>, &C)> {
        self.counters.iter().flat_map(|((_, name), of)| {
            of.iter()
                .map(move |(scope, entry)| (name, scope.as_ref(), &*entry.counter))
        })
    }

    /// How many there are besides the shared ones.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl<C> Default for Store<C> {
    fn default() -> Self {
        Self {
            counters: BTreeMap::new(),
            len: 0,
            owned: BTreeMap::new(),
            swept: None,
        }
    }
}

// === impl Bucket ===

impl Counter for Bucket {
    fn new(rule: &Rule, scope: Option<&Scope>) -> Self {
        Self::new(rule.pace(scope), rule.is_cluster_wide())
    }

    fn carried(&self, rule: &Rule, scope: Option<&Scope>, now: Duration) -> Option<Self> {
        let (pace, counted) = (rule.pace(scope), rule.is_cluster_wide());
        let same = pace == self.pace() && counted == self.charged().is_some();
        (!same).then(|| self.repaced(pace, counted, now))
    }

    fn is_idle(&self, now: Duration) -> bool {
        self.is_full(now)
    }
}

// === impl Gauge ===

impl Counter for Gauge {
    fn new(rule: &Rule, scope: Option<&Scope>) -> Self {
        Self::new(rule.count(scope))
    }

    fn carried(&self, rule: &Rule, scope: Option<&Scope>, _: Duration) -> Option<Self> {
        let limit = rule.count(scope);
        (limit != self.limit()).then(|| self.relimited(limit))
    }

    fn is_idle(&self, _: Duration) -> bool {
        self.held() == 0
    }
}
