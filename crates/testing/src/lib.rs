//! Real Kafka, real clients, builders and the consistency checker, for tests.

pub mod kafka_dist;
