//! First step: reads everything about one cluster.

use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tubeway_api::{KafkaCluster, KafkaNodePool, labels};
use tubeway_planner::{Assignment, PoolIds, assign_ids};

use super::standing::Standing;
use crate::error::{Error, Result};

/// What is there of one cluster.
///
/// Read from the API server and not from a cache, so that a decision is never
/// made by an object that has gone and come back with another UID.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// Its pools, by name.
    pub pools: Vec<KafkaNodePool>,
    /// Its pods, by name.
    pub pods: BTreeMap<String, Pod>,
    /// Its claims, by name.
    pub claims: BTreeMap<String, PersistentVolumeClaim>,
    /// Its ConfigMaps, by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Its Services, by name.
    pub services: BTreeMap<String, Service>,
    /// Its PodDisruptionBudgets, by name.
    pub budgets: BTreeMap<String, PodDisruptionBudget>,
    /// Its ServiceAccounts, by name.
    pub accounts: BTreeMap<String, ServiceAccount>,
    /// Objects of an earlier cluster of this name that are still on their way
    /// out, as `Kind name`.
    pub left_over: Vec<String>,
}

// === impl Observed ===

impl Observed {
    /// Reads the cluster of this name; `None` when there is none.
    pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<Self>> {
        let clusters: Api<KafkaCluster> = Api::namespaced(client.clone(), namespace);
        let cluster = clusters
            .get_opt(name)
            .await
            .map_err(Error::kubernetes(format!(
                "read KafkaCluster {namespace}/{name}"
            )))?;
        let Some(cluster) = cluster else {
            return Ok(None);
        };
        let pools: Api<KafkaNodePool> = Api::namespaced(client.clone(), namespace);
        let pools = pools
            .list(&ListParams::default())
            .await
            .map_err(Error::kubernetes(format!(
                "list KafkaNodePools in {namespace}"
            )))?;
        let mut pools = pools.items;
        pools.retain(|p| p.spec.cluster == name && p.metadata.deletion_timestamp.is_none());
        pools.sort_by_key(ResourceExt::name_any);

        let uid = cluster.uid().unwrap_or_default();
        let mut left_over = Vec::new();
        Ok(Some(Self {
            pods: owned(list(client, namespace, name).await?, &uid, &mut left_over),
            config_maps: owned(list(client, namespace, name).await?, &uid, &mut left_over),
            services: owned(list(client, namespace, name).await?, &uid, &mut left_over),
            budgets: owned(list(client, namespace, name).await?, &uid, &mut left_over),
            accounts: owned(list(client, namespace, name).await?, &uid, &mut left_over),
            // Claims outlive a cluster on purpose, so no owner is asked for.
            claims: by_name(list(client, namespace, name).await?),
            cluster,
            pools,
            left_over,
        }))
    }

    /// Which ids the pools' nodes have, from what is there. Pools that were
    /// deleted and have pods or volumes left are among them, and ask for none.
    pub fn assign_ids(&self) -> Assignment {
        let mut pools: BTreeMap<String, PoolIds> = BTreeMap::new();
        for claim in self.claims.values().filter(|claim| disk(claim).is_none()) {
            if let Some((pool, id)) = place(claim) {
                pools.entry(pool).or_default().volumes.insert(id);
            }
        }
        for pool in &self.pools {
            let ids = pools.entry(pool.name_any()).or_default();
            ids.replicas = usize::try_from(pool.spec.replicas).unwrap_or(0);
            let known = pool.status.iter().flat_map(|s| s.node_ids.iter().copied());
            // A node that has left is not one that is missing.
            ids.in_use
                .extend(known.filter(|id| !self.standing(*id).has_left()));
        }
        for pod in self.pods.values() {
            if let Some((pool, id)) = place(pod) {
                pools.entry(pool).or_default().in_use.insert(id);
            }
        }
        assign_ids(&pools)
    }

    /// How far a node is on its way into the cluster or out of it.
    pub fn standing(&self, id: u32) -> Standing {
        self.claim_of(id).map_or(Standing::New, Standing::of)
    }

    /// The pod of a node.
    pub fn pod_of(&self, id: u32) -> Option<&Pod> {
        self.pods.values().find(|pod| node_id(*pod) == Some(id))
    }

    /// The claim of a node's first disk.
    pub fn claim_of(&self, id: u32) -> Option<&PersistentVolumeClaim> {
        let mut claims = self.claims.values();
        claims.find(|claim| node_id(*claim) == Some(id) && disk(claim).is_none())
    }

    /// The claims of a node's other disks, by number.
    pub fn disk_claims_of(&self, id: u32) -> BTreeMap<u32, &PersistentVolumeClaim> {
        let claims = self.claims.values();
        let claims = claims.filter(|claim| node_id(*claim) == Some(id));
        claims
            .filter_map(|claim| Some((disk(claim)?, claim)))
            .collect()
    }

    /// Pods of pools that are gone, by node id. Nothing says how they would be
    /// made again, so they run on until they are empty.
    pub fn strays(&self) -> BTreeMap<u32, &Pod> {
        let known = |pool: &str| self.pools.iter().any(|p| p.name_any() == pool);
        let pods = self.pods.values().filter_map(|pod| {
            let (pool, id) = place(pod)?;
            (!known(&pool)).then_some((id, pod))
        });
        pods.collect()
    }

    /// Whether a node of this cluster, or of one before it on the same volumes,
    /// has ever taken part.
    pub fn has_members(&self) -> bool {
        self.claims
            .values()
            .any(|claim| Standing::of(claim) != Standing::New)
    }

    /// Kafka's id of the cluster, where volumes carry one already.
    pub fn cluster_id_of_claims(&self) -> Option<&str> {
        self.claims
            .values()
            .find_map(|claim| claim.annotations().get(labels::CLUSTER_ID))
            .map(String::as_str)
    }

    /// The size each claim has, by its name.
    pub fn claim_sizes(&self) -> BTreeMap<String, String> {
        let sizes = self.claims.iter().filter_map(|(name, claim)| {
            let requests = claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
            Some((name.clone(), requests.get("storage")?.0.clone()))
        });
        sizes.collect()
    }
}

/// The node id that an object is labelled with.
pub fn node_id<K: Resource>(object: &K) -> Option<u32> {
    object
        .meta()
        .labels
        .as_ref()?
        .get(labels::NODE_ID)?
        .parse()
        .ok()
}

/// The number of a disk beside the first that a claim is for.
fn disk(claim: &PersistentVolumeClaim) -> Option<u32> {
    claim.labels().get(labels::DISK)?.parse().ok()
}

/// The pool and the node id that an object is labelled with.
fn place<K: Resource>(object: &K) -> Option<(String, u32)> {
    let pool = object.labels().get(labels::POOL)?;
    Some((pool.clone(), node_id(object)?))
}

async fn list<K>(client: &Client, namespace: &str, cluster: &str) -> Result<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let selector = ListParams::default().labels(&format!("{}={cluster}", labels::CLUSTER));
    let listed = Api::<K>::namespaced(client.clone(), namespace)
        .list(&selector)
        .await
        .map_err(Error::kubernetes(format!(
            "list {} of {namespace}/{cluster}",
            K::kind(&())
        )))?;
    Ok(listed.items)
}

/// Those that this cluster owns, by UID and not by name.
fn owned<K>(objects: Vec<K>, uid: &str, left_over: &mut Vec<String>) -> BTreeMap<String, K>
where
    K: Resource<DynamicType = ()>,
{
    let (ours, others): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| object.owner_references().iter().any(|o| o.uid == uid));
    let others = others.iter().filter(|o| {
        let mut owners = o.owner_references().iter();
        owners.any(|owner| owner.kind == "KafkaCluster")
    });
    left_over.extend(others.map(|o| format!("{} {}", K::kind(&()), o.name_any())));
    by_name(ours)
}

fn by_name<K: Resource>(objects: Vec<K>) -> BTreeMap<String, K> {
    let objects = objects.into_iter();
    objects.map(|object| (object.name_any(), object)).collect()
}
