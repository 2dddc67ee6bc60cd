//! What a check found, for people.

use std::collections::BTreeMap;
use std::fmt;

use super::{History, Index, Violation};
use crate::records::{Outcome, RecordId};

/// How many examples of one kind are written out.
const EXAMPLES: usize = 5;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records acknowledged.
    pub acked: usize,
    /// Records whose send ended in an error that leaves open whether they were written.
    pub unknown: usize,
    /// Records refused.
    pub refused: usize,
    /// Different records read.
    pub read: usize,
    /// Reads of a place beyond its first, by any consumer; no violation.
    pub read_again: usize,
    /// Everything that is wrong.
    pub violations: Vec<Violation>,
}

// === impl Report ===

impl Report {
    pub(super) fn new(history: &History, index: &Index, violations: Vec<Violation>) -> Self {
        let (mut acked, mut unknown, mut refused) = (0, 0, 0);
        for sent in &history.sent {
            match sent.outcome {
                Outcome::Acked(_) => acked += 1,
                Outcome::Unknown => unknown += 1,
                Outcome::Refused => refused += 1,
            }
        }
        let reads: usize = history.sessions.iter().map(Vec::len).sum();
        Self {
            acked,
            unknown,
            refused,
            read: index.read_count(),
            read_again: reads.saturating_sub(index.read_place_count()),
            violations,
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// Panics with the whole report unless nothing is wrong and at least
    /// `acked` records were acknowledged: a run that did nothing proves nothing.
    #[track_caller]
    pub fn assert_clean(&self, acked: usize) {
        assert!(self.is_clean() && self.acked >= acked, "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} with an error, {} refused; {} read, {} times again: ",
            self.acked, self.unknown, self.refused, self.read, self.read_again
        )?;
        if self.is_clean() {
            return f.write_str("nothing wrong");
        }
        write!(f, "{} violations", self.violations.len())?;
        let mut kinds: BTreeMap<&str, Vec<&Violation>> = BTreeMap::new();
        for violation in &self.violations {
            kinds.entry(violation.kind()).or_default().push(violation);
        }
        for (kind, violations) in kinds {
            write!(f, "\n  {kind}: {}", violations.len())?;
            for violation in violations.iter().take(EXAMPLES) {
                write!(f, "\n    {violation}")?;
            }
            if violations.len() > EXAMPLES {
                write!(f, "\n    and {} more", violations.len() - EXAMPLES)?;
            }
        }
        Ok(())
    }
}

// === impl Violation ===

impl Violation {
    /// The invariant's short name.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Unseen { .. } => "unseen",
            Self::Duplicated { .. } => "duplicated",
            Self::InconsistentOffset { .. } => "inconsistent offset",
            Self::Reordered { .. } => "reordered",
            Self::Corrupted { .. } => "corrupted",
            Self::Unexpected { .. } => "unexpected",
            Self::RefusedButWritten { .. } => "refused but written",
            Self::Rewound { .. } => "rewound",
            Self::Skipped { .. } => "skipped",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { id, at } => {
                write!(
                    f,
                    "{id} was acknowledged at {at}, and later offsets were read"
                )
            }
            Self::Unseen { id, at: Some(at) } => {
                write!(f, "{id} was acknowledged at {at}, beyond all that was read")
            }
            Self::Unseen { id, at: None } => write!(f, "{id} was acknowledged and never read"),
            Self::Duplicated { id, at } => {
                write!(f, "{id} is at")?;
                at.iter().try_for_each(|at| write!(f, " {at}"))
            }
            Self::InconsistentOffset { at, ids } => {
                write!(f, "{at} holds")?;
                ids.iter().try_for_each(|id| write!(f, " {}", Name(*id)))
            }
            Self::Reordered { id, at, after } => write!(f, "{id} at {at} lies behind {after}"),
            Self::Corrupted { at, id } => {
                write!(f, "{at} ({}) is not what was sent", Name(*id))
            }
            Self::Unexpected { id, at } => write!(f, "{id} at {at} was never sent"),
            Self::RefusedButWritten { id, at } => write!(f, "{id} was refused and is at {at}"),
            Self::Rewound { session, from, to } => {
                write!(f, "session {session} went from {from} to {to}")
            }
            Self::Skipped { session, id, at } => {
                write!(f, "session {session} passed over {id} at {at}")
            }
        }
    }
}

/// A record's name where it may have none.
struct Name(Option<RecordId>);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("unreadable"),
        }
    }
}
