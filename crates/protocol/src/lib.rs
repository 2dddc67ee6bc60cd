//! Kafka's wire format: schemas as data, bounded decoding, frames and record batches.
//!
//! Nothing here does I/O, and nothing is allocated from a length that received bytes do not cover.
//!
//! * [`frame`] and [`header`]: where a request or response begins, and what it is.
//! * [`schema`]: every API of Kafka 3.9 and 4.3 as tables; a [`Layout`] is one version's wire form.
//! * [`walk`]: checks a body of any size chunk by chunk and reports the fields that were asked for.
//! * [`records`]: what is inside of record batches.
//! * [`value`]: whole messages as trees, to be built or taken apart.
//! * [`edit`] and [`rewrite`]: changes that leave all other bytes as they are.
//! * [`exchange`]: the requests and responses that a connection speaks itself.

pub mod edit;
pub mod exchange;
pub mod frame;
pub mod header;
pub mod records;
pub mod rewrite;
pub mod schema;
pub mod value;
pub mod walk;
pub mod wire;

pub use schema::{ApiKey, Direction, Layout, Schemas};
