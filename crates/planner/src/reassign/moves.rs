//! What may move now.

use std::collections::BTreeSet;

use super::{Change, Goal, Impossible, Layout, MoveLimits, reassign};

/// The next moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// To be asked for now, in one request (AlterPartitionReassignments).
    pub start: Vec<Change>,
    /// What is under way without those.
    pub in_flight: InFlight,
    /// What is to be begun later, as far as it is decided.
    pub left: InFlight,
    /// What cannot be done, and is left as it is.
    pub impossible: Vec<Impossible>,
}

/// Some of the moves, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Partitions.
    pub partitions: usize,
    /// Bytes to be copied.
    pub bytes: u64,
}

/// The moves to begin now, so that no more than `limits` are under way.
///
/// They are the first of [`reassign`], in its order and without a gap: a small
/// move does not overtake a large one, and what is planned after a crash is the
/// same.
pub fn next_moves(layout: &Layout, goal: &Goal, limits: MoveLimits) -> Moves {
    let all = reassign(layout, goal);
    let mut moves = Moves {
        impossible: all.impossible,
        ..Moves::default()
    };
    let mut moving = BTreeSet::new();
    for placed in layout.partitions.iter().filter(|placed| placed.is_moving()) {
        moves.in_flight.add(placed.bytes_in_flight());
        moving.insert(&placed.id);
    }
    let mut busy = moves.in_flight;
    let mut full = false;
    for change in all.changes {
        let many = busy.partitions >= limits.partitions.max(1);
        let large = busy.bytes.saturating_add(change.bytes) > limits.bytes;
        full |= busy.partitions > 0 && (many || large);
        full |= all.fills && moving.contains(&change.id);
        if full {
            moves.left.add(change.bytes);
        } else {
            busy.add(change.bytes);
            moves.start.push(change);
        }
    }
    moves
}

// === impl Moves ===

impl Moves {
    /// Whether nothing moves and nothing is left to move.
    pub fn is_done(&self) -> bool {
        self.start.is_empty() && self.in_flight.partitions == 0 && self.left.partitions == 0
    }
}

// === impl InFlight ===

impl InFlight {
    pub(super) fn add(&mut self, bytes: u64) {
        self.partitions += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}
