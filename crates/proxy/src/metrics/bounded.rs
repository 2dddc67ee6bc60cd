//! How many series a sidecar has at most, and what comes of names beyond.
//!
//! Every family has a budget. Names are told apart while there is room, and no
//! principal gets more than half of it; what comes later is counted under less
//! exact labels, in the end under `other` alone. Nothing is lost from sums.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// The most series that a sidecar has, whatever names arrive.
pub const MAX_SERIES: usize = 10_000;
/// Stands for names that are not told apart.
pub const OTHER: &str = "other";

/// The budget of one family, in label sets.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Told apart exactly.
    pub exact: usize,
    /// Beyond these, told apart by some of their labels.
    pub rough: usize,
    /// Series of each label set.
    pub series: usize,
}

/// By principal and topic: records and bytes both ways, denials.
pub const FLOWS: Budget = Budget::new(500, 50, 5);
/// By principal and API: requests, bytes both ways, throttle time.
pub const REQUESTS: Budget = Budget::new(300, 30, 4);
/// By principal and API: two histograms of 12 buckets, each with sum and count.
pub const LATENCIES: Budget = Budget::new(100, 30, 2 * 14);
/// By principal, API and error code.
pub const ERRORS: Budget = Budget::new(500, 100, 1);
/// By principal, API and kind of resource.
pub const DENIALS: Budget = Budget::new(200, 50, 1);
/// By principal, software and its version.
pub const SOFTWARE: Budget = Budget::new(200, 50, 1);
/// By group and topic: lag, commits, committed records.
pub const GROUPS: Budget = Budget::new(200, 20, 3);
/// By 6 listeners and words of this program: 1 gauge, 4 outcomes and 14 series
/// of handshakes, 6 reasons to refuse and 10 to end are 210; the certificate is
/// one more.
pub const FIXED: usize = 300;

const _: () = assert!(
    FLOWS.most()
        + REQUESTS.most()
        + LATENCIES.most()
        + ERRORS.most()
        + DENIALS.most()
        + SOFTWARE.most()
        + GROUPS.most()
        + FIXED
        <= MAX_SERIES
);

/// Values by key, bounded in number.
#[derive(Debug)]
pub struct Bounded<K, V> {
    budget: Budget,
    by_key: HashMap<K, Entry<V>>,
    /// How many exact keys each principal has.
    by_principal: HashMap<Arc<str>, usize>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// Whose share it is; nobody's, where it was not told apart exactly.
    owner: Option<Arc<str>>,
}

// === impl Budget ===

impl Budget {
    const fn new(exact: usize, rough: usize, series: usize) -> Self {
        Self {
            exact,
            rough,
            series,
        }
    }

    /// The most series of the family.
    pub const fn most(&self) -> usize {
        (self.exact + self.rough + 1) * self.series
    }
}

// === impl Bounded ===

impl<K: Eq + Hash, V: Clone> Bounded<K, V> {
    /// An empty one.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            by_key: HashMap::new(),
            by_principal: HashMap::new(),
        }
    }

    /// The value of `exact`, or, where it is not there and has no room, of a
    /// rougher key, the first of `rough` that has some; the last always has.
    /// `make` makes a new value.
    pub fn find(
        &mut self,
        principal: &Arc<str>,
        exact: K,
        rough: impl FnOnce() -> [K; 2],
        make: impl FnOnce(&K) -> V,
    ) -> V {
        if let Some(found) = self.by_key.get(&exact) {
            return found.value.clone();
        }
        let mut owner = None;
        let key = if self.admits(principal) {
            *self.by_principal.entry(principal.clone()).or_default() += 1;
            owner = Some(principal.clone());
            exact
        } else {
            let [rough, other] = rough();
            let room = self.by_key.len() < self.budget.exact + self.budget.rough;
            if room || self.by_key.contains_key(&rough) {
                rough
            } else {
                other
            }
        };
        if let Some(found) = self.by_key.get(&key) {
            return found.value.clone();
        }
        let value = make(&key);
        let entry = Entry {
            value: value.clone(),
            owner,
        };
        self.by_key.insert(key, entry);
        value
    }

    /// Whether one more exact key of this principal has room.
    pub fn admits(&self, principal: &str) -> bool {
        let share = self.budget.exact / 2;
        let has = self.by_principal.get(principal).copied();
        self.by_key.len() < self.budget.exact && has.unwrap_or_default() < share
    }

    /// Makes room.
    pub fn remove(&mut self, key: &K) {
        let owner = self.by_key.remove(key).and_then(|entry| entry.owner);
        if let Some(owner) = owner
            && let Some(count) = self.by_principal.get_mut(&owner)
        {
            *count -= 1;
            if *count == 0 {
                self.by_principal.remove(&owner);
            }
        }
    }

    /// Everything, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.by_key.iter().map(|(key, entry)| (key, &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(bounded: &mut Bounded<(String, u32), String>, principal: &str, n: u32) -> String {
        let rough = || [(principal.to_owned(), 0), (OTHER.to_owned(), 0)];
        let exact = (principal.to_owned(), n);
        bounded.find(&principal.into(), exact, rough, |key| {
            format!("{}/{}", key.0, key.1)
        })
    }

    #[test]
    fn a_principal_gets_half_and_what_is_beyond_is_told_apart_roughly() {
        let mut bounded = Bounded::new(Budget::new(10, 3, 1));
        for n in 1..=5 {
            assert_eq!(find(&mut bounded, "a", n), format!("a/{n}"));
        }
        assert_eq!(find(&mut bounded, "a", 6), "a/0");
        assert_eq!(find(&mut bounded, "a", 5), "a/5", "what is there stays");
        // One label set more is taken by `a/0`.
        for n in 1..=4 {
            assert_eq!(find(&mut bounded, "b", n), format!("b/{n}"));
        }
        assert_eq!(find(&mut bounded, "b", 5), "b/0");
        assert_eq!(find(&mut bounded, "c", 1), "c/0");
        assert_eq!(find(&mut bounded, "d", 1), "d/0");
        assert_eq!(find(&mut bounded, "e", 1), "other/0");
        assert_eq!(find(&mut bounded, "a", 9), "a/0");
        assert_eq!(bounded.iter().count(), 14);
    }

    #[test]
    fn what_is_removed_makes_room() {
        let mut bounded = Bounded::new(Budget::new(2, 1, 1));
        assert_eq!(find(&mut bounded, "a", 1), "a/1");
        assert_eq!(find(&mut bounded, "a", 2), "a/0");
        bounded.remove(&("a".to_owned(), 1));
        assert_eq!(find(&mut bounded, "a", 2), "a/2");
    }
}
