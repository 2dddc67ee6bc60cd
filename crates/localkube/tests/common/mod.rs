//! Servers on ports of the system's choice, and clients for them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of this"
)]

use std::path::Path;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config as ClientConfig};
use tempfile::TempDir;
use tubeway_localkube::{Config, Server};

/// How long anything may take before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running server with a folder of its own.
pub struct World {
    pub server: Server,
    pub folder: TempDir,
}

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = serve(folder.path()).await;
        Self { server, folder }
    }

    pub async fn admin(&self) -> Client {
        client(&self.server.admin_kubeconfig().unwrap()).await
    }

    /// Stops the server and starts another one on the same folder.
    pub async fn restart(self) -> Self {
        self.server.shutdown().await;
        let server = serve(self.folder.path()).await;
        Self {
            server,
            folder: self.folder,
        }
    }
}

pub async fn serve(folder: &Path) -> Server {
    Server::start(Config::new(folder, "127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap()
}

pub async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config =
        ClientConfig::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
    // A refusal is what many tests look for, at once.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Waits until `check` holds; for what no watch can tell.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let wait = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, wait).await.is_ok(),
        "{what} did not happen"
    );
}

/// The definition of a kind `Topic` with everything that a CRD can have.
pub fn definition() -> CustomResourceDefinition {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "topics.test.dev"},
        "spec": {
            "group": "test.dev",
            "scope": "Namespaced",
            "names": {"kind": "Topic", "plural": "topics", "shortNames": ["tp"]},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.partitions", "statusReplicasPath": ".status.partitions"},
                },
                "additionalPrinterColumns": [
                    {"name": "Partitions", "type": "integer", "jsonPath": ".spec.partitions"},
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Cleanup", "type": "string", "jsonPath": ".spec.cleanup", "priority": 1},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {
                            "type": "object",
                            "required": ["partitions"],
                            "description": "What is wanted.",
                            "properties": {
                                "partitions": {"type": "integer", "minimum": 1, "description": "How many partitions."},
                                "cleanup": {"type": "string", "enum": ["delete", "compact"], "default": "delete"},
                            },
                            "x-kubernetes-validations": [
                                {"rule": "self.partitions >= oldSelf.partitions", "message": "partitions never shrink"},
                            ],
                        },
                        "status": {
                            "type": "object",
                            "properties": {
                                "partitions": {"type": "integer"},
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
                }},
            }],
        },
    }))
    .unwrap()
}

/// The kind that [`definition`] defines.
pub fn topics(client: Client) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("test.dev", "v1", "Topic"));
    Api::namespaced_with(client, "default", &kind)
}

pub fn topic(name: &str, partitions: i64) -> DynamicObject {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "test.dev/v1", "kind": "Topic", "metadata": {"name": name}, "spec": {"partitions": partitions},
    }))
    .unwrap()
}

pub async fn define(client: Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    definitions
        .create(&PostParams::default(), &definition())
        .await
        .unwrap();
}
