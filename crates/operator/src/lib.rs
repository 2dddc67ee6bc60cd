//! The operator: Kafka clusters, topics and access as Kubernetes resources.
