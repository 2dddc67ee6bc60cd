//! The stream of configuration from the operator to the sidecars.
//!
//! [`Documents`] holds the newest document of each cluster and hears what the
//! sidecars made of it, once for each concern; [`ConfigService`] carries both over gRPC.

mod hub;
mod service;

pub use hub::{AccessDocuments, Document, Documents, Subscription, Topologies, Versioned};
pub use service::ConfigService;
