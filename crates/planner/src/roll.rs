//! Which pods are made and which are replaced, one step at a time.
//!
//! Leaders are not moved before a broker stops: the broker asks the controller
//! for that itself when its pod is deleted (`docs/adr/0010-leaders-leave-by-controlled-shutdown.md`).
//! They are brought back after it, by an election of the preferred leader.

mod batch;
mod wait;

use std::collections::BTreeSet;

use tubeway_api::NodeRole;

use crate::health::{Health, PartitionId};

pub use wait::Wait;

/// One node that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Kafka's `node.id`.
    pub id: u32,
    /// The pool that it belongs to. Nodes of a pool are built alike, so what
    /// one of them runs with well the others will.
    pub pool: String,
    /// What it does.
    pub roles: BTreeSet<NodeRole>,
    /// Kafka's `broker.rack`, where it is known.
    pub zone: Option<String>,
    /// How its pod is.
    pub state: NodeState,
    /// Whether the pod is built as it should be.
    pub current: bool,
    /// Whether the pod became ready so lately that its replicas may still be
    /// catching up. How long that is the caller says; a batch waits no longer.
    pub fresh: bool,
}

/// How a node's pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// There is no pod.
    Missing,
    /// The pod is on its way out.
    Terminating,
    /// The pod is there and does not serve: it starts, or it cannot.
    NotReady,
    /// The broker has started and reads its log, which takes its time after it was
    /// stopped hard (`BrokerState` 2, log recovery). Stopping it would begin this
    /// anew.
    Recovering,
    /// The pod serves.
    Ready,
}

/// How much may be out at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pods that serve and may be replaced together; 0 counts as 1.
    pub max_unavailable: usize,
}

/// The next step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes whose pods are made now. Nothing is waited for before that.
    pub create: BTreeSet<u32>,
    /// Nodes whose pods are taken away now, to be made anew.
    pub replace: BTreeSet<u32>,
    /// Partitions whose preferred leader is in sync again and does not lead:
    /// to be elected (`ElectLeaders`, preferred). Nothing waits for it.
    pub elect: Vec<PartitionId>,
    /// What must happen before the next step.
    pub waits: Vec<Wait>,
    /// Nodes whose pods are still to be replaced, those of this step included.
    pub outdated: BTreeSet<u32>,
}

// === impl Limits ===

impl Default for Limits {
    /// One pod after the other.
    fn default() -> Self {
        Self { max_unavailable: 1 }
    }
}

// === impl Node ===

impl Node {
    fn is_outdated(&self) -> bool {
        use NodeState::{NotReady, Ready, Recovering};
        !self.current && matches!(self.state, NotReady | Recovering | Ready)
    }
}

/// What to do next so that every node runs as it should.
///
/// # Guarantees
/// - A missing pod is made whatever else is going on.
/// - A pod that serves is taken away only when every other node is ready, there
///   is an active controller, and Kafka can spare all that go with it: every
///   partition keeps its minimum in sync (or all replicas but one, where it
///   has none to spare), the quorum a majority of caught-up voters.
/// - Pods that go together are brokers without a vote, share no partition, are
///   in one zone (or none has any), and no more than `limits` says. The first
///   of a pool goes alone: a change that is bad takes down one pod. Where more
///   could go together once fresh nodes are in sync again, that is waited for.
/// - A voter goes alone, and the active controller last.
/// - An outdated pod that does not serve is replaced without waiting for
///   others, one a step, so that a bad change can always be taken back. Only if
///   Kafka can be asked and counts on it all the same, it is spared as one that
///   serves.
/// - A broker that recovers its log is never stopped.
/// - The same input gives the same plan.
///
/// `health` is `None` while Kafka cannot be asked.
pub fn plan(nodes: &[Node], health: Option<&Health>, limits: Limits) -> Plan {
    let in_state = |state| -> BTreeSet<u32> {
        let matching = nodes.iter().filter(|node| node.state == state);
        matching.map(|node| node.id).collect()
    };
    let outdated = nodes.iter().filter(|node| node.is_outdated());
    let mut plan = Plan {
        outdated: outdated.map(|node| node.id).collect(),
        create: in_state(NodeState::Missing),
        ..Plan::default()
    };
    let terminating = in_state(NodeState::Terminating);
    if let Some(broken) = broken(nodes, health)
        && terminating.is_empty()
        && plan.create.is_empty()
    {
        plan.replace = [broken].into();
    } else {
        let waits = [
            Wait::Terminating(terminating),
            Wait::Recovering(in_state(NodeState::Recovering)),
            Wait::NotReady(in_state(NodeState::NotReady)),
        ];
        plan.waits = waits.into_iter().filter(Wait::concerns_nodes).collect();
        if plan.waits.is_empty() && plan.create.is_empty() && !plan.outdated.is_empty() {
            next_of_ready(nodes, health, limits, &mut plan);
        }
    }
    if let Some(health) = health {
        plan.elect = elections(nodes, health, &plan.replace);
    }
    plan
}

/// The first outdated node that does not serve and that Kafka does not count on.
fn broken(nodes: &[Node], health: Option<&Health>) -> Option<u32> {
    let counted_on = |node: &Node| {
        health.is_some_and(|health| {
            health.quorum.counts_on(node.id) || health.partition_that_counts_on(node.id).is_some()
        })
    };
    let broken = nodes
        .iter()
        .filter(|node| node.is_outdated() && node.state == NodeState::NotReady);
    let spared = broken.filter(|node| !counted_on(node));
    spared.map(|node| node.id).min()
}

/// Picks the next of nodes that all serve, or says what stands in the way.
fn next_of_ready(nodes: &[Node], health: Option<&Health>, limits: Limits, plan: &mut Plan) {
    let Some(health) = health else {
        plan.waits.push(Wait::HealthUnknown);
        return;
    };
    let Some(active) = health.quorum.leader else {
        // A broker that stops now has nobody to take its partitions from it.
        plan.waits.push(Wait::NoActiveController);
        return;
    };
    let mut outdated: Vec<&Node> = nodes.iter().filter(|node| !node.current).collect();
    // Whatever order the caller has them in.
    outdated.sort_by_key(|node| node.id);
    let alone = outdated.len() == 1;
    let (mut candidates, mut soon) = (Vec::new(), Vec::new());
    for node in outdated {
        if node.id == active && !alone {
            continue;
        }
        match spared(node, health) {
            Ok(()) => candidates.push(node),
            Err(wait) => {
                if is_caught_up_soon(&wait, nodes, health) {
                    soon.push(node);
                }
                plan.waits.push(wait);
            }
        }
    }
    plan.replace = batch::choose(nodes, &candidates, &soon, health, limits);
    if !plan.replace.is_empty() {
        plan.waits.clear();
    }
}

/// Whether Kafka goes on without this node.
fn spared(node: &Node, health: &Health) -> Result<(), Wait> {
    if node.roles.contains(&NodeRole::Broker)
        && let Some(partition) = health.partition_that_needs(node.id)
    {
        return Err(Wait::Partition {
            node: node.id,
            id: partition.id.clone(),
            in_sync: partition.in_sync.len(),
            min_in_sync: partition.min_in_sync,
        });
    }
    if !health.quorum.spares(node.id) {
        return Err(Wait::Quorum {
            node: node.id,
            caught_up: health.quorum.caught_up.clone(),
            voters: health.quorum.voters.clone(),
        });
    }
    Ok(())
}

/// Whether the wait is for a replica on a node that was replaced a moment ago.
/// One that has been behind for longer may stay so, and holds up nobody else.
fn is_caught_up_soon(wait: &Wait, nodes: &[Node], health: &Health) -> bool {
    let Wait::Partition { id, .. } = wait else {
        return false;
    };
    let Some(partition) = health.partitions.iter().find(|p| p.id == *id) else {
        return false;
    };
    let behind = |id: &u32| !partition.in_sync.contains(id);
    let mut behind = partition.replicas.iter().filter(|id| behind(id));
    behind.any(|id| nodes.iter().any(|node| node.id == *id && node.fresh))
}

/// Partitions whose preferred leader is back for good. One that is still to be
/// replaced would only lose its leaders again.
fn elections(nodes: &[Node], health: &Health, replaced: &BTreeSet<u32>) -> Vec<PartitionId> {
    let stays = |node: &&Node| {
        node.current && node.state == NodeState::Ready && !replaced.contains(&node.id)
    };
    let staying: BTreeSet<u32> = nodes.iter().filter(stays).map(|node| node.id).collect();
    let away = health.partitions.iter().filter(|partition| {
        partition.preferred().is_some_and(|preferred| {
            partition.leader != Some(preferred)
                && partition.in_sync.contains(&preferred)
                && staying.contains(&preferred)
        })
    });
    away.map(|partition| partition.id.clone()).collect()
}

#[cfg(test)]
mod tests;
