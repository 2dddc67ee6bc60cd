//! What to change so that a cluster has the ACLs it should have.

use std::collections::BTreeSet;

use super::AclBinding;

/// Whose ACLs are ours to create and to delete.
///
/// These are the principals of one trust domain, without the ones set apart:
/// the operator's own and the cluster's nodes, which are super users and whose
/// ACLs, if someone gave them any, are that someone's business.
#[derive(Debug, Clone)]
pub struct Managed {
    prefix: String,
    except: BTreeSet<String>,
}

/// The ACLs to create and to delete, each in the order of [`AclBinding`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AclDiff {
    /// Wanted, and not there.
    pub create: Vec<AclBinding>,
    /// There, ours, and not wanted.
    pub delete: Vec<AclBinding>,
}

// === impl Managed ===

impl Managed {
    /// Every principal `User:spiffe://<trust domain>/…`.
    pub fn trust_domain(trust_domain: &str) -> Self {
        Self {
            prefix: format!("User:spiffe://{trust_domain}/"),
            except: BTreeSet::new(),
        }
    }

    /// Sets one principal (`User:…`) apart.
    #[must_use]
    pub fn except(mut self, principal: impl Into<String>) -> Self {
        self.except.insert(principal.into());
        self
    }

    /// Whether this principal's ACLs are ours.
    pub fn covers(&self, principal: &str) -> bool {
        principal.starts_with(&self.prefix) && !self.except.contains(principal)
    }
}

// === impl AclDiff ===

impl AclDiff {
    /// Compares; ACLs of principals that are not ours are left out on both sides.
    pub fn between<'a>(
        managed: &Managed,
        wanted: impl IntoIterator<Item = &'a AclBinding>,
        actual: impl IntoIterator<Item = &'a AclBinding>,
    ) -> Self {
        let ours = |acl: &&AclBinding| managed.covers(&acl.principal);
        let wanted: BTreeSet<_> = wanted.into_iter().filter(ours).collect();
        let actual: BTreeSet<_> = actual.into_iter().filter(ours).collect();
        Self {
            create: wanted.difference(&actual).map(|a| (*a).clone()).collect(),
            delete: actual.difference(&wanted).map(|a| (*a).clone()).collect(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.delete.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::acl::{Operation, ResourceType};

    const A: &str = "User:spiffe://td/ns/shop/sa/a";
    const OPERATOR: &str = "User:spiffe://td/ns/tubeway/sa/operator";

    fn topic(principal: &str, name: &str) -> AclBinding {
        AclBinding::allow(principal, Operation::Read, ResourceType::Topic, name)
    }

    fn managed() -> Managed {
        Managed::trust_domain("td").except(OPERATOR)
    }

    #[test]
    fn creates_what_is_missing_and_deletes_what_is_over() {
        let diff = AclDiff::between(
            &managed(),
            &[topic(A, "new"), topic(A, "both")],
            &[topic(A, "both"), topic(A, "old")],
        );
        assert_eq!(diff.create, [topic(A, "new")]);
        assert_eq!(diff.delete, [topic(A, "old")]);
        assert!(!diff.is_empty());
    }

    #[test]
    fn leaves_the_acls_of_others_alone() {
        let others = [
            topic(OPERATOR, "t"),
            topic("User:alice", "t"),
            topic("User:*", "t"),
            topic("User:spiffe://other/ns/shop/sa/a", "t"),
            // Another trust domain that begins with the same letters.
            topic("User:spiffe://td.evil/ns/shop/sa/a", "t"),
            topic("Group:spiffe://td/ns/shop/sa/a", "t"),
        ];
        assert!(AclDiff::between(&managed(), &[], &others).is_empty());
        assert!(AclDiff::between(&managed(), &others, &[]).is_empty());
    }

    #[test]
    fn a_deny_is_not_an_allow() {
        let mut deny = topic(A, "t");
        deny.permission = crate::acl::Permission::Deny;
        let diff = AclDiff::between(&managed(), &[topic(A, "t")], &[deny.clone()]);
        assert_eq!((diff.create.len(), diff.delete), (1, vec![deny]));
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_what_was_wanted(
            wanted in proptest::collection::btree_set("[ab]{1,3}", 0..8),
            actual in proptest::collection::btree_set("[ab]{1,3}", 0..8),
        ) {
            let acls = |names: &BTreeSet<String>| -> BTreeSet<AclBinding> {
                names.iter().map(|name| topic(A, name)).collect()
            };
            let (wanted, actual) = (acls(&wanted), acls(&actual));
            let diff = AclDiff::between(&managed(), &wanted, &actual);
            let mut result = actual.clone();
            for acl in &diff.delete {
                prop_assert!(result.remove(acl));
            }
            for acl in diff.create {
                prop_assert!(result.insert(acl));
            }
            prop_assert_eq!(result, wanted);
        }
    }
}
