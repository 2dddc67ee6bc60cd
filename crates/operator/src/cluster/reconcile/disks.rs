//! Disks come and go: what the plan says, step by step.

use std::collections::{BTreeMap, BTreeSet};

use tubeway_planner::{BrokerDisks, DiskChange, NodeState};

use super::Look;
use crate::cluster::validate::ValidatedCluster;
use crate::cluster::{disks, pods};
use crate::error::Result;
use crate::kafka::Order;

/// What was done about disks.
#[derive(Debug, Default)]
pub(super) struct Disks {
    /// Disks beside the first that each node's pod is to have.
    pub(super) built: disks::Built,
    /// What is waited for.
    pub(super) waits: Vec<String>,
}

impl Look<'_> {
    /// Takes the next step for disks that come or go. Before pods are looked at:
    /// none may be made without a disk that has something on it.
    pub(super) async fn change_disks(&self, cluster: &ValidatedCluster) -> Result<Disks> {
        let brokers = disks::seen(cluster, &self.observed, None);
        if brokers.iter().all(BrokerDisks::is_settled) {
            return Ok(Disks {
                built: disks::built(cluster, &self.observed, &BTreeMap::new()),
                waits: Vec::new(),
            });
        }
        let unsettled = brokers.iter().filter(|broker| !broker.is_settled());
        let asked: BTreeSet<u32> = unsettled
            .map(|broker| broker.id)
            .filter(|id| pods::state(self.observed.pod_of(*id)) == NodeState::Ready)
            .collect();
        let survey = if asked.is_empty() {
            None
        } else {
            self.ctx.kafka.survey(&self.key, &asked).await
        };
        let mut standings = BTreeMap::new();
        let mut waits = Vec::new();
        for broker in disks::seen(cluster, &self.observed, survey.as_ref()) {
            if broker.is_settled() {
                continue;
            }
            let mut change = broker.change(cluster.reassignment.limits);
            if !deletes(cluster, broker.id) {
                change.release.clear();
            }
            self.take_disks(broker.id, &change, &mut waits).await?;
            standings.insert(broker.id, change.standings);
        }
        Ok(Disks {
            built: disks::built(cluster, &self.observed, &standings),
            waits,
        })
    }

    async fn take_disks(
        &self,
        broker: u32,
        change: &DiskChange,
        waits: &mut Vec<String>,
    ) -> Result<()> {
        let claims = self.observed.disk_claims_of(broker);
        let standings = change.standings.iter();
        for (number, standing) in standings.filter(|(n, _)| !change.release.contains(n)) {
            if let Some(claim) = claims.get(number) {
                let value = disks::value(*standing);
                let write = &self.write;
                write
                    .annotate(*claim, tubeway_api::labels::DISK_STANDING, value)
                    .await?;
            }
        }
        waits.extend(change.waits.iter().map(ToString::to_string));
        for order in orders(broker, change) {
            if let Err(problem) = self.tell_kafka(&order).await {
                waits.push(problem);
                return Ok(());
            }
        }
        for number in &change.release {
            if let Some(claim) = claims.get(number)
                && claim.metadata.deletion_timestamp.is_none()
            {
                self.write.delete(*claim).await?;
            }
        }
        Ok(())
    }
}

/// Whether claims of this node go with their disks.
fn deletes(cluster: &ValidatedCluster, node: u32) -> bool {
    let nodes = cluster.nodes();
    nodes.get(&node).is_some_and(|pool| pool.delete_claim)
}

fn orders(broker: u32, change: &DiskChange) -> Vec<Order> {
    let cordon = change
        .cordon
        .clone()
        .map(|dirs| Order::CordonDisks { broker, dirs });
    let moves = (!change.moves.is_empty()).then(|| Order::MoveBetweenDisks {
        broker,
        moves: change.moves.clone(),
    });
    cordon.into_iter().chain(moves).collect()
}
