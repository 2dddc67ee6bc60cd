//! From what a user wrote to what cannot be wrong.

use std::collections::BTreeMap;
use std::fmt;

use tubeway_api::{ConfigValue, KafkaCluster, KafkaNodePool, NodeRole};
use tubeway_planner::{PoolSize, assign};

use crate::names::ClusterNames;

/// Versions of Kafka that the operator runs.
pub const SUPPORTED: [&str; 1] = ["4.3.1"];

/// Options that make up the mesh: whoever set them could take a node out of it.
const OWNED: [&str; 22] = [
    "advertised.listeners",
    "allow.everyone.if.no.acl.found",
    "authorizer.",
    "broker.id",
    "broker.rack",
    "controller.listener.names",
    "controller.quorum.bootstrap.servers",
    "controller.quorum.voters",
    "early.start.listeners",
    "inter.broker.",
    "listener.",
    "listeners",
    "log.dir",
    "metadata.log.dir",
    "node.id",
    "principal.builder.class",
    "process.roles",
    "sasl.",
    "security.",
    "ssl.",
    "super.users",
    "zookeeper.",
];

/// A cluster whose spec has been found right.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedCluster {
    /// Its names.
    pub names: ClusterNames,
    /// `metadata.uid`, for owner references.
    pub uid: String,
    /// Kafka's version.
    pub version: String,
    /// The user's options, as properties write them.
    pub config: BTreeMap<String, String>,
    /// Its nodes, by id.
    pub nodes: BTreeMap<u32, ValidatedNode>,
    /// Pools that want fewer nodes than they have.
    pub shrinking: Vec<String>,
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidatedNode {
    /// Kafka's `node.id`.
    pub id: u32,
    /// Name of its pod.
    pub pod: String,
    /// Whether it stores records.
    pub broker: bool,
    /// Whether it votes.
    pub controller: bool,
    /// Its pool.
    pub pool: KafkaNodePool,
}

/// One wrong value: where it stands and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Kind, name and path, as in `KafkaCluster demo: spec.config[node.id]`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Checks a cluster and its pools. `existing` has the ids that volumes and pods
/// carry already, by pool.
pub fn validate(
    cluster: &KafkaCluster,
    pools: &[KafkaNodePool],
    existing: &BTreeMap<String, std::collections::BTreeSet<u32>>,
) -> Result<ValidatedCluster, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let namespace = cluster.metadata.namespace.clone().unwrap_or_default();
    let names = ClusterNames::new(namespace, name);
    let at = |path: String| format!("KafkaCluster {}: {path}", names.cluster);
    if !SUPPORTED.contains(&cluster.spec.version.as_str()) {
        problems.push(Problem {
            field: at("spec.version".to_owned()),
            message: format!(
                "{:?} is not supported; one of {} is",
                cluster.spec.version,
                SUPPORTED.join(", ")
            ),
        });
    }
    for (option, value) in &cluster.spec.config {
        if let Some(message) = option_problem(option, value) {
            problems.push(Problem {
                field: at(format!("spec.config[{option}]")),
                message,
            });
        }
    }
    let (nodes, shrinking) = nodes(&names, pools, existing);
    for (wanted, role) in [
        (NodeRole::Controller, "controller"),
        (NodeRole::Broker, "broker"),
    ] {
        if !nodes
            .values()
            .any(|node| node.pool.spec.roles.contains(&wanted))
        {
            problems.push(Problem {
                field: at("nodes".to_owned()),
                message: format!(
                    "no KafkaNodePool with spec.cluster {:?} and role {role} has replicas; a cluster needs at least one {role}",
                    names.cluster
                ),
            });
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(ValidatedCluster {
        uid: cluster.metadata.uid.clone().unwrap_or_default(),
        version: cluster.spec.version.clone(),
        config: cluster
            .spec
            .config
            .iter()
            .filter_map(|(option, value)| Some((option.clone(), value.text()?)))
            .collect(),
        names,
        nodes,
        shrinking,
    })
}

fn nodes(
    names: &ClusterNames,
    pools: &[KafkaNodePool],
    existing: &BTreeMap<String, std::collections::BTreeSet<u32>>,
) -> (BTreeMap<u32, ValidatedNode>, Vec<String>) {
    let mut pools: Vec<&KafkaNodePool> = pools.iter().collect();
    pools.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let sizes: Vec<PoolSize> = pools
        .iter()
        .map(|pool| {
            let name = pool.metadata.name.clone().unwrap_or_default();
            PoolSize {
                replicas: usize::try_from(pool.spec.replicas).unwrap_or(0),
                existing: existing.get(&name).cloned().unwrap_or_default(),
                name,
            }
        })
        .collect();
    let ids = assign(&sizes);
    let mut nodes = BTreeMap::new();
    for pool in pools {
        let name = pool.metadata.name.clone().unwrap_or_default();
        for id in ids.get(&name).into_iter().flatten() {
            let node = ValidatedNode {
                id: *id,
                pod: names.pod(&name, *id),
                broker: pool.spec.roles.contains(&NodeRole::Broker),
                controller: pool.spec.roles.contains(&NodeRole::Controller),
                pool: pool.clone(),
            };
            nodes.insert(*id, node);
        }
    }
    let shrinking = sizes
        .iter()
        .filter(|size| size.replicas < size.existing.len())
        .map(|size| size.name.clone())
        .collect();
    (nodes, shrinking)
}

fn option_problem(option: &str, value: &ConfigValue) -> Option<String> {
    let valid = !option.is_empty()
        && option
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !valid {
        return Some("an option's name has letters, digits, '.', '-' and '_'".to_owned());
    }
    if OWNED.iter().any(|owned| option.starts_with(owned)) {
        return Some(
            "belongs to the operator, which sets it for the mesh; take it away".to_owned(),
        );
    }
    match value.text() {
        None => Some("a value is a string, a number, true or false".to_owned()),
        Some(text) if text.contains(['\n', '\r']) => Some("a value is one line".to_owned()),
        Some(_) => None,
    }
}
