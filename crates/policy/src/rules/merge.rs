//! One document of rules from several sources.

use std::collections::{BTreeMap, BTreeSet};

use super::{AccessRules, Rule};
use crate::rbac::RuleSet;

/// How many sources of one rule are named; the others are counted.
const NAMED: usize = 3;

// === impl AccessRules ===

impl AccessRules {
    /// The rules of RBAC and of KafkaAcl objects together, in a fixed order and
    /// each once, with where it comes from as text.
    pub fn merge(
        super_users: BTreeSet<String>,
        rbac: &RuleSet,
        others: impl IntoIterator<Item = Rule>,
    ) -> Self {
        let from_rbac = rbac.acls().flat_map(|acl| {
            rbac.explain(acl).map(|source| Rule {
                source: source.to_string(),
                ..Rule::from(acl.clone())
            })
        });
        let mut sources: BTreeMap<Rule, BTreeSet<String>> = BTreeMap::new();
        for mut rule in from_rbac.chain(others) {
            let source = std::mem::take(&mut rule.source);
            let all = sources.entry(rule).or_default();
            if !source.is_empty() {
                all.insert(source);
            }
        }
        let rules = sources
            .into_iter()
            .map(|(rule, sources)| Rule {
                source: join(&sources),
                ..rule
            })
            .collect();
        Self { super_users, rules }
    }
}

fn join(sources: &BTreeSet<String>) -> String {
    let named: Vec<_> = sources.iter().take(NAMED).map(String::as_str).collect();
    let named = named.join(", ");
    match sources.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{AclBinding, Operation, ResourceType};
    use crate::rbac::{
        AllowedNamespaces, Binding, Cluster, Inputs, ObjectRef, RoleRef, Subject, Topic, compile,
    };

    /// RBAC that lets `shop/a` WRITE to `orders`, by this many RoleBindings.
    fn rbac(bindings: usize) -> RuleSet {
        let cluster = ObjectRef::new("shop", "main");
        let role = crate::rbac::Role {
            object: ObjectRef::new("shop", "r"),
            rules: vec![crate::rbac::Rule {
                api_groups: vec!["*".to_owned()],
                resources: vec!["kafkatopics".to_owned()],
                verbs: vec!["produce".to_owned()],
                resource_names: Vec::new(),
            }],
        };
        let binding = |i| Binding {
            namespace: Some("shop".to_owned()),
            name: format!("b{i}"),
            role: RoleRef::Role("r".to_owned()),
            subjects: vec![Subject::ServiceAccount {
                namespace: None,
                name: "a".to_owned(),
            }],
        };
        let inputs = Inputs {
            trust_domain: "td".to_owned(),
            roles: vec![role],
            bindings: (0..bindings).map(binding).collect(),
            topics: vec![Topic {
                object: ObjectRef::new("shop", "orders"),
                cluster: cluster.clone(),
                topic: "orders".to_owned(),
                created: 0,
            }],
            clusters: vec![Cluster {
                object: cluster.clone(),
                allowed: AllowedNamespaces::All,
            }],
            ..Inputs::default()
        };
        compile(&inputs).clusters.remove(&cluster).unwrap()
    }

    #[test]
    fn rules_of_both_sources_are_there_once_with_all_sources() {
        let write = AclBinding::allow(
            "User:spiffe://td/ns/shop/sa/a",
            Operation::Write,
            ResourceType::Topic,
            "orders",
        );
        let rule = |source: &str| Rule {
            source: source.to_owned(),
            ..Rule::from(write.clone())
        };
        let mut zoned = rule("KafkaAcl shop/x rules[1]");
        zoned.zones.insert("z".to_owned());
        let others = [zoned.clone(), rule("KafkaAcl shop/x rules[0]"), rule("")];
        let super_users = BTreeSet::from(["User:operator".to_owned()]);
        let merged = AccessRules::merge(super_users.clone(), &rbac(1), others);
        assert_eq!(merged.super_users, super_users);
        let both = "KafkaAcl shop/x rules[0], RoleBinding shop/b0 of Role r";
        assert_eq!(merged.rules, [rule(both), zoned]);
        assert_eq!(merged.check(), Ok(()));
    }

    #[test]
    fn of_many_sources_the_first_are_named_and_the_others_counted() {
        let merged = AccessRules::merge(BTreeSet::new(), &rbac(5), []);
        let [rule] = merged.rules.as_slice() else {
            panic!("{:?}", merged.rules);
        };
        assert_eq!(
            rule.source,
            "RoleBinding shop/b0 of Role r, RoleBinding shop/b1 of Role r, RoleBinding shop/b2 of Role r and 2 more"
        );
    }
}
