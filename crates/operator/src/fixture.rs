//! What the tests of several controllers begin with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tubeway_config::ClusterRef;
use tubeway_identity::IdentityStore;

use crate::config::{Config, Images};
use crate::context::{Context, Parts};
use crate::istio::IstioConfig;
use crate::kafka::{Depth, Kafka, Order, Report, Survey, TellError};
use crate::kafka_admin::{Admin, AdminDirectory, PlainConnect};
use crate::stream::Hubs;

#[path = "../tests/support/mod.rs"]
mod support;

pub(crate) use support::FakeApi;

/// Clusters that nobody can ask.
struct Silent;

#[async_trait]
impl Kafka for Silent {
    async fn look(&self, _: &ClusterRef, _: Depth) -> Option<Report> {
        None
    }

    async fn survey(&self, _: &ClusterRef, _: &BTreeSet<u32>) -> Option<Survey> {
        None
    }

    async fn tell(&self, _: &ClusterRef, _: &Order) -> Result<(), TellError> {
        Err(TellError::Unreachable)
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
            istio: IstioConfig::default(),
            install_crds: false,
            zones_from_pods: false,
        }),
        identity: IdentityStore::new("td"),
        hubs: Hubs::default(),
        admins: AdminDirectory::with(|_| Some(Admin::new(PlainConnect, Vec::new()))),
        kafka: Arc::new(Silent),
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
