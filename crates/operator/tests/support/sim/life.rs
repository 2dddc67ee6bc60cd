//! One life of the operator: from its start to its crash.

use std::sync::{Arc, Mutex};

use http::{Method, Request};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::task::JoinSet;
use tubeway_config::ClusterRef;
use tubeway_identity::IdentityStore;
use tubeway_operator::cluster::{Again, reconcile};
use tubeway_operator::config::Config;
use tubeway_operator::context::{Context, Parts};
use tubeway_operator::error::Result;
use tubeway_operator::kafka::RealKafka;
use tubeway_operator::kafka_admin::{Admin, AdminDirectory, BrokerAddress};
use tubeway_operator::stream::Hubs;
use tubeway_operator::zones::{Places, ZoneSource};
use tubeway_operator::{access, quotas, topics};

use super::host::Host;
use super::wire::{SimConnect, SimKafka};

/// A deletion that the operator has asked for: path and preconditions.
pub(crate) type Deletions = Arc<Mutex<Vec<(String, Value)>>>;

/// One life of the operator.
pub(crate) struct Life {
    pub(crate) ctx: Context,
    pub(crate) deletions: Deletions,
    key: ClusterRef,
    /// The controllers that run by themselves; they end with this life.
    _tasks: JoinSet<()>,
}

// === impl Life ===

impl Life {
    /// The operator starts; to the API it is `agent`.
    pub(crate) async fn start(
        host: &Host,
        agent: &str,
        key: ClusterRef,
        kafka: &SimKafka,
        access: bool,
    ) -> Self {
        let deletions = Deletions::default();
        let client = host.operator(agent).await;
        let client = witnessed(client, Arc::clone(&deletions));
        let kafka = kafka.clone();
        let admins = AdminDirectory::with(move |topology| {
            let brokers = topology.brokers();
            let brokers = brokers.map(|node| BrokerAddress::new(node.host.clone(), 9092));
            Some(Admin::new(SimConnect(kafka.clone()), brokers.collect()))
        });
        let (_, roots) = tokio::sync::watch::channel("the roots".to_owned());
        let ctx = Context::new(Parts {
            client,
            config: Arc::new(Config::default()),
            identity: IdentityStore::new("cluster.local"),
            hubs: Hubs::default(),
            kafka: Arc::new(RealKafka::new(admins.clone())),
            admins,
            roots,
        });
        let mut tasks = JoinSet::new();
        if access {
            keep_access(&ctx, &mut tasks);
        }
        Self {
            ctx,
            deletions,
            key,
            _tasks: tasks,
        }
    }

    /// One look at the cluster.
    pub(crate) async fn look(&self) -> Result<Again> {
        reconcile(&self.ctx, &self.key).await
    }
}

/// Starts the controllers of topics, access and quotas.
fn keep_access(ctx: &Context, tasks: &mut JoinSet<()>) {
    let operator = ctx.config.operator_id().unwrap();
    let (places, watching) = Places::new(&ctx.client, false);
    let zones = ZoneSource::new(places, ctx.zones.clone());
    let (stores, watches) = access::Stores::new(&ctx.client);
    tasks.spawn(watching);
    tasks.spawn(watches);
    let rules = access::Context {
        ctx: ctx.clone(),
        stores: stores.clone(),
        zones,
        operator_principal: operator.principal(),
    };
    tasks.spawn(async move {
        let _ = access::controller(rules).await;
    });
    let quotas = quotas::Controller::new(ctx.clone(), stores.clone());
    tasks.spawn(async move {
        let _ = quotas.run().await;
    });
    let topics = topics::Context::new(
        ctx.client.clone(),
        stores,
        ctx.admins.clone(),
        ctx.replication.clone(),
    );
    tasks.spawn(async move {
        let _ = topics::controller(topics, std::future::pending()).await;
    });
}

/// A client whose deletions are written down.
fn witnessed(client: Client, deletions: Deletions) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, deletions) = (client.clone(), Arc::clone(&deletions));
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body
                .collect()
                .await
                .map(http_body_util::Collected::to_bytes);
            let bytes = bytes.unwrap_or_default();
            if parts.method == Method::DELETE {
                let options: Value = serde_json::from_slice(&bytes).unwrap_or_default();
                let path = parts.uri.path().to_owned();
                let entry = (path, options["preconditions"].clone());
                deletions.lock().unwrap().push(entry);
            }
            let request = Request::from_parts(parts, Body::from(bytes));
            client.send(request).await
        }
    });
    Client::new(service, "default")
}
