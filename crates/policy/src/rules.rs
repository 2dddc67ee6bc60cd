//! Access rules as a sidecar enforces them: Kafka's ACLs, and what only a
//! sidecar can say (partitions, networks, zones).
//!
//! The order of decision is Kafka's (`StandardAuthorizer`, Kafka 4.1): a super
//! user may do everything; a matching denial denies, whatever else allows; a
//! matching allowance allows; everything else is denied. Of allowances, READ,
//! WRITE, DELETE and ALTER imply DESCRIBE, and ALTER_CONFIGS implies
//! DESCRIBE_CONFIGS; denials imply nothing. ALL is every operation.

mod authorizer;
mod check;
mod host;
mod index;
mod merge;
mod native;
mod partitions;
mod prefixes;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::acl::{AclBinding, ResourceType};

pub use authorizer::{Authorizer, Decision};
pub(crate) use check::OF_PARTITIONS;
pub use check::{RuleError, RuleProblem};
pub(crate) use host::Host;
pub use host::HostError;
pub use partitions::{PartitionRangeError, Partitions};

/// The principal of a rule that is about everybody.
pub const EVERY_PRINCIPAL: &str = "User:*";

/// All rules of one Kafka cluster, as the operator sends them to its sidecars.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccessRules {
    /// Principals (`User:…`) that may do everything.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub super_users: BTreeSet<String>,
    /// The rules; their order means nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// One rule: an ACL, and the conditions under which it counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// Who, what, and whether it is allowed. Its host is `*`, an address as
    /// text, or a network such as `10.1.0.0/16` (in Kafka itself since 4.4).
    pub acl: AclBinding,
    /// Zones that the caller must be in one of; empty is anywhere. For a caller
    /// whose zone is not known an allowance with zones does not count and a
    /// denial does: it may well be in one of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<String>,
    /// The topic's partitions that this is about; all without it. Only for
    /// topics, and only READ, WRITE, DELETE and DESCRIBE tell partitions apart:
    /// ALL with partitions is these four.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<Partitions>,
    /// What the rule comes from, for logs: `RoleBinding shop/checkout of Role …`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// `User:spiffe://…`.
    pub principal: Arc<str>,
    /// Where the connection comes from.
    pub host: IpAddr,
    /// The zone of that place; none where it is not known.
    pub zone: Option<Arc<str>>,
}

/// What is asked about: always one thing by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    /// What kind of thing.
    pub kind: ResourceType,
    /// Its name.
    pub name: &'a str,
}

// === impl Resource ===

impl<'a> Resource<'a> {
    /// The cluster itself.
    pub const CLUSTER: Resource<'static> = Resource {
        kind: ResourceType::Cluster,
        name: crate::acl::CLUSTER_RESOURCE,
    };

    /// A topic.
    pub const fn topic(name: &'a str) -> Self {
        Self {
            kind: ResourceType::Topic,
            name,
        }
    }

    /// A group.
    pub const fn group(name: &'a str) -> Self {
        Self {
            kind: ResourceType::Group,
            name,
        }
    }

    /// A transactional id.
    pub const fn transactional_id(name: &'a str) -> Self {
        Self {
            kind: ResourceType::TransactionalId,
            name,
        }
    }
}

// === impl AccessRules ===

impl AccessRules {
    /// Whether a rule is about some zones only, so that callers' zones matter.
    pub fn name_zones(&self) -> bool {
        self.rules.iter().any(|rule| !rule.zones.is_empty())
    }
}

// === impl Rule ===

impl Rule {
    /// All of the rule but where it comes from.
    fn statement(&self) -> (&AclBinding, &BTreeSet<String>, Option<&Partitions>) {
        (&self.acl, &self.zones, self.partitions.as_ref())
    }

    /// Whether two rules differ at most in where they come from.
    fn says(&self, other: &Self) -> bool {
        self.statement() == other.statement()
    }
}

impl From<AclBinding> for Rule {
    fn from(acl: AclBinding) -> Self {
        Self {
            acl,
            zones: BTreeSet::new(),
            partitions: None,
            source: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
