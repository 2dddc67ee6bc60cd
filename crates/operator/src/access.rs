//! Access: Kubernetes RBAC, and Kafka's ACLs that follow it.
//!
//! ```text
//! reflectors ──changed──▶ compile (pure) ──rules of a cluster──▶ one worker a cluster
//!                                                                 DescribeAcls, compare,
//!                                                                 create, delete, condition
//! ```
//! A change in RBAC is in force within a debounce of 100 ms and two requests to
//! Kafka; ACLs that someone else changed are put back every minute. A cluster
//! that does not answer keeps nobody else waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;
use tracing::{info, warn};
use tubeway_config::{Access, ClusterRef};
use tubeway_policy::rbac::{Compiled, RuleSet, compile};

use crate::cluster::names;
use crate::kafka_admin::AdminDirectory;
use crate::stream::AccessDocuments;

mod inputs;
mod stores;
mod worker;

pub use inputs::object;
pub(crate) use inputs::rbac_topic;
pub use stores::{Stores, StoresGone};
use worker::Worker;
pub use worker::{Applied, apply};

/// Changes come in bursts: an `apply` of a folder, a namespace with its accounts.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What the access controller needs.
#[derive(Clone)]
pub struct Context {
    /// Writes conditions of KafkaClusters.
    pub client: Client,
    /// RBAC and Kafka's objects.
    pub stores: Stores,
    /// The clusters.
    pub admins: AdminDirectory,
    /// Trust domain of all service accounts.
    pub trust_domain: String,
    /// The operator's own principal, `User:spiffe://…`: a super user whose ACLs,
    /// if it has any, are not touched.
    pub operator_principal: String,
    /// Where the nodes' sidecars get the rules from.
    pub documents: AccessDocuments,
}

/// The workers that run, one a cluster that can be reached.
#[derive(Default)]
struct Workers {
    running: BTreeMap<ClusterRef, (watch::Sender<Arc<RuleSet>>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// Keeps the ACLs of every cluster as RBAC says, until dropped.
///
/// Does nothing before every store has been listed once: half of the bindings
/// would delete the ACLs of the other half.
///
/// # Errors
/// If the stores' watches have ended.
pub async fn controller(context: Context) -> Result<(), StoresGone> {
    context.stores.ready().await?;
    let mut changes = context.stores.changes();
    let mut clusters = context.admins.subscribe();
    let mut workers = Workers::default();
    let mut findings = Vec::new();
    loop {
        changes.mark_unchanged();
        clusters.mark_unchanged();
        let compiled = compile(&context.stores.inputs(&context.trust_domain));
        if compiled.findings != findings {
            for finding in &compiled.findings {
                info!(finding = %finding, "a binding has no effect in kafka");
            }
            findings.clone_from(&compiled.findings);
        }
        context.publish(&compiled);
        workers.publish(&context, compiled);
        tokio::select! {
            rbac = changes.changed() => rbac.map_err(|_| StoresGone)?,
            reached = clusters.changed() => reached.map_err(|_| StoresGone)?,
            Some(ended) = workers.tasks.join_next() => workers.ended(&ended),
        }
        sleep(DEBOUNCE).await;
    }
}

// === impl Context ===

impl Context {
    /// Gives the rules to the sidecars, whether or not brokers answer already:
    /// without rules a sidecar lets nobody in, the operator included.
    fn publish(&self, compiled: &Compiled) {
        for (cluster, rules) in &compiled.clusters {
            let cluster = ClusterRef {
                namespace: cluster.namespace.clone(),
                name: cluster.name.clone(),
            };
            let Ok(nodes) = names::node_id(&self.trust_domain, &cluster) else {
                continue;
            };
            let super_users = [nodes.principal(), self.operator_principal.clone()];
            let document = Access {
                cluster: cluster.clone(),
                access: rules.for_sidecars(super_users),
            };
            if self.documents.publish(document) {
                info!(%cluster, rules = rules.len(), "access rules are sent to the sidecars");
            }
        }
    }
}

// === impl Workers ===

impl Workers {
    /// Gives every worker its cluster's rules, starts those that are missing and
    /// ends those whose cluster is gone.
    fn publish(&mut self, context: &Context, mut compiled: Compiled) {
        let reachable = context.admins.subscribe().borrow().clone();
        self.running.retain(|cluster, (_, task)| {
            let stays =
                reachable.contains_key(cluster) && compiled.clusters.contains_key(&object(cluster));
            if !stays {
                task.abort();
            }
            stays
        });
        for cluster in reachable.into_keys() {
            // Without the KafkaCluster there is nothing that says whom it admits,
            // and its ACLs stay as they are until it is gone as well.
            let Some(rules) = compiled.clusters.remove(&object(&cluster)) else {
                continue;
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

    fn start(&mut self, context: &Context, cluster: ClusterRef, rules: RuleSet) {
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
