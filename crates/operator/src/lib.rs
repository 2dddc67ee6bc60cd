//! The operator: Kafka clusters, topics and access as Kubernetes resources.
//!
//! Each controller takes four steps: *dereference* reads, *validate* makes a
//! type that cannot be wrong, *build* is pure and says what should be there,
//! and *apply* makes it so, one write at a time.

pub mod access;
pub mod apply;
pub mod authority;
pub mod cluster;
pub mod config;
pub mod context;
pub mod crds;
pub mod error;
pub mod http;
pub mod inject;
pub mod istio;
pub mod kafka;
pub mod kafka_admin;
pub mod leader;
pub mod metrics;
pub mod quotas;
pub mod replication;
pub mod roots;
pub mod run;
pub mod statuses;
pub mod stream;
pub mod topics;
pub mod watched;
pub mod webhook;
pub mod zones;

#[cfg(test)]
mod fixture;

pub use config::Config;
pub use context::Context;
pub use error::Error;
pub use run::{Listeners, run};
