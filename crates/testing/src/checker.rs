//! The consistency checker: what producers were told against what consumers saw.
//!
//! Pure. It looks for the anomalies that Jepsen's Kafka checker looks for, as
//! far as they can exist without transactions, and names every record that is
//! part of one:
//!
//! | invariant | violation |
//! |---|---|
//! | an acknowledged record below the highest offset read was read | [`Lost`](Violation::Lost) |
//! | an acknowledged record was read by the end | [`Unseen`](Violation::Unseen) |
//! | a record is at one offset | [`Duplicated`](Violation::Duplicated) |
//! | an offset holds one record | [`InconsistentOffset`](Violation::InconsistentOffset) |
//! | a producer's records lie in a partition in the order they were sent | [`Reordered`](Violation::Reordered) |
//! | what was read is what was sent | [`Corrupted`](Violation::Corrupted) |
//! | what was read was sent | [`Unexpected`](Violation::Unexpected) |
//! | what was refused was not written | [`RefusedButWritten`](Violation::RefusedButWritten) |
//! | a consumer's position moves forward | [`Rewound`](Violation::Rewound) |
//! | … and passes over no acknowledged record | [`Skipped`](Violation::Skipped) |
//!
//! Assumptions: one topic; each record sent under an id of its own; offsets may
//! be sparse. A record whose send failed may be there or not.

mod index;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use report::Report;

use crate::records::{Outcome, Position, Read, RecordId, Sent};
use index::Index;

/// All that is known of a run on one topic.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Every record that a producer tried to send, in any order.
    pub sent: Vec<Sent>,
    /// What consumers saw, a list a session: what one consumer read without
    /// a change of its assignment, in the order it read it.
    pub sessions: Vec<Vec<Read>>,
}

/// One broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// Acknowledged, somebody read further in its partition, and nobody read it.
    Lost {
        /// Which record.
        id: RecordId,
        /// Where it was acknowledged.
        at: Position,
    },
    /// Acknowledged, and not read by the end (nothing after it was, or the
    /// client did not say where it was put).
    Unseen {
        /// Which record.
        id: RecordId,
        /// Where it was acknowledged.
        at: Option<Position>,
    },
    /// The same record at several offsets.
    Duplicated {
        /// Which record.
        id: RecordId,
        /// All places it was seen or acknowledged at.
        at: Vec<Position>,
    },
    /// Several records at the same offset.
    InconsistentOffset {
        /// Where.
        at: Position,
        /// Which; `None` is a value that no id could be read from.
        ids: Vec<Option<RecordId>>,
    },
    /// A record lies behind one that its producer sent later.
    Reordered {
        /// The earlier record.
        id: RecordId,
        /// Where it lies.
        at: Position,
        /// The later one, before it in the partition.
        after: RecordId,
    },
    /// The value is not the one that was sent.
    Corrupted {
        /// Where.
        at: Position,
        /// Which record it says it is, if it still does.
        id: Option<RecordId>,
    },
    /// Nobody sent this.
    Unexpected {
        /// Which record.
        id: RecordId,
        /// Where it was read.
        at: Position,
    },
    /// The producer was told that nothing was written.
    RefusedButWritten {
        /// Which record.
        id: RecordId,
        /// Where it was read.
        at: Position,
    },
    /// Within one session a consumer came to an offset that was not beyond the last.
    Rewound {
        /// Index of the session.
        session: usize,
        /// Where it was.
        from: Position,
        /// Where it went.
        to: Position,
    },
    /// Within one session a consumer went past an acknowledged record.
    Skipped {
        /// Index of the session.
        session: usize,
        /// Which record.
        id: RecordId,
        /// Where it was acknowledged.
        at: Position,
    },
}

// === impl History ===

impl History {
    /// Checks every invariant.
    pub fn check(&self) -> Report {
        let index = Index::new(self);
        let mut violations = Vec::new();
        self.check_arrival(&index, &mut violations);
        self.check_values(&index, &mut violations);
        check_places(&index, &mut violations);
        check_order(&index, &mut violations);
        self.check_sessions(&mut violations);
        Report::new(self, &index, violations)
    }

    fn check_arrival(&self, index: &Index, violations: &mut Vec<Violation>) {
        let missing = self
            .sent
            .iter()
            .filter(|sent| matches!(sent.outcome, Outcome::Acked(_)) && !index.was_read(sent.id));
        for Sent { id, outcome, .. } in missing {
            let Outcome::Acked(at) = *outcome else {
                continue;
            };
            violations.push(match at {
                Some(at) if index.highest_read(at.partition) >= Some(at.offset) => {
                    Violation::Lost { id: *id, at }
                }
                at => Violation::Unseen { id: *id, at },
            });
        }
    }

    fn check_values(&self, index: &Index, violations: &mut Vec<Violation>) {
        let mut seen = BTreeSet::new();
        for read in self.sessions.iter().flatten() {
            // Consumers read the same record again; it is looked at once.
            if !seen.insert((read.at, read.digest)) {
                continue;
            }
            let at = read.at;
            let violation = match read.id.map(|id| (id, index.sent(id))) {
                None => Some(Violation::Corrupted { at, id: None }),
                Some((id, None)) => Some(Violation::Unexpected { id, at }),
                Some((id, Some(sent))) if sent.digest != read.digest => {
                    Some(Violation::Corrupted { at, id: Some(id) })
                }
                Some((id, Some(sent))) => (sent.outcome == Outcome::Refused)
                    .then_some(Violation::RefusedButWritten { id, at }),
            };
            violations.extend(violation);
        }
    }

    fn check_sessions(&self, violations: &mut Vec<Violation>) {
        let acked = self.acked_by_partition();
        for (session, reads) in self.sessions.iter().enumerate() {
            let mut last: HashMap<i32, i64> = HashMap::new();
            for Position { partition, offset } in reads.iter().map(|read| read.at) {
                let Some(from) = last.insert(partition, offset) else {
                    continue;
                };
                let at = |offset| Position { partition, offset };
                if offset <= from {
                    violations.push(Violation::Rewound {
                        session,
                        from: at(from),
                        to: at(offset),
                    });
                    continue;
                }
                let passed = acked
                    .get(&partition)
                    .into_iter()
                    .flat_map(|offsets| offsets.range(from + 1..offset));
                violations.extend(passed.map(|(&offset, &id)| Violation::Skipped {
                    session,
                    id,
                    at: at(offset),
                }));
            }
        }
    }

    fn acked_by_partition(&self) -> HashMap<i32, BTreeMap<i64, RecordId>> {
        let mut acked: HashMap<i32, BTreeMap<i64, RecordId>> = HashMap::new();
        for sent in &self.sent {
            if let Outcome::Acked(Some(at)) = sent.outcome {
                acked
                    .entry(at.partition)
                    .or_default()
                    .insert(at.offset, sent.id);
            }
        }
        acked
    }
}

/// One record an offset, one offset a record.
fn check_places(index: &Index, violations: &mut Vec<Violation>) {
    for (&at, ids) in index.by_place() {
        if ids.len() > 1 {
            violations.push(Violation::InconsistentOffset {
                at,
                ids: ids.clone(),
            });
        }
    }
    violations.extend(index.duplicated().map(|(id, at)| Violation::Duplicated {
        id,
        at: at.to_vec(),
    }));
}

/// In each partition, each producer's records by rising sequence number. A
/// duplicate is reported as such and not as out of order.
fn check_order(index: &Index, violations: &mut Vec<Violation>) {
    let mut latest: HashMap<(i32, u32), RecordId> = HashMap::new();
    let mut met = BTreeSet::new();
    for (&at, ids) in index.by_place() {
        for &id in ids.iter().flatten() {
            if index.places(id).len() > 1 && !met.insert(id) {
                continue;
            }
            let latest = latest.entry((at.partition, id.producer)).or_insert(id);
            if id.seq < latest.seq {
                violations.push(Violation::Reordered {
                    id,
                    at,
                    after: *latest,
                });
            } else {
                *latest = id;
            }
        }
    }
}
