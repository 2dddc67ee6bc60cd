//! Service accounts: tokens, their review, and what bearers may do.

use serde_json::{Value, json};

use super::bodies::{config_map, pod};
use crate::trial::Trial;

super::cases! {
    tokens_are_issued_and_reviewed,
    token_requests_are_checked,
    bad_tokens_are_refused,
    a_token_ends_with_its_pod_and_its_account,
    a_bearer_does_what_roles_allow,
}

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

async fn account(t: &mut Trial<'_>, name: &str) {
    let body = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    t.create(201, "serviceaccounts", body).await;
}

fn request(spec: Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
}

fn review(token: &Value, audiences: Value) -> Value {
    json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": audiences}})
}

/// A review without the parts that differ each time.
async fn reviewed(t: &mut Trial<'_>, token: &Value, audiences: Value) {
    let found = t.post_unnoted(REVIEWS, review(token, audiences)).await;
    let mut status = found["status"].clone();
    // An id that is new for each token.
    if let Some(extra) = status["user"]["extra"].as_object_mut() {
        extra.remove("authentication.kubernetes.io/credential-id");
    }
    // The error's text is about the token, which differs.
    if let Some(error) = status.get_mut("error") {
        *error = error.is_string().into();
    }
    t.note("review", status);
}

async fn tokens_are_issued_and_reviewed(t: &mut Trial<'_>) {
    account(t, "app").await;
    let path = "serviceaccounts/app/token";
    let made = t
        .create(201, path, request(json!({"expirationSeconds": 3600})))
        .await;
    let token = made["status"]["token"].clone();
    reviewed(t, &token, Value::Null).await;
    reviewed(t, &token, json!(["kafka"])).await;
    let made = t
        .create(
            201,
            path,
            request(json!({"audiences": ["kafka", "tubeway"], "expirationSeconds": 3600})),
        )
        .await;
    let token = made["status"]["token"].clone();
    reviewed(t, &token, json!(["kafka"])).await;
    reviewed(t, &token, json!(["other", "tubeway"])).await;
    reviewed(t, &token, json!(["other"])).await;
    reviewed(t, &token, Value::Null).await;
    reviewed(t, &json!("rubbish"), Value::Null).await;
    t.create(201, REVIEWS, review(&json!("a.b.c"), json!(["kafka"])))
        .await;
}

async fn token_requests_are_checked(t: &mut Trial<'_>) {
    account(t, "app").await;
    let path = "serviceaccounts/app/token";
    t.create(422, path, request(json!({"expirationSeconds": 10})))
        .await;
    t.create(
        422,
        path,
        request(json!({"expirationSeconds": 1_i64 << 33})),
    )
    .await;
    t.create(404, "serviceaccounts/none/token", request(json!({})))
        .await;
    let bound = |kind: &str, name: &str, version: &str| {
        request(json!({"boundObjectRef": {"kind": kind, "apiVersion": version, "name": name}}))
    };
    t.create(404, path, bound("Pod", "none", "v1")).await;
    t.create(400, path, bound("Widget", "none", "v1")).await;
    t.create(201, path, request(json!({}))).await;
    t.get(405, path).await;
}

async fn bad_tokens_are_refused(t: &mut Trial<'_>) {
    account(t, "app").await;
    t.bear("rubbish");
    t.get(401, "configmaps").await;
    t.bear("a.b.c");
    t.get(401, "configmaps").await;
    t.get(401, "/api").await;
}

async fn a_token_ends_with_its_pod_and_its_account(t: &mut Trial<'_>) {
    account(t, "app").await;
    let mut body = pod("p");
    body["spec"]["serviceAccountName"] = "app".into();
    body["spec"]["automountServiceAccountToken"] = false.into();
    let made = t.create(201, "pods", body).await;
    let path = "serviceaccounts/app/token";
    let bound =
        json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]});
    let token = t
        .create(
            201,
            path,
            request(json!({"audiences": ["kafka"], "boundObjectRef": bound})),
        )
        .await["status"]["token"]
        .clone();
    reviewed(t, &token, json!(["kafka"])).await;
    let wrong = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "00000000-0000-0000-0000-000000000000"});
    t.create(409, path, request(json!({"boundObjectRef": wrong})))
        .await;
    t.delete(200, "pods/p", Value::Null).await;
    until_refused(t, &token).await;
    let token = t
        .create(201, path, request(json!({"audiences": ["kafka"]})))
        .await["status"]["token"]
        .clone();
    t.delete(200, "serviceaccounts/app", Value::Null).await;
    account(t, "app").await;
    until_refused(t, &token).await;
}

/// A real server remembers for seconds that a token was good.
async fn until_refused(t: &mut Trial<'_>, token: &Value) {
    for _ in 0..600 {
        let found = t
            .post_unnoted(REVIEWS, review(token, json!(["kafka"])))
            .await;
        if found["status"]["authenticated"] != true {
            t.note("the token is refused", true);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    t.note("the token is refused", false);
}

async fn a_bearer_does_what_roles_allow(t: &mut Trial<'_>) {
    account(t, "app").await;
    t.create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "read"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["get"]}],
    });
    t.create(201, "rbac.authorization.k8s.io/v1/roles", role)
        .await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "read"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"},
        "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": t.namespace}],
    });
    t.create(201, "rbac.authorization.k8s.io/v1/rolebindings", binding)
        .await;
    let token = t
        .create(201, "serviceaccounts/app/token", request(json!({})))
        .await["status"]["token"]
        .clone();
    t.bear(token.as_str().unwrap_or_default());
    // Rules reach the authorizer a moment after they are made.
    t.until("configmaps/a", |code, _| code == 200).await;
    t.get(200, "configmaps/a").await;
    t.get(403, "configmaps/b").await;
    t.get(403, "configmaps").await;
    t.create(403, "configmaps", config_map("c", json!({})))
        .await;
    t.merge(403, "configmaps/a", json!({})).await;
    t.delete(403, "configmaps/a", Value::Null).await;
    t.get(403, "/api/v1/namespaces/default/configmaps/a").await;
    t.get(403, "/api/v1/nodes").await;
    t.get(403, "kafka.tubeway.dev/v1alpha1/kafkatopics/a").await;
    t.merge(
        403,
        "kafka.tubeway.dev/v1alpha1/kafkatopics/a/status",
        json!({}),
    )
    .await;
    t.get(403, "nothings").await;
    let api = t.get_unnoted("/api").await;
    t.note("versions", api["versions"].clone());
    t.get(403, "/metrics").await;
    let who = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let who = t
        .post_unnoted("/apis/authentication.k8s.io/v1/selfsubjectreviews", who)
        .await;
    t.note(
        "who",
        json!([
            who["status"]["userInfo"]["username"],
            who["status"]["userInfo"]["groups"]
        ]),
    );
}
