//! The two servers that are compared.

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tubeway_testing::kubernetes::ControlPlane;

/// A server and its administrator.
pub struct Server {
    /// For messages.
    pub name: &'static str,
    /// May do everything.
    pub admin: Client,
    config: Config,
    _running: Running,
}

/// Keeps a server alive.
#[expect(dead_code, reason = "held for its end")]
enum Running {
    Real(Box<ControlPlane>),
    Local(Box<tubeway_localkube::Server>, TempDir),
}

// === impl Server ===

impl Server {
    /// The real one.
    pub async fn real() -> Self {
        let plane = ControlPlane::start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let kubeconfig = plane.admin_kubeconfig().to_owned();
        Self::new(
            "kube-apiserver",
            &kubeconfig,
            Running::Real(Box::new(plane)),
        )
        .await
    }

    /// Ours.
    pub async fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = tubeway_localkube::Config::new(folder.path(), "127.0.0.1:0".parse().unwrap());
        let server = tubeway_localkube::Server::start(config).await.unwrap();
        let kubeconfig = server.admin_kubeconfig().unwrap();
        Self::new(
            "localkube",
            &kubeconfig,
            Running::Local(Box::new(server), folder),
        )
        .await
    }

    async fn new(name: &'static str, kubeconfig: &str, running: Running) -> Self {
        let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .unwrap();
        // A refusal is what many cases look for.
        config.default_retry = false;
        let server = Self {
            name,
            admin: Client::try_from(config.clone()).unwrap(),
            config,
            _running: running,
        };
        server.define().await;
        server
    }

    /// A client with nothing but a token.
    pub fn bearer(&self, token: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info = AuthInfo {
            token: Some(token.to_owned().into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).unwrap()
    }

    /// Installs the definitions of `deploy/crds` and one that has what those do not use.
    async fn define(&self) {
        for definition in definitions() {
            let request = http::Request::post(
                "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldValidation=Strict",
            );
            let request = request
                .header("content-type", "application/json")
                .body(definition.to_string().into_bytes())
                .unwrap();
            let made: Value = self.admin.request(request).await.unwrap_or_else(|error| {
                panic!("{} does not take a definition: {error}", self.name)
            });
            let (group, version) = (
                text(&made["spec"]["group"]),
                text(&made["spec"]["versions"][0]["name"]),
            );
            let path = format!(
                "/apis/{group}/{version}/{}",
                text(&made["spec"]["names"]["plural"])
            );
            self.until_served(&path).await;
        }
    }

    async fn until_served(&self, path: &str) {
        let wait = async {
            loop {
                let request = http::Request::get(path).body(Vec::new()).unwrap();
                if self.admin.request_text(request).await.is_ok() {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(30), wait).await;
        assert!(waited.is_ok(), "{} does not serve {path}", self.name);
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// What both servers get.
fn definitions() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/crds");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut all: Vec<Value> = files
        .iter()
        .map(|file| serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap())
        .collect();
    assert_eq!(all.len(), 5, "{files:?}");
    all.push(gadgets());
    all
}

/// Gadgets have what no definition of ours uses: a scale, list types, embedded defaults,
/// fields that only CEL's more seldom functions check.
fn gadgets() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.test.tubeway.dev"},
        "spec": {
            "group": "test.tubeway.dev",
            "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": "gadgets", "shortNames": ["gd"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "additionalPrinterColumns": [
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {"openAPIV3Schema": gadget()},
            }],
        },
    })
}

fn gadget() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer", "minimum": 0, "default": 1},
                    "color": {"type": "string", "enum": ["red", "green", "blue"]},
                    "size": {"x-kubernetes-int-or-string": true},
                    "limits": {
                        "type": "object",
                        "default": {},
                        "properties": {
                            "cpu": {"type": "integer", "default": 2},
                            "memory": {"type": "string", "default": "1Gi"},
                        },
                    },
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 4, "items": {"type": "string", "maxLength": 8}},
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["number", "protocol"],
                        "maxItems": 8,
                        "items": {
                            "type": "object",
                            "required": ["number"],
                            "properties": {
                                "number": {"type": "integer", "minimum": 1, "maximum": 65535},
                                "protocol": {"type": "string", "default": "TCP"},
                                "name": {"type": "string"},
                            },
                        },
                    },
                    "steps": {"type": "array", "maxItems": 4, "items": {"type": "object", "properties": {"do": {"type": "string"}}}},
                    "options": {"type": "object", "maxProperties": 3, "additionalProperties": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
                    "from": {"type": "string", "format": "date-time"},
                    "window": {"type": "string", "maxLength": 16},
                    "address": {"type": "string", "maxLength": 64},
                },
                "x-kubernetes-validations": [
                    {"rule": "!has(self.window) || self.window.endsWith('m')", "messageExpression": "'window ' + self.window + ' is not in minutes'", "fieldPath": ".window", "reason": "FieldValueForbidden"},
                    {"rule": "!has(self.address) || isURL(self.address)", "message": "address is a URL"},
                    {"rule": "!has(self.tags) || self.tags.all(t, t.matches('^[a-z]+$'))", "message": "tags are words"},
                    {"rule": "!has(self.ports) || self.ports.exists_one(p, p.number == 80) || self.ports.size() < 3", "message": "of three ports one is 80"},
                    {"rule": "!has(oldSelf.color) || has(self.color)", "message": "color stays"},
                ],
            },
            "status": {
                "type": "object",
                "properties": {
                    "replicas": {"type": "integer"},
                    "selector": {"type": "string"},
                    "conditions": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["type"],
                        "items": {
                            "type": "object",
                            "required": ["type"],
                            "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                        },
                    },
                },
            },
        },
    })
}
