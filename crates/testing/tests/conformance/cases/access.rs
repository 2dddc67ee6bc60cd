//! Roles, bindings, and questions about them, with the verbs on topics that access is made of.

use serde_json::{Value, json};

use super::bodies::config_map;
use crate::trial::Trial;

super::cases! {
    custom_verbs_on_topics_are_answered,
    cluster_roles_reach_as_far_as_their_binding,
    wildcards_subresources_and_paths,
    roles_are_checked,
    nobody_gives_more_than_he_has,
    aggregated_roles_gather_rules,
    impersonation_is_a_right,
    own_rights_can_be_listed,
    pod_security_is_enforced,
}

const ROLES: &str = "rbac.authorization.k8s.io/v1/roles";
const BINDINGS: &str = "rbac.authorization.k8s.io/v1/rolebindings";
const CLUSTER_ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const CLUSTER_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

fn role(kind: &str, name: &str, rules: Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(kind: &str, name: &str, role_kind: &str, role: &str, subjects: Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role}, "subjects": subjects,
    })
}

fn users(names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}))
        .collect()
}

fn question(user: &str, groups: Value, attributes: Value) -> Value {
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": user, "groups": groups, "resourceAttributes": attributes}})
}

/// Waits until `user` may do what `attributes` say; rules reach the authorizer a moment after
/// they are made.
async fn until_allowed(t: &mut Trial<'_>, user: &str, attributes: &Value) {
    for _ in 0..500 {
        let answer = t
            .post_unnoted(REVIEWS, question(user, Value::Null, attributes.clone()))
            .await;
        if answer["status"]["allowed"] == true {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    t.note("never allowed", attributes.clone());
}

async fn may(t: &mut Trial<'_>, user: &str, groups: Value, attributes: Value) {
    let answer = t
        .post_unnoted(REVIEWS, question(user, groups, attributes.clone()))
        .await;
    let label = format!("{user} {attributes}");
    t.note(&label, answer["status"].clone());
}

async fn custom_verbs_on_topics_are_answered(t: &mut Trial<'_>) {
    let rules = json!([
        {"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"], "resourceNames": ["orders"], "verbs": ["produce"]},
        {"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"], "verbs": ["consume"]},
    ]);
    t.create(201, ROLES, role("Role", "topics", rules)).await;
    let account = json!([{"kind": "ServiceAccount", "name": "checkout", "namespace": "shop"}, {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "readers"}]);
    t.create(
        201,
        BINDINGS,
        binding("RoleBinding", "topics", "Role", "topics", account),
    )
    .await;
    let user = "system:serviceaccount:shop:checkout";
    let ask = |namespace: &str, verb: &str, name: &str| json!({"namespace": namespace, "verb": verb, "group": "kafka.tubeway.dev", "resource": "kafkatopics", "name": name});
    let here = t.namespace.clone();
    until_allowed(t, user, &ask(&here, "produce", "orders")).await;
    for (namespace, verb, name) in [
        (&*here, "produce", "orders"),
        (&*here, "produce", "other"),
        (&*here, "produce", ""),
        (&*here, "consume", "other"),
        (&*here, "consume", ""),
        (&*here, "get", "orders"),
        ("default", "produce", "orders"),
        ("", "consume", "orders"),
    ] {
        may(t, user, Value::Null, ask(namespace, verb, name)).await;
    }
    may(t, "anyone", json!(["readers"]), ask(&here, "consume", "x")).await;
    may(t, "anyone", json!(["writers"]), ask(&here, "consume", "x")).await;
    may(
        t,
        "root",
        json!(["system:masters"]),
        ask(&here, "produce", "x"),
    )
    .await;
}

async fn cluster_roles_reach_as_far_as_their_binding(t: &mut Trial<'_>) {
    let name = t.namespace.clone();
    let rules = json!([{"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"], "verbs": ["produce"]}]);
    t.create(201, CLUSTER_ROLES, role("ClusterRole", &name, rules))
        .await;
    t.create(
        201,
        BINDINGS,
        binding(
            "RoleBinding",
            "here",
            "ClusterRole",
            &name,
            users(&["local-hero"]),
        ),
    )
    .await;
    t.create(
        201,
        CLUSTER_BINDINGS,
        binding(
            "ClusterRoleBinding",
            &name,
            "ClusterRole",
            &name,
            users(&["global-hero"]),
        ),
    )
    .await;
    let ask = |namespace: &str| json!({"namespace": namespace, "verb": "produce", "group": "kafka.tubeway.dev", "resource": "kafkatopics"});
    until_allowed(t, "local-hero", &ask(&name)).await;
    until_allowed(t, "global-hero", &ask("")).await;
    for user in ["local-hero", "global-hero"] {
        for namespace in [&*name, "default", ""] {
            may(t, user, Value::Null, ask(namespace)).await;
        }
    }
    t.create(
        201,
        BINDINGS,
        binding("RoleBinding", "dangling", "Role", "none", users(&["ghost"])),
    )
    .await;
    may(t, "ghost", Value::Null, ask(&name)).await;
    t.merge(
        422,
        &format!("{BINDINGS}/here"),
        json!({"roleRef": {"name": "other"}}),
    )
    .await;
    t.delete(200, &format!("{CLUSTER_BINDINGS}/{name}"), Value::Null)
        .await;
    t.delete(200, &format!("{CLUSTER_ROLES}/{name}"), Value::Null)
        .await;
}

async fn wildcards_subresources_and_paths(t: &mut Trial<'_>) {
    let name = t.namespace.clone();
    let rules = json!([
        {"apiGroups": ["a.dev"], "resources": ["*"], "verbs": ["get"]},
        {"apiGroups": ["*"], "resources": ["pods/log", "*/scale"], "verbs": ["*"]},
        {"nonResourceURLs": ["/metrics", "/debug/*"], "verbs": ["get"]},
    ]);
    t.create(201, CLUSTER_ROLES, role("ClusterRole", &name, rules))
        .await;
    t.create(
        201,
        CLUSTER_BINDINGS,
        binding(
            "ClusterRoleBinding",
            &name,
            "ClusterRole",
            &name,
            users(&["wild"]),
        ),
    )
    .await;
    let ask = |group: &str, resource: &str, subresource: &str, verb: &str| json!({"group": group, "resource": resource, "subresource": subresource, "verb": verb, "namespace": "default"});
    until_allowed(t, "wild", &ask("a.dev", "things", "", "get")).await;
    for (group, resource, subresource, verb) in [
        ("a.dev", "things", "", "get"),
        ("a.dev", "things", "status", "get"),
        ("a.dev", "things", "", "list"),
        ("b.dev", "things", "", "get"),
        ("", "pods", "", "get"),
        ("", "pods", "log", "get"),
        ("x", "y", "scale", "update"),
        ("x", "y", "status", "update"),
        ("*", "*", "", "*"),
        ("a.dev", "*", "*", "get"),
    ] {
        may(
            t,
            "wild",
            Value::Null,
            ask(group, resource, subresource, verb),
        )
        .await;
    }
    for path in [
        "/metrics",
        "/metrics/x",
        "/debug",
        "/debug/",
        "/debug/x/y",
        "/api",
        "/healthz",
        "/version",
    ] {
        let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "wild", "nonResourceAttributes": {"path": path, "verb": "get"}}});
        let answer = t.post_unnoted(REVIEWS, body).await;
        t.note(path, answer["status"].clone());
    }
    t.create(422, REVIEWS, json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "x"}})).await;
    t.create(422, REVIEWS, json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get"}}})).await;
    t.create(
        201,
        REVIEWS,
        question("x", Value::Null, json!({"verb": "get", "resource": "pods"})),
    )
    .await;
    t.delete(200, &format!("{CLUSTER_BINDINGS}/{name}"), Value::Null)
        .await;
    t.delete(200, &format!("{CLUSTER_ROLES}/{name}"), Value::Null)
        .await;
}

async fn roles_are_checked(t: &mut Trial<'_>) {
    t.create(
        422,
        ROLES,
        role(
            "Role",
            "a",
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": []}]),
        ),
    )
    .await;
    t.create(
        422,
        ROLES,
        role(
            "Role",
            "a",
            json!([{"apiGroups": [""], "resources": [], "verbs": ["get"]}]),
        ),
    )
    .await;
    t.create(
        422,
        ROLES,
        role(
            "Role",
            "a",
            json!([{"resources": ["pods"], "verbs": ["get"]}]),
        ),
    )
    .await;
    t.create(
        422,
        ROLES,
        role(
            "Role",
            "a",
            json!([{"nonResourceURLs": ["/x"], "verbs": ["get"]}]),
        ),
    )
    .await;
    t.create(
        422,
        BINDINGS,
        binding("RoleBinding", "a", "Wrong", "x", json!([])),
    )
    .await;
    t.create(
        422,
        BINDINGS,
        binding("RoleBinding", "a", "Role", "", json!([])),
    )
    .await;
    t.create(
        422,
        BINDINGS,
        binding(
            "RoleBinding",
            "a",
            "Role",
            "x",
            json!([{"kind": "Robot", "name": "r"}]),
        ),
    )
    .await;
    t.create(
        201,
        BINDINGS,
        binding(
            "RoleBinding",
            "local",
            "Role",
            "x",
            json!([{"kind": "ServiceAccount", "name": "r"}]),
        ),
    )
    .await;
    t.create(
        201,
        BINDINGS,
        binding(
            "RoleBinding",
            "a",
            "Role",
            "x",
            json!([{"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"}]),
        ),
    )
    .await;
    t.create(201, ROLES, role("Role", "empty", Value::Null))
        .await;
}

async fn nobody_gives_more_than_he_has(t: &mut Trial<'_>) {
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "get", "update", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ]);
    t.create(201, ROLES, role("Role", "keeper", rules)).await;
    let pods = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    t.create(201, ROLES, role("Role", "pods", pods.clone()))
        .await;
    t.create(
        201,
        BINDINGS,
        binding(
            "RoleBinding",
            "keeper",
            "Role",
            "keeper",
            users(&["keeper"]),
        ),
    )
    .await;
    let here = t.namespace.clone();
    until_allowed(t, "keeper", &json!({"namespace": here, "verb": "create", "group": "rbac.authorization.k8s.io", "resource": "roles"})).await;
    until_allowed(
        t,
        "keeper",
        &json!({"namespace": here, "verb": "get", "resource": "configmaps"}),
    )
    .await;
    t.act_as(Some("keeper"));
    let maps = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
    t.create(201, ROLES, role("Role", "maps", maps)).await;
    t.create(403, ROLES, role("Role", "more", pods.clone()))
        .await;
    t.merge(403, &format!("{ROLES}/maps"), json!({"rules": pods}))
        .await;
    t.create(
        403,
        BINDINGS,
        binding("RoleBinding", "more", "Role", "pods", users(&["x"])),
    )
    .await;
    t.create(
        201,
        BINDINGS,
        binding("RoleBinding", "maps", "Role", "maps", users(&["x"])),
    )
    .await;
    t.act_as(None);
}

async fn aggregated_roles_gather_rules(t: &mut Trial<'_>) {
    let name = t.namespace.clone();
    let mut whole = role("ClusterRole", &name, json!([]));
    whole["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"case": name}}]});
    t.create(201, CLUSTER_ROLES, whole).await;
    let part_name = format!("{name}-part");
    let mut part = role(
        "ClusterRole",
        &part_name,
        json!([{"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"], "verbs": ["produce"]}]),
    );
    part["metadata"]["labels"] = json!({"case": name});
    t.create(201, CLUSTER_ROLES, part).await;
    let path = format!("{CLUSTER_ROLES}/{name}");
    let mut gathered = Value::Null;
    for _ in 0..250 {
        gathered = t.get_unnoted(&path).await["rules"].take();
        if gathered.as_array().is_some_and(|rules| !rules.is_empty()) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    t.note("rules", gathered);
    t.delete(200, &format!("{CLUSTER_ROLES}/{part_name}"), Value::Null)
        .await;
    t.delete(200, &path, Value::Null).await;
}

async fn impersonation_is_a_right(t: &mut Trial<'_>) {
    t.act_as(Some("nobody-special"));
    t.get(403, "configmaps").await;
    t.create(403, "configmaps", config_map("a", json!({})))
        .await;
    let who = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    t.create(
        201,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        who,
    )
    .await;
    t.act_as(Some("system:serviceaccount:shop:checkout"));
    let who = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    t.create(
        201,
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        who,
    )
    .await;
    t.act_as(Some("system:anonymous"));
    t.get(403, "configmaps").await;
    t.act_as(None);
}

async fn own_rights_can_be_listed(t: &mut Trial<'_>) {
    let rules = json!([{"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"], "resourceNames": ["a"], "verbs": ["produce"]}]);
    t.create(201, ROLES, role("Role", "mine", rules)).await;
    t.create(
        201,
        BINDINGS,
        binding("RoleBinding", "mine", "Role", "mine", users(&["lister"])),
    )
    .await;
    let here = t.namespace.clone();
    let attributes = json!({"namespace": here, "verb": "produce", "group": "kafka.tubeway.dev", "resource": "kafkatopics", "name": "a"});
    until_allowed(t, "lister", &attributes).await;
    t.act_as(Some("lister"));
    let own = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}});
    t.create(
        201,
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        own,
    )
    .await;
    let list = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": here}});
    let list = t
        .post_unnoted(
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            list,
        )
        .await;
    let rules = list["status"]["resourceRules"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let topics: Vec<Value> = rules
        .into_iter()
        .filter(|rule| rule["resources"][0] == "kafkatopics")
        .collect();
    t.note("rules about topics", topics);
    t.note("incomplete", list["status"]["incomplete"].clone());
    t.act_as(None);
}

async fn pod_security_is_enforced(t: &mut Trial<'_>) {
    let path = format!("/api/v1/namespaces/{}", t.namespace);
    let labels =
        json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    t.merge(200, &path, labels).await;
    let pod = |security: Value, container: Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
            "spec": {"automountServiceAccountToken": false, "securityContext": security, "containers": [{"name": "main", "image": "x:1", "securityContext": container}]},
        })
    };
    t.create(403, "pods", pod(json!({}), json!({}))).await;
    t.create(
        403,
        "pods",
        pod(json!({"hostNetwork": true}), json!({"privileged": true})),
    )
    .await;
    let safe = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    t.create(
        201,
        "pods",
        pod(
            json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}}),
            safe,
        ),
    )
    .await;
}
