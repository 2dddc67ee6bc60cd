//! KafkaCluster: one Kafka cluster in the mesh.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{ConfigValue, Mesh};

/// One Kafka cluster. Its nodes come from the KafkaNodePools that name it.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kafka.tubeway.dev",
    version = "v1alpha1",
    kind = "KafkaCluster",
    plural = "kafkaclusters",
    shortname = "kc",
    category = "kafka",
    namespaced,
    status = "KafkaClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Kafka cluster in the mesh. Its nodes come from the KafkaNodePools that name it.",
    validation = Rule::new("self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 32")
        .message("metadata.name must be at most 32 of a-z, 0-9 and '-', beginning with a letter: pods are named after it"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.kafkaVersion"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.readyNodes"),
    printcolumn(name = "Bootstrap", type_ = "string", json_path = ".status.bootstrap", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].message", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterSpec {
    /// Version of Apache Kafka that the nodes run, as in `4.3.1`.
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+\.[0-9]+$"))]
    pub version: String,
    /// Release whose metadata and features the cluster uses, as in `4.3`. Without
    /// it: that of `version`, once all nodes run it. To be able to go back to an
    /// older version, keep that one's release here until the new one has proved
    /// itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]+\.[0-9]+$"))]
    pub metadata_version: Option<String>,
    /// Kafka options of all nodes. Those that make up the mesh (listeners,
    /// logins, ids, folders) belong to the operator and are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 500))]
    pub config: BTreeMap<String, ConfigValue>,
    /// Which namespaces may hold topics of this cluster and grant access to
    /// them. Without it: the cluster's own.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// How many pods may be replaced at the same time, where Kafka can spare them
    /// together. Without it: a tenth of the brokers, at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_unavailable: Option<i32>,
    /// How replicas are moved when brokers come and go.
    #[serde(default)]
    pub reassignment: Reassignment,
    /// Who vouches for the nodes and for the clients.
    #[serde(default)]
    pub mesh: Mesh,
    /// While true the operator changes nothing of this cluster but its status.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pause: bool,
}

/// How replicas are moved when brokers come and go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Reassignment {
    /// Whether a new broker gets its share of the replicas there are. Without it
    /// it gets replicas of new topics only.
    pub fill_new_brokers: bool,
    /// Bytes a second that a broker may send, and receive, for moves, as in
    /// `50Mi`. Without it moves are not held back. It must be more than what
    /// producers write to a broker, or moves never end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::schema::QUANTITY))]
    pub bytes_per_second: Option<String>,
    /// How many partitions may be on the move at the same time.
    #[schemars(range(min = 1, max = 10000))]
    pub partitions_at_once: i32,
}

/// Which namespaces' KafkaTopics and RoleBindings count for a cluster.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.from == 'Selector') == has(self.selector)")
        .message("selector goes with from: Selector, and only with it")
)]
pub struct AllowedNamespaces {
    /// How the namespaces are chosen.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels that a namespace must have, where `from` is `Selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::label_selector")]
    pub selector: Option<LabelSelector>,
}

/// How namespaces are chosen.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum NamespacesFrom {
    /// The cluster's own namespace.
    #[default]
    Same,
    /// Every namespace.
    All,
    /// Namespaces with the labels of `selector`.
    Selector,
}

/// What the operator found and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaClusterStatus {
    /// `metadata.generation` of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Progressing`, `ConfigApplied`, `AccessApplied`, `SidecarsInSync`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Kafka's own id of the cluster, written once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Version of Apache Kafka that all nodes run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kafka_version: Option<String>,
    /// Release whose metadata the cluster uses, as in `4.3`. No node can run an
    /// older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_version: Option<String>,
    /// The nodes, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeStatus>,
    /// The metadata quorum, as its leader describes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<QuorumStatus>,
    /// Where clients in the mesh begin, as `host:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<String>,
    /// Ready nodes of all nodes, as in `3/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_nodes: Option<String>,
}

/// One node of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Kafka's `node.id`.
    #[schemars(with = "i32")]
    pub id: u32,
    /// Name of the KafkaNodePool.
    pub pool: String,
    /// Name of the pod.
    pub pod: String,
    /// Whether the pod is ready.
    pub ready: bool,
}

/// The metadata quorum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuorumStatus {
    /// Node id of the active controller.
    #[schemars(with = "i32")]
    pub leader: u32,
    /// Epoch of that leader.
    #[schemars(with = "i32")]
    pub epoch: u32,
    /// Node ids of the voters.
    #[schemars(with = "Vec<i32>")]
    pub voters: Vec<u32>,
}

// === impl Reassignment ===

impl Default for Reassignment {
    fn default() -> Self {
        Self {
            fill_new_brokers: true,
            bytes_per_second: None,
            partitions_at_once: 20,
        }
    }
}
