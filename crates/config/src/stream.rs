//! The messages of the stream from the operator to a sidecar.
//!
//! gRPC service `tubeway.config.v1.ConfigStream`, method `Subscribe`, both
//! sides streaming, over mutual TLS: the caller is who its certificate says.
//! The sidecar opens with a [`Report`] that carries a [`Subscribe`]; the
//! operator answers with an [`Update`] for each concern and again whenever it
//! changes; the sidecar answers each with a [`Report`] that carries an
//! [`Outcome`], so that "applied on all sidecars" can be a condition.
//!
//! A node's sidecar also sends a [`Usage`] every [`USAGE_EVERY`], by which the
//! operator shares out limits that are for the whole cluster.

use std::time::Duration;

/// Full path of the one method, as HTTP/2 sees it.
pub const SUBSCRIBE_PATH: &str = "/tubeway.config.v1.ConfigStream/Subscribe";
/// Name of the service, as gRPC health and reflection would list it.
pub const SERVICE_NAME: &str = "tubeway.config.v1.ConfigStream";
/// [`Update::concern`] of a [`crate::Topology`].
pub const TOPOLOGY: &str = "topology";
/// [`Update::concern`] of a [`crate::Access`]; only the cluster's own nodes get it.
pub const ACCESS: &str = "access";
/// [`Update::concern`] of a [`crate::Quotas`]; only the cluster's own nodes get
/// it, each with its own parts of limits of the whole cluster.
pub const QUOTAS: &str = "quotas";
/// [`Update::concern`] of a [`crate::Zones`]; only the cluster's own nodes get
/// it, before the first [`ACCESS`] that has a rule with zones.
pub const ZONES: &str = "zones";
/// [`Update::concern`] of a [`crate::Place`], where the pod's zone is known;
/// the first of all.
pub const PLACE: &str = "place";

/// Longest [`Update`] that a sidecar reads, in bytes.
pub const MAX_UPDATE: usize = 64 << 20;
/// How often a node's sidecar says what was used, if it has a quota of the
/// whole cluster.
pub const USAGE_EVERY: Duration = Duration::from_secs(2);
/// Longest [`Report`] that the operator reads, in bytes. A sidecar leaves out
/// [`Used`] entries, the last first, until its report fits.
pub const MAX_REPORT: usize = 1 << 20;

/// From the sidecar: the first message subscribes, the later ones acknowledge.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Report {
    /// What the sidecar wants; in the first message only.
    #[prost(message, optional, tag = "1")]
    pub subscribe: Option<Subscribe>,
    /// What became of an update.
    #[prost(message, optional, tag = "2")]
    pub outcome: Option<Outcome>,
    /// What was used of limits of the whole cluster; from the cluster's own
    /// nodes only.
    #[prost(message, optional, tag = "3")]
    pub usage: Option<Usage>,
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

/// What was used at a sidecar of rates that are limited for the whole cluster.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Usage {
    /// How long ago the report before this one was made, in milliseconds.
    #[prost(uint64, tag = "1")]
    pub over_ms: u64,
    /// The buckets that were charged since then, at most [`crate::MAX_USED`].
    /// What is not here was not charged.
    #[prost(message, repeated, tag = "2")]
    pub used: Vec<Used>,
}

/// What was used of one bucket.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Used {
    /// Name of the quota, as in the document.
    #[prost(string, tag = "1")]
    pub quota: String,
    /// Which of its buckets; none is the one that is shared where there is no
    /// room for more.
    #[prost(message, optional, tag = "2")]
    pub scope: Option<UsageScope>,
    /// What was charged since the last report that spoke of it, in the limit's
    /// own unit.
    #[prost(uint64, tag = "3")]
    pub amount: u64,
}

/// A [`tubeway_policy::quota::Scope`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct UsageScope {
    /// The principal.
    #[prost(string, optional, tag = "1")]
    pub principal: Option<String>,
    /// The client id.
    #[prost(string, optional, tag = "2")]
    pub client_id: Option<String>,
    /// The topic.
    #[prost(string, optional, tag = "3")]
    pub topic: Option<String>,
    /// The API.
    #[prost(string, optional, tag = "4")]
    pub api: Option<String>,
}
