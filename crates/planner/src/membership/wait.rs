//! What joining and leaving wait for, in words.

use std::collections::BTreeSet;
use std::fmt;

use crate::words::nodes;

/// Something that must happen before the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MembershipWait {
    /// The quorum must be asked who votes.
    QuorumUnknown,
    /// The quorum must elect an active controller.
    NoActiveController,
    /// The broker is the last: its data would have nowhere to go.
    LastBroker {
        /// Its id.
        node: u32,
    },
    /// Kafka must be asked which partitions are on the broker.
    PartitionsUnknown {
        /// Its id.
        node: u32,
    },
    /// The broker's replicas must be moved away.
    Draining {
        /// Its id.
        node: u32,
        /// How many are still assigned to it.
        replicas: usize,
    },
    /// The broker must delete what was moved away.
    Deleting {
        /// Its id.
        node: u32,
        /// How many it still has.
        replicas: usize,
    },
    /// The broker must be asked what it holds.
    ReplicasUnknown {
        /// Its id.
        node: u32,
    },
    /// The controller must lose its vote.
    StillVotes {
        /// Its id.
        node: u32,
    },
    /// These controllers must catch up with the metadata before they get a vote.
    Following {
        /// Their ids.
        nodes: BTreeSet<u32>,
    },
    /// The change would leave no majority of voters that follow.
    Majority {
        /// The node that would be next.
        node: u32,
        /// Whether it joins; else it leaves.
        joins: bool,
        /// Voters that would be caught up and ready.
        steady: usize,
        /// Voters that there would be.
        voters: usize,
    },
}

// === impl MembershipWait ===

impl MembershipWait {
    /// The node that is known to have something yet: replicas, or a vote. Not to
    /// know it is another thing.
    #[must_use]
    pub fn holds(&self) -> Option<u32> {
        match self {
            Self::Draining { node, .. }
            | Self::Deleting { node, .. }
            | Self::StillVotes { node } => Some(*node),
            _ => None,
        }
    }
}

impl fmt::Display for MembershipWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QuorumUnknown => f.write_str("the metadata quorum cannot be asked who votes"),
            Self::NoActiveController => {
                f.write_str("the metadata quorum has no active controller to change its voters")
            }
            Self::LastBroker { node } => write!(
                f,
                "broker {node} cannot leave: no broker that stays is ready to take what it holds"
            ),
            Self::PartitionsUnknown { node } => {
                write!(f, "Kafka cannot be asked what is assigned to broker {node}")
            }
            Self::Draining { node, replicas } => write!(
                f,
                "broker {node} leaves when its {replicas} replicas are moved away"
            ),
            Self::Deleting { node, replicas } => write!(
                f,
                "broker {node} leaves when it has deleted {replicas} replicas that were moved away"
            ),
            Self::ReplicasUnknown { node } => {
                write!(f, "broker {node} cannot be asked what it holds")
            }
            Self::StillVotes { node } => {
                write!(f, "controller {node} leaves when it votes no more")
            }
            Self::Following { nodes: ids } => {
                write!(f, "{} not caught up, to vote", nodes("controller", ids))
            }
            Self::Majority {
                node,
                joins,
                steady,
                voters,
            } => {
                let what = if *joins { "join" } else { "leave" };
                write!(
                    f,
                    "controller {node} cannot {what} the voters: {steady} of then {voters} would \
                     be caught up, and a majority must be"
                )
            }
        }
    }
}
