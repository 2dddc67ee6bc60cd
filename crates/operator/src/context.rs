//! What every controller has at hand.

use std::sync::Arc;

use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::watch;
use tubeway_api::labels;
use tubeway_identity::IdentityStore;

use crate::config::Config;
use crate::kafka::Kafka;
use crate::kafka_admin::AdminDirectory;
use crate::metrics::Metrics;
use crate::replication::Replication;
use crate::stream::{AccessDocuments, Hubs, QuotaPlans, Topologies, UsageReports, ZoneDocuments};

/// What every controller has at hand. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The Kubernetes API, as the operator's own account.
    pub client: Client,
    /// The operator's settings.
    pub config: Arc<Config>,
    /// The operator's certificate, for connections to the brokers' sidecars.
    pub identity: IdentityStore,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// The newest topology of each cluster, and who has taken it.
    pub topologies: Topologies,
    /// The newest access rules of each cluster, and who has taken them.
    pub access: AccessDocuments,
    /// The newest zones of each cluster whose rules name zones.
    pub zones: ZoneDocuments,
    /// The newest quotas of each cluster, and who has taken them.
    pub quotas: QuotaPlans,
    /// What sidecars say was used of limits of the whole cluster.
    pub usage: UsageReports,
    /// The clusters whose brokers can be reached.
    pub admins: AdminDirectory,
    /// Asks Kafka clusters and tells them.
    pub kafka: Arc<dyn Kafka>,
    /// How many replicas topics are to have.
    pub replication: Replication,
    /// The mesh's trust bundle, PEM.
    pub roots: watch::Receiver<String>,
    recorder: Recorder,
}

/// What a [`Context`] is made of.
pub struct Parts {
    /// As [`Context::client`].
    pub client: Client,
    /// As [`Context::config`].
    pub config: Arc<Config>,
    /// As [`Context::identity`].
    pub identity: IdentityStore,
    /// What goes over the stream.
    pub hubs: Hubs,
    /// As [`Context::admins`].
    pub admins: AdminDirectory,
    /// As [`Context::kafka`].
    pub kafka: Arc<dyn Kafka>,
    /// As [`Context::roots`].
    pub roots: watch::Receiver<String>,
}

/// Something that happened to an object, for `kubectl describe`.
#[derive(Debug, Clone)]
pub struct Happening<'a> {
    /// One word in CamelCase.
    pub reason: &'a str,
    /// What was done, one word in CamelCase.
    pub action: &'a str,
    /// The sentence people read.
    pub note: String,
    /// Whether somebody should look at it.
    pub warning: bool,
}

// === impl Context ===

impl Context {
    /// A context over these parts, with metrics at zero.
    pub fn new(parts: Parts) -> Self {
        let reporter = Reporter {
            controller: labels::MANAGER.to_owned(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(parts.client.clone(), reporter),
            client: parts.client,
            config: parts.config,
            identity: parts.identity,
            metrics: Arc::new(Metrics::new()),
            topologies: parts.hubs.topologies,
            access: parts.hubs.access,
            zones: parts.hubs.zones,
            quotas: parts.hubs.quotas,
            usage: parts.hubs.usage,
            admins: parts.admins,
            kafka: parts.kafka,
            replication: Replication::default(),
            roots: parts.roots,
        }
    }

    /// What goes over the stream.
    pub fn hubs(&self) -> Hubs {
        Hubs {
            topologies: self.topologies.clone(),
            access: self.access.clone(),
            zones: self.zones.clone(),
            quotas: self.quotas.clone(),
            usage: self.usage.clone(),
        }
    }

    /// Writes an Event about `object`. Events are news, not state: one that
    /// cannot be written is logged, and nothing waits for it.
    pub async fn event<K>(&self, object: &K, happening: Happening<'_>)
    where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            type_: if happening.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: happening.reason.to_owned(),
            note: Some(happening.note),
            action: happening.action.to_owned(),
            secondary: None,
        };
        let about = object.object_ref(&());
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::debug!(%error, reason = event.reason, "event not written");
        }
    }
}
