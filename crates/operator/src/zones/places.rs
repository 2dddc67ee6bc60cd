//! Copies of what pods and nodes say of places, kept by watches.

use futures::future::{BoxFuture, Shared, join};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ApiResource, ObjectMeta};
use kube::core::Object;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use tokio::sync::watch;
use tracing::warn;

use super::map::{MAX_ADDRESSES, PodPlace, ZoneMap, zone_map};
use crate::watched::Watched;

/// The label of a node that says which zone it is in.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The watches have ended, and the copies with them.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the watches of pods and nodes have ended; the operator has to start again")]
pub struct PlacesGone;

/// Where pods are. Clones are one.
#[derive(Clone)]
pub struct Places {
    pods: Store<SlimPod>,
    pod: ApiResource,
    nodes: Store<Node>,
    /// Whether a pod's own label counts, before its node's.
    pods_say: bool,
    changes: watch::Receiver<u64>,
    /// One future for all who wait: a store wakes only the last that asked it.
    ready: Shared<BoxFuture<'static, Result<(), PlacesGone>>>,
}

/// Of ten thousand pods no more is kept than this.
type SlimPod = Object<SlimSpec, SlimStatus>;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimSpec {
    node_name: Option<String>,
}

/// Addresses stay text here: one that is none must not spoil the list of all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlimStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs", default)]
    pod_ips: Vec<SlimIp>,
}

#[derive(Debug, Clone, Deserialize)]
struct SlimIp {
    #[serde(default)]
    ip: String,
}

// === impl Places ===

impl Places {
    /// The places of all pods, and the future that keeps them until it is dropped.
    ///
    /// `pods_say` is for one machine that plays several zones: who may create a
    /// pod may then say where it is.
    pub fn new(client: &Client, pods_say: bool) -> (Self, BoxFuture<'static, ()>) {
        Self::watching(client, &Watched::All, pods_say)
    }

    /// The same of the pods in some namespaces.
    pub fn watching(
        client: &Client,
        watched: &Watched,
        pods_say: bool,
    ) -> (Self, BoxFuture<'static, ()>) {
        let (sender, changes) = watch::channel(0);
        let pod = ApiResource::erase::<Pod>(&());
        let of_pods = watched.events_of(
            client,
            &pod,
            |scope| match scope.namespace() {
                None => Api::all_with(client.clone(), &pod),
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &pod),
            },
            |pod: &mut SlimPod| slim(&mut pod.metadata),
        );
        let (pods, watching_pods) = reflect(of_pods, pod.clone(), sender.clone());
        let of_nodes = watcher(Api::<Node>::all(client.clone()), watcher::Config::default());
        let of_nodes = of_nodes.default_backoff().modify(|node| {
            slim(&mut node.metadata);
            (node.spec, node.status) = (None, None);
        });
        let (nodes, watching_nodes) = reflect(of_nodes.boxed(), (), sender);
        let listed = (pods.clone(), nodes.clone());
        let ready = async move {
            let gone = |_| PlacesGone;
            listed.0.wait_until_ready().await.map_err(gone)?;
            listed.1.wait_until_ready().await.map_err(gone)
        };
        let places = Self {
            pods,
            pod,
            nodes,
            pods_say,
            changes,
            ready: ready.boxed().shared(),
        };
        (
            places,
            join(watching_pods, watching_nodes).map(drop).boxed(),
        )
    }

    /// Waits until pods and nodes have been listed once.
    ///
    /// # Errors
    /// If the watches have ended.
    pub async fn ready(&self) -> Result<(), PlacesGone> {
        self.ready.clone().await
    }

    /// Whether they have.
    pub fn are_ready(&self) -> bool {
        matches!(self.ready().now_or_never(), Some(Ok(())))
    }

    /// Wakes after each change of a pod or a node.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// The zones of all pods' addresses.
    pub fn map(&self) -> ZoneMap {
        let pods = self.pods.state();
        let places = pods.iter().filter_map(|pod| self.place(pod));
        zone_map(places, MAX_ADDRESSES)
    }

    /// The zone of one pod, where it is known.
    pub fn zone_of(&self, namespace: &str, name: &str) -> Option<String> {
        let key = ObjectRef::new_with(name, self.pod.clone()).within(namespace);
        let pod = self.pods.get(&key)?;
        self.zone(&pod)
    }

    /// None for a pod that has no address, or has it no more.
    fn place(&self, pod: &SlimPod) -> Option<PodPlace> {
        let status = pod.status.as_ref()?;
        if matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")) {
            return None;
        }
        let all = status.pod_ips.iter().map(|pod_ip| &pod_ip.ip);
        let all = all.chain(&status.pod_ip);
        Some(PodPlace {
            addresses: all.filter_map(|ip| ip.parse().ok()).collect(),
            zone: self.zone(pod),
        })
    }

    fn zone(&self, pod: &SlimPod) -> Option<String> {
        let label = |meta: &ObjectMeta| meta.labels.as_ref()?.get(ZONE_LABEL).cloned();
        let own = self.pods_say.then(|| label(&pod.metadata)).flatten();
        let of_node = || {
            let node = self
                .nodes
                .get(&ObjectRef::new(pod.spec.node_name.as_ref()?))?;
            label(&node.metadata)
        };
        own.or_else(of_node).filter(|zone| !zone.is_empty())
    }
}

/// A copy that follows a watch.
fn reflect<K>(
    events: BoxStream<'static, watcher::Result<watcher::Event<K>>>,
    kind: K::DynamicType,
    changes: watch::Sender<u64>,
) -> (Store<K>, BoxFuture<'static, ()>)
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: std::hash::Hash + Eq + Clone + Send + Sync,
{
    let writer = reflector::store::Writer::new(kind.clone());
    let store = writer.as_reader();
    let watch = events.reflect(writer).for_each(move |event| {
        match event {
            // What a list brings counts when it is whole.
            Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
            Ok(_) => changes.send_modify(|count| *count = count.wrapping_add(1)),
            Err(error) => {
                let kind = K::kind(&kind);
                warn!(%kind, %error, "a watch of places has failed and is tried again");
            }
        }
        std::future::ready(())
    });
    (store, watch.boxed())
}

/// Keeps the name and the label that this is about.
fn slim(meta: &mut ObjectMeta) {
    let full = std::mem::take(meta);
    let zone = full.labels.and_then(|mut all| all.remove_entry(ZONE_LABEL));
    *meta = ObjectMeta {
        name: full.name,
        namespace: full.namespace,
        uid: full.uid,
        resource_version: full.resource_version,
        labels: zone.map(|zone| [zone].into()),
        ..ObjectMeta::default()
    };
}
