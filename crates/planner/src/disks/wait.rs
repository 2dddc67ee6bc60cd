//! What disks wait for, in words.

use std::fmt;

/// Something that must happen before the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskWait {
    /// The broker must be asked what is on its disks.
    Unknown {
        /// Its id.
        node: u32,
    },
    /// The disk's replicas must be moved to the broker's other disks.
    Emptying {
        /// The broker's id.
        node: u32,
        /// The disk's number.
        disk: u32,
        /// How many it has, those that are only arriving among them.
        replicas: usize,
    },
    /// The disk does not work, so nothing can be moved off it.
    Offline {
        /// The broker's id.
        node: u32,
        /// The disk's number.
        disk: u32,
    },
    /// No other disk of the broker works.
    Nowhere {
        /// The broker's id.
        node: u32,
    },
    /// The pod must be made anew without the disk.
    Detaching {
        /// The broker's id.
        node: u32,
        /// The disk's number.
        disk: u32,
    },
    /// The disk's cordon must go.
    Opening {
        /// The broker's id.
        node: u32,
        /// The disk's number.
        disk: u32,
    },
}

// === impl DiskWait ===

impl fmt::Display for DiskWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { node } => {
                write!(f, "broker {node} cannot be asked what is on its disks")
            }
            Self::Emptying {
                node,
                disk,
                replicas,
            } => write!(
                f,
                "disk {disk} of broker {node} goes when its {replicas} replicas are on others"
            ),
            Self::Offline { node, disk } => write!(
                f,
                "disk {disk} of broker {node} cannot be read, so nothing can be moved off it: \
                 delete its claim and the pod to give up what is on it"
            ),
            Self::Nowhere { node } => write!(
                f,
                "broker {node} has no other disk that works to move replicas to"
            ),
            Self::Detaching { node, disk } => write!(
                f,
                "disk {disk} of broker {node} is empty and goes with the broker's next restart"
            ),
            Self::Opening { node, disk } => {
                write!(f, "the cordon of disk {disk} of broker {node} goes")
            }
        }
    }
}
