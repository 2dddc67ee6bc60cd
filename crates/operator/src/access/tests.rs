//! From objects to documents, conditions and statuses.

use serde_json::{Value, json};
use tubeway_api::condition::{find, types};
use tubeway_api::{KafkaCluster, KafkaTopic, MeshProvider};
use tubeway_config::Topology;
use tubeway_config::stream::Outcome;
use tubeway_policy::acl::{AclBinding, Operation, Permission, ResourceType};

use super::*;
use crate::fixture::{self, FakeApi, cluster, object};
use crate::zones::Places;

const ACLS: &str = "/apis/kafka.tubeway.dev/v1alpha1/namespaces/shop/kafkaacls/rules";
const CLUSTER: &str = "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkaclusters/main";

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// `shop/rules`: everybody but one may read `orders`, and nobody `others`.
fn acl() -> Value {
    let rule = |principal: Value, effect: &str, topic: &str| {
        json!({
            "effect": effect, "principals": [principal],
            "resource": {"type": "Topic", "name": topic}, "operations": ["Read"],
        })
    };
    let spec = json!({
        "cluster": {"name": "main", "namespace": "kafka"},
        "rules": [
            rule(json!({"any": true}), "Allow", "orders"),
            rule(json!({"serviceAccount": {"name": "x"}}), "Deny", "orders"),
            rule(json!({"any": true}), "Allow", "others"),
        ],
    });
    object("KafkaAcl", ("shop", "rules"), &spec)
}

struct World {
    api: FakeApi,
    context: Context,
    statuses: Statuses,
}

impl World {
    fn new(cluster: &Value) -> Self {
        let api = FakeApi::default();
        api.put(ACLS, acl());
        api.put(CLUSTER, cluster.clone());
        let ctx = fixture::context(&api);
        let (places, _) = Places::new(&ctx.client, false);
        let mut world = Self {
            statuses: Statuses::new(ctx.clone(), CONTROLLER, MANAGER),
            context: Context {
                zones: ZoneSource::new(places, ctx.zones.clone()),
                ctx,
                stores: Stores::fixed(vec![], vec![], vec![]),
                operator_principal: "User:spiffe://td/ns/t/sa/operator".to_owned(),
            },
            api,
        };
        world.see();
        world
    }

    /// The watches bring what the API server has.
    fn see(&mut self) {
        let topic: KafkaTopic = read(object(
            "KafkaTopic",
            ("shop", "orders"),
            &json!({"cluster": {"name": "main", "namespace": "kafka"}}),
        ));
        let clusters = vec![read(self.api.get(CLUSTER).unwrap())];
        let acls = self.api.get(ACLS).map(read);
        self.context.stores =
            Stores::fixed(vec![topic], clusters, vec![]).with_acls(acls.into_iter().collect());
    }

    /// Compiles and publishes; the native ACLs.
    fn publish(&self) -> (Compiled, Vec<AclBinding>) {
        let compiled = self.context.compile();
        self.context.publish(&compiled);
        let rules = &compiled.clusters[&ObjectRef::new("kafka", "main")];
        let native = rules.native().into_iter().collect();
        (compiled, native)
    }

    fn document(&self) -> AccessRules {
        let document = self.context.ctx.access.current(&key()).unwrap();
        document.document.access.clone()
    }

    async fn write(&mut self) -> usize {
        let (compiled, _) = self.publish();
        self.statuses.write_all(&compiled.verdicts).await;
        self.api.take_writes().len()
    }

    /// Status, reason and message of a condition.
    fn condition(&self, path: &str, type_: &str) -> (String, String, String) {
        let live = self.api.get(path).unwrap();
        let conditions: Vec<_> = read(live["status"]["conditions"].clone());
        let found = find(&conditions, type_).unwrap().clone();
        (found.status, found.reason, found.message)
    }
}

fn key() -> ClusterRef {
    "kafka/main".parse().unwrap()
}

#[tokio::test]
async fn rules_of_a_kafka_acl_reach_sidecars_and_brokers_and_go_with_it() {
    let mut world = World::new(&cluster("All", true));
    let (_, native) = world.publish();
    let everybody = AclBinding::allow("User:*", Operation::Read, ResourceType::Topic, "orders");
    let denied = AclBinding {
        principal: "User:spiffe://td/ns/shop/sa/x".to_owned(),
        permission: Permission::Deny,
        ..everybody.clone()
    };
    assert_eq!(native.len(), 2);
    assert!(
        native.contains(&everybody) && native.contains(&denied),
        "{native:?}"
    );
    let document = world.document();
    assert_eq!(document.rules.len(), 2);
    assert!(
        document
            .super_users
            .contains("User:spiffe://td/ns/t/sa/operator")
    );
    assert_eq!(document.check(), Ok(()));

    world.api.remove(ACLS);
    world.see();
    world.publish();
    assert_eq!(
        world.document().rules.len(),
        0,
        "also while the cluster is paused"
    );
}

#[tokio::test]
async fn a_status_says_what_does_not_count_and_is_written_once() {
    for lost in [None, Some(0)] {
        let mut world = World::new(&cluster("All", false));
        world.api.lose_answer_of(lost);
        assert_eq!(world.write().await, 1);
        world.api.lose_answer_of(None);
        world.write().await;
        let (status, reason, message) = world.condition(ACLS, types::READY);
        assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidSpec"));
        let words = "2 rules count; not as written: spec.rules[2].resource.name: no KafkaTopic";
        assert!(message.starts_with(words), "{message}");
        let live = world.api.get(ACLS).unwrap();
        assert_eq!(live["status"]["rules"], 2);
        assert_eq!(live["status"]["observedGeneration"], 3);

        world.see();
        assert_eq!(world.write().await, 0);
        world.api.edit(ACLS, |acl| {
            let rules = acl["spec"]["rules"].as_array_mut().unwrap();
            rules.truncate(2);
        });
        world.see();
        assert_eq!(world.write().await, 1);
        assert_eq!(world.condition(ACLS, types::READY).0, "True");
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_admitted_is_told_so() {
    let mut world = World::new(&cluster("Same", false));
    assert_eq!(world.write().await, 1);
    assert_eq!(world.condition(ACLS, types::READY).1, "NotAllowed");
    assert_eq!(world.document().rules.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn access_is_applied_when_the_sidecars_have_it_too() {
    let mut world = World::new(&cluster("All", false));
    world.publish();
    let hub = world.context.ctx.access.clone();
    let node = hub.subscribe(&key(), Some("main-all-0".into())).unwrap();
    let mut worker = Worker::new(world.context.clone(), key());
    worker.applied_for_test(2);
    worker.report().await;
    assert_eq!(world.api.take_writes().len(), 0, "it may answer any moment");

    tokio::time::advance(Duration::from_secs(2)).await;
    worker.report().await;
    let (status, reason, message) = world.condition(CLUSTER, types::ACCESS_APPLIED);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "WaitingForNodes")
    );
    assert_eq!(
        message,
        "2 access rules are in force at the brokers; waiting for the sidecars of main-all-0"
    );
    let version = hub.current(&key()).unwrap().version;
    node.acknowledge(&Outcome {
        version,
        ..Outcome::default()
    });
    worker.report().await;
    let (status, _, message) = world.condition(CLUSTER, types::ACCESS_APPLIED);
    assert_eq!(status, "True");
    assert_eq!(message, "2 access rules are in force");
    world.api.take_writes();
    worker.report().await;
    world.see();
    worker.report().await;
    assert_eq!(world.api.take_writes().len(), 0);
}

#[tokio::test]
async fn a_cluster_that_does_not_answer_is_said_and_a_paused_one_left_alone() {
    for pause in [false, true] {
        let world = World::new(&cluster("All", pause));
        world
            .context
            .ctx
            .admins
            .put(&topology(), MeshProvider::Builtin);
        let mut worker = Worker::new(world.context.clone(), key());
        worker.round(&Rules::default()).await;
        let live: KafkaCluster = read(world.api.get(CLUSTER).unwrap());
        if pause {
            assert_eq!(live.status, None);
        } else {
            let (status, reason, _) = world.condition(CLUSTER, types::ACCESS_APPLIED);
            assert_eq!((status.as_str(), reason.as_str()), ("False", "KafkaError"));
        }
    }
}

fn topology() -> Topology {
    read(json!({
        "cluster": {"namespace": "kafka", "name": "main"},
        "identity": "spiffe://td/ns/kafka/sa/main-node",
        "nodes": [{"id": 0, "host": "main-all-0.x", "address": "127.0.0.1", "roles": ["broker"]}],
    }))
}
