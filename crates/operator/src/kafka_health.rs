//! How a cluster is, as its brokers say.

use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::jiff::Timestamp;
use tubeway_api::QuorumStatus;
use tubeway_config::ClusterRef;
use tubeway_planner::{Health, Partition, Quorum};

use crate::health::{HealthReport, HealthSource};
use crate::kafka_admin::{Admin, AdminDirectory, AdminError, ConfigResource};

/// How long all questions may take together.
const ANSWER: Duration = Duration::from_secs(5);
/// A voter that has not had everything for so long is not caught up. Kafka's
/// own measure is `controller.quorum.fetch.timeout.ms`, 2 s by default.
const CAUGHT_UP: Duration = Duration::from_secs(2);
const MIN_IN_SYNC: &str = "min.insync.replicas";

#[async_trait]
impl HealthSource for AdminDirectory {
    async fn look(&self, cluster: &ClusterRef) -> Option<HealthReport> {
        let entry = self.get(cluster)?;
        match tokio::time::timeout(ANSWER, report(&entry.admin)).await {
            Ok(Ok(report)) => Some(report),
            Ok(Err(error)) => {
                tracing::info!(%cluster, error = error.chain(), "cluster does not say how it is");
                None
            }
            Err(_) => {
                tracing::info!(%cluster, "cluster does not say in time how it is");
                None
            }
        }
    }
}

async fn report(admin: &Admin) -> Result<HealthReport, AdminError> {
    let quorum = admin.describe_quorum().await?;
    let now = Timestamp::now().as_millisecond();
    let node = |id: i32| u32::try_from(id).ok();
    let voters: Vec<u32> = quorum.voters.iter().filter_map(|v| node(v.id)).collect();
    let caught_up = quorum.voters.iter().filter(|voter| {
        voter.id == quorum.leader
            || voter
                .last_caught_up_ms
                .is_some_and(|at| now - at < CAUGHT_UP.as_millis() as i64)
    });
    let health = Health {
        partitions: partitions(admin).await?,
        quorum: Quorum {
            leader: node(quorum.leader),
            voters: voters.iter().copied().collect(),
            caught_up: caught_up.filter_map(|v| node(v.id)).collect(),
        },
    };
    Ok(HealthReport {
        health,
        quorum: QuorumStatus {
            leader: node(quorum.leader).unwrap_or_default(),
            epoch: u32::try_from(quorum.leader_epoch).unwrap_or_default(),
            voters,
        },
    })
}

async fn partitions(admin: &Admin) -> Result<Vec<Partition>, AdminError> {
    let topics = admin.describe_topics(None).await?;
    let resources: Vec<_> = topics.keys().cloned().map(ConfigResource::Topic).collect();
    let configs = admin.describe_configs(&resources, None).await?;
    let mut partitions = Vec::new();
    for (name, topic) in topics {
        let Ok(topic) = topic else { continue };
        let min_in_sync = configs
            .get(&ConfigResource::Topic(name.clone()))
            .and_then(|entries| entries.as_ref().ok()?.get(MIN_IN_SYNC)?.value.as_ref()?.parse().ok())
            // A topic that came in between: the strictest reading.
            .unwrap_or(usize::MAX);
        for partition in &topic.partitions {
            let nodes = |ids: &[i32]| ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
            partitions.push(Partition {
                name: format!("{name}-{}", partition.index),
                replicas: nodes(&partition.replicas),
                in_sync: nodes(&partition.in_sync),
                min_in_sync,
            });
        }
    }
    Ok(partitions)
}
