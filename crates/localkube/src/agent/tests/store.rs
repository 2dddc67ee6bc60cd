//! The API as a map.

use super::super::store::{
    Claim, Note, PodEvent, PodId, PodStore, SourceData, SourceKey, StoreError, Token, TokenWish,
};
use super::PATIENCE;
use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{broadcast, watch};
use tokio_stream::wrappers::BroadcastStream;

/// Everything the store holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    /// By UID.
    pub(crate) pods: BTreeMap<String, Pod>,
    /// Pods as they were when they were removed.
    pub(crate) removed: Vec<Pod>,
    pub(crate) sources: BTreeMap<SourceKey, SourceData>,
    pub(crate) claims: BTreeMap<String, Claim>,
    pub(crate) notes: Vec<(String, Note)>,
    pub(crate) tokens: Vec<TokenWish>,
    pub(crate) status_writes: usize,
}

pub(crate) struct MemoryStore {
    world: watch::Sender<World>,
    pods: broadcast::Sender<PodEvent>,
    changes: broadcast::Sender<SourceKey>,
}

impl World {
    pub(crate) fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods
            .values()
            .find(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    pub(crate) fn has_note(&self, reason: &str, text: &str) -> bool {
        let mut notes = self.notes.iter();
        notes.any(|(_, note)| note.reason == reason && note.message.contains(text))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            world: watch::Sender::default(),
            pods: broadcast::Sender::new(1024),
            changes: broadcast::Sender::new(1024),
        }
    }
}

impl MemoryStore {
    pub(crate) async fn until(&self, what: &str, condition: impl FnMut(&World) -> bool) -> World {
        let mut world = self.world.subscribe();
        let reached = tokio::time::timeout(PATIENCE, world.wait_for(condition)).await;
        match reached {
            Ok(world) => world.unwrap().clone(),
            Err(_) => panic!("not reached: {what}; {:#?}", *self.world.borrow()),
        }
    }

    pub(crate) fn world(&self) -> World {
        self.world.borrow().clone()
    }

    pub(crate) fn create(&self, pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap();
        self.change(&uid, |slot| *slot = Some(pod));
    }

    /// As `kubectl delete --grace-period`.
    pub(crate) fn delete(&self, name: &str, grace: i64) {
        let uid = self
            .world()
            .pod(name)
            .and_then(|pod| pod.metadata.uid.clone())
            .unwrap();
        self.change(&uid, |slot| {
            if let Some(pod) = slot {
                pod.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
                pod.metadata.deletion_grace_period_seconds = Some(grace);
            }
        });
    }

    /// The object is gone without the agent's doing.
    pub(crate) fn force_delete(&self, name: &str) {
        let uid = self
            .world()
            .pod(name)
            .and_then(|pod| pod.metadata.uid.clone())
            .unwrap();
        self.change(&uid, |slot| *slot = None);
    }

    pub(crate) fn put(&self, key: &SourceKey, data: &[(&str, &str)]) {
        let data = data
            .iter()
            .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
        self.world.send_modify(|world| {
            world.sources.insert(key.clone(), data.collect());
        });
        let _ = self.changes.send(key.clone());
    }

    pub(crate) fn bind_claim(&self, name: &str, uid: &str) {
        let claim = Claim {
            uid: uid.to_owned(),
            usable: true,
        };
        self.world.send_modify(|world| {
            world.claims.insert(name.to_owned(), claim);
        });
    }

    fn change(&self, uid: &str, change: impl FnOnce(&mut Option<Pod>)) {
        let mut event = None;
        self.world.send_modify(|world| {
            let before = world.pods.remove(uid);
            let mut slot = before.clone();
            change(&mut slot);
            event = match (slot, before) {
                (Some(pod), _) => {
                    world.pods.insert(uid.to_owned(), pod.clone());
                    Some(PodEvent::Changed(Arc::new(pod)))
                }
                (None, Some(pod)) => {
                    let gone = PodEvent::Gone(PodId::of(&pod));
                    world.removed.push(pod);
                    Some(gone)
                }
                (None, None) => None,
            };
        });
        if let Some(event) = event {
            let _ = self.pods.send(event);
        }
    }

    fn existing(&self, pod: &PodId) -> Result<(), StoreError> {
        let known = self.world.borrow().pods.contains_key(&pod.uid);
        known.then_some(()).ok_or_else(|| StoreError::Gone {
            what: pod.to_string(),
        })
    }
}

#[async_trait]
impl PodStore for MemoryStore {
    fn pods(&self) -> BoxStream<'static, PodEvent> {
        let changes = BroadcastStream::new(self.pods.subscribe());
        let all = self
            .world
            .borrow()
            .pods
            .values()
            .cloned()
            .map(Arc::new)
            .collect();
        let first = futures::stream::iter([PodEvent::All(all)]);
        first.chain(changes.map(|event| event.unwrap())).boxed()
    }

    fn source_changes(&self) -> BoxStream<'static, SourceKey> {
        BroadcastStream::new(self.changes.subscribe())
            .map(|key| key.unwrap())
            .boxed()
    }

    async fn bind(&self, pod: &PodId, node: &str) -> Result<(), StoreError> {
        self.existing(pod)?;
        self.change(&pod.uid, |slot| {
            let spec = slot.as_mut().and_then(|pod| pod.spec.as_mut());
            spec.unwrap().node_name = Some(node.to_owned());
        });
        Ok(())
    }

    async fn write_status(&self, pod: &PodId, status: &PodStatus) -> Result<(), StoreError> {
        self.existing(pod)?;
        self.world.send_modify(|world| world.status_writes += 1);
        self.change(&pod.uid, |slot| {
            if let Some(pod) = slot {
                pod.status = Some(status.clone());
            }
        });
        Ok(())
    }

    async fn remove(&self, pod: &PodId) -> Result<(), StoreError> {
        self.change(&pod.uid, |slot| *slot = None);
        Ok(())
    }

    async fn source(&self, key: &SourceKey) -> Result<Option<SourceData>, StoreError> {
        Ok(self.world.borrow().sources.get(key).cloned())
    }

    async fn claim(&self, _: &str, name: &str) -> Result<Option<Claim>, StoreError> {
        Ok(self.world.borrow().claims.get(name).cloned())
    }

    async fn token(&self, pod: &PodId, wish: &TokenWish) -> Result<Token, StoreError> {
        self.existing(pod)?;
        let mut number = 0;
        self.world.send_modify(|world| {
            world.tokens.push(wish.clone());
            number = world.tokens.len();
        });
        Ok(Token {
            value: format!("{}-{}-{number}", wish.service_account, wish.audience),
            expires: Timestamp::now() + SignedDuration::from_secs(wish.seconds),
        })
    }

    async fn record(&self, pod: &PodId, note: &Note) {
        self.world
            .send_modify(|world| world.notes.push((pod.name.clone(), note.clone())));
    }
}
