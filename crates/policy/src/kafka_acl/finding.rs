//! What of a KafkaAcl does not count, and why.

use std::fmt;

use super::MAX_RULES;
use crate::acl::{Operation, Permission, ResourceType};
use crate::rbac::ObjectRef;
use crate::rules::{HostError, PartitionRangeError};
use crate::spiffe::SpiffeError;

/// A part of a KafkaAcl that does not count as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The KafkaAcl.
    pub object: ObjectRef,
    /// Where in it: `spec.rules[2].resource.name`.
    pub path: String,
    /// The effect of the rule that it is in; none for the whole object. Behind
    /// a denial somebody may have more access than its author believes.
    pub effect: Option<Permission>,
    /// What is wrong, and what to do.
    pub problem: Problem,
}

/// Why a part of a KafkaAcl does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no such cluster.
    #[error("there is no KafkaCluster {0}; name one that is there, and its namespace")]
    NoCluster(ObjectRef),
    /// The cluster does not admit the object's namespace.
    #[error(
        "KafkaCluster {0} does not let this namespace in; its spec.allowedNamespaces says whom it does"
    )]
    NotAllowed(ObjectRef),
    /// Only the cluster's owner may say this.
    #[error(
        "only a KafkaAcl in namespace {0:?}, where the cluster is, may speak about this; here name one topic that a KafkaTopic of this namespace owns"
    )]
    NotYours(String),
    /// The topic is not one of this namespace.
    #[error(
        "no KafkaTopic of this namespace owns topic {topic:?} in the cluster; make one, or put this rule into a KafkaAcl of namespace {owner:?}, where the cluster is"
    )]
    NotYourTopic {
        /// The topic's name in Kafka.
        topic: String,
        /// The cluster's namespace.
        owner: String,
    },
    /// None of the forms of a principal, or several.
    #[error("a principal is exactly one of serviceAccount, spiffeId, user and any: true")]
    PrincipalForm,
    /// The service account's names cannot be part of a SPIFFE id.
    #[error("service account {0} has no identity: a name in it may not be in a SPIFFE id")]
    ServiceAccount(ObjectRef),
    /// Not a SPIFFE id.
    #[error("{0:?} is no SPIFFE id: {1}")]
    SpiffeId(String, SpiffeError),
    /// Not a principal of type User, or everybody.
    #[error("{0:?} is no user; write User:<name>, or any: true for everybody")]
    User(String),
    /// The resource needs a name.
    #[error("a name is missing; for all resources of the type write pattern: Any")]
    NoName,
    /// The resource cannot have a name, or not this one.
    #[error("{0:?} cannot stand here: pattern Any and type Cluster have no name, and * is no name")]
    Name(String),
    /// The one cluster has no prefix.
    #[error("the cluster has no prefix; leave the pattern out")]
    ClusterPattern,
    /// Not a set of partitions.
    #[error(transparent)]
    Partitions(#[from] PartitionRangeError),
    /// Partitions of something that has none.
    #[error("a {0:?} has no partitions; only rules about topics can name some")]
    PartitionsOf(ResourceType),
    /// The operation is done to whole topics.
    #[error(
        "{0:?} is done to a whole topic; with partitions go Read, Write, Delete, Describe and All"
    )]
    PartitionsFor(Operation),
    /// The operation means nothing for this type of resource.
    #[error("{0:?} means nothing for a {1:?}; what does: All, {allowed}", allowed = list(*.1))]
    Operation(Operation, ResourceType),
    /// Not an address or a network.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A zone without a name.
    #[error("a zone's name is empty")]
    NoZone,
    /// The rule has no principals, or no operations.
    #[error("at least one is needed")]
    Empty,
    /// The object makes too many rules.
    #[error(
        "with this rule the object makes {0} rules, one for each principal, operation and host; {MAX_RULES} are allowed: use prefixes and networks, or several objects"
    )]
    TooMany(usize),
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaAcl {}: {}: ", self.object, self.path)?;
        if self.effect == Some(Permission::Deny) {
            f.write_str("in a denial: ")?;
        }
        self.problem.fmt(f)
    }
}

fn list(kind: ResourceType) -> String {
    let names = kind.operations().iter().map(|o| format!("{o:?}"));
    names.collect::<Vec<_>>().join(", ")
}
