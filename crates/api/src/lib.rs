//! Tubeway's Kubernetes resource types, in the group `kafka.tubeway.dev`.
//!
//! Types, names and the rules that a schema can say; nothing here talks to a
//! cluster. Structures are what a user writes ([`KafkaCluster`],
//! [`KafkaNodePool`], [`KafkaTopic`], [`KafkaAcl`], [`KafkaQuota`]) and what the
//! operator reports back in their `status`; [`labels`] and [`condition`] hold the
//! words both share.

#![expect(
    unreachable_pub,
    reason = "kube's schema derive makes public structures inside functions"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "columns of a table may well have the same type"
)]

mod acl;
mod cluster;
pub mod condition;
pub mod labels;
mod mesh;
mod pool;
mod quota;
mod reference;
mod schema;
mod topic;
mod value;

pub use acl::{
    AclEffect, AclOperation, AclPattern, AclPrincipal, AclResource, AclResourceType, AclRule,
    AclServiceAccount, KafkaAcl, KafkaAclSpec, KafkaAclStatus,
};
pub use cluster::{
    AllowedNamespaces, KafkaCluster, KafkaClusterSpec, KafkaClusterStatus, NamespacesFrom,
    NodeStatus, QuorumStatus, Reassignment,
};
pub use mesh::{Mesh, MeshProvider};
pub use pool::{
    Jvm, KafkaNodePool, KafkaNodePoolSpec, KafkaNodePoolStatus, LogLevel, NodeOverride, NodeRole,
    PodTemplate, Resources, Storage, Volume,
};
pub use quota::{
    ExcessAttempts, KafkaQuota, KafkaQuotaSpec, KafkaQuotaStatus, QuotaApis, QuotaClientIds,
    QuotaCount, QuotaLimits, QuotaRate, QuotaScope, QuotaServiceAccount, QuotaSubjects,
    QuotaTopics,
};
pub use reference::KafkaClusterRef;
pub use topic::{DeletionPolicy, KafkaTopic, KafkaTopicSpec, KafkaTopicStatus};
pub use value::ConfigValue;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of every kind here.
pub const GROUP: &str = "kafka.tubeway.dev";
/// The one version that is served.
pub const VERSION: &str = "v1alpha1";

/// The definitions of all kinds, in the order in which they are installed.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        KafkaCluster::crd(),
        KafkaNodePool::crd(),
        KafkaTopic::crd(),
        KafkaAcl::crd(),
        KafkaQuota::crd(),
    ]
}
