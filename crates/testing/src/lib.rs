//! Real Kafka, real clients, builders and the consistency checker, for tests.

pub mod checker;
pub mod kafka_dist;
pub mod records;
