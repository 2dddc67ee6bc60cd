//! KafkaAcl objects: what they say to the policy, and what their status says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tubeway_api::condition::reasons;
use tubeway_api::{AclEffect, AclOperation, AclPattern, AclPrincipal, AclResourceType, KafkaAcl};
use tubeway_policy::acl::{Operation, Permission, ResourceType};
use tubeway_policy::kafka_acl::{self, AclRule, Compiled, Finding, Pattern, Principal, Problem};
use tubeway_policy::rbac::ObjectRef;

use super::inputs::key;
use crate::statuses::{Verdict, Verdicts, join};

/// A finding without the object, whose own status it is in.
struct Said<'a>(&'a Finding);

/// A KafkaAcl as the policy sees it.
pub(super) fn kafka_acl(acl: &KafkaAcl) -> kafka_acl::KafkaAcl {
    let (namespace, name) = acl.cluster_key();
    kafka_acl::KafkaAcl {
        object: key(acl),
        cluster: ObjectRef::new(namespace, name),
        rules: acl.spec.rules.iter().map(rule).collect(),
    }
}

/// What each object's status is to say.
pub(super) fn verdicts(acls: &[Arc<KafkaAcl>], compiled: &Compiled) -> Verdicts<KafkaAcl> {
    let mut findings: BTreeMap<&ObjectRef, Vec<&Finding>> = BTreeMap::new();
    for finding in &compiled.findings {
        findings.entry(&finding.object).or_default().push(finding);
    }
    let judged = |acl: &Arc<KafkaAcl>| {
        let object = key(acl.as_ref());
        let rules = compiled.objects.get(&object).copied().unwrap_or_default();
        let found = findings.get(&object).map_or(&[][..], Vec::as_slice);
        (Arc::clone(acl), Some(verdict(rules, found)))
    };
    Arc::new(acls.iter().map(judged).collect())
}

fn verdict(rules: usize, findings: &[&Finding]) -> Verdict {
    let count = match rules {
        1 => "1 rule counts".to_owned(),
        _ => format!("{rules} rules count"),
    };
    let mut verdict = match findings.first() {
        None => Verdict::ready(count),
        Some(first) => {
            let reason = match first.problem {
                Problem::NoCluster(_) => reasons::NOT_FOUND,
                Problem::NotAllowed(_) => reasons::NOT_ALLOWED,
                _ => reasons::INVALID_SPEC,
            };
            let said: Vec<_> = findings.iter().copied().map(Said).collect();
            Verdict::not(reason, format!("{count}; not as written: {}", join(&said)))
        }
    };
    let rules = i64::try_from(rules).unwrap_or(i64::MAX);
    verdict.fields = vec![("rules", rules)];
    verdict
}

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { path, problem, .. } = self.0;
        write!(f, "{path}: ")?;
        if self.0.effect == Some(Permission::Deny) {
            f.write_str("in a denial: ")?;
        }
        problem.fmt(f)
    }
}

fn rule(rule: &tubeway_api::AclRule) -> AclRule {
    let resource = &rule.resource;
    AclRule {
        effect: match rule.effect {
            AclEffect::Allow => Permission::Allow,
            AclEffect::Deny => Permission::Deny,
        },
        principals: rule.principals.iter().map(principal).collect(),
        resource: kafka_acl::Target {
            kind: kind(resource.kind),
            name: resource.name.clone(),
            pattern: match resource.pattern {
                AclPattern::Literal => Pattern::Literal,
                AclPattern::Prefixed => Pattern::Prefixed,
                AclPattern::Any => Pattern::Any,
            },
            partitions: resource.partitions.clone(),
        },
        operations: rule.operations.iter().copied().map(operation).collect(),
        hosts: rule.hosts.clone(),
        zones: rule.zones.clone(),
    }
}

fn principal(principal: &AclPrincipal) -> Principal {
    let account = principal.service_account.as_ref();
    Principal {
        service_account: account.map(|a| (a.namespace.clone(), a.name.clone())),
        spiffe_id: principal.spiffe_id.clone(),
        user: principal.user.clone(),
        any: principal.any,
    }
}

fn kind(kind: AclResourceType) -> ResourceType {
    match kind {
        AclResourceType::Topic => ResourceType::Topic,
        AclResourceType::Group => ResourceType::Group,
        AclResourceType::TransactionalId => ResourceType::TransactionalId,
        AclResourceType::Cluster => ResourceType::Cluster,
        AclResourceType::DelegationToken => ResourceType::DelegationToken,
        AclResourceType::User => ResourceType::User,
    }
}

fn operation(operation: AclOperation) -> Operation {
    match operation {
        AclOperation::All => Operation::All,
        AclOperation::Read => Operation::Read,
        AclOperation::Write => Operation::Write,
        AclOperation::Create => Operation::Create,
        AclOperation::Delete => Operation::Delete,
        AclOperation::Alter => Operation::Alter,
        AclOperation::Describe => Operation::Describe,
        AclOperation::ClusterAction => Operation::ClusterAction,
        AclOperation::DescribeConfigs => Operation::DescribeConfigs,
        AclOperation::AlterConfigs => Operation::AlterConfigs,
        AclOperation::IdempotentWrite => Operation::IdempotentWrite,
        AclOperation::CreateTokens => Operation::CreateTokens,
        AclOperation::DescribeTokens => Operation::DescribeTokens,
        AclOperation::TwoPhaseCommit => Operation::TwoPhaseCommit,
    }
}
