//! How much each broker has, as partitions are decided on one by one.

use std::collections::BTreeMap;

use super::{Goal, Layout, Placed};

/// What brokers have: their own, and what is decided for them.
///
/// A replica weighs its bytes and as much again as the average partition, so
/// that many small ones count as well as few large ones.
#[derive(Debug, Clone)]
pub(super) struct Loads {
    weight: BTreeMap<u32, u128>,
    preferred: BTreeMap<u32, usize>,
    average: u128,
    share: u128,
}

// === impl Loads ===

impl Loads {
    /// Everything where it is when what is under way is done.
    pub(super) fn new(layout: &Layout, goal: &Goal) -> Self {
        let bytes: u128 = layout.partitions.iter().map(|p| u128::from(p.bytes)).sum();
        let average = bytes / (layout.partitions.len().max(1) as u128);
        let mut loads = Self {
            weight: BTreeMap::new(),
            preferred: BTreeMap::new(),
            average: average.max(1),
            share: 0,
        };
        let mut all = 0;
        for placed in &layout.partitions {
            let target = placed.target();
            loads.add(placed, &target);
            let wanted = goal.replication.get(&placed.id.topic);
            let wanted = wanted.copied().unwrap_or(target.len());
            all += loads.of_replica(placed) * wanted as u128;
        }
        loads.share = all / layout.takers().count().max(1) as u128;
        loads
    }

    pub(super) fn of_replica(&self, placed: &Placed) -> u128 {
        u128::from(placed.bytes) + self.average
    }

    pub(super) fn of(&self, broker: u32) -> u128 {
        self.weight.get(&broker).copied().unwrap_or_default()
    }

    /// What each open broker would have if all had the same in the end. The same
    /// at whichever point between the first move and the last.
    pub(super) fn share(&self) -> u128 {
        self.share
    }

    /// How many partitions prefer this broker as their leader.
    pub(super) fn preferred(&self, broker: u32) -> usize {
        self.preferred.get(&broker).copied().unwrap_or_default()
    }

    pub(super) fn add(&mut self, placed: &Placed, replicas: &[u32]) {
        let weight = self.of_replica(placed);
        for id in replicas {
            *self.weight.entry(*id).or_default() += weight;
        }
        if let Some(first) = replicas.first() {
            *self.preferred.entry(*first).or_default() += 1;
        }
    }

    pub(super) fn take(&mut self, placed: &Placed, replicas: &[u32]) {
        let weight = self.of_replica(placed);
        for id in replicas {
            *self.weight.entry(*id).or_default() -= weight;
        }
        if let Some(first) = replicas.first() {
            *self.preferred.entry(*first).or_default() -= 1;
        }
    }
}
