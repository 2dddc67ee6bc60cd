//! Who votes next (KIP-853).

use std::collections::{BTreeMap, BTreeSet};

use tubeway_api::NodeRole;

use super::{Member, MembershipWait};

/// Kafka's `directory.id` of a metadata log. A node that lost its volume comes
/// back with another, and is another replica to the quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Directory(pub u128);

/// The metadata quorum, as its leader describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoterSet {
    /// The active controller; `None` while there is none.
    pub leader: Option<u32>,
    /// Nodes that vote, by id. A node votes with one directory.
    pub voters: BTreeMap<u32, Directory>,
    /// Voters that have fetched lately, the leader among them.
    pub caught_up: BTreeSet<u32>,
    /// Controllers that follow without a vote and have fetched lately.
    pub observers: BTreeMap<u32, Directory>,
}

/// A change of the voters. Kafka takes one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoterChange {
    /// The observer gets a vote (`AddRaftVoter`).
    Add {
        /// Its `node.id`.
        id: u32,
        /// Its directory.
        directory: Directory,
    },
    /// The voter loses its vote (`RemoveRaftVoter`).
    Remove {
        /// Its `node.id`.
        id: u32,
        /// The directory that it votes with.
        directory: Directory,
    },
}

/// The voters as they are, beside what is wanted of them.
struct Seen<'a> {
    set: &'a VoterSet,
    members: BTreeMap<u32, &'a Member>,
}

/// Whether a controller that leaves votes no more.
pub(super) fn has_left(
    node: u32,
    voters: Option<&VoterSet>,
    waits: &mut Vec<MembershipWait>,
) -> bool {
    // Not to know is said once, for all of them.
    let Some(voters) = voters else { return false };
    let still = voters.voters.contains_key(&node);
    if still {
        waits.push(MembershipWait::StillVotes { node });
    }
    !still
}

/// The change to ask for now.
pub(super) fn change(
    members: &[Member],
    voters: &VoterSet,
    waits: &mut Vec<MembershipWait>,
) -> Option<VoterChange> {
    let seen = Seen {
        set: voters,
        members: members.iter().map(|member| (member.id, member)).collect(),
    };
    let lost = seen.lost();
    let joining = seen.joining();
    let leaving = seen.leaving();
    if lost.is_empty() && joining.is_empty() && leaving.is_empty() {
        return None;
    }
    if voters.leader.is_none() {
        waits.push(MembershipWait::NoActiveController);
        return None;
    }
    for id in lost {
        match seen.remove(id) {
            Ok(change) => return Some(change),
            Err(wait) => waits.push(wait),
        }
    }
    if !joining.is_empty() {
        return seen.join(&joining, waits);
    }
    for id in leaving {
        match seen.remove(id) {
            Ok(change) => return Some(change),
            Err(wait) => waits.push(wait),
        }
    }
    None
}

// === impl Seen ===

impl Seen<'_> {
    /// Voters that do not follow and will not again: they are to leave, nobody
    /// knows them, or their volume is gone.
    fn lost(&self) -> Vec<u32> {
        let set = self.set;
        let lost = set.voters.iter().filter(|(id, directory)| {
            let replaced = set.observers.get(id).is_some_and(|new| new != *directory);
            !set.caught_up.contains(id) && (replaced || !self.is_wanted(**id))
        });
        lost.map(|(id, _)| *id).collect()
    }

    /// Nodes that are to vote and do not.
    fn joining(&self) -> Vec<u32> {
        let wanted = self.members.values();
        let wanted = wanted.filter(|m| m.stays(NodeRole::Controller));
        wanted
            .map(|member| member.id)
            .filter(|id| !self.set.voters.contains_key(id))
            .collect()
    }

    /// Voters that follow and are to leave, the active controller last. One that
    /// is none of the members' is left alone: it runs, and somebody runs it.
    fn leaving(&self) -> Vec<u32> {
        let set = self.set;
        let leaves = |id: &u32| set.caught_up.contains(id) && !self.is_wanted(*id);
        let known = |id: &u32| self.members.contains_key(id);
        let voters = set.voters.keys().copied();
        let mut leaving: Vec<u32> = voters.filter(|id| known(id) && leaves(id)).collect();
        leaving.sort_by_key(|id| (set.leader == Some(*id), *id));
        leaving
    }

    fn is_wanted(&self, id: u32) -> bool {
        let member = self.members.get(&id);
        member.is_some_and(|member| member.stays(NodeRole::Controller))
    }

    fn is_ready(&self, id: u32) -> bool {
        // A voter that nobody here runs is taken at its word.
        self.members.get(&id).is_none_or(|member| member.ready)
    }

    /// Voters that can be counted on, without this one.
    fn steady(&self, without: u32) -> usize {
        let set = self.set;
        let others = set.caught_up.iter().filter(|id| **id != without);
        others
            .filter(|id| set.voters.contains_key(id) && self.is_ready(**id))
            .count()
    }

    fn remove(&self, id: u32) -> Result<VoterChange, MembershipWait> {
        let left = self.set.voters.len() - 1;
        let steady = self.steady(id);
        if left == 0 || steady < left / 2 + 1 {
            return Err(MembershipWait::Majority {
                node: id,
                joins: false,
                steady,
                voters: left,
            });
        }
        let directory = self.set.voters[&id];
        Ok(VoterChange::Remove { id, directory })
    }

    fn join(&self, joining: &[u32], waits: &mut Vec<MembershipWait>) -> Option<VoterChange> {
        let follows = |id: &&u32| self.is_ready(**id) && self.set.observers.contains_key(id);
        let Some(id) = joining.iter().find(follows).copied() else {
            let nodes = joining.iter().copied().collect();
            waits.push(MembershipWait::Following { nodes });
            return None;
        };
        let voters = self.set.voters.len() + 1;
        let steady = self.steady(id) + 1;
        if steady < voters / 2 + 1 {
            waits.push(MembershipWait::Majority {
                node: id,
                joins: true,
                steady,
                voters,
            });
            return None;
        }
        let directory = self.set.observers[&id];
        Some(VoterChange::Add { id, directory })
    }
}
