//! Which replicas are to be where, and which move next.
//!
//! Nothing is remembered between two looks. Partitions are taken in one fixed
//! order, moves are begun in that order, and one that is begun counts as done.
//! So whoever plans anew, after a crash or with another limit, decides on the
//! next partition from the same loads and ends with the same replicas.
//!
//! Kafka keeps the old replicas until all new ones are in sync, and only then
//! takes the old ones away (KIP-455): no move takes a partition below its
//! minimum.

mod disks;
mod fill;
mod load;
mod moves;
mod settle;
mod throttle;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::health::PartitionId;
use fill::{Fill, From};
use load::Loads;

pub use disks::{DiskMove, DiskPlan, LogDir, disk_moves};
pub use moves::{InFlight, Moves, next_moves};
pub use throttle::{Throttle, ThrottlePlan, Throttled, TopicThrottle, throttle};

/// All brokers and partitions of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// The brokers, by id. One that is gone for good and still named by
    /// partitions belongs here too, as draining; one that is not here keeps what
    /// it has.
    pub brokers: BTreeMap<u32, BrokerPlace>,
    /// The partitions, in any order.
    pub partitions: Vec<Placed>,
}

/// A broker as a place for replicas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerPlace {
    /// Its `broker.rack`. One without is taken for a zone of its own.
    pub zone: Option<String>,
    /// Whether it is to lose all that it has.
    pub draining: bool,
    /// Whether it may get anything: it serves, and is not cordoned.
    pub open: bool,
}

/// A partition and where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placed {
    /// Which one it is.
    pub id: PartitionId,
    /// All brokers that have some of it, as Kafka lists them: those of the
    /// target in their order, then those that it is taken away from.
    pub replicas: Vec<u32>,
    /// Those that it is being copied to (ListPartitionReassignments).
    pub adding: BTreeSet<u32>,
    /// Those that lose it when the copies are in sync.
    pub removing: BTreeSet<u32>,
    /// Those that are in sync.
    pub in_sync: BTreeSet<u32>,
    /// Size of one replica, in bytes.
    pub bytes: u64,
    /// How many must be in sync for producers with `acks=all`.
    pub min_in_sync: usize,
}

/// What is wanted beside empty draining brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Goal {
    /// How many replicas each partition of a topic is to have; those of topics
    /// that are not named keep what they have.
    pub replication: BTreeMap<String, usize>,
    /// Brokers that are new, and are to get their share.
    pub fill: BTreeSet<u32>,
}

/// New replicas for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which one it is.
    pub id: PartitionId,
    /// Its replicas, the preferred leader first.
    pub target: Vec<u32>,
    /// Those of them that must be copied to.
    pub adding: BTreeSet<u32>,
    /// Bytes that are copied for it, over all new replicas.
    pub bytes: u64,
}

/// Everything that is still to be moved, as far as it is decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reassignment {
    /// The changes, in the order in which they must be begun. New brokers are
    /// filled after all else, and from the richest first, so more changes may
    /// appear when these have begun.
    pub changes: Vec<Change>,
    /// Whether the changes fill new brokers. Such a change begins when what is
    /// under way with its partition is done; others take its place.
    pub fills: bool,
    /// What cannot be done, and is left as it is.
    pub impossible: Vec<Impossible>,
}

/// Why a partition cannot have the replicas that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Impossible {
    /// There are not enough brokers.
    #[error(
        "partition {id} needs {wanted} replicas, and only {brokers} brokers may have one: add \
         brokers, or lower the topic's replication factor"
    )]
    TooFewBrokers {
        /// The partition.
        id: PartitionId,
        /// Replicas wanted.
        wanted: usize,
        /// Brokers that have it and stay, or are open.
        brokers: usize,
    },
    /// Producers would be refused for good.
    #[error(
        "partition {id} cannot have {wanted} replicas: min.insync.replicas is {min_in_sync}, which \
         must be lowered first"
    )]
    BelowMinimum {
        /// The partition.
        id: PartitionId,
        /// Replicas wanted.
        wanted: usize,
        /// Its `min.insync.replicas`.
        min_in_sync: usize,
    },
}

/// How much may be under way at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveLimits {
    /// Partitions; 0 counts as 1.
    pub partitions: usize,
    /// Bytes to be copied. A single partition that is larger moves alone.
    pub bytes: u64,
}

/// Replicas in as many zones as there are of them.
pub(crate) struct Zones<'a>(&'a BTreeMap<u32, BrokerPlace>);

/// A zone's name; a broker without one is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Zone<'a> {
    Named(&'a str),
    Own(u32),
}

/// All that is still to be moved.
///
/// # Guarantees
/// - A draining broker is in no target, unless [`Impossible`] says why.
/// - A target is in at least as many zones as the partition is in now, as far
///   as its size and the brokers permit.
/// - A replica moves only off a draining broker, off a broker that has
///   more than a new one to that, or where a changed replication factor would
///   cost zones otherwise; and once.
/// - Where the preferred leader moves, the one of the new replicas takes over
///   that is preferred by the fewest partitions.
/// - The same input gives the same answer, and so does the input with any of
///   the first changes begun or done, as long as sizes and brokers are the same.
pub fn reassign(layout: &Layout, goal: &Goal) -> Reassignment {
    let mut ordered: Vec<&Placed> = layout.partitions.iter().collect();
    ordered.sort_by_cached_key(|placed| (spread_evenly(&placed.id), placed.id.clone()));
    let mut loads = Loads::new(layout, goal);
    let mut all = Reassignment::default();
    for placed in &ordered {
        match settle::settle(layout, placed, goal, &mut loads) {
            Ok(target) => all.changes.extend(placed.change_to(target)),
            Err(impossible) => all.impossible.push(impossible),
        }
    }
    for from in [From::TheRich, From::TheRicher] {
        if !all.changes.is_empty() || goal.fill.is_empty() {
            break;
        }
        all.fills = true;
        let mut fill = Fill::new(layout, goal, &mut loads, from);
        let stuck: BTreeSet<&PartitionId> = all.impossible.iter().map(Impossible::id).collect();
        for placed in ordered.iter().filter(|p| !stuck.contains(&p.id)) {
            all.changes.extend(placed.change_to(fill.target(placed)));
        }
    }
    all
}

/// A number for each partition that has nothing to do with its name, so that
/// what moves is not all of the topic that comes first (FNV-1a).
fn spread_evenly(id: &PartitionId) -> u64 {
    let bytes = id.topic.bytes().chain(id.index.to_be_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

// === impl Impossible ===

impl Impossible {
    /// The partition that it is about.
    pub fn id(&self) -> &PartitionId {
        match self {
            Self::TooFewBrokers { id, .. } | Self::BelowMinimum { id, .. } => id,
        }
    }
}

// === impl Placed ===

impl Placed {
    /// Where it is when what is under way is done.
    pub fn target(&self) -> Vec<u32> {
        let stays = |id: &&u32| !self.removing.contains(id);
        self.replicas.iter().filter(stays).copied().collect()
    }

    /// Whether Kafka is moving it.
    pub fn is_moving(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// Bytes that are still to be copied for it, at most.
    pub fn bytes_in_flight(&self) -> u64 {
        let copied = self.adding.difference(&self.in_sync).count() as u64;
        self.bytes.saturating_mul(copied)
    }

    fn change_to(&self, target: Vec<u32>) -> Option<Change> {
        if target == self.target() {
            return None;
        }
        // A reassignment that is replaced by another is undone first.
        let held = |id: &u32| self.replicas.contains(id) && !self.adding.contains(id);
        let adding: BTreeSet<u32> = target.iter().copied().filter(|id| !held(id)).collect();
        Some(Change {
            id: self.id.clone(),
            bytes: self.bytes.saturating_mul(adding.len() as u64),
            target,
            adding,
        })
    }
}

// === impl BrokerPlace ===

impl BrokerPlace {
    /// Whether new replicas may be placed on it.
    pub fn takes(&self) -> bool {
        self.open && !self.draining
    }
}

// === impl Layout ===

impl Layout {
    fn drains(&self, broker: u32) -> bool {
        self.brokers
            .get(&broker)
            .is_some_and(|place| place.draining)
    }

    fn takes(&self, broker: u32) -> bool {
        self.brokers.get(&broker).is_some_and(BrokerPlace::takes)
    }

    fn takers(&self) -> impl Iterator<Item = u32> + '_ {
        let takers = self.brokers.iter().filter(|(_, place)| place.takes());
        takers.map(|(id, _)| *id)
    }
}

// === impl Zones ===

impl<'a> Zones<'a> {
    pub(crate) fn new(layout: &'a Layout) -> Self {
        Self(&layout.brokers)
    }

    fn of(&self, broker: u32) -> Zone<'a> {
        let place = self.0.get(&broker);
        let zone = place.and_then(|place| place.zone.as_deref());
        zone.map_or(Zone::Own(broker), Zone::Named)
    }

    /// In how many zones these brokers are.
    pub(crate) fn count(&self, brokers: impl IntoIterator<Item = u32>) -> usize {
        let zones: BTreeSet<_> = brokers.into_iter().map(|id| self.of(id)).collect();
        zones.len()
    }

    /// How many of these are in the zone of that broker.
    pub(crate) fn mates(&self, broker: u32, among: &[u32]) -> usize {
        let zone = self.of(broker);
        among.iter().filter(|id| self.of(**id) == zone).count()
    }
}

// === impl MoveLimits ===

impl Default for MoveLimits {
    /// Twenty partitions and 50 GiB.
    fn default() -> Self {
        Self {
            partitions: 20,
            bytes: 50 << 30,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target: Vec<_> = self.target.iter().map(u32::to_string).collect();
        write!(f, "{} to brokers {}", self.id, target.join(", "))
    }
}

#[cfg(test)]
mod tests;
