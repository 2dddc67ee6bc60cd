//! Plans: which nodes exist, restart, join and leave, and when.
//!
//! Everything here is a pure function of what was seen. A plan is one step:
//! after it is taken the world is looked at again, so a crash between two steps
//! loses nothing and a plan is never carried out against a world that is gone.

mod disks;
mod health;
mod ids;
mod membership;
pub mod reassign;
mod roll;
mod words;

pub use disks::{BrokerDisks, Disk, DiskChange, DiskReport, DiskStanding, DiskWait};
pub use health::{Health, Partition, PartitionId, Quorum};
pub use ids::{Assignment, PoolIds, assign_ids};
pub use membership::{
    Cordon, Directory, Member, MembershipPlan, MembershipWait, Registry, VoterChange, VoterSet,
    membership,
};
pub use roll::{Limits, Node, NodeState, Plan, Wait, plan};
