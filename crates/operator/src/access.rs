//! Access: Kubernetes RBAC and KafkaAcl objects, and Kafka's ACLs that follow them.
//!
//! ```text
//! reflectors ──changed──▶ compile (pure) ─┬─all rules──▶ stream to the sidecars
//!                                         ├─native ACLs▶ one worker a cluster:
//!                                         │              DescribeAcls, compare,
//!                                         │              create, delete, condition
//!                                         └─findings───▶ status of each KafkaAcl
//! ```
//! A change is in force within a debounce of 100 ms and two requests to Kafka;
//! ACLs that someone else changed are put back every minute. A cluster that
//! does not answer keeps nobody else waiting. `spec.pause` of a KafkaCluster
//! stops changes of the brokers' ACLs and of the condition `AccessApplied`; the
//! sidecars get every change all the same, since a pause that kept a revoked
//! right in force would be a trap.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{info, warn};
use tubeway_api::KafkaAcl;
use tubeway_config::{Access, ClusterRef};
use tubeway_policy::rbac::{Finding, ObjectRef, RuleSet};
use tubeway_policy::rules::AccessRules;
use tubeway_policy::{kafka_acl, rbac};

use crate::cluster::names;
use crate::statuses::{Statuses, Verdicts};
use crate::zones::ZoneSource;

mod acls;
mod claimants;
mod inputs;
mod ledger;
mod stores;
mod worker;

pub(crate) use inputs::rbac_topic;
pub use inputs::{key, object};
pub use ledger::{Ledger, Ownership, Plan, TooMany};
pub use stores::{Stores, StoresGone};
pub use worker::apply;
use worker::{Rules, Worker};

/// Name of this controller in metrics.
pub const CONTROLLER: &str = "access";
/// Owns what this controller writes, so that whoever writes the rest of a
/// status does not take it away.
const MANAGER: &str = "tubeway-operator-access";
/// Changes come in bursts: an `apply` of a folder, a namespace with its accounts.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What the access controller needs.
#[derive(Clone)]
pub struct Context {
    /// What every controller has.
    pub ctx: crate::Context,
    /// RBAC and Kafka's objects.
    pub stores: Stores,
    /// Where callers are, for rules that ask for it.
    pub zones: ZoneSource,
    /// The operator's own principal, `User:spiffe://…`: a super user whose ACLs,
    /// if it has any, are not touched.
    pub operator_principal: String,
}

/// Everything that the objects come to.
struct Compiled {
    clusters: BTreeMap<ObjectRef, AccessRules>,
    /// Of RBAC; those of KafkaAcls are in their statuses.
    findings: Vec<Finding>,
    verdicts: Verdicts<KafkaAcl>,
}

/// The workers that run, one a cluster that can be reached.
#[derive(Default)]
struct Workers {
    running: BTreeMap<ClusterRef, (watch::Sender<Arc<Rules>>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// Keeps the access of every cluster as RBAC and KafkaAcls say, until dropped.
///
/// Does nothing before every store has been listed once: half of the bindings
/// would delete the ACLs of the other half.
///
/// # Errors
/// If the stores' watches have ended.
pub async fn controller(context: Context) -> Result<(), StoresGone> {
    context.stores.ready().await?;
    let statuses = Statuses::new(context.ctx.clone(), CONTROLLER, MANAGER);
    let (verdicts, newest) = watch::channel(Verdicts::<KafkaAcl>::default());
    let mut writing = JoinSet::new();
    writing.spawn(statuses.keep(newest));
    let mut changes = context.stores.changes();
    let mut clusters = context.ctx.admins.subscribe();
    let mut workers = Workers::default();
    let mut findings = Vec::new();
    loop {
        let started = Instant::now();
        changes.mark_unchanged();
        clusters.mark_unchanged();
        let compiled = context.compile();
        if compiled.findings != findings {
            for finding in &compiled.findings {
                info!(finding = %finding, "a binding has no effect in kafka");
            }
            findings.clone_from(&compiled.findings);
        }
        if compiled.zoned().next().is_some() {
            context.zones.patiently().await;
        }
        context.publish(&compiled);
        verdicts.send_replace(Arc::clone(&compiled.verdicts));
        workers.publish(&context, compiled.clusters);
        let metrics = &context.ctx.metrics;
        metrics.reconciled(CONTROLLER, started.elapsed(), false);
        tokio::select! {
            rbac = changes.changed() => rbac.map_err(|_| StoresGone)?,
            reached = clusters.changed() => reached.map_err(|_| StoresGone)?,
            Some(ended) = workers.tasks.join_next() => workers.ended(&ended),
        }
        sleep(DEBOUNCE).await;
    }
}

// === impl Compiled ===

impl Compiled {
    /// The clusters of which a rule names a zone.
    fn zoned(&self) -> impl Iterator<Item = &ObjectRef> {
        let zoned = self.clusters.iter().filter(|(_, rules)| rules.name_zones());
        zoned.map(|(cluster, _)| cluster)
    }
}

// === impl Context ===

impl Context {
    fn compile(&self) -> Compiled {
        let trust_domain = &self.ctx.config.trust_domain;
        let inputs = self.stores.inputs(trust_domain);
        let rbac = rbac::compile(&inputs);
        let objects = self.stores.acls();
        let acls: Vec<_> = objects.iter().map(|acl| acls::kafka_acl(acl)).collect();
        let mut acls = kafka_acl::compile(trust_domain, &acls, &inputs.topics, &inputs.clusters);
        let verdicts = acls::verdicts(&objects, &acls);
        let merged = |(cluster, rules): (ObjectRef, RuleSet)| {
            let others = acls.clusters.remove(&cluster).unwrap_or_default();
            let rules = self.merge(&cluster, &rules, others)?;
            Some((cluster, rules))
        };
        Compiled {
            clusters: rbac.clusters.into_iter().filter_map(merged).collect(),
            findings: rbac.findings,
            verdicts,
        }
    }

    /// None for a cluster whose nodes cannot have a name.
    fn merge(
        &self,
        cluster: &ObjectRef,
        rbac: &RuleSet,
        others: Vec<tubeway_policy::rules::Rule>,
    ) -> Option<AccessRules> {
        let nodes = names::node_id(&self.ctx.config.trust_domain, &reference(cluster)).ok()?;
        let super_users = [nodes.principal(), self.operator_principal.clone()];
        Some(AccessRules::merge(super_users.into(), rbac, others))
    }

    /// Gives the rules to the sidecars, whether or not brokers answer already:
    /// without rules a sidecar lets nobody in, the operator included.
    fn publish(&self, compiled: &Compiled) {
        let zoned: Vec<_> = compiled.zoned().map(reference).collect();
        // Rules that come without zones would deny for a moment what they do not.
        self.zones.publish(&zoned);
        for (cluster, access) in &compiled.clusters {
            let cluster = reference(cluster);
            let rules = access.rules.len();
            let document = Access {
                cluster: cluster.clone(),
                access: access.clone(),
            };
            if self.ctx.access.publish(document) {
                info!(%cluster, rules, "access rules are sent to the sidecars");
            }
        }
    }
}

fn reference(cluster: &ObjectRef) -> ClusterRef {
    ClusterRef {
        namespace: cluster.namespace.clone(),
        name: cluster.name.clone(),
    }
}

// === impl Workers ===

impl Workers {
    /// Gives every worker its cluster's rules, starts those that are missing and
    /// ends those whose cluster is gone.
    fn publish(&mut self, context: &Context, mut compiled: BTreeMap<ObjectRef, AccessRules>) {
        let reachable = context.ctx.admins.subscribe().borrow().clone();
        self.running.retain(|cluster, (_, task)| {
            let stays = reachable.contains_key(cluster) && compiled.contains_key(&object(cluster));
            if !stays {
                task.abort();
            }
            stays
        });
        for cluster in reachable.into_keys() {
            // Without the KafkaCluster there is nothing that says whom it admits,
            // and its ACLs stay as they are until it is gone as well.
            let Some(rules) = compiled.remove(&object(&cluster)) else {
                continue;
            };
            let rules = Rules {
                native: rules.native(),
                count: rules.rules.len(),
            };
            match self.running.get(&cluster) {
                Some((sender, _)) => {
                    sender.send_if_modified(|current| {
                        let changed = **current != rules;
                        if changed {
                            *current = Arc::new(rules);
                        }
                        changed
                    });
                }
                None => self.start(context, cluster, rules),
            }
        }
    }

    fn start(&mut self, context: &Context, cluster: ClusterRef, rules: Rules) {
        let (sender, receiver) = watch::channel(Arc::new(rules));
        let worker = Worker::new(context.clone(), cluster.clone());
        let task = self.tasks.spawn(worker.run(receiver));
        self.running.insert(cluster, (sender, task));
    }

    /// A worker ends by itself only by a panic; the next round starts another.
    fn ended(&mut self, ended: &Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            warn!(%error, "an access worker has failed and is started again");
        }
        self.running.retain(|_, (_, task)| !task.is_finished());
    }
}

#[cfg(test)]
mod tests;
