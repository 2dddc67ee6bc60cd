//! The operator: Kafka clusters, topics and access as Kubernetes resources.

pub mod kafka_admin;
