//! Limits of a whole cluster, shared out over its sidecars by use. Pure.
//!
//! Those that get less are told first: a round that moves parts from one
//! sidecar to another publishes the lower shares, waits until every sidecar
//! that is there has taken them, and only then publishes the higher ones. A
//! sidecar that is away is taken to use all that it was ever sent and has not
//! been seen to give up.
//!
//! What an operator before this one gave out is not known. It begins with equal
//! shares; a sidecar that cannot reach it may still use what it had.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tubeway_config::MAX_USED;
use tubeway_config::stream::Usage;
use tubeway_policy::quota::share::{Demand, share};
use tubeway_policy::quota::{Limit, PARTS, QuotaRules, Scope};

use crate::stream::{Bucket, MIN_PARTS, Shares};

/// What no broker's share falls below, as a part of the limit: enough for a
/// client that turns to it to be served until the next round.
const MIN_FRACTION: f64 = 0.01;
/// Shares that would move by less stay as they are.
const NOTICEABLE: u32 = PARTS / 50;
/// A bucket gets shares of its own when so much of the limit is used, and keeps
/// them until it is half of that.
const BUSY: f64 = 0.1;
/// Most buckets of one quota with shares of their own.
const MAX_SCOPES: usize = 100;
/// The weight of what was known before in a new rate.
const MEMORY: f64 = 0.5;
/// After so many rounds without a report a rate fades.
const QUIET: u32 = 3;
/// Most rates that are kept of one pod, and most versions that it may not have
/// taken.
const MAX_RATES: usize = 4 * MAX_USED;
const MAX_SENT: usize = 8;
/// Shortest time over which a rate is reckoned, in milliseconds.
const MIN_OVER: u64 = 100;

/// Whether a sidecar is on the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is.
    Here,
    /// It is not, or not yet.
    Away,
}

/// The shares of one cluster, and what is known of its pods.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    shares: Shares,
    /// What the shares are to become once everybody has taken what is less.
    target: Option<Target>,
    pods: BTreeMap<String, Pod>,
}

#[derive(Debug)]
struct Target {
    shares: Shares,
    /// Who has to have taken the version before.
    waits: BTreeSet<String>,
    /// Not known until it is published.
    version: Option<u64>,
}

/// What is known of one sidecar.
#[derive(Debug, Default)]
struct Pod {
    /// What it uses, a second.
    rates: BTreeMap<Bucket, f64>,
    /// What it was sent, oldest first; all before what it last took is dropped.
    sent: VecDeque<(u64, BTreeMap<Bucket, u32>)>,
    taken: u64,
    /// Rounds since the last report.
    quiet: u32,
}

// === impl Sharing ===

impl Sharing {
    /// The newest shares.
    pub(super) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Takes in what each pod says it used.
    pub(super) fn hear<'a>(
        &mut self,
        reports: impl IntoIterator<Item = (&'a String, &'a Vec<Usage>)>,
    ) {
        let mut silent: BTreeSet<_> = self.pods.keys().cloned().collect();
        for (name, reports) in reports {
            silent.remove(name);
            let pod = self.pods.entry(name.clone()).or_default();
            for report in reports {
                pod.hear(report);
            }
        }
        for pod in silent {
            if let Some(pod) = self.pods.get_mut(&pod) {
                pod.quiet += 1;
                if pod.quiet >= QUIET {
                    pod.fade();
                }
            }
        }
    }

    /// Which version each connected pod has taken.
    pub(super) fn taken(&mut self, versions: &BTreeMap<String, u64>) {
        for (name, version) in versions {
            if let Some(pod) = self.pods.get_mut(name) {
                pod.take(*version);
            }
        }
    }

    /// The shares were published as this version.
    pub(super) fn sent(&mut self, version: u64) {
        for (name, pod) in &mut self.pods {
            let own = self.shares.iter().filter_map(|(bucket, pods)| {
                let parts = pods.get(name)?;
                Some((bucket.clone(), *parts))
            });
            pod.send(version, own.collect());
        }
        if let Some(target) = &mut self.target {
            target.version.get_or_insert(version);
        }
    }

    /// Shares out anew; whether that makes other shares, to be published.
    pub(super) fn share(
        &mut self,
        rules: &QuotaRules,
        members: &BTreeMap<String, Presence>,
    ) -> bool {
        self.pods.retain(|name, _| members.contains_key(name));
        for name in members.keys() {
            self.pods.entry(name.clone()).or_default();
        }
        if let Some(target) = &mut self.target {
            // Who has gone away is not waited for: its parts stay its own.
            let here = |name: &String| members.get(name) == Some(&Presence::Here);
            target.waits.retain(|name| here(name));
        }
        let wanted = self.wanted(rules, members);
        let newest = self.target.as_ref().map_or(&self.shares, |t| &t.shares);
        if !differs(newest, &wanted) {
            return self.raise();
        }
        let lowered = lowered(&self.shares, &wanted);
        let waits: BTreeSet<_> = members
            .iter()
            .filter(|(_, presence)| **presence == Presence::Here)
            .map(|(name, _)| name.clone())
            .filter(|name| self.may_use_more(name, &lowered))
            .collect();
        if waits.is_empty() && self.target.is_none() {
            self.shares = wanted;
            return true;
        }
        let waits = match self.target.take() {
            // Those that are still to give up something of an earlier round.
            Some(target) => waits.into_iter().chain(target.waits).collect(),
            None => waits,
        };
        let changed = self.shares != lowered;
        let version = (!changed).then(|| self.newest()).flatten();
        self.target = Some(Target {
            shares: wanted,
            waits,
            version,
        });
        self.shares = lowered;
        changed || self.raise()
    }

    /// Gives more to those that are to have more, if all that had to give up
    /// something have; whether that makes other shares, to be published.
    pub(super) fn raise(&mut self) -> bool {
        let taken = |name: &String| self.pods.get(name).map_or(0, |pod| pod.taken);
        let over = self.target.as_ref().is_some_and(|target| {
            let version = target.version.unwrap_or(u64::MAX);
            target.waits.iter().all(|name| taken(name) >= version)
        });
        if !over {
            return false;
        }
        let target = self.target.take().map(|target| target.shares);
        let changed = target.as_ref().is_some_and(|t| *t != self.shares);
        self.shares = target.unwrap_or_default();
        changed
    }

    /// Whether this pod may be using more of anything than it is to have: by what
    /// was published last, or by something older of which it has not said that
    /// it has given it up.
    fn may_use_more(&self, name: &str, lowered: &Shares) -> bool {
        let Some(pod) = self.pods.get(name) else {
            return false;
        };
        let sent = pod.sent.iter().flat_map(|(_, own)| own.keys());
        let mut buckets = sent.chain(lowered.keys());
        buckets.any(|bucket| {
            let wanted = parts(lowered, bucket, name);
            wanted.is_some_and(|wanted| pod.holds(bucket).is_some_and(|held| held > wanted))
        })
    }

    /// The version that was published last.
    fn newest(&self) -> Option<u64> {
        self.pods
            .values()
            .filter_map(|pod| Some(pod.sent.back()?.0))
            .max()
    }

    /// The shares that are right by what is known now.
    fn wanted(&self, rules: &QuotaRules, members: &BTreeMap<String, Presence>) -> Shares {
        let mut shares = Shares::new();
        let wide = |quota: &&tubeway_policy::quota::Quota| {
            matches!(
                quota.share,
                tubeway_policy::quota::Share::ClusterWide { .. }
            )
        };
        for quota in rules.quotas.iter().filter(wide) {
            let default = (Arc::clone(&quota.name), None);
            let (total, busy) = match quota.limit {
                Limit::Rate { per_second, .. } => {
                    let mut busy = self.held_by_absent(&quota.name, members);
                    busy.extend(self.busy(&quota.name, per_second));
                    (per_second, busy)
                }
                Limit::Held { count, .. } => (f64::from(count), BTreeSet::new()),
            };
            let busy = busy
                .into_iter()
                .map(|scope| (Arc::clone(&quota.name), Some(scope)));
            for bucket in busy.chain([default]) {
                let demands = members
                    .iter()
                    .map(|(name, presence)| (name.clone(), self.demand(name, *presence, &bucket)));
                let parts = share(total, &demands.collect(), MIN_FRACTION);
                shares.insert(bucket, parts);
            }
        }
        shares
    }

    fn demand(&self, name: &str, presence: Presence, bucket: &Bucket) -> Demand {
        let Some(pod) = self.pods.get(name) else {
            return Demand::Recent(0.0);
        };
        match presence {
            Presence::Here => Demand::Recent(match bucket.1 {
                Some(_) => pod.rates.get(bucket).copied().unwrap_or_default(),
                // Many buckets, none of them used much: nothing to go by.
                None => 0.0,
            }),
            Presence::Away => pod
                .holds(bucket)
                .map_or(Demand::Recent(0.0), Demand::Silent),
        }
    }

    /// The buckets of a quota of which a sidecar that is away may be using more
    /// than of any bucket: the others must not have an equal part of these.
    fn held_by_absent(
        &self,
        quota: &Arc<str>,
        members: &BTreeMap<String, Presence>,
    ) -> BTreeSet<Scope> {
        let away = |name: &String| members.get(name) == Some(&Presence::Away);
        let absent = self.pods.iter().filter(|(name, _)| away(name));
        let held = absent.flat_map(|(_, pod)| {
            let rest = pod.holds(&(Arc::clone(quota), None));
            let sent = pod.sent.iter().flat_map(|(_, own)| own.keys());
            sent.filter(move |bucket| bucket.0 == *quota && pod.holds(bucket) > rest)
        });
        held.filter_map(|bucket| bucket.1.clone()).collect()
    }

    /// The buckets of a quota that get shares of their own, the busiest if
    /// there are too many.
    fn busy(&self, quota: &Arc<str>, per_second: f64) -> BTreeSet<Scope> {
        let mut rates: BTreeMap<&Scope, f64> = BTreeMap::new();
        for (bucket, rate) in self.pods.values().flat_map(|pod| &pod.rates) {
            if bucket.0 == *quota
                && let Some(scope) = &bucket.1
            {
                *rates.entry(scope).or_default() += rate;
            }
        }
        let newest = self.target.as_ref().map_or(&self.shares, |t| &t.shares);
        let mut busy: Vec<_> = rates
            .into_iter()
            .filter(|(scope, rate)| {
                let has = newest.contains_key(&(Arc::clone(quota), Some((*scope).clone())));
                *rate >= per_second * if has { BUSY / 2.0 } else { BUSY }
            })
            .collect();
        busy.sort_by(|a, b| b.1.total_cmp(&a.1));
        busy.truncate(MAX_SCOPES);
        busy.into_iter().map(|(scope, _)| scope.clone()).collect()
    }
}

/// A pod's parts of a bucket, which may be those of the bucket for the rest.
fn parts(shares: &Shares, bucket: &Bucket, pod: &str) -> Option<u32> {
    let pods = shares
        .get(bucket)
        .or_else(|| shares.get(&(Arc::clone(&bucket.0), None)))?;
    pods.get(pod).copied()
}

/// Whether the new shares are worth publishing.
fn differs(old: &Shares, new: &Shares) -> bool {
    !old.keys().eq(new.keys())
        || new.iter().any(|(bucket, pods)| {
            let before = &old[bucket];
            !before.keys().eq(pods.keys())
                || pods
                    .iter()
                    .any(|(pod, parts)| before[pod].abs_diff(*parts) > NOTICEABLE)
        })
}

/// The new shares, as far as they are no more than the old ones: nobody has
/// more of any bucket than in either.
fn lowered(old: &Shares, new: &Shares) -> Shares {
    let quotas: BTreeSet<_> = new.keys().map(|(quota, _)| quota).collect();
    let all: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let all = all.into_iter().filter(|(quota, _)| quotas.contains(quota));
    let lower = |bucket: &Bucket| {
        let default = (Arc::clone(&bucket.0), None);
        let pods = new.get(bucket).or_else(|| new.get(&default));
        let known = old.contains_key(&default);
        let pods = pods.into_iter().flatten().map(|(pod, new)| {
            let parts = match parts(old, bucket, pod) {
                Some(before) => before.min(*new),
                // Whoever is new has nothing yet, and not quite nothing either:
                // a rate of zero would hold its clients for longer than a round.
                None if known => MIN_PARTS.min(*new),
                // Of a quota that is new nobody has anything to give up.
                None => *new,
            };
            (pod.clone(), parts)
        });
        (bucket.clone(), pods.collect())
    };
    all.map(lower).collect()
}

// === impl Pod ===

impl Pod {
    fn hear(&mut self, report: &Usage) {
        let over = report.over_ms.max(MIN_OVER) as f64 / 1000.0;
        self.quiet = 0;
        self.fade();
        for used in &report.used {
            let scope = used.scope.clone().map(Scope::from);
            let bucket = (Arc::from(used.quota.as_str()), scope);
            let rate = used.amount as f64 / over * (1.0 - MEMORY);
            *self.rates.entry(bucket).or_default() += rate;
        }
        if self.rates.len() > MAX_RATES {
            let mut rates: Vec<_> = std::mem::take(&mut self.rates).into_iter().collect();
            rates.sort_by(|a, b| b.1.total_cmp(&a.1));
            rates.truncate(MAX_RATES / 2);
            self.rates = rates.into_iter().collect();
        }
    }

    fn send(&mut self, version: u64, own: BTreeMap<Bucket, u32>) {
        self.sent.push_back((version, own));
        if self.sent.len() > MAX_SENT
            && let Some((_, oldest)) = self.sent.pop_front()
            && let Some((_, next)) = self.sent.front_mut()
        {
            // What is forgotten may still be in force.
            for (bucket, parts) in oldest {
                let next = next.entry(bucket).or_default();
                *next = parts.max(*next);
            }
        }
    }

    /// Nothing was used since.
    fn fade(&mut self) {
        self.rates.retain(|_, rate| {
            *rate *= MEMORY;
            *rate > 1e-6
        });
    }

    fn take(&mut self, version: u64) {
        self.taken = self.taken.max(version);
        while self.sent.len() > 1 && self.sent[1].0 <= self.taken {
            self.sent.pop_front();
        }
    }

    /// The most that the pod may be using of a bucket; none if it was never
    /// sent anything.
    fn holds(&self, bucket: &Bucket) -> Option<u32> {
        let default = (Arc::clone(&bucket.0), None);
        let sent = self.sent.iter();
        sent.filter_map(|(_, own)| own.get(bucket).or_else(|| own.get(&default)).copied())
            .max()
    }
}

#[cfg(test)]
mod tests;
