//! Which nodes join, and which may leave.
//!
//! A broker leaves in this order: it is cordoned, so that nothing new is placed
//! on it (KIP-1066); its replicas are moved away (`reassign`); it reports that it
//! holds none; its pod goes; its registration goes. A controller leaves the
//! voters first and then its pod goes (KIP-853).

mod voters;
mod wait;

use std::collections::{BTreeMap, BTreeSet};

use tubeway_api::NodeRole;

pub use voters::{Directory, VoterChange, VoterSet};
pub use wait::MembershipWait;

/// A node that is there, or should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Kafka's `node.id`.
    pub id: u32,
    /// What it is to do; nothing when it is to leave.
    pub wanted: BTreeSet<NodeRole>,
    /// What its pod does now.
    pub has: BTreeSet<NodeRole>,
    /// Whether its pod serves, and no plan takes it away in this step.
    pub ready: bool,
    /// Whether new replicas are kept off it.
    pub cordon: Cordon,
    /// Replicas in its log directories, those that are only arriving included,
    /// as the broker itself says; `None` while it cannot be asked.
    pub replicas: Option<usize>,
}

/// Whether new replicas are kept off a broker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cordon {
    /// The cluster's metadata version has no cordons (before Kafka 4.3).
    Unsupported,
    /// It takes new replicas.
    #[default]
    Open,
    /// The operator cordoned it.
    Cordoned,
}

/// What Kafka says about its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registry {
    /// The metadata quorum; `None` while it cannot be asked.
    pub voters: Option<VoterSet>,
    /// How many partitions name a broker among their replicas, by broker;
    /// `None` while Kafka cannot be asked.
    pub assigned: Option<BTreeMap<u32, usize>>,
    /// Brokers that are registered and fenced (KIP-1073). One that is not lives,
    /// whoever has been told otherwise: unregistered, it would never serve again.
    pub fenced: BTreeSet<u32>,
}

/// The next step towards the nodes that are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembershipPlan {
    /// Brokers to be cordoned now.
    pub cordon: BTreeSet<u32>,
    /// Brokers that stay after all, to be opened again.
    pub uncordon: BTreeSet<u32>,
    /// Brokers whose replicas are to be moved away.
    pub drain: BTreeSet<u32>,
    /// The one change of the voters to ask for now.
    pub change: Option<VoterChange>,
    /// Nodes whose pods may go for good.
    pub remove: BTreeSet<u32>,
    /// Those of them whose volumes may go, too: the brokers themselves said that
    /// nothing is on them.
    pub release: BTreeSet<u32>,
    /// Nodes whose pods may be built without the roles that they are to lose.
    pub reduce: BTreeSet<u32>,
    /// Brokers to be unregistered: they are gone and nothing is left of them.
    pub unregister: BTreeSet<u32>,
    /// What must happen before the next step.
    pub waits: Vec<MembershipWait>,
}

// === impl Member ===

impl Member {
    fn is_broker(&self) -> bool {
        self.has.contains(&NodeRole::Broker)
    }

    fn stays(&self, role: NodeRole) -> bool {
        self.wanted.contains(&role)
    }

    fn leaves(&self, role: NodeRole) -> bool {
        self.has.contains(&role) && !self.stays(role)
    }
}

/// What to do next so that the nodes that are wanted, and only those, take part.
///
/// # Guarantees
/// - A broker is removed only when it is cordoned (where Kafka can), no
///   partition names it, and it reports that it holds nothing. One that cannot
///   be asked is removed when no partition names it, and keeps its volume.
/// - A controller is removed only when it is no voter.
/// - The voters change one at a time, and only if a majority of the new ones is
///   caught up and ready. Whoever replaces another joins first; an observer
///   joins when it has caught up.
/// - The last broker that serves, and the last voter, stay.
/// - What was begun is taken back when the node is wanted again.
/// - A broker that lives is never unregistered.
pub fn membership(members: &[Member], registry: &Registry) -> MembershipPlan {
    let mut plan = MembershipPlan::default();
    let stays = |m: &&Member| m.ready && m.is_broker() && m.stays(NodeRole::Broker);
    let some_broker_stays = members.iter().any(|member| stays(&member));
    for member in members {
        if member.stays(NodeRole::Broker) && member.cordon == Cordon::Cordoned {
            plan.uncordon.insert(member.id);
        }
        let leaves_broker = member.leaves(NodeRole::Broker);
        let leaves_quorum = member.leaves(NodeRole::Controller);
        if !leaves_broker && !leaves_quorum {
            continue;
        }
        let mut settled = true;
        if leaves_broker {
            settled &= empty(member, registry, some_broker_stays, &mut plan);
        }
        if leaves_quorum {
            settled &= voters::has_left(member.id, registry.voters.as_ref(), &mut plan.waits);
        }
        if settled && member.wanted.is_empty() {
            plan.remove.insert(member.id);
            if !leaves_broker || member.replicas == Some(0) {
                plan.release.insert(member.id);
            }
        } else if settled {
            plan.reduce.insert(member.id);
        }
    }
    match &registry.voters {
        Some(voters) => plan.change = voters::change(members, voters, &mut plan.waits),
        None => plan.waits.push(MembershipWait::QuorumUnknown),
    }
    plan.unregister = left_behind(members, registry);
    plan
}

/// Whether nothing is on a broker that leaves; if not, what to do about it.
fn empty(
    member: &Member,
    registry: &Registry,
    some_broker_stays: bool,
    plan: &mut MembershipPlan,
) -> bool {
    let node = member.id;
    if !some_broker_stays {
        plan.waits.push(MembershipWait::LastBroker { node });
        return false;
    }
    let open = member.cordon == Cordon::Open;
    if open {
        plan.cordon.insert(node);
    }
    let Some(assigned) = &registry.assigned else {
        plan.waits.push(MembershipWait::PartitionsUnknown { node });
        return false;
    };
    let assigned = assigned.get(&node).copied().unwrap_or_default();
    if assigned > 0 {
        plan.drain.insert(node);
        let replicas = assigned;
        plan.waits.push(MembershipWait::Draining { node, replicas });
        return false;
    }
    match member.replicas {
        Some(0) => !open,
        // What was moved away is deleted a little later than it is unassigned.
        Some(replicas) => {
            plan.waits.push(MembershipWait::Deleting { node, replicas });
            false
        }
        None if member.ready => {
            plan.waits.push(MembershipWait::ReplicasUnknown { node });
            false
        }
        None => !open,
    }
}

/// Registrations of brokers that are none any more.
fn left_behind(members: &[Member], registry: &Registry) -> BTreeSet<u32> {
    let Some(assigned) = &registry.assigned else {
        return BTreeSet::new();
    };
    let is_or_will_be = |m: &&Member| m.is_broker() || m.stays(NodeRole::Broker);
    let brokers: BTreeSet<u32> = members.iter().filter(is_or_will_be).map(|m| m.id).collect();
    let gone = registry.fenced.difference(&brokers).copied();
    gone.filter(|id| assigned.get(id).is_none_or(|count| *count == 0))
        .collect()
}

#[cfg(test)]
mod tests;
