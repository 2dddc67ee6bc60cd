//! KafkaQuota: how much of a Kafka cluster somebody may use.

mod rate;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::KafkaClusterRef;

pub use rate::QuotaRate;

/// How much of a Kafka cluster somebody may use.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kafka.tubeway.dev",
    version = "v1alpha1",
    kind = "KafkaQuota",
    plural = "kafkaquotas",
    shortname = "kq",
    category = "kafka",
    namespaced,
    status = "KafkaQuotaStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "How much of a KafkaCluster somebody may use.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster.name"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.topics) || !(has(self.limits.connections) || has(self.limits.connectionAttemptsPerSecond) || has(self.limits.groupJoinsPerSecond) || has(self.limits.requestsInFlight))")
        .message("connections, connectionAttemptsPerSecond, groupJoinsPerSecond and requestsInFlight belong to no topic: limit them in a KafkaQuota without topics"),
    validation = Rule::new("!(has(self.clientIds) || has(self.apis)) || !(has(self.limits.connections) || has(self.limits.connectionAttemptsPerSecond))")
        .message("connections and connectionAttemptsPerSecond count before a client id or an API is known: limit them in a KafkaQuota without clientIds and apis")
)]
pub struct KafkaQuotaSpec {
    /// The cluster whose use is limited.
    #[x_kube(validation = Rule::new("self == oldSelf").message("a quota's cluster cannot be changed: make another KafkaQuota"))]
    pub cluster: KafkaClusterRef,
    /// Whom it limits. Without it everybody together: outside the cluster's
    /// namespace the service accounts of the quota's own namespace, or, on
    /// topics that this namespace owns, everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<QuotaSubjects>,
    /// Which client ids it limits; without it all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ids: Option<QuotaClientIds>,
    /// Which topics it limits, by their names in Kafka; without it all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topics: Option<QuotaTopics>,
    /// Which APIs it limits; without it all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apis: Option<QuotaApis>,
    /// The limits.
    pub limits: QuotaLimits,
    /// How many seconds' worth of a rate may be used at once after a time of
    /// using less; without it 11, as with Kafka's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3600))]
    pub burst_seconds: Option<i32>,
    /// What becomes of attempts to connect that are too many.
    #[serde(default)]
    pub excess_connection_attempts: ExcessAttempts,
    /// Whether the limits are each broker's or the cluster's.
    #[serde(default)]
    pub scope: QuotaScope,
}

/// Whom a quota limits: the subjects listed, or all if none is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaSubjects {
    /// Service accounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub service_accounts: Vec<QuotaServiceAccount>,
    /// Workloads by their SPIFFE ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(max = 2048), regex(pattern = "^spiffe://"))
    )]
    pub spiffe_ids: Vec<String>,
    /// Others that Kafka knows, by the name after `User:`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 2048)))]
    pub users: Vec<String>,
    /// Whether each has the limits to itself.
    #[serde(default)]
    pub count: QuotaCount,
}

/// A service account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaServiceAccount {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; without it the quota's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Which client ids a quota limits: those listed, or all if none is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaClientIds {
    /// The client ids; the empty one is that of clients without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 1024)))]
    pub names: Vec<String>,
    /// Whether each has the limits to itself.
    #[serde(default)]
    pub count: QuotaCount,
}

/// Which topics a quota limits: those listed, or all if none is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaTopics {
    /// The topics' names in Kafka.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(max = 249), regex(pattern = r"^[a-zA-Z0-9._-]+$"))
    )]
    pub names: Vec<String>,
    /// Whether each has the limits to itself.
    #[serde(default)]
    pub count: QuotaCount,
}

/// Which APIs a quota limits: those listed, or all if none is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaApis {
    /// Names of Kafka's APIs, as in `Produce`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(length(max = 64), regex(pattern = "^[A-Z][A-Za-z0-9]*$"))
    )]
    pub names: Vec<String>,
    /// Whether each has the limits to itself.
    #[serde(default)]
    pub count: QuotaCount,
}

/// Whether each has the limits to itself, or all share them.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum QuotaCount {
    /// Each has them to itself.
    #[default]
    Each,
    /// All share them.
    Together,
}

/// The limits; one at least. Rates are amounts as Kubernetes writes them: whole
/// numbers, or text such as `10Mi`, `5k` or `500m` (one in two seconds).
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1))]
pub struct QuotaLimits {
    /// Bytes of record batches in Produce requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced_bytes_per_second: Option<QuotaRate>,
    /// Bytes of record batches in Fetch and ShareFetch responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed_bytes_per_second: Option<QuotaRate>,
    /// Records in Produce requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub produced_records_per_second: Option<QuotaRate>,
    /// Records in Fetch and ShareFetch responses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed_records_per_second: Option<QuotaRate>,
    /// Requests of any API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<QuotaRate>,
    /// Connections that get as far as showing who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_attempts_per_second: Option<QuotaRate>,
    /// Members that join groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_joins_per_second: Option<QuotaRate>,
    /// Requests that commit offsets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset_commits_per_second: Option<QuotaRate>,
    /// Requests for metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_requests_per_second: Option<QuotaRate>,
    /// Connections at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: Option<i32>,
    /// Requests without an answer at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_in_flight: Option<i32>,
}

/// What becomes of attempts to connect that are too many.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum ExcessAttempts {
    /// They wait.
    #[default]
    Delay,
    /// They are closed.
    Refuse,
}

/// Whether limits are each broker's or the cluster's.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum QuotaScope {
    /// Each broker allows that much, as Kafka's own quotas have it.
    #[default]
    PerBroker,
    /// All brokers together allow that much; it is shared out by use.
    Cluster,
}

/// What the operator found and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaQuotaStatus {
    /// `metadata.generation` of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether every sidecar enforces the quota.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}

// === impl KafkaQuota ===

impl KafkaQuota {
    /// Namespace and name of the KafkaCluster whose use is limited.
    pub fn cluster_key(&self) -> (String, String) {
        self.spec.cluster.key(self.namespace())
    }
}
