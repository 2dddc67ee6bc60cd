//! Broker addresses at the end of responses that are too large to hold (KIP-951).
//!
//! Produce 10+ and Fetch 16+ name new leaders' addresses in tagged field 0 of the message itself,
//! ShareFetch and ShareAcknowledge in their last field without a tag. By then the frame's length
//! and most of its bytes have gone to the client, so they are rewritten at equal length:
//!
//! * A shorter host leaves room that goes to an unknown tagged field of the same endpoint, or
//!   for a single byte to a longer form of the host's own length. Kafka's clients and librdkafka
//!   skip the one and read the other.
//! * Where that cannot be done, one unknown tagged field takes the place of the whole tail.
//!   Clients then learn of the leader from Metadata, as they do from older brokers.

mod tail;

use std::ops::Range;

use crate::schema::{ApiKey, Direction};
use crate::walk::{Event, Interest, Mark, Walker, What};

pub use tail::TailError;

/// Longest tail that is held back to be rewritten; longer ones lose the addresses.
pub const MAX_TAIL: u64 = 64 * 1024;

/// The responses that end so.
const APIS: [ApiKey; 4] = [
    ApiKey::PRODUCE,
    ApiKey::FETCH,
    ApiKey::SHARE_FETCH,
    ApiKey::SHARE_ACKNOWLEDGE,
];
/// The field in all of them.
const FIELD: &str = "NodeEndpoints";

/// Rewrites the endpoints of one response that passes in chunks.
///
/// # Expected flow
/// [`watch`](Self::watch) adds the endpoints to what a walk reports. Per response, one rewriter;
/// per chunk, first the walk, each of whose events is shown to [`observe`](Self::observe), then
/// [`pass`](Self::pass), which says what goes to the client.
pub struct EndpointRewriter {
    mark: Mark,
    /// Offset in the frame of the next byte that has not been passed on.
    at: u64,
    end: u64,
    /// Bytes that the walk has not consumed yet: they may turn out to be the tail's.
    pending: Vec<u8>,
    /// Where the tail begins, and whether the endpoints in it are a tagged field.
    begins: Option<(u64, bool)>,
    tail: Option<Tail>,
}

/// What goes to the client, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passed {
    /// Bytes of earlier chunks.
    pub before: Vec<u8>,
    /// Bytes of this chunk, as they came.
    pub chunk: Range<usize>,
    /// Rewritten bytes.
    pub after: Vec<u8>,
}

/// The end of a response, from where its endpoints may begin.
struct Tail {
    length: u64,
    /// Bytes that are still to come.
    left: u64,
    /// All of the tail so far, if it is to be rewritten.
    held: Vec<u8>,
    tagged: bool,
}

// === impl EndpointRewriter ===

impl EndpointRewriter {
    /// Adds the endpoints to what is reported; with no effect on messages that have none.
    #[must_use]
    pub fn watch(interest: Interest, mark: Mark) -> Interest {
        let layout = interest.layout();
        let place = layout.find(FIELD).map(|id| layout.field(id));
        let ours = layout.direction() == Direction::Response && APIS.contains(&layout.api());
        match place.filter(|_| ours).map(|field| field.tag) {
            None => interest,
            Some(Some(_)) => interest.root_tags(mark),
            Some(None) => interest.and(FIELD, mark),
        }
    }

    /// For a response whose body lies from `start` to `end` in its frame, and whose walk reports
    /// the endpoints with `mark`.
    pub fn new(mark: Mark, start: u64, end: u64) -> Self {
        Self {
            mark,
            at: start,
            end,
            pending: Vec::new(),
            begins: None,
            tail: None,
        }
    }

    /// Looks at an event of the walk.
    pub fn observe(&mut self, event: &Event<'_>) {
        let tagged = match event.what {
            What::Tags(_) => true,
            What::ArrayStart(_) => false,
            _ => return,
        };
        if event.mark == self.mark && self.begins.is_none() {
            self.begins = Some((event.span.start, tagged));
        }
    }

    /// Says what of a chunk, which `walker` has just been fed, goes to the client. By the end of
    /// the frame that is as much as came in.
    ///
    /// `map` says for a node's id, host and port which address to show instead. When it says
    /// `None`, no address is shown at all: one that was not mapped must not reach the client.
    pub fn pass(
        &mut self,
        chunk: &[u8],
        walker: &Walker,
        map: impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
    ) -> Result<Passed, TailError> {
        let mut passed = Passed::default();
        if let Some(tail) = &mut self.tail {
            tail.feed(chunk, &mut passed.after, map)?;
            return Ok(passed);
        }
        // Bytes up to here are not the tail's.
        let fed = self.at + (self.pending.len() + chunk.len()) as u64;
        let until = match self.begins {
            Some((begins, _)) => begins,
            None => fed.checked_sub(walker.carried() as u64).ok_or(TailError)?,
        };
        let free = until.checked_sub(self.at).ok_or(TailError)? as usize;
        let of_pending = free.min(self.pending.len());
        passed.before = self.pending.drain(..of_pending).collect();
        passed.chunk = 0..free - of_pending;
        self.at = until;
        let rest = chunk.get(passed.chunk.end..).ok_or(TailError)?;
        let Some((begins, tagged)) = self.begins else {
            self.pending.extend_from_slice(rest);
            return Ok(passed);
        };
        let length = self.end.checked_sub(begins).ok_or(TailError)?;
        let tail = self.tail.insert(Tail {
            length,
            left: length,
            held: Vec::new(),
            tagged,
        });
        tail.feed(&self.pending, &mut passed.after, |_, _, _| None)?;
        tail.feed(rest, &mut passed.after, map)?;
        self.pending = Vec::new();
        Ok(passed)
    }
}

// === impl Tail ===

impl Tail {
    fn feed(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        map: impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
    ) -> Result<(), TailError> {
        let before = self.left;
        self.left = before.checked_sub(chunk.len() as u64).ok_or(TailError)?;
        if self.length <= MAX_TAIL {
            self.held.extend_from_slice(chunk);
            if self.left == 0 && before > 0 {
                out.extend(tail::rewrite(&self.held, self.tagged, map)?);
                self.held = Vec::new();
            }
            return Ok(());
        }
        // Too long to be held: something else goes out in its place as the tail comes in.
        let length = usize::try_from(self.length).map_err(|_| TailError)?;
        let start = tail::replacement(length, self.tagged).ok_or(TailError)?;
        let at = usize::try_from(self.length - before).map_err(|_| TailError)?;
        let due = start.get(at..).unwrap_or_default();
        let due = &due[..due.len().min(chunk.len())];
        out.extend_from_slice(due);
        out.resize(out.len() + chunk.len() - due.len(), 0);
        Ok(())
    }
}
