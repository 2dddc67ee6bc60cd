//! Checks the body of a message of any size as its bytes come in, and reports chosen fields.
//!
//! # Expected flow
//! 1. Once per API, version and direction: an [`Interest`] names the fields to report, each with
//!    a [`Mark`] of the caller's.
//! 2. Per message, when its header has been read: a [`Walker`] from where the body begins to
//!    where the frame ends.
//! 3. Every chunk of the body goes through [`Walker::feed`], which calls back with [`Event`]s in
//!    the order of the bytes. [`Walker::is_done`] after the frame's last byte.
//!
//! # Guarantees
//! * A body that is walked to its end without error is one that Kafka's schema allows: every
//!   length and count is covered by bytes, nothing is null that may not be, tags rise, tagged
//!   fields are as long as they say, and nothing follows the last field unless that is allowed.
//! * Memory: one level per level of the schema, 64 bytes for what straddles chunks, and at most
//!   [`Interest::capture`] bytes of a string that straddles chunks.
//! * Spans count from the frame's first byte after its length, as `start` was given.
//!
//! # Caveats
//! Events come before the frame is known to be good: what they lead to should wait, or be
//! undone when an error follows. Record batches are counted by their headers; what is inside of
//! them, and whether the checksum fits, is for the broker to say.

mod batch;
mod event;
mod interest;
mod machine;
mod units;

use std::fmt;
use std::sync::Arc;

pub use batch::{Batch, Compression, RecordsTotal};
pub use event::{Event, Mark, Span, What};
pub use interest::{Interest, UnknownField};

use crate::wire::VarintOverflow;
use machine::{Level, Records};

/// Bytes that are kept when a number or a batch's header straddles two chunks.
const CARRY: usize = 64;

/// Walks one message's body.
pub struct Walker {
    interest: Arc<Interest>,
    trailing: Trailing,
    /// Offset in the frame of the next byte that is not consumed.
    pos: u64,
    end: u64,
    /// Where the innermost tagged field ends, or the frame.
    limit: u64,
    levels: Vec<Level>,
    records: Option<Records>,
    /// Bytes to pass over before anything else.
    skip: u64,
    capture: Capture,
    carry: [u8; CARRY],
    carried: usize,
    done: bool,
}

/// Whether bytes may follow the last field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailing {
    /// They are an error: nothing may reach a broker that was not looked at.
    Refuse,
    /// They are passed over, as Kafka's clients do with responses.
    Allow,
}

/// A string or byte field that came in pieces.
#[derive(Default)]
struct Capture {
    active: bool,
    mark: Mark,
    text: bool,
    start: u64,
    left: usize,
    bytes: Vec<u8>,
}

/// Why a body was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}, {field}: {problem}")]
pub struct WalkError {
    /// Offset in the frame.
    pub at: u64,
    /// The field that was read, or the message's name at its end.
    pub field: &'static str,
    /// What is wrong.
    pub problem: WalkProblem,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalkProblem {
    /// A value, length or count reaches beyond the frame, or beyond its tagged field.
    #[error("reaches beyond the end of the frame or of its tagged field")]
    Overrun,
    /// A length or count below zero that does not mean null, or a string longer than
    /// [`MAX_STRING`](crate::wire::MAX_STRING).
    #[error("has a length or count of {0}")]
    Length(i64),
    /// Null where the schema has no null.
    #[error("may not be null")]
    Null,
    /// A nullable struct's first byte is neither -1 nor 1.
    #[error("a nullable struct begins with -1 or 1, not {0}")]
    Presence(i8),
    /// A variable-length number that does not fit.
    #[error(transparent)]
    Varint(#[from] VarintOverflow),
    /// Tags that do not rise.
    #[error("tag {tag} follows tag {last}; tags rise")]
    TagOrder {
        /// The tag.
        tag: u32,
        /// The one before it.
        last: u32,
    },
    /// A tagged field is shorter than it says.
    #[error("ends before its tagged field does")]
    TagLength,
    /// A reported string is not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// A record batch is malformed.
    #[error("has a record batch that {0}")]
    Batch(BatchProblem),
    /// Bytes after the last field.
    #[error("{0} bytes follow the last field")]
    Trailing(u64),
}

/// What is wrong with a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchProblem {
    /// The format's number.
    #[error("is of format {0}; there are 0, 1 and 2")]
    Magic(i8),
    /// The length in its header.
    #[error("says it is {0} bytes long")]
    Length(i32),
    /// The count in its header.
    #[error("says it has {0} records")]
    Count(i32),
    /// The section ends within the batch.
    #[error("is cut short")]
    Partial,
}

// === impl Walker ===

impl Walker {
    /// Walks a body that lies from `start` to `end` in its frame.
    ///
    /// `end` is the frame's length; `start` the header's. A body that begins after it ends is
    /// refused by the first [`feed`](Self::feed).
    pub fn new(interest: Arc<Interest>, start: u64, end: u64, trailing: Trailing) -> Self {
        let depth = interest.layout().depth;
        let mut walker = Self {
            interest,
            trailing,
            pos: start,
            end: end.max(start),
            limit: end.max(start),
            levels: Vec::with_capacity(depth),
            records: None,
            skip: 0,
            capture: Capture::default(),
            carry: [0; CARRY],
            carried: 0,
            done: false,
        };
        walker.push_root();
        walker
    }

    /// Walks `chunk`, the next bytes of the body, and returns how many of them are the body's:
    /// all, unless the frame ends within the chunk.
    ///
    /// An empty body needs one call with an empty chunk. After an error the walker is of no use.
    pub fn feed(
        &mut self,
        chunk: &[u8],
        mut visit: impl FnMut(Event<'_>),
    ) -> Result<usize, WalkError> {
        let within = (self.end - self.pos) as usize - self.carried;
        let taken = chunk.len().min(within);
        self.run(&chunk[..taken], &mut visit)?;
        Ok(taken)
    }

    /// Whether the whole body has been walked.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Bytes of the body that are still to come.
    pub fn remaining(&self) -> u64 {
        self.end - self.pos - self.carried as u64
    }

    /// How many of the bytes that were fed last begin a number or batch header that has not
    /// ended: at most 60. No event has told of them yet, so that who changes what passes from
    /// an event's span on must hold them back.
    pub fn carried(&self) -> usize {
        self.carried
    }

    /// What was asked for.
    pub fn interest(&self) -> &Arc<Interest> {
        &self.interest
    }

    fn error(&self, field: &'static str, problem: impl Into<WalkProblem>) -> WalkError {
        WalkError {
            at: self.pos,
            field,
            problem: problem.into(),
        }
    }
}

/// Without the bytes that are kept.
impl fmt::Debug for Walker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walker")
            .field("api", &self.interest.layout().api())
            .field("version", &self.interest.layout().version())
            .field("pos", &self.pos)
            .field("end", &self.end)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}
