//! Identities, principals and access rules: from Kubernetes RBAC to Kafka ACLs.
//!
//! Everything here is a pure function of its arguments.

pub mod acl;
mod claim;
pub mod kafka_acl;
pub mod quota;
pub mod rbac;
pub mod rules;
mod spiffe;
mod topic_name;

pub use claim::{Claim, claims};
pub use spiffe::{SpiffeError, SpiffeId};
pub use topic_name::{TopicNameError, check_topic_name};
