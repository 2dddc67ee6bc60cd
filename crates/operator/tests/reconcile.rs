//! One cluster under the controller's hands, call by call.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use support::FakeApi;
use tubeway_api::QuorumStatus;
use tubeway_api::labels;
use tubeway_config::ClusterRef;
use tubeway_identity::IdentityStore;
use tubeway_operator::cluster::{Again, reconcile};
use tubeway_operator::config::{Config, Images};
use tubeway_operator::context::{Context, Parts};
use tubeway_operator::error::Result;
use tubeway_operator::kafka::{Depth, Kafka, Order, Registered, Report, Survey, TellError};
use tubeway_operator::kafka_admin::AdminDirectory;
use tubeway_operator::stream::Hubs;
use tubeway_planner::{Directory, Health, Partition, PartitionId, Quorum, VoterSet};

const CLUSTER: &str = "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkaclusters/demo";
const POOL: &str = "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkanodepools/all";
const PODS: &str = "/api/v1/namespaces/kafka/pods/";
const CLAIMS: &str = "/api/v1/namespaces/kafka/persistentvolumeclaims/";
const MAPS: &str = "/api/v1/namespaces/kafka/configmaps/";

#[derive(Clone, Default)]
struct Answer {
    report: Arc<Mutex<Option<Report>>>,
    elected: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Kafka for Answer {
    async fn look(&self, _cluster: &ClusterRef, _depth: Depth) -> Option<Report> {
        self.report.lock().unwrap().clone()
    }

    async fn survey(&self, _cluster: &ClusterRef, _brokers: &BTreeSet<u32>) -> Option<Survey> {
        None
    }

    async fn tell(&self, _cluster: &ClusterRef, order: &Order) -> Result<(), TellError> {
        if let Order::Elect(partitions) = order {
            let partitions = partitions.iter().map(ToString::to_string);
            self.elected.lock().unwrap().extend(partitions);
        }
        Ok(())
    }
}

struct World {
    api: FakeApi,
    ctx: Context,
    health: Answer,
    key: ClusterRef,
}

impl World {
    fn new() -> Self {
        let api = FakeApi::default();
        let health = Answer::default();
        let (_, roots) = tokio::sync::watch::channel("the roots".to_owned());
        let ctx = Context::new(Parts {
            client: api.client(),
            config: Arc::new(config()),
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

    async fn look(&self) -> Result<Again> {
        reconcile(&self.ctx, &self.key).await
    }

    /// Looks until a look writes nothing; errors are looked over, as the
    /// controller does.
    async fn settle(&self) {
        for _ in 0..40 {
            let result = self.look().await;
            if self.api.take_writes().is_empty() && result.is_ok() {
                return;
            }
        }
        panic!("never settles");
    }

    fn pods(&self) -> Vec<String> {
        let paths = self.api.paths(PODS);
        paths.iter().map(|p| p[PODS.len()..].to_owned()).collect()
    }

    fn make_ready(&self) {
        for (i, pod) in self.pods().iter().enumerate() {
            self.api.edit(&format!("{PODS}{pod}"), |pod| {
                pod["status"] = json!({
                    "phase": "Running", "podIP": format!("10.0.0.{}", i + 1),
                    "conditions": [{ "type": "Ready", "status": "True" }],
                });
            });
        }
    }

    fn condition(&self, type_: &str) -> Value {
        let cluster = self.api.get(CLUSTER).unwrap();
        let conditions = cluster["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.find(|c| c["type"] == type_).unwrap_or_default()
    }

    fn healthy(&self) {
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

#[tokio::test]
async fn a_cluster_is_made_and_then_left_alone() {
    let world = World::new();
    world.look().await.unwrap();
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-1", "demo-all-2"]);
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "WaitingForNodes");
    assert_eq!(
        ready["message"],
        "0 of 3 nodes are ready: demo-all-0 is being made; demo-all-1 is being made; \
         demo-all-2 is being made"
    );
    world.make_ready();
    world.settle().await;
    assert_eq!(world.condition("Ready")["status"], "True");
    assert_eq!(world.condition("Progressing")["status"], "False");
    let cluster = world.api.get(CLUSTER).unwrap();
    assert_eq!(cluster["status"]["readyNodes"], "3/3");
    assert_eq!(cluster["status"]["kafkaVersion"], "4.3.1");
    assert_eq!(
        cluster["status"]["bootstrap"],
        "demo-bootstrap.kafka.svc:9092"
    );
    let pool = world.api.get(POOL).unwrap();
    assert_eq!(pool["status"]["nodeIds"], json!([0, 1, 2]));
    let topology = world.ctx.topologies.current(&world.key).unwrap();
    assert_eq!(topology.document.nodes.len(), 3);

    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_pod_comes_back_with_its_id_name_and_volume() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let claim = world.api.get(&format!("{CLAIMS}data-demo-all-1")).unwrap();
    world.api.remove(&format!("{PODS}demo-all-1"));
    world.look().await.unwrap();
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-1", "demo-all-2"]);
    assert_eq!(
        world.api.get(&format!("{CLAIMS}data-demo-all-1")).unwrap(),
        claim
    );
}

#[tokio::test]
async fn a_node_whose_volume_is_gone_comes_back_on_another() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let path = format!("{CLAIMS}data-demo-all-1");
    let uid = |path: &str| world.api.get(path).unwrap()["metadata"]["uid"].clone();
    let (claim, pod) = (uid(&path), uid(&format!("{PODS}demo-all-1")));
    world
        .api
        .edit(&path, |claim| claim["status"]["phase"] = json!("Lost"));
    world.settle().await;
    assert_ne!(uid(&path), claim);
    assert_ne!(uid(&format!("{PODS}demo-all-1")), pod);
    assert_eq!(world.pods().len(), 3);
    let standing = |path: &str| {
        let claim = world.api.get(path).unwrap();
        claim["metadata"]["annotations"][labels::STANDING].clone()
    };
    assert_eq!(standing(&path), Value::Null, "it is new again");
    assert_eq!(standing(&format!("{CLAIMS}data-demo-all-0")), "member");
}

#[tokio::test]
async fn a_controller_that_lost_its_volume_founds_nothing() {
    let world = World::new();
    world.settle().await;
    let quorum = || -> Value {
        let map = world.api.get(&format!("{MAPS}demo-all-1-config")).unwrap();
        serde_json::from_str(map["data"]["quorum.json"].as_str().unwrap()).unwrap()
    };
    let founders = |quorum: &Value| quorum["initialControllers"].as_array().unwrap().len();
    assert_eq!(founders(&quorum()), 3);
    world.healthy();
    world.make_ready();
    world.settle().await;
    let map = world.api.get(&format!("{MAPS}demo-quorum")).unwrap();
    assert_eq!(map["metadata"]["annotations"][labels::FOUNDED], "true");
    assert_eq!(founders(&quorum()), 0, "nobody founds it again");
    let pods = world.pods();
    world.api.remove(&format!("{CLAIMS}data-demo-all-1"));
    world.api.remove(&format!("{PODS}demo-all-1"));
    world.settle().await;
    assert_eq!(world.pods(), pods);
    assert_eq!(founders(&quorum()), 0);
}

#[tokio::test]
async fn deleted_services_and_drift_are_put_right() {
    let world = World::new();
    world.settle().await;
    let service = "/api/v1/namespaces/kafka/services/demo-bootstrap";
    world.api.remove(service);
    world.settle().await;
    world
        .api
        .edit(service, |s| s["spec"]["ports"][0]["port"] = json!(1));
    world.settle().await;
    let service = world.api.get(service).unwrap();
    assert_eq!(service["spec"]["ports"][0]["port"], 9092);
}

#[tokio::test]
async fn an_invalid_spec_touches_nothing_but_the_status() {
    let world = World::new();
    world
        .api
        .edit(CLUSTER, |c| c["spec"]["config"]["listeners"] = json!("x"));
    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), [format!("PATCH {CLUSTER}/status")]);
    let ready = world.condition("Ready");
    assert_eq!(ready["reason"], "InvalidSpec");
    assert!(
        ready["message"]
            .as_str()
            .unwrap()
            .contains("spec.config[\"listeners\"]")
    );
    world.settle().await;
    assert!(world.pods().is_empty());
}

#[tokio::test]
async fn an_answer_lost_at_any_write_changes_nothing_in_the_end() {
    let expected = finished(None).await;
    for write in 0.. {
        let (found, writes) = finished(Some(write)).await;
        assert_eq!(
            found, expected.0,
            "after losing the answer of write {write}"
        );
        if write >= writes {
            assert!(write > 10, "only {write} writes were tried");
            break;
        }
    }
}

/// The specs of everything in the end, and how many writes the first look took.
async fn finished(lose: Option<usize>) -> (BTreeMap<String, Value>, usize) {
    let world = World::new();
    world.api.lose_answer_of(lose);
    let _ = world.look().await;
    let writes = world.api.take_writes().len();
    world.api.lose_answer_of(None);
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let objects = world.api.paths("/");
    let specs = objects.into_iter().map(|path| {
        let mut object = world.api.get(&path).unwrap();
        for field in ["uid", "resourceVersion"] {
            object["metadata"].as_object_mut().unwrap().remove(field);
        }
        if let Some(status) = object["status"].as_object_mut() {
            status.remove("conditions");
        }
        (path, object)
    });
    (specs.collect(), writes)
}

#[tokio::test]
async fn a_change_rolls_one_node_at_a_time_and_only_when_kafka_can_spare_it() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    world.api.edit(CLUSTER, |c| {
        c["spec"]["config"]["num.partitions"] = json!(9);
    });

    world.settle().await;
    assert_eq!(world.pods().len(), 3, "Kafka cannot be asked");
    let progress = world.condition("Progressing");
    assert_eq!(progress["reason"], "Rolling");
    assert!(
        progress["message"]
            .as_str()
            .unwrap()
            .contains("cannot be asked")
    );

    world.healthy();
    for expected in ["demo-all-1", "demo-all-2", "demo-all-0"] {
        let others: Vec<_> = world.pods().into_iter().filter(|p| p != expected).collect();
        let configs = |pods: &[String]| -> Vec<Value> {
            let maps = pods.iter().map(|pod| format!("{MAPS}{pod}-config"));
            maps.map(|path| world.api.get(&path).unwrap()["data"].clone())
                .collect()
        };
        let before = configs(&others);
        world.look().await.unwrap();
        assert_eq!(world.pods(), others, "exactly {expected} goes");
        world.settle().await;
        assert_eq!(
            world.pods().len(),
            3,
            "the same node comes back, and nothing else happens"
        );
        assert_eq!(
            configs(&others),
            before,
            "what other pods were made with stays"
        );
        world.make_ready();
    }
    world.settle().await;
    assert_eq!(world.condition("Progressing")["status"], "False");
    let cluster = world.api.get(CLUSTER).unwrap();
    assert_eq!(cluster["status"]["quorum"]["voters"], json!([0, 1, 2]));
}

#[tokio::test]
async fn leaders_come_back_to_nodes_that_are_in_sync_unless_the_user_says_no() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    world.healthy();
    let partition = Partition {
        id: PartitionId::new("orders", 4),
        replicas: vec![0, 1, 2],
        in_sync: (0..3).collect(),
        leader: Some(1),
        min_in_sync: 2,
    };
    let mut report = world.health.report.lock().unwrap().clone().unwrap();
    report.health.partitions = vec![partition];
    *world.health.report.lock().unwrap() = Some(report);
    world.look().await.unwrap();
    let elected = || std::mem::take(&mut *world.health.elected.lock().unwrap());
    assert_eq!(elected(), ["orders-4"]);

    world.api.edit(CLUSTER, |c| {
        c["spec"]["config"]["auto.leader.rebalance.enable"] = json!(false);
    });
    world.look().await.unwrap();
    assert_eq!(elected(), [""; 0]);
}

#[tokio::test]
async fn an_evicted_pod_is_replaced() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    let path = format!("{PODS}demo-all-2");
    let old = world.api.get(&path).unwrap()["metadata"]["uid"].clone();
    world.api.edit(&path, |pod| {
        pod["status"] = json!({ "phase": "Failed", "reason": "Evicted" });
    });
    world.settle().await;
    assert_ne!(world.api.get(&path).unwrap()["metadata"]["uid"], old);
}

#[tokio::test]
async fn pods_of_an_earlier_cluster_of_the_name_are_waited_out() {
    let world = World::new();
    world.settle().await;
    // The cluster was deleted and made again; its old pods are still there.
    world
        .api
        .edit(CLUSTER, |c| c["metadata"]["uid"] = json!("another"));
    world.look().await.unwrap();
    assert_eq!(world.api.take_writes(), [format!("PATCH {CLUSTER}/status")]);
    assert_eq!(world.condition("Ready")["reason"], "Conflict");
}

#[tokio::test]
async fn a_cluster_made_again_over_its_volumes_is_the_same_cluster() {
    let world = World::new();
    world.settle().await;
    let map = format!("{MAPS}demo-quorum");
    let founding = world.api.get(&map).unwrap()["data"].clone();
    for part in [
        PODS,
        MAPS,
        "/services/",
        "/serviceaccounts/",
        "/poddisruptionbudgets/",
    ] {
        for path in world.api.paths(part) {
            world.api.remove(&path);
        }
    }
    world
        .api
        .edit(CLUSTER, |c| c["metadata"]["uid"] = json!("another"));
    world.settle().await;
    assert_eq!(world.api.get(&map).unwrap()["data"], founding);
    assert_eq!(world.pods(), ["demo-all-0", "demo-all-1", "demo-all-2"]);
}

#[tokio::test]
async fn fewer_replicas_keep_every_node_and_say_why() {
    let world = World::new();
    world.settle().await;
    world.make_ready();
    world.settle().await;
    world.api.edit(POOL, |p| p["spec"]["replicas"] = json!(1));
    world.settle().await;
    assert_eq!(world.pods().len(), 3);
    let pool = world.api.get(POOL).unwrap();
    let message = pool["status"]["conditions"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("nodes 1, 2 are no longer asked for"),
        "{message}"
    );
}

#[tokio::test]
async fn a_paused_cluster_and_one_that_is_deleted_are_left_alone() {
    let world = World::new();
    world.settle().await;
    world
        .api
        .edit(CLUSTER, |c| c["spec"]["pause"] = json!(true));
    world.settle().await;
    world.api.remove(&format!("{PODS}demo-all-0"));
    world.settle().await;
    assert_eq!(world.pods().len(), 2);
    assert_eq!(world.condition("Progressing")["reason"], "Paused");
    world.api.edit(CLUSTER, |c| {
        c["spec"]["pause"] = json!(false);
        c["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    });
    assert_eq!(world.look().await.unwrap(), Again::Soon, "pods are there");
    assert_eq!(world.api.take_writes(), Vec::<String>::new());
}

fn cluster() -> Value {
    json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": { "name": "demo", "namespace": "kafka", "uid": "u1", "generation": 1 },
        "spec": { "version": "4.3.1" },
    })
}

fn pool(replicas: u32) -> Value {
    json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaNodePool",
        "metadata": { "name": "all", "namespace": "kafka", "uid": "p1", "generation": 1 },
        "spec": {
            "cluster": "demo", "replicas": replicas, "roles": ["broker", "controller"],
            "storage": { "size": "1Gi" },
        },
    })
}

fn config() -> Config {
    Config {
        namespace: "tubeway-system".into(),
        name: "tubeway-operator-0".into(),
        trust_domain: "cluster.local".into(),
        grpc_listen: ([127, 0, 0, 1], 0).into(),
        advertise: "tubeway-operator.tubeway-system.svc:15012".into(),
        service_name: "tubeway-operator.tubeway-system.svc".into(),
        cert_ttl: Duration::from_hours(24),
        metrics_listen: ([127, 0, 0, 1], 0).into(),
        images: Images::default(),
        install_crds: false,
        zones_from_pods: false,
    }
}
