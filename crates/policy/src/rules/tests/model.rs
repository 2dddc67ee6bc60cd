//! The same decisions by looking at every rule, as the definition has them.

use std::cmp::Reverse;

use super::*;

/// Looks at all rules for each question.
pub(super) struct Model(pub(super) AccessRules);

/// How much of a topic is asked about, as in the code under test.
#[derive(Clone, Copy)]
enum Scope {
    Any,
    One(i32),
    Whole,
}

/// A host that cannot be read, and all networks, by hand.
fn host_bits(host: &str) -> Option<(u128, u32, bool)> {
    let (address, bits) = match host.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (host, None),
    };
    let (value, width, v6) = match address.parse().ok()? {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32u32, false),
        IpAddr::V6(v6) => (v6.to_bits(), 128, true),
    };
    let low = width.checked_sub(bits.unwrap_or(width))?;
    (top(value, low).checked_shl(low).unwrap_or(0) == value).then_some((top(value, low), low, v6))
}

/// All but the low bits.
fn top(value: u128, low: u32) -> u128 {
    value.checked_shr(low).unwrap_or(0)
}

fn host_matches(rule: &Rule, host: IpAddr) -> bool {
    if rule.acl.host == "*" {
        return true;
    }
    let host = match host {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(host, IpAddr::V4),
        IpAddr::V4(_) => host,
    };
    match (host_bits(&rule.acl.host), host) {
        (None, _) => rule.acl.permission == Permission::Deny,
        (Some((value, low, false)), IpAddr::V4(v4)) => top(v4.to_bits().into(), low) == value,
        (Some((value, low, true)), IpAddr::V6(v6)) => top(v6.to_bits(), low) == value,
        _ => false,
    }
}

// What is done to partitions.
const APART: [Operation; 5] = [
    Operation::Read,
    Operation::Write,
    Operation::Delete,
    Operation::Describe,
    Operation::All,
];

fn has_partitions(rule: &Rule) -> bool {
    rule.partitions.is_some()
        && rule.acl.resource_type == ResourceType::Topic
        && APART.contains(&rule.acl.operation)
}

fn is_about(rule: &Rule, caller: &Caller) -> bool {
    let acl = &rule.acl;
    let refused = acl.name.is_empty()
        || (acl.resource_type == ResourceType::Cluster && acl.name != "kafka-cluster")
        || (rule.partitions.is_some() && !has_partitions(rule));
    (acl.principal == "User:*" || acl.principal == *caller.principal)
        && !(refused && acl.permission == Permission::Allow)
        && host_matches(rule, caller.host)
        && (rule.zones.is_empty()
            || match caller.zone.as_deref() {
                Some(zone) => rule.zones.contains(zone),
                None => acl.permission == Permission::Deny,
            })
}

fn concerns(rule: &Rule, caller: &Caller, resource: Resource<'_>) -> bool {
    let acl = &rule.acl;
    acl.resource_type == resource.kind
        && match acl.pattern {
            PatternType::Literal => acl.name == "*" || acl.name == resource.name,
            PatternType::Prefixed => resource.name.starts_with(&acl.name),
        }
        && is_about(rule, caller)
}

/// Whether the rule's own operation, without what it implies, is this one.
fn names(rule: &Rule, operation: Operation) -> bool {
    let own = rule.acl.operation;
    own == operation
        || own == Operation::All && (!has_partitions(rule) || APART.contains(&operation))
}

fn matches(rule: &Rule, operation: Operation) -> bool {
    use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
    names(rule, operation)
        || rule.acl.permission == Permission::Allow
            && matches!(
                (rule.acl.operation, operation),
                (Read | Write | Delete | Alter, Describe) | (AlterConfigs, DescribeConfigs)
            )
}

fn in_scope(rule: &Rule, scope: Scope) -> bool {
    match (&rule.partitions, scope) {
        (Some(set), Scope::One(partition)) if has_partitions(rule) => set.contains(partition),
        (Some(_), Scope::Any) if has_partitions(rule) => rule.acl.permission == Permission::Allow,
        (Some(_), Scope::Whole) if has_partitions(rule) => rule.acl.permission == Permission::Deny,
        _ => true,
    }
}

/// Whether every resource of `allowed` is one of the denial's.
fn covers(deny: &Rule, allowed: &Rule) -> bool {
    let (deny, allowed) = (&deny.acl, &allowed.acl);
    match (deny.pattern, allowed.pattern) {
        (PatternType::Literal, _) if deny.name == "*" => true,
        (PatternType::Literal, PatternType::Literal) => deny.name == allowed.name,
        (PatternType::Literal, PatternType::Prefixed) => false,
        (PatternType::Prefixed, PatternType::Literal) if allowed.name == "*" => false,
        (PatternType::Prefixed, _) => allowed.name.starts_with(&deny.name),
    }
}

/// The order in which the documentation of `Decision` has the rules.
fn order(rule: &Rule) -> impl Ord + '_ {
    let acl = &rule.acl;
    let pattern = match acl.pattern {
        PatternType::Literal if acl.name != "*" => (0, 0),
        PatternType::Literal => (1, 0),
        PatternType::Prefixed => (2, acl.name.len()),
    };
    // The wider the network, the more low bits are left out.
    let host = match host_bits(&acl.host) {
        None => (0, Reverse(0)),
        Some((_, low, _)) => (1, Reverse(low)),
    };
    (acl.principal == "User:*", pattern, host, rule)
}

// === impl Model ===

impl Model {
    pub(super) fn authorize(&self, c: &Caller, o: Operation, r: Resource<'_>) -> Decision<'_> {
        self.decide(c, o, r, Scope::Any)
    }

    pub(super) fn partition(&self, c: &Caller, o: Operation, topic: &str, p: i32) -> Decision<'_> {
        self.decide(c, o, Resource::topic(topic), Scope::One(p))
    }

    pub(super) fn whole_topic(&self, c: &Caller, o: Operation, topic: &str) -> Decision<'_> {
        self.decide(c, o, Resource::topic(topic), Scope::Whole)
    }

    pub(super) fn tells_partitions_apart(&self, caller: &Caller, topic: &str) -> bool {
        let mut rules = self.0.rules.iter();
        rules.any(|rule| has_partitions(rule) && concerns(rule, caller, Resource::topic(topic)))
    }

    pub(super) fn authorize_any(&self, caller: &Caller, o: Operation, kind: ResourceType) -> bool {
        let of = |permission| {
            self.0.rules.iter().filter(move |rule| {
                rule.acl.resource_type == kind
                    && rule.acl.permission == permission
                    && is_about(rule, caller)
                    && names(rule, o)
            })
        };
        let denied = |allowed: &Rule| {
            of(Permission::Deny).any(|deny| !has_partitions(deny) && covers(deny, allowed))
        };
        self.is_super_user(caller) || of(Permission::Allow).any(|allowed| !denied(allowed))
    }

    pub(super) fn operations(&self, caller: &Caller, resource: Resource<'_>) -> i32 {
        let operations = resource.kind.operations().iter();
        operations
            .filter(|o| self.authorize(caller, **o, resource).allowed)
            .fold(0, |bits, o| bits | 1 << o.code())
    }

    fn is_super_user(&self, caller: &Caller) -> bool {
        self.0.super_users.contains(&*caller.principal)
    }

    fn decide(&self, caller: &Caller, o: Operation, r: Resource<'_>, s: Scope) -> Decision<'_> {
        if self.is_super_user(caller) {
            return Decision {
                allowed: true,
                rule: None,
            };
        }
        let first = |permission| {
            let rules = self.0.rules.iter().filter(|rule| {
                rule.acl.permission == permission
                    && matches(rule, o)
                    && concerns(rule, caller, r)
                    && in_scope(rule, s)
            });
            rules.min_by(|a, b| order(a).cmp(&order(b)))
        };
        let denied = first(Permission::Deny);
        let rule = denied.or_else(|| first(Permission::Allow));
        Decision {
            allowed: denied.is_none() && rule.is_some(),
            rule,
        }
    }
}
