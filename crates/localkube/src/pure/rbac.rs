//! Role-based access control.
//!
//! Rules only ever allow: a request that no rule allows is refused. Subjects, rules and wildcards
//! are matched as the real authorizer matches them.

use serde_json::Value;

use super::selector::LabelSelector;

/// The group that may do everything, whatever the objects say.
pub const MASTERS: &str = "system:masters";

/// One request, as far as access is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Who asks, e.g. `system:serviceaccount:kafka:operator`.
    pub user: String,
    /// The groups of who asks; see [`implied_groups`].
    pub groups: Vec<String>,
    /// The verb, e.g. `list`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource in plural, e.g. `pods`.
    pub resource: String,
    /// The subresource, or empty.
    pub subresource: String,
    /// The object's name, or empty where the request names none.
    pub name: String,
    /// The namespace, or empty for requests across namespaces and cluster-scoped resources.
    pub namespace: String,
    /// The path of a request that is not about resources, e.g. `/healthz`. The resource fields
    /// do not count then.
    pub non_resource_path: Option<String>,
}

/// The RBAC objects that decide. Role bindings of other namespaces may be among them.
#[derive(Clone, Debug, Default)]
pub struct RbacObjects<'a> {
    /// Objects of kind Role.
    pub roles: Vec<&'a Value>,
    /// Objects of kind RoleBinding.
    pub role_bindings: Vec<&'a Value>,
    /// Objects of kind ClusterRole.
    pub cluster_roles: Vec<&'a Value>,
    /// Objects of kind ClusterRoleBinding.
    pub cluster_role_bindings: Vec<&'a Value>,
}

/// What was decided, and by which binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the request may go on.
    pub allowed: bool,
    /// `RBAC: allowed by …`; empty where no rule said anything.
    pub reason: String,
}

/// A rule about resources, as SelfSubjectRulesReview lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceRule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub api_groups: Vec<String>,
    /// Resources, `resource/subresource`, `*/subresource` or `*`.
    pub resources: Vec<String>,
    /// Names of objects; empty for all.
    pub resource_names: Vec<String>,
}

/// A rule about paths, as SelfSubjectRulesReview lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NonResourceRule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// Paths; a `*` at the end stands for any rest.
    pub paths: Vec<String>,
}

/// Whose rules are asked for.
struct Caller<'c> {
    user: &'c str,
    groups: &'c [String],
}

/// A binding that applies, its subject, and where its subject stands.
struct Grant<'a> {
    binding: &'a Value,
    subject: &'a Value,
    /// The binding's namespace; empty for cluster role bindings.
    namespace: &'a str,
}

/// Decides one request.
pub fn authorize(objects: &RbacObjects<'_>, attributes: &Attributes) -> Decision {
    if attributes.groups.iter().any(|group| group == MASTERS) {
        return Decision {
            allowed: true,
            reason: String::new(),
        };
    }
    let caller = Caller {
        user: &attributes.user,
        groups: &attributes.groups,
    };
    for grant in grants(objects, &caller, &attributes.namespace) {
        let rules = objects.rules_of(&grant);
        if rules.iter().any(|rule| rule_allows(rule, attributes)) {
            return Decision {
                allowed: true,
                reason: format!("RBAC: allowed by {}", grant.describe()),
            };
        }
    }
    Decision {
        allowed: false,
        reason: String::new(),
    }
}

/// Every rule that holds for the caller in `namespace` (empty: cluster-wide ones only).
pub fn rules_for(
    objects: &RbacObjects<'_>,
    user: &str,
    groups: &[String],
    namespace: &str,
) -> (Vec<ResourceRule>, Vec<NonResourceRule>) {
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    if groups.iter().any(|group| group == MASTERS) {
        let all = || vec!["*".to_owned()];
        resources.push(ResourceRule {
            verbs: all(),
            api_groups: all(),
            resources: all(),
            resource_names: Vec::new(),
        });
        paths.push(NonResourceRule {
            verbs: all(),
            paths: all(),
        });
    }
    for grant in grants(objects, &Caller { user, groups }, namespace) {
        for rule in objects.rules_of(&grant) {
            let list = |name| strings(rule, name).map(str::to_owned).collect::<Vec<_>>();
            if strings(rule, "resources").next().is_some() {
                resources.push(ResourceRule {
                    verbs: list("verbs"),
                    api_groups: list("apiGroups"),
                    resources: list("resources"),
                    resource_names: list("resourceNames"),
                });
            }
            if strings(rule, "nonResourceURLs").next().is_some() {
                paths.push(NonResourceRule {
                    verbs: list("verbs"),
                    paths: list("nonResourceURLs"),
                });
            }
        }
    }
    (resources, paths)
}

/// The groups that a user has by being who they are: `system:authenticated`, and for service
/// accounts `system:serviceaccounts` and `system:serviceaccounts:<namespace>`.
pub fn implied_groups(user: &str) -> Vec<String> {
    if user == "system:anonymous" {
        return vec!["system:unauthenticated".to_owned()];
    }
    let mut groups = Vec::new();
    if let Some((namespace, _)) = user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
    {
        groups.push("system:serviceaccounts".to_owned());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    groups.push("system:authenticated".to_owned());
    groups
}

// === impl RbacObjects ===

impl<'a> RbacObjects<'a> {
    /// The rules of the role that a binding refers to; none where it does not exist.
    fn rules_of(&self, grant: &Grant<'a>) -> Vec<&'a Value> {
        let reference = |name| grant.binding.pointer(name).and_then(Value::as_str);
        let Some(name) = reference("/roleRef/name") else {
            return Vec::new();
        };
        match reference("/roleRef/kind") {
            Some("ClusterRole") => self.cluster_rules(name, &mut Vec::new()),
            Some("Role") if !grant.namespace.is_empty() => {
                let role = self.roles.iter().find(|role| {
                    meta(role, "name") == name && meta(role, "namespace") == grant.namespace
                });
                role.map(|role| own_rules(role)).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// A cluster role's rules with those it aggregates. `seen` ends cycles.
    fn cluster_rules(&self, name: &str, seen: &mut Vec<&'a str>) -> Vec<&'a Value> {
        let Some(role) = self.cluster_roles.iter().find(|r| meta(r, "name") == name) else {
            return Vec::new();
        };
        if seen.contains(&meta(role, "name")) {
            return Vec::new();
        }
        seen.push(meta(role, "name"));
        let mut rules = own_rules(role);
        let selectors = role.pointer("/aggregationRule/clusterRoleSelectors");
        for selector in selectors.and_then(Value::as_array).into_iter().flatten() {
            let Some(selector) = LabelSelector::from_object(selector) else {
                continue;
            };
            for other in self.cluster_roles.iter().filter(|r| selector.matches(r)) {
                rules.extend(self.cluster_rules(meta(other, "name"), seen));
            }
        }
        rules
    }
}

// === impl Caller ===

impl Caller<'_> {
    fn is(&self, subject: &Value, namespace: &str) -> bool {
        let text = |name| {
            subject
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let name = text("name");
        match text("kind") {
            "User" => self.user == name,
            "Group" => self.groups.iter().any(|group| group == name),
            "ServiceAccount" => {
                let own = text("namespace");
                let namespace = if own.is_empty() { namespace } else { own };
                !namespace.is_empty()
                    && self
                        .user
                        .strip_prefix("system:serviceaccount:")
                        .and_then(|rest| rest.split_once(':'))
                        == Some((namespace, name))
            }
            _ => false,
        }
    }
}

// === impl Grant ===

impl Grant<'_> {
    /// The binding, its role and its subject, in the words and the order of the real server:
    /// names before namespaces.
    fn describe(&self) -> String {
        let role = |name| self.binding.pointer(name).and_then(Value::as_str);
        let kind = role("/roleRef/kind").unwrap_or_default();
        let role = role("/roleRef/name").unwrap_or_default();
        let name = meta(self.binding, "name");
        let (binding, name) = if self.namespace.is_empty() {
            ("ClusterRoleBinding", name.to_owned())
        } else {
            ("RoleBinding", format!("{name}/{}", self.namespace))
        };
        let subject = |name| self.subject.get(name).and_then(Value::as_str);
        let who = subject("name").unwrap_or_default();
        let who_kind = subject("kind").unwrap_or_default();
        let who = if who_kind == "ServiceAccount" {
            let namespace = subject("namespace").filter(|namespace| !namespace.is_empty());
            format!("{who}/{}", namespace.unwrap_or(self.namespace))
        } else {
            who.to_owned()
        };
        format!("{binding} {name:?} of {kind} {role:?} to {who_kind} {who:?}")
    }
}

/// The bindings that apply to the caller: cluster-wide ones first, then the namespace's.
fn grants<'a, 'o>(
    objects: &'o RbacObjects<'a>,
    caller: &'o Caller<'_>,
    namespace: &'o str,
) -> impl Iterator<Item = Grant<'a>> + 'o {
    let cluster = objects.cluster_role_bindings.iter().map(|one| (*one, ""));
    let local = objects
        .role_bindings
        .iter()
        .map(|one| (*one, meta(one, "namespace")))
        .filter(move |(_, own)| !namespace.is_empty() && *own == namespace);
    cluster.chain(local).filter_map(|(binding, namespace)| {
        let subjects = binding.get("subjects").and_then(Value::as_array)?;
        let subject = subjects.iter().find(|one| caller.is(one, namespace))?;
        Some(Grant {
            binding,
            subject,
            namespace,
        })
    })
}

fn meta<'a>(object: &'a Value, name: &str) -> &'a str {
    let value = object.get("metadata").and_then(|meta| meta.get(name));
    value.and_then(Value::as_str).unwrap_or_default()
}

fn own_rules(role: &Value) -> Vec<&Value> {
    let rules = role.get("rules").and_then(Value::as_array);
    rules.into_iter().flatten().collect()
}

fn strings<'a>(rule: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    let list = rule.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
    let any = |name, wanted: &str| strings(rule, name).any(|one| one == "*" || one == wanted);
    if !any("verbs", &attributes.verb) {
        return false;
    }
    if let Some(path) = &attributes.non_resource_path {
        return strings(rule, "nonResourceURLs").any(|one| path_covers(one, path));
    }
    let names = |mut names: std::iter::Peekable<_>| {
        names.peek().is_none() || names.any(|one: &str| one == attributes.name)
    };
    any("apiGroups", &attributes.group)
        && strings(rule, "resources").any(|one| resource_covers(one, attributes))
        && names(strings(rule, "resourceNames").peekable())
}

fn path_covers(rule: &str, path: &str) -> bool {
    rule == "*"
        || rule == path
        || rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*'))
}

fn resource_covers(rule: &str, attributes: &Attributes) -> bool {
    let Attributes {
        resource,
        subresource,
        ..
    } = attributes;
    if rule == "*" {
        return true;
    }
    if subresource.is_empty() {
        return rule == resource;
    }
    rule.split_once('/')
        .is_some_and(|(r, s)| (r == "*" || r == resource) && s == subresource)
}

#[cfg(test)]
#[path = "rbac_tests.rs"]
mod tests;
