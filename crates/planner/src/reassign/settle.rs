//! Off the brokers that drain, and as many replicas as are wanted.

use std::cmp::Reverse;

use super::load::Loads;
use super::{Goal, Impossible, Layout, Placed, Zones};

/// One partition that is being decided on.
struct Case<'a> {
    layout: &'a Layout,
    zones: Zones<'a>,
    placed: &'a Placed,
    loads: &'a Loads,
    goal: &'a Goal,
    wanted: usize,
}

/// Where this partition is to be; `loads` goes along.
pub(super) fn settle(
    layout: &Layout,
    placed: &Placed,
    goal: &Goal,
    loads: &mut Loads,
) -> Result<Vec<u32>, Impossible> {
    let now = placed.target();
    let wanted = goal.replication.get(&placed.id.topic);
    let wanted = wanted.copied().unwrap_or(now.len());
    if wanted == now.len() && !now.iter().any(|id| layout.drains(*id)) {
        return Ok(now);
    }
    if wanted < placed.min_in_sync && wanted < now.len() {
        return Err(Impossible::BelowMinimum {
            id: placed.id.clone(),
            wanted,
            min_in_sync: placed.min_in_sync,
        });
    }
    loads.take(placed, &now);
    let case = Case {
        layout,
        zones: Zones::new(layout),
        placed,
        loads,
        goal,
        wanted,
    };
    let target = case.target(&now);
    loads.add(placed, target.as_ref().unwrap_or(&now));
    target
}

// === impl Case ===

impl Case<'_> {
    fn target(&self, now: &[u32]) -> Result<Vec<u32>, Impossible> {
        let stays = |id: &&u32| !self.layout.drains(**id);
        let stay: Vec<u32> = now.iter().filter(stays).copied().collect();
        let mut takers = self.layout.takers().collect::<Vec<_>>();
        takers.retain(|id| !stay.contains(id));
        let brokers = stay.len() + takers.len();
        if brokers < self.wanted {
            return Err(Impossible::TooFewBrokers {
                id: self.placed.id.clone(),
                wanted: self.wanted,
                brokers,
            });
        }
        let reachable = self.zones.count(stay.iter().chain(&takers).copied());
        let before = self.zones.count(now.iter().copied());
        let spread = before.min(self.wanted).min(reachable);
        let kept = self.keep(stay, spread);
        let mut target = self.in_their_places(now, &kept, &mut takers);
        self.prefer(now, &mut target);
        Ok(target)
    }

    /// Of those that could stay, as many as are wanted, and no more than leave
    /// room for as many zones as there were.
    fn keep(&self, mut stay: Vec<u32>, spread: usize) -> Vec<u32> {
        let crowded = |stay: &[u32]| {
            let zones = self.zones.count(stay.iter().copied());
            stay.len() > self.wanted || zones + (self.wanted - stay.len()) < spread
        };
        while crowded(&stay) {
            let first = stay.first().copied();
            let expendable = stay.iter().copied().max_by_key(|id| {
                let alone = self.zones.mates(*id, &stay) == 1;
                let behind = !self.placed.in_sync.contains(id);
                let heavy = self.loads.of(*id);
                (!alone, behind, Some(*id) != first, heavy, *id)
            });
            stay.retain(|id| Some(*id) != expendable);
        }
        stay
    }

    /// New replicas where the old ones were, and behind them.
    fn in_their_places(&self, now: &[u32], kept: &[u32], takers: &mut Vec<u32>) -> Vec<u32> {
        let mut chosen: Vec<u32> = kept.to_vec();
        let mut new = Vec::new();
        while chosen.len() < self.wanted {
            let best = takers.iter().copied().min_by_key(|id| {
                let mates = self.zones.mates(*id, &chosen);
                (mates, !self.is_to_fill(*id), self.loads.of(*id), *id)
            });
            let Some(best) = best else { break };
            takers.retain(|id| *id != best);
            chosen.push(best);
            new.push(best);
        }
        let mut new = new.into_iter();
        let mut target: Vec<u32> = now
            .iter()
            .filter_map(|id| {
                if kept.contains(id) {
                    Some(*id)
                } else {
                    new.next()
                }
            })
            .collect();
        target.extend(new);
        target
    }

    /// Whether the broker is new and has not got its share. Such a one comes
    /// first, or what goes elsewhere now would go to it later.
    fn is_to_fill(&self, broker: u32) -> bool {
        let with = self.loads.of(broker) + self.loads.of_replica(self.placed);
        self.goal.fill.contains(&broker) && with <= self.loads.share()
    }

    /// Another leads if the one that did is gone.
    fn prefer(&self, now: &[u32], target: &mut [u32]) {
        if now.first() == target.first() {
            return;
        }
        let least = |at: &usize| {
            let id = target[*at];
            (
                self.loads.preferred(id),
                Reverse(self.placed.in_sync.contains(&id)),
                *at,
            )
        };
        if let Some(at) = (0..target.len()).min_by_key(least) {
            target[..=at].rotate_right(1);
        }
    }
}
