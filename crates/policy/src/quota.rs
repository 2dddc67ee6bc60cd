//! Quotas: how much of a broker anyone may use, counted by the sidecar before it.
//!
//! [`QuotaRules`] is the document that the operator sends to the sidecars and
//! [`Meter`] what a sidecar makes of it. Answers are Kafka's (KIP-13, KIP-124,
//! KIP-219, KIP-612): what was asked is served, its response says for how long
//! the client is to hold back, and the connection is not read for that long.
//!
//! # Which quotas count
//! Of the quotas that match, those of the same dimension, the same
//! [`tier`](Quota::tier) and the same shape (whether topics are told apart, and
//! whether APIs are) compete, and only the most specific ones count: one that
//! names the principal before one for a prefix, before one for each principal,
//! before one for all together; equal there, the same by client id, then by
//! topic, then by API. With principals and client ids alone this is the order
//! of KIP-55. Equally specific quotas count all of them, and so do the winners
//! of different tiers and shapes; the longest wait is the one that is kept.

mod bucket;
mod charger;
mod check;
pub mod compile;
mod gauge;
mod index;
mod meter;
pub mod share;
mod store;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use charger::{Amount, Asked, Charger, Permit, Refused, Throttle, Wants};
pub use check::{InvalidQuotas, Problem};
pub use meter::{Meter, Used};
pub use share::PARTS;
pub use store::{MAX_COUNTERS, MAX_PER_PRINCIPAL};

/// Seconds' worth of a rate that may be used at once where a quota does not say
/// otherwise: what Kafka's defaults come to, `quota.window.num` (11) windows of
/// `quota.window.size.seconds` (1).
pub const DEFAULT_BURST_SECONDS: f64 = 11.0;

/// Longest wait that one answer asks for, in seconds, where the rules do not
/// say otherwise. Less than the 45 s after which a group gives up a member that
/// is silent (`session.timeout.ms`), so that nobody is thrown out of a group
/// for having been slowed down.
pub const DEFAULT_MAX_THROTTLE_SECONDS: f64 = 30.0;

/// All quotas of one Kafka cluster, as one of its sidecars enforces them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuotaRules {
    /// Longest wait that one answer asks for, in seconds: 0.1 to 3,600. What is
    /// still owed after it stays owed, up to an hour's worth.
    #[serde(default = "default_max_throttle")]
    pub max_throttle_seconds: f64,
    /// The quotas; their order means nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
}

/// One limit, and whom it limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Quota {
    /// Unique among the rules; what has been used stays with the name when the
    /// rules change.
    pub name: Arc<str>,
    /// What the quota comes from, for logs: `KafkaQuota shop/checkout`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Quotas of one tier compete, those of different tiers all count.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tier: String,
    /// What is counted.
    #[serde(default, rename = "match")]
    pub scope: Match,
    /// How much of it there may be.
    pub limit: Limit,
    /// Whether the limit is this sidecar's own.
    #[serde(default)]
    pub share: Share,
}

/// What a quota counts: what all four select.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// By principal, as in `User:spiffe://…`.
    #[serde(default)]
    pub principals: Selector,
    /// By client id; a request without one has the empty client id.
    #[serde(default)]
    pub client_ids: Selector,
    /// By topic name.
    #[serde(default)]
    pub topics: Selector,
    /// By API name, as in `Produce`.
    #[serde(default)]
    pub apis: Selector,
}

/// Values that a quota is about, and whether they share it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Selector {
    /// All values, which share the quota.
    #[default]
    Any,
    /// All values, each with the whole quota to itself.
    Each,
    /// These values.
    #[serde(rename_all = "camelCase")]
    Named {
        /// At least one.
        names: BTreeSet<String>,
        /// Whether each has the quota to itself; otherwise they share it.
        each: bool,
    },
    /// Values that begin so.
    #[serde(rename_all = "camelCase")]
    Prefixed {
        /// Not empty.
        prefix: String,
        /// Whether each has the quota to itself; otherwise they share it.
        each: bool,
    },
}

/// How much there may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Limit {
    /// So much a second.
    #[serde(rename_all = "camelCase")]
    Rate {
        /// Of what.
        of: Dimension,
        /// How much: 0.001 to 10¹¹.
        per_second: f64,
        /// How much at once, after a time of using less.
        #[serde(default)]
        burst: Burst,
        /// What becomes of what is too much.
        #[serde(default)]
        action: Action,
    },
    /// So much at any one time. A connection that is too much is closed; a
    /// request that is too much is not read until another one is answered.
    #[serde(rename_all = "camelCase")]
    Held {
        /// Of what.
        of: Held,
        /// How much, at least 1.
        count: u32,
    },
}

/// What can be limited by the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dimension {
    /// Bytes of the record batches in Produce requests, as they are on the wire.
    ProducedBytes,
    /// Bytes of the record batches in Fetch and ShareFetch responses.
    ConsumedBytes,
    /// Records in Produce requests.
    ProducedRecords,
    /// Records in Fetch and ShareFetch responses.
    ConsumedRecords,
    /// Requests of any API.
    Requests,
    /// Connections that got as far as showing who they are.
    ConnectionAttempts,
    /// JoinGroup requests, and the heartbeats by which a member joins a group
    /// of KIP-848 or a share group (member epoch 0).
    GroupJoins,
    /// OffsetCommit and TxnOffsetCommit requests.
    OffsetCommits,
    /// Metadata and DescribeTopicPartitions requests.
    MetadataRequests,
}

/// What can be limited by how much of it there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Held {
    /// Open connections.
    Connections,
    /// Requests that have no answer yet.
    RequestsInFlight,
}

/// How much of a rate may be used at once after a time of using less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Burst {
    /// What the rate comes to in so many seconds.
    Seconds(f64),
    /// So much.
    Amount(f64),
}

/// What becomes of what is more than a rate allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is served, and the connection is not read until it is paid for.
    #[default]
    Throttle,
    /// It is refused and not counted; only for [`Dimension::ConnectionAttempts`].
    Refuse,
}

/// Whether a limit is one sidecar's, or the whole cluster's of which a sidecar
/// has a part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Share {
    /// This sidecar's own.
    #[default]
    PerSidecar,
    /// The cluster's; this sidecar enforces its parts of it.
    #[serde(rename_all = "camelCase")]
    ClusterWide {
        /// Parts of [`PARTS`] for all that `scopes` does not name.
        parts: u32,
        /// Parts for what is used much.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        scopes: Vec<ScopeShare>,
    },
}

/// A sidecar's parts of one of a quota's buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeShare {
    /// Which bucket.
    pub scope: Scope,
    /// Parts of [`PARTS`].
    pub parts: u32,
}

/// One bucket of a quota: a value for each selector that tells values apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scope {
    /// The principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Arc<str>>,
    /// The client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Arc<str>>,
    /// The topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Arc<str>>,
    /// The API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<Arc<str>>,
}

fn default_max_throttle() -> f64 {
    DEFAULT_MAX_THROTTLE_SECONDS
}

// === impl QuotaRules ===

impl Default for QuotaRules {
    fn default() -> Self {
        Self {
            max_throttle_seconds: DEFAULT_MAX_THROTTLE_SECONDS,
            quotas: Vec::new(),
        }
    }
}

// === impl Burst ===

impl Burst {
    /// The amount, for a rate.
    pub(crate) fn amount(self, per_second: f64) -> f64 {
        match self {
            Self::Seconds(seconds) => seconds * per_second,
            Self::Amount(amount) => amount,
        }
    }
}

impl Default for Burst {
    fn default() -> Self {
        Self::Seconds(DEFAULT_BURST_SECONDS)
    }
}

// === impl Dimension ===

impl Dimension {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::ProducedBytes,
        Self::ConsumedBytes,
        Self::ProducedRecords,
        Self::ConsumedRecords,
        Self::Requests,
        Self::ConnectionAttempts,
        Self::GroupJoins,
        Self::OffsetCommits,
        Self::MetadataRequests,
    ];

    /// The name in rules, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProducedBytes => "producedBytes",
            Self::ConsumedBytes => "consumedBytes",
            Self::ProducedRecords => "producedRecords",
            Self::ConsumedRecords => "consumedRecords",
            Self::Requests => "requests",
            Self::ConnectionAttempts => "connectionAttempts",
            Self::GroupJoins => "groupJoins",
            Self::OffsetCommits => "offsetCommits",
            Self::MetadataRequests => "metadataRequests",
        }
    }

    /// Whether what a request uses is the sum of what it uses of each topic, as
    /// with bytes. A *request* counts once, and for a quota on topics once for
    /// each topic that it names.
    pub fn adds_up_over_topics(self) -> bool {
        matches!(
            self,
            Self::ProducedBytes
                | Self::ConsumedBytes
                | Self::ProducedRecords
                | Self::ConsumedRecords
        )
    }
}

// === impl Held ===

impl Held {
    /// The name in rules, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::RequestsInFlight => "requestsInFlight",
        }
    }
}

// === impl Selector ===

impl Selector {
    /// Whether the selector does more than let everything through.
    pub fn is_scoped(&self) -> bool {
        *self != Self::Any
    }

    /// Whether every value has a bucket of its own.
    pub(crate) fn tells_apart(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Each => true,
            Self::Named { each, .. } | Self::Prefixed { each, .. } => *each,
        }
    }
}
