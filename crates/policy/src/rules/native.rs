//! What the broker itself is told of the rules.

use std::collections::BTreeSet;

use super::{AccessRules, Host, Rule};
use crate::acl::{AclBinding, Permission, WILDCARD};

// === impl AccessRules ===

impl AccessRules {
    /// The ACLs that the broker has of these rules, each once.
    pub fn native(&self) -> BTreeSet<AclBinding> {
        self.rules.iter().filter_map(Rule::native).collect()
    }
}

// === impl Rule ===

impl Rule {
    /// The ACL that the broker has of this rule; none where it would refuse
    /// more, or less, than the rule does.
    ///
    /// A broker sees all its clients at the sidecar's address, knows no zones,
    /// and has no ACL for some partitions. So it is told of an allowance
    /// without these: it lets through what the sidecar has let through. Of a
    /// denial with a condition it cannot be told, and the sidecar alone
    /// enforces it. A rule that [`AccessRules::check`] refuses is told as the
    /// [`Authorizer`](super::Authorizer) takes it.
    pub fn native(&self) -> Option<AclBinding> {
        let told = match self.acl.permission {
            Permission::Allow => self.is_sound(),
            Permission::Deny => self.is_unconditional(),
        };
        told.then(|| AclBinding {
            host: WILDCARD.to_owned(),
            ..self.acl.clone()
        })
    }

    /// Whether a denial counts for any caller and any partition.
    fn is_unconditional(&self) -> bool {
        let partitions =
            self.partitions.is_some() && self.acl.resource_type == crate::acl::ResourceType::Topic;
        let anywhere = !matches!(self.acl.host.parse(), Ok(Host::In(_)));
        anywhere && self.zones.is_empty() && !partitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{Operation, ResourceType};

    /// A rule on topic `t` with `host`, `zone` and `partitions`, empty for none.
    fn rule(permission: Permission, host: &str, zone: &str, partitions: &str) -> Rule {
        let allow = AclBinding::allow("User:a", Operation::Read, ResourceType::Topic, "t");
        let mut rule = Rule::from(AclBinding {
            permission,
            host: host.to_owned(),
            ..allow
        });
        rule.zones
            .extend((!zone.is_empty()).then(|| zone.to_owned()));
        rule.partitions = partitions.parse().ok();
        rule
    }

    #[test]
    fn the_broker_is_told_of_allowances_without_their_conditions() {
        let plain = AclBinding::allow("User:a", Operation::Read, ResourceType::Topic, "t");
        for (host, zone, partitions) in [
            ("*", "", ""),
            ("10.0.0.0/8", "", ""),
            ("10.0.0.1", "z", "0-3"),
            ("*", "z", ""),
            ("*", "", "7"),
        ] {
            let rule = rule(Permission::Allow, host, zone, partitions);
            assert_eq!(rule.native().as_ref(), Some(&plain), "{rule:?}");
        }
        // What allows nothing here must allow nothing there.
        assert_eq!(rule(Permission::Allow, "nowhere", "", "").native(), None);
    }

    #[test]
    fn the_broker_is_told_of_a_denial_only_if_it_has_no_conditions() {
        for (host, zone, partitions, told) in [
            ("*", "", "", true),
            ("10.0.0.1", "", "", false),
            ("10.0.0.0/8", "", "", false),
            ("*", "z", "", false),
            ("*", "", "7", false),
            // Cannot be read, and so counts for every host.
            ("nowhere", "", "", true),
        ] {
            let native = rule(Permission::Deny, host, zone, partitions).native();
            let expected = told.then(|| rule(Permission::Deny, "*", "", "").acl);
            assert_eq!(native, expected, "{host} {zone} {partitions}");
        }
    }

    #[test]
    fn rules_that_differ_in_conditions_only_are_one_acl() {
        let rules = AccessRules {
            rules: vec![
                rule(Permission::Allow, "10.0.0.1", "", ""),
                rule(Permission::Allow, "*", "z", ""),
                rule(Permission::Deny, "*", "z", ""),
            ],
            ..AccessRules::default()
        };
        assert_eq!(rules.native().len(), 1);
    }
}
