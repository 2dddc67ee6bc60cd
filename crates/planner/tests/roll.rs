//! Rolls of whole clusters, from the first plan to the last.

mod dice;
mod world;

use std::collections::BTreeSet;

use dice::Dice;
use proptest::prelude::*;
use tubeway_api::NodeRole;
use tubeway_planner::{Health, Node, NodeState, Partition, PartitionId, Plan, Quorum};
use world::{Shape, World};

/// More than any of these clusters takes when the world heals.
const TICKS: u32 = 20_000;

fn shapes() -> impl Strategy<Value = Shape> {
    let size = (1u32..=60, 1u32..=7, any::<bool>(), 1u32..=3);
    let data = (0u32..=4, 0u32..=80, 1usize..=5, 1usize..=3);
    let luck = (prop_oneof![Just(0u64), 1u64..60], 1usize..=12, any::<u64>());
    (size, data, luck).prop_map(|(size, data, luck)| {
        let (brokers, controllers, combined, pools) = size;
        let (zones, partitions, replication, min_in_sync) = data;
        let (holes, max_unavailable, seed) = luck;
        Shape {
            brokers,
            controllers: if combined {
                controllers.min(brokers)
            } else {
                controllers
            },
            combined,
            pools,
            zones,
            partitions,
            replication: replication.min(brokers as usize),
            min_in_sync,
            holes,
            max_unavailable,
            seed,
        }
    })
}

/// What a batch may be, whatever the cluster.
fn allowed(world: &World, plan: &Plan) -> Result<(), String> {
    let chosen: Vec<&Node> = world
        .nodes
        .iter()
        .filter(|n| plan.replace.contains(&n.id))
        .collect();
    let quorum = &world.health.quorum;
    let voters = chosen
        .iter()
        .filter(|n| quorum.voters.contains(&n.id))
        .count();
    let zones: BTreeSet<_> = chosen.iter().map(|n| &n.zone).collect();
    let serves = |node: &&&Node| node.state == NodeState::Ready;
    let mut serving = chosen.iter().filter(serves);
    let active = serving.any(|n| Some(n.id) == quorum.leader);
    let checks = [
        (
            chosen.len() <= world.limits.max_unavailable,
            "more than the limit",
        ),
        (
            chosen.iter().all(|n| !n.current),
            "one that is as it should be",
        ),
        (voters == 0 || chosen.len() == 1, "a voter is not alone"),
        (zones.len() <= 1, "two zones"),
        (
            !active || plan.outdated.len() == 1,
            "the active controller is not last",
        ),
    ];
    let broken = checks.iter().find(|(holds, _)| !holds);
    if let Some((_, why)) = broken {
        return Err(format!("{why}: {:?}", plan.replace));
    }
    let shares = |p: &&Partition| {
        p.replicas
            .iter()
            .filter(|id| plan.replace.contains(id))
            .count()
            > 1
    };
    match world.health.partitions.iter().find(shares) {
        Some(partition) => Err(format!("{} is shared by {:?}", partition.id, plan.replace)),
        None => Ok(()),
    }
}

/// Rolls to the end; says what went wrong on the way.
fn roll(world: &mut World) -> Result<(), String> {
    for _ in 0..TICKS {
        let plan = world.plan();
        if !plan.replace.is_empty() && plan != world.plan() {
            return Err("the same input gave another plan".to_owned());
        }
        allowed(world, &plan)?;
        let idle = plan.create.is_empty() && plan.replace.is_empty();
        if idle && plan.waits.is_empty() {
            let led = |p: &Partition| p.leader == p.preferred();
            if world.is_done() && world.health.partitions.iter().all(led) {
                return match world.replaced.iter().find(|(_, times)| **times > 1) {
                    Some((id, times)) => Err(format!("node {id} was replaced {times} times")),
                    None => Ok(()),
                };
            }
            if !world.is_done() {
                return Err(format!(
                    "nothing is done, and nothing waited for: {:?}",
                    world.nodes
                ));
            }
        }
        world.harm(&plan)?;
        world.take(&plan);
        world.check()?;
    }
    Err(format!("no end: {:?}", world.plan()))
}

proptest! {
    #![proptest_config(dice::cases(80))]

    #[test]
    fn every_roll_ends_and_takes_nothing_below_its_minimum(shape in shapes()) {
        let mut world = World::new(&shape);
        let brokers = world.nodes.len();
        if let Err(problem) = roll(&mut world) {
            return Err(TestCaseError::fail(problem));
        }
        prop_assert_eq!(world.replaced.len(), brokers);
    }

    #[test]
    fn no_step_does_harm_whatever_else_goes_wrong(shape in shapes(), blind in 0u64..50) {
        let mut world = World::new(&shape);
        let mut dice = Dice(shape.seed);
        for _ in 0..300 {
            let health = (dice.below(100) >= blind).then_some(&world.health);
            let plan = tubeway_planner::plan(&world.nodes, health, world.limits);
            let harm = allowed(&world, &plan).and_then(|()| world.harm(&plan));
            if let Err(harm) = harm {
                return Err(TestCaseError::fail(harm));
            }
            world.take(&plan);
            world.disturb();
            let twice = world.replaced.iter().find(|(_, times)| **times > 1);
            prop_assert_eq!(twice, None, "replaced twice for one change");
        }
        world.calm();
        if let Err(problem) = roll(&mut world) {
            return Err(TestCaseError::fail(problem));
        }
    }
}

/// Fifty brokers and three controllers, of which a third may be out.
fn fifty(zone: impl Fn(u32) -> Option<String>, partitions: Vec<Vec<u32>>) -> World {
    let nodes = (0..53).map(|id| Node {
        id,
        pool: if id < 50 { "brokers" } else { "controllers" }.to_owned(),
        roles: [if id < 50 {
            NodeRole::Broker
        } else {
            NodeRole::Controller
        }]
        .into(),
        zone: zone(id),
        state: NodeState::Ready,
        current: false,
        fresh: false,
    });
    let partitions = partitions
        .into_iter()
        .enumerate()
        .map(|(index, replicas)| Partition {
            id: PartitionId::new("t", index as i32),
            leader: replicas.first().copied(),
            in_sync: replicas.iter().copied().collect(),
            replicas,
            min_in_sync: 2,
        });
    let quorum = Quorum {
        leader: Some(51),
        voters: (50..53).collect(),
        caught_up: (50..53).collect(),
    };
    let health = Health {
        partitions: partitions.collect(),
        quorum,
    };
    let mut world = World::with(nodes.collect(), health, 17, Dice(1));
    world.steady = true;
    world
}

/// One replica in each of three zones, as Kafka places them where it knows the
/// racks.
fn rack_aware(partitions: u32, dice: &mut Dice) -> Vec<Vec<u32>> {
    let zone = |zone: u32| (0..50).filter(|id| id % 3 == zone).collect::<Vec<u32>>();
    let zones = [zone(0), zone(1), zone(2)];
    let placed = (0..partitions).map(|_| {
        let order = dice.some(&[0, 1, 2], 3);
        order.iter().map(|z| dice.some(&zones[*z], 1)[0]).collect()
    });
    placed.collect()
}

#[test]
fn fifty_brokers_roll_in_a_fifth_of_the_steps_where_the_layout_permits() {
    let mut dice = Dice(7);
    let all: Vec<u32> = (0..50).collect();
    let random = |dice: &mut Dice, count| (0..count).map(|_| dice.some(&all, 3)).collect();
    // Each partition within five brokers that follow each other, as when topics
    // are placed on their own share of the cluster.
    let group = |group: u32| (group * 5..group * 5 + 5).collect::<Vec<u32>>();
    let grouped = (0..1000).map(|i| dice.some(&group(i % 10), 3)).collect();
    let zoned = |id: u32| Some(format!("z{}", id % 3));
    let none = |_| None;
    let cases = [
        (
            "3 zones, 1,500 partitions placed rack-aware",
            fifty(zoned, rack_aware(1500, &mut dice)),
            true,
        ),
        (
            "no zones, 1,000 partitions in groups of 5 brokers",
            fifty(none, grouped),
            true,
        ),
        (
            "no zones, 1,500 partitions at random",
            fifty(none, random(&mut dice, 1500)),
            false,
        ),
        (
            "no zones, 100 partitions at random",
            fifty(none, random(&mut dice, 100)),
            false,
        ),
    ];
    for (name, mut world, permits) in cases {
        let mut serial = world.clone();
        serial.limits.max_unavailable = 1;
        roll(&mut serial).unwrap();
        roll(&mut world).unwrap();
        println!(
            "{name}: {} steps instead of {}, {} ticks instead of {}",
            world.steps, serial.steps, world.ticks, serial.ticks
        );
        let fifth = |batches, serial| batches * 5 <= serial;
        assert!(world.steps <= serial.steps);
        if permits {
            assert!(fifth(world.steps, serial.steps), "{name}: steps");
            assert!(fifth(world.ticks, serial.ticks), "{name}: ticks");
        }
    }
}
