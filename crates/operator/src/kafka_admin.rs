//! Kafka's admin side: what the operator asks of brokers and tells them.
//!
//! [`Admin`] speaks to any broker of one cluster; KRaft brokers hand on to the
//! controller what is its business. Calls that ask for a state (create, alter,
//! delete) are sent again after an error that may pass, so that a second answer
//! can say what the first attempt did (`TopicAlreadyExists`): callers compare
//! with what they want and do not count.
//!
//! Answers are decoded by the crate `kafka-protocol`, whose decoder trusts
//! lengths. That is for the cluster's own brokers, whose identity [`Connect`]
//! has proved, and for nobody else.

mod acls;
mod cluster;
mod configs;
mod connect;
mod connection;
mod directory;
mod error;
mod features;
mod log_dirs;
mod pool;
mod quorum;
mod reassignments;
mod topics;

pub use cluster::{Broker, ClusterDescription};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use connect::{BrokerAddress, ByteStream, Connect, MeshConnect, PlainConnect};
pub use connection::Call;
pub use directory::{AdminDirectory, Entry};
pub use error::{AdminError, Fault, Refusal};
pub use features::{Feature, METADATA_VERSION};
pub use log_dirs::{LogDirDescription, ReplicaOnDisk};
pub use pool::{Admin, Limits};
pub use quorum::{Quorum, QuorumReplica};
pub use reassignments::Reassigning;
pub use topics::{CreatedTopic, NewTopic, PartitionDescription, TopicDescription};

/// What an answer says about each thing that was asked about, by name.
pub type Results<T> = std::collections::BTreeMap<String, Result<T, Refusal>>;

fn text(text: &str) -> kafka_protocol::protocol::StrBytes {
    text.to_owned().into()
}
