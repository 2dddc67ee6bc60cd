//! Which nodes a Kafka cluster has, where they are, and who they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Problem};

/// A Kafka cluster by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterRef {
    /// Namespace of the KafkaCluster.
    pub namespace: String,
    /// Name of the KafkaCluster.
    pub name: String,
}

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Stores records and serves clients.
    Broker,
    /// Votes in the metadata quorum.
    Controller,
}

/// One node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    /// Kafka's `node.id`.
    pub id: u32,
    /// The name the node advertises to its peers and in metadata.
    pub host: String,
    /// The pod's address, where its sidecar listens.
    pub address: IpAddr,
    /// What the node does.
    pub roles: BTreeSet<NodeRole>,
    /// The zone the node runs in (`broker.rack`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
}

/// The nodes of one cluster, and the one SPIFFE id that all of them have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Topology {
    /// Which cluster this is.
    pub cluster: ClusterRef,
    /// SPIFFE id of the cluster's nodes: who may replicate, and who a client
    /// sidecar expects at a broker's address.
    pub identity: String,
    /// The nodes with an address, by node id.
    pub nodes: Vec<Node>,
}

/// What is different between two topologies of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopologyChange {
    /// Node ids that were not there before.
    pub added: BTreeSet<u32>,
    /// Node ids that are gone.
    pub removed: BTreeSet<u32>,
    /// Node ids whose host or address is another.
    pub moved: BTreeSet<u32>,
}

// === impl ClusterRef ===

impl std::fmt::Display for ClusterRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl std::str::FromStr for ClusterRef {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err(format!("{s:?} is not <namespace>/<cluster>")),
        }
    }
}

// === impl Topology ===

impl Topology {
    /// Reads and checks a document; every problem in it is reported at once.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ConfigError> {
        let topology: Self =
            serde_json::from_slice(bytes).map_err(|e| ConfigError::Syntax(e.to_string()))?;
        topology.check()?;
        Ok(topology)
    }

    /// The document's one written form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_else(|_| unreachable!("a topology is always JSON"))
    }

    /// The node with this id.
    pub fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The nodes that serve clients.
    pub fn brokers(&self) -> impl Iterator<Item = &Node> {
        self.nodes
            .iter()
            .filter(|node| node.roles.contains(&NodeRole::Broker))
    }

    /// What must change where `old` was in force.
    pub fn change_from(&self, old: &Self) -> TopologyChange {
        let before: BTreeMap<_, _> = old.nodes.iter().map(|n| (n.id, n)).collect();
        let after: BTreeMap<_, _> = self.nodes.iter().map(|n| (n.id, n)).collect();
        TopologyChange {
            added: after
                .keys()
                .filter(|id| !before.contains_key(id))
                .copied()
                .collect(),
            removed: before
                .keys()
                .filter(|id| !after.contains_key(id))
                .copied()
                .collect(),
            moved: after
                .iter()
                .filter(|(id, node)| {
                    before
                        .get(id)
                        .is_some_and(|b| b.host != node.host || b.address != node.address)
                })
                .map(|(id, _)| *id)
                .collect(),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        if let Err(e) = self.identity.parse::<tubeway_policy::SpiffeId>() {
            problems.push(Problem::new("identity", e.to_string()));
        }
        let mut ids = BTreeSet::new();
        let mut hosts = BTreeSet::new();
        for (i, node) in self.nodes.iter().enumerate() {
            if !ids.insert(node.id) {
                problems.push(Problem::new(
                    format!("nodes[{i}].id"),
                    format!("{} is another node's id already", node.id),
                ));
            }
            if node.host.is_empty() || !hosts.insert(node.host.as_str()) {
                problems.push(Problem::new(
                    format!("nodes[{i}].host"),
                    format!("{:?} must be a name that no other node has", node.host),
                ));
            }
            if node.roles.is_empty() {
                problems.push(Problem::new(
                    format!("nodes[{i}].roles"),
                    "a node is a broker, a controller or both",
                ));
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        let node = |id: u32| Node {
            id,
            host: format!("demo-{id}.demo.kafka.svc"),
            address: IpAddr::from([127, 20, id as u8, 1]),
            roles: [NodeRole::Broker, NodeRole::Controller].into(),
            rack: None,
        };
        Topology {
            cluster: "kafka/demo".parse().unwrap(),
            identity: "spiffe://cluster.local/ns/kafka/sa/demo-node".to_owned(),
            nodes: (0..3).map(node).collect(),
        }
    }

    #[test]
    fn survives_its_own_json() {
        assert_eq!(Topology::from_json(&topology().to_json()), Ok(topology()));
    }

    #[test]
    fn every_problem_is_reported_with_its_path() {
        let mut bad = topology();
        bad.identity = "cluster.local".to_owned();
        bad.nodes[2].id = 0;
        bad.nodes[1].roles.clear();
        let Err(ConfigError::Invalid(problems)) = Topology::from_json(&bad.to_json()) else {
            panic!("accepted a bad topology");
        };
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["identity", "nodes[1].roles", "nodes[2].id"]);
    }

    #[test]
    fn an_unknown_field_is_refused_rather_than_ignored() {
        let text = String::from_utf8(topology().to_json()).unwrap();
        let text = text
            .replacen("\"rack\"", "\"x\"", 1)
            .replacen('{', "{\"deny\":[],", 1);
        assert!(matches!(
            Topology::from_json(text.as_bytes()),
            Err(ConfigError::Syntax(_))
        ));
    }

    #[test]
    fn a_change_names_the_nodes_it_concerns() {
        let old = topology();
        let mut new = topology();
        new.nodes.remove(0);
        new.nodes[0].address = IpAddr::from([127, 20, 9, 1]);
        new.nodes.push(Node {
            id: 7,
            host: "demo-7".to_owned(),
            ..new.nodes[1].clone()
        });
        let change = new.change_from(&old);
        assert_eq!(change.added, [7].into());
        assert_eq!(change.removed, [0].into());
        assert_eq!(change.moved, [1].into());
    }
}
