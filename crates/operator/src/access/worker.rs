//! One cluster's ACLs, and the condition that says whether they are in force.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};
use tubeway_api::KafkaCluster;
use tubeway_api::condition::{reasons, types};
use tubeway_config::ClusterRef;
use tubeway_policy::SpiffeId;
use tubeway_policy::acl::AclBinding;

use super::ledger::{Ledger, Ownership, Plan, TooMany};
use super::{CONTROLLER, Context, MANAGER, object};
use crate::apply::Writer;
use crate::error::Error;
use crate::kafka_admin::{Admin, AdminError, Entry};
use crate::statuses::{Statuses, Verdict, waiting};

/// Name of the workers in metrics.
const WORKER: &str = "acls";
/// How often ACLs that someone else changed are put back.
const RESYNC: Duration = Duration::from_mins(1);
/// How often it is looked at again after a change, and for how long: a broker
/// tells of an ACL a moment after the controller has made it, and one that was
/// granted and taken back within that moment must not stay.
const SETTLING: Duration = Duration::from_secs(1);
const SETTLED: Duration = Duration::from_secs(5);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How long sidecars may take to answer before the condition says that they
/// have not: mostly they have by then, and nothing has to be said twice.
const GRACE: Duration = Duration::from_secs(1);

/// The rules of one cluster, as far as its worker needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// What the brokers are told.
    pub(super) native: BTreeSet<AclBinding>,
    /// How many rules the sidecars have.
    pub(super) count: usize,
}

/// Why a cluster's ACLs are not as they should be.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("{}", .0.chain())]
    Kafka(#[from] AdminError),
    #[error("{}", .0.full())]
    Kubernetes(#[from] Error),
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// What became of one look at the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// Something had to be done, and was.
    Changed,
    /// Nothing had to be done, or nothing may be.
    Same,
    /// Kafka could not be asked, or refused.
    Failed,
}

/// Keeps one cluster's ACLs.
pub(super) struct Worker {
    context: Context,
    cluster: ClusterRef,
    statuses: Statuses,
    /// When every broker tells of what was changed last. What was changed
    /// before this worker began is not known.
    settled: Instant,
    /// What the brokers' part of the condition says, and since when.
    brokers: Option<(Verdict, Instant)>,
}

/// Makes what is planned, once it is written down.
///
/// New ones come first, so that what moves from one rule to another is never
/// missing in between.
pub async fn apply(admin: &Admin, plan: &Plan) -> Result<(), AdminError> {
    admin.create_acls(&plan.create).await?;
    admin.delete_acls(&plan.delete).await
}

// === impl Worker ===

impl Worker {
    pub(super) fn new(context: Context, cluster: ClusterRef) -> Self {
        Self {
            statuses: Statuses::new(context.ctx.clone(), CONTROLLER, MANAGER),
            context,
            cluster,
            settled: Instant::now() + SETTLED,
            brokers: None,
        }
    }

    /// Applies the rules now, when they change, and every minute.
    pub(super) async fn run(mut self, mut rules: watch::Receiver<Arc<Rules>>) {
        let mut news = self.context.ctx.access.news();
        let mut retry = FIRST_RETRY;
        loop {
            let wanted = Arc::clone(&rules.borrow_and_update());
            news.mark_unchanged();
            let started = Instant::now();
            let round = self.round(&wanted).await;
            let now = Instant::now();
            let metrics = &self.context.ctx.metrics;
            metrics.reconciled(WORKER, now - started, round == Round::Failed);
            if round == Round::Changed {
                self.settled = now + SETTLED;
            }
            let again = match round {
                Round::Failed => retry,
                _ if now < self.settled => SETTLING,
                _ => RESYNC,
            };
            retry = match round {
                Round::Failed => (retry * 2).min(LAST_RETRY),
                Round::Changed | Round::Same => FIRST_RETRY,
            };
            let again = now + again;
            loop {
                let grace = self.brokers.as_ref().map(|(_, since)| *since + GRACE);
                let grace = grace.filter(|end| *end > Instant::now()).unwrap_or(again);
                tokio::select! {
                    () = sleep_until(again) => break,
                    () = sleep_until(grace) => {}
                    changed = rules.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    heard = news.changed() => if heard.is_err() {
                        return;
                    },
                }
                self.report().await;
            }
        }
    }

    /// Compares and applies once.
    pub(super) async fn round(&mut self, rules: &Rules) -> Round {
        let Some(kafka_cluster) = self.kafka_cluster() else {
            return Round::Same;
        };
        if kafka_cluster.spec.pause {
            self.brokers = None;
            return Round::Same;
        }
        let Some(entry) = self.context.ctx.admins.get(&self.cluster) else {
            return Round::Failed;
        };
        let result = self.compare(&entry, rules).await;
        let cluster = &self.cluster;
        let round = match &result {
            Ok(plan) if plan.create.is_empty() && plan.delete.is_empty() => Round::Same,
            Ok(plan) => {
                let (created, deleted) = (plan.create.len(), plan.delete.len());
                info!(%cluster, rules = rules.count, created, deleted, "access rules have changed");
                Round::Changed
            }
            Err(error) => {
                warn!(%cluster, %error, "access rules could not be applied");
                Round::Failed
            }
        };
        let verdict = verdict(&result, rules.count);
        let since = match self.brokers.take() {
            Some((before, since)) if round == Round::Same && before == verdict => since,
            _ => Instant::now(),
        };
        self.brokers = Some((verdict, since));
        self.report().await;
        round
    }

    async fn compare(&self, entry: &Entry, rules: &Rules) -> Result<Plan, RoundError> {
        let ctx = &self.context.ctx;
        let nodes = entry.topology.identity.parse::<SpiffeId>().ok();
        let apart = nodes.map(|nodes| nodes.principal());
        let apart = apart
            .into_iter()
            .chain([self.context.operator_principal.clone()]);
        let ownership = Ownership::new(&ctx.config.trust_domain, apart);
        let ledger = Ledger::read(&ctx.client, &self.cluster).await?;
        let actual = entry.admin.describe_acls().await?;
        let settled = Instant::now() >= self.settled;
        let plan = ownership.plan(&rules.native, &actual, &ledger, settled)?;
        if let Some(ledger) = &plan.ledger {
            let writer = Writer::new(ctx.client.clone(), &ctx.metrics, CONTROLLER);
            ledger
                .write(&writer.managed_by(MANAGER), &self.cluster)
                .await?;
        }
        apply(&entry.admin, &plan).await?;
        Ok(plan)
    }

    /// Writes the condition, if it says something else than before.
    pub(super) async fn report(&mut self) {
        let Some((verdict, since)) = &self.brokers else {
            return;
        };
        let mut verdict = verdict.clone();
        let behind = self.context.ctx.access.behind(&self.cluster);
        if verdict.ready && !behind.is_empty() {
            if since.elapsed() < GRACE {
                return;
            }
            verdict.ready = false;
            verdict.reason = reasons::WAITING_FOR_NODES;
            verdict.message = format!("{} at the brokers; {}", verdict.message, waiting(&behind));
        }
        let Some(kafka_cluster) = self.kafka_cluster() else {
            return;
        };
        if let Err(error) = self.statuses.write(&*kafka_cluster, &verdict).await {
            let cluster = &self.cluster;
            warn!(%cluster, error = error.full(), "the condition could not be written");
        }
    }

    /// As after a round that went well.
    #[cfg(test)]
    pub(super) fn applied_for_test(&mut self, count: usize) {
        let verdict = verdict(&Ok(Plan::default()), count);
        self.brokers = Some((verdict, Instant::now()));
    }

    fn kafka_cluster(&self) -> Option<Arc<KafkaCluster>> {
        self.context.stores.cluster(&object(&self.cluster))
    }
}

/// What the condition says of the brokers.
fn verdict(result: &Result<Plan, RoundError>, count: usize) -> Verdict {
    let (ready, reason, message) = match result {
        Ok(_) => (
            true,
            reasons::APPLIED,
            format!("{count} access rules are in force"),
        ),
        Err(error) => {
            let reason = match error {
                RoundError::Kafka(_) => reasons::KAFKA_ERROR,
                RoundError::Kubernetes(_) => reasons::KUBERNETES_ERROR,
                RoundError::TooMany(_) => reasons::INVALID_SPEC,
            };
            (false, reason, error.to_string())
        }
    };
    Verdict {
        type_: types::ACCESS_APPLIED,
        ready,
        reason,
        message,
        fields: Vec::new(),
    }
}
