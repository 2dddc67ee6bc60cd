//! What comes out: the ACLs of each cluster, and where each comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::{ObjectRef, RoleRef};
use crate::acl::AclBinding;
use crate::rules::{AccessRules, Rule};

/// Which binding of which role a rule comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Namespace of the RoleBinding; none for a ClusterRoleBinding.
    pub namespace: Option<String>,
    /// Name of the binding.
    pub binding: String,
    /// The role that it gives.
    pub role: RoleRef,
}

/// The access rules of one Kafka cluster, in a fixed order and without doubles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSet {
    grants: BTreeMap<AclBinding, BTreeSet<Arc<Source>>>,
}

/// The rules of every cluster, and what had to be left out.
#[derive(Debug, Clone, Default)]
pub struct Compiled {
    /// By KafkaCluster; each given cluster is there, if only with no rules.
    pub clusters: BTreeMap<ObjectRef, RuleSet>,
    /// What grants something of ours, and yet gives nobody anything.
    pub findings: Vec<Finding>,
}

/// Why a binding, or a part of it, has no effect on Kafka.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Finding {
    /// The role does not exist.
    #[error("{0}: there is no such role")]
    NoRole(Source),
    /// The subject is a person, or a group that no service account is in.
    #[error(
        "{0}: subject {1:?} is no service account, and only these have an identity in the mesh"
    )]
    Subject(Source, String),
    /// The name cannot be part of a SPIFFE id.
    #[error(
        "{0}: service account {1:?} has no identity: its name or the trust domain has characters that a SPIFFE id may not have"
    )]
    Identity(Source, String),
}

// === impl RuleSet ===

impl RuleSet {
    /// The ACLs, in the order of [`AclBinding`].
    pub fn acls(&self) -> impl ExactSizeIterator<Item = &AclBinding> {
        self.grants.keys()
    }

    /// The bindings that an ACL comes from; none if it is not of this set.
    pub fn explain(&self, acl: &AclBinding) -> impl Iterator<Item = &Source> {
        self.grants
            .get(acl)
            .into_iter()
            .flatten()
            .map(AsRef::as_ref)
    }

    /// The same as a sidecar enforces it, each rule with where it comes from.
    pub fn for_sidecars(&self, super_users: impl IntoIterator<Item = String>) -> AccessRules {
        let rule = |acl: &AclBinding| Rule {
            source: self
                .explain(acl)
                .next()
                .map(Source::to_string)
                .unwrap_or_default(),
            ..Rule::from(acl.clone())
        };
        AccessRules {
            super_users: super_users.into_iter().collect(),
            rules: self.acls().map(rule).collect(),
        }
    }

    /// How many ACLs there are.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether nobody may do anything.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    pub(super) fn add(&mut self, acl: AclBinding, source: &Arc<Source>) {
        self.grants
            .entry(acl)
            .or_default()
            .insert(Arc::clone(source));
    }
}

// === impl Source ===

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "RoleBinding {namespace}/{}", self.binding)?,
            None => write!(f, "ClusterRoleBinding {}", self.binding)?,
        }
        match &self.role {
            RoleRef::Role(name) => write!(f, " of Role {name}"),
            RoleRef::ClusterRole(name) => write!(f, " of ClusterRole {name}"),
        }
    }
}
