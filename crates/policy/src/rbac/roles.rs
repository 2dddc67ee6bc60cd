//! Which rules a binding's role has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Binding, ClusterRole, Inputs, ObjectRef, RoleRef, Rule};

/// The roles there are, by name.
pub(super) struct Roles<'a> {
    namespaced: BTreeMap<&'a ObjectRef, &'a [Rule]>,
    cluster: BTreeMap<&'a str, &'a ClusterRole>,
}

// === impl Roles ===

impl<'a> Roles<'a> {
    pub(super) fn new(inputs: &'a Inputs) -> Self {
        Self {
            namespaced: inputs
                .roles
                .iter()
                .map(|r| (&r.object, r.rules.as_slice()))
                .collect(),
            cluster: inputs
                .cluster_roles
                .iter()
                .map(|r| (r.name.as_str(), r))
                .collect(),
        }
    }

    /// The rules that a binding gives, if its role exists.
    pub(super) fn of(&self, binding: &'a Binding) -> Option<Vec<&'a Rule>> {
        match (&binding.role, &binding.namespace) {
            (RoleRef::Role(name), Some(namespace)) => {
                let rules = self.namespaced.get(&ObjectRef::new(namespace, name))?;
                Some(rules.iter().collect())
            }
            (RoleRef::Role(_), None) => None,
            (RoleRef::ClusterRole(name), _) => {
                let role = self.cluster.get(name.as_str())?;
                let mut rules = Vec::new();
                self.collect(role, &mut BTreeSet::new(), &mut rules);
                Some(rules)
            }
        }
    }

    /// A role's own rules, and those of the roles it aggregates, however deep.
    /// An API server's controller writes the latter into the role as well, so
    /// that this is ahead of it by a moment at most.
    fn collect(
        &self,
        role: &'a ClusterRole,
        seen: &mut BTreeSet<&'a str>,
        rules: &mut Vec<&'a Rule>,
    ) {
        if !seen.insert(&role.name) {
            return;
        }
        rules.extend(&role.rules);
        if role.aggregates.is_empty() {
            return;
        }
        for other in self.cluster.values() {
            if role.aggregates.iter().any(|s| s.matches(&other.labels)) {
                self.collect(other, seen, rules);
            }
        }
    }
}
