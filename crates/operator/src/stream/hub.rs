//! The newest document of each cluster, and who has taken it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tubeway_config::stream::{ACCESS, Outcome, TOPOLOGY, ZONES};
use tubeway_config::{Access, ClusterRef, Topology, Zones};

use super::plan::QuotaPlan;

/// Most pods of one cluster whose acknowledgements are remembered.
const MAX_PODS: usize = 4096;

/// What sidecars are told about a cluster: one document, always whole.
pub trait Document: PartialEq + Send + Sync + 'static {
    /// The concern that it is sent as.
    const CONCERN: &'static str;

    /// Which cluster it is about.
    fn cluster(&self) -> &ClusterRef;

    /// As it is sent to a node's pod, or to a client.
    fn to_json(&self, node: Option<&str>) -> Vec<u8>;
}

/// The newest document of each cluster, and which nodes' sidecars have taken it.
///
/// Cheap to clone; all clones are one. Never blocks for longer than a map
/// look-up takes.
#[derive(Debug)]
pub struct Documents<T> {
    shared: Arc<Shared<T>>,
}

/// Where the nodes of each cluster are.
pub type Topologies = Documents<Topology>;

/// Who may do what on each cluster.
pub type AccessDocuments = Documents<Access>;

/// Where the callers of each cluster are.
pub type ZoneDocuments = Documents<Zones>;

/// How much anyone may use of each cluster.
pub type QuotaPlans = Documents<QuotaPlan>;

/// A document with the number that sidecars acknowledge it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// Grows with every change, also over restarts of the operator.
    pub version: u64,
    /// The document.
    pub document: T,
}

/// One sidecar's place in line for a cluster's document; leaves it on drop.
#[derive(Debug)]
pub struct Subscription<T: Document> {
    hub: Documents<T>,
    cluster: ClusterRef,
    /// Set for the cluster's own nodes: their acknowledgements count.
    node: Option<String>,
    documents: watch::Receiver<Option<Arc<Versioned<T>>>>,
}

#[derive(Debug)]
struct Shared<T> {
    clusters: Mutex<State<T>>,
    acknowledged: Notify,
    /// Counts acknowledgements, and nodes that come and go.
    news: watch::Sender<u64>,
}

#[derive(Debug)]
struct State<T> {
    last_version: u64,
    closed: bool,
    clusters: BTreeMap<ClusterRef, Entry<T>>,
    /// Clusters with acknowledgements nobody has looked at yet.
    dirty: BTreeSet<ClusterRef>,
}

#[derive(Debug)]
struct Entry<T> {
    documents: watch::Sender<Option<Arc<Versioned<T>>>>,
    nodes: BTreeMap<String, Acknowledged>,
}

#[derive(Debug, Default)]
struct Acknowledged {
    /// Streams of this pod; a new one may open before the old one is seen to end.
    streams: usize,
    version: u64,
    error: String,
    /// The last version that was not refused.
    taken: u64,
}

// === impl Document ===

impl Document for Topology {
    const CONCERN: &'static str = TOPOLOGY;

    fn cluster(&self) -> &ClusterRef {
        &self.cluster
    }

    fn to_json(&self, _: Option<&str>) -> Vec<u8> {
        Self::to_json(self)
    }
}

impl Document for Access {
    const CONCERN: &'static str = ACCESS;

    fn cluster(&self) -> &ClusterRef {
        &self.cluster
    }

    fn to_json(&self, _: Option<&str>) -> Vec<u8> {
        Self::to_json(self)
    }
}

impl Document for Zones {
    const CONCERN: &'static str = ZONES;

    fn cluster(&self) -> &ClusterRef {
        &self.cluster
    }

    fn to_json(&self, _: Option<&str>) -> Vec<u8> {
        Self::to_json(self)
    }
}

// === impl Documents ===

impl<T> Clone for Documents<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Default for Documents<T> {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                clusters: Mutex::new(State {
                    last_version: 0,
                    closed: false,
                    clusters: BTreeMap::new(),
                    dirty: BTreeSet::new(),
                }),
                acknowledged: Notify::new(),
                news: watch::Sender::new(0),
            }),
        }
    }
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self {
            documents: watch::Sender::default(),
            nodes: BTreeMap::new(),
        }
    }
}

impl<T: Document> Documents<T> {
    /// No documents yet; the first one's version is above `version`.
    ///
    /// Pass something that grows over restarts, such as the time.
    pub fn above(version: u64) -> Self {
        let hub = Self::default();
        hub.lock().last_version = version;
        hub
    }

    /// Makes this the cluster's document; returns whether it is another one.
    pub fn publish(&self, document: T) -> bool {
        let mut state = self.lock();
        let version = state.last_version + 1;
        let entry = state
            .clusters
            .entry(document.cluster().clone())
            .or_default();
        let same = entry
            .documents
            .borrow()
            .as_ref()
            .is_some_and(|old| old.document == document);
        if !same {
            entry
                .documents
                .send_replace(Some(Arc::new(Versioned { version, document })));
            state.last_version = version;
        }
        !same
    }

    /// Forgets a cluster that is gone. Its sidecars keep what they have.
    pub fn forget(&self, cluster: &ClusterRef) {
        self.lock().clusters.remove(cluster);
    }

    /// The cluster's newest document.
    pub fn current(&self, cluster: &ClusterRef) -> Option<Arc<Versioned<T>>> {
        let state = self.lock();
        state.clusters.get(cluster)?.documents.borrow().clone()
    }

    /// The newest document of every cluster that has one.
    pub fn all(&self) -> Vec<Arc<Versioned<T>>> {
        let state = self.lock();
        let entries = state.clusters.values();
        let documents = entries.filter_map(|entry| entry.documents.borrow().clone());
        documents.collect()
    }

    /// Joins the line for a cluster's document, which may come later.
    ///
    /// `node` is the pod's name where the caller is one of the cluster's own
    /// nodes. `None` when the operator is about to stop.
    pub fn subscribe(&self, cluster: &ClusterRef, node: Option<String>) -> Option<Subscription<T>> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        let entry = state.clusters.entry(cluster.clone()).or_default();
        let known = entry.nodes.len();
        let node = node.filter(|pod| known < MAX_PODS || entry.nodes.contains_key(pod));
        if let Some(pod) = &node {
            entry.nodes.entry(pod.clone()).or_default().streams += 1;
            self.shared.news.send_modify(|n| *n = n.wrapping_add(1));
        }
        Some(Subscription {
            documents: entry.documents.subscribe(),
            hub: self.clone(),
            cluster: cluster.clone(),
            node,
        })
    }

    /// The connected nodes that have not taken the newest document, each with
    /// what it said against it.
    pub fn behind(&self, cluster: &ClusterRef) -> BTreeMap<String, String> {
        self.lacking(cluster, u64::MAX)
    }

    /// The connected nodes that have not taken this version, or the newest if
    /// that is older, each with what it said against the last it was sent.
    pub fn lacking(&self, cluster: &ClusterRef, version: u64) -> BTreeMap<String, String> {
        let state = self.lock();
        let Some(entry) = state.clusters.get(cluster) else {
            return BTreeMap::new();
        };
        let newest = entry.documents.borrow().as_ref().map_or(0, |d| d.version);
        let version = version.min(newest);
        entry
            .nodes
            .iter()
            .filter(|(_, ack)| ack.version < version || !ack.error.is_empty())
            .map(|(pod, ack)| (pod.clone(), ack.error.clone()))
            .collect()
    }

    /// The last version that each connected node has taken, 0 for none.
    pub fn taken(&self, cluster: &ClusterRef) -> BTreeMap<String, u64> {
        let state = self.lock();
        let nodes = state.clusters.get(cluster).map(|entry| &entry.nodes);
        let nodes = nodes.into_iter().flatten();
        nodes.map(|(pod, ack)| (pod.clone(), ack.taken)).collect()
    }

    /// Changes whenever a node of any cluster comes, acknowledges or goes.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    /// The pods of the cluster's nodes that are on the stream.
    pub fn connected(&self, cluster: &ClusterRef) -> BTreeSet<String> {
        let state = self.lock();
        state
            .clusters
            .get(cluster)
            .map(|entry| entry.nodes.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Waits for acknowledgements and says whose clusters they are about; many
    /// that come together are one answer.
    pub async fn acknowledged(&self) -> BTreeSet<ClusterRef> {
        loop {
            let news = self.shared.acknowledged.notified();
            let dirty = std::mem::take(&mut self.lock().dirty);
            if !dirty.is_empty() {
                return dirty;
            }
            news.await;
        }
    }

    /// Ends every stream; nobody can join any more.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.clusters.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.shared
            .clusters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, mut state: MutexGuard<'_, State<T>>, cluster: &ClusterRef) {
        state.dirty.insert(cluster.clone());
        drop(state);
        self.shared.news.send_modify(|n| *n = n.wrapping_add(1));
        self.shared.acknowledged.notify_waiters();
        // Whoever comes to wait just now must not miss it.
        self.shared.acknowledged.notify_one();
    }
}

// === impl Subscription ===

impl<T: Document> Subscription<T> {
    /// The next document; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Arc<Versioned<T>>> {
        loop {
            self.documents.changed().await.ok()?;
            let document = self.documents.borrow_and_update().clone();
            if document.is_some() {
                return document;
            }
        }
    }

    /// The next document, if it is there already.
    pub fn ready(&mut self) -> Option<Arc<Versioned<T>>> {
        if !self.documents.has_changed().unwrap_or_default() {
            return None;
        }
        self.documents.borrow_and_update().clone()
    }

    /// Makes the document that is already there the next one.
    #[must_use]
    pub fn from_now(mut self) -> Self {
        self.documents.mark_changed();
        self
    }

    /// A document as it is sent to this sidecar.
    pub fn to_json(&self, document: &T) -> Vec<u8> {
        document.to_json(self.node.as_deref())
    }

    /// What became of a document at this sidecar.
    pub fn acknowledge(&self, outcome: &Outcome) {
        let Some(pod) = &self.node else { return };
        let mut state = self.hub.lock();
        let Some(entry) = state.clusters.get_mut(&self.cluster) else {
            return;
        };
        let Some(ack) = entry.nodes.get_mut(pod) else {
            return;
        };
        ack.version = outcome.version;
        ack.error = outcome.error.chars().take(256).collect();
        if ack.error.is_empty() {
            ack.taken = outcome.version;
        }
        self.hub.tell(state, &self.cluster);
    }
}

impl<T: Document> Drop for Subscription<T> {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        let Some(entry) = state.clusters.get_mut(&self.cluster) else {
            return;
        };
        if let Some(pod) = &self.node
            && let Some(ack) = entry.nodes.get_mut(pod)
        {
            ack.streams = ack.streams.saturating_sub(1);
            if ack.streams == 0 {
                entry.nodes.remove(pod);
            }
        }
        // This receiver is still counted. A name that no cluster has is not
        // kept once the last who asked for it has gone.
        let unwanted = entry.documents.receiver_count() <= 1 && entry.documents.borrow().is_none();
        if unwanted {
            state.clusters.remove(&self.cluster);
        }
        if self.node.is_some() {
            self.hub.tell(state, &self.cluster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> ClusterRef {
        "kafka/demo".parse().unwrap()
    }

    fn topology(identity: &str) -> Topology {
        Topology {
            cluster: cluster(),
            identity: identity.to_owned(),
            nodes: Vec::new(),
        }
    }

    fn took(version: u64) -> Outcome {
        Outcome {
            version,
            ..Outcome::default()
        }
    }

    #[tokio::test]
    async fn a_document_reaches_those_who_came_before_and_after_it() {
        let hub = Topologies::above(100);
        let mut early = hub.subscribe(&cluster(), None).unwrap();
        assert!(hub.publish(topology("a")));
        assert_eq!(early.next().await.unwrap().version, 101);
        let mut late = hub.subscribe(&cluster(), None).unwrap().from_now();
        assert_eq!(late.next().await.unwrap().version, 101);
        assert!(!hub.publish(topology("a")), "the same again is no change");
        assert!(hub.publish(topology("b")));
        assert_eq!(late.next().await.unwrap().version, 102);
    }

    #[tokio::test]
    async fn nodes_are_behind_until_they_take_the_newest() {
        let hub = Topologies::default();
        hub.publish(topology("a"));
        let node = hub.subscribe(&cluster(), Some("demo-0".into())).unwrap();
        let _client = hub.subscribe(&cluster(), None).unwrap();
        assert_eq!(hub.behind(&cluster()).len(), 1);
        node.acknowledge(&took(1));
        assert_eq!(hub.acknowledged().await, [cluster()].into());
        assert!(hub.behind(&cluster()).is_empty());
        hub.publish(topology("b"));
        node.acknowledge(&Outcome {
            version: 2,
            error: "no".into(),
            ..Outcome::default()
        });
        assert_eq!(hub.behind(&cluster())["demo-0"], "no");
        drop(node);
        assert!(hub.behind(&cluster()).is_empty());
        assert!(hub.connected(&cluster()).is_empty());
    }

    #[tokio::test]
    async fn a_refused_version_is_not_taken_and_an_older_one_can_be_asked_for() {
        let hub = Topologies::default();
        let mut news = hub.news();
        let node = hub.subscribe(&cluster(), Some("demo-0".into())).unwrap();
        assert!(news.has_changed().unwrap(), "a node has come");
        hub.publish(topology("a"));
        node.acknowledge(&took(1));
        hub.publish(topology("b"));
        news.mark_unchanged();
        assert!(hub.lacking(&cluster(), 1).is_empty());
        assert_eq!(hub.lacking(&cluster(), 2).len(), 1);
        node.acknowledge(&Outcome {
            version: 2,
            error: "no".into(),
            ..Outcome::default()
        });
        assert!(news.has_changed().unwrap(), "a node has answered");
        assert_eq!(hub.lacking(&cluster(), 1)["demo-0"], "no");
        assert_eq!(hub.taken(&cluster())["demo-0"], 1);
    }

    #[tokio::test]
    async fn a_reconnect_that_overlaps_keeps_the_pod_connected() {
        let hub = Topologies::default();
        hub.publish(topology("a"));
        let old = hub.subscribe(&cluster(), Some("demo-0".into())).unwrap();
        let _new = hub.subscribe(&cluster(), Some("demo-0".into())).unwrap();
        drop(old);
        assert!(hub.connected(&cluster()).contains("demo-0"));
    }

    #[test]
    fn names_that_no_cluster_has_are_not_kept() {
        let hub = Topologies::default();
        for i in 0..100 {
            let name = format!("nobody/c{i}").parse().unwrap();
            drop(hub.subscribe(&name, None));
        }
        assert!(hub.lock().clusters.is_empty());
    }

    #[tokio::test]
    async fn closing_ends_every_stream() {
        let hub = Topologies::default();
        let mut stream = hub.subscribe(&cluster(), None).unwrap();
        hub.close();
        assert!(stream.next().await.is_none());
        assert!(hub.subscribe(&cluster(), None).is_none());
    }
}
