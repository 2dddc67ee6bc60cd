//! KafkaAcl objects as a source of Kafka's access rules.
//!
//! They say what RBAC has no words for: prefixes, denials, partitions, networks,
//! zones, and principals that are no service account. Whose word counts for what:
//!
//! | the KafkaAcl is | it may speak about |
//! |---|---|
//! | in the KafkaCluster's namespace | everything of that cluster |
//! | in another namespace that the cluster admits | the topics, by name, that KafkaTopic objects of its own namespace own in that cluster |
//! | in any other namespace | nothing |
//!
//! The types here are plain copies of what counts for a decision, and may hold
//! what the schema of the kind would refuse.

use std::collections::BTreeMap;

mod compile;
mod finding;

pub use compile::{MAX_RULES, compile};
pub use finding::{Finding, Problem};

use crate::acl::{Operation, Permission, ResourceType};
use crate::rbac::ObjectRef;
use crate::rules::Rule;

/// A KafkaAcl object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaAcl {
    /// Which one.
    pub object: ObjectRef,
    /// The KafkaCluster that the rules are for.
    pub cluster: ObjectRef,
    /// The rules.
    pub rules: Vec<AclRule>,
}

/// One rule of a KafkaAcl.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclRule {
    /// Whether it gives or takes.
    pub effect: Permission,
    /// Who.
    pub principals: Vec<Principal>,
    /// On what.
    pub resource: Target,
    /// What is allowed or denied.
    pub operations: Vec<Operation>,
    /// Addresses or networks; empty is anywhere.
    pub hosts: Vec<String>,
    /// Zones; empty is anywhere.
    pub zones: Vec<String>,
}

/// Who a rule is about; of the four forms exactly one may be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Principal {
    /// Namespace, without it the KafkaAcl's own, and name of a service account.
    pub service_account: Option<(Option<String>, String)>,
    /// A SPIFFE id of any trust domain.
    pub spiffe_id: Option<String>,
    /// `User:<name>`.
    pub user: Option<String>,
    /// Everybody.
    pub any: Option<bool>,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What kind of thing.
    pub kind: ResourceType,
    /// Its name, unless the pattern is [`Pattern::Any`] or the kind a cluster.
    pub name: Option<String>,
    /// How the name is compared.
    pub pattern: Pattern,
    /// A set of partitions, as in `0-3,7`.
    pub partitions: Option<String>,
}

/// How a rule's name is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pattern {
    /// The name itself.
    #[default]
    Literal,
    /// What begins with the name.
    Prefixed,
    /// Everything of the kind.
    Any,
}

/// What became of all KafkaAcl objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compiled {
    /// The rules by KafkaCluster; each given cluster is there, if only with none.
    pub clusters: BTreeMap<ObjectRef, Vec<Rule>>,
    /// How many rules each KafkaAcl makes.
    pub objects: BTreeMap<ObjectRef, usize>,
    /// What was said and does not count, or not as it was said.
    pub findings: Vec<Finding>,
}
