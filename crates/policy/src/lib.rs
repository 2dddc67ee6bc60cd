//! Identities, principals and access rules: from Kubernetes RBAC to Kafka ACLs.
//!
//! Everything here is a pure function of its arguments.

mod spiffe;

pub use spiffe::{SpiffeError, SpiffeId};
