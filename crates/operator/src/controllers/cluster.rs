//! The controller of KafkaClusters and their KafkaNodePools.
//!
//! Each look goes through four steps: *dereference* (read what there is),
//! *validate* (into a type that cannot be wrong), *build* (pure), *apply* (one
//! write a step). Nothing is remembered between two looks: what is there says
//! how far things are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use tracing::{debug, info, warn};
use tubeway_api::{KafkaCluster, KafkaNodePool, labels};
use tubeway_config::{ClusterRef, Node, NodeRole, Topology};
use tubeway_planner::{NodeState, Replacement, next_replacement};

use crate::build::{self, BuildError};
use crate::context::{Context, Happening};
use crate::controllers::apply::apply;
use crate::controllers::cluster_status::{Outcome, report};
use crate::validate::{ValidatedCluster, ValidatedNode, validate};

const NAME: &str = "cluster";
/// A look even where nothing was seen to change.
const AGAIN: Duration = Duration::from_secs(60);
/// While the cluster is on its way, its quorum is looked at this often.
const SOON: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);

/// Why a look ended early; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Kubernetes refused or is away.
    #[error("kubernetes: {0}")]
    Kubernetes(#[from] kube::Error),
    /// A mistake of this program.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The trust domain or a name makes no SPIFFE id.
    #[error("the cluster's nodes can have no identity: {0}")]
    Identity(#[from] tubeway_policy::SpiffeError),
    /// The ConfigMap of the quorum has lost its content.
    #[error("ConfigMap {0} has no quorum.json; restore it: without it no node can be made")]
    Quorum(String),
}

/// What there is of a cluster.
pub(crate) struct Found {
    pub(crate) pools: Vec<KafkaNodePool>,
    pub(crate) pods: BTreeMap<String, Pod>,
    claims: BTreeMap<String, PersistentVolumeClaim>,
}

/// Runs until dropped.
pub async fn run(context: Context) {
    let client = context.client.clone();
    let any = watcher::Config::default;
    let labelled = || watcher::Config::default().labels(labels::CLUSTER);
    Controller::new(Api::<KafkaCluster>::all(client.clone()), any())
        .watches(Api::<KafkaNodePool>::all(client.clone()), any(), |pool| {
            let namespace = pool.namespace()?;
            Some(ObjectRef::new(&pool.spec.cluster).within(&namespace))
        })
        .watches(Api::<Pod>::all(client.clone()), labelled(), owner_by_label)
        .watches(
            Api::<ConfigMap>::all(client.clone()),
            labelled(),
            owner_by_label,
        )
        .watches(
            Api::<PersistentVolumeClaim>::all(client.clone()),
            labelled(),
            owner_by_label,
        )
        .watches(
            Api::<ServiceAccount>::all(client),
            labelled(),
            owner_by_label,
        )
        .run(reconcile, retry, Arc::new(context))
        .for_each(|result| async move {
            if let Err(error) = result {
                debug!(%error, controller = NAME, "look ended");
            }
        })
        .await;
}

fn owner_by_label<K: Resource>(object: K) -> Option<ObjectRef<KafkaCluster>> {
    let cluster = object.labels().get(labels::CLUSTER)?;
    Some(ObjectRef::new(cluster).within(&object.namespace()?))
}

fn retry(cluster: Arc<KafkaCluster>, error: &ReconcileError, _: Arc<Context>) -> Action {
    warn!(%error, namespace = cluster.namespace(), name = cluster.name_any(), "cluster not reconciled, trying again");
    Action::requeue(RETRY)
}

async fn reconcile(
    cluster: Arc<KafkaCluster>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let begun = Instant::now();
    let result = look(&cluster, &context).await;
    context
        .metrics
        .reconciled(NAME, begun.elapsed(), result.is_err());
    result
}

async fn look(cluster: &KafkaCluster, context: &Context) -> Result<Action, ReconcileError> {
    let reference = ClusterRef {
        namespace: cluster.namespace().unwrap_or_default(),
        name: cluster.name_any(),
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        // Kubernetes deletes what the cluster owns.
        context.topologies.remove(&reference);
        context.admins.remove(&reference);
        return Ok(Action::await_change());
    }
    let found = dereference(&context.client, &reference).await?;
    let outcome = match validate(cluster, &found.pools, &found.ids()) {
        Err(problems) => Outcome::Invalid(problems),
        Ok(_) if cluster.spec.pause => Outcome::Paused,
        Ok(valid) => {
            publish(context, &valid, &found)?;
            reach(context, cluster, &valid, &found).await?
        }
    };
    let settled = report(context, cluster, &found, &outcome).await?;
    Ok(Action::requeue(if settled { AGAIN } else { SOON }))
}

// === dereference ===

async fn dereference(client: &Client, cluster: &ClusterRef) -> Result<Found, kube::Error> {
    let namespace = &cluster.namespace;
    let of_cluster = ListParams::default().labels(&format!("{}={}", labels::CLUSTER, cluster.name));
    let pools: Api<KafkaNodePool> = Api::namespaced(client.clone(), namespace);
    let mut pools = pools.list(&ListParams::default()).await?.items;
    pools.retain(|pool| {
        pool.spec.cluster == cluster.name && pool.metadata.deletion_timestamp.is_none()
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let node = |labels: &BTreeMap<String, String>| labels.contains_key(labels::NODE_ID);
    Ok(Found {
        pools,
        pods: by_name(
            pods.list(&of_cluster)
                .await?
                .items
                .into_iter()
                .filter(|p| node(p.labels())),
        ),
        claims: by_name(
            claims
                .list(&of_cluster)
                .await?
                .items
                .into_iter()
                .filter(|c| node(c.labels())),
        ),
    })
}

fn by_name<K: Resource>(objects: impl Iterator<Item = K>) -> BTreeMap<String, K> {
    objects.map(|object| (object.name_any(), object)).collect()
}

// === impl Found ===

impl Found {
    /// Node ids that volumes and pods carry, by pool.
    fn ids(&self) -> BTreeMap<String, BTreeSet<u32>> {
        let mut ids: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let labels = self.pods.values().map(ResourceExt::labels);
        for labels in labels.chain(self.claims.values().map(ResourceExt::labels)) {
            let id = labels.get(labels::NODE_ID).and_then(|id| id.parse().ok());
            if let (Some(pool), Some(id)) = (labels.get(labels::POOL), id) {
                ids.entry(pool.clone()).or_default().insert(id);
            }
        }
        ids
    }
}

// === apply ===

/// Tells the sidecars and the admin clients which nodes have an address.
fn publish(
    context: &Context,
    cluster: &ValidatedCluster,
    found: &Found,
) -> Result<(), ReconcileError> {
    let identity = cluster.names.identity(&context.config.trust_domain)?;
    let nodes = cluster
        .nodes
        .values()
        .filter_map(|node| {
            let pod = found.pods.get(&node.pod)?;
            let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
            Some(Node {
                id: node.id,
                host: cluster.names.host(&node.pod),
                address,
                roles: roles(node),
                rack: None,
            })
        })
        .collect();
    let topology = Topology {
        cluster: ClusterRef {
            namespace: cluster.names.namespace.clone(),
            name: cluster.names.cluster.clone(),
        },
        identity: identity.to_string(),
        nodes,
    };
    context.admins.put(&topology);
    context.topologies.publish(topology);
    Ok(())
}

fn roles(node: &ValidatedNode) -> BTreeSet<NodeRole> {
    [
        (node.broker, NodeRole::Broker),
        (node.controller, NodeRole::Controller),
    ]
    .into_iter()
    .filter_map(|(has, role)| has.then_some(role))
    .collect()
}

/// Brings what there is closer to what is wanted.
async fn reach(
    context: &Context,
    object: &KafkaCluster,
    cluster: &ValidatedCluster,
    found: &Found,
) -> Result<Outcome, ReconcileError> {
    let client = &context.client;
    for wanted in build::shared(cluster) {
        write(context, &wanted).await?;
    }
    let quorum = quorum_document(context, cluster).await?;
    let nodes_id = cluster.names.identity(&context.config.trust_domain)?;
    let operator_id = context.config.identity()?;
    let mut wanted_pods = BTreeMap::new();
    // What is missing is made before anything waits for anything.
    for node in cluster.nodes.values() {
        let properties =
            build::properties::server_properties(cluster, node, &nodes_id, &operator_id);
        write(
            context,
            &build::config_map(cluster, node, &properties, &quorum),
        )
        .await?;
        let claim = build::claim(cluster, node)?;
        if !found.claims.contains_key(&claim.name_any()) {
            create(client, &cluster.names.namespace, &claim).await?;
            context.metrics.wrote(NAME);
        }
        let pod = build::pod::pod(&context.config, cluster, node, &properties)?;
        if !found.pods.contains_key(&node.pod) {
            create(client, &cluster.names.namespace, &pod).await?;
            context.metrics.wrote(NAME);
            info!(cluster = %cluster.names.cluster, pod = node.pod, node = node.id, "node created");
            let happening = Happening {
                reason: "NodeCreated",
                action: "Create",
                note: format!("Created pod {} for node {}", node.pod, node.id),
                warning: false,
            };
            context.event(object, happening).await;
        }
        wanted_pods.insert(node.id, pod);
    }
    let rolling = replace_outdated(context, object, cluster, found, &wanted_pods).await?;
    Ok(Outcome::Reached {
        cluster: cluster.clone(),
        cluster_id: build::quorum::cluster_id(&quorum),
        rolling,
    })
}

async fn write(context: &Context, wanted: &serde_json::Value) -> Result<(), kube::Error> {
    if apply(&context.client, wanted).await? {
        context.metrics.wrote(NAME);
    }
    Ok(())
}

/// Who founded the quorum: made with the cluster, read ever after.
async fn quorum_document(
    context: &Context,
    cluster: &ValidatedCluster,
) -> Result<String, ReconcileError> {
    let maps: Api<ConfigMap> = Api::namespaced(context.client.clone(), &cluster.names.namespace);
    let name = cluster.names.quorum();
    let map = match maps.get_opt(&name).await? {
        Some(map) => map,
        None => {
            let wanted: ConfigMap = serde_json::from_value(build::quorum_config_map(cluster))
                .map_err(BuildError::from)?;
            create(&context.client, &cluster.names.namespace, &wanted).await?;
            context.metrics.wrote(NAME);
            maps.get(&name).await?
        }
    };
    map.data
        .and_then(|mut data| data.remove(build::quorum::FILE))
        .ok_or(ReconcileError::Quorum(name))
}

/// Creates, and is content where somebody was first.
async fn create<K>(client: &Client, namespace: &str, object: &K) -> Result<(), kube::Error>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        result => result.map(drop),
    }
}

/// Replaces at most one node that was built from something else; what is being
/// waited for, where one has to wait.
async fn replace_outdated(
    context: &Context,
    object: &KafkaCluster,
    cluster: &ValidatedCluster,
    found: &Found,
    wanted: &BTreeMap<u32, Pod>,
) -> Result<Option<String>, ReconcileError> {
    let leader = object
        .status
        .as_ref()
        .and_then(|s| s.quorum.as_ref())
        .map(|q| q.leader);
    let states: Vec<NodeState> = cluster
        .nodes
        .values()
        .map(|node| {
            let pod = found.pods.get(&node.pod);
            NodeState {
                id: node.id,
                current: pod.is_none_or(|pod| hash(pod) == wanted.get(&node.id).and_then(hash)),
                ready: pod.is_some_and(is_ready),
                active_controller: leader == Some(node.id),
            }
        })
        .collect();
    let id = match next_replacement(&states) {
        Replacement::Nothing => return Ok(None),
        Replacement::Wait(why) => return Ok(Some(why)),
        Replacement::Replace(id) => id,
    };
    let Some(pod) = cluster
        .nodes
        .get(&id)
        .and_then(|node| found.pods.get(&node.pod))
    else {
        return Ok(None);
    };
    let name = pod.name_any();
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok(Some(format!("pod {name} is stopping, to be replaced")));
    }
    let params = DeleteParams::default().preconditions(Preconditions {
        uid: pod.metadata.uid.clone(),
        resource_version: pod.metadata.resource_version.clone(),
    });
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &cluster.names.namespace);
    pods.delete(&name, &params).await?;
    context.metrics.wrote(NAME);
    info!(cluster = %cluster.names.cluster, pod = name, node = id, "node replaced");
    let happening = Happening {
        reason: "NodeReplaced",
        action: "Replace",
        note: format!("Deleted pod {name} of node {id}, to make it as the spec says now"),
        warning: false,
    };
    context.event(object, happening).await;
    Ok(Some(format!("node {id} is being replaced")))
}

fn hash(pod: &Pod) -> Option<&String> {
    pod.annotations().get(labels::SPEC_HASH)
}

/// Whether the pod is ready and meant to stay.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten())
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
