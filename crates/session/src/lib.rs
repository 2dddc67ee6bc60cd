//! One Kafka connection as a state machine without I/O.
mod observe;
pub mod sasl;
mod step;

pub use observe::{Observe, Topic};
pub use step::{Refusal, Step};
