//! Kubernetes label selectors.

use std::collections::{BTreeMap, BTreeSet};

/// Requirements on an object's labels, all of which must hold. One without any
/// selects everything, as Kubernetes has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(pub Vec<Requirement>);

/// One requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// The label is there with one of the values.
    In(String, BTreeSet<String>),
    /// The label is not there, or with none of the values.
    NotIn(String, BTreeSet<String>),
    /// The label is there.
    Exists(String),
    /// The label is not there.
    DoesNotExist(String),
}

// === impl Selector ===

impl Selector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| requirement.holds(labels))
    }
}

// === impl Requirement ===

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|v| values.contains(v)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|v| !values.contains(v)),
            Self::Exists(key) => labels.contains_key(key),
            Self::DoesNotExist(key) => !labels.contains_key(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_as_kubernetes_does() {
        let labels = BTreeMap::from([("team".to_owned(), "shop".to_owned())]);
        let shop = || BTreeSet::from(["shop".to_owned()]);
        let team = || "team".to_owned();
        let other = || "other".to_owned();
        for (requirement, expected) in [
            (Requirement::In(team(), shop()), true),
            (Requirement::In(other(), shop()), false),
            (Requirement::NotIn(team(), shop()), false),
            (Requirement::NotIn(other(), shop()), true),
            (Requirement::Exists(team()), true),
            (Requirement::Exists(other()), false),
            (Requirement::DoesNotExist(team()), false),
            (Requirement::DoesNotExist(other()), true),
        ] {
            assert_eq!(
                Selector(vec![requirement.clone()]).matches(&labels),
                expected,
                "{requirement:?}"
            );
        }
        assert!(Selector::default().matches(&labels));
    }
}
