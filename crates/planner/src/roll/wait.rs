//! What a roll waits for, in words.

use std::collections::BTreeSet;
use std::fmt;

use crate::health::PartitionId;
use crate::words::{list, nodes};

/// Something that must happen before the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// These nodes' pods must become ready.
    NotReady(BTreeSet<u32>),
    /// These nodes' pods must be gone before they can be made anew.
    Terminating(BTreeSet<u32>),
    /// These brokers read their logs after a start, which takes its time after a
    /// hard stop.
    Recovering(BTreeSet<u32>),
    /// Kafka must be asked whether it can spare a node.
    HealthUnknown,
    /// The metadata quorum must elect an active controller.
    NoActiveController,
    /// The partition cannot spare the node.
    Partition {
        /// The node that would be next.
        node: u32,
        /// The first such partition.
        id: PartitionId,
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

// === impl Wait ===

impl Wait {
    /// Whether there is a node to wait for, where the wait is for nodes.
    pub(super) fn concerns_nodes(&self) -> bool {
        match self {
            Self::NotReady(nodes) | Self::Terminating(nodes) | Self::Recovering(nodes) => {
                !nodes.is_empty()
            }
            _ => true,
        }
    }

    /// Whether what is waited for happens in Kafka, which has to be asked. Pods
    /// announce themselves.
    #[must_use]
    pub fn is_for_kafka(&self) -> bool {
        !matches!(self, Self::NotReady(_) | Self::Terminating(_))
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady(ids) => write!(f, "{} not ready", nodes("node", ids)),
            Self::Terminating(ids) => write!(f, "{} still stopping", nodes("node", ids)),
            Self::Recovering(ids) => {
                let log = if ids.len() == 1 {
                    "its log"
                } else {
                    "their logs"
                };
                write!(f, "{} reading {log} after a start", nodes("broker", ids))
            }
            Self::HealthUnknown => f.write_str("Kafka cannot be asked whether it can spare a node"),
            Self::NoActiveController => {
                f.write_str("the metadata quorum has no active controller, so no leaders can move")
            }
            Self::Partition {
                node,
                id,
                in_sync,
                min_in_sync,
            } => write!(
                f,
                "partition {id} cannot spare node {node}: {in_sync} replicas in sync, \
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
