//! A broker's disks: which replicas move to which log directory, so that one of
//! them can be taken away (KIP-113, `AlterReplicaLogDirs`).

use std::collections::{BTreeMap, BTreeSet};

use super::{InFlight, MoveLimits, spread_evenly};
use crate::health::PartitionId;

/// One of a broker's log directories, as it describes it (DescribeLogDirs).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogDir {
    /// Its path, as in `log.dirs`.
    pub path: String,
    /// Whether it is to be taken away.
    pub leaving: bool,
    /// Whether the broker can use it.
    pub online: bool,
    /// What is in it, with bytes.
    pub replicas: BTreeMap<PartitionId, u64>,
    /// What is being copied into it from another directory (`isFuture`), with
    /// the bytes that it will have.
    pub arriving: BTreeMap<PartitionId, u64>,
}

/// One replica's move to another directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskMove {
    /// The replica's partition.
    pub id: PartitionId,
    /// The path of the directory that it moves to.
    pub to: String,
    /// Its bytes.
    pub bytes: u64,
}

/// The next moves between a broker's disks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskPlan {
    /// To be asked for now.
    pub start: Vec<DiskMove>,
    /// What is under way without those.
    pub in_flight: InFlight,
    /// What is to be begun later.
    pub left: InFlight,
    /// Leaving directories that the broker can use and says are empty: these
    /// may be taken away.
    pub empty: BTreeSet<String>,
    /// Leaving directories that the broker cannot use: what is in them cannot
    /// be copied here, and must come from other brokers.
    pub offline: BTreeSet<String>,
    /// Whether there is no directory to move to.
    pub nowhere: bool,
}

/// Moves everything out of the leaving directories, into those that have least.
///
/// Directories are told apart by their whole paths. Like moves between brokers
/// they are begun in a fixed order, and one that is begun counts as done.
pub fn disk_moves(dirs: &[LogDir], limits: MoveLimits) -> DiskPlan {
    let mut plan = DiskPlan::default();
    let leaving = dirs.iter().filter(|dir| dir.leaving);
    for dir in leaving.clone() {
        if !dir.online {
            plan.offline.insert(dir.path.clone());
        } else if dir.replicas.is_empty() && dir.arriving.is_empty() {
            plan.empty.insert(dir.path.clone());
        }
    }
    let moving: BTreeSet<&PartitionId> = dirs
        .iter()
        .filter(|dir| !dir.leaving)
        .flat_map(|dir| dir.arriving.keys())
        .collect();
    let arriving = dirs.iter().flat_map(|dir| dir.arriving.values());
    arriving.for_each(|bytes| plan.in_flight.add(*bytes));
    let mut loads = loads(dirs);
    let leaving = leaving.filter(|dir| dir.online);
    let mut replicas: Vec<_> = leaving
        .flat_map(|dir| &dir.replicas)
        .filter(|(id, _)| !moving.contains(id))
        .collect();
    replicas.sort_by_cached_key(|(id, _)| (spread_evenly(id), (*id).clone()));
    plan.nowhere = loads.is_empty() && !replicas.is_empty();
    let mut busy = plan.in_flight;
    let mut full = false;
    for (id, bytes) in replicas {
        let least = loads.iter_mut().min_by_key(|(path, load)| (**load, **path));
        let Some((to, load)) = least else { break };
        load.0 += bytes;
        load.1 += 1;
        let many = busy.partitions >= limits.partitions.max(1);
        let large = busy.bytes.saturating_add(*bytes) > limits.bytes;
        full |= busy.partitions > 0 && (many || large);
        if full {
            plan.left.add(*bytes);
        } else {
            busy.add(*bytes);
            plan.start.push(DiskMove {
                id: id.clone(),
                to: (*to).to_owned(),
                bytes: *bytes,
            });
        }
    }
    plan
}

/// Bytes and replicas of each directory that stays and can be used.
fn loads(dirs: &[LogDir]) -> BTreeMap<&str, (u64, usize)> {
    let stay = dirs.iter().filter(|dir| dir.online && !dir.leaving);
    let load = stay.map(|dir| {
        let all = || dir.replicas.values().chain(dir.arriving.values());
        (dir.path.as_str(), (all().sum(), all().count()))
    });
    load.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(path: &str, leaving: bool, replicas: &[(i32, u64)]) -> LogDir {
        let replicas = replicas.iter();
        LogDir {
            path: path.to_owned(),
            leaving,
            online: true,
            replicas: replicas
                .map(|(i, bytes)| (PartitionId::new("t", *i), *bytes))
                .collect(),
            arriving: BTreeMap::new(),
        }
    }

    fn limits(partitions: usize, bytes: u64) -> MoveLimits {
        MoveLimits { partitions, bytes }
    }

    /// koperator compares the beginnings of paths, and so `/kafka-logs` with
    /// `/kafka-logs2`.
    #[test]
    fn a_disk_is_told_from_one_whose_path_begins_alike() {
        let dirs = [
            dir("/kafka-logs2", false, &[(1, 5)]),
            dir("/kafka-logs", true, &[(0, 7)]),
        ];
        let plan = disk_moves(&dirs, MoveLimits::default());
        assert_eq!(plan.start.len(), 1);
        assert_eq!(
            (plan.start[0].id.index, &*plan.start[0].to),
            (0, "/kafka-logs2")
        );
        assert!(plan.empty.is_empty());
    }

    #[test]
    fn a_disk_is_empty_by_the_broker_s_word_and_only_while_it_can_say_so() {
        let mut dirs = [dir("/a", true, &[]), dir("/b", false, &[(1, 5)])];
        assert_eq!(
            disk_moves(&dirs, MoveLimits::default()).empty,
            ["/a".to_owned()].into()
        );
        dirs[0].online = false;
        let plan = disk_moves(&dirs, MoveLimits::default());
        assert!(plan.empty.is_empty());
        assert_eq!(plan.offline, ["/a".to_owned()].into());
    }

    #[test]
    fn without_another_disk_nothing_moves() {
        let plan = disk_moves(&[dir("/a", true, &[(0, 1)])], MoveLimits::default());
        assert!(plan.nowhere && plan.start.is_empty() && plan.empty.is_empty());
    }

    /// Moves as many as may, finishes them in this order, and starts anew.
    fn emptied(mut dirs: Vec<LogDir>, limits: MoveLimits, last_first: bool) -> Vec<LogDir> {
        loop {
            let plan = disk_moves(&dirs, limits);
            assert!(plan.start.len() + plan.in_flight.partitions <= limits.partitions);
            if plan.start.is_empty() && plan.in_flight.partitions == 0 {
                return dirs;
            }
            for DiskMove { id, to, bytes } in plan.start {
                let to = dirs.iter_mut().find(|dir| dir.path == to).unwrap();
                assert!(!to.leaving);
                to.arriving.insert(id, bytes);
            }
            let arriving = dirs.iter().flat_map(|dir| dir.arriving.keys().cloned());
            let mut arriving: Vec<_> = arriving.collect();
            arriving.sort();
            let done = if last_first {
                arriving.pop()
            } else {
                arriving.first().cloned()
            };
            let done = done.unwrap();
            for dir in &mut dirs {
                if let Some(bytes) = dir.arriving.remove(&done) {
                    dir.replicas.insert(done.clone(), bytes);
                } else {
                    dir.replicas.remove(&done);
                }
            }
        }
    }

    #[test]
    fn whatever_is_finished_first_the_end_is_the_same() {
        let full: Vec<_> = (0..40).map(|i| (i, 10 + (i as u64 * 37) % 50)).collect();
        let dirs = vec![
            dir("/a", true, &full),
            dir("/b", false, &[(100, 400)]),
            dir("/c", false, &[]),
            dir("/d", false, &[]),
        ];
        let expected = emptied(dirs.clone(), limits(1, u64::MAX), false);
        assert!(expected[0].replicas.is_empty());
        let bytes = |dir: &LogDir| dir.replicas.values().sum::<u64>();
        let most = expected.iter().map(bytes).max().unwrap();
        let least = expected[1..].iter().map(bytes).min().unwrap();
        assert!(most - least <= 60, "{most} and {least}");
        for (partitions, bytes, last_first) in [(7, u64::MAX, true), (40, 90, false), (3, 1, true)]
        {
            assert_eq!(
                emptied(dirs.clone(), limits(partitions, bytes), last_first),
                expected
            );
        }
    }
}
