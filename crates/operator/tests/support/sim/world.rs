//! One cluster's world, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tubeway_localkube::fault::{Fault, Plan, Seen};

use super::api::Namespace;
use super::host::Host;
use super::kafka::Topic;
use super::life::Life;
use super::wire::SimKafka;
use super::{canonical, kubelet};

/// Looks after which a world that is still not quiet never will be.
const PATIENCE: usize = 150;

/// How long nothing may happen before a world with controllers that run by
/// themselves is quiet: longer than any of them waits for another try.
const QUIET: Duration = Duration::from_secs(40);

/// One thing that somebody does.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// A user makes an object of this kind.
    Put(&'static str, Value),
    /// A user changes an object.
    Edit(&'static str, Value),
    /// A user deletes an object.
    Delete(&'static str),
    /// A pod is gone, and nobody asked.
    Lose(&'static str),
    /// A pod is evicted: over, and still there.
    Evict(&'static str),
    /// A client of Kafka makes a topic of so many partitions and replicas.
    Topic(&'static str, usize, usize),
    /// Nothing happens until nothing is left to do.
    Settle,
}

/// One namespace with one cluster, and everything around it.
pub(crate) struct World<'a> {
    pub(crate) host: &'a Host,
    pub(crate) api: Namespace,
    pub(crate) kafka: SimKafka,
    pub(crate) agent: String,
    pub(crate) life: Life,
    /// What should never have happened.
    pub(crate) problems: Vec<String>,
    /// Lives that have ended.
    pub(crate) crashes: usize,
    /// Most nodes that were out at the same time.
    pub(crate) most_pods_out: usize,
    pub(super) neighbour: Option<Namespace>,
    /// What to do to the plan when the operator starts again.
    pub(crate) at_restart: Option<AtRestart>,
    pub(super) access: bool,
    /// Paths of claims that the operator has deleted.
    claims_deleted: BTreeSet<String>,
}

/// What the operator's faults are after its first crash, by what was seen before it.
pub(crate) type AtRestart = Box<dyn Fn(&[Seen]) -> Plan>;

/// What a run comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) objects: BTreeMap<String, Value>,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) acls: Vec<String>,
    pub(crate) voters: BTreeSet<u32>,
    /// Registered brokers, and options that are set while they run.
    pub(crate) brokers: String,
    /// What was made and deleted, and how often.
    pub(crate) counts: BTreeMap<String, u32>,
    /// Claims that were deleted, however often: who sees a spec of long ago may make a
    /// node by it, which goes again.
    pub(crate) claims_deleted: BTreeSet<String>,
}

// === impl World ===

impl<'a> World<'a> {
    /// An empty world of its own, in which the cluster controller does what it is told.
    pub(crate) async fn new(host: &'a Host) -> Self {
        Self::with(host, false).await
    }

    /// An empty world of its own, in which topics, access and quotas are looked after, too.
    pub(crate) async fn with_access(host: &'a Host) -> Self {
        Self::with(host, true).await
    }

    async fn with(host: &'a Host, access: bool) -> Self {
        let number = host.worlds.get();
        host.worlds.set(number + 1);
        // One length, so that nothing depends on it.
        let name = format!("world-{number:06}");
        Self::on(host, &name, access, SimKafka::default()).await
    }

    /// The operator starts in a namespace, whatever is there.
    pub(super) async fn on(host: &'a Host, name: &str, access: bool, kafka: SimKafka) -> Self {
        let agent = format!("operator-of-{name}");
        let client = host.client("somebody").await;
        let api = Namespace::make(client, name).await;
        if !host.is_real() {
            host.server().faults().set(&agent, Plan::default());
        }
        let key = format!("{name}/demo").parse().unwrap();
        let life = Life::start(host, &agent, key, &kafka, access).await;
        Self {
            host,
            api,
            kafka,
            agent,
            life,
            problems: Vec::new(),
            crashes: 0,
            most_pods_out: 0,
            neighbour: None,
            at_restart: None,
            access,
            claims_deleted: BTreeSet::new(),
        }
    }

    /// A second namespace beside the world's own.
    pub(crate) async fn neighbour(&mut self, patch: &Value) -> Namespace {
        let client = self.host.client("neighbour").await;
        let name = format!("{}-neighbour", self.api.name);
        let neighbour = Namespace::make(client, &name).await;
        neighbour.patch_itself(patch).await;
        self.neighbour = Some(neighbour.clone());
        neighbour
    }

    /// A KafkaTopic of the neighbour's.
    pub(crate) async fn neighbours_topic(&self, name: &str) -> Value {
        let Some(neighbour) = &self.neighbour else {
            return Value::Null;
        };
        let topic = neighbour.get(&format!("kafkatopics/{name}")).await;
        topic.unwrap_or_default()
    }

    /// The operator ends here and starts again.
    pub(crate) async fn restart(&mut self) {
        let key = format!("{}/demo", self.api.name).parse().unwrap();
        self.check_deletions();
        self.kafka.revive();
        self.host.server().faults().revive(&self.agent);
        if let Some(plan) = self.at_restart.take() {
            let plan = plan(&self.seen());
            self.host.server().faults().replan(&self.agent, plan);
        }
        let (host, access) = (self.host, self.access);
        self.life = Life::start(host, &self.agent, key, &self.kafka, access).await;
        self.crashes += 1;
    }

    /// From now on requests and calls are counted anew and meet these faults.
    pub(crate) fn plan(&self, plan: Plan, call: Option<(usize, super::CallFault)>) {
        self.host.server().faults().set(&self.agent, plan);
        self.kafka.plan(call);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.host.seen(&self.agent, 0)
    }

    /// Does something as whoever does it; refusals are for the test to find in the end.
    pub(crate) async fn take(&mut self, step: &Step) {
        let result = match step {
            Step::Put(kind, object) => self.api.create(kind, object).await.map(drop),
            Step::Edit(what, patch) => self.api.edit(what, patch).await.map(drop),
            Step::Delete(what) => self.api.delete(what).await.map(drop),
            Step::Lose(what) => {
                self.stop_broker(what);
                self.api.kill(what).await.map(drop)
            }
            Step::Evict(what) => {
                self.stop_broker(what);
                let over = json!({ "status": { "phase": "Failed", "reason": "Evicted" } });
                self.api
                    .edit(&format!("{what}/status"), &over)
                    .await
                    .map(drop)
            }
            Step::Topic(name, partitions, replicas) => {
                self.kafka.kafka(|kafka| {
                    kafka.create_topic(name, *partitions, *replicas, BTreeMap::new())
                });
                Ok(())
            }
            Step::Settle => {
                self.settle().await;
                Ok(())
            }
        };
        if let Err(error) = result {
            self.problems.push(format!("{step:?}: {error}"));
        }
    }

    /// A pod's broker has ended, before anybody hears of it.
    fn stop_broker(&self, pod: &str) {
        let id = pod.rsplit('-').next().and_then(|id| id.parse().ok());
        self.kafka.kafka(|kafka| id.map(|id| kafka.stop(id)));
    }

    /// One look of the operator, up to its end or a crash. Whether it went well.
    pub(crate) async fn look(&mut self) -> bool {
        let looked = tokio::select! {
            biased;
            () = self.crashed() => None,
            looked = self.life.look() => Some(looked),
        };
        match looked {
            None => {
                self.restart().await;
                false
            }
            Some(looked) => {
                self.check_deletions();
                looked.is_ok()
            }
        }
    }

    /// Time passes for the controllers that run by themselves; false after a crash.
    async fn wait(&mut self) -> bool {
        if !self.access {
            return true;
        }
        let crashed = tokio::select! {
            biased;
            () = self.crashed() => true,
            () = tokio::time::sleep(QUIET) => false,
        };
        if crashed {
            self.restart().await;
        }
        !crashed
    }

    async fn crashed(&self) {
        tokio::select! {
            () = self.host.crashed(&self.agent) => {}
            () = self.kafka.crashed() => {}
        }
    }

    /// The world around the operator takes one step; whether anything moved.
    pub(crate) async fn turn(&mut self) -> bool {
        let took = self.pods_taken() && !self.is_ending().await;
        let before = self
            .kafka
            .kafka(|kafka| (kafka.below_minimum(), kafka.has_quorum()));
        let moved = kubelet::step(&self.api, &self.kafka).await;
        let after = self
            .kafka
            .kafka(|kafka| (kafka.below_minimum(), kafka.has_quorum()));
        let out = self
            .kafka
            .kafka(|kafka| kafka.nodes.values().filter(|n| !n.up).count());
        self.most_pods_out = self.most_pods_out.max(out);
        if took {
            let fewer = |at: &str, live: usize| before.0.get(at).is_none_or(|b| live < *b);
            let new = after.0.iter().filter(|(at, live)| fewer(at, **live));
            self.problems.extend(
                new.map(|(at, live)| format!("the operator took a pod: {at} has {live} in sync")),
            );
            if before.1 && !after.1 {
                self.problems
                    .push("the operator took the quorum".to_owned());
            }
        }
        let lost = self
            .kafka
            .kafka(|kafka| std::mem::take(&mut kafka.disks.lost));
        self.problems.extend(lost);
        let caught_up = self.kafka.kafka(super::kafka::Kafka::step);
        moved || caught_up
    }

    /// Looks and turns until nothing happens any more.
    pub(crate) async fn settle(&mut self) {
        let mut calm = 0;
        for _ in 0..PATIENCE * self.host.calm_looks() {
            let from = self.host.count(&self.agent);
            let kafka = self.kafka.kafka(|kafka| kafka.clone());
            let well = self.look().await;
            let moved = self.turn().await;
            let well = self.wait().await && well;
            let seen = self.host.seen(&self.agent, from);
            let wrote = seen
                .iter()
                .any(|seen| is_state(seen) && seen.asked.is_write());
            // What is under way is waited for.
            let under_way = seen
                .iter()
                .any(|seen| seen.status.is_none() && seen.fault.is_none());
            let changed = self
                .kafka
                .kafka(|now| now.topics != kafka.topics || now.acls != kafka.acls);
            let quiet = well && !moved && !wrote && !changed && !under_way;
            calm = if quiet { calm + 1 } else { 0 };
            if calm == self.host.calm_looks() {
                return;
            }
            self.host.pause().await;
        }
        let seen = self.seen();
        let last: Vec<_> = seen
            .iter()
            .rev()
            .filter(|seen| seen.asked.is_write())
            .take(4)
            .map(|seen| {
                format!(
                    "{} {} {:?}",
                    seen.asked.method, seen.asked.path, seen.status
                )
            })
            .collect();
        self.problems
            .push(format!("never quiet; the last writes: {}", last.join(", ")));
    }

    /// Everything as it is in the end; the world ends with it.
    pub(crate) async fn outcome(mut self) -> (Outcome, Vec<String>) {
        self.check_deletions();
        let objects = canonical::everything(&self.api).await;
        let seen = self.host.seen(&self.agent, 0);
        let mut counts = counts(&seen, &self.api.name);
        let here = self.api.name.clone();
        let anywhere = move |text: String| text.replace(&here, "NAMESPACE");
        let claims_deleted = self.claims_deleted.iter().cloned().map(&anywhere).collect();
        let outcome = self.kafka.kafka(|kafka| {
            let effects = kafka.effects.iter();
            counts.extend(effects.map(|(what, times)| (anywhere(what.clone()), *times)));
            let acls = kafka.acls.iter();
            Outcome {
                objects,
                topics: kafka.placed(),
                acls: acls.map(|acl| anywhere(format!("{acl:?}"))).collect(),
                voters: kafka.voters.clone(),
                brokers: format!(
                    "{:?} {:?} {:?}",
                    kafka.features,
                    kafka.registered,
                    kafka
                        .options
                        .iter()
                        .filter(|(_, set)| !set.is_empty())
                        .collect::<Vec<_>>()
                ),
                counts,
                claims_deleted,
            }
        });
        drop(self.life);
        self.host.forget(&self.agent);
        (outcome, self.problems)
    }

    /// Whether the operator has asked for the end of a pod since the last turn.
    fn pods_taken(&self) -> bool {
        let mut deletions = self.life.deletions.lock().unwrap();
        let pods = deletions.iter().any(|(path, _)| path.contains("/pods/"));
        deletions.clear();
        pods
    }

    /// Whether the cluster is gone or on its way: then everything may go.
    async fn is_ending(&self) -> bool {
        let cluster = self.api.get("kafkaclusters/demo").await;
        cluster.is_none_or(|cluster| cluster["metadata"]["deletionTimestamp"].is_string())
    }

    fn check_deletions(&mut self) {
        let deletions = self.life.deletions.lock().unwrap();
        for (path, preconditions) in deletions.iter() {
            if !preconditions["uid"].is_string() {
                self.problems.push(format!("DELETE {path} without a UID"));
            }
            if path.contains("/persistentvolumeclaims/") {
                self.claims_deleted.insert(path.clone());
                let id = path.rsplit('-').next().and_then(|id| id.parse().ok());
                let disk = path.rsplit('/').next().and_then(further_disk);
                let replicas = self.kafka.kafka(|k| match (id, disk) {
                    (Some(id), Some(disk)) => k.disks.on(id, disk),
                    (Some(id), None) => k.replicas_on(id),
                    (None, _) => 0,
                });
                if replicas > 0 {
                    self.problems
                        .push(format!("DELETE {path} with {replicas} replicas on it"));
                }
            }
        }
    }
}

/// The number of the disk that a claim is for, unless it is a node's first.
fn further_disk(claim: &str) -> Option<u32> {
    claim.strip_prefix("data-")?.split('-').next()?.parse().ok()
}

/// Whether a request is about state: Events are news, and may be told twice or never.
pub(crate) fn is_state(seen: &Seen) -> bool {
    !seen.asked.path.contains("/events")
}

/// What the API has made and deleted for the operator, however the answers got back.
fn counts(seen: &[Seen], namespace: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for seen in seen.iter().filter(|seen| is_state(seen)) {
        let path = seen.asked.path.replace(namespace, "NAMESPACE");
        let effect = match (seen.asked.method.as_str(), seen.status) {
            ("POST", Some(201)) => format!("create {path}"),
            ("PATCH", Some(201)) => {
                let (collection, _) = path.rsplit_once('/').unwrap_or_default();
                format!("create {collection}")
            }
            ("DELETE", Some(200 | 202)) => format!("delete {path}"),
            _ => continue,
        };
        *counts.entry(effect).or_default() += 1;
    }
    counts
}

/// Which request a fault is for, in the words of a report.
pub(crate) fn named(fault: &Fault) -> &'static str {
    match fault {
        Fault::CrashBefore => "crash before",
        Fault::CrashAfter => "crash after",
        Fault::LostAnswer => "applied but timed out",
        Fault::LostRequest => "lost",
        Fault::Conflict => "conflict",
        Fault::Error { .. } => "5xx",
        _ => "other",
    }
}

/// A KafkaCluster `demo`.
pub(crate) fn cluster(spec: &Value) -> Step {
    let object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": { "name": "demo" }, "spec": spec,
    });
    Step::Put("kafkaclusters", object)
}

/// A KafkaNodePool of it.
pub(crate) fn pool(name: &str, replicas: u32, roles: &[&str], more: &Value) -> Step {
    let mut object = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaNodePool",
        "metadata": { "name": name },
        "spec": {
            "cluster": "demo", "replicas": replicas, "roles": roles,
            "storage": { "size": "1Gi" },
        },
    });
    json_patch::merge(&mut object["spec"], more);
    Step::Put("kafkanodepools", object)
}
