//! The operator: Kafka clusters, topics and access as Kubernetes resources.

pub mod access;
pub mod kafka_admin;
