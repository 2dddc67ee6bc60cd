//! The index against single cases and against a plain evaluator.

mod cases;
mod model;
mod random;

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::acl::{Operation, PatternType, Permission};

// --- builders ---

/// `User:<name>` at 10.0.0.1, in no zone.
fn caller(name: &str) -> Caller {
    Caller {
        principal: format!("User:{name}").into(),
        host: IpAddr::from([10, 0, 0, 1]),
        zone: None,
    }
}

fn at(name: &str, host: &str, zone: Option<&str>) -> Caller {
    Caller {
        host: host.parse().unwrap(),
        zone: zone.map(Arc::from),
        ..caller(name)
    }
}

/// A rule on a topic for `User:<name>`; a pattern that ends with `-` is a prefix.
fn rule(permission: Permission, name: &str, operation: Operation, topic: &str) -> Rule {
    let pattern = if topic.ends_with('-') {
        PatternType::Prefixed
    } else {
        PatternType::Literal
    };
    let principal = format!("User:{name}");
    Rule::from(AclBinding {
        pattern,
        permission,
        ..AclBinding::allow(principal, operation, ResourceType::Topic, topic)
    })
}

fn allow(name: &str, operation: Operation, topic: &str) -> Rule {
    rule(Permission::Allow, name, operation, topic)
}

fn deny(name: &str, operation: Operation, topic: &str) -> Rule {
    rule(Permission::Deny, name, operation, topic)
}

impl Rule {
    fn at_host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.acl.host);
        self
    }

    fn in_zone(mut self, zone: &str) -> Self {
        self.zones.insert(zone.to_owned());
        self
    }

    fn of_partitions(mut self, partitions: &str) -> Self {
        self.partitions = Some(partitions.parse().unwrap());
        self
    }

    fn on(mut self, kind: ResourceType) -> Self {
        self.acl.resource_type = kind;
        self
    }
}

fn rules(rules: &[Rule]) -> AccessRules {
    AccessRules {
        rules: rules.to_vec(),
        ..AccessRules::default()
    }
}

fn authorizer(list: &[Rule]) -> Authorizer {
    Authorizer::new(rules(list))
}
