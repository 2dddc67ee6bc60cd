//! The operator: Kafka clusters, topics and access as Kubernetes resources.
//!
//! Each controller goes through four steps: *dereference*, *validate*,
//! *build*, *apply*. [`validate`] and [`build`] are pure.

pub mod access;
pub mod authority;
pub mod build;
pub mod config;
pub mod context;
pub mod controllers;
pub mod inject;
pub mod kafka_admin;
pub mod metrics;
pub mod names;
mod run;
pub mod stream;
pub mod topics;
pub mod validate;

pub use run::run;
