use super::*;
use serde_json::json;

fn role(kind: &str, namespace: &str, name: &str, rules: &Value) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "namespace": namespace}, "rules": rules})
}

fn binding(kind: &str, namespace: &str, name: &str, role: (&str, &str), subject: &Value) -> Value {
    json!({"kind": kind, "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"kind": role.0, "name": role.1}, "subjects": [subject]})
}

fn service_account() -> Value {
    json!({"kind": "ServiceAccount", "name": "app", "namespace": "team"})
}

fn request(verb: &str, resource: &str, namespace: &str) -> Attributes {
    let user = "system:serviceaccount:team:app".to_owned();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        groups: implied_groups(&user),
        user,
        verb: verb.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    }
}

/// Whether one cluster-wide rule allows the request.
fn allows(rule: &Value, attributes: &Attributes) -> bool {
    let granted = role("ClusterRole", "", "r", &json!([rule]));
    let subject = service_account();
    let binding = binding(
        "ClusterRoleBinding",
        "",
        "b",
        ("ClusterRole", "r"),
        &subject,
    );
    let objects = RbacObjects {
        cluster_roles: vec![&granted],
        cluster_role_bindings: vec![&binding],
        ..RbacObjects::default()
    };
    authorize(&objects, attributes).allowed
}

#[test]
fn a_role_binding_allows_in_its_namespace_only() {
    let role = role(
        "Role",
        "kafka",
        "writer",
        &json!([{"apiGroups": ["kafka.tubeway.dev"], "resources": ["kafkatopics"], "verbs": ["produce"], "resourceNames": ["orders"]}]),
    );
    let subject = service_account();
    let binding = binding(
        "RoleBinding",
        "kafka",
        "orders",
        ("Role", "writer"),
        &subject,
    );
    let objects = RbacObjects {
        roles: vec![&role],
        role_bindings: vec![&binding],
        ..RbacObjects::default()
    };
    let mut ask = request("produce", "kafkatopics", "kafka");
    ask.group = "kafka.tubeway.dev".to_owned();
    ask.name = "orders".to_owned();
    assert_eq!(
        authorize(&objects, &ask),
        Decision {
            allowed: true,
            reason: "RBAC: allowed by RoleBinding \"orders/kafka\" of Role \"writer\" to ServiceAccount \"app/team\"".to_owned(),
        }
    );
    let refused = |change: &dyn Fn(&mut Attributes)| {
        let mut other = ask.clone();
        change(&mut other);
        let decision = authorize(&objects, &other);
        assert_eq!(decision.reason, "");
        !decision.allowed
    };
    assert!(refused(&|a| a.namespace = "other".to_owned()));
    assert!(refused(&|a| a.namespace = String::new()));
    assert!(refused(&|a| a.name = "payments".to_owned()));
    assert!(refused(&|a| a.name = String::new()));
    assert!(refused(&|a| a.verb = "consume".to_owned()));
    assert!(refused(&|a| a.group = String::new()));
    assert!(refused(&|a| a.subresource = "status".to_owned()));
    assert!(refused(
        &|a| a.user = "system:serviceaccount:kafka:app".to_owned()
    ));
}

#[test]
fn cluster_roles_can_be_bound_in_a_namespace() {
    let role = role(
        "ClusterRole",
        "",
        "view",
        &json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]),
    );
    let subject = json!({"kind": "ServiceAccount", "name": "app"});
    let binding = binding(
        "RoleBinding",
        "team",
        "b",
        ("ClusterRole", "view"),
        &subject,
    );
    let objects = RbacObjects {
        cluster_roles: vec![&role],
        role_bindings: vec![&binding],
        ..RbacObjects::default()
    };
    let decision = authorize(&objects, &request("list", "pods", "team"));
    assert_eq!(
        decision.reason,
        "RBAC: allowed by RoleBinding \"b/team\" of ClusterRole \"view\" to ServiceAccount \"app/team\""
    );
    assert!(!authorize(&objects, &request("list", "pods", "")).allowed);
}

#[test]
fn rules_match_with_wildcards() {
    let core = |resources: &str, verbs: &str| json!({"apiGroups": [""], "resources": [resources], "verbs": [verbs]});
    let cases = [
        (core("pods", "get"), "get", "pods", true),
        (core("pods", "*"), "delete", "pods", true),
        (core("*", "get"), "get", "pods", true),
        (core("*", "get"), "get", "pods/log", true),
        (core("pods", "get"), "get", "pods/log", false),
        (core("pods/log", "get"), "get", "pods/log", true),
        (core("pods/log", "get"), "get", "pods", false),
        (core("*/scale", "get"), "get", "deployments/scale", true),
        (core("*/scale", "get"), "get", "deployments/status", false),
        (core("pods/*", "get"), "get", "pods/log", false),
        (core("pods", "get"), "list", "pods", false),
        (
            json!({"apiGroups": ["*"], "resources": ["pods"], "verbs": ["get"]}),
            "get",
            "pods",
            true,
        ),
        (
            json!({"apiGroups": ["apps"], "resources": ["pods"], "verbs": ["get"]}),
            "get",
            "pods",
            false,
        ),
        (
            json!({"apiGroups": [""], "resources": ["pods"]}),
            "get",
            "pods",
            false,
        ),
    ];
    for (rule, verb, resource, want) in cases {
        let got = allows(&rule, &request(verb, resource, "team"));
        assert_eq!(got, want, "{rule} for {verb} {resource}");
    }
}

#[test]
fn paths_match_with_a_star_at_the_end() {
    let cases = [
        ("/healthz", "/healthz", true),
        ("/healthz", "/healthz/x", false),
        ("/api/*", "/api/v1", true),
        ("/api/*", "/apis", false),
        ("*", "/anything", true),
    ];
    for (rule, path, want) in cases {
        let rule = json!({"nonResourceURLs": [rule], "verbs": ["get"]});
        let ask = Attributes {
            non_resource_path: Some(path.to_owned()),
            ..request("get", "", "")
        };
        assert_eq!(allows(&rule, &ask), want, "{rule} {path}");
    }
    let resources = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
    let ask = Attributes {
        non_resource_path: Some("/metrics".to_owned()),
        ..request("get", "", "")
    };
    assert!(!allows(&resources, &ask));
}

#[test]
fn users_and_groups_are_subjects_too() {
    let role = role(
        "ClusterRole",
        "",
        "r",
        &json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
    );
    let ask = request("get", "pods", "");
    let cases = [
        (
            json!({"kind": "User", "name": "system:serviceaccount:team:app"}),
            true,
        ),
        (json!({"kind": "User", "name": "app"}), false),
        (
            json!({"kind": "Group", "name": "system:authenticated"}),
            true,
        ),
        (
            json!({"kind": "Group", "name": "system:serviceaccounts"}),
            true,
        ),
        (
            json!({"kind": "Group", "name": "system:serviceaccounts:team"}),
            true,
        ),
        (
            json!({"kind": "Group", "name": "system:serviceaccounts:other"}),
            false,
        ),
        (json!({"kind": "ServiceAccount", "name": "app"}), false),
        (json!({"kind": "Robot", "name": "app"}), false),
    ];
    for (subject, want) in cases {
        let binding = binding(
            "ClusterRoleBinding",
            "",
            "b",
            ("ClusterRole", "r"),
            &subject,
        );
        let objects = RbacObjects {
            cluster_roles: vec![&role],
            cluster_role_bindings: vec![&binding],
            ..RbacObjects::default()
        };
        assert_eq!(authorize(&objects, &ask).allowed, want, "{subject}");
    }
}

#[test]
fn masters_may_do_everything() {
    let mut ask = request("delete", "nodes", "");
    assert!(!authorize(&RbacObjects::default(), &ask).allowed);
    ask.groups.push(MASTERS.to_owned());
    assert!(authorize(&RbacObjects::default(), &ask).allowed);
}

#[test]
fn dangling_references_allow_nothing() {
    let subject = service_account();
    let gone = binding(
        "ClusterRoleBinding",
        "",
        "b",
        ("ClusterRole", "gone"),
        &subject,
    );
    // A cluster-wide binding cannot refer to a Role.
    let role = role(
        "Role",
        "",
        "r",
        &json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
    );
    let wrong = binding("ClusterRoleBinding", "", "c", ("Role", "r"), &subject);
    let objects = RbacObjects {
        roles: vec![&role],
        cluster_role_bindings: vec![&gone, &wrong],
        ..RbacObjects::default()
    };
    assert!(!authorize(&objects, &request("get", "pods", "team")).allowed);
}

#[test]
fn aggregated_roles_gather_by_label_and_end_cycles() {
    let part = |name: &str, label: &str, resource: &str, gathers: &str| {
        json!({
            "metadata": {"name": name, "labels": {label: "true"}},
            "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {gathers: "true"}}]},
        })
    };
    let admin = part("admin", "to-view", "secrets", "to-admin");
    let edit = part("edit", "to-admin", "pods", "to-edit");
    let view = part("view", "to-edit", "nodes", "to-view");
    let subject = service_account();
    let binding = binding(
        "ClusterRoleBinding",
        "",
        "b",
        ("ClusterRole", "admin"),
        &subject,
    );
    let objects = RbacObjects {
        cluster_roles: vec![&admin, &edit, &view],
        cluster_role_bindings: vec![&binding],
        ..RbacObjects::default()
    };
    for resource in ["secrets", "pods", "nodes"] {
        assert!(
            authorize(&objects, &request("get", resource, "")).allowed,
            "{resource}"
        );
    }
    assert!(!authorize(&objects, &request("get", "services", "")).allowed);
}

#[test]
fn rules_are_listed_for_reviews() {
    let role = role(
        "ClusterRole",
        "",
        "r",
        &json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": ["p"]},
            {"nonResourceURLs": ["/healthz"], "verbs": ["get"]},
        ]),
    );
    let subject = service_account();
    let wide = binding(
        "ClusterRoleBinding",
        "",
        "b",
        ("ClusterRole", "r"),
        &subject,
    );
    let local = binding("RoleBinding", "team", "b", ("ClusterRole", "r"), &subject);
    let objects = RbacObjects {
        cluster_roles: vec![&role],
        cluster_role_bindings: vec![&wide],
        role_bindings: vec![&local],
        ..RbacObjects::default()
    };
    let user = "system:serviceaccount:team:app";
    let (resources, paths) = rules_for(&objects, user, &implied_groups(user), "");
    assert_eq!((resources.len(), paths.len()), (1, 1));
    assert_eq!(resources[0].resource_names, ["p"]);
    assert_eq!(paths[0].paths, ["/healthz"]);
    let (resources, _) = rules_for(&objects, user, &[], "team");
    assert_eq!(resources.len(), 2);
}

#[test]
fn implied_groups_follow_the_name() {
    assert_eq!(implied_groups("alice"), ["system:authenticated"]);
    assert_eq!(
        implied_groups("system:anonymous"),
        ["system:unauthenticated"]
    );
    assert_eq!(implied_groups("system:serviceaccount:n:a").len(), 3);
}
