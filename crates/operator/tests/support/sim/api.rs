//! The Kubernetes API as tests use it: paths and JSON, as whoever they play.

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

/// One namespace of an API server, as one client sees it.
#[derive(Clone)]
pub(crate) struct Namespace {
    client: Client,
    pub(crate) name: String,
}

/// Kinds of Tubeway's own group.
pub(super) const OURS: [&str; 5] = [
    "kafkaclusters",
    "kafkanodepools",
    "kafkatopics",
    "kafkaacls",
    "kafkaquotas",
];
/// Every kind that a cluster is made of or described by.
pub(crate) const KINDS: [&str; 11] = [
    "kafkaclusters",
    "kafkanodepools",
    "kafkatopics",
    "kafkaacls",
    "kafkaquotas",
    "pods",
    "configmaps",
    "services",
    "serviceaccounts",
    "persistentvolumeclaims",
    "poddisruptionbudgets",
];

// === impl Namespace ===

impl Namespace {
    /// A namespace that is made if it is not there.
    pub(crate) async fn make(client: Client, name: &str) -> Self {
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        let _ = send(&client, Method::POST, "/api/v1/namespaces", &object).await;
        Self {
            client,
            name: name.to_owned(),
        }
    }

    /// The path of what is written here as `pods` or `pods/demo-all-0`.
    pub(crate) fn path(&self, what: &str) -> String {
        let kind = what.split('/').next().unwrap_or_default();
        let group = match kind {
            kind if OURS.contains(&kind) => "/apis/kafka.tubeway.dev/v1alpha1",
            "poddisruptionbudgets" => "/apis/policy/v1",
            "rolebindings" | "roles" => "/apis/rbac.authorization.k8s.io/v1",
            "leases" => "/apis/coordination.k8s.io/v1",
            _ => "/api/v1",
        };
        format!("{group}/namespaces/{}/{what}", self.name)
    }

    pub(crate) async fn get(&self, what: &str) -> Option<Value> {
        self.call(Method::GET, what, &Value::Null).await.ok()
    }

    pub(crate) async fn list(&self, kind: &str) -> Vec<Value> {
        let list = self.call(Method::GET, kind, &Value::Null).await;
        match list {
            Ok(mut list) => list["items"]
                .as_array_mut()
                .map(std::mem::take)
                .unwrap_or_default(),
            Err(error) => panic!("list of {kind}: {error}"),
        }
    }

    /// The newest resource version of all.
    pub(crate) async fn version(&self) -> u64 {
        let list = self.call(Method::GET, "pods", &Value::Null).await.unwrap();
        let version = list["metadata"]["resourceVersion"].as_str().unwrap();
        version.parse().unwrap()
    }

    pub(crate) async fn create(&self, kind: &str, object: &Value) -> Result<Value, kube::Error> {
        self.call(Method::POST, kind, object).await
    }

    /// Makes an object of a kind that is the whole cluster's.
    pub(crate) async fn create_wide(
        &self,
        kind: &str,
        object: &Value,
    ) -> Result<Value, kube::Error> {
        send(
            &self.client,
            Method::POST,
            &format!("/api/v1/{kind}"),
            object,
        )
        .await
    }

    /// Changes fields by a merge patch.
    pub(crate) async fn edit(&self, what: &str, patch: &Value) -> Result<Value, kube::Error> {
        self.call(Method::PATCH, what, patch).await
    }

    pub(crate) async fn delete(&self, what: &str) -> Result<Value, kube::Error> {
        self.call(Method::DELETE, what, &json!({})).await
    }

    /// Deletes a pod without leaving it time to end.
    pub(crate) async fn kill(&self, what: &str) -> Result<Value, kube::Error> {
        let options = json!({ "gracePeriodSeconds": 0 });
        self.call(Method::DELETE, what, &options).await
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        what: &str,
        body: &Value,
    ) -> Result<Value, kube::Error> {
        send(&self.client, method, &self.path(what), body).await
    }

    /// Changes the namespace itself.
    pub(crate) async fn patch_itself(&self, patch: &Value) {
        let itself = format!("/api/v1/namespaces/{}", self.name);
        send(&self.client, Method::PATCH, &itself, patch)
            .await
            .unwrap();
    }
}

async fn send(
    client: &Client,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<Value, kube::Error> {
    let content = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .body(bytes)
        .unwrap();
    client.request(request).await
}
