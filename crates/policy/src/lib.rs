//! Identities, principals and access rules: from Kubernetes RBAC to Kafka ACLs.
//!
//! Everything here is a pure function of its arguments.

pub mod acl;
mod claim;
pub mod rbac;
mod spiffe;

pub use claim::{Claim, claims};
pub use spiffe::{SpiffeError, SpiffeId};
