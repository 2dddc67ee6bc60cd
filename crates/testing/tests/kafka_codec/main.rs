//! The wire format against Kafka's own serializers, of every release that the tables are from.

mod helper;
mod messages;
mod records;

// The same messages as the unit tests of the codec.
#[path = "../../../protocol/tests/common/mod.rs"]
mod common;
