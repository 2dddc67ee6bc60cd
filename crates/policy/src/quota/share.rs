//! One limit for a whole cluster, shared out over its sidecars.

use std::collections::BTreeMap;

/// A limit has so many parts.
pub const PARTS: u32 = 1_000_000_000;

/// How much more a sidecar is given than it used, so that it can use more.
const HEADROOM: f64 = 1.25;

/// What is known of a sidecar's use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Demand {
    /// What it used lately, in the limit's own unit. A sidecar that is new has
    /// used nothing.
    Recent(f64),
    /// It has not said anything for a while. It may still be letting clients
    /// use the parts it was given last, so they stay its own.
    Silent(u32),
}

/// Shares a limit of `total` out by use: the parts of [`PARTS`] for each sidecar.
///
/// - The parts come to [`PARTS`] exactly where one sidecar at least is not
///   silent, and never to more. Silent ones keep what they have; only if that
///   is more than everything do they all get less.
/// - Of what the silent ones leave, none of the others has less than an equal
///   part or, where that is less, `min_fraction` of the limit.
/// - Who used less than its part keeps what it used and a quarter more; what is
///   left over is spread evenly. Where there is too little, those that want
///   most get the same (max–min fairness).
/// - Called again and again, it settles within a few rounds of a change of use.
///
/// Tell those that get less first: until they have it, others must not have more.
pub fn share<Id: Ord + Clone>(
    total: f64,
    demands: &BTreeMap<Id, Demand>,
    min_fraction: f64,
) -> BTreeMap<Id, u32> {
    let all = u64::from(PARTS);
    let held: u64 = demands.values().map(|demand| demand.held()).sum();
    let kept = |demand: &Demand| demand.held() * all / held.max(all);
    let free = all - demands.values().map(kept).sum::<u64>();
    let live: Vec<f64> = demands.values().filter_map(|d| d.recent()).collect();
    let equal = free / live.len().max(1) as u64;
    // A cast from a float saturates, and makes NaN nothing.
    let floor = ((f64::from(PARTS) * min_fraction) as u64).min(equal);
    let wants: Vec<u64> = live
        .iter()
        .map(|used| want(*used, total).max(floor))
        .collect();
    let mut given = fill(&wants, free).into_iter();
    let parts = demands.iter().map(|(id, demand)| {
        let parts = match demand {
            Demand::Recent(_) => given.next().unwrap_or_default(),
            Demand::Silent(_) => kept(demand),
        };
        (id.clone(), u32::try_from(parts).unwrap_or(PARTS))
    });
    parts.collect()
}

/// What a sidecar is to have, in parts; it need not be possible.
fn want(used: f64, total: f64) -> u64 {
    let fraction = (used / total * HEADROOM).clamp(0.0, HEADROOM);
    (fraction * f64::from(PARTS)) as u64
}

/// Gives everybody what it wants and an even part of what is left over, or, if
/// that is too much, nobody more than one level, so that `free` is used up.
fn fill(wants: &[u64], free: u64) -> Vec<u64> {
    let sum: u64 = wants.iter().sum();
    let mut given = if sum <= free {
        let more = (free - sum) / wants.len().max(1) as u64;
        wants.iter().map(|want| want + more).collect()
    } else {
        let level = level(wants, free);
        wants
            .iter()
            .map(|want| *want.min(&level))
            .collect::<Vec<_>>()
    };
    // What the divisions leave goes to the first: to whom makes no difference.
    let left = free - given.iter().sum::<u64>();
    if let Some(first) = given.first_mut() {
        *first += left;
    }
    given
}

/// The highest level at which everybody can have what it wants up to there.
fn level(wants: &[u64], free: u64) -> u64 {
    let mut sorted = wants.to_vec();
    sorted.sort_unstable();
    let mut left = free;
    for (i, want) in sorted.iter().enumerate() {
        let level = left / (sorted.len() - i) as u64;
        if *want > level {
            return level;
        }
        left -= want;
    }
    free
}

// === impl Demand ===

impl Demand {
    fn held(self) -> u64 {
        match self {
            Self::Recent(_) => 0,
            Self::Silent(parts) => u64::from(parts),
        }
    }

    fn recent(self) -> Option<f64> {
        match self {
            Self::Recent(used) => Some(used),
            Self::Silent(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
