//! Who asks, and may they?

pub(crate) mod bootstrap;
pub(crate) mod rules;
pub(crate) mod tokens;

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A user as the API knows one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    /// Name, such as `system:serviceaccount:default:app`.
    pub(crate) name: String,
    /// Uid, where there is one.
    pub(crate) uid: String,
    /// Groups, `system:authenticated` included.
    pub(crate) groups: Vec<String>,
    /// Further facts, such as the pod that a token is bound to.
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

/// The group of everybody who is known.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// The group that may do everything.
pub(crate) const MASTERS: &str = "system:masters";

// === impl User ===

impl User {
    /// A user of a client certificate: common name and organizations.
    pub(crate) fn from_certificate(name: String, mut groups: Vec<String>) -> Self {
        groups.push(AUTHENTICATED.into());
        Self {
            name,
            groups,
            ..Self::default()
        }
    }

    /// A service account, without the facts of its token.
    pub(crate) fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.into(),
            groups: vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.into(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// `userInfo` of the authentication API.
    pub(crate) fn info(&self) -> Value {
        let mut info = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            info["uid"] = self.uid.clone().into();
        }
        if !self.extra.is_empty() {
            info["extra"] = json!(self.extra);
        }
        info
    }
}

/// The groups of a service account's user name, if it is one.
pub(crate) fn groups_of_service_account(user: &str) -> Option<Vec<String>> {
    let (namespace, name) = user
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    Some(User::service_account(namespace, name, "").groups)
}
