//! Reassignments carried out to the end, by a Kafka that takes its time.

mod dice;

use std::collections::{BTreeMap, BTreeSet};

use dice::Dice;
use proptest::prelude::*;
use tubeway_planner::PartitionId;
use tubeway_planner::reassign::{
    BrokerPlace, Change, Goal, Layout, MoveLimits, Placed, next_moves, reassign,
};

#[derive(Debug, Clone)]
struct Shape {
    brokers: u32,
    zones: u32,
    topics: u32,
    partitions: i32,
    replication: usize,
    draining: usize,
    new: u32,
    closed: usize,
    /// Topic to new replication factor.
    wanted: BTreeMap<u32, usize>,
    seed: u64,
}

/// A Kafka that moves what it is told, and what happened to it.
struct Kafka {
    layout: Layout,
    dice: Dice,
    /// Which brokers each partition was copied to.
    copied: BTreeMap<PartitionId, Vec<u32>>,
    bytes: u64,
}

/// How a controller goes about it.
#[derive(Debug, Clone, Copy)]
struct Manner {
    limits: MoveLimits,
    /// Of 100 plans, how many are lost before they are carried out.
    crashes: u64,
    seed: u64,
}

// === impl Kafka ===

impl Kafka {
    /// AlterPartitionReassignments, as the KRaft controller does it.
    fn alter(&mut self, change: &Change) {
        let placed = self.layout.partitions.iter_mut();
        let placed = placed.into_iter().find(|p| p.id == change.id).unwrap();
        // A reassignment under way is undone first.
        let old: Vec<u32> = placed
            .replicas
            .iter()
            .copied()
            .filter(|id| !placed.adding.contains(id))
            .collect();
        let target = &change.target;
        assert_eq!(
            target.iter().collect::<BTreeSet<_>>().len(),
            target.len(),
            "{change}"
        );
        placed.adding = target
            .iter()
            .copied()
            .filter(|id| !old.contains(id))
            .collect();
        placed.removing = old
            .iter()
            .copied()
            .filter(|id| !target.contains(id))
            .collect();
        assert_eq!(placed.adding, change.adding);
        placed.replicas = target.iter().chain(&placed.removing).copied().collect();
        placed.in_sync.retain(|id| old.contains(id));
        self.copied
            .entry(change.id.clone())
            .or_default()
            .extend(&placed.adding);
        self.bytes += change.bytes;
    }

    /// Some of the copies get in sync; what is complete is finished.
    fn tick(&mut self) {
        for placed in &mut self.layout.partitions {
            let target = placed.target();
            for id in &target {
                if self.dice.below(3) == 0 {
                    placed.in_sync.insert(*id);
                }
            }
            if placed.is_moving() && target.iter().all(|id| placed.in_sync.contains(id)) {
                placed.in_sync.retain(|id| target.contains(id));
                placed.replicas = target;
                placed.adding.clear();
                placed.removing.clear();
            }
        }
    }

    /// Plans and carries out until nothing is left.
    fn run(&mut self, goal: &Goal, manner: Manner) -> Result<(), String> {
        let mut dice = Dice(manner.seed);
        for _ in 0..20_000 {
            let moves = next_moves(&self.layout, goal, manner.limits);
            if moves.is_done() {
                return Ok(());
            }
            let busy = moves.start.len() + moves.in_flight.partitions;
            if busy > manner.limits.partitions && !moves.start.is_empty() {
                return Err(format!("{busy} partitions in flight"));
            }
            let bytes = moves.start.iter().map(|c| c.bytes).sum::<u64>() + moves.in_flight.bytes;
            if bytes > manner.limits.bytes && busy > 1 && !moves.start.is_empty() {
                return Err(format!("{bytes} bytes in flight"));
            }
            let before = self.layout.clone();
            if dice.below(100) >= manner.crashes {
                moves.start.iter().for_each(|change| self.alter(change));
            }
            keeps_what_was_in_sync(&before, &self.layout)?;
            self.tick();
        }
        Err("no end".to_owned())
    }
}

fn keeps_what_was_in_sync(before: &Layout, after: &Layout) -> Result<(), String> {
    for (old, new) in before.partitions.iter().zip(&after.partitions) {
        let mut held = old.in_sync.iter().filter(|id| !old.adding.contains(id));
        if !held.all(|id| new.in_sync.contains(id) && new.replicas.contains(id)) {
            return Err(format!(
                "{} lost a replica in sync: {old:?} {new:?}",
                old.id
            ));
        }
    }
    Ok(())
}

fn layout(shape: &Shape) -> (Layout, Goal) {
    let mut dice = Dice(shape.seed);
    let all: Vec<u32> = (0..shape.brokers).collect();
    let special = dice.some(&all, shape.draining + shape.closed);
    let (draining, closed) = special.split_at(shape.draining.min(special.len()));
    let place = |id: u32| BrokerPlace {
        zone: (shape.zones > 0).then(|| format!("z{}", id % shape.zones)),
        draining: draining.contains(&id),
        open: !closed.contains(&id),
    };
    let brokers = (0..shape.brokers + shape.new).map(|id| (id, place(id)));
    let mut partitions = Vec::new();
    for topic in 0..shape.topics {
        for index in 0..shape.partitions {
            let replicas = dice.some(&all, shape.replication);
            partitions.push(Placed {
                id: PartitionId::new(format!("t{topic}"), index),
                in_sync: replicas.iter().copied().collect(),
                replicas,
                // From nothing to half a million: sizes differ a lot in life.
                bytes: (1 << dice.below(20)) - 1,
                min_in_sync: 1,
                ..Placed::default()
            });
        }
    }
    let wanted = shape.wanted.iter();
    let goal = Goal {
        replication: wanted
            .map(|(topic, rf)| (format!("t{topic}"), *rf))
            .collect(),
        fill: (shape.brokers..shape.brokers + shape.new).collect(),
    };
    let layout = Layout {
        brokers: brokers.collect(),
        partitions,
    };
    (layout, goal)
}

fn shapes() -> impl Strategy<Value = Shape> {
    let size = (1u32..=14, 0u32..=4, 1u32..=4, 1i32..=12, 1usize..=4);
    let wants = (0usize..=2, 0u32..=3, 0usize..=2);
    let wanted = proptest::collection::btree_map(0u32..4, 1usize..=5, 0..=2);
    (size, wants, wanted, any::<u64>()).prop_map(|(size, wants, wanted, seed)| Shape {
        brokers: size.0,
        zones: size.1,
        topics: size.2,
        partitions: size.3,
        replication: size.4.min(size.0 as usize),
        draining: wants.0,
        new: wants.1,
        closed: wants.2,
        wanted,
        seed,
    })
}

fn manners() -> impl Strategy<Value = Manner> {
    (1usize..=30, 1u64..=2_000_000, 0u64..=70, any::<u64>()).prop_map(
        |(partitions, bytes, crashes, seed)| Manner {
            limits: MoveLimits { partitions, bytes },
            crashes,
            seed,
        },
    )
}

fn carried_out(layout: &Layout, goal: &Goal, manner: Manner) -> Result<Kafka, TestCaseError> {
    let mut kafka = Kafka {
        layout: layout.clone(),
        dice: Dice(manner.seed ^ 1),
        copied: BTreeMap::new(),
        bytes: 0,
    };
    kafka.run(goal, manner).map_err(TestCaseError::fail)?;
    Ok(kafka)
}

fn zone(layout: &Layout, id: u32) -> String {
    let zone = layout.brokers[&id].zone.clone();
    zone.unwrap_or_else(|| format!("of {id}"))
}

fn spread(layout: &Layout, ids: impl Iterator<Item = u32>) -> usize {
    ids.map(|id| zone(layout, id))
        .collect::<BTreeSet<_>>()
        .len()
}

proptest! {
    #![proptest_config(dice::cases(200))]

    #[test]
    fn every_reassignment_ends_as_wanted(shape in shapes(), manner in manners()) {
        let (layout, goal) = layout(&shape);
        let kafka = carried_out(&layout, &goal, manner)?;
        let impossible = reassign(&kafka.layout, &goal).impossible;
        let text = impossible.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        for (before, after) in layout.partitions.iter().zip(&kafka.layout.partitions) {
            let id = &before.id;
            let takes = |id: &u32| layout.brokers[id].takes();
            let stay = before.replicas.iter().filter(|id| !layout.brokers[id].draining);
            let reachable: BTreeSet<u32> =
                layout.brokers.keys().filter(|id| takes(id)).chain(stay).copied().collect();
            let wanted = goal.replication.get(&id.topic).copied().unwrap_or(before.replicas.len());
            if reachable.len() < wanted {
                prop_assert!(text.contains(&format!("partition {id} needs")), "{}", text);
                prop_assert_eq!(&before.replicas, &after.replicas);
                continue;
            }
            prop_assert_eq!(after.replicas.len(), wanted);
            for broker in &after.replicas {
                prop_assert!(!layout.brokers[broker].draining, "{} is still on {}", id, broker);
                prop_assert!(takes(broker) || before.replicas.contains(broker));
            }
            let zones = spread(&layout, before.replicas.iter().copied()).min(wanted);
            let reachable = spread(&layout, reachable.into_iter());
            prop_assert!(
                spread(&layout, after.replicas.iter().copied()) >= zones.min(reachable),
                "{} is in fewer zones: {:?}, was {:?}", id, after, before
            );
            let copied = kafka.copied.get(id).cloned().unwrap_or_default();
            let once: BTreeSet<u32> = copied.iter().copied().collect();
            prop_assert_eq!(once.len(), copied.len(), "{} was copied twice to one broker", id);
            prop_assert!(once.iter().all(|to| after.replicas.contains(to)), "a copy was thrown away");
        }
    }

    #[test]
    fn whoever_plans_and_however_often_it_crashes_the_end_is_the_same(
        shape in shapes(),
        one in manners(),
        other in manners(),
    ) {
        let (layout, goal) = layout(&shape);
        let one = carried_out(&layout, &goal, Manner { crashes: 0, ..one })?;
        let other = carried_out(&layout, &goal, other)?;
        prop_assert_eq!(one.bytes, other.bytes, "{:?} {:?}", shape, layout);
        for (one, other) in one.layout.partitions.iter().zip(&other.layout.partitions) {
            prop_assert_eq!(&one.replicas, &other.replicas);
        }
    }

    #[test]
    fn a_change_of_mind_in_the_middle_ends_as_wanted_too(
        shape in shapes(),
        manner in manners(),
        plans in 1usize..4,
    ) {
        let (layout, _) = layout(&shape);
        let mut kafka = Kafka {
            layout,
            dice: Dice(manner.seed),
            copied: BTreeMap::new(),
            bytes: 0,
        };
        let brokers: Vec<u32> = kafka.layout.brokers.keys().copied().collect();
        let mut dice = Dice(shape.seed);
        for _ in 0..plans {
            for change in next_moves(&kafka.layout, &Goal::default(), manner.limits).start {
                kafka.alter(&change);
            }
            kafka.tick();
            for id in dice.some(&brokers, 2) {
                let place = kafka.layout.brokers.get_mut(&id).unwrap();
                place.draining = !place.draining;
            }
        }
        kafka.run(&Goal::default(), manner).map_err(TestCaseError::fail)?;
        let left = reassign(&kafka.layout, &Goal::default());
        for placed in &kafka.layout.partitions {
            let drained = placed.replicas.iter().all(|id| !kafka.layout.brokers[id].draining);
            let excused = left.impossible.iter().any(|why| why.to_string().contains(&format!("{} ", placed.id)));
            prop_assert!(drained || excused);
        }
    }
}

/// Twelve brokers in three zones, 600 partitions of very different sizes.
fn twelve() -> (Layout, Dice) {
    let mut dice = Dice(11);
    let zone = |zone: u32| (0..12).filter(|id| id % 3 == zone).collect::<Vec<u32>>();
    let zones = [zone(0), zone(1), zone(2)];
    let partitions = (0..600).map(|index| {
        let order = dice.some(&[0, 1, 2], 3);
        let replicas: Vec<u32> = order.iter().map(|z| dice.some(&zones[*z], 1)[0]).collect();
        Placed {
            id: PartitionId::new(format!("t{}", index % 7), index / 7),
            in_sync: replicas.iter().copied().collect(),
            replicas,
            bytes: 1 << dice.below(20),
            min_in_sync: 2,
            ..Placed::default()
        }
    });
    let place = |id: u32| BrokerPlace {
        zone: Some(format!("z{}", id % 3)),
        draining: false,
        open: true,
    };
    let layout = Layout {
        partitions: partitions.collect(),
        brokers: (0..12).map(|id| (id, place(id))).collect(),
    };
    (layout, dice)
}

/// Bytes and led partitions of each broker that is not drained.
fn loads(layout: &Layout) -> BTreeMap<u32, (u64, usize)> {
    let open = layout.brokers.iter().filter(|(_, place)| place.takes());
    let load = open.map(|(id, _)| {
        let has = layout.partitions.iter().filter(|p| p.replicas.contains(id));
        let led = has
            .clone()
            .filter(|p| p.replicas.first() == Some(id))
            .count();
        (*id, (has.map(|p| p.bytes).sum(), led))
    });
    load.collect()
}

fn extremes<T: Ord + Copy>(values: impl Iterator<Item = T> + Clone) -> (T, T) {
    (values.clone().min().unwrap(), values.max().unwrap())
}

const STEADY: Manner = Manner {
    limits: MoveLimits {
        partitions: 20,
        bytes: 1 << 22,
    },
    crashes: 0,
    seed: 5,
};

#[test]
fn a_drained_broker_s_load_is_shared_out_and_no_byte_moves_beside() {
    let (mut layout, _) = twelve();
    let on_four = layout.partitions.iter().filter(|p| p.replicas.contains(&4));
    let bytes: u64 = on_four.map(|p| p.bytes).sum();
    layout.brokers.get_mut(&4).unwrap().draining = true;
    let before = loads(&layout);
    let kafka = carried_out(&layout, &Goal::default(), STEADY).unwrap();
    let after = loads(&kafka.layout);
    let (least, most) = extremes(after.values().map(|(bytes, _)| *bytes));
    let (fewest, lead) = extremes(after.values().map(|(_, led)| *led));
    println!(
        "before {before:?}\nafter {after:?}\n{bytes} bytes on it, {} moved",
        kafka.bytes
    );
    println!("bytes {least}..{most}, preferred leaders {fewest}..{lead}");
    assert_eq!(kafka.bytes, bytes);
    let (_, led_before) = extremes(before.values().map(|(_, led)| *led));
    assert!(lead <= led_before.max(600 / 11 + 2), "{lead} led by one");
}

#[test]
fn a_new_broker_gets_its_share_of_bytes_and_of_leaders() {
    let (mut layout, _) = twelve();
    let new = BrokerPlace {
        zone: Some("z1".into()),
        draining: false,
        open: true,
    };
    layout.brokers.insert(12, new);
    let goal = Goal {
        fill: [12].into(),
        ..Goal::default()
    };
    let kafka = carried_out(&layout, &goal, STEADY).unwrap();
    let after = loads(&kafka.layout);
    let share = after.values().map(|(bytes, _)| bytes).sum::<u64>() / 13;
    println!("share {share}, after {after:?}, moved {}", kafka.bytes);
    let (bytes, led) = after[&12];
    assert!(
        bytes * 10 >= share * 7 && bytes * 10 <= share * 12,
        "{bytes} of {share}"
    );
    assert!((600 / 13 - 8..=600 / 13 + 8).contains(&led), "leads {led}");
    assert_eq!(
        kafka.bytes, bytes,
        "nothing but what is on it now was moved"
    );
}
