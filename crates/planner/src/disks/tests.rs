use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::health::PartitionId;

const LIMITS: MoveLimits = MoveLimits {
    partitions: 3,
    bytes: 1 << 40,
};

fn path(number: u32) -> String {
    format!("/disk-{number}")
}

/// A broker with some of the disks 0, 1 and 2, as it is and as it becomes.
#[derive(Debug, Clone)]
struct World {
    /// By the pod's disks, what is there and what is arriving.
    dirs: Option<BTreeMap<u32, LogDir>>,
    claims: BTreeMap<u32, DiskStanding>,
    wanted: BTreeSet<u32>,
    knows_cordons: bool,
    /// The option as it is set.
    option: BTreeSet<String>,
    answers: bool,
    /// Claims that were let go, with whether something was on the disk.
    released: Vec<(u32, bool)>,
    /// What is on the disks that no pod has.
    shelved: BTreeMap<u32, LogDir>,
    told: usize,
}

impl World {
    fn new(disks: &[u32], knows_cordons: bool) -> Self {
        let dir = |number: u32| LogDir {
            path: path(number),
            online: true,
            replicas: (0..4)
                .map(|i| (PartitionId::new(format!("t{number}"), i), 10))
                .collect(),
            ..LogDir::default()
        };
        let all = [0].iter().chain(disks).map(|n| (*n, dir(*n)));
        Self {
            dirs: Some(all.collect()),
            claims: disks.iter().map(|n| (*n, DiskStanding::Member)).collect(),
            wanted: disks.iter().copied().collect(),
            knows_cordons,
            option: BTreeSet::new(),
            answers: true,
            released: Vec::new(),
            shelved: BTreeMap::new(),
            told: 0,
        }
    }

    fn seen(&self) -> BrokerDisks {
        let numbers = self.wanted.iter().chain(self.claims.keys());
        let mounted = |n: &u32| self.dirs.as_ref().is_some_and(|dirs| dirs.contains_key(n));
        let disk = |n: &u32| Disk {
            wanted: self.wanted.contains(n),
            standing: self.claims.get(n).copied().unwrap_or_default(),
            mounted: mounted(n),
        };
        let says = self.dirs.as_ref().filter(|_| self.answers).map(|dirs| {
            let valid = self
                .option
                .iter()
                .all(|p| dirs.values().any(|d| d.path == *p));
            DiskReport {
                dirs: dirs.values().cloned().collect(),
                paths: dirs.iter().map(|(n, dir)| (*n, dir.path.clone())).collect(),
                cordon: if self.knows_cordons {
                    Cordon::Open
                } else {
                    Cordon::Unsupported
                },
                cordoned: if valid {
                    self.option.clone()
                } else {
                    [].into()
                },
                stale: !valid,
            }
        });
        BrokerDisks {
            id: 0,
            has_pod: self.dirs.is_some(),
            disks: numbers.map(|n| (*n, disk(n))).collect(),
            says,
        }
    }

    /// One look; whether anything was done.
    fn look(&mut self) -> bool {
        let change = self.seen().change(LIMITS);
        let done = change
            != DiskChange {
                waits: change.waits.clone(),
                ..DiskChange::default()
            };
        self.claims.extend(change.standings);
        if let Some(cordon) = change.cordon {
            assert!(self.knows_cordons);
            self.option = cordon;
        }
        for DiskMove { id, to, bytes } in change.moves {
            self.told += 1;
            let dirs = self.dirs.as_mut().unwrap();
            for dir in dirs.values_mut() {
                // There is one copy at a time, the one that was asked for last.
                dir.arriving.remove(&id);
            }
            let to = dirs.values_mut().find(|dir| dir.path == to).unwrap();
            assert!(!self.option.contains(&to.path), "Kafka refuses it");
            to.arriving.insert(id, bytes);
        }
        for number in change.release {
            let full = self
                .shelved
                .get(&number)
                .is_some_and(|d| !d.replicas.is_empty());
            assert!(!self.dirs.as_ref().unwrap().contains_key(&number));
            self.released.push((number, full));
            self.claims.remove(&number);
        }
        done
    }

    /// One replica that is arriving has arrived.
    fn arrive(&mut self) -> bool {
        let Some(dirs) = &mut self.dirs else {
            return false;
        };
        let next = dirs.values().flat_map(|dir| dir.arriving.keys()).next();
        let Some(id) = next.cloned() else {
            return false;
        };
        for dir in dirs.values_mut() {
            dir.replicas.remove(&id);
            if let Some(bytes) = dir.arriving.remove(&id) {
                dir.replicas.insert(id.clone(), bytes);
            }
        }
        true
    }

    /// A replica is placed on the broker, where it has least.
    fn place(&mut self, index: i32) {
        let Some(dirs) = &mut self.dirs else { return };
        let open = dirs
            .values_mut()
            .filter(|dir| !self.option.contains(&dir.path));
        let least = open.min_by_key(|dir| dir.replicas.len());
        least
            .unwrap()
            .replicas
            .insert(PartitionId::new("new", index), 1);
    }

    /// The pod goes, if it is not built as it would be now.
    fn stop(&mut self) -> bool {
        let built = self.built();
        let Some(dirs) = &self.dirs else { return false };
        if dirs.keys().copied().collect::<BTreeSet<_>>() == built {
            return false;
        }
        self.shelved.extend(self.dirs.take().unwrap());
        true
    }

    fn start(&mut self) -> bool {
        if self.dirs.is_some() {
            return false;
        }
        let built = self.built();
        let dirs = built.into_iter().map(|n| {
            let empty = LogDir {
                path: path(n),
                online: true,
                ..LogDir::default()
            };
            (n, self.shelved.remove(&n).unwrap_or(empty))
        });
        self.dirs = Some(dirs.collect());
        true
    }

    fn built(&self) -> BTreeSet<u32> {
        let disks = self.seen().disks.into_iter();
        let stay = disks.filter(|(_, disk)| disk.stays());
        [0].into_iter().chain(stay.map(|(n, _)| n)).collect()
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            let moved = [self.look(), self.arrive(), self.stop(), self.start()];
            if !moved.contains(&true) {
                return;
            }
        }
        panic!("never quiet: {self:?}");
    }

    fn replicas(&self) -> usize {
        self.dirs
            .iter()
            .flat_map(|d| d.values())
            .map(|d| d.replicas.len())
            .sum()
    }
}

#[test]
fn a_disk_is_emptied_before_the_pod_is_made_without_it() {
    for knows_cordons in [true, false] {
        let mut world = World::new(&[1, 2], knows_cordons);
        world.wanted.remove(&1);
        world.look();
        assert_eq!(world.claims[&1], DiskStanding::Leaving);
        assert_eq!(world.option.contains("/disk-1"), knows_cordons);
        assert!(!world.stop(), "it has replicas");
        world.settle();
        assert_eq!(world.replicas(), 12, "nothing is lost");
        assert!(!world.dirs.as_ref().unwrap().contains_key(&1));
        assert!(world.option.is_empty(), "the cordon goes with the disk");
        if knows_cordons {
            assert_eq!(world.released, [(1, false)]);
        } else {
            assert_eq!(world.released, [], "something may have come after the word");
            assert_eq!(world.claims[&1], DiskStanding::Left);
        }
        assert!(world.seen().is_settled());
    }
}

#[test]
fn a_disk_that_is_wanted_again_takes_replicas_again() {
    for looks in 0..12 {
        let mut world = World::new(&[1, 2], true);
        world.wanted.remove(&1);
        for _ in 0..looks {
            world.look();
            world.arrive();
            world.stop();
            world.start();
        }
        world.wanted.insert(1);
        world.settle();
        assert_eq!(world.built(), [0, 1, 2].into(), "after {looks}");
        assert!(world.option.is_empty() && world.seen().is_settled());
        assert_eq!(world.replicas(), 12);
    }
}

#[test]
fn what_is_placed_on_an_emptied_disk_holds_it_back() {
    let mut world = World::new(&[1], false);
    world.wanted.remove(&1);
    for _ in 0..20 {
        world.look();
        world.arrive();
    }
    assert_eq!(world.claims[&1], DiskStanding::Emptied);
    world.place(0);
    world.look();
    assert_eq!(world.claims[&1], DiskStanding::Leaving);
    world.settle();
    assert_eq!(world.replicas(), 9);
}

#[test]
fn a_disk_is_not_empty_because_nobody_says_what_is_on_it() {
    let mut world = World::new(&[1], true);
    world.wanted.remove(&1);
    world.answers = false;
    for _ in 0..3 {
        world.look();
        assert!(!world.stop());
    }
    assert_eq!(world.claims[&1], DiskStanding::Leaving);
    let waits = world.seen().change(LIMITS).waits;
    assert_eq!(waits, [DiskWait::Unknown { node: 0 }]);
    // Nor when it was empty a moment ago.
    world.claims.insert(1, DiskStanding::Emptied);
    world.look();
    assert_eq!(world.claims[&1], DiskStanding::Leaving);
}

#[test]
fn a_disk_that_cannot_be_read_stays_and_says_so() {
    let mut world = World::new(&[1], true);
    world.wanted.remove(&1);
    let dirs = world.dirs.as_mut().unwrap();
    *dirs.get_mut(&1).unwrap() = LogDir {
        path: path(1),
        ..LogDir::default()
    };
    world.settle();
    assert!(world.dirs.as_ref().unwrap().contains_key(&1));
    let waits = world.seen().change(LIMITS).waits;
    assert_eq!(waits, [DiskWait::Offline { node: 0, disk: 1 }]);
    assert!(
        waits[0]
            .to_string()
            .contains("delete its claim and the pod")
    );
}

#[test]
fn a_disk_that_no_pod_ever_had_just_goes() {
    let mut world = World::new(&[], true);
    world.claims.insert(1, DiskStanding::Member);
    world.look();
    assert_eq!(world.claims[&1], DiskStanding::Left);
    assert_eq!(world.released, [], "it may have been another node's once");
}

#[test]
fn the_last_other_disk_that_works_is_waited_for() {
    let mut world = World::new(&[1], true);
    world.wanted.remove(&1);
    world.dirs.as_mut().unwrap().get_mut(&0).unwrap().online = false;
    world.look();
    let waits = world.seen().change(LIMITS).waits;
    assert!(waits.contains(&DiskWait::Nowhere { node: 0 }), "{waits:?}");
}

/// Found by the fault campaign: by a view of the past the pod had the disk still.
#[test]
fn a_broker_without_the_disk_says_nothing_against_it() {
    let disk = Disk {
        wanted: false,
        standing: DiskStanding::Emptied,
        mounted: true,
    };
    let mut broker = BrokerDisks {
        id: 2,
        has_pod: true,
        disks: [(1, disk)].into(),
        says: Some(DiskReport {
            cordon: Cordon::Open,
            ..DiskReport::default()
        }),
    };
    assert!(broker.change(LIMITS).standings.is_empty());
    broker.says = None;
    let leaving = [(1, DiskStanding::Leaving)].into();
    assert_eq!(broker.change(LIMITS).standings, leaving);
}

/// Whatever happens in between and in whatever order: no pod is made without a
/// disk that has something on it, no claim goes with something on it where
/// Kafka knows cordons, and in the end the disks are those that are wanted.
#[test]
fn no_order_of_events_loses_a_replica() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for case in 0..400 {
        let mut world = World::new(&[1, 2], true);
        let mut placed = 0;
        for step in 0..60 {
            match next(8) {
                0 => {
                    let disk = 1 + next(2) as u32;
                    if !world.wanted.remove(&disk) {
                        world.wanted.insert(disk);
                        world.claims.entry(disk).or_default();
                    }
                }
                1 => world.answers = next(3) > 0,
                2 => {
                    world.place(placed);
                    placed += i32::from(world.dirs.is_some());
                }
                3 => drop(world.arrive()),
                4 => drop(world.stop()),
                5 => drop(world.start()),
                _ => drop(world.look()),
            }
            let full = world
                .shelved
                .iter()
                .filter(|(n, _)| !world.built().contains(n));
            let full: Vec<_> = full.filter(|(_, d)| !d.replicas.is_empty()).collect();
            assert!(full.is_empty(), "case {case}, step {step}: {full:?}");
        }
        world.answers = true;
        world.settle();
        let expected: BTreeSet<u32> = [0].into_iter().chain(world.wanted.clone()).collect();
        assert_eq!(world.built(), expected, "case {case}");
        assert_eq!(world.replicas(), 12 + usize::try_from(placed).unwrap());
        assert!(world.released.iter().all(|(_, full)| !full));
        assert!(world.option.is_empty());
    }
}
