//! Which pods are made and which are replaced, one step at a time.

use std::collections::BTreeSet;
use std::fmt;

use tubeway_api::NodeRole;

use crate::health::Health;

/// One node that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Kafka's `node.id`.
    pub id: u32,
    /// What it does.
    pub roles: BTreeSet<NodeRole>,
    /// How its pod is.
    pub state: NodeState,
    /// Whether the pod is built as it should be.
    pub current: bool,
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
    /// The pod serves.
    Ready,
}

/// The next step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes whose pods are made now. Nothing is waited for before that.
    pub create: BTreeSet<u32>,
    /// The one node whose pod is taken away now, to be made anew.
    pub replace: Option<u32>,
    /// What must happen before the next step.
    pub waits: Vec<Wait>,
    /// Nodes whose pods are still to be replaced, that of this step included.
    pub outdated: BTreeSet<u32>,
}

/// Something that must happen before the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// These nodes' pods must become ready.
    NotReady(BTreeSet<u32>),
    /// These nodes' pods must be gone before they can be made anew.
    Terminating(BTreeSet<u32>),
    /// Kafka must be asked whether it can spare a node.
    HealthUnknown,
    /// The partition cannot spare the node.
    Partition {
        /// The node that would be next.
        node: u32,
        /// `<topic>-<partition>`.
        name: String,
        /// Replicas in sync now.
        in_sync: usize,
        /// Replicas that must be in sync.
        min_in_sync: usize,
    },
    /// The metadata quorum cannot spare the node.
    Quorum {
        /// The node that would be next.
        node: u32,
        /// Voters that are caught up.
        caught_up: BTreeSet<u32>,
        /// All voters.
        voters: BTreeSet<u32>,
    },
}

/// What to do next so that every node runs as it should.
///
/// # Guarantees
/// - A missing pod is made whatever else is going on.
/// - At most one pod is taken away, and a pod that serves only when every other
///   node is ready and Kafka can spare it.
/// - An outdated pod that does not serve is replaced without waiting for
///   others, so that a bad change can always be taken back; if Kafka can be
///   asked and counts on the node all the same, it is spared as one that serves.
/// - The active controller comes last.
///
/// `health` is `None` while Kafka cannot be asked.
pub fn plan(nodes: &[Node], health: Option<&Health>) -> Plan {
    let in_state = |state| -> BTreeSet<u32> {
        let matching = nodes.iter().filter(|node| node.state == state);
        matching.map(|node| node.id).collect()
    };
    let missing = in_state(NodeState::Missing);
    let terminating = in_state(NodeState::Terminating);
    let not_ready = in_state(NodeState::NotReady);
    let outdated = |node: &&Node| {
        !node.current && matches!(node.state, NodeState::NotReady | NodeState::Ready)
    };
    let mut plan = Plan {
        outdated: nodes.iter().filter(outdated).map(|n| n.id).collect(),
        create: missing,
        ..Plan::default()
    };
    let broken = nodes
        .iter()
        .filter(outdated)
        .find(|n| n.state == NodeState::NotReady && health.is_none_or(|h| spared(n, h).is_ok()));
    if let Some(node) = broken
        && terminating.is_empty()
        && plan.create.is_empty()
    {
        plan.replace = Some(node.id);
        return plan;
    }
    if !terminating.is_empty() {
        plan.waits.push(Wait::Terminating(terminating));
    }
    if !not_ready.is_empty() {
        plan.waits.push(Wait::NotReady(not_ready));
    }
    if plan.waits.is_empty() && plan.create.is_empty() && !plan.outdated.is_empty() {
        next_of_ready(nodes, health, &mut plan);
    }
    plan
}

/// Picks the next of nodes that all serve, or says what stands in the way.
fn next_of_ready(nodes: &[Node], health: Option<&Health>, plan: &mut Plan) {
    let Some(health) = health else {
        plan.waits.push(Wait::HealthUnknown);
        return;
    };
    let mut candidates: Vec<&Node> = nodes.iter().filter(|node| !node.current).collect();
    candidates.sort_by_key(|node| (health.quorum.leader == Some(node.id), node.id));
    let leader_is_last = candidates.len() > 1;
    for node in candidates {
        if leader_is_last && health.quorum.leader == Some(node.id) {
            continue;
        }
        match spared(node, health) {
            Ok(()) => {
                plan.replace = Some(node.id);
                plan.waits.clear();
                return;
            }
            Err(wait) => plan.waits.push(wait),
        }
    }
}

/// Whether Kafka goes on without this node.
fn spared(node: &Node, health: &Health) -> Result<(), Wait> {
    if node.roles.contains(&NodeRole::Broker)
        && let Some(partition) = health.partition_that_needs(node.id)
    {
        return Err(Wait::Partition {
            node: node.id,
            name: partition.name.clone(),
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

// === impl Wait ===

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(nodes) => write!(f, "nodes {} are not ready", list(nodes)),
            Self::Terminating(nodes) => write!(f, "nodes {} are still stopping", list(nodes)),
            Self::HealthUnknown => f.write_str("Kafka cannot be asked whether it can spare a node"),
            Self::Partition {
                node,
                name,
                in_sync,
                min_in_sync,
            } => write!(
                f,
                "partition {name} cannot spare node {node}: {in_sync} replicas in sync, \
                 min.insync.replicas is {min_in_sync}"
            ),
            Self::Quorum {
                node,
                caught_up,
                voters,
            } => write!(
                f,
                "the metadata quorum cannot spare node {node}: voters {} of {} are caught up",
                list(caught_up),
                list(voters)
            ),
        }
    }
}

fn list(ids: &BTreeSet<u32>) -> String {
    let ids: Vec<_> = ids.iter().map(u32::to_string).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests;
