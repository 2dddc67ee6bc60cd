//! What Kafka says about itself, asked when a plan depends on it.

use async_trait::async_trait;
use tubeway_api::QuorumStatus;
use tubeway_config::ClusterRef;
use tubeway_planner::Health;

/// What one look at a Kafka cluster found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthReport {
    /// What plans depend on.
    pub health: Health,
    /// What the status shows.
    pub quorum: QuorumStatus,
}

/// Asks Kafka clusters how they are.
#[async_trait]
pub trait HealthSource: Send + Sync + 'static {
    /// How the cluster is now; `None` when it cannot be asked, for whatever
    /// reason. Answers within a few seconds either way.
    async fn look(&self, cluster: &ClusterRef) -> Option<HealthReport>;
}

/// Knows nothing: no pod that serves is ever replaced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknown;

#[async_trait]
impl HealthSource for Unknown {
    async fn look(&self, _cluster: &ClusterRef) -> Option<HealthReport> {
        None
    }
}
