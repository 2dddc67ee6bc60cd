//! Plans: which nodes exist, restart, join and leave, and when.
//!
//! Pure functions of what has been read: the same input gives the same plan.

mod ids;
mod roll;

pub use ids::{NodeIds, PoolSize, assign};
pub use roll::{NodeState, Replacement, next_replacement};
