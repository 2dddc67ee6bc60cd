//! The sidecar's configuration document: parse, check, compare.
//!
//! The operator writes these types and the sidecars read them, over the stream
//! of [`stream`] and from the copy of the last good document on disk. Nothing
//! here opens a socket or reads a clock.

mod access;
mod addresses;
mod error;
mod flow;
mod quotas;
pub mod stream;
mod topology;
mod zones;

pub use access::Access;
pub use addresses::{Addresses, ports};
pub use error::{ConfigError, Problem};
pub use flow::Flow;
pub use quotas::{MAX_USED, Quotas, UsageReporter};
pub use topology::{ClusterRef, Node, NodeRole, Topology, TopologyChange};
pub use zones::{MAX_ADDRESSES, Place, Zones};
