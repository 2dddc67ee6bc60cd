//! Kubernetes RBAC as the source of Kafka's access rules.
//!
//! The types here are plain copies of what counts for a decision: no Kubernetes
//! client, no options that only an API server cares about.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

mod compile;
mod roles;
mod ruleset;
mod selector;
mod subjects;

pub use compile::compile;
pub use ruleset::{Compiled, Finding, RuleSet, Source};
pub use selector::{Requirement, Selector};

/// The API group whose resources stand for Kafka's.
pub const API_GROUP: &str = "kafka.tubeway.dev";

/// A namespaced Kubernetes object. Written `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// One rule of a Role or ClusterRole. `nonResourceURLs` do not concern Kafka.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// API groups, or `*`.
    pub api_groups: Vec<String>,
    /// Plural resource names, or `*`.
    pub resources: Vec<String>,
    /// Object names; empty means all.
    pub resource_names: Vec<String>,
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
}

/// A Role of one namespace.
#[derive(Debug, Clone)]
pub struct Role {
    /// Which one.
    pub object: ObjectRef,
    /// What it allows.
    pub rules: Vec<Rule>,
}

/// A ClusterRole.
#[derive(Debug, Clone)]
pub struct ClusterRole {
    /// Its name.
    pub name: String,
    /// Its labels, which other roles' aggregation may select.
    pub labels: BTreeMap<String, String>,
    /// What it allows.
    pub rules: Vec<Rule>,
    /// Selectors of the ClusterRoles whose rules are its own too.
    pub aggregates: Vec<Selector>,
}

/// Whom a binding gives the role to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A ServiceAccount; without a namespace, of the RoleBinding's own.
    ServiceAccount {
        /// Namespace, which only a RoleBinding may leave out.
        namespace: Option<String>,
        /// Name.
        name: String,
    },
    /// A user name, of which `system:serviceaccount:<ns>:<name>` concern Kafka.
    User(String),
    /// A group name, of which those that service accounts are in concern Kafka.
    Group(String),
}

/// Which role a binding gives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleRef {
    /// A Role of the RoleBinding's namespace.
    Role(String),
    /// A ClusterRole.
    ClusterRole(String),
}

/// A RoleBinding, or a ClusterRoleBinding.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The RoleBinding's namespace; none for a ClusterRoleBinding.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What it gives.
    pub role: RoleRef,
    /// To whom.
    pub subjects: Vec<Subject>,
}

/// A KafkaTopic object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Which object: what RBAC's `resourceNames` means.
    pub object: ObjectRef,
    /// The KafkaCluster that the topic is in.
    pub cluster: ObjectRef,
    /// The topic's name in Kafka.
    pub topic: String,
    /// `creationTimestamp` of the object, seconds since 1970.
    pub created: i64,
}

/// Which namespaces may have topics, groups and transactions in a cluster. The
/// cluster's own always may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedNamespaces {
    /// Every one.
    All,
    /// These.
    Only(BTreeSet<String>),
}

/// A KafkaCluster object.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Which one.
    pub object: ObjectRef,
    /// Whom it admits.
    pub allowed: AllowedNamespaces,
}

/// Everything that a decision depends on.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Trust domain of the service accounts' identities.
    pub trust_domain: String,
    /// All Roles.
    pub roles: Vec<Role>,
    /// All ClusterRoles.
    pub cluster_roles: Vec<ClusterRole>,
    /// All RoleBindings and ClusterRoleBindings.
    pub bindings: Vec<Binding>,
    /// All ServiceAccounts, for subjects that are groups of them.
    pub service_accounts: Vec<ObjectRef>,
    /// All KafkaTopics.
    pub topics: Vec<Topic>,
    /// All KafkaClusters.
    pub clusters: Vec<Cluster>,
}

// === impl ObjectRef ===

impl ObjectRef {
    /// The object of this namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl FromStr for ObjectRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self::new(namespace, name))
            }
            _ => Err(format!("{text:?} is not <namespace>/<name>")),
        }
    }
}

// === impl Rule ===

impl Rule {
    /// Whether the rule is about this resource of [`API_GROUP`].
    pub fn covers_resource(&self, resource: &str) -> bool {
        has(&self.api_groups, API_GROUP) && has(&self.resources, resource)
    }

    /// Whether the rule gives this verb.
    pub fn gives(&self, verb: &str) -> bool {
        has(&self.verbs, verb)
    }
}

/// RBAC's comparison: the word itself, or `*`. Nothing else is a pattern.
fn has(list: &[String], word: &str) -> bool {
    list.iter().any(|item| item == "*" || item == word)
}

// === impl Cluster ===

impl Cluster {
    /// Whether objects of this namespace may use the cluster.
    pub fn admits(&self, namespace: &str) -> bool {
        self.object.namespace == namespace
            || match &self.allowed {
                AllowedNamespaces::All => true,
                AllowedNamespaces::Only(names) => names.contains(namespace),
            }
    }
}
