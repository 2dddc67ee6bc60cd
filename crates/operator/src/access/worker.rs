//! One cluster's ACLs.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};
use tubeway_api::KafkaCluster;
use tubeway_api::condition::{self, Wanted, reasons, types};
use tubeway_config::ClusterRef;
use tubeway_policy::SpiffeId;
use tubeway_policy::acl::{AclDiff, Managed};
use tubeway_policy::rbac::RuleSet;

use super::{Context, object};
use crate::kafka_admin::{Admin, AdminError};

/// How often ACLs that someone else changed are put back.
const RESYNC: Duration = Duration::from_secs(60);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// Owns the one condition, so that whoever writes the rest of the status does
/// not take it away.
const MANAGER: &str = "tubeway-operator-access";

/// How many ACLs a round has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Rules that are in force now.
    pub in_force: usize,
    /// Created just now.
    pub created: usize,
    /// Deleted just now.
    pub deleted: usize,
}

/// Keeps one cluster's ACLs.
pub(super) struct Worker {
    context: Context,
    cluster: ClusterRef,
}

/// Makes the ACLs of a cluster those of `rules`, as far as they are `managed`.
///
/// New ones come first, so that what moves from one binding to another is never
/// missing in between.
pub async fn apply(
    admin: &Admin,
    managed: &Managed,
    rules: &RuleSet,
) -> Result<Applied, AdminError> {
    let actual = admin.describe_acls().await?;
    let diff = AclDiff::between(managed, rules.acls(), &actual);
    admin.create_acls(&diff.create).await?;
    admin.delete_acls(&diff.delete).await?;
    Ok(Applied {
        in_force: rules.len(),
        created: diff.create.len(),
        deleted: diff.delete.len(),
    })
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(context: Context, cluster: ClusterRef) -> Self {
        Self { context, cluster }
    }

    /// Applies the rules now, when they change, and every minute.
    pub(super) async fn run(self, mut rules: watch::Receiver<Arc<RuleSet>>) {
        let mut retry = FIRST_RETRY;
        loop {
            let wanted = Arc::clone(&rules.borrow_and_update());
            let again = if self.round(&wanted).await {
                retry = FIRST_RETRY;
                RESYNC
            } else {
                retry = (retry * 2).min(LAST_RETRY);
                retry
            };
            tokio::select! {
                () = sleep_until(Instant::now() + again) => {}
                changed = rules.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// True if the cluster has what it should have.
    async fn round(&self, rules: &RuleSet) -> bool {
        let object = object(&self.cluster);
        let Some(kafka_cluster) = self.context.stores.cluster(&object) else {
            return true;
        };
        if kafka_cluster.spec.pause {
            return true;
        }
        let Some(entry) = self.context.admins.get(&self.cluster) else {
            return false;
        };
        let mut managed = Managed::trust_domain(&self.context.trust_domain)
            .except(self.context.operator_principal.clone());
        if let Ok(nodes) = entry.topology.identity.parse::<SpiffeId>() {
            managed = managed.except(nodes.principal());
        }
        let result = apply(&entry.admin, &managed, rules).await;
        let cluster = &self.cluster;
        match &result {
            Ok(Applied {
                in_force,
                created,
                deleted,
            }) if created + deleted > 0 => {
                info!(%cluster, in_force, created, deleted, "access rules have changed");
            }
            Ok(_) => {}
            Err(error) => {
                warn!(%cluster, error = error.chain(), "access rules could not be applied");
            }
        }
        if let Err(error) = self.report(&kafka_cluster, &result).await {
            warn!(%cluster, %error, "the condition could not be written");
        }
        result.is_ok()
    }

    /// Writes the condition, if it says something else than before.
    async fn report(
        &self,
        cluster: &KafkaCluster,
        result: &Result<Applied, AdminError>,
    ) -> kube::Result<()> {
        let wanted = wanted(result, cluster.metadata.generation);
        let status = cluster.status.as_ref();
        let mut conditions = status.map(|s| s.conditions.clone()).unwrap_or_default();
        if !condition::set_condition(&mut conditions, wanted, Timestamp::now()) {
            return Ok(());
        }
        let ours = condition::find(&conditions, types::ACCESS_APPLIED);
        let ClusterRef { namespace, name } = &self.cluster;
        let patch = json!({
            "apiVersion": format!("{}/{}", tubeway_api::GROUP, tubeway_api::VERSION),
            "kind": "KafkaCluster",
            // Not one that was made anew under the same name meanwhile.
            "metadata": { "name": name, "uid": cluster.metadata.uid },
            "status": { "conditions": [ours] },
        });
        let api: Api<KafkaCluster> = Api::namespaced(self.context.client.clone(), namespace);
        let params = PatchParams::apply(MANAGER).force();
        api.patch_status(name, &params, &Patch::Apply(patch))
            .await?;
        Ok(())
    }
}

fn wanted(result: &Result<Applied, AdminError>, generation: Option<i64>) -> Wanted<'static> {
    let (status, reason, message) = match result {
        Ok(applied) => {
            let message = format!("{} access rules are in force", applied.in_force);
            (true, reasons::APPLIED, message)
        }
        Err(error) => (false, reasons::KAFKA_ERROR, error.chain()),
    };
    Wanted {
        type_: types::ACCESS_APPLIED,
        status: Some(status),
        reason,
        message,
        observed_generation: generation,
    }
}
