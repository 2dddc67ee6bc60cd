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
