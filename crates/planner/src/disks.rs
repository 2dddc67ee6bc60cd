//! A broker's disks come and go.
//!
//! A disk leaves in this order: it is cordoned where Kafka can (KIP-1066), so
//! that nothing new is placed on it; its replicas are moved to the broker's other
//! disks (`reassign::disks`); the broker says that it is empty; the pod is made
//! anew without it; the cordon goes, which Kafka would take for a mistake from
//! then on. What a pod has it keeps until then, whatever the spec says.

mod wait;

use std::collections::{BTreeMap, BTreeSet};

use crate::membership::Cordon;
use crate::reassign::{DiskMove, LogDir, MoveLimits, disk_moves};

pub use wait::DiskWait;

/// A broker, and its disks beside the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerDisks {
    /// Its id.
    pub id: u32,
    /// Whether it has a pod that is not on its way out.
    pub has_pod: bool,
    /// The disks that are wanted or have a claim, by number.
    pub disks: BTreeMap<u32, Disk>,
    /// What the broker says; `None` while it cannot be asked.
    pub says: Option<DiskReport>,
}

/// One disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Disk {
    /// Whether the spec has it.
    pub wanted: bool,
    /// How far it is.
    pub standing: DiskStanding,
    /// Whether the pod has it.
    pub mounted: bool,
}

/// How far a disk is on its way out. It is written on its claim.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskStanding {
    /// The broker has it, or will with its next pod.
    #[default]
    Member,
    /// It is being emptied, or taken into use again; the broker has it.
    Leaving,
    /// The broker has said that nothing is on it; its next pod is without it.
    Emptied,
    /// The pod is without it, and nothing is left to do.
    Left,
}

/// What a broker says about its disks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskReport {
    /// Its log directories.
    pub dirs: Vec<LogDir>,
    /// Which of them is on which disk, by the disk's number.
    pub paths: BTreeMap<u32, String>,
    /// Whether Kafka knows cordons, and whether all of the broker is cordoned.
    pub cordon: Cordon,
    /// Directories that are cordoned.
    pub cordoned: BTreeSet<String>,
    /// Whether a cordon is set that is not in force: it names a directory that
    /// the broker does not have any more.
    pub stale: bool,
}

/// The next step for a broker's disks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskChange {
    /// What claims are to say from now on, before anything else is done.
    pub standings: BTreeMap<u32, DiskStanding>,
    /// The directories that are to be cordoned, and no others, if that is
    /// another set than now.
    pub cordon: Option<BTreeSet<String>>,
    /// Replicas that move to other disks now.
    pub moves: Vec<DiskMove>,
    /// Disks whose claims may go: nothing is on them, nothing could be put on
    /// them since the broker said so, and no pod has them.
    pub release: BTreeSet<u32>,
    /// What must happen before the next step.
    pub waits: Vec<DiskWait>,
}

// === impl Disk ===

impl Disk {
    /// Whether the broker's next pod has it.
    pub fn stays(self) -> bool {
        self.wanted || matches!(self.standing, DiskStanding::Member | DiskStanding::Leaving)
    }

    fn is_settled(self) -> bool {
        use DiskStanding::{Left, Member};
        matches!((self.wanted, self.standing), (true, Member) | (false, Left))
    }
}

// === impl BrokerDisks ===

impl BrokerDisks {
    /// Whether there is nothing to do and nothing to ask.
    pub fn is_settled(&self) -> bool {
        self.disks.values().all(|disk| disk.is_settled())
    }

    /// What to do next so that the broker has the disks that are wanted.
    ///
    /// # Guarantees
    /// - A disk that a pod has is [`DiskStanding::Emptied`] only by the broker's
    ///   word that no replica is on it and none is arriving, and only while it is
    ///   cordoned, where Kafka can. If the broker says otherwise later, or cannot
    ///   be asked, it is [`DiskStanding::Leaving`] again; not if the broker has no
    ///   such disk any more, because its pod was seen as it was before.
    /// - A claim is released only when the pod is without the disk, and only
    ///   where the disk was cordoned when it was found empty.
    /// - The same input gives the same step.
    pub fn change(&self, limits: MoveLimits) -> DiskChange {
        let mut change = DiskChange::default();
        let mut going = BTreeSet::new();
        for (number, disk) in self.disks.iter().filter(|(_, disk)| !disk.is_settled()) {
            if disk.wanted {
                self.come_back(*number, *disk, &mut change);
            } else if !self.has_pod {
                self.between_pods(*number, *disk, &mut change);
            } else if disk.mounted {
                going.insert(*number);
            } else {
                self.detached(*number, *disk, &mut change);
            }
        }
        let Some(says) = &self.says else {
            self.unheard(&going, &mut change);
            return change;
        };
        let closed = going.iter().filter_map(|number| says.paths.get(number));
        let closed: BTreeSet<String> = closed.cloned().collect();
        if says.cordon != Cordon::Unsupported && (says.cordoned != closed || says.stale) {
            change.cordon = Some(closed.clone());
        }
        self.empty(&going, &closed, says, limits, &mut change);
        change
    }

    /// A disk that is wanted again takes replicas when its cordon is gone.
    fn come_back(&self, number: u32, disk: Disk, change: &mut DiskChange) {
        let is_open = self.says.as_ref().is_some_and(|says| {
            let path = says.paths.get(&number);
            !says.stale && path.is_none_or(|path| !says.cordoned.contains(path))
        });
        if disk.standing == DiskStanding::Left || is_open {
            change.standings.insert(number, DiskStanding::Member);
        } else {
            let node = self.id;
            change.waits.push(DiskWait::Opening { node, disk: number });
        }
    }

    /// What was found empty stays so while there is no broker to change it.
    fn between_pods(&self, number: u32, disk: Disk, change: &mut DiskChange) {
        if disk.standing != DiskStanding::Emptied {
            self.stand(number, DiskStanding::Leaving, change);
        }
        change.waits.push(DiskWait::Unknown { node: self.id });
    }

    /// A disk that the pod is without.
    fn detached(&self, number: u32, disk: Disk, change: &mut DiskChange) {
        let node = self.id;
        if disk.standing != DiskStanding::Emptied {
            // The broker never had it, or not since it was empty.
            change.standings.insert(number, DiskStanding::Left);
            return;
        }
        match &self.says {
            None => change.waits.push(DiskWait::Unknown { node }),
            // By a broker that still has the disk nothing is said of the one that
            // is without it.
            Some(says) if says.stale || says.paths.contains_key(&number) => {
                change.waits.push(DiskWait::Opening { node, disk: number });
            }
            Some(says) => {
                if says.cordon != Cordon::Unsupported {
                    change.release.insert(number);
                }
                change.standings.insert(number, DiskStanding::Left);
            }
        }
    }

    /// While the broker cannot be asked, nothing counts as empty.
    fn unheard(&self, going: &BTreeSet<u32>, change: &mut DiskChange) {
        for number in going {
            self.stand(*number, DiskStanding::Leaving, change);
        }
        if !going.is_empty() {
            change.waits.push(DiskWait::Unknown { node: self.id });
        }
    }

    fn empty(
        &self,
        going: &BTreeSet<u32>,
        closed: &BTreeSet<String>,
        says: &DiskReport,
        limits: MoveLimits,
        change: &mut DiskChange,
    ) {
        let node = self.id;
        let mut dirs = says.dirs.clone();
        for dir in &mut dirs {
            dir.leaving = closed.contains(&dir.path);
        }
        let plan = disk_moves(&dirs, limits);
        if plan.nowhere {
            change.waits.push(DiskWait::Nowhere { node });
        }
        for number in going {
            let disk = *number;
            let path = says.paths.get(number);
            let emptied = self.disks[number].standing == DiskStanding::Emptied;
            if path.is_none() && emptied {
                change.waits.push(DiskWait::Unknown { node });
                continue;
            }
            let is_closed = says.cordon == Cordon::Unsupported
                || path.is_some_and(|path| says.cordoned.contains(path));
            if is_closed && path.is_some_and(|path| plan.empty.contains(path)) {
                self.stand(disk, DiskStanding::Emptied, change);
                change.waits.push(DiskWait::Detaching { node, disk });
                continue;
            }
            self.stand(disk, DiskStanding::Leaving, change);
            let dir = dirs.iter().find(|dir| Some(&dir.path) == path);
            change.waits.push(match dir {
                None => DiskWait::Unknown { node },
                Some(dir) if !dir.online => DiskWait::Offline { node, disk },
                Some(dir) => {
                    let replicas = dir.replicas.len() + dir.arriving.len();
                    DiskWait::Emptying {
                        node,
                        disk,
                        replicas,
                    }
                }
            });
        }
        change.moves = plan.start;
    }

    fn stand(&self, number: u32, standing: DiskStanding, change: &mut DiskChange) {
        let now = self.disks.get(&number).map(|disk| disk.standing);
        if now != Some(standing) {
            change.standings.insert(number, standing);
        }
    }
}

#[cfg(test)]
mod tests;
