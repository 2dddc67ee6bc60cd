//! Answers against Kafka's own classes, and by hand where those do not decide.

mod admin;
mod broker;
mod lists;
mod metadata;
mod offsets;
mod pages;
mod properties;
mod refusals;
mod sample;
mod topics;
mod whole;
mod world;
