//! The messages of the stream from the operator to a sidecar.
//!
//! gRPC service `tubeway.config.v1.ConfigStream`, method `Subscribe`, both
//! sides streaming, over mutual TLS: the caller is who its certificate says.
//! The sidecar opens with a [`Report`] that carries a [`Subscribe`]; the
//! operator answers with an [`Update`] for each concern and again whenever it
//! changes; the sidecar answers each with a [`Report`] that carries an
//! [`Outcome`], so that "applied on all sidecars" can be a condition.

/// Full path of the one method, as HTTP/2 sees it.
pub const SUBSCRIBE_PATH: &str = "/tubeway.config.v1.ConfigStream/Subscribe";
/// Name of the service, as gRPC health and reflection would list it.
pub const SERVICE_NAME: &str = "tubeway.config.v1.ConfigStream";
/// [`Update::concern`] of a [`crate::Topology`].
pub const TOPOLOGY: &str = "topology";
/// [`Update::concern`] of a [`crate::Access`]; only the cluster's own nodes get it.
pub const ACCESS: &str = "access";

/// From the sidecar: the first message subscribes, the later ones acknowledge.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Report {
    /// What the sidecar wants; in the first message only.
    #[prost(message, optional, tag = "1")]
    pub subscribe: Option<Subscribe>,
    /// What became of an update.
    #[prost(message, optional, tag = "2")]
    pub outcome: Option<Outcome>,
}

/// Which documents a sidecar wants.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Subscribe {
    /// Namespace of the Kafka cluster.
    #[prost(string, tag = "1")]
    pub cluster_namespace: String,
    /// Name of the Kafka cluster.
    #[prost(string, tag = "2")]
    pub cluster_name: String,
    /// Pod that asks, for logs and conditions.
    #[prost(string, tag = "3")]
    pub pod: String,
}

/// What became of the update `version` of `concern`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Outcome {
    /// As in [`Update::concern`].
    #[prost(string, tag = "1")]
    pub concern: String,
    /// As in [`Update::version`].
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// Why it was refused; empty when it is in force.
    #[prost(string, tag = "3")]
    pub error: String,
}

/// From the operator: the whole document of one concern.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Update {
    /// What the document is about, as in [`TOPOLOGY`].
    #[prost(string, tag = "1")]
    pub concern: String,
    /// Grows with every change of the document; for acknowledgements and logs.
    #[prost(uint64, tag = "2")]
    pub version: u64,
    /// The document, as JSON.
    #[prost(bytes = "vec", tag = "3")]
    pub document: Vec<u8>,
}
