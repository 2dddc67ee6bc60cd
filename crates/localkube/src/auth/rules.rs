//! Role-based access control over the stored roles and bindings.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::User;
use crate::api::status::{Reply, Status};
use crate::pure::rbac::{self, Attributes, Decision, RbacObjects};
use crate::resource::Resource;
use crate::store::{Store, Stored};

const RESOURCES: [&str; 4] = [
    "roles.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
];

/// The roles and bindings as they are now, read again only after they changed.
#[derive(Default)]
pub(crate) struct Rules {
    cached: Mutex<Option<Arc<Snapshot>>>,
}

/// The roles and bindings of one moment.
pub(crate) struct Snapshot {
    /// Last change of each of the four resources.
    versions: [u64; 4],
    objects: [Vec<Arc<Stored>>; 4],
}

// === impl Rules ===

impl Rules {
    /// The roles and bindings in `store`.
    pub(crate) fn snapshot(&self, store: &Store) -> Arc<Snapshot> {
        let versions = RESOURCES.map(|resource| store.last_change(resource));
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = cached
            .as_ref()
            .filter(|snapshot| snapshot.versions == versions)
        {
            return snapshot.clone();
        }
        let objects = RESOURCES.map(|resource| store.list(resource, None).1);
        let snapshot = Arc::new(Snapshot { versions, objects });
        *cached = Some(snapshot.clone());
        snapshot
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Decides one request.
    pub(crate) fn decide(&self, attributes: &Attributes) -> Decision {
        rbac::authorize(&self.objects(), attributes)
    }

    /// Everything that a user may do in a namespace: rules on resources and on paths.
    pub(crate) fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let (resources, paths) =
            rbac::rules_for(&self.objects(), &user.name, &user.groups, namespace);
        let resource = |rule: rbac::ResourceRule| {
            let mut value = json!({"verbs": rule.verbs, "apiGroups": rule.api_groups, "resources": rule.resources});
            if !rule.resource_names.is_empty() {
                value["resourceNames"] = json!(rule.resource_names);
            }
            value
        };
        let path = |rule: rbac::NonResourceRule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths});
        (
            resources.into_iter().map(resource).collect(),
            paths.into_iter().map(path).collect(),
        )
    }

    /// Refuses to let a user hand out, by the role or binding `value`, more than they have.
    /// An update that leaves the permissions as they are gives nobody anything.
    pub(crate) fn check_escalation(
        &self,
        resource: &Resource,
        value: &Value,
        old: Option<&Value>,
        user: &User,
    ) -> Reply<()> {
        let grants = ["rules", "aggregationRule", "roleRef", "subjects"];
        if old.is_some_and(|old| grants.iter().all(|field| old[field] == value[field])) {
            return Ok(());
        }
        let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        let (verb, target, target_name, rules) = match &*resource.plural {
            "roles" | "clusterroles" => ("escalate", &*resource.plural, name, self.rules_of(value)),
            _ => {
                let reference = &value["roleRef"];
                let plural = if reference["kind"] == "ClusterRole" {
                    "clusterroles"
                } else {
                    "roles"
                };
                let role = reference["name"].as_str().unwrap_or_default();
                ("bind", plural, role, self.role(plural, namespace, role))
            }
        };
        let may = |attributes: Attributes| self.decide(&attributes).allowed;
        let base = Attributes {
            user: user.name.clone(),
            groups: user.groups.clone(),
            namespace: namespace.into(),
            ..Attributes::default()
        };
        let excused = may(Attributes {
            verb: verb.into(),
            group: resource.group.to_string(),
            resource: target.into(),
            name: target_name.into(),
            ..base.clone()
        });
        if excused {
            return Ok(());
        }
        let missing: Vec<String> = rules
            .iter()
            .flat_map(|rule| expand(rule, &base))
            .filter(|a| !may(a.clone()))
            .map(|a| describe(&a))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let why = format!(
            "user \"{}\" (groups={:?}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            user.groups,
            missing.join("\n")
        );
        Err(Status::forbidden(resource, name, &why))
    }

    fn objects(&self) -> RbacObjects<'_> {
        let [roles, role_bindings, cluster_roles, cluster_role_bindings] = self
            .objects
            .each_ref()
            .map(|objects| objects.iter().map(|object| &object.value).collect());
        RbacObjects {
            roles,
            role_bindings,
            cluster_roles,
            cluster_role_bindings,
        }
    }

    fn role(&self, plural: &str, namespace: &str, name: &str) -> Vec<Value> {
        let at = if plural == "roles" { 0 } else { 2 };
        let found = self.objects[at].iter().find(|role| {
            let metadata = &role.value["metadata"];
            metadata["name"] == name && (at == 2 || metadata["namespace"] == namespace)
        });
        found
            .map(|role| self.rules_of(&role.value))
            .unwrap_or_default()
    }

    /// A role's rules, those that it aggregates included.
    fn rules_of(&self, role: &Value) -> Vec<Value> {
        let mut rules = role["rules"].as_array().cloned().unwrap_or_default();
        for selector in role["aggregationRule"]["clusterRoleSelectors"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let Some(labels) = selector["matchLabels"].as_object() else {
                continue;
            };
            for other in &self.objects[2] {
                let own = &other.value["metadata"]["labels"];
                if labels.iter().all(|(key, value)| own[key] == *value) {
                    rules.extend(other.value["rules"].as_array().cloned().unwrap_or_default());
                }
            }
        }
        rules
    }
}

/// Every single permission that a rule gives. A wildcard stands for itself: only a wildcard
/// covers it.
fn expand(rule: &Value, base: &Attributes) -> Vec<Attributes> {
    let list = |name: &str| -> Vec<String> {
        rule[name]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    };
    let mut found = Vec::new();
    for verb in list("verbs") {
        for path in list("nonResourceURLs") {
            found.push(Attributes {
                verb: verb.clone(),
                non_resource_path: Some(path),
                ..base.clone()
            });
        }
        for group in list("apiGroups") {
            for resource in list("resources") {
                let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
                let names = list("resourceNames");
                let names = if names.is_empty() {
                    vec![String::new()]
                } else {
                    names
                };
                found.extend(names.into_iter().map(|name| Attributes {
                    verb: verb.clone(),
                    group: group.clone(),
                    resource: resource.into(),
                    subresource: subresource.into(),
                    name,
                    ..base.clone()
                }));
            }
        }
    }
    found
}

fn describe(a: &Attributes) -> String {
    let rule = match &a.non_resource_path {
        Some(path) => json!({"NonResourceURLs": [path], "Verbs": [a.verb]}),
        None => json!({"APIGroups": [a.group], "Resources": [a.resource], "Verbs": [a.verb]}),
    };
    rule.to_string()
}
