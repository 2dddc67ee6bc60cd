//! Which nodes that can be spared go together.
//!
//! Brokers that share no partition can. To roll a cluster in few batches is to
//! colour the graph of brokers that share one; each step takes one colour by the
//! rule "recursive largest first": begin with the broker that shares with most,
//! and go on with the one that leaves least to do later.

use std::collections::{BTreeMap, BTreeSet};

use super::{Limits, Node, NodeState};
use crate::health::Health;

/// Which brokers share a partition with which.
struct Sharing(BTreeMap<u32, BTreeSet<u32>>);

/// The next batch of these candidates, of which Kafka can spare each by itself.
///
/// In this order: a voter, alone; the first of a pool, alone; the largest batch
/// of brokers; the active controller, which is a candidate only as the last.
///
/// `soon` are brokers that cannot be spared until one that was replaced has
/// caught up. Where a larger batch is to be had with them there is none yet: a
/// batch takes as long as a restart however small it is.
pub(super) fn choose(
    nodes: &[Node],
    candidates: &[&Node],
    soon: &[&Node],
    health: &Health,
    limits: Limits,
) -> BTreeSet<u32> {
    let quorum = &health.quorum;
    let voter = candidates.iter().find(|n| quorum.voters.contains(&n.id));
    if let Some(voter) = voter {
        return [voter.id].into();
    }
    let proven: BTreeSet<&str> = nodes
        .iter()
        .filter(|node| node.current && node.state == NodeState::Ready)
        .map(|node| node.pool.as_str())
        .collect();
    let is_proven = |node: &&&Node| proven.contains(&*node.pool);
    let first = candidates.iter().find(|node| !is_proven(node));
    if let Some(first) = first {
        return [first.id].into();
    }
    let soon = soon.iter().filter(is_proven);
    let soon = soon.filter(|node| !quorum.voters.contains(&node.id));
    let with_soon: Vec<&Node> = candidates.iter().chain(soon).copied().collect();
    let limit = limits.max_unavailable.max(1);
    let sharing = Sharing::new(health, &with_soon);
    let now = largest(candidates, &sharing, limit);
    if largest(&with_soon, &sharing, limit).len() > now.len() {
        return BTreeSet::new();
    }
    now
}

/// The largest batch that one zone gives, the first zone's among equals.
fn largest(candidates: &[&Node], sharing: &Sharing, limit: usize) -> BTreeSet<u32> {
    let mut zones: BTreeMap<Option<&str>, BTreeSet<u32>> = BTreeMap::new();
    for node in candidates {
        let zone = zones.entry(node.zone.as_deref()).or_default();
        zone.insert(node.id);
    }
    let batches = zones.into_values().map(|zone| sharing.apart(zone, limit));
    // `max_by_key` takes the last of equals.
    let batches: Vec<_> = batches.collect();
    let largest = batches.into_iter().rev().max_by_key(BTreeSet::len);
    largest.unwrap_or_default()
}

// === impl Sharing ===

impl Sharing {
    fn new(health: &Health, candidates: &[&Node]) -> Self {
        let mut sharing: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let candidates: BTreeSet<u32> = candidates.iter().map(|node| node.id).collect();
        for partition in &health.partitions {
            let held = partition.replicas.iter();
            let held: BTreeSet<u32> = held.copied().filter(|id| candidates.contains(id)).collect();
            for id in &held {
                let others = held.iter().copied().filter(|other| other != id);
                sharing.entry(*id).or_default().extend(others);
            }
        }
        Self(sharing)
    }

    fn shared(&self, id: u32, among: &BTreeSet<u32>) -> usize {
        let shared = self.0.get(&id);
        shared.map_or(0, |others| others.intersection(among).count())
    }

    /// As many of these as can go together, up to a limit.
    fn apart(&self, mut open: BTreeSet<u32>, limit: usize) -> BTreeSet<u32> {
        let mut batch = BTreeSet::new();
        let mut closed = BTreeSet::new();
        while batch.len() < limit {
            let next = if batch.is_empty() {
                open.iter().rev().max_by_key(|id| self.shared(**id, &open))
            } else {
                open.iter().rev().max_by_key(|id| {
                    let left = self.shared(**id, &open);
                    (self.shared(**id, &closed), std::cmp::Reverse(left))
                })
            };
            let Some(next) = next.copied() else { break };
            open.remove(&next);
            if let Some(others) = self.0.get(&next) {
                let now: Vec<u32> = open.intersection(others).copied().collect();
                open.retain(|id| !others.contains(id));
                closed.extend(now);
            }
            batch.insert(next);
        }
        batch
    }
}
