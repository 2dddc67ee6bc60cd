//! New brokers get their share.
//!
//! They get it from those that have more than theirs, and when that is done, as
//! zones may be in the way of it, from all that still have more than they.
//!
//! A move is good if it leaves the new broker with no more than its share, and
//! the other with no less than that: than its share at first, than the new one
//! then. Every move makes it harder for all that follow: what was refused once
//! is refused ever after, whoever asks.

use std::cmp::Reverse;

use super::load::Loads;
use super::{Goal, Layout, Placed, Zones};

pub(super) struct Fill<'a> {
    layout: &'a Layout,
    zones: Zones<'a>,
    goal: &'a Goal,
    loads: &'a mut Loads,
    /// What each of them would have if all had the same.
    share: u128,
    from: From,
}

/// Who gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Who has more than its share.
    TheRich,
    /// Who has more than the one that gets it. The rich are among them.
    TheRicher,
}

// === impl Fill ===

impl<'a> Fill<'a> {
    pub(super) fn new(
        layout: &'a Layout,
        goal: &'a Goal,
        loads: &'a mut Loads,
        from: From,
    ) -> Self {
        let takers: Vec<u32> = layout.takers().collect();
        let all: u128 = takers.iter().map(|id| loads.of(*id)).sum();
        let count = takers.len().max(1);
        Self {
            zones: Zones::new(layout),
            share: all / count as u128,
            layout,
            goal,
            loads,
            from,
        }
    }

    /// Where this partition is to be; loads go along.
    pub(super) fn target(&mut self, placed: &Placed) -> Vec<u32> {
        let mut target = placed.target();
        while let Some((at, new)) = self.best(placed, &target) {
            self.loads.take(placed, &target);
            target[at] = new;
            self.loads.add(placed, &target);
        }
        target
    }

    /// The best of the good moves: the position, and the broker that gets it.
    fn best(&self, placed: &Placed, target: &[u32]) -> Option<(usize, u32)> {
        let weight = self.loads.of_replica(placed);
        let gets = |id: &u32| {
            self.layout.takes(*id)
                && !target.contains(id)
                && self.loads.of(*id) + weight <= self.share
        };
        let getting = self.goal.fill.iter().copied().filter(gets);
        let moves = getting.flat_map(|new| (0..target.len()).map(move |at| (at, new)));
        let good = moves.filter(|(at, new)| {
            self.gives(target[*at], *new, weight) && self.keeps_zones(target, *at, *new)
        });
        good.min_by_key(|(at, new)| {
            let leads = |id: u32| self.loads.preferred(id);
            let lacks = leads(target[0]) >= leads(*new) + 2;
            let suits = (*at == 0) == lacks;
            (
                !suits,
                self.loads.of(*new),
                Reverse(self.loads.of(target[*at])),
                *new,
                *at,
            )
        })
    }

    fn gives(&self, broker: u32, new: u32, weight: u128) -> bool {
        let least = match self.from {
            From::TheRich => self.share,
            From::TheRicher => self.loads.of(new) + weight,
        };
        self.layout.takes(broker)
            && !self.goal.fill.contains(&broker)
            && self.loads.of(broker) >= weight + least
    }

    /// Whether the new one's zone has no more of the others than the old one's.
    fn keeps_zones(&self, target: &[u32], at: usize, new: u32) -> bool {
        let old = target[at];
        let others: Vec<u32> = target.iter().copied().filter(|id| *id != old).collect();
        self.zones.mates(new, &others) <= self.zones.mates(old, &others)
    }
}
