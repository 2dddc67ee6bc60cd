//! KafkaNodePool: nodes of a cluster that are made alike.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeAffinity, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::ConfigValue;

/// Nodes of one KafkaCluster that are made alike.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kafka.tubeway.dev",
    version = "v1alpha1",
    kind = "KafkaNodePool",
    plural = "kafkanodepools",
    shortname = "knp",
    category = "kafka",
    namespaced,
    status = "KafkaNodePoolStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Nodes of a KafkaCluster that are made alike.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 24")
        .message("metadata.name must be at most 24 of a-z, 0-9 and '-', beginning with a letter: pods are named after it"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Roles", type_ = "string", json_path = ".spec.roles"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Node ids", type_ = "string", json_path = ".status.nodeIds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaNodePoolSpec {
    /// Name of the KafkaCluster, in the pool's own namespace.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("a pool's cluster cannot be changed: make another pool"))]
    pub cluster: String,
    /// How many nodes.
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: i32,
    /// What the nodes do.
    #[schemars(length(min = 1, max = 2), extend("x-kubernetes-list-type" = "set"))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("a pool's roles cannot be changed: make another pool and move over"))]
    pub roles: BTreeSet<NodeRole>,
    /// The disks of each node.
    pub storage: Storage,
    /// The Java runtime of each node.
    #[serde(default)]
    pub jvm: Jvm,
    /// What each node's Kafka container asks for and may use.
    #[serde(default)]
    pub resources: Resources,
    /// Kafka options of these nodes, over those of the KafkaCluster. Options that
    /// brokers take while they run are the KafkaCluster's alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 500))]
    pub config: BTreeMap<String, ConfigValue>,
    /// What is different about single nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub nodes: Vec<NodeOverride>,
    /// Where the pods run, and what they are marked with.
    #[serde(default, skip_serializing_if = "PodTemplate::is_empty")]
    pub pod: PodTemplate,
    /// Levels of Kafka's loggers other than INFO, as in
    /// `kafka.authorizer.logger: DEBUG`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub loggers: BTreeMap<String, LogLevel>,
}

/// What is different about one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeOverride {
    /// The node's id, as in `status.nodeIds`. It may name a node that is not
    /// there yet.
    #[schemars(range(min = 0))]
    pub id: i32,
    /// Kafka options of this node, over those of its pool.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 500))]
    pub config: BTreeMap<String, ConfigValue>,
}

/// A level of Kafka's loggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Errors.
    Error,
    /// And warnings.
    Warn,
    /// And what an operator of Kafka would want to know.
    Info,
    /// And what somebody who looks for a fault would want to know.
    Debug,
    /// Everything.
    Trace,
}

/// What a node does.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Stores records and serves clients.
    Broker,
    /// Votes in the metadata quorum.
    Controller,
}

/// A node's disks: the first, which holds its metadata log and stays, and those
/// beside it, which may come and go.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.class) == has(oldSelf.class) && (!has(self.class) || self.class == oldSelf.class)")
        .message("storage.class cannot be changed: make another pool and move over")
)]
pub struct Storage {
    /// Size of each node's first claim, as in `10Gi`. It can grow, never shrink.
    #[schemars(extend("pattern" = crate::schema::QUANTITY))]
    pub size: String,
    /// StorageClass of the first claim; without it the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
    /// Whether claims, and with them the data, go when the KafkaCluster goes,
    /// and when their node or disk is taken away and empty. They stay unless
    /// this is set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delete_claim: bool,
    /// More disks of each broker (JBOD). One that is added here gets new
    /// replicas; one that is taken away goes when its replicas have been moved
    /// to the broker's other disks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 31),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"])
    )]
    pub volumes: Vec<Volume>,
}

/// One more disk of each broker.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.class) == has(oldSelf.class) && (!has(self.class) || self.class == oldSelf.class)")
        .message("a volume's class cannot be changed: add another volume and take this one away")
)]
pub struct Volume {
    /// Tells a node's disks apart, and names their claims. Disk 0 is the one of
    /// `storage.size`: it holds the metadata log and cannot be taken away.
    #[schemars(range(min = 1, max = 99))]
    pub id: i32,
    /// Size of the claims, as in `10Gi`. It can grow, never shrink.
    #[schemars(extend("pattern" = crate::schema::QUANTITY))]
    pub size: String,
    /// StorageClass of the claims; without it the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub class: Option<String>,
}

/// The Java runtime of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Jvm {
    /// Size of the heap, as `-Xmx` takes it: `256m`, `4g`.
    #[schemars(regex(pattern = r"^[1-9][0-9]*[kmgKMG]$"))]
    pub heap: String,
    /// More flags for the Java runtime.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub options: Vec<String>,
}

/// What a container asks for and may use, as Kubernetes writes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What is set aside, by resource name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub requests: BTreeMap<String, Quantity>,
    /// What may be used at most, by resource name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::schema::quantities")]
    pub limits: BTreeMap<String, Quantity>,
}

/// Where pods run, and what they are marked with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    /// Labels beside the operator's own, which are not to be had.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub labels: BTreeMap<String, String>,
    /// Annotations beside the operator's own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a Kubernetes node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of Kubernetes nodes that are put up with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::tolerations")]
    pub tolerations: Vec<Toleration>,
    /// Which Kubernetes nodes are needed, and which preferred. That nodes of one
    /// cluster keep apart is the operator's doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::node_affinity")]
    pub node_affinity: Option<NodeAffinity>,
    /// Name of a PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// What the operator found and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaNodePoolStatus {
    /// `metadata.generation` of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// The ids that this pool's nodes have. An id, once given, stays. Written
    /// also when there are none: what is left out of a status stays in it.
    #[serde(default)]
    #[schemars(with = "Vec<i32>")]
    pub node_ids: Vec<u32>,
    /// Pods that exist, for the `scale` subresource.
    #[serde(default)]
    pub replicas: i32,
    /// Pods that are ready.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Label selector of the pool's pods, for the `scale` subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

// === impl Jvm ===

impl Default for Jvm {
    fn default() -> Self {
        Self {
            heap: "256m".to_owned(),
            options: Vec::new(),
        }
    }
}

// === impl PodTemplate ===

impl PodTemplate {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

// === impl LogLevel ===

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "OFF",
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
            Self::Trace => "TRACE",
        })
    }
}

// === impl NodeRole ===

impl NodeRole {
    /// The role as Kafka's `process.roles` writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Controller => "controller",
        }
    }
}
