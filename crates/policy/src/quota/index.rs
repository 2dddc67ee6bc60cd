//! Finds the quotas that count for a use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::bucket::{MAX_BURST_SECONDS, MAX_PER_SECOND, MIN_PER_SECOND, Pace};
use super::{
    Action, Dimension, Held, Limit, Match, PARTS, Quota, QuotaRules, Scope, Selector, Share,
};

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    Rate(Dimension),
    Held(Held),
}

/// Who does what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage<'a> {
    pub(super) principal: &'a Arc<str>,
    pub(super) client_id: &'a str,
    pub(super) topic: Option<&'a str>,
    pub(super) api: &'a str,
}

/// One quota.
#[derive(Debug)]
pub(super) struct Rule {
    quota: Quota,
    shape: Shape,
    rank: [Rank; 4],
}

/// Whether topics are told apart, and whether APIs are.
type Shape = (bool, bool);

/// What quotas have in common that compete: tier and shape.
type Rivals<'a> = (&'a str, Shape);

/// How specific a selector is: its kind, and the length of its prefix.
type Rank = (u8, usize);

/// All quotas of one metric.
#[derive(Debug, Default)]
pub(super) struct Rules {
    all: Vec<Arc<Rule>>,
    /// Those that name this principal.
    named: BTreeMap<String, Vec<usize>>,
    /// Those that name none.
    others: Vec<usize>,
    /// Whether any tells topics apart.
    pub(super) topics: bool,
    /// Whether any tells APIs apart.
    pub(super) apis: bool,
    /// Whether any does not tell topics apart.
    pub(super) topicless: bool,
}

/// All quotas.
#[derive(Debug)]
pub(super) struct Index {
    metrics: BTreeMap<Metric, Rules>,
    pub(super) max_throttle: Duration,
}

// === impl Index ===

impl Index {
    /// Of rules that have been checked.
    pub(super) fn new(rules: &QuotaRules) -> Self {
        let mut metrics: BTreeMap<Metric, Rules> = BTreeMap::new();
        for quota in &rules.quotas {
            let rule = Rule::new(quota.clone());
            metrics.entry(rule.metric()).or_default().add(rule);
        }
        Self {
            metrics,
            max_throttle: Duration::from_secs_f64(rules.max_throttle_seconds),
        }
    }

    /// The quotas of this metric, if there are any.
    pub(super) fn of(&self, metric: Metric) -> Option<&Rules> {
        self.metrics.get(&metric)
    }

    /// Every quota.
    pub(super) fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.metrics.values().flat_map(|rules| &rules.all)
    }
}

// === impl Rules ===

impl Rules {
    fn add(&mut self, rule: Rule) {
        let position = self.all.len();
        match &rule.quota.scope.principals {
            Selector::Named { names, .. } => {
                for name in names {
                    self.named.entry(name.clone()).or_default().push(position);
                }
            }
            _ => self.others.push(position),
        }
        self.topics |= rule.shape.0;
        self.topicless |= !rule.shape.0;
        self.apis |= rule.shape.1;
        self.all.push(Arc::new(rule));
    }

    /// The quotas that count for this use: of each tier and shape, the most
    /// specific ones.
    ///
    /// A use of a topic counts for quotas that tell no topics apart only where
    /// `whole` says that it is a part of the whole use.
    pub(super) fn applying(&self, usage: Usage<'_>, whole: bool) -> Vec<Arc<Rule>> {
        let named = self.named.get(&**usage.principal).into_iter().flatten();
        let mut best: BTreeMap<Rivals<'_>, ([Rank; 4], Vec<&Arc<Rule>>)> = BTreeMap::new();
        for rule in named.chain(&self.others).map(|i| &self.all[*i]) {
            if !rule.matches(usage) || (usage.topic.is_some() && !whole && !rule.shape.0) {
                continue;
            }
            let (rank, winners) = best
                .entry((&rule.quota.tier, rule.shape))
                .or_insert_with(|| (rule.rank, Vec::new()));
            if rule.rank > *rank {
                *rank = rule.rank;
                winners.clear();
            }
            if rule.rank == *rank {
                winners.push(rule);
            }
        }
        let winners = best.into_values().flat_map(|(_, winners)| winners);
        winners.map(Arc::clone).collect()
    }
}

// === impl Rule ===

impl Rule {
    fn new(quota: Quota) -> Self {
        let Match {
            principals,
            client_ids,
            topics,
            apis,
        } = &quota.scope;
        Self {
            shape: (topics.is_scoped(), apis.is_scoped()),
            rank: [
                principals.rank(),
                client_ids.rank(),
                topics.rank(),
                apis.rank(),
            ],
            quota,
        }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.quota.name
    }

    pub(super) fn metric(&self) -> Metric {
        match self.quota.limit {
            Limit::Rate { of, .. } => Metric::Rate(of),
            Limit::Held { of, .. } => Metric::Held(of),
        }
    }

    /// Whether what is too much is refused rather than slowed down.
    pub(super) fn refuses(&self) -> bool {
        matches!(
            self.quota.limit,
            Limit::Rate {
                action: Action::Refuse,
                ..
            }
        )
    }

    /// Whether the sidecar has a part of the cluster's limit, and so must say
    /// what it uses of it.
    pub(super) fn is_cluster_wide(&self) -> bool {
        self.quota.share != Share::PerSidecar
    }

    /// How fast a bucket of this quota fills.
    pub(super) fn pace(&self, scope: Option<&Scope>) -> Pace {
        let (per_second, burst) = match self.quota.limit {
            Limit::Rate {
                per_second, burst, ..
            } => (per_second, burst.amount(per_second)),
            Limit::Held { .. } => (MAX_PER_SECOND, 0.0),
        };
        let part = f64::from(self.parts(scope)) / f64::from(PARTS);
        let own = (per_second * part).max(MIN_PER_SECOND);
        Pace::new(own, (burst * part).min(own * MAX_BURST_SECONDS))
    }

    /// How many there may be at a time; at least one, or the smallest brokers
    /// of a cluster would let nobody in.
    pub(super) fn count(&self, scope: Option<&Scope>) -> u32 {
        let Limit::Held { count, .. } = self.quota.limit else {
            return u32::MAX;
        };
        let own = u64::from(count) * u64::from(self.parts(scope)) / u64::from(PARTS);
        u32::try_from(own).unwrap_or(u32::MAX).max(1)
    }

    fn parts(&self, scope: Option<&Scope>) -> u32 {
        match &self.quota.share {
            Share::PerSidecar => PARTS,
            Share::ClusterWide { parts, scopes } => scopes
                .iter()
                .find(|share| Some(&share.scope) == scope)
                .map_or(*parts, |share| share.parts),
        }
    }

    /// The bucket that a use counts in.
    pub(super) fn scope(&self, usage: Usage<'_>) -> Scope {
        let of = &self.quota.scope;
        let own = |selector: &Selector, value: &str| selector.tells_apart().then(|| value.into());
        Scope {
            principal: of
                .principals
                .tells_apart()
                .then(|| Arc::clone(usage.principal)),
            client_id: own(&of.client_ids, clip(usage.client_id)),
            topic: own(&of.topics, clip(usage.topic.unwrap_or_default())),
            api: own(&of.apis, usage.api),
        }
    }

    /// Whether the quota could still have a bucket of this scope.
    pub(super) fn has_scope(&self, scope: &Scope) -> bool {
        let of = &self.quota.scope;
        let fits = |selector: &Selector, value: &Option<Arc<str>>| match value {
            Some(value) => selector.tells_apart() && selector.matches(value),
            None => !selector.tells_apart(),
        };
        fits(&of.principals, &scope.principal)
            && fits(&of.client_ids, &scope.client_id)
            && fits(&of.topics, &scope.topic)
            && fits(&of.apis, &scope.api)
    }

    fn matches(&self, usage: Usage<'_>) -> bool {
        let of = &self.quota.scope;
        of.principals.matches(usage.principal)
            && of.client_ids.matches(usage.client_id)
            && of.apis.matches(usage.api)
            && match usage.topic {
                Some(topic) => of.topics.matches(topic),
                None => !of.topics.is_scoped(),
            }
    }
}

/// What is told apart of a name that clients make up. Longer ones that begin
/// alike share a bucket: memory must not grow with what is sent. Kafka's topics
/// have 249 bytes at most.
pub(super) fn clip(name: &str) -> &str {
    const MAX: usize = 256;
    &name[..name.floor_char_boundary(MAX)]
}

// === impl Selector ===

impl Selector {
    pub(super) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Any | Self::Each => true,
            Self::Named { names, .. } => names.contains(value),
            Self::Prefixed { prefix, .. } => value.starts_with(prefix.as_str()),
        }
    }

    fn rank(&self) -> Rank {
        match self {
            Self::Any => (0, 0),
            Self::Each => (1, 0),
            Self::Prefixed { prefix, .. } => (2, prefix.len()),
            Self::Named { .. } => (3, 0),
        }
    }
}

#[cfg(test)]
mod tests;
