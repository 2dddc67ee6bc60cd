//! A cluster, its pool and a Kafka that says what it is told to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tubeway_api::QuorumStatus;
use tubeway_config::ClusterRef;
use tubeway_identity::IdentityStore;
use tubeway_operator::cluster::{Again, reconcile};
use tubeway_operator::config::Config;
use tubeway_operator::context::{Context, Parts};
use tubeway_operator::error::Result;
use tubeway_operator::kafka::{Depth, Kafka, Order, Registered, Report, Survey, TellError};
use tubeway_operator::kafka_admin::AdminDirectory;
use tubeway_operator::stream::Hubs;
use tubeway_planner::{Directory, Health, Quorum, VoterSet};

use crate::support::FakeApi;

pub(crate) const CLUSTER: &str =
    "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkaclusters/demo";
pub(crate) const POOL: &str =
    "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkanodepools/all";
pub(crate) const PODS: &str = "/api/v1/namespaces/kafka/pods/";
pub(crate) const CLAIMS: &str = "/api/v1/namespaces/kafka/persistentvolumeclaims/";
pub(crate) const MAPS: &str = "/api/v1/namespaces/kafka/configmaps/";

#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) report: Arc<Mutex<Option<Report>>>,
    pub(crate) survey: Arc<Mutex<Option<Survey>>>,
    pub(crate) elected: Arc<Mutex<Vec<String>>>,
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Kafka for Answer {
    async fn look(&self, _cluster: &ClusterRef, _depth: Depth) -> Option<Report> {
        self.report.lock().unwrap().clone()
    }

    async fn survey(&self, _cluster: &ClusterRef, _brokers: &BTreeSet<u32>) -> Option<Survey> {
        self.survey.lock().unwrap().clone()
    }

    async fn tell(&self, _cluster: &ClusterRef, order: &Order) -> Result<(), TellError> {
        if let Order::Elect(partitions) = order {
            let partitions = partitions.iter().map(ToString::to_string);
            self.elected.lock().unwrap().extend(partitions);
        } else if !matches!(order, Order::Defaults(_)) {
            self.told.lock().unwrap().push(order.to_string());
        }
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) api: FakeApi,
    pub(crate) ctx: Context,
    pub(crate) health: Answer,
    pub(crate) key: ClusterRef,
}

impl World {
    pub(crate) fn new() -> Self {
        let api = FakeApi::default();
        let health = Answer::default();
        let (_, roots) = tokio::sync::watch::channel("the roots".to_owned());
        let ctx = Context::new(Parts {
            client: api.client(),
            config: Arc::new(Config::default()),
            identity: IdentityStore::new("cluster.local"),
            hubs: Hubs::default(),
            admins: AdminDirectory::with(|_| None),
            kafka: Arc::new(health.clone()),
            roots,
        });
        let world = Self {
            api,
            ctx,
            health,
            key: "kafka/demo".parse().unwrap(),
        };
        world.api.put(CLUSTER, cluster());
        world.api.put(POOL, pool(3));
        world
    }

    pub(crate) async fn look(&self) -> Result<Again> {
        reconcile(&self.ctx, &self.key).await
    }

    /// Looks until a look writes nothing; errors are looked over, as the
    /// controller does.
    pub(crate) async fn settle(&self) {
        let mut last = None;
        for _ in 0..40 {
            let result = self.look().await;
            let writes = self.api.take_writes();
            if writes.is_empty() && result.is_ok() {
                return;
            }
            last = Some((writes, result));
        }
        panic!("never settles: {last:?}");
    }

    pub(crate) fn pods(&self) -> Vec<String> {
        let paths = self.api.paths(PODS);
        paths.iter().map(|p| p[PODS.len()..].to_owned()).collect()
    }

    pub(crate) fn make_ready(&self) {
        for (i, pod) in self.pods().iter().enumerate() {
            self.api.edit(&format!("{PODS}{pod}"), |pod| {
                pod["status"] = json!({
                    "phase": "Running", "podIP": format!("10.0.0.{}", i + 1),
                    "conditions": [{ "type": "Ready", "status": "True" }],
                });
            });
        }
    }

    pub(crate) fn condition(&self, type_: &str) -> Value {
        let cluster = self.api.get(CLUSTER).unwrap();
        let conditions = cluster["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.find(|c| c["type"] == type_).unwrap_or_default()
    }

    pub(crate) fn healthy(&self) {
        let quorum = Quorum {
            leader: Some(0),
            voters: (0..3).collect(),
            caught_up: (0..3).collect(),
        };
        let health = Health {
            partitions: Vec::new(),
            quorum,
        };
        *self.health.report.lock().unwrap() = Some(Report {
            health,
            quorum: QuorumStatus {
                leader: 0,
                epoch: 4,
                voters: vec![0, 1, 2],
            },
            voters: VoterSet {
                leader: Some(0),
                voters: (0..3).map(|id| (id, Directory(id.into()))).collect(),
                caught_up: (0..3).collect(),
                observers: BTreeMap::new(),
            },
            brokers: (0..3).map(|id| (id, Registered::default())).collect(),
            ..Report::default()
        });
    }
}

pub(crate) fn cluster() -> Value {
    json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": { "name": "demo", "namespace": "kafka", "uid": "u1", "generation": 1 },
        "spec": { "version": "4.3.1" },
    })
}

pub(crate) fn pool(replicas: u32) -> Value {
    json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaNodePool",
        "metadata": { "name": "all", "namespace": "kafka", "uid": "p1", "generation": 1 },
        "spec": {
            "cluster": "demo", "replicas": replicas, "roles": ["broker", "controller"],
            "storage": { "size": "1Gi" },
        },
    })
}
