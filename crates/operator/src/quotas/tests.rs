//! From objects to documents and statuses, write by write.

use serde_json::{Value, json};
use tubeway_api::condition::{find, types};
use tubeway_config::Quotas;
use tubeway_config::stream::{Outcome, Usage, UsageScope, Used};
use tubeway_policy::quota::{PARTS, Share};

use super::*;
use crate::fixture::{self, FakeApi, cluster, object};
use crate::stream::Subscription;

const PATH: &str = "/apis/kafka.tubeway.dev/v1alpha1/namespaces/kafka/kafkaquotas/all";

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn quota(namespace: &str, limits: &Value, scope: &str) -> Value {
    let spec = json!({
        "cluster": {"name": "main", "namespace": "kafka"},
        "clientIds": {}, "limits": limits, "scope": scope,
    });
    object("KafkaQuota", (namespace, "all"), &spec)
}

fn requests() -> Value {
    quota("kafka", &json!({"requestsPerSecond": 100}), "PerBroker")
}

struct World {
    api: FakeApi,
    controller: Controller,
    statuses: Statuses,
}

impl World {
    fn new(quotas: &[Value], cluster: &Value) -> Self {
        let api = FakeApi::default();
        for quota in quotas {
            let namespace = quota["metadata"]["namespace"].as_str().unwrap();
            api.put(
                &PATH.replace("/kafka/", &format!("/{namespace}/")),
                quota.clone(),
            );
        }
        let ctx = fixture::context(&api);
        let stores = Stores::fixed(vec![], vec![read(cluster.clone())], vec![]);
        let mut world = Self {
            statuses: Statuses::new(ctx.clone(), CONTROLLER, MANAGER),
            controller: Controller::new(ctx, stores),
            api,
        };
        world.see();
        world
    }

    /// The watches bring what the API server has.
    fn see(&mut self) {
        let paths = self.api.paths("/kafkaquotas/");
        let quotas = paths.iter().map(|path| read(self.api.get(path).unwrap()));
        self.controller.stores = self.controller.stores.clone().with_quotas(quotas.collect());
        self.controller.compile();
    }

    fn node(&self, pod: &str) -> Subscription<QuotaPlan> {
        let node = self
            .controller
            .ctx
            .quotas
            .subscribe(&key(), Some(pod.into()));
        node.unwrap().from_now()
    }

    /// Writes statuses as they are some time after the change; how many writes
    /// that took.
    async fn write(&mut self) -> usize {
        let verdicts = self.controller.verdicts(Instant::now() + GRACE);
        self.statuses.write_all(&verdicts).await;
        self.api.take_writes().len()
    }

    /// Status, reason and message of `Ready`.
    fn ready(&self) -> (String, String, String) {
        let live: KafkaQuota = read(self.api.get(PATH).unwrap());
        let status = live.status.unwrap();
        assert_eq!(status.observed_generation, Some(3));
        let ready = find(&status.conditions, types::READY).unwrap().clone();
        (ready.status, ready.reason, ready.message)
    }

    fn published(&self) -> QuotaRules {
        let plan = self.controller.ctx.quotas.current(&key()).unwrap();
        plan.document.rules.clone()
    }
}

fn key() -> ClusterRef {
    "kafka/main".parse().unwrap()
}

/// The next document as it is sent, acknowledged with `error`.
async fn take(node: &mut Subscription<QuotaPlan>, error: &str) -> Quotas {
    let new = node.next().await.unwrap();
    node.acknowledge(&Outcome {
        concern: "quotas".to_owned(),
        version: new.version,
        error: error.to_owned(),
    });
    Quotas::from_json(&node.to_json(&new.document)).unwrap()
}

#[tokio::test]
async fn a_quota_is_sent_and_said_to_be_in_force_once() {
    let mut world = World::new(&[requests()], &cluster("Same", false));
    let mut node = world.node("main-all-0");
    let verdicts = world.controller.verdicts(Instant::now());
    assert_eq!(verdicts[0].1, None, "the sidecar may answer any moment");

    assert_eq!(take(&mut node, "").await.quotas.quotas.len(), 1);
    assert_eq!(world.write().await, 1);
    let (status, reason, _) = world.ready();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Ready"));

    assert_eq!(world.write().await, 0, "the watch has not brought it yet");
    world.see();
    assert_eq!(world.write().await, 0);
    world.statuses = Statuses::new(world.controller.ctx.clone(), CONTROLLER, MANAGER);
    assert_eq!(
        world.write().await,
        0,
        "another operator finds nothing to do"
    );
}

#[tokio::test]
async fn a_lost_answer_changes_nothing_in_the_end() {
    for seen in [false, true] {
        let mut world = World::new(&[requests()], &cluster("Same", false));
        take(&mut world.node("main-all-0"), "").await;
        let mut node = world.node("main-all-0");
        take(&mut node, "").await;
        world.api.lose_answer_of(Some(0));
        assert_eq!(world.write().await, 1);
        world.api.lose_answer_of(None);
        if seen {
            world.see();
        }
        world.write().await;
        assert_eq!(world.ready().0, "True");
        world.see();
        assert_eq!(world.write().await, 0);
    }
}

#[tokio::test]
async fn a_sidecar_that_refuses_is_named() {
    let mut world = World::new(&[requests()], &cluster("Same", false));
    assert_eq!(world.write().await, 1);
    let (status, reason, message) = world.ready();
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "WaitingForNodes")
    );
    assert!(message.starts_with("no sidecar"), "{message}");
    let mut node = world.node("main-all-0");
    take(&mut node, "too new for me").await;
    world.write().await;
    let (status, _, message) = world.ready();
    assert_eq!(status, "False");
    assert_eq!(
        message,
        "waiting for the sidecars of main-all-0, which says: too new for me"
    );
}

#[tokio::test]
async fn deleting_the_object_takes_the_quota_away_also_while_paused() {
    let mut world = World::new(&[requests()], &cluster("Same", true));
    assert_eq!(world.published().quotas.len(), 1);
    world.api.remove(PATH);
    world.see();
    assert_eq!(world.published().quotas.len(), 0);
    assert_eq!(world.write().await, 0);
}

#[tokio::test]
async fn what_stands_against_a_quota_is_said_and_the_others_count() {
    let own = quota("kafka", &json!({"requestsPerSecond": "many"}), "PerBroker");
    let other = quota("shop", &json!({"requestsPerSecond": 5}), "PerBroker");
    let mut world = World::new(&[own, other], &cluster("All", false));
    let names: Vec<_> = world
        .published()
        .quotas
        .iter()
        .map(|q| q.name.to_string())
        .collect();
    assert_eq!(names, ["shop/all/requests"]);
    world.write().await;
    let (status, reason, message) = world.ready();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InvalidSpec"));
    assert!(
        message.starts_with("spec.limits.requestsPerSecond: \"many\""),
        "{message}"
    );

    let stores = Stores::fixed(vec![], vec![], vec![]);
    world.controller.stores = stores;
    world.see();
    world.write().await;
    assert_eq!(world.ready().1, "NotFound");
}

#[tokio::test]
async fn a_limit_of_the_cluster_follows_use_and_less_is_told_first() {
    let wide = quota("kafka", &json!({"requestsPerSecond": 100}), "Cluster");
    let mut world = World::new(&[wide], &cluster("Same", false));
    let (mut busy, mut idle) = (world.node("a"), world.node("b"));
    world.controller.share();
    for node in [&mut busy, &mut idle] {
        assert_eq!(share(&take(node, "").await), PARTS / 2);
    }
    world.controller.ctx.usage.add(&key(), "a", used(400));
    world.controller.share();
    assert!(share(&take(&mut idle, "").await) < PARTS / 4);
    assert_eq!(
        share(&take(&mut busy, "").await),
        PARTS / 2,
        "not before the other has less"
    );
    world.controller.raise();
    assert!(share(&take(&mut busy, "").await) > PARTS / 2);
}

fn used(amount: u64) -> Usage {
    let scope = UsageScope {
        client_id: Some("x".to_owned()),
        ..UsageScope::default()
    };
    Usage {
        over_ms: 1000,
        used: vec![Used {
            quota: "kafka/all/requests".to_owned(),
            scope: Some(scope),
            amount,
        }],
    }
}

/// The parts of the one scope, or of the rest where there is none.
fn share(document: &Quotas) -> u32 {
    match &document.quotas.quotas[0].share {
        Share::ClusterWide { parts, scopes } => scopes.first().map_or(*parts, |s| s.parts),
        Share::PerSidecar => panic!("a limit of the cluster"),
    }
}
