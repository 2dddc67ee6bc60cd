//! KafkaAcl: access rules that Kubernetes RBAC has no words for.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::KafkaClusterRef;

/// Access rules of a Kafka cluster: prefixes, denials, partitions, networks,
/// zones, and principals that are no service account.
#[derive(CustomResource, KubeSchema, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "kafka.tubeway.dev",
    version = "v1alpha1",
    kind = "KafkaAcl",
    plural = "kafkaacls",
    shortname = "kacl",
    category = "kafka",
    namespaced,
    status = "KafkaAclStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "Access rules of a KafkaCluster that Kubernetes RBAC has no words for.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster.name"),
    printcolumn(name = "Rules", type_ = "integer", json_path = ".status.rules"),
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
pub struct KafkaAclSpec {
    /// The cluster that the rules are for. From another namespace than the
    /// cluster's, only rules about the KafkaAcl's own namespace's topics count.
    #[x_kube(validation = Rule::new("self == oldSelf").message("a KafkaAcl's cluster cannot be changed: make another KafkaAcl"))]
    pub cluster: KafkaClusterRef,
    /// The rules. Their order means nothing: a denial that matches wins.
    #[schemars(length(min = 1, max = 64))]
    pub rules: Vec<AclRule>,
}

/// One rule: who may, or may not, do what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AclRule {
    /// Whether the rule gives or takes.
    #[serde(default)]
    pub effect: AclEffect,
    /// Who.
    #[schemars(length(min = 1, max = 32))]
    pub principals: Vec<AclPrincipal>,
    /// On what.
    pub resource: AclResource,
    /// What is allowed or denied.
    #[schemars(length(min = 1, max = 14), extend("x-kubernetes-list-type" = "set"))]
    pub operations: BTreeSet<AclOperation>,
    /// Addresses or networks that the caller must be in one of, as in
    /// `10.1.0.0/16`; without any, it may be anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 49), regex(pattern = r"^[0-9a-fA-F.:/]+$"))
    )]
    pub hosts: Vec<String>,
    /// Zones that the caller must be in one of; without any, it may be anywhere.
    /// Where its zone is not known, an allowance does not count and a denial does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    pub zones: Vec<String>,
}

/// Whether a rule gives or takes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum AclEffect {
    /// Allows, unless something denies.
    #[default]
    Allow,
    /// Denies, whatever else allows.
    Deny,
}

/// Who a rule is about, in one of four forms.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(has(self.serviceAccount) ? 1 : 0) + (has(self.spiffeId) ? 1 : 0) + (has(self.user) ? 1 : 0) + (has(self.any) ? 1 : 0) == 1")
        .message("a principal is exactly one of serviceAccount, spiffeId, user and any")
)]
pub struct AclPrincipal {
    /// A service account of this Kubernetes cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<AclServiceAccount>,
    /// A workload of any trust domain, as in `spiffe://example.org/ns/a/sa/b`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 2048),
        regex(pattern = r"^spiffe://[a-z0-9._-]+(/[a-zA-Z0-9._-]+)+$")
    )]
    pub spiffe_id: Option<String>,
    /// A principal as Kafka writes it, as in `User:CN=billing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2053), regex(pattern = r"^User:([^*]|.{2,})$"))]
    pub user: Option<String>,
    /// Everybody who is authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [true]))]
    pub any: Option<bool>,
}

/// A service account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AclServiceAccount {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace; without it the KafkaAcl's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What a rule is about.
#[derive(KubeSchema, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type == 'Cluster' || (self.pattern == 'Any') != has(self.name)")
        .message("pattern Any has no name; Literal and Prefixed need one"),
    validation = Rule::new("self.type != 'Cluster' || (!has(self.name) && self.pattern != 'Prefixed')")
        .message("type Cluster has no name: it is the one cluster"),
    validation = Rule::new("self.type != 'Topic' || !has(self.name) || self.name.matches('^[a-zA-Z0-9._-]{1,249}$')")
        .message("a topic's name has 1 to 249 of a-z A-Z 0-9 . _ -"),
    validation = Rule::new("!has(self.name) || self.pattern != 'Literal' || self.name != '*'")
        .message("for all resources of a type write pattern: Any"),
    validation = Rule::new("!has(self.partitions) || self.type == 'Topic'")
        .message("only topics have partitions")
)]
pub struct AclResource {
    /// What kind of thing.
    #[serde(rename = "type")]
    pub kind: AclResourceType,
    /// Its name in Kafka, or what that begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub name: Option<String>,
    /// How the name is compared.
    #[serde(default)]
    pub pattern: AclPattern,
    /// The topic's partitions that the rule is about, as in `0-3,7`; without
    /// it all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 1024),
        regex(pattern = r"^[0-9]{1,9}(-[0-9]{1,9})?(,[0-9]{1,9}(-[0-9]{1,9})?)*$")
    )]
    pub partitions: Option<String>,
}

/// What kind of thing a rule is about.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum AclResourceType {
    /// Topics.
    #[default]
    Topic,
    /// Consumer, share and streams groups.
    Group,
    /// Transactional ids.
    TransactionalId,
    /// The cluster itself.
    Cluster,
    /// Delegation tokens.
    DelegationToken,
    /// Users whose delegation tokens are acted on.
    User,
}

/// How a rule's name is compared.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum AclPattern {
    /// The name itself.
    #[default]
    Literal,
    /// What begins with the name.
    Prefixed,
    /// Everything of the type.
    Any,
}

/// What is allowed or denied: Kafka's operations.
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
pub enum AclOperation {
    /// Every operation.
    All,
    /// Fetch from a topic, or take part in a group.
    Read,
    /// Produce to a topic, or use a transactional id.
    Write,
    /// Create topics.
    Create,
    /// Delete topics, records or groups.
    Delete,
    /// Add partitions; or, on the cluster, change ACLs, quorum and assignments.
    Alter,
    /// See that it exists, and its metadata.
    Describe,
    /// What brokers do to each other.
    ClusterAction,
    /// Read configurations.
    DescribeConfigs,
    /// Change configurations.
    AlterConfigs,
    /// Produce idempotently (Kafka before 2.8).
    IdempotentWrite,
    /// Create delegation tokens for a user.
    CreateTokens,
    /// See a user's delegation tokens.
    DescribeTokens,
    /// Take part in a two-phase commit from outside.
    TwoPhaseCommit,
}

/// What the operator found and did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KafkaAclStatus {
    /// `metadata.generation` of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`: whether every rule counts, or which do not and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How many rules it makes, one for each principal, operation and host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<i64>,
}

// === impl KafkaAcl ===

impl KafkaAcl {
    /// Namespace and name of the KafkaCluster that the rules are for.
    pub fn cluster_key(&self) -> (String, String) {
        self.spec.cluster.key(self.namespace())
    }
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_has_its_default() {
        let acl: KafkaAcl = serde_json::from_value(json!({
            "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaAcl",
            "metadata": {"name": "a", "namespace": "shop"},
            "spec": {
                "cluster": {"name": "main"},
                "rules": [{
                    "principals": [{"serviceAccount": {"name": "checkout"}}],
                    "resource": {"type": "Topic", "name": "orders"},
                    "operations": ["Read", "AlterConfigs"],
                }],
            },
        }))
        .unwrap();
        let rule = &acl.spec.rules[0];
        assert_eq!(rule.effect, AclEffect::Allow);
        assert_eq!(rule.resource.pattern, AclPattern::Literal);
        assert!(rule.operations.contains(&AclOperation::AlterConfigs));
        assert_eq!(acl.cluster_key(), ("shop".to_owned(), "main".to_owned()));
    }

    /// The API server refuses a definition whose rules might cost too much,
    /// and it reckons with the largest object that the schema lets in.
    #[test]
    fn every_list_and_text_of_a_rule_has_a_limit() {
        let crd = serde_json::to_value(KafkaAcl::crd()).unwrap();
        let rule = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            ["rules"];
        assert_eq!(rule["maxItems"], 64);
        let mut open = vec![("rules".to_owned(), &rule["items"])];
        let mut seen = 0;
        while let Some((path, schema)) = open.pop() {
            seen += 1;
            match schema["type"].as_str() {
                Some("array") => {
                    assert!(schema["maxItems"].is_u64(), "{path}: {schema}");
                    open.push((format!("{path}[]"), &schema["items"]));
                }
                Some("string") if schema["enum"].is_null() => {
                    assert!(schema["maxLength"].is_u64(), "{path}: {schema}");
                }
                Some("object") => {
                    for (name, field) in schema["properties"].as_object().unwrap() {
                        open.push((format!("{path}.{name}"), field));
                    }
                }
                _ => {}
            }
        }
        assert!(seen > 15, "{seen}");
    }
}
