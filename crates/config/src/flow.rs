//! Who produces to and consumes from what, as a sidecar has counted it.

use serde::{Deserialize, Serialize};

/// What one principal did with one topic at one sidecar since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// The SPIFFE id behind the connections.
    pub principal: String,
    /// The topic's name; `other` where a bound on the number of flows was met.
    pub topic: String,
    /// Records that the broker took from the principal.
    pub produced_records: u64,
    /// Their size on the wire, in bytes.
    pub produced_bytes: u64,
    /// Records that the broker sent to the principal.
    pub consumed_records: u64,
    /// Their size on the wire, in bytes.
    pub consumed_bytes: u64,
    /// Answers that refused the principal this topic.
    pub denied: u64,
}

// === impl Flow ===

impl Flow {
    /// Adds what another sidecar counted for the same principal and topic.
    pub fn add(&mut self, other: &Self) {
        self.produced_records += other.produced_records;
        self.produced_bytes += other.produced_bytes;
        self.consumed_records += other.consumed_records;
        self.consumed_bytes += other.consumed_bytes;
        self.denied += other.denied;
    }
}
