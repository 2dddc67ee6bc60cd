//! Which service accounts a binding's subjects are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Binding, Finding, ObjectRef, Source, Subject};

/// Every service account is in this group.
const ALL_ACCOUNTS: &str = "system:serviceaccounts";
/// With a namespace appended: the group of that namespace's service accounts.
const ACCOUNTS_OF: &str = "system:serviceaccounts:";
/// Everyone who has shown a credential, each service account included.
const AUTHENTICATED: &str = "system:authenticated";
/// With `<ns>:<name>` appended: the user name of a service account.
const USER: &str = "system:serviceaccount:";

/// The service accounts there are, by namespace.
pub(super) struct Accounts<'a>(BTreeMap<&'a str, Vec<&'a ObjectRef>>);

// === impl Accounts ===

impl<'a> Accounts<'a> {
    pub(super) fn new(accounts: &'a [ObjectRef]) -> Self {
        let mut index: BTreeMap<&str, Vec<&ObjectRef>> = BTreeMap::new();
        for account in accounts {
            index.entry(&account.namespace).or_default().push(account);
        }
        Self(index)
    }

    /// The accounts that a binding names. One named by itself need not exist (yet),
    /// as the API server has it too; a group is the accounts that do.
    pub(super) fn of(
        &self,
        binding: &Binding,
        source: &Arc<Source>,
        findings: &mut Vec<Finding>,
    ) -> BTreeSet<ObjectRef> {
        let mut found = BTreeSet::new();
        for subject in &binding.subjects {
            if !self.expand(subject, binding.namespace.as_deref(), &mut found) {
                let name = match subject {
                    Subject::ServiceAccount { name, .. }
                    | Subject::User(name)
                    | Subject::Group(name) => name.clone(),
                };
                findings.push(Finding::Subject(source.as_ref().clone(), name));
            }
        }
        found
    }

    /// Adds a subject's accounts; false if it cannot have any.
    fn expand(
        &self,
        subject: &Subject,
        own: Option<&str>,
        found: &mut BTreeSet<ObjectRef>,
    ) -> bool {
        match subject {
            Subject::ServiceAccount { namespace, name } => {
                let namespace = namespace.as_deref().filter(|n| !n.is_empty()).or(own);
                let Some(namespace) = namespace else {
                    return false;
                };
                found.insert(ObjectRef::new(namespace, name));
            }
            Subject::User(user) => {
                let account = user.strip_prefix(USER).and_then(|u| u.split_once(':'));
                let Some((namespace, name)) = account else {
                    return false;
                };
                found.insert(ObjectRef::new(namespace, name));
            }
            Subject::Group(group) if group == ALL_ACCOUNTS || group == AUTHENTICATED => {
                found.extend(self.0.values().flatten().map(|a| (*a).clone()));
            }
            Subject::Group(group) => {
                let Some(namespace) = group.strip_prefix(ACCOUNTS_OF) else {
                    return false;
                };
                let accounts = self.0.get(namespace).into_iter().flatten();
                found.extend(accounts.map(|a| (*a).clone()));
            }
        }
        true
    }
}
