//! The operator: Kafka clusters, topics and access as Kubernetes resources.

pub mod build;
pub mod config;
pub mod inject;
pub mod names;
pub mod validate;
