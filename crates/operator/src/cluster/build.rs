//! Third step: the objects that a cluster is made of. Pure.

mod meta;
mod pod;
mod properties;
mod sidecar;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod, Service, ServiceAccount,
    ServicePort, ServiceSpec, VolumeResourceRequirements,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tubeway_api::{NodeRole, labels};
use tubeway_config::ports;

use super::founding::Founding;
use super::names;
use super::validate::{ValidatedCluster, ValidatedPool, quantity};
use crate::config::Config;

pub use meta::{digest, owner_reference};
pub use pod::disks_of;
pub use sidecar::{
    Issuer, RunDir, SidecarRole, SidecarSettings, env, field_env, restricted, sidecar_container,
    sidecar_volumes,
};

/// Everything that a cluster is made of.
#[derive(Debug, Clone)]
pub struct Objects {
    /// Who all nodes are.
    pub service_account: ServiceAccount,
    /// The names of the nodes, and where clients begin.
    pub services: Vec<Service>,
    /// Lets nobody evict a node: that is for the operator to do.
    pub budget: PodDisruptionBudget,
    /// What each node is made of, by id.
    pub nodes: BTreeMap<u32, NodeObjects>,
}

/// What one node is made of.
#[derive(Debug, Clone)]
pub struct NodeObjects {
    /// Name of its pool.
    pub pool: String,
    /// Its configuration, written when its pod is made and not before: a
    /// container that restarts must find what its pod was made with.
    pub config: ConfigMap,
    /// Its first disk.
    pub claim: PersistentVolumeClaim,
    /// The disks beside it that the spec has.
    pub disks: Vec<PersistentVolumeClaim>,
    /// Its pod.
    pub pod: Pod,
}

/// What build needs besides the spec.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The operator's settings.
    pub config: &'a Config,
    /// The checked spec.
    pub cluster: &'a ValidatedCluster,
    /// How the cluster began.
    pub founding: &'a Founding,
    /// Nodes that begin the quorum, should their volumes be empty.
    pub founders: &'a BTreeSet<u32>,
    /// Size that each claim has already, by its name: claims never shrink.
    pub claim_sizes: &'a BTreeMap<String, String>,
    /// Disks beside the first that each node's pod has, by node; without an
    /// entry those of the spec.
    pub disks: &'a BTreeMap<u32, BTreeSet<u32>>,
}

/// One node, with all that its objects depend on.
#[derive(Clone, Copy)]
struct NodeInputs<'a> {
    all: Inputs<'a>,
    pool: &'a ValidatedPool,
    id: u32,
}

/// All objects that should be there.
pub fn build(inputs: Inputs<'_>) -> Objects {
    let cluster = inputs.cluster;
    let nodes = cluster.nodes().into_iter().map(|(id, pool)| {
        let node = NodeInputs {
            all: inputs,
            pool,
            id,
        };
        (id, node.objects())
    });
    Objects {
        service_account: ServiceAccount {
            metadata: meta::of_cluster(cluster, names::service_account(&cluster.key.name)),
            // Pods mount the tokens they need themselves, each for one audience.
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        },
        services: vec![nodes_service(cluster), bootstrap_service(cluster)],
        budget: budget(cluster),
        nodes: nodes.collect(),
    }
}

/// The ConfigMap that says how a cluster began, and whether it has.
pub fn quorum_config_map(
    cluster: &ValidatedCluster,
    founding: &Founding,
    founded: bool,
) -> ConfigMap {
    let mut metadata = meta::of_cluster(cluster, names::quorum_config_map(&cluster.key.name));
    if founded {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(labels::FOUNDED.to_owned(), true.to_string());
    }
    ConfigMap {
        metadata,
        data: Some([(QUORUM_KEY.to_owned(), founding.to_json())].into()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// Key of [`Founding`] in its ConfigMap, and its file name at the node.
pub const QUORUM_KEY: &str = "quorum.json";
/// Key of the broker's options in a node's ConfigMap, and their file name.
pub const PROPERTIES_KEY: &str = "server.properties";

fn nodes_service(cluster: &ValidatedCluster) -> Service {
    let selector = meta::selector(&cluster.key.name);
    Service {
        metadata: meta::of_cluster(cluster, names::nodes_service(&cluster.key.name)),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            // Nodes find each other before any of them is ready.
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![
                port("tcp-clients", ports::CLIENT),
                port("tcp-replication", ports::REPLICATION),
                port("tcp-controllers", ports::CONTROLLER),
            ]),
            selector: Some(selector),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

fn bootstrap_service(cluster: &ValidatedCluster) -> Service {
    let mut selector = meta::selector(&cluster.key.name);
    selector.insert(labels::BROKER.to_owned(), "true".to_owned());
    Service {
        metadata: meta::of_cluster(cluster, names::bootstrap_service(&cluster.key.name)),
        spec: Some(ServiceSpec {
            ports: Some(vec![port("tcp-clients", ports::CLIENT)]),
            selector: Some(selector),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

/// How many pods are ready says nothing about partitions, so none may go.
fn budget(cluster: &ValidatedCluster) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta::of_cluster(cluster, names::budget(&cluster.key.name)),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(0)),
            selector: Some(LabelSelector {
                match_labels: Some(meta::selector(&cluster.key.name)),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}

fn port(name: &str, number: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::Int(i32::from(number))),
        ..ServicePort::default()
    }
}

// === impl NodeInputs ===

impl NodeInputs<'_> {
    fn objects(self) -> NodeObjects {
        let config = self.config_map();
        NodeObjects {
            pool: self.pool.name.clone(),
            claim: self.claim(),
            disks: self.disk_claims(),
            pod: pod::build(self, &config),
            config,
        }
    }

    fn pod_name(self) -> String {
        names::pod(&self.all.cluster.key.name, &self.pool.name, self.id)
    }

    fn has(self, role: NodeRole) -> bool {
        self.pool.roles.contains(&role)
    }

    fn meta(self, name: String) -> ObjectMeta {
        let mut metadata = meta::of_cluster(self.all.cluster, name);
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(labels::POOL.to_owned(), self.pool.name.clone());
        labels.insert(labels::NODE_ID.to_owned(), self.id.to_string());
        metadata
    }

    fn config_map(self) -> ConfigMap {
        let data = [
            (PROPERTIES_KEY.to_owned(), properties::render(self)),
            (QUORUM_KEY.to_owned(), self.quorum().to_json()),
        ];
        ConfigMap {
            metadata: self.meta(names::pod_config(&self.pod_name())),
            data: Some(data.into()),
            ..ConfigMap::default()
        }
    }

    /// How an empty volume is formatted. A controller that lost its volume must
    /// not begin the quorum anew: what the others have agreed on would be voted
    /// on by one who has forgotten it. It joins them instead.
    fn quorum(self) -> Founding {
        let mut founding = self.all.founding.clone();
        if !self.all.founders.contains(&self.id) {
            founding.initial_controllers.clear();
        }
        founding
    }

    /// The disks beside the first that the pod has.
    fn disks(self) -> BTreeSet<u32> {
        let disks = self.all.disks.get(&self.id);
        disks.map_or_else(|| self.pool.volumes.keys().copied().collect(), Clone::clone)
    }

    fn claim(self) -> PersistentVolumeClaim {
        let name = names::claim(&self.pod_name());
        self.claim_of(name, &self.pool.storage, self.pool.storage_class.as_ref())
    }

    fn disk_claims(self) -> Vec<PersistentVolumeClaim> {
        let volumes = self.pool.volumes.iter().map(|(disk, volume)| {
            let name = names::disk_claim(&self.pod_name(), *disk);
            let mut claim = self.claim_of(name, &volume.size, volume.class.as_ref());
            let labels = claim.metadata.labels.get_or_insert_default();
            labels.insert(labels::DISK.to_owned(), disk.to_string());
            claim
        });
        volumes.collect()
    }

    fn claim_of(self, name: String, size: &str, class: Option<&String>) -> PersistentVolumeClaim {
        let size = larger(size, self.all.claim_sizes.get(&name));
        let mut metadata = self.meta(name);
        if !self.pool.delete_claim {
            metadata.owner_references = None;
        }
        metadata.annotations.get_or_insert_default().insert(
            labels::CLUSTER_ID.to_owned(),
            self.all.founding.cluster_id.clone(),
        );
        PersistentVolumeClaim {
            metadata,
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some([("storage".to_owned(), Quantity(size))].into()),
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: class.cloned(),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        }
    }

    fn owner(self) -> OwnerReference {
        meta::owner_reference(&self.all.cluster.key.name, &self.all.cluster.uid)
    }
}

fn larger(wanted: &str, existing: Option<&String>) -> String {
    match existing {
        Some(existing) if quantity::bytes(existing) >= quantity::bytes(wanted) => existing.clone(),
        _ => wanted.to_owned(),
    }
}
