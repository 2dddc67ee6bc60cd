//! The stream of configuration to the sidecars: who gets what, and who has it.

mod server;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tubeway_config::{ClusterRef, Topology};

pub use server::ConfigStream;

/// The newest topology of each cluster, and which pods have taken which.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Topologies {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    clusters: BTreeMap<ClusterRef, Entry>,
}

#[derive(Debug)]
struct Entry {
    newest: watch::Sender<Option<Versioned>>,
    /// The version each connected pod has in force, or why it refused it.
    taken: BTreeMap<String, Result<u64, String>>,
}

/// A topology with the number that acknowledgements name.
#[derive(Debug, Clone)]
pub struct Versioned {
    /// Grows with every change.
    pub version: u64,
    /// The topology.
    pub topology: Arc<Topology>,
}

/// How far the newest topology has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    /// Sidecars that have it.
    pub current: usize,
    /// Sidecars that do not have it yet.
    pub behind: usize,
    /// The first refusal, with the pod's name.
    pub refused: Option<(String, String)>,
}

// === impl Topologies ===

impl Topologies {
    /// Makes `topology` the newest of its cluster, if it is another one.
    pub fn publish(&self, topology: Topology) {
        self.with(&topology.cluster.clone(), |entry| {
            entry.newest.send_if_modified(|newest| {
                if newest.as_ref().is_some_and(|n| *n.topology == topology) {
                    return false;
                }
                let version = newest.as_ref().map_or(0, |n| n.version) + 1;
                *newest = Some(Versioned {
                    version,
                    topology: Arc::new(topology),
                });
                true
            });
        });
    }

    /// Forgets a cluster that is gone.
    pub fn remove(&self, cluster: &ClusterRef) {
        self.lock().clusters.remove(cluster);
    }

    /// The newest topology of a cluster, now and whenever it changes.
    pub fn subscribe(&self, cluster: &ClusterRef) -> watch::Receiver<Option<Versioned>> {
        self.with(cluster, |entry| entry.newest.subscribe())
    }

    /// Notes what became of a version at a pod.
    pub fn taken(&self, cluster: &ClusterRef, pod: &str, outcome: Result<u64, String>) {
        self.with(cluster, |entry| {
            entry.taken.insert(pod.to_owned(), outcome);
        });
    }

    /// A pod's stream has ended.
    pub fn left(&self, cluster: &ClusterRef, pod: &str) {
        self.with(cluster, |entry| {
            entry.taken.remove(pod);
        });
    }

    /// How far the newest topology of a cluster has come.
    pub fn spread(&self, cluster: &ClusterRef) -> Spread {
        self.with(cluster, |entry| {
            let newest = entry.newest.borrow().as_ref().map_or(0, |n| n.version);
            let mut spread = Spread::default();
            for (pod, taken) in &entry.taken {
                match taken {
                    Ok(version) if *version == newest => spread.current += 1,
                    Ok(_) => spread.behind += 1,
                    Err(why) => {
                        spread.behind += 1;
                        spread.refused.get_or_insert((pod.clone(), why.clone()));
                    }
                }
            }
            spread
        })
    }

    fn with<T>(&self, cluster: &ClusterRef, act: impl FnOnce(&mut Entry) -> T) -> T {
        let mut inner = self.lock();
        let entry = inner
            .clusters
            .entry(cluster.clone())
            .or_insert_with(|| Entry {
                newest: watch::Sender::new(None),
                taken: BTreeMap::new(),
            });
        act(entry)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(identity: &str) -> Topology {
        Topology {
            cluster: "kafka/demo".parse().unwrap(),
            identity: identity.to_owned(),
            nodes: Vec::new(),
        }
    }

    #[test]
    fn the_same_topology_again_is_no_change() {
        let topologies = Topologies::default();
        let cluster: ClusterRef = "kafka/demo".parse().unwrap();
        let mut changes = topologies.subscribe(&cluster);
        topologies.publish(topology("a"));
        assert_eq!(changes.borrow_and_update().as_ref().unwrap().version, 1);
        topologies.publish(topology("a"));
        assert!(!changes.has_changed().unwrap());
        topologies.publish(topology("b"));
        assert_eq!(changes.borrow_and_update().as_ref().unwrap().version, 2);
    }

    #[test]
    fn the_spread_tells_who_is_behind_and_why() {
        let topologies = Topologies::default();
        let cluster: ClusterRef = "kafka/demo".parse().unwrap();
        topologies.publish(topology("a"));
        topologies.taken(&cluster, "p0", Ok(1));
        topologies.taken(&cluster, "p1", Ok(0));
        topologies.taken(&cluster, "p2", Err("no".to_owned()));
        let spread = topologies.spread(&cluster);
        assert_eq!((spread.current, spread.behind), (1, 2));
        assert_eq!(spread.refused, Some(("p2".to_owned(), "no".to_owned())));
        topologies.left(&cluster, "p1");
        assert_eq!(topologies.spread(&cluster).behind, 1);
    }
}
