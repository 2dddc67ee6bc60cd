//! Produce requests that are too large to be held.
//!
//! They pass as they come, and are judged as they pass. Where their first topic
//! is denied, nothing has been passed on yet: the request is dropped as it
//! comes in, its denied topics are refused, and the client is to send the
//! others again, without these. Where a later one is denied, what came before
//! is on its way to the broker, and the connection has to be closed.

use tubeway_protocol::value::Struct;
use tubeway_protocol::walk::{Event, WalkError, What};
use tubeway_protocol::{ApiKey, Layout};

use crate::access::Questions;
use crate::body::RequestBody;
use crate::guard::Guard;
use crate::interest::{PARTITION, TOPIC};
use crate::places::{Denied, Found, Key, NOT_LEADER, PRODUCE, TOPIC_DENIED, Topic};
use crate::records::produce::{TRANSACTION_DENIED, denies_transaction, refuse};
use crate::verdict::{TreeError, response};

/// Error code REQUEST_TIMED_OUT: nothing was written, try again.
const TRY_AGAIN: i16 = 7;

/// A large request as it passes, or as it is dropped.
pub(crate) struct Large {
    version: i16,
    found: Found,
    topic: Topic,
    dropped: Option<Vec<Dropped>>,
}

/// A topic of a request that is dropped.
struct Dropped {
    key: Key,
    /// By what it is refused.
    denied: Option<i16>,
    partitions: Vec<i32>,
}

/// What the beginning of a large request says.
pub(crate) enum Beginning {
    /// It may pass.
    Passes(Box<Large>),
    /// It is dropped, and answered at its end.
    Drops(Box<Large>),
    /// Names have to be known first.
    Ask(Questions),
}

// === impl Large ===

impl Large {
    /// Judges by the `beginning` of a body of `length` bytes, which will be fed
    /// again.
    pub(crate) fn begin(
        guard: &Guard,
        layout: &'static Layout,
        beginning: &[u8],
        length: usize,
    ) -> Result<Beginning, WalkError> {
        let mut trial = Self::new(layout);
        RequestBody::of(layout, length).show(beginning, |event| trial.see(guard, event))?;
        if !trial.found.ask.is_empty() {
            return Ok(Beginning::Ask(Questions::ids(trial.found.ask)));
        }
        let mut large = Box::new(Self::new(layout));
        Ok(if trial.is_denied(guard) {
            large.dropped = Some(Vec::new());
            Beginning::Drops(large)
        } else {
            Beginning::Passes(large)
        })
    }

    fn new(layout: &'static Layout) -> Self {
        Self {
            version: layout.version(),
            found: Found::default(),
            topic: Topic::default(),
            dropped: None,
        }
    }

    /// Whether the request goes nowhere.
    pub(crate) fn is_dropped(&self) -> bool {
        self.dropped.is_some()
    }

    /// Judges what has been seen so far; an error text closes the connection.
    pub(crate) fn verdict(&self, guard: &Guard) -> Result<(), &'static str> {
        if self.is_dropped() {
            Ok(())
        } else if !self.found.ask.is_empty() {
            Err("a large produce request names a topic id that is not known yet")
        } else if self.is_denied(guard) {
            Err("a large produce request was denied after its first topic")
        } else {
            Ok(())
        }
    }

    /// The answer to a request that was dropped.
    pub(crate) fn answer(self, guard: &Guard) -> Result<Struct, TreeError> {
        let transaction = denies_transaction(guard, &self.found);
        let mut answer = response(ApiKey::PRODUCE, self.version)?;
        let denied = self.dropped.into_iter().flatten().map(|topic| Denied {
            topic: topic.key,
            error: if transaction {
                TRANSACTION_DENIED
            } else {
                topic.denied.unwrap_or(TRY_AGAIN)
            },
            partitions: topic.partitions,
        });
        let denied: Vec<_> = denied.collect();
        refuse(&mut answer, &denied);
        Ok(answer)
    }

    fn is_denied(&self, guard: &Guard) -> bool {
        self.found.denied || denies_transaction(guard, &self.found)
    }

    /// Takes in what the walk of the request has come to.
    pub(crate) fn see(&mut self, guard: &Guard, event: &Event<'_>) {
        let found = &mut self.found;
        let before = std::mem::take(&mut found.denied);
        found.event(&PRODUCE, guard, &mut self.topic, event);
        let denied = found.denied;
        found.denied |= before;
        let Some(dropped) = &mut self.dropped else {
            return;
        };
        match (event.mark, event.what) {
            (TOPIC, What::Text(name)) => {
                let key = Key::Name(name.as_bytes().to_vec().into());
                dropped.push(Dropped::new(key, denied));
            }
            (TOPIC, What::Uuid(id)) => dropped.push(Dropped::new(Key::Id(id), denied)),
            (PARTITION, What::Int(index)) => {
                if let Some(topic) = dropped.last_mut() {
                    topic.partitions.push(index as i32);
                    if denied {
                        topic.denied.get_or_insert(NOT_LEADER);
                    }
                }
            }
            _ => {}
        }
    }
}

// === impl Dropped ===

impl Dropped {
    fn new(key: Key, denied: bool) -> Self {
        Self {
            key,
            denied: denied.then_some(TOPIC_DENIED),
            partitions: Vec::new(),
        }
    }
}
