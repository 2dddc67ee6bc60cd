//! The stream of configuration from the operator to the sidecars.
//!
//! [`Topologies`] holds the newest document of each cluster and hears what the
//! sidecars made of it; [`ConfigService`] carries both over gRPC.

mod hub;
mod service;

pub use hub::{Subscription, Topologies, Versioned};
pub use service::ConfigService;
