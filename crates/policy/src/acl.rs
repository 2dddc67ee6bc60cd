//! Kafka's own access rules, as `CreateAcls` and `DescribeAcls` carry them.

use std::fmt;

use serde::{Deserialize, Serialize};

mod diff;

pub use diff::{AclDiff, Managed};

/// The name of the one resource of type [`ResourceType::Cluster`].
pub const CLUSTER_RESOURCE: &str = "kafka-cluster";
/// As a literal resource name: every resource of that type. As a host: any.
pub const WILDCARD: &str = "*";

/// What kind of thing an ACL is about; the discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic, by name.
    Topic = 2,
    /// A consumer, share or streams group, by id.
    Group = 3,
    /// The cluster itself, always named [`CLUSTER_RESOURCE`].
    Cluster = 4,
    /// A transactional id.
    TransactionalId = 5,
    /// A delegation token, by its id.
    DelegationToken = 6,
    /// A user whose delegation tokens are acted on, as `Type:name`.
    User = 7,
}

/// How an ACL's resource name is compared; the discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub enum PatternType {
    /// The name itself, or [`WILDCARD`].
    Literal = 3,
    /// Every resource whose name begins with the name.
    Prefixed = 4,
}

/// What is done to the resource; the discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub enum Operation {
    /// Every operation.
    All = 2,
    /// Fetch from a topic, or take part in a group.
    Read = 3,
    /// Produce to a topic, or use a transactional id.
    Write = 4,
    /// Create topics.
    Create = 5,
    /// Delete topics, records or groups.
    Delete = 6,
    /// Add partitions; or, on the cluster, change ACLs, quorum and assignments.
    Alter = 7,
    /// See that it exists, and its metadata.
    Describe = 8,
    /// What brokers do to each other.
    ClusterAction = 9,
    /// Read configurations.
    DescribeConfigs = 10,
    /// Change configurations.
    AlterConfigs = 11,
    /// Produce idempotently (Kafka before 2.8).
    IdempotentWrite = 12,
    /// Create delegation tokens for a user.
    CreateTokens = 13,
    /// See a user's delegation tokens.
    DescribeTokens = 14,
    /// Take part in a two-phase commit from outside.
    TwoPhaseCommit = 15,
}

/// Whether an ACL gives or takes; the discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i8)]
pub enum Permission {
    /// Refuses, whatever else allows.
    Deny = 2,
    /// Allows, unless something denies.
    Allow = 3,
}

/// One access rule of Kafka. Two rules are the same when all fields are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AclBinding {
    /// Kind of the resource.
    pub resource_type: ResourceType,
    /// The resource's name, or what it begins with.
    pub name: String,
    /// How `name` is compared.
    pub pattern: PatternType,
    /// `Type:name`, such as `User:spiffe://cluster.local/ns/shop/sa/checkout`.
    pub principal: String,
    /// Address of the client as the broker sees it, or [`WILDCARD`].
    pub host: String,
    /// What is allowed or denied.
    pub operation: Operation,
    /// Which of the two.
    pub permission: Permission,
}

// === impl ResourceType ===

impl ResourceType {
    /// All that an ACL can be about.
    pub const ALL: [Self; 6] = [
        Self::Topic,
        Self::Group,
        Self::Cluster,
        Self::TransactionalId,
        Self::DelegationToken,
        Self::User,
    ];

    /// Kafka's code.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The type with this code, if this version of Tubeway knows it.
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }

    /// The operations that mean something for this type (Kafka's
    /// `AclEntry.supportedOperations`).
    pub const fn operations(self) -> &'static [Operation] {
        use Operation::{
            Alter, AlterConfigs, ClusterAction, Create, CreateTokens, Delete, Describe,
            DescribeConfigs, DescribeTokens, IdempotentWrite, Read, TwoPhaseCommit, Write,
        };
        match self {
            Self::Topic => &[
                Read,
                Write,
                Create,
                Describe,
                Delete,
                Alter,
                DescribeConfigs,
                AlterConfigs,
            ],
            Self::Group => &[Read, Describe, Delete, DescribeConfigs, AlterConfigs],
            Self::Cluster => &[
                Create,
                ClusterAction,
                DescribeConfigs,
                AlterConfigs,
                IdempotentWrite,
                Alter,
                Describe,
            ],
            Self::TransactionalId => &[Describe, Write, TwoPhaseCommit],
            Self::DelegationToken => &[Describe],
            Self::User => &[CreateTokens, DescribeTokens],
        }
    }

    /// The name that stands for every resource of this type.
    pub const fn every(self) -> &'static str {
        match self {
            Self::Cluster => CLUSTER_RESOURCE,
            _ => WILDCARD,
        }
    }
}

// === impl PatternType ===

impl PatternType {
    /// All that a stored ACL can have.
    pub const ALL: [Self; 2] = [Self::Literal, Self::Prefixed];

    /// Kafka's code.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The pattern with this code, if this version of Tubeway knows it.
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }
}

// === impl Operation ===

impl Operation {
    /// All that a stored ACL can name.
    pub const ALL: [Self; 14] = [
        Self::All,
        Self::Read,
        Self::Write,
        Self::Create,
        Self::Delete,
        Self::Alter,
        Self::Describe,
        Self::ClusterAction,
        Self::DescribeConfigs,
        Self::AlterConfigs,
        Self::IdempotentWrite,
        Self::CreateTokens,
        Self::DescribeTokens,
        Self::TwoPhaseCommit,
    ];

    /// Kafka's code.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The operation with this code, if this version of Tubeway knows it.
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }
}

// === impl Permission ===

impl Permission {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Deny, Self::Allow];

    /// Kafka's code.
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The permission with this code.
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.code() == code)
    }
}

// === impl AclBinding ===

impl AclBinding {
    /// `principal` may do `operation` on exactly this resource, from any host.
    pub fn allow(
        principal: impl Into<String>,
        operation: Operation,
        resource_type: ResourceType,
        name: impl Into<String>,
    ) -> Self {
        Self {
            resource_type,
            name: name.into(),
            pattern: PatternType::Literal,
            principal: principal.into(),
            host: WILDCARD.to_owned(),
            operation,
            permission: Permission::Allow,
        }
    }
}

impl fmt::Display for AclBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {} {:?} on {:?} {:?} {:?} from {}",
            self.permission,
            self.principal,
            self.operation,
            self.pattern,
            self.resource_type,
            self.name,
            self.host
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kafkas_and_read_back() {
        assert_eq!(ResourceType::Topic.code(), 2);
        assert_eq!(ResourceType::User.code(), 7);
        assert_eq!(PatternType::Literal.code(), 3);
        assert_eq!(Operation::TwoPhaseCommit.code(), 15);
        assert_eq!(Permission::Allow.code(), 3);
        for t in ResourceType::ALL {
            assert_eq!(ResourceType::from_code(t.code()), Some(t));
        }
        for o in Operation::ALL {
            assert_eq!(Operation::from_code(o.code()), Some(o));
        }
        // UNKNOWN and ANY are for filters, and no stored ACL has them.
        assert_eq!(ResourceType::from_code(0), None);
        assert_eq!(Operation::from_code(1), None);
        assert_eq!(PatternType::from_code(2), None);
        assert_eq!(Permission::from_code(1), None);
    }
}
