//! What a rule may say.

use super::host::HostError;
use super::{AccessRules, Host, Rule};
use crate::acl::{CLUSTER_RESOURCE, Operation, ResourceType};

/// A rule, or a super user, that says something it cannot say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct RuleError {
    /// Where, from the document's root: `rules[3].acl.host`.
    pub path: String,
    /// What is wrong there, and what is allowed.
    pub problem: RuleProblem,
}

/// What can be wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum RuleProblem {
    /// The host cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The resource has no name.
    #[error("the name is empty; write the resource's name, what it begins with, or * for all")]
    NoName,
    /// A cluster is always the one cluster.
    #[error("{0:?} is no name of a cluster; the only one is {CLUSTER_RESOURCE:?}")]
    ClusterName(String),
    /// A principal without a type, or without a name.
    #[error("{0:?} is no principal; write Type:name, such as User:spiffe://…")]
    Principal(String),
    /// Partitions of something that has none.
    #[error("a {0:?} has no partitions; only rules about topics can name some")]
    PartitionsOf(ResourceType),
    /// Partitions for what is done to a whole topic.
    #[error(
        "{0:?} is done to a whole topic; partitions go with Read, Write, Delete, Describe and All"
    )]
    PartitionsFor(Operation),
    /// A zone without a name.
    #[error("a zone's name is empty")]
    NoZone,
}

/// The operations that a rule about some partitions may have. Nothing else is
/// done to a partition: ALL of some partitions is these.
pub(crate) const OF_PARTITIONS: [Operation; 5] = [
    Operation::All,
    Operation::Read,
    Operation::Write,
    Operation::Delete,
    Operation::Describe,
];

// === impl AccessRules ===

impl AccessRules {
    /// Checks every rule; all problems are reported, in the order of the document.
    pub fn check(&self) -> Result<(), Vec<RuleError>> {
        let mut errors = Vec::new();
        for (i, principal) in self.super_users.iter().enumerate() {
            if !is_principal(principal) {
                errors.push(RuleError {
                    path: format!("superUsers[{i}]"),
                    problem: RuleProblem::Principal(principal.clone()),
                });
            }
        }
        for (i, rule) in self.rules.iter().enumerate() {
            rule.problems(|field, problem| {
                let path = format!("rules[{i}].{field}");
                errors.push(RuleError { path, problem });
            });
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

// === impl Rule ===

impl Rule {
    /// Whether the rule says only what it can say.
    pub(super) fn is_sound(&self) -> bool {
        let mut sound = true;
        self.problems(|_, _| sound = false);
        sound
    }

    /// Whether the rule is about some partitions, and not about whole topics.
    pub(super) fn tells_partitions_apart(&self) -> bool {
        self.partitions.is_some()
            && self.acl.resource_type == ResourceType::Topic
            && OF_PARTITIONS.contains(&self.acl.operation)
    }

    /// Gives each problem with the field that has it.
    fn problems(&self, mut found: impl FnMut(&'static str, RuleProblem)) {
        let acl = &self.acl;
        if acl.name.is_empty() {
            found("acl.name", RuleProblem::NoName);
        } else if acl.resource_type == ResourceType::Cluster && acl.name != CLUSTER_RESOURCE {
            found("acl.name", RuleProblem::ClusterName(acl.name.clone()));
        }
        if !is_principal(&acl.principal) {
            let problem = RuleProblem::Principal(acl.principal.clone());
            found("acl.principal", problem);
        }
        if let Err(error) = acl.host.parse::<Host>() {
            found("acl.host", error.into());
        }
        if self.zones.contains("") {
            found("zones", RuleProblem::NoZone);
        }
        if self.partitions.is_some() {
            if acl.resource_type != ResourceType::Topic {
                let problem = RuleProblem::PartitionsOf(acl.resource_type);
                found("partitions", problem);
            } else if !OF_PARTITIONS.contains(&acl.operation) {
                found("partitions", RuleProblem::PartitionsFor(acl.operation));
            }
        }
    }
}

/// `Type:name`, both of them there.
fn is_principal(text: &str) -> bool {
    text.split_once(':')
        .is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty())
}
