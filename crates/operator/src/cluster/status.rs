//! What the operator says about a cluster and its pools. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use tubeway_api::condition::{Wanted, reasons, set_condition, types};
use tubeway_api::{
    KafkaCluster, KafkaClusterStatus, KafkaNodePool, KafkaNodePoolStatus, NodeStatus, QuorumStatus,
    labels,
};
use tubeway_config::ports;
use tubeway_planner::{NodeState, Plan};

use super::features::Release;
use super::founding::Founding;
use super::membership::Change;
use super::names;
use super::validate::{InvalidCluster, ValidatedCluster};

/// Everything that a status is made from.
#[derive(Debug)]
pub(super) struct Findings<'a> {
    /// The checked spec.
    pub(super) cluster: &'a ValidatedCluster,
    /// How the cluster began.
    pub(super) founding: &'a Founding,
    /// How each node is, by id, with its trouble if it has some.
    pub(super) nodes: &'a BTreeMap<u32, (NodeState, Option<String>)>,
    /// The next step.
    pub(super) plan: &'a Plan,
    /// How far nodes are that join and leave.
    pub(super) members: &'a MembersProgress,
    /// What disks that come or go wait for, and claims that do not change.
    pub(super) disks: &'a [String],
    /// What the quorum's leader said, where it could be asked.
    pub(super) quorum: Option<QuorumStatus>,
    /// The release whose metadata the cluster uses, where it could be asked.
    pub(super) metadata: Option<Release>,
    /// What Kafka said against the options and features that it was told; empty
    /// is nothing, none is that it was not told.
    pub(super) refused: Option<&'a [String]>,
    /// Pods of nodes whose sidecars are not up to date, with why.
    pub(super) behind: &'a BTreeMap<String, String>,
}

/// How far nodes are that join and leave, in words.
#[derive(Debug, Default)]
pub(super) struct MembersProgress {
    /// What is waited for, or done next; empty when nobody joins or leaves.
    pub(super) waits: Vec<String>,
}

/// The conditions that this controller sets, in one go.
struct Conditions<'a> {
    live: &'a [Condition],
    set: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

// === impl Findings ===

impl Findings<'_> {
    /// The cluster's new status.
    pub(super) fn cluster_status(&self, live: &KafkaCluster, now: Timestamp) -> KafkaClusterStatus {
        let ready = self.ready_nodes();
        let all = self.nodes.len();
        let mut conditions = Conditions::of_cluster(live, now);
        let (done, reason, message) = self.readiness();
        conditions.set(types::READY, Some(done), reason, message);
        let (busy, reason, message) = self.progress();
        conditions.set(types::PROGRESSING, Some(busy), reason, message);
        if let Some(refused) = self.refused {
            let (applied, reason, message) = config(refused);
            conditions.set(types::CONFIG_APPLIED, Some(applied), reason, message);
        } else {
            conditions.keep(types::CONFIG_APPLIED);
        }
        let (in_sync, reason, message) = self.sidecars();
        conditions.set(types::SIDECARS_IN_SYNC, Some(in_sync), reason, message);
        let old = live.status.as_ref();
        let rolled = self.plan.outdated.is_empty() && ready == all;
        KafkaClusterStatus {
            observed_generation: live.metadata.generation,
            conditions: conditions.set,
            cluster_id: Some(self.founding.cluster_id.clone()),
            kafka_version: if rolled {
                Some(self.cluster.version.clone())
            } else {
                old.and_then(|status| status.kafka_version.clone())
            },
            metadata_version: self
                .metadata
                .map(|release| release.to_string())
                .or_else(|| old.and_then(|status| status.metadata_version.clone())),
            nodes: self.node_statuses(),
            quorum: self
                .quorum
                .clone()
                .or_else(|| old.and_then(|status| status.quorum.clone())),
            bootstrap: Some(format!(
                "{}:{}",
                names::bootstrap_host(&self.cluster.key),
                ports::CLIENT
            )),
            ready_nodes: Some(format!("{ready}/{all}")),
        }
    }

    /// The new status of one of the cluster's pools.
    pub(super) fn pool_status(&self, live: &KafkaNodePool, now: Timestamp) -> KafkaNodePoolStatus {
        let name = live.name_any();
        let pool = self.cluster.pools.get(&name);
        let ids: Vec<u32> = pool.iter().flat_map(|p| p.nodes.iter().copied()).collect();
        let count = |wanted: fn(NodeState) -> bool| {
            let matching = ids.iter().filter_map(|id| self.nodes.get(id));
            matching.filter(|(state, _)| wanted(*state)).count() as i32
        };
        let ready = count(|state| state == NodeState::Ready);
        let mut conditions = Conditions::of_pool(live, now);
        let surplus = pool.map(|p| p.surplus.clone()).unwrap_or_default();
        let mut message = format!("{ready} of {} nodes are ready", ids.len());
        if !surplus.is_empty() {
            let surplus: Vec<_> = surplus.iter().map(u32::to_string).collect();
            let _ = write!(
                message,
                "; nodes {} are no longer asked for and go when nothing is on them",
                surplus.join(", ")
            );
        }
        let done = ready as usize == ids.len();
        let reason = if done {
            reasons::READY
        } else {
            reasons::WAITING_FOR_NODES
        };
        conditions.set(types::READY, Some(done), reason, message);
        KafkaNodePoolStatus {
            observed_generation: live.metadata.generation,
            conditions: conditions.set,
            replicas: count(|state| state != NodeState::Missing),
            ready_replicas: ready,
            node_ids: ids,
            selector: Some(format!(
                "{}={},{}={name}",
                labels::CLUSTER,
                self.cluster.key.name,
                labels::POOL
            )),
        }
    }

    fn ready_nodes(&self) -> usize {
        let states = self.nodes.values();
        states
            .filter(|(state, _)| *state == NodeState::Ready)
            .count()
    }

    fn readiness(&self) -> (bool, &'static str, String) {
        let (ready, all) = (self.ready_nodes(), self.nodes.len());
        if ready == all {
            return (true, reasons::READY, format!("all {all} nodes are ready"));
        }
        let nodes = self.cluster.nodes();
        let waited: Vec<_> = self
            .nodes
            .iter()
            .filter(|(_, (state, _))| *state != NodeState::Ready)
            .map(|(id, (state, trouble))| {
                let pool = nodes.get(id).map_or("", |pool| pool.name.as_str());
                let pod = names::pod(&self.cluster.key.name, pool, *id);
                format!("{pod} {}", describe(*state, trouble.as_deref()))
            })
            .collect();
        let message = format!("{ready} of {all} nodes are ready: {}", waited.join("; "));
        (false, reasons::WAITING_FOR_NODES, message)
    }

    fn progress(&self) -> (bool, &'static str, String) {
        let plan = self.plan;
        let waits: Vec<_> = plan.waits.iter().map(ToString::to_string).collect();
        if !plan.create.is_empty() {
            let message = format!("making {} pods", plan.create.len());
            return (true, reasons::CREATING, message);
        }
        if !plan.outdated.is_empty() {
            let left = format!("{} pods are still to be replaced", plan.outdated.len());
            let next: Vec<_> = plan.replace.iter().map(u32::to_string).collect();
            let message = match (next.as_slice(), waits.as_slice()) {
                ([], []) => left,
                ([], waits) => format!("{left}; waiting: {}", some_of(waits)),
                ([id], _) => format!("{left}; node {id} is next"),
                (ids, _) => format!("{left}; nodes {} are next", ids.join(", ")),
            };
            return (true, reasons::ROLLING, message);
        }
        if !waits.is_empty() {
            return (true, reasons::WAITING_FOR_NODES, some_of(&waits));
        }
        if !self.members.waits.is_empty() {
            let message = some_of(&self.members.waits);
            return (true, reasons::CHANGING_MEMBERS, message);
        }
        if !self.disks.is_empty() {
            return (true, reasons::CHANGING_DISKS, some_of(self.disks));
        }
        (false, reasons::STABLE, "nothing is under way".to_owned())
    }

    fn sidecars(&self) -> (bool, &'static str, String) {
        if self.behind.is_empty() {
            let message = "the sidecars of all nodes have the newest topology".to_owned();
            return (true, reasons::APPLIED, message);
        }
        let behind: Vec<_> = self
            .behind
            .iter()
            .map(|(pod, why)| {
                if why.is_empty() {
                    pod.clone()
                } else {
                    format!("{pod}: {why}")
                }
            })
            .collect();
        let message = format!("waiting for the sidecars of {}", behind.join(", "));
        (false, reasons::WAITING_FOR_NODES, message)
    }

    fn node_statuses(&self) -> Vec<NodeStatus> {
        let nodes = self.cluster.nodes().into_iter();
        nodes
            .map(|(id, pool)| NodeStatus {
                id,
                pool: pool.name.clone(),
                pod: names::pod(&self.cluster.key.name, &pool.name, id),
                ready: matches!(self.nodes.get(&id), Some((NodeState::Ready, _))),
            })
            .collect()
    }
}

// === impl MembersProgress ===

impl MembersProgress {
    pub(super) fn of(change: &Change) -> Self {
        let plan = &change.plan;
        let mut waits: Vec<String> = plan.waits.iter().map(ToString::to_string).collect();
        waits.extend(change.moves.impossible.iter().map(ToString::to_string));
        let moves = &change.moves;
        let now = moves.in_flight.partitions + moves.start.len();
        if now + moves.left.partitions > 0 {
            let later = moves.left.partitions;
            waits.push(format!(
                "{now} partitions are on the move, {later} more will be"
            ));
        }
        let gone = plan.remove.iter().map(|id| format!("node {id} leaves"));
        waits.extend(gone);
        let topics: Vec<_> = change.topics.keys().map(String::as_str).collect();
        if !topics.is_empty() {
            let topics = topics.join(", ");
            waits.push(format!("topics {topics} get another number of replicas"));
        }
        if waits.is_empty() {
            waits.push("nodes are joining or leaving".to_owned());
        }
        Self { waits }
    }
}

fn config(refused: &[String]) -> (bool, &'static str, String) {
    if refused.is_empty() {
        let message = "Kafka has all options and features of the spec".to_owned();
        return (true, reasons::APPLIED, message);
    }
    (false, reasons::KAFKA_ERROR, refused.join("; "))
}

/// The status of a cluster that is not built: the one before, with conditions
/// that say why.
pub(super) fn not_built(
    live: &KafkaCluster,
    reason: &'static str,
    message: &str,
    now: Timestamp,
) -> KafkaClusterStatus {
    let mut conditions = Conditions::of_cluster(live, now);
    conditions.set(types::READY, Some(false), reason, message.to_owned());
    let nothing = "nothing is changed until then".to_owned();
    conditions.set(types::PROGRESSING, Some(false), reason, nothing);
    KafkaClusterStatus {
        observed_generation: live.metadata.generation,
        conditions: conditions.set,
        ..live.status.clone().unwrap_or_default()
    }
}

/// The status of a cluster that is paused: what it was, and that it is paused.
pub(super) fn paused(live: &KafkaCluster, now: Timestamp) -> KafkaClusterStatus {
    let mut conditions = Conditions::of_cluster(live, now);
    let message = "spec.pause is set: nothing is changed until it is taken away".to_owned();
    conditions.set(types::PROGRESSING, Some(false), reasons::PAUSED, message);
    conditions.keep(types::READY);
    KafkaClusterStatus {
        observed_generation: live.metadata.generation,
        conditions: conditions.set,
        ..live.status.clone().unwrap_or_default()
    }
}

/// The reason that goes with a spec that is not built.
pub(super) fn reason_of(error: &InvalidCluster) -> &'static str {
    match error {
        InvalidCluster::Spec(_) => reasons::INVALID_SPEC,
        InvalidCluster::NoNodes(_) => reasons::NO_NODES,
    }
}

/// The first few of what is waited for. Each of many nodes may have its reason,
/// and one is enough to see where to look.
fn some_of(waits: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = waits.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    match waits.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}

fn describe(state: NodeState, trouble: Option<&str>) -> String {
    match (state, trouble) {
        (NodeState::Missing, _) => "is being made".to_owned(),
        (NodeState::Terminating, _) => "is stopping".to_owned(),
        (NodeState::Recovering, _) => "has started and reads its log".to_owned(),
        (_, Some(trouble)) => trouble.to_owned(),
        (_, None) => "is not ready".to_owned(),
    }
}

// === impl Conditions ===

impl<'a> Conditions<'a> {
    fn of_cluster(live: &'a KafkaCluster, now: Timestamp) -> Self {
        Self {
            live: live.status.as_ref().map_or(&[], |s| &s.conditions),
            set: Vec::new(),
            generation: live.metadata.generation,
            now,
        }
    }

    fn of_pool(live: &'a KafkaNodePool, now: Timestamp) -> Self {
        Self {
            live: live.status.as_ref().map_or(&[], |s| &s.conditions),
            set: Vec::new(),
            generation: live.metadata.generation,
            now,
        }
    }

    fn set(&mut self, type_: &str, status: Option<bool>, reason: &str, message: String) {
        self.keep(type_);
        let wanted = Wanted {
            type_,
            status,
            reason,
            message,
            observed_generation: self.generation,
        };
        set_condition(&mut self.set, wanted, self.now);
    }

    /// Carries a condition over as it is. What is in the list and not carried
    /// over belongs to others, who apply it themselves.
    fn keep(&mut self, type_: &str) {
        let old = self.live.iter().find(|c| c.type_ == type_);
        self.set.extend(old.cloned());
    }
}
