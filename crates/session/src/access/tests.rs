//! Answers against Kafka's own classes, and by hand where those do not decide.

mod broker;
mod lists;
mod metadata;
mod properties;
mod refusals;
mod sample;
mod topics;
mod whole;
mod world;
