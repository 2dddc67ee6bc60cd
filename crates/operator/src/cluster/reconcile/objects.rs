//! Objects are made, changed and taken away, as the plan says.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use tubeway_planner::{NodeState, Plan};

use super::Look;
use crate::cluster::build::{NodeObjects, Objects};
use crate::cluster::pods;
use crate::error::Result;

impl Look<'_> {
    pub(super) async fn apply_shared(&self, objects: &Objects) -> Result<()> {
        let account = &objects.service_account;
        let live = self.observed.accounts.get(&account.name_any());
        self.write.apply(account, live).await?;
        let budget = &objects.budget;
        let live = self.observed.budgets.get(&budget.name_any());
        self.write.apply(budget, live).await?;
        for service in &objects.services {
            let live = self.observed.services.get(&service.name_any());
            self.write.apply(service, live).await?;
        }
        Ok(())
    }

    /// Takes what the plan takes now; gives what the API has refused to do to claims.
    pub(super) async fn take_plan(&self, objects: &Objects, plan: &Plan) -> Result<Vec<String>> {
        let mut refused = Vec::new();
        for (id, node) in &objects.nodes {
            let claim = self.observed.claims.get(&node.claim.name_any());
            if let Some(claim) = claim.filter(|claim| self.is_lost(claim, node)) {
                self.give_up(claim, self.pod(node)).await?;
                continue;
            }
            refused.extend(self.apply_claim(&node.claim, claim).await?);
            if self.apply_disks(node, &mut refused).await? {
                continue;
            }
            if plan.create.contains(id) {
                self.create_node(node, claim.is_some()).await?;
            } else if self
                .pod(node)
                .is_some_and(|p| pods::is_current(p, &node.pod))
            {
                // What a pod was made with stays as it was, come what may.
                self.apply_config(node).await?;
            }
        }
        let over = objects.nodes.values().filter_map(|node| self.pod(node));
        for pod in over.filter(|pod| pods::is_over(pod)) {
            if !pods::is_ending(pod) {
                self.write.delete(pod).await?;
            }
        }
        let next = plan.replace.iter().filter_map(|id| objects.nodes.get(id));
        let next = next.filter_map(|node| self.pod(node));
        for pod in next.filter(|pod| !pods::is_over(pod)) {
            self.write.stop(pod, pods::GRACE).await?;
            let note = format!(
                "replacing pod {}: it is not built as it should be",
                pod.name_any()
            );
            let live = &self.observed.cluster;
            self.tell(live, "NodeReplaced", "Replace", note, false)
                .await;
        }
        Ok(refused)
    }

    /// Makes a claim, or changes it; says what the API has against it. A volume that
    /// cannot grow is no reason to leave pods that are missing where they are.
    async fn apply_claim(
        &self,
        claim: &PersistentVolumeClaim,
        live: Option<&PersistentVolumeClaim>,
    ) -> Result<Option<String>> {
        match self.write.apply(claim, live).await {
            Ok(_) => Ok(None),
            Err(error) if live.is_some() && error.is_refusal() => {
                let said = error.status().map(|status| status.message.as_str());
                let name = claim.name_any();
                tracing::info!(cluster = %self.key, claim = name, error = error.full(), "claim not changed");
                Ok(Some(format!(
                    "claim {name} stays as it is, because Kubernetes refuses to change it: {}",
                    said.unwrap_or_default()
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the claims of a node's disks beside the first; whether one of them
    /// has lost its volume, so that the node waits for another.
    async fn apply_disks(&self, node: &NodeObjects, refused: &mut Vec<String>) -> Result<bool> {
        let mut lost = false;
        for disk in &node.disks {
            let claim = self.observed.claims.get(&disk.name_any());
            if let Some(claim) = claim.filter(|claim| self.is_lost(claim, node)) {
                self.give_up(claim, self.pod(node)).await?;
                lost = true;
            } else {
                refused.extend(self.apply_claim(disk, claim).await?);
            }
        }
        Ok(lost)
    }

    /// Whether there is no volume behind the claim any more. A broker that serves
    /// has its data all the same, and keeps it as long as it runs.
    fn is_lost(&self, claim: &PersistentVolumeClaim, node: &NodeObjects) -> bool {
        let phase = claim.status.as_ref().and_then(|s| s.phase.as_deref());
        phase == Some("Lost") && pods::state(self.pod(node)) != NodeState::Ready
    }

    /// Lets go of a claim whose volume is gone, and of the pod that waits for it:
    /// the node comes back on another.
    async fn give_up(&self, claim: &PersistentVolumeClaim, pod: Option<&Pod>) -> Result<()> {
        if claim.metadata.deletion_timestamp.is_none() {
            self.write.delete(claim).await?;
            let note = format!("the volume of claim {} is gone", claim.name_any());
            let live = &self.observed.cluster;
            self.tell(live, "VolumeLost", "Replace", note, true).await;
        }
        match pod.filter(|pod| !pods::is_ending(pod)) {
            Some(pod) => self.write.delete(pod).await,
            None => Ok(()),
        }
    }

    async fn create_node(&self, node: &NodeObjects, had_claim: bool) -> Result<()> {
        self.apply_config(node).await?;
        self.write.create(&node.pod).await?;
        let name = node.pod.name_any();
        let (reason, news) = if had_claim {
            (
                "NodeRecreated",
                format!("made pod {name} again on its volume"),
            )
        } else {
            ("NodeCreated", format!("made pod {name}"))
        };
        let live = &self.observed.cluster;
        self.tell(live, reason, "Create", news, false).await;
        Ok(())
    }

    async fn apply_config(&self, node: &NodeObjects) -> Result<bool> {
        let live = self.observed.config_maps.get(&node.config.name_any());
        self.write.apply(&node.config, live).await
    }
}
