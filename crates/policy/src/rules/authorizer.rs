//! Decides by rules.

use super::{AccessRules, Caller, EVERY_PRINCIPAL, Resource, Rule};
use crate::acl::{Operation, PatternType, Permission, ResourceType, WILDCARD};

/// The rules of a cluster, ready to be asked.
#[derive(Debug, Clone, Default)]
pub struct Authorizer {
    rules: AccessRules,
}

/// What came of a question, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rule that decided; none for a super user, and where no rule matched.
    pub rule: Option<&'a Rule>,
}

// === impl Authorizer ===

impl Authorizer {
    /// Takes the rules.
    pub fn new(rules: AccessRules) -> Self {
        Self { rules }
    }

    /// Whether `caller` may do `operation` on `resource`.
    ///
    /// For a topic with rules about some of its partitions: allowed if it is
    /// on any of them. [`partition`](Self::partition) says on which.
    pub fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Decision<'_> {
        self.decide(caller, operation, resource, None)
    }

    /// Whether `caller` may do `operation` on this partition of a topic.
    pub fn partition(
        &self,
        caller: &Caller,
        operation: Operation,
        topic: &str,
        partition: i32,
    ) -> Decision<'_> {
        self.decide(caller, operation, Resource::topic(topic), Some(partition))
    }

    /// Whether a rule about some partitions of this topic concerns `caller`:
    /// if not, [`authorize`](Self::authorize) answers for all of them.
    pub fn tells_partitions_apart(&self, caller: &Caller, topic: &str) -> bool {
        self.rules
            .rules
            .iter()
            .any(|rule| rule.partitions.is_some() && rule.concerns(caller, Resource::topic(topic)))
    }

    /// Whether `caller` may do `operation` on at least one resource of this
    /// kind (Kafka's `authorizeByResourceType`). Implied operations and rules
    /// that are about some partitions do not count.
    pub fn authorize_any(&self, caller: &Caller, operation: Operation, kind: ResourceType) -> bool {
        if self.is_super_user(caller) {
            return true;
        }
        let rules = || {
            let names = |rule: &&Rule| {
                rule.acl.resource_type == kind
                    && rule.is_about(caller)
                    && [operation, Operation::All].contains(&rule.acl.operation)
            };
            self.rules.rules.iter().filter(names)
        };
        let denied = |allowed: &Rule| {
            let covers = |deny: &&Rule| {
                deny.acl.permission == Permission::Deny
                    && deny.partitions.is_none()
                    && deny.covers(allowed)
            };
            rules().any(|rule| covers(&rule))
        };
        rules().any(|rule| rule.acl.permission == Permission::Allow && !denied(rule))
    }

    /// Equal for two sets of rules in which the same concern this principal.
    pub fn fingerprint(&self, principal: &str) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.rules.super_users.contains(principal).hash(&mut hasher);
        for rule in &self.rules.rules {
            if rule.acl.principal == principal || rule.acl.principal == EVERY_PRINCIPAL {
                rule.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// Kafka's bit field of the operations that are allowed: bit `1 << code`
    /// for each of `kind`'s (KIP-430).
    pub fn operations(&self, caller: &Caller, resource: Resource<'_>) -> i32 {
        resource
            .kind
            .operations()
            .iter()
            .filter(|operation| self.authorize(caller, **operation, resource).allowed)
            .fold(0, |bits, operation| bits | 1 << operation.code())
    }

    fn is_super_user(&self, caller: &Caller) -> bool {
        self.rules.super_users.contains(&*caller.principal)
    }

    fn decide(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
        partition: Option<i32>,
    ) -> Decision<'_> {
        if self.is_super_user(caller) {
            return Decision {
                allowed: true,
                rule: None,
            };
        }
        let matching = |permission| {
            self.rules.rules.iter().find(|rule| {
                rule.acl.permission == permission
                    && rule.concerns(caller, resource)
                    && rule.matches(operation)
                    && match (&rule.partitions, partition) {
                        (None, _) => true,
                        (Some(set), Some(partition)) => set.contains(partition),
                        (Some(_), None) => permission == Permission::Allow,
                    }
            })
        };
        let denied = matching(Permission::Deny);
        let rule = denied.or_else(|| matching(Permission::Allow));
        Decision {
            allowed: denied.is_none() && rule.is_some(),
            rule,
        }
    }
}

// === impl Rule ===

impl Rule {
    fn is_about(&self, caller: &Caller) -> bool {
        let acl = &self.acl;
        (acl.principal == EVERY_PRINCIPAL || acl.principal == *caller.principal)
            && host_matches(&acl.host, caller.host)
            && (self.zones.is_empty()
                || caller
                    .zone
                    .as_deref()
                    .is_some_and(|zone| self.zones.contains(zone)))
    }

    fn concerns(&self, caller: &Caller, resource: Resource<'_>) -> bool {
        self.acl.resource_type == resource.kind
            && match self.acl.pattern {
                PatternType::Literal => self.acl.name == WILDCARD || self.acl.name == resource.name,
                PatternType::Prefixed => resource.name.starts_with(&self.acl.name),
            }
            && self.is_about(caller)
    }

    fn matches(&self, operation: Operation) -> bool {
        use Operation::{All, Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        let own = self.acl.operation;
        own == operation
            || own == All
            || self.acl.permission == Permission::Allow
                && match operation {
                    Describe => matches!(own, Read | Write | Delete | Alter),
                    DescribeConfigs => own == AlterConfigs,
                    _ => false,
                }
    }

    /// Whether every resource of `other` is one of this rule's.
    fn covers(&self, other: &Self) -> bool {
        match (self.acl.pattern, other.acl.pattern) {
            (PatternType::Literal, _) if self.acl.name == WILDCARD => true,
            (PatternType::Literal, PatternType::Literal) => self.acl.name == other.acl.name,
            (PatternType::Literal, PatternType::Prefixed) => false,
            (PatternType::Prefixed, PatternType::Literal) if other.acl.name == WILDCARD => false,
            (PatternType::Prefixed, _) => other.acl.name.starts_with(&self.acl.name),
        }
    }
}

/// `*`, an address as text, or a network.
fn host_matches(host: &str, caller: std::net::IpAddr) -> bool {
    if host == WILDCARD {
        return true;
    }
    match host.split_once('/') {
        None => host.parse() == Ok(caller),
        Some((network, bits)) => {
            let (Ok(network), Ok(bits)) = (network.parse(), bits.parse::<u32>()) else {
                return false;
            };
            in_network(network, bits, caller)
        }
    }
}

fn in_network(network: std::net::IpAddr, bits: u32, address: std::net::IpAddr) -> bool {
    use std::net::IpAddr::{V4, V6};
    let (a, b, width) = match (network, address) {
        (V4(a), V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
        (V6(a), V6(b)) => (a.to_bits(), b.to_bits(), 128),
        _ => return false,
    };
    bits <= width && (bits == 0 || (a ^ b) >> (width - bits) == 0)
}
