//! Objects that are there from the beginning: namespaces, roles, the service of the API itself.

use serde_json::{Value, json};

/// Namespaces of every cluster.
pub(crate) const NAMESPACES: [&str; 4] =
    ["default", "kube-node-lease", "kube-public", "kube-system"];

const RBAC: &str = "rbac.authorization.k8s.io";
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
const READ: [&str; 3] = ["get", "list", "watch"];

/// Cluster roles and their bindings.
pub(crate) fn roles() -> Vec<Value> {
    let open = ["/healthz", "/livez", "/readyz", "/version", "/version/"];
    let discovery = [
        "/api",
        "/api/*",
        "/apis",
        "/apis/*",
        "/healthz",
        "/livez",
        "/openapi",
        "/openapi/*",
        "/readyz",
        "/version",
        "/version/",
    ];
    let issuer = [
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/",
        "/openid/v1/jwks",
        "/openid/v1/jwks/",
    ];
    let everything = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let reviews = json!([
        {"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["create"]},
    ]);
    let paths = |paths: &[&str]| json!([{"nonResourceURLs": paths, "verbs": ["get"]}]);
    let delegator = json!([
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]},
        {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    ]);
    let mut all = vec![
        role("cluster-admin", everything),
        role("system:discovery", paths(&discovery)),
        role("system:public-info-viewer", paths(&open)),
        role("system:service-account-issuer-discovery", paths(&issuer)),
        role("system:basic-user", reviews),
        role("system:auth-delegator", delegator),
        binding("cluster-admin", &["system:masters"]),
        binding("system:discovery", &["system:authenticated"]),
        binding("system:basic-user", &["system:authenticated"]),
        binding(
            "system:public-info-viewer",
            &["system:authenticated", "system:unauthenticated"],
        ),
        binding(
            "system:service-account-issuer-discovery",
            &["system:serviceaccounts"],
        ),
    ];
    all.extend(user_roles());
    all
}

/// `admin`, `edit` and `view`, which gather the rules of roles labelled for them and for all lower
/// levels.
fn user_roles() -> Vec<Value> {
    let all = [READ.as_slice(), &WRITE].concat();
    let work = [
        "configmaps",
        "endpoints",
        "persistentvolumeclaims",
        "pods",
        "serviceaccounts",
        "services",
    ];
    let seen = [
        "configmaps",
        "endpoints",
        "events",
        "namespaces",
        "persistentvolumeclaims",
        "persistentvolumeclaims/status",
        "pods",
        "pods/log",
        "pods/status",
        "serviceaccounts",
        "services",
        "services/status",
    ];
    let view = json!([
        {"apiGroups": [""], "resources": seen, "verbs": READ},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets", "poddisruptionbudgets/status"], "verbs": READ},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": READ},
    ]);
    let edit = json!([
        {"apiGroups": [""], "resources": work, "verbs": WRITE},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": all},
        {"apiGroups": [""], "resources": ["pods/eviction", "serviceaccounts/token"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": WRITE},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": all},
    ]);
    let admin = json!([
        {"apiGroups": ["authorization.k8s.io"], "resources": ["localsubjectaccessreviews"], "verbs": ["create"]},
        {"apiGroups": [RBAC], "resources": ["rolebindings", "roles"], "verbs": all},
    ]);
    vec![
        gathering("admin", &["admin", "edit", "view"]),
        gathering("edit", &["edit", "view"]),
        gathering("view", &["view"]),
        labelled("system:aggregate-to-admin", "admin", admin),
        labelled("system:aggregate-to-edit", "edit", edit),
        labelled("system:aggregate-to-view", "view", view),
    ]
}

fn selector(level: &str) -> Value {
    json!({"matchLabels": {format!("rbac.authorization.k8s.io/aggregate-to-{level}"): "true"}})
}

fn role(name: &str, rules: Value) -> Value {
    let mut role = json!({"apiVersion": format!("{RBAC}/v1"), "kind": "ClusterRole", "metadata": metadata(name)});
    role["rules"] = rules;
    role
}

fn gathering(name: &str, levels: &[&str]) -> Value {
    let mut role = role(name, json!([]));
    let selectors: Vec<Value> = levels.iter().map(|level| selector(level)).collect();
    role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
    role
}

fn labelled(name: &str, level: &str, rules: Value) -> Value {
    let mut role = role(name, rules);
    role["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{level}")] =
        "true".into();
    role
}

fn binding(role: &str, groups: &[&str]) -> Value {
    let subjects: Vec<Value> = groups
        .iter()
        .map(|group| json!({"apiGroup": RBAC, "kind": "Group", "name": group}))
        .collect();
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRoleBinding",
        "metadata": metadata(role),
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    })
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
    })
}

/// A namespace.
pub(crate) fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

/// The service `kubernetes`, under which pods look for the API.
pub(crate) fn service(cluster_ip: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": cluster_ip,
            "clusterIPs": [cluster_ip],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            "type": "ClusterIP",
        },
    })
}
