//! One Kafka connection as a state machine without I/O.
//!
//! A [`Session`] stands between a client and a broker. Its pump shows it what
//! has been read from either side and does what it answers: forward so many
//! bytes, put others in their place, read more, log in anew. Time comes in as
//! an argument, tokens too; counts go out to an [`Observe`].
//!
//! # States
//! Requests and responses are two machines that share the queue of requests in
//! flight.
//!
//! | direction | state | leaves it when |
//! |---|---|---|
//! | request | *head*: a length and a header are awaited | the header is complete and known |
//! | request | *body*: so many bytes of the frame remain | the last one has been forwarded; the request is in flight from then on, unless it wants no answer |
//! | response | *head*: a length and a header are awaited | the header names the oldest request in flight |
//! | response | *body*: passes, watched or not | the last byte has been forwarded |
//! | response | *whole*: held back until complete, because addresses in it change | it is complete |
//!
//! A login is two requests of the session's own that go between two frames of
//! the client; their answers are taken out again. Kafka answers the requests of
//! a connection in order, so the queue is all that is needed to tell them apart.

pub mod access;
mod body;
mod denials;
mod guard;
mod interest;
mod limits;
mod notes;
mod observe;
mod places;
mod records;
mod request;
mod response;
pub mod sasl;
mod session;
mod step;
mod telemetry;
mod verdict;
mod versions;

pub use guard::{Answers, Guard, SharedNames, TopicId};
pub use observe::{Denial, Exchange, Observe, Offset, Software, Topic};
pub use session::{Routes, Session};
pub use step::{Refusal, Step};
