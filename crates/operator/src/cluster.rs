//! Kafka clusters: from KafkaCluster and KafkaNodePools to running nodes.

pub mod build;
mod controller;
pub mod dereference;
mod disks;
pub mod dynamic;
mod farewell;
pub mod features;
pub mod founding;
mod membership;
pub mod names;
mod pods;
mod reconcile;
mod standing;
mod status;
mod topology;
pub mod validate;

pub use controller::controller;
pub use reconcile::{Again, CONTROLLER, reconcile};
pub use topology::topology;
