//! Nodes begin, join and leave: what the plan says, step by step.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use tubeway_api::labels;
use tubeway_planner::{Node, NodeState};

use super::Look;
use crate::cluster::dereference::node_id;
use crate::cluster::founding::Founding;
use crate::cluster::membership::{Change, Situation};
use crate::cluster::standing::Standing;
use crate::cluster::status::MembersProgress;
use crate::cluster::{names, pods};
use crate::error::Result;
use crate::kafka::Order;

impl Look<'_> {
    /// Nodes whose empty volumes begin the quorum.
    pub(super) fn founders(&self, founding: &Founding, founded: bool) -> BTreeSet<u32> {
        let controllers = founding.initial_controllers.iter().map(|c| c.id);
        let new = |id: &u32| self.observed.standing(*id) == Standing::New;
        controllers.filter(|id| !founded && new(id)).collect()
    }

    /// Writes down which nodes have begun, and that all founders have.
    pub(super) async fn begin(
        &self,
        founding: &Founding,
        nodes: &[Node],
        answers: bool,
    ) -> Result<()> {
        let mut begun = BTreeSet::new();
        for node in nodes {
            if self.observed.standing(node.id) != Standing::New {
                begun.insert(node.id);
            } else if node.state == NodeState::Ready {
                self.stand(node.id, Standing::Member).await?;
                begun.insert(node.id);
            }
        }
        let mut founders = founding.initial_controllers.iter();
        if answers && founders.all(|controller| begun.contains(&controller.id)) {
            let name = names::quorum_config_map(&self.key.name);
            if let Some(config_map) = self.observed.config_maps.get(&name) {
                let write = &self.write;
                write
                    .annotate(config_map, labels::FOUNDED, Some("true"))
                    .await?;
            }
        }
        Ok(())
    }

    /// Takes the next step for nodes that join or leave.
    pub(super) async fn change_members(&self, situation: Situation<'_>) -> Result<MembersProgress> {
        self.sweep(&situation).await?;
        if situation.is_settled() {
            return Ok(MembersProgress::default());
        }
        let survey = if situation.report.is_some() {
            let brokers = situation.brokers();
            self.ctx.kafka.survey(&self.key, &brokers).await
        } else {
            None
        };
        let change = situation.change(survey.as_ref());
        for (id, standing) in &change.standings {
            self.stand(*id, *standing).await?;
        }
        let mut progress = MembersProgress::of(&change);
        for order in orders(&change) {
            if let Err(problem) = self.tell_kafka(&order).await {
                progress.waits.push(problem);
                // What follows may build on it: the next look begins anew.
                return Ok(progress);
            }
        }
        for id in &change.plan.remove {
            self.remove(*id).await?;
        }
        for id in &change.joined {
            self.stand(*id, Standing::Member).await?;
        }
        for (topic, (done, refused)) in change.topics {
            let Some(wanted) = situation.replication.get(&topic) else {
                continue;
            };
            let replication = &self.ctx.replication;
            replication.answer(&self.key, (&topic, *wanted), done, refused);
        }
        Ok(progress)
    }

    /// Tells Kafka; what it says against it comes back as a sentence.
    pub(super) async fn tell_kafka(&self, order: &Order) -> Result<(), String> {
        self.ctx
            .kafka
            .tell(&self.key, order)
            .await
            .map_err(|error| {
                tracing::info!(cluster = %self.key, %order, %error, "kafka not told");
                format!("Kafka was told to {order}: {error}")
            })
    }

    /// Writes a node's standing on its claim.
    async fn stand(&self, id: u32, standing: Standing) -> Result<()> {
        let Some(claim) = self.observed.claim_of(id) else {
            return Ok(());
        };
        let write = &self.write;
        write
            .annotate(claim, labels::STANDING, standing.value())
            .await
    }

    /// Takes a node's pod away for good.
    async fn remove(&self, id: u32) -> Result<()> {
        let Some(pod) = self.observed.pod_of(id) else {
            return Ok(());
        };
        if pods::is_ending(pod) {
            return Ok(());
        }
        self.write.stop(pod, pods::GRACE).await?;
        let note = format!("removed pod {}: the node has left", pod.name_any());
        let live = &self.observed.cluster;
        self.tell(live, "NodeRemoved", "Remove", note, false).await;
        Ok(())
    }

    /// Takes away what nodes that have left leave behind: their configuration,
    /// and their volumes where the pool says so, the broker said itself that
    /// nothing was on it, and Kafka says that it knows the broker no more. Until
    /// then a partition could have been given to it.
    async fn sweep(&self, situation: &Situation<'_>) -> Result<()> {
        let listed: BTreeSet<u32> = self
            .observed
            .pools
            .iter()
            .flat_map(|pool| pool.status.iter().flat_map(|s| s.node_ids.iter().copied()))
            .chain(situation.nodes.iter().map(|node| node.id))
            .collect();
        let is_gone = |id: u32| !listed.contains(&id) && self.observed.pod_of(id).is_none();
        for config_map in self.observed.config_maps.values() {
            if node_id(config_map).is_some_and(is_gone) {
                self.write.delete(config_map).await?;
            }
        }
        for claim in self.observed.claims.values() {
            // Those of further disks come before that of the first, which says
            // how it is about all: by their names.
            let empty = node_id(claim)
                .is_some_and(|id| self.observed.standing(id) == Standing::Left { empty: true });
            let kept = claim.annotations().get(labels::DISK_STANDING);
            let kept = kept.is_some_and(|standing| standing == labels::DISK_LEFT);
            let is_gone = |id| is_gone(id) && situation.is_unregistered(id);
            if empty && !kept && node_id(claim).is_some_and(is_gone) && self.goes_when_empty(claim)
            {
                self.write.delete(claim).await?;
            }
        }
        Ok(())
    }

    fn goes_when_empty(&self, claim: &PersistentVolumeClaim) -> bool {
        let pool = claim.labels().get(labels::POOL);
        let mut pools = self.observed.pools.iter();
        let pool = pools.find(|p| pool.is_some_and(|name| *name == p.name_any()));
        pool.is_some_and(|pool| pool.spec.storage.delete_claim)
            && claim.metadata.deletion_timestamp.is_none()
    }
}

/// What Kafka is told, in this order.
fn orders(change: &Change) -> Vec<Order> {
    let plan = &change.plan;
    let cordon = |broker: &u32, cordoned| Order::Cordon {
        broker: *broker,
        cordoned,
    };
    let mut orders: Vec<Order> = plan.uncordon.iter().map(|id| cordon(id, false)).collect();
    orders.extend(plan.cordon.iter().map(|id| cordon(id, true)));
    let throttle = &change.throttle;
    let to_set = !change.moves.start.is_empty() && !throttle.set.brokers.is_empty();
    let to_clear = !throttle.clear.brokers.is_empty() || !throttle.clear.topics.is_empty();
    if to_set || to_clear {
        orders.push(Order::Throttle(throttle.clone()));
    }
    if !change.moves.start.is_empty() {
        orders.push(Order::Reassign(change.moves.start.clone()));
    }
    orders.extend(plan.change.map(Order::Vote));
    orders.extend(plan.unregister.iter().copied().map(Order::Unregister));
    orders
}
