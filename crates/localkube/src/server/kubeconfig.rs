//! Kubeconfig files.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// For a user with a client certificate.
pub(super) fn certificate(url: &str, ca: &str, certificate: &str, key: &str) -> String {
    let user = json!({
        "client-certificate-data": STANDARD.encode(certificate),
        "client-key-data": STANDARD.encode(key),
    });
    file(url, ca, "default", "admin", &user)
}

/// For a service account with a token.
pub(super) fn token(url: &str, ca: &str, namespace: &str, name: &str, token: &str) -> String {
    file(url, ca, namespace, name, &json!({"token": token}))
}

/// The file; JSON, which is YAML too.
fn file(url: &str, ca: &str, namespace: &str, user: &str, credentials: &Value) -> String {
    const CLUSTER: &str = "localkube";
    let value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": CLUSTER,
            "cluster": {"server": url, "certificate-authority-data": STANDARD.encode(ca)},
        }],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": CLUSTER, "context": {"cluster": CLUSTER, "user": user, "namespace": namespace}}],
        "current-context": CLUSTER,
    });
    format!("{value:#}\n")
}
