//! One look at a cluster: the four steps in a row.
//!
//! Every step is derived from what is there. A crash between any two writes is
//! followed by another look, which finds what was written and goes on.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt};
use tubeway_api::condition::reasons;
use tubeway_api::{KafkaCluster, MeshProvider, NodeRole, labels};
use tubeway_config::ClusterRef;
use tubeway_planner::{Limits, Node, NodeState, Plan, Wait, plan};

use super::build::{self, Inputs, NodeObjects, Objects, QUORUM_KEY};
use super::dereference::Observed;
use super::disks::misfits;
use super::dynamic;
use super::farewell;
use super::features;
use super::founding::Founding;
use super::membership::Situation;
use super::status::{self, Findings, MembersProgress};
use super::topology::topology;
use super::validate::ValidatedCluster;
use super::{names, pods};
use crate::apply::Writer;
use crate::context::{Context, Happening};
use crate::error::{Error, Result};
use crate::kafka::{Depth, Order, Report};
use crate::{istio, roots};

mod disks;
mod members;
mod objects;

/// Name of this controller in metrics.
pub const CONTROLLER: &str = "cluster";

/// How long after a pod became ready its partitions are looked at: by then its
/// replicas are mostly in sync, and its leaders can come back.
const SETTLES: SignedDuration = SignedDuration::from_mins(5);

/// When to look again, if nothing happens before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Nothing is left to do.
    Late,
    /// Something is waited for that does not announce itself.
    Soon,
    /// A roll goes on as soon as Kafka is ready for it, which does not announce
    /// itself.
    Shortly,
    /// The cluster is gone.
    Never,
}

/// What a look has come to.
struct Outcome<'a> {
    cluster: &'a ValidatedCluster,
    founding: &'a Founding,
    nodes: &'a [Node],
    plan: &'a Plan,
    members: &'a MembersProgress,
    disks: &'a [String],
    /// What the API has refused to do to claims: nothing to look again for soon.
    refused: &'a [String],
    told: Option<&'a Told>,
    report: Option<Report>,
}

/// What became of the options and features that Kafka was to have.
#[derive(Default)]
struct Told {
    /// How many orders there were.
    orders: usize,
    /// What Kafka said against them.
    refused: Vec<String>,
}

struct Look<'a> {
    ctx: &'a Context,
    write: Writer<'a>,
    observed: Observed,
    key: ClusterRef,
}

/// Looks at the cluster and takes every step that can be taken now.
pub async fn reconcile(ctx: &Context, key: &ClusterRef) -> Result<Again> {
    let Some(observed) = Observed::read(&ctx.client, &key.namespace, &key.name).await? else {
        farewell::forget(ctx, key);
        return Ok(Again::Never);
    };
    if observed.cluster.metadata.deletion_timestamp.is_some() {
        // What it owns goes by itself; making anything now would get in the way.
        return Ok(Again::Never);
    }
    let look = Look {
        write: Writer::new(ctx.client.clone(), &ctx.metrics, CONTROLLER),
        ctx,
        observed,
        key: key.clone(),
    };
    match look.take().await {
        // Nothing changes that by itself, and somebody has to know.
        Err(taken @ Error::Taken { .. }) => look.stop(reasons::CONFLICT, &taken.to_string()).await,
        taken => taken,
    }
}

/// Whether the pod became ready a moment ago.
fn is_fresh(pod: &Pod) -> bool {
    let age = |since| Timestamp::now().duration_since(since);
    pods::ready_since(pod).is_some_and(|since| age(since) < SETTLES)
}

/// Whether partitions are to be led by their preferred leaders, which is Kafka's
/// default and users may choose against.
fn leaders_come_back(cluster: &ValidatedCluster) -> bool {
    let option = cluster.options.get("auto.leader.rebalance.enable");
    option.is_none_or(|value| value != "false")
}

// === impl Look ===

impl Look<'_> {
    async fn take(&self) -> Result<Again> {
        let live = &self.observed.cluster;
        let now = Timestamp::now();
        let ids = self.observed.assign_ids();
        let checked = ValidatedCluster::new(&self.ctx.config, live, &self.observed.pools, &ids);
        let cluster = match checked {
            Ok(cluster) => cluster,
            Err(error) => {
                let reason = status::reason_of(&error);
                return self.stop(reason, &error.to_string()).await;
            }
        };
        self.publish(&cluster);
        if live.spec.pause {
            self.write.status(live, &status::paused(live, now)).await?;
            return Ok(Again::Late);
        }
        if !self.observed.left_over.is_empty() {
            let message = format!(
                "an earlier cluster of this name is still on its way out: {}",
                self.observed.left_over.join(", ")
            );
            self.stop(reasons::CONFLICT, &message).await?;
            return Ok(Again::Soon);
        }
        if let Some(missing) = self.missing_issuer(&cluster).await? {
            self.stop(reasons::NOT_FOUND, &missing).await?;
            return Ok(Again::Soon);
        }
        let misfits = misfits(&cluster, &self.observed);
        if !misfits.is_empty() {
            return self.stop(reasons::CONFLICT, &misfits.join("; ")).await;
        }
        roots::ensure(self.ctx, &self.write, &self.key.namespace).await?;
        let (founding, founded) = self.found(&cluster).await?;
        let claim_sizes = self.observed.claim_sizes();
        let disks = self.change_disks(&cluster).await?;
        let founders = self.founders(&founding, founded);
        let objects = build::build(Inputs {
            config: &self.ctx.config,
            cluster: &cluster,
            founding: &founding,
            founders: &founders,
            claim_sizes: &claim_sizes,
            disks: &disks.built,
        });
        self.apply_shared(&objects).await?;
        let mut nodes = self.nodes(&cluster, &objects);
        let report = self.health(&nodes).await;
        if let Some(report) = &report {
            for node in &mut nodes {
                let registered = report.brokers.get(&node.id);
                node.zone = registered.and_then(|broker| broker.rack.clone());
                if self.recovers(node, report) {
                    node.state = NodeState::Recovering;
                }
            }
        }
        let health = report.as_ref().map(|report| &report.health);
        let limits = Limits {
            max_unavailable: cluster.max_unavailable(),
        };
        let plan = plan(&nodes, health, limits);
        let refused = self.take_plan(&objects, &plan).await?;
        let replication = self.ctx.replication.wanted(&self.key);
        let situation = Situation {
            cluster: &cluster,
            observed: &self.observed,
            nodes: &nodes,
            replaced: &plan.replace,
            founded,
            report: report.as_ref(),
            replication: &replication,
        };
        if !founded {
            self.begin(&founding, &nodes, report.is_some()).await?;
        }
        let members = self.change_members(situation).await?;
        let told = match &report {
            Some(report) => Some(self.configure(&cluster, &nodes, report).await),
            None => None,
        };
        if !plan.elect.is_empty() && leaders_come_back(&cluster) {
            let order = Order::Elect(plan.elect.clone());
            // Nothing depends on it: a later plan asks again.
            let _ = self.tell_kafka(&order).await;
        }
        self.write_status(Outcome {
            cluster: &cluster,
            founding: &founding,
            nodes: &nodes,
            plan: &plan,
            members: &members,
            disks: &disks.waits,
            refused: &refused,
            told: told.as_ref(),
            report,
        })
        .await
    }

    /// Says so if the first pods would wait for an Istio that is not there.
    async fn missing_issuer(&self, cluster: &ValidatedCluster) -> Result<Option<String>> {
        if cluster.mesh == MeshProvider::Builtin || !self.observed.pods.is_empty() {
            return Ok(None);
        }
        let (namespace, name) = (&self.key.namespace, istio::ROOTS_CONFIG_MAP);
        let config_maps: Api<ConfigMap> = Api::namespaced(self.ctx.client.clone(), namespace);
        let what = format!("read ConfigMap {namespace}/{name}");
        let found = config_maps.get_opt(name).await;
        let missing = found.map_err(Error::kubernetes(what))?.is_none();
        Ok(missing.then(|| {
            format!(
                "spec.mesh.provider is istio, and there is no ConfigMap {namespace}/{name}, which \
                 istiod writes into every namespace: check that Istio runs in this Kubernetes cluster"
            )
        }))
    }

    /// Tells Kafka which options and features it is to have.
    async fn configure(&self, cluster: &ValidatedCluster, nodes: &[Node], report: &Report) -> Told {
        let changes = dynamic::changes(&cluster.dynamic, &report.defaults);
        let options = (!changes.is_empty()).then_some(Order::Defaults(changes));
        // Features are what old nodes could not read.
        let runs = |node: &Node| node.current && node.state == NodeState::Ready;
        let feature = if nodes.iter().all(runs) {
            features::next(cluster.release, &report.features)
        } else {
            None
        };
        let mut told = Told::default();
        for order in options.into_iter().chain(feature) {
            told.orders += 1;
            if let Err(problem) = self.tell_kafka(&order).await {
                told.refused.push(problem);
            }
        }
        told
    }

    /// Says why nothing is done.
    async fn stop(&self, reason: &'static str, message: &str) -> Result<Again> {
        let live = &self.observed.cluster;
        let status = status::not_built(live, reason, message, Timestamp::now());
        if self.write.status(live, &status).await? {
            self.tell(live, reason, "Validate", message.to_owned(), true)
                .await;
        }
        Ok(Again::Late)
    }

    fn publish(&self, cluster: &ValidatedCluster) {
        let topology = topology(&self.key, &cluster.identity, self.observed.pods.values());
        let count = topology.nodes.len();
        self.ctx.admins.put(&topology, cluster.mesh);
        if self.ctx.topologies.publish(topology) {
            tracing::info!(cluster = %self.key, nodes = count, "topology changed");
        }
    }

    /// How the cluster began, and whether it has: as written down, or from now on.
    async fn found(&self, cluster: &ValidatedCluster) -> Result<(Founding, bool)> {
        let name = names::quorum_config_map(&self.key.name);
        let Some(config_map) = self.observed.config_maps.get(&name) else {
            let founding = Founding::new(cluster, self.observed.cluster_id_of_claims());
            let founded = self.observed.has_members();
            let config_map = build::quorum_config_map(cluster, &founding, founded);
            self.write.create(&config_map).await?;
            return Ok((founding, founded));
        };
        let text = config_map.data.as_ref().and_then(|d| d.get(QUORUM_KEY));
        let founding = serde_json::from_str(text.map_or("", String::as_str)).map_err(|error| {
            Error::Damaged {
                object: format!("ConfigMap {}/{name}", self.key.namespace),
                problem: format!(
                    "its key {QUORUM_KEY} does not say how the cluster began: {error}"
                ),
                remedy: "restore it, or delete it to have it written again from the volumes",
            }
        })?;
        let founded = config_map.annotations().contains_key(labels::FOUNDED);
        Ok((founding, founded))
    }

    fn nodes(&self, cluster: &ValidatedCluster, objects: &Objects) -> Vec<Node> {
        let pools = cluster.nodes();
        let nodes = objects.nodes.iter().map(|(id, node)| {
            let pod = self.pod(node);
            let pool = pools.get(id);
            Node {
                id: *id,
                pool: pool.map(|p| p.name.clone()).unwrap_or_default(),
                roles: pool.map(|p| p.roles.clone()).unwrap_or_default(),
                zone: None,
                state: pods::state(pod),
                current: pod.is_some_and(|pod| pods::is_current(pod, &node.pod)),
                fresh: pod.is_some_and(is_fresh),
            }
        });
        nodes.collect()
    }

    /// Whether a broker has started and reads its log. Its pod may say already
    /// that it is ready: its ports are open.
    fn recovers(&self, node: &Node, report: &Report) -> bool {
        let starts = matches!(node.state, NodeState::NotReady | NodeState::Ready);
        let pod = self.observed.pod_of(node.id);
        starts
            && node.roles.contains(&NodeRole::Broker)
            && pod.is_some_and(pods::runs_kafka)
            && report.recovers(node.id)
    }

    fn pod(&self, node: &NodeObjects) -> Option<&Pod> {
        self.observed.pods.get(&node.pod.name_any())
    }

    /// Asks Kafka, once there is somebody to answer. Not while a pod is missing:
    /// it is to be made at once, and an answer can take a while.
    async fn health(&self, nodes: &[Node]) -> Option<Report> {
        let any = |state| nodes.iter().any(|node| node.state == state);
        if !any(NodeState::Ready) || any(NodeState::Missing) {
            return None;
        }
        let settled = |node: &Node| node.current && !node.fresh;
        let depth = if nodes.iter().all(settled) {
            Depth::Quorum
        } else {
            Depth::Partitions
        };
        self.ctx.kafka.look(&self.key, depth).await
    }

    async fn write_status(&self, outcome: Outcome<'_>) -> Result<Again> {
        let Outcome {
            cluster,
            founding,
            nodes,
            plan,
            members,
            disks,
            refused,
            told,
            report,
        } = outcome;
        let now = Timestamp::now();
        let is_whole = report
            .as_ref()
            .is_some_and(|report| report.health.is_whole());
        let seen = nodes.iter().map(|node| {
            let pool = cluster.nodes()[&node.id];
            let pod = names::pod(&self.key.name, &pool.name, node.id);
            let pod = self.observed.pods.get(&pod);
            let trouble = pod
                .filter(|_| node.state == NodeState::NotReady)
                .map(pods::trouble);
            (node.id, (node.state, trouble))
        });
        let seen = seen.collect();
        let behind = self.behind(cluster);
        let storage = [disks, refused].concat();
        let findings = Findings {
            cluster,
            founding,
            nodes: &seen,
            plan,
            members,
            disks: &storage,
            metadata: report.as_ref().and_then(|r| features::written(&r.features)),
            refused: told.map(|told| told.refused.as_slice()),
            quorum: report.map(|report| report.quorum),
            behind: &behind,
        };
        for pool in &self.observed.pools {
            let status = findings.pool_status(pool, now);
            self.write.status(pool, &status).await?;
        }
        let live = &self.observed.cluster;
        let status = findings.cluster_status(live, now);
        self.write.status(live, &status).await?;
        // Pods and sidecars announce themselves; Kafka's health does not, and neither
        // does what comes of an order.
        let whole = is_whole && plan.elect.is_empty() && told.is_some_and(|told| told.orders == 0);
        let moving = |node: &Node| node.fresh && !whole || node.state == NodeState::Recovering;
        let steady = plan.outdated.is_empty() && !nodes.iter().any(moving);
        let announced =
            (steady || !plan.replace.is_empty()) && members.waits.is_empty() && disks.is_empty();
        Ok(if plan.waits.iter().any(Wait::is_for_kafka) {
            Again::Shortly
        } else if announced {
            Again::Late
        } else {
            Again::Soon
        })
    }

    /// Pods of nodes whose sidecars do not have the newest topology.
    fn behind(&self, cluster: &ValidatedCluster) -> BTreeMap<String, String> {
        let mut behind = self.ctx.topologies.behind(&self.key);
        let connected = self.ctx.topologies.connected(&self.key);
        let pods: BTreeSet<String> = cluster
            .nodes()
            .into_iter()
            .map(|(id, pool)| names::pod(&self.key.name, &pool.name, id))
            .collect();
        behind.retain(|pod, _| pods.contains(pod));
        for pod in pods.difference(&connected) {
            behind.insert(pod.clone(), "not connected".to_owned());
        }
        behind
    }

    async fn tell(
        &self,
        cluster: &KafkaCluster,
        reason: &str,
        action: &str,
        note: String,
        warning: bool,
    ) {
        let happening = Happening {
            reason,
            action,
            note,
            warning,
        };
        self.ctx.event(cluster, happening).await;
    }
}
