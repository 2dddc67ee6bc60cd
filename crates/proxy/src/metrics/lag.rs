//! How far consumer groups are behind, as seen in this sidecar's traffic: what
//! groups commit, and where fetches say that logs end.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tubeway_session::Offset;

use super::bounded::{Bounded, GROUPS, OTHER};
use super::labels::GroupLabels;

/// Topics whose logs' ends are remembered.
const MAX_TOPICS: usize = 1_000;
/// Partitions are remembered by so many together.
const CHUNK: usize = 32;
/// A topic's partitions from this times [`CHUNK`] on are not looked at.
const CHUNKS: usize = 64;
/// Chunks of all topics: 128 Ki partitions, 1 MiB.
const MAX_CHUNKS: usize = 4_096;
/// Partitions that are remembered of one group's commits to one topic.
const MAX_COMMITS: usize = 1_024;
/// A group that has not committed for so long makes room for others.
const STALE: Duration = Duration::from_secs(15 * 60);
/// How often that is looked at, at most.
const SWEEP: Duration = Duration::from_secs(60);

/// What groups have read, of all topics. Clones share it.
#[derive(Clone, Default)]
pub struct Lags {
    watermarks: Arc<Mutex<HashMap<Arc<str>, Arc<Watermarks>>>>,
    chunks: Arc<AtomicUsize>,
    groups: Arc<Mutex<Groups>>,
}

/// Where the logs of one topic end.
pub struct Watermarks {
    chunks: [OnceLock<Box<[AtomicI64; CHUNK]>>; CHUNKS],
    used: Arc<AtomicUsize>,
}

struct Groups {
    known: Bounded<(Arc<str>, Arc<str>), Arc<Group>>,
    /// When room was last made, since the sidecar started.
    swept: Duration,
    lag: Family<GroupLabels, Gauge>,
    commits: Family<GroupLabels, Counter>,
    records: Family<GroupLabels, Counter>,
}

/// One group on one topic.
struct Group {
    /// By partition; empty for `other`, which is no group.
    offsets: Mutex<BTreeMap<i32, i64>>,
    /// Seconds since the sidecar started.
    last: AtomicU64,
    commits: Counter,
    records: Counter,
}

// === impl Lags ===

impl Lags {
    /// The families, to be registered.
    pub fn families(
        &self,
    ) -> (
        Family<GroupLabels, Gauge>,
        Family<GroupLabels, Counter>,
        Family<GroupLabels, Counter>,
    ) {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        (
            groups.lag.clone(),
            groups.commits.clone(),
            groups.records.clone(),
        )
    }

    /// The ends of a topic's logs, to be kept at hand; none beyond the bound.
    pub fn watermarks(&self, topic: &Arc<str>) -> Option<Arc<Watermarks>> {
        let known = self.watermarks.lock();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(topic) {
            return Some(found.clone());
        }
        if known.len() >= MAX_TOPICS {
            return None;
        }
        let watermarks = Arc::new(Watermarks {
            chunks: [const { OnceLock::new() }; CHUNKS],
            used: self.chunks.clone(),
        });
        known.insert(topic.clone(), watermarks.clone());
        Some(watermarks)
    }

    /// Takes what `group` has committed. `now` is since the sidecar started.
    pub fn committed(
        &self,
        principal: &Arc<str>,
        (group, topic): (&str, &Arc<str>),
        offsets: &[Offset],
        now: Duration,
    ) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let found = groups.find(principal, (group.into(), topic.clone()), now);
        drop(groups);
        found.committed(offsets, now);
    }

    /// Brings the gauges of the lags up to date.
    pub fn update(&self) {
        let watermarks = self.watermarks.lock();
        let watermarks = watermarks.unwrap_or_else(PoisonError::into_inner).clone();
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        for ((group, topic), of) in groups.known.iter() {
            if let Some(watermarks) = watermarks.get(topic)
                && let Some(lag) = of.lag(watermarks)
            {
                let gauge = groups.lag.get_or_create_owned(&labels(group, topic));
                gauge.set(lag);
            }
        }
    }
}

// === impl Groups ===

impl Default for Groups {
    fn default() -> Self {
        Self {
            known: Bounded::new(GROUPS),
            swept: Duration::ZERO,
            lag: Family::default(),
            commits: Family::default(),
            records: Family::default(),
        }
    }
}

impl Groups {
    fn find(
        &mut self,
        principal: &Arc<str>,
        (group, topic): (Arc<str>, Arc<str>),
        now: Duration,
    ) -> Arc<Group> {
        if !self.known.admits(principal) && now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.sweep(now);
        }
        let other = || Arc::<str>::from(OTHER);
        let exact = (group, topic.clone());
        let rough = || [(other(), topic), (other(), other())];
        let (commits, records) = (&self.commits, &self.records);
        self.known.find(principal, exact, rough, |(group, topic)| {
            let labels = labels(group, topic);
            Arc::new(Group {
                offsets: Mutex::default(),
                last: AtomicU64::new(now.as_secs()),
                commits: commits.get_or_create_owned(&labels),
                records: records.get_or_create_owned(&labels),
            })
        })
    }

    /// Forgets groups that have not committed for long.
    fn sweep(&mut self, now: Duration) {
        let stale = |of: &Group| {
            let last = Duration::from_secs(of.last.load(Ordering::Relaxed));
            now.saturating_sub(last) >= STALE
        };
        let gone: Vec<_> = self
            .known
            .iter()
            .filter(|((group, _), of)| &**group != OTHER && stale(of))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.known.remove(&key);
            let labels = labels(&key.0, &key.1);
            self.lag.remove(&labels);
            self.commits.remove(&labels);
            self.records.remove(&labels);
        }
    }
}

// === impl Group ===

impl Group {
    fn committed(&self, offsets: &[Offset], now: Duration) {
        self.commits.inc();
        self.last.store(now.as_secs(), Ordering::Relaxed);
        let mut known = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        for Offset { partition, offset } in offsets {
            if let Some(before) = known.get_mut(partition) {
                let read = offset.saturating_sub(*before);
                self.records.inc_by(u64::try_from(read).unwrap_or_default());
                *before = *offset;
            } else if known.len() < MAX_COMMITS {
                known.insert(*partition, *offset);
            }
        }
    }

    /// Over the partitions of which both are known; none where that is none.
    fn lag(&self, watermarks: &Watermarks) -> Option<i64> {
        let known = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |(partition, offset): (&i32, &i64)| {
            let end = watermarks.get(*partition)?;
            Some(end.saturating_sub(*offset).max(0))
        };
        known.iter().filter_map(behind).reduce(i64::saturating_add)
    }
}

// === impl Watermarks ===

impl Watermarks {
    /// Takes what a fetch has said.
    pub fn set(&self, offsets: &[Offset]) {
        for Offset { partition, offset } in offsets {
            let Some((chunk, at)) = place(*partition) else {
                continue;
            };
            if self.chunks[chunk].get().is_none()
                && self.used.fetch_add(1, Ordering::Relaxed) >= MAX_CHUNKS
            {
                self.used.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let chunk =
                self.chunks[chunk].get_or_init(|| Box::new([const { AtomicI64::new(-1) }; CHUNK]));
            chunk[at].store(*offset, Ordering::Relaxed);
        }
    }

    fn get(&self, partition: i32) -> Option<i64> {
        let (chunk, at) = place(partition)?;
        let offset = self.chunks[chunk].get()?[at].load(Ordering::Relaxed);
        (offset >= 0).then_some(offset)
    }
}

fn place(partition: i32) -> Option<(usize, usize)> {
    let partition = usize::try_from(partition).ok()?;
    let chunk = partition / CHUNK;
    (chunk < CHUNKS).then_some((chunk, partition % CHUNK))
}

fn labels(group: &str, topic: &str) -> GroupLabels {
    GroupLabels {
        group: group.to_owned(),
        topic: topic.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Offset {
        Offset { partition, offset }
    }

    fn commit(lags: &Lags, group: &str, offsets: &[Offset], minutes: u64) {
        let now = Duration::from_secs(60 * minutes);
        lags.committed(&"p".into(), (group, &"orders".into()), offsets, now);
    }

    fn lag(lags: &Lags, group: &str) -> Option<i64> {
        lags.update();
        let (lag, _, _) = lags.families();
        let gauge = lag.get(&labels(group, "orders"))?;
        Some(gauge.get())
    }

    #[test]
    fn a_lag_is_of_partitions_of_which_both_ends_are_known() {
        let lags = Lags::default();
        commit(&lags, "billing", &[at(0, 10), at(1, 5), at(40, 7)], 0);
        assert_eq!(lag(&lags, "billing"), None);
        let orders = lags.watermarks(&"orders".into()).unwrap();
        orders.set(&[at(0, 15), at(40, 6), at(2, 1_000)]);
        assert_eq!(lag(&lags, "billing"), Some(5), "nobody is ahead of the log");
        orders.set(&[at(1, 8)]);
        assert_eq!(lag(&lags, "billing"), Some(8));
        commit(&lags, "billing", &[at(0, 14)], 0);
        assert_eq!(lag(&lags, "billing"), Some(4));
        let (_, commits, records) = lags.families();
        let of = labels("billing", "orders");
        assert_eq!(commits.get(&of).unwrap().get(), 2);
        assert_eq!(records.get(&of).unwrap().get(), 4);
    }

    #[test]
    fn partitions_and_topics_are_bounded() {
        let lags = Lags::default();
        let last = (CHUNK * CHUNKS) as i32;
        for i in 0..MAX_TOPICS {
            let topic = lags.watermarks(&format!("t{i}").into()).unwrap();
            for partition in (-1..=last).step_by(CHUNK) {
                topic.set(&[at(partition + 1, 1)]);
            }
            topic.set(&[at(-1, 1), at(last, 1), at(i32::MAX, 1)]);
        }
        assert!(lags.watermarks(&"more".into()).is_none());
        assert_eq!(lags.chunks.load(Ordering::Relaxed), MAX_CHUNKS);
        let offsets: Vec<_> = (0..5_000).map(|partition| at(partition, 1)).collect();
        commit(&lags, "billing", &offsets, 0);
        let groups = lags.groups.lock().unwrap();
        let (_, billing) = groups.known.iter().next().unwrap();
        assert_eq!(billing.offsets.lock().unwrap().len(), MAX_COMMITS);
    }

    #[test]
    fn groups_that_are_gone_make_room() {
        let lags = Lags::default();
        for i in 0..1_000 {
            commit(&lags, &format!("console-{i}"), &[at(0, 1)], 1);
        }
        let (_, commits, _) = lags.families();
        let billing = labels("billing", "orders");
        commit(&lags, "billing", &[at(0, 1)], 15);
        assert!(commits.get(&billing).is_none(), "there is no room yet");
        commit(&lags, "billing", &[at(0, 1)], 16);
        assert_eq!(commits.get(&billing).unwrap().get(), 1);
        assert!(commits.get(&labels("console-0", "orders")).is_none());
        let others = commits.get(&labels(OTHER, "orders")).unwrap().get();
        assert_eq!(others, 1_000 - GROUPS.exact as u64 / 2 + 1);
    }
}
