//! Second step: from what users wrote to what cannot be wrong.

mod jvm;
mod options;
pub(crate) mod quantity;
mod storage;
mod template;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::ResourceExt;
use tubeway_api::{
    KafkaCluster, KafkaNodePool, MeshProvider, NodeRole, PodTemplate, Reassignment, Resources,
    labels,
};
use tubeway_config::ClusterRef;
use tubeway_planner::Assignment;
use tubeway_planner::reassign::MoveLimits;
use tubeway_policy::SpiffeId;

use super::dynamic::{MIN_IN_SYNC, is_dynamic};
use super::features::Release;
use super::names;
use crate::config::Config;

pub use options::{OWNED_OPTIONS, is_owned};
pub use storage::ValidatedVolume;

/// A cluster that can be built: every name fits, every option may be set, every
/// node has an id.
#[derive(Debug, Clone)]
pub struct ValidatedCluster {
    /// Namespace and name.
    pub key: ClusterRef,
    /// UID of the KafkaCluster.
    pub uid: String,
    /// Version of Apache Kafka.
    pub version: String,
    /// SPIFFE id of the nodes.
    pub identity: SpiffeId,
    /// SPIFFE id of the operator.
    pub operator: SpiffeId,
    /// Kafka options of all nodes that brokers read at their start, as text.
    pub options: BTreeMap<String, String>,
    /// Those that brokers take while they run.
    pub dynamic: BTreeMap<String, String>,
    /// Release whose features the cluster is to use.
    pub release: Release,
    /// The pools, by name.
    pub pools: BTreeMap<String, ValidatedPool>,
    /// How many pods may be replaced at the same time; none is a tenth of the
    /// brokers.
    pub max_unavailable: Option<usize>,
    /// How replicas are moved.
    pub reassignment: Reassigning,
    /// Who issues the certificates.
    pub mesh: MeshProvider,
}

/// How replicas are moved when brokers come and go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reassigning {
    /// Whether new brokers get their share.
    pub fill: bool,
    /// Bytes a second and broker, at most.
    pub rate: Option<u64>,
    /// How much may be under way.
    pub limits: MoveLimits,
}

/// A pool that can be built.
#[derive(Debug, Clone)]
pub struct ValidatedPool {
    /// Its name.
    pub name: String,
    /// What its nodes do.
    pub roles: BTreeSet<NodeRole>,
    /// The nodes' ids.
    pub nodes: BTreeSet<u32>,
    /// Those of them that are no longer asked for.
    pub surplus: BTreeSet<u32>,
    /// What says that all pods are to be replaced, whenever it is another.
    pub restart: Vec<String>,
    /// Size of each node's first claim.
    pub storage: String,
    /// StorageClass of the first claims.
    pub storage_class: Option<String>,
    /// The disks beside the first, by number.
    pub volumes: BTreeMap<u32, ValidatedVolume>,
    /// Whether the claims go with the cluster.
    pub delete_claim: bool,
    /// Kafka options of all its nodes, over the cluster's.
    pub options: BTreeMap<String, String>,
    /// Kafka options of single nodes, over the pool's, by id.
    pub node_options: BTreeMap<u32, BTreeMap<String, String>>,
    /// All flags for the Java runtime.
    pub jvm_flags: Vec<String>,
    /// `logger=LEVEL` for each logger with a level of its own.
    pub loggers: Vec<String>,
    /// What the Kafka container asks for and may use.
    pub resources: Resources,
    /// Where pods run, and what they are marked with.
    pub pod: PodTemplate,
}

/// Why a cluster is not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCluster {
    /// The spec says something it may not say; all of it at once.
    #[error("{}", join(.0))]
    Spec(Vec<SpecProblem>),
    /// There is nothing to build yet.
    #[error(
        "no nodes: a cluster needs KafkaNodePools in its namespace that name it in spec.cluster, \
         with at least one broker and one controller among them; missing: {0}"
    )]
    NoNodes(&'static str),
}

/// One wrong value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecProblem {
    /// Where it stands, as in `KafkaNodePool/a spec.jvm.heap`.
    pub field: String,
    /// What it is.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

#[derive(Default)]
struct Problems(Vec<SpecProblem>);

// === impl ValidatedCluster ===

impl ValidatedCluster {
    /// Checks everything and reports every problem at once.
    pub fn new(
        config: &Config,
        cluster: &KafkaCluster,
        pools: &[KafkaNodePool],
        ids: &Assignment,
    ) -> Result<Self, InvalidCluster> {
        let mut problems = Problems::default();
        let key = ClusterRef {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
        };
        check_name(&mut problems, "metadata.name", &key.name, 32);
        let release = version::check(&mut problems, cluster);
        let options = options::check(&mut problems, "spec.config", &cluster.spec.config);
        let (dynamic, options) = options.into_iter().partition(|(name, _)| is_dynamic(name));
        let pools: BTreeMap<_, _> = pools
            .iter()
            .map(|pool| {
                let mut valid = validate_pool(&mut problems, pool, ids);
                let marks = [cluster.annotations(), pool.annotations()];
                let marks = marks.into_iter().filter_map(|a| a.get(labels::RESTART));
                valid.restart = marks.cloned().collect();
                (pool.name_any(), valid)
            })
            .collect();
        let reassignment = validate_reassignment(&mut problems, &cluster.spec.reassignment);
        if cluster.spec.max_unavailable.is_some_and(|n| n < 1) {
            let value = cluster.spec.max_unavailable.unwrap_or_default();
            problems.add("spec.maxUnavailable", value, "1 to 1000");
        }
        let identity = names::node_id(&config.trust_domain, &key);
        let (Ok(identity), Ok(operator)) = (identity, config.operator_id()) else {
            problems.add("metadata.name", &key, "names that make a SPIFFE id");
            return Err(InvalidCluster::Spec(problems.0));
        };
        if !problems.0.is_empty() {
            return Err(InvalidCluster::Spec(problems.0));
        }
        let mut validated = Self {
            uid: cluster.uid().unwrap_or_default(),
            version: cluster.spec.version.clone(),
            key,
            identity,
            operator,
            options,
            dynamic,
            release,
            pools,
            max_unavailable: cluster
                .spec
                .max_unavailable
                .and_then(|n| usize::try_from(n).ok()),
            reassignment,
            mesh: cluster.spec.mesh.provider,
        };
        validated.keep_in_sync();
        match validated.missing_role() {
            Some(role) => Err(InvalidCluster::NoNodes(role.as_str())),
            None => Ok(validated),
        }
    }

    /// All nodes with their pools, by id.
    pub fn nodes(&self) -> BTreeMap<u32, &ValidatedPool> {
        self.pools
            .values()
            .flat_map(|pool| pool.nodes.iter().map(move |id| (*id, pool)))
            .collect()
    }

    /// How many nodes have this role.
    pub fn count(&self, role: NodeRole) -> usize {
        let pools = self.pools.values().filter(|p| p.roles.contains(&role));
        pools.map(|pool| pool.nodes.len()).sum()
    }

    /// How many replicas must be in sync unless a topic says otherwise.
    pub fn min_in_sync(&self) -> &'static str {
        if self.count(NodeRole::Broker) >= 3 {
            "2"
        } else {
            "1"
        }
    }

    /// Kafka is always told how many replicas must be in sync.
    fn keep_in_sync(&mut self) {
        let default = self.min_in_sync().to_owned();
        self.dynamic
            .entry(MIN_IN_SYNC.to_owned())
            .or_insert(default);
    }

    /// How many pods may be replaced at the same time.
    pub fn max_unavailable(&self) -> usize {
        let default = (self.count(NodeRole::Broker) / 10).max(1);
        self.max_unavailable.unwrap_or(default)
    }

    fn missing_role(&self) -> Option<NodeRole> {
        [NodeRole::Controller, NodeRole::Broker]
            .into_iter()
            .find(|role| self.count(*role) == 0)
    }
}

fn validate_reassignment(problems: &mut Problems, spec: &Reassignment) -> Reassigning {
    let at = |field: &str| format!("spec.reassignment.{field}");
    let rate = spec.bytes_per_second.as_ref().map(|rate| {
        let bytes = quantity::bytes(rate).unwrap_or_default();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes == 0 {
            problems.add(
                at("bytesPerSecond"),
                rate,
                "an amount of bytes above zero, as in 50Mi",
            );
        }
        bytes
    });
    let partitions = usize::try_from(spec.partitions_at_once).unwrap_or_default();
    if !(1..=10_000).contains(&partitions) {
        problems.add(
            at("partitionsAtOnce"),
            spec.partitions_at_once,
            "1 to 10000",
        );
    }
    Reassigning {
        fill: spec.fill_new_brokers,
        rate,
        limits: MoveLimits {
            partitions,
            ..MoveLimits::default()
        },
    }
}

fn validate_pool(problems: &mut Problems, pool: &KafkaNodePool, ids: &Assignment) -> ValidatedPool {
    let name = pool.name_any();
    let at = |field: &str| format!("KafkaNodePool/{name} {field}");
    let spec = &pool.spec;
    check_name(problems, &at("metadata.name"), &name, 24);
    if spec.roles.is_empty() {
        problems.add(at("spec.roles"), "[]", "broker, controller or both");
    }
    if !(0..=1000).contains(&spec.replicas) {
        problems.add(at("spec.replicas"), spec.replicas, "0 to 1000");
    }
    let volumes = storage::check(problems, &name, pool);
    template::check(problems, &name, &spec.pod);
    let jvm_flags = jvm::flags(problems, &name, &spec.jvm);
    let loggers = jvm::loggers(problems, &name, &spec.loggers);
    let options = options::check_own(problems, &at("spec.config"), &spec.config);
    let node_options = spec.nodes.iter().filter_map(|node| {
        let field = at(&format!("spec.nodes[{}].config", node.id));
        let options = options::check_own(problems, &field, &node.config);
        Some((u32::try_from(node.id).ok()?, options))
    });
    let node_options = node_options.collect();
    ValidatedPool {
        roles: spec.roles.clone(),
        nodes: ids.nodes.get(&name).cloned().unwrap_or_default(),
        surplus: ids.surplus.get(&name).cloned().unwrap_or_default(),
        restart: Vec::new(),
        storage: spec.storage.size.clone(),
        storage_class: spec.storage.class.clone(),
        volumes,
        delete_claim: spec.storage.delete_claim,
        options,
        node_options,
        jvm_flags,
        loggers,
        resources: spec.resources.clone(),
        pod: spec.pod.clone(),
        name,
    }
}

fn check_name(problems: &mut Problems, field: &str, name: &str, max: usize) {
    let fine = name.len() <= max
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !fine {
        problems.add(
            field,
            name,
            format!("at most {max} of a-z, 0-9 and '-', beginning with a letter"),
        );
    }
}

// === impl Problems ===

impl Problems {
    fn add(
        &mut self,
        field: impl Into<String>,
        value: impl fmt::Display,
        allowed: impl Into<String>,
    ) {
        self.0.push(SpecProblem {
            field: field.into(),
            value: value.to_string(),
            allowed: allowed.into(),
        });
    }
}

// === impl SpecProblem ===

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.value.chars().take(80).collect();
        write!(
            f,
            "{}: {shown:?} is not allowed; allowed: {}",
            self.field, self.allowed
        )
    }
}

fn join(problems: &[SpecProblem]) -> String {
    let problems: Vec<_> = problems.iter().map(SpecProblem::to_string).collect();
    problems.join("; ")
}

#[cfg(test)]
mod tests;
