//! What the tests of several controllers begin with.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tubeway_config::ClusterRef;
use tubeway_identity::IdentityStore;

use crate::config::{Config, Images};
use crate::context::{Context, Parts};
use crate::health::{Depth, HealthReport, HealthSource};
use crate::kafka_admin::{Admin, AdminDirectory, PlainConnect};
use crate::stream::Hubs;

#[path = "../tests/support/mod.rs"]
mod support;

pub(crate) use support::FakeApi;

/// Nobody is asked how a cluster is.
struct NoHealth;

#[async_trait]
impl HealthSource for NoHealth {
    async fn look(&self, _: &ClusterRef, _: Depth) -> Option<HealthReport> {
        None
    }
}

/// A context over this API, with clusters of which no broker answers.
pub(crate) fn context(api: &FakeApi) -> Context {
    let (_, roots) = tokio::sync::watch::channel(String::new());
    Context::new(Parts {
        client: api.client(),
        config: Arc::new(Config {
            namespace: "tubeway-system".into(),
            name: "tubeway-operator-0".into(),
            trust_domain: "td".into(),
            grpc_listen: ([127, 0, 0, 1], 0).into(),
            advertise: "operator:15012".into(),
            service_name: "operator".into(),
            cert_ttl: Duration::from_hours(24),
            metrics_listen: ([127, 0, 0, 1], 0).into(),
            images: Images::default(),
            install_crds: false,
            zones_from_pods: false,
        }),
        identity: IdentityStore::new("td"),
        hubs: Hubs::default(),
        admins: AdminDirectory::with(|_| Some(Admin::new(PlainConnect, Vec::new()))),
        health: Arc::new(NoHealth),
        roots,
    })
}

/// An object as the API server has it.
pub(crate) fn object(kind: &str, (namespace, name): (&str, &str), spec: &Value) -> Value {
    json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": kind,
        "metadata": {
            "namespace": namespace, "name": name, "uid": format!("uid-{name}"), "generation": 3,
        },
        "spec": spec,
    })
}

/// KafkaCluster `kafka/main`.
pub(crate) fn cluster(allowed: &str, pause: bool) -> Value {
    let spec = json!({
        "version": "4.3.1", "allowedNamespaces": {"from": allowed}, "pause": pause,
    });
    object("KafkaCluster", ("kafka", "main"), &spec)
}
