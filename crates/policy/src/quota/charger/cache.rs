//! Counters that a connection has come upon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::quota::index::{Metric, Usage};
use crate::quota::meter::{Meter, Stored};
use crate::quota::store::{Kept, SWEEP_EVERY};

/// Most topics that a connection remembers, a dimension and API; with more it
/// begins anew.
const MAX_TOPICS: usize = 1_000;

/// The counters of one use.
pub(super) type Counters<C> = Arc<[Kept<C>]>;

/// For one principal and client id.
#[derive(Debug)]
pub(super) struct Cache<C>(Vec<Entry<C>>);

/// What is known for one metric and API.
#[derive(Debug)]
struct Entry<C> {
    metric: Metric,
    /// Empty where no quota tells APIs apart.
    api: Box<str>,
    topicless: Option<Found<C>>,
    topics: BTreeMap<Box<str>, Found<C>>,
}

#[derive(Debug)]
struct Found<C> {
    counters: Counters<C>,
    /// When to look again, because there was no room for one of its own.
    again: Option<Duration>,
}

// === impl Cache ===

impl<C: Stored> Cache<C> {
    pub(super) fn get(
        &mut self,
        meter: &Meter,
        metric: Metric,
        apis: bool,
        usage: Usage<'_>,
        now: Duration,
    ) -> &Counters<C> {
        let entry = self.entry(metric, if apis { usage.api } else { "" });
        let known = match usage.topic {
            None => entry.topicless.as_ref(),
            Some(topic) => entry.topics.get(topic),
        };
        let known = known.is_some_and(|found| found.again.is_none_or(|again| now < again));
        let find = || find(meter, metric, usage, now);
        let found = match usage.topic {
            None if known => entry.topicless.get_or_insert_with(find),
            None => entry.topicless.insert(find()),
            Some(topic) => entry.topic(topic, known, find),
        };
        &found.counters
    }

    fn entry(&mut self, metric: Metric, api: &str) -> &mut Entry<C> {
        let known = self
            .0
            .iter()
            .position(|entry| entry.metric == metric && *entry.api == *api);
        let position = known.unwrap_or_else(|| {
            self.0.push(Entry {
                metric,
                api: api.into(),
                topicless: None,
                topics: BTreeMap::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[position]
    }
}

// === impl Entry ===

impl<C> Entry<C> {
    fn topic(&mut self, topic: &str, known: bool, find: impl FnOnce() -> Found<C>) -> &Found<C> {
        if !known {
            if self.topics.len() >= MAX_TOPICS {
                self.topics.clear();
            }
            self.topics.insert(topic.into(), find());
        }
        &self.topics[topic]
    }
}

/// Asks the store, which all connections share, by the rules that are in force
/// by now: others would make counters that those do not know.
fn find<C: Stored>(meter: &Meter, metric: Metric, usage: Usage<'_>, now: Duration) -> Found<C> {
    let whole = match metric {
        Metric::Rate(dimension) => dimension.adds_up_over_topics(),
        Metric::Held(_) => true,
    };
    let mut state = meter.state();
    let rules = state.index.of(metric);
    let applying = rules.map_or_else(Vec::new, |rules| rules.applying(usage, whole));
    let mut again = None;
    let store = C::store(&mut state);
    let counters = applying
        .iter()
        .map(|rule| {
            let (kept, shared) = store.get(rule, rule.scope(usage), usage.principal, now);
            if shared {
                again = Some(now + SWEEP_EVERY);
            }
            kept
        })
        .collect();
    Found { counters, again }
}

impl<C> Default for Cache<C> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
