//! Which clusters can be reached right now, and how.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tubeway_api::MeshProvider;
use tubeway_config::{ClusterRef, Topology, ports};
use tubeway_identity::tls::{Expected, client_config};
use tubeway_policy::SpiffeId;

use super::{Admin, BrokerAddress, MeshConnect};
use crate::istio::Identities;

type MakeAdmin = dyn Fn(&Topology, MeshProvider) -> Option<Admin> + Send + Sync;

/// A cluster that can be reached.
#[derive(Clone)]
pub struct Entry {
    /// Its nodes.
    pub topology: Arc<Topology>,
    /// A client of it, which keeps its connections as long as the nodes stay.
    pub admin: Admin,
}

/// The admin clients of all clusters. Clones are one directory.
///
/// Whoever knows a cluster's nodes puts them in; whoever has something to do in
/// the cluster takes a client out, and is told when there is another.
#[derive(Clone)]
pub struct AdminDirectory {
    make: Arc<MakeAdmin>,
    entries: Arc<watch::Sender<BTreeMap<ClusterRef, Entry>>>,
}

// === impl AdminDirectory ===

impl AdminDirectory {
    /// Clients that go through the brokers' sidecars with the identity that the
    /// cluster's issuer gave, and accept none but the cluster's own nodes at the
    /// other end.
    pub fn mesh(identities: Identities) -> Self {
        Self::by(move |topology, provider| {
            let id: SpiffeId = topology.identity.parse().ok()?;
            let tls = client_config(
                &identities.of(provider),
                Expected::Exactly([id].into()),
                &[],
            );
            let addresses = topology
                .brokers()
                .map(|node| (node.host.clone(), node.address))
                .collect();
            Some(Admin::new(
                MeshConnect::new(tls, addresses),
                brokers(topology),
            ))
        })
    }

    /// Clients made by `make`; none leaves the cluster out.
    pub fn with(make: impl Fn(&Topology) -> Option<Admin> + Send + Sync + 'static) -> Self {
        Self::by(move |topology, _| make(topology))
    }

    fn by(make: impl Fn(&Topology, MeshProvider) -> Option<Admin> + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            entries: Arc::new(watch::Sender::new(BTreeMap::new())),
        }
    }

    /// Says where the nodes are of a cluster in this mesh. The same again changes nothing; no
    /// broker among them is as good as [`AdminDirectory::remove`].
    pub fn put(&self, topology: &Topology, mesh: MeshProvider) {
        let known = self.entries.borrow().get(&topology.cluster).cloned();
        if known.is_some_and(|entry| *entry.topology == *topology) {
            return;
        }
        let made = (topology.brokers().next().is_some())
            .then(|| (self.make)(topology, mesh))
            .flatten();
        let Some(admin) = made else {
            return self.remove(&topology.cluster);
        };
        let entry = Entry {
            topology: Arc::new(topology.clone()),
            admin,
        };
        self.entries.send_modify(|entries| {
            entries.insert(topology.cluster.clone(), entry);
        });
    }

    /// Says that a cluster cannot be reached any more.
    pub fn remove(&self, cluster: &ClusterRef) {
        self.entries
            .send_if_modified(|entries| entries.remove(cluster).is_some());
    }

    /// A cluster's entry, if it can be reached.
    pub fn get(&self, cluster: &ClusterRef) -> Option<Entry> {
        self.entries.borrow().get(cluster).cloned()
    }

    /// Wakes whenever a cluster comes, goes or has other nodes.
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<ClusterRef, Entry>> {
        self.entries.subscribe()
    }
}

impl fmt::Debug for AdminDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.borrow().keys()).finish()
    }
}

/// Where a cluster's brokers serve clients.
fn brokers(topology: &Topology) -> Vec<BrokerAddress> {
    topology
        .brokers()
        .map(|node| BrokerAddress::new(node.host.clone(), ports::CLIENT))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_admin::PlainConnect;

    fn topology(address: &str) -> Topology {
        let json = serde_json::json!({
            "cluster": {"namespace": "kafka", "name": "main"},
            "identity": "spiffe://td/ns/kafka/sa/main",
            "nodes": [{"id": 1, "host": "n1", "address": address, "roles": ["broker"]}],
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn only_a_change_wakes_and_makes_a_new_client() {
        let directory = AdminDirectory::with(|t| Some(Admin::new(PlainConnect, brokers(t))));
        let mut changes = directory.subscribe();
        directory.put(&topology("10.0.0.1"), MeshProvider::Builtin);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();

        directory.put(&topology("10.0.0.1"), MeshProvider::Builtin);
        assert!(!changes.has_changed().unwrap());
        directory.put(&topology("10.0.0.2"), MeshProvider::Builtin);
        assert!(changes.has_changed().unwrap());
        let cluster = topology("10.0.0.1").cluster;
        let entry = directory.get(&cluster).unwrap();
        assert_eq!(entry.admin.brokers(), [BrokerAddress::new("n1", 9092)]);

        let mut none = topology("10.0.0.1");
        none.nodes.clear();
        directory.put(&none, MeshProvider::Builtin);
        assert!(directory.get(&cluster).is_none());
    }
}
