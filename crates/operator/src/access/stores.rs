//! Copies of the objects that access depends on, kept by watches.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, Shared, join_all};
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::core::ClusterResourceScope;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing::warn;
use tubeway_api::{KafkaAcl, KafkaCluster, KafkaQuota, KafkaTopic};
use tubeway_policy::rbac::{self, ObjectRef};

use super::claimants::Claimants;
use super::inputs;
use crate::watched::{self, Watched};

/// The watches have ended, and the copies with them.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the watches of access rules have ended; the operator has to start again")]
pub struct StoresGone;

/// The copies. Clones are the same ones.
#[derive(Clone)]
pub struct Stores {
    roles: Store<Role>,
    role_bindings: Store<RoleBinding>,
    cluster_roles: Store<ClusterRole>,
    cluster_role_bindings: Store<ClusterRoleBinding>,
    service_accounts: Store<ServiceAccount>,
    namespaces: Store<Namespace>,
    topics: Topics,
    clusters: Store<KafkaCluster>,
    acls: Store<KafkaAcl>,
    quotas: Store<KafkaQuota>,
    watched: Watched,
    changes: watch::Receiver<u64>,
    /// One future for all who wait: a store wakes only the last that asked it.
    ready: Shared<BoxFuture<'static, Result<(), StoresGone>>>,
}

/// What is kept of KafkaTopics. Clones are the same ones.
#[derive(Clone, Default)]
struct Topics {
    claimants: Arc<Mutex<Claimants>>,
    /// Whether they have been listed once.
    listed: Arc<watch::Sender<bool>>,
}

/// What a watch says.
type Said<K> = watcher::Result<watcher::Event<K>>;

/// The watches of copies that are being begun.
struct Copies {
    changes: watch::Sender<u64>,
    watches: Vec<BoxFuture<'static, ()>>,
}

// === impl Stores ===

impl Stores {
    /// The stores over all namespaces, and the future that keeps them until it
    /// is dropped.
    pub fn new(client: &Client) -> (Self, BoxFuture<'static, ()>) {
        Self::watching(client, &Watched::All)
    }

    /// The same over some namespaces, of kinds that live in namespaces.
    pub fn watching(client: &Client, watched: &Watched) -> (Self, BoxFuture<'static, ()>) {
        let (sender, changes) = watch::channel(0);
        let mut copies = Copies {
            changes: sender,
            watches: Vec::new(),
        };
        let mut stores = Self {
            roles: copies.reflect(watched.events(client)),
            role_bindings: copies.reflect(watched.events(client)),
            cluster_roles: copies.reflect(everywhere(client)),
            cluster_role_bindings: copies.reflect(everywhere(client)),
            service_accounts: copies.reflect(watched.events(client)),
            namespaces: copies.reflect(everywhere(client)),
            topics: copies.follow(watched.events(client)),
            clusters: copies.reflect(watched.events(client)),
            acls: copies.reflect(watched.events(client)),
            quotas: copies.reflect(watched.events(client)),
            watched: watched.clone(),
            changes,
            ready: at_once(),
        };
        stores.ready = stores.clone().listed().boxed().shared();
        let all = async move {
            join_all(copies.watches).await;
        };
        (stores, Box::pin(all))
    }

    /// The namespaces that the copies are of.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Waits until every kind has been listed once.
    pub async fn ready(&self) -> Result<(), StoresGone> {
        self.ready.clone().await
    }

    async fn listed(self) -> Result<(), StoresGone> {
        let gone = |_| StoresGone;
        self.roles.wait_until_ready().await.map_err(gone)?;
        self.role_bindings.wait_until_ready().await.map_err(gone)?;
        self.cluster_roles.wait_until_ready().await.map_err(gone)?;
        self.cluster_role_bindings
            .wait_until_ready()
            .await
            .map_err(gone)?;
        self.service_accounts
            .wait_until_ready()
            .await
            .map_err(gone)?;
        self.namespaces.wait_until_ready().await.map_err(gone)?;
        self.topics.listed().await;
        self.acls.wait_until_ready().await.map_err(gone)?;
        self.quotas.wait_until_ready().await.map_err(gone)?;
        self.clusters.wait_until_ready().await.map_err(gone)
    }

    /// Wakes after each change of any object.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// The KafkaTopics, as the policy sees them.
    pub fn topics(&self) -> Vec<rbac::Topic> {
        self.topics.claimants().all()
    }

    /// The other KafkaTopics that are about the same topic as this one.
    pub fn rivals(&self, own: &rbac::Topic) -> Vec<rbac::Topic> {
        self.topics.claimants().rivals(own)
    }

    /// The KafkaClusters.
    pub fn clusters(&self) -> &Store<KafkaCluster> {
        &self.clusters
    }

    /// The KafkaAcls.
    pub fn acls(&self) -> Vec<Arc<KafkaAcl>> {
        self.acls.state()
    }

    /// The KafkaQuotas.
    pub fn quotas(&self) -> Vec<Arc<KafkaQuota>> {
        self.quotas.state()
    }

    /// The KafkaCluster of this name.
    pub fn cluster(&self, object: &ObjectRef) -> Option<Arc<KafkaCluster>> {
        let key = reflector::ObjectRef::new(&object.name).within(&object.namespace);
        self.clusters.get(&key)
    }

    /// A KafkaCluster as the policy sees it.
    pub fn policy_cluster(&self, cluster: &KafkaCluster) -> rbac::Cluster {
        let namespaces = self.namespaces.state();
        inputs::rbac_cluster(cluster, namespaces.iter().map(AsRef::as_ref))
    }

    /// Everything, as the policy sees it.
    pub fn inputs(&self, trust_domain: &str) -> rbac::Inputs {
        let bindings = self.role_bindings.state();
        let bindings = bindings.iter().filter_map(|b| inputs::role_binding(b));
        let of_cluster = self.cluster_role_bindings.state();
        let of_cluster = of_cluster
            .iter()
            .filter_map(|b| inputs::cluster_role_binding(b));
        let clusters = self.clusters.state();
        rbac::Inputs {
            trust_domain: trust_domain.to_owned(),
            roles: all(&self.roles, inputs::role),
            cluster_roles: all(&self.cluster_roles, inputs::cluster_role),
            bindings: bindings.chain(of_cluster).collect(),
            service_accounts: all(&self.service_accounts, inputs::key),
            topics: self.topics(),
            clusters: clusters.iter().map(|c| self.policy_cluster(c)).collect(),
        }
    }
}

fn all<K, T>(store: &Store<K>, convert: impl Fn(&K) -> T) -> Vec<T>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state().iter().map(|object| convert(object)).collect()
}

fn at_once() -> Shared<BoxFuture<'static, Result<(), StoresGone>>> {
    futures::future::ready(Ok(())).boxed().shared()
}

/// The watch of a kind that lives in no namespace.
fn everywhere<K>(client: &Client) -> BoxStream<'static, Said<K>>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = Api::<K>::all(client.clone());
    let events = watcher(api, watcher::Config::default());
    events.default_backoff().modify(watched::slim).boxed()
}

// === impl Topics ===

impl Topics {
    fn claimants(&self) -> MutexGuard<'_, Claimants> {
        self.claimants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what the watch says; whether that changes anything.
    fn take(&self, event: &watcher::Event<KafkaTopic>) -> bool {
        let changed = self.claimants().take(event);
        if matches!(event, watcher::Event::InitDone) {
            self.listed.send_replace(true);
        }
        changed
    }

    async fn listed(&self) {
        let mut listed = self.listed.subscribe();
        // Fails only when the sender is gone, and `self` holds it.
        let _ = listed.wait_for(|listed| *listed).await;
    }
}

// === impl Copies ===

impl Copies {
    /// What is kept of topics, which follows their watch.
    fn follow(&mut self, events: BoxStream<'static, Said<KafkaTopic>>) -> Topics {
        let topics = Topics::default();
        let kept = topics.clone();
        self.keep(events, move |event| kept.take(event));
        topics
    }

    /// A copy that follows a watch.
    fn reflect<K>(&mut self, events: BoxStream<'static, Said<K>>) -> Store<K>
    where
        K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
    {
        let (store, writer) = reflector::store();
        self.keep(events.reflect(writer), |event| {
            // What a list brings counts when it is whole.
            let in_a_list = matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
            !in_a_list
        });
        store
    }

    /// Follows a watch; `takes` says whether an event changes anything.
    fn keep<K>(
        &mut self,
        events: impl Stream<Item = Said<K>> + Send + 'static,
        takes: impl Fn(&watcher::Event<K>) -> bool + Send + 'static,
    ) where
        K: Resource<DynamicType = ()> + 'static,
    {
        let changes = self.changes.clone();
        let watch = events.for_each(move |event| {
            match event {
                Ok(event) if takes(&event) => {
                    changes.send_modify(|count| *count = count.wrapping_add(1));
                }
                Ok(_) => {}
                Err(error) => {
                    let kind = K::kind(&());
                    warn!(kind = %kind, %error, "a watch has failed and is tried again");
                }
            }
            std::future::ready(())
        });
        self.watches.push(Box::pin(watch));
    }
}

#[cfg(test)]
impl Stores {
    /// Stores that hold these objects and never change.
    pub(crate) fn fixed(
        topics: Vec<KafkaTopic>,
        clusters: Vec<KafkaCluster>,
        namespaces: Vec<Namespace>,
    ) -> Self {
        let kept = Topics::default();
        for topic in topics {
            kept.take(&watcher::Event::Apply(topic));
        }
        Self {
            roles: fixed(Vec::new()),
            role_bindings: fixed(Vec::new()),
            cluster_roles: fixed(Vec::new()),
            cluster_role_bindings: fixed(Vec::new()),
            service_accounts: fixed(Vec::new()),
            namespaces: fixed(namespaces),
            topics: kept,
            clusters: fixed(clusters),
            acls: fixed(Vec::new()),
            quotas: fixed(Vec::new()),
            watched: Watched::All,
            changes: watch::channel(0).1,
            ready: at_once(),
        }
    }

    /// The same with these KafkaAcls.
    pub(crate) fn with_acls(mut self, acls: Vec<KafkaAcl>) -> Self {
        self.acls = fixed(acls);
        self
    }

    /// The same with these KafkaQuotas.
    pub(crate) fn with_quotas(mut self, quotas: Vec<KafkaQuota>) -> Self {
        self.quotas = fixed(quotas);
        self
    }
}

#[cfg(test)]
fn fixed<K>(objects: Vec<K>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&watcher::Event::Init);
    for object in objects {
        writer.apply_watcher_event(&watcher::Event::InitApply(object));
    }
    writer.apply_watcher_event(&watcher::Event::InitDone);
    store
}
