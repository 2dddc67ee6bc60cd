//! Every object, in memory, with its history and its copy on disk.
//!
//! # Guarantees
//! * One resource version counts all writes; it never goes back, not even over a crash.
//! * A write that was acknowledged survives `kill -9`: whoever answers a request first awaits
//!   [`Store::settled`], so nobody is ever told of a state that the disk does not hold.
//! * Watchers see every change once and in order, or learn that they are too late.
//!
//! # Assumptions
//! Critical sections do no I/O: changes go to the disk through one writer thread that commits
//! whatever has gathered since its last commit (group commit).

mod disk;
mod ring;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;

use disk::{Disk, Entry};
use ring::Ring;

/// How many changes are kept for watchers that come late.
const HISTORY: usize = 10_000;

/// When changes are on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Before whoever asked for one hears of it.
    #[default]
    Answer,
    /// When the server has stopped, and not at all if it is killed. For tests whose
    /// time stands still, to which a disk that is waited for would be an age.
    Shutdown,
}

/// Where an object is stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Name of the stored resource: `pods`, or `kafkatopics.kafka.tubeway.dev`.
    pub(crate) resource: Arc<str>,
    /// Namespace; empty for cluster-scoped objects.
    pub(crate) namespace: String,
    /// `metadata.name`.
    pub(crate) name: String,
}

/// An object as it was at one resource version; never changes.
#[derive(Debug)]
pub(crate) struct Stored {
    /// The object, `apiVersion` and `kind` included.
    pub(crate) value: Value,
    /// The same as JSON text.
    pub(crate) json: Bytes,
    /// The resource version of the write that made it.
    pub(crate) rv: u64,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// There was no such object before.
    Added,
    /// The object was there before.
    Modified,
    /// The object is gone.
    Deleted,
}

/// One write.
#[derive(Debug)]
pub(crate) struct Change {
    /// Resource version of this write.
    pub(crate) rv: u64,
    /// What it did.
    pub(crate) kind: ChangeKind,
    /// To which object.
    pub(crate) key: Key,
    /// The object after the write; for a deletion its last state, with this resource version.
    pub(crate) object: Arc<Stored>,
    /// The object before the write.
    pub(crate) previous: Option<Arc<Stored>>,
}

/// Why a store refuses.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A create met an object of that name.
    #[error("the object already exists")]
    Exists,
    /// The object is not there (any more).
    #[error("the object does not exist")]
    Missing,
    /// The object changed since it was read.
    #[error("the object was modified since it was read")]
    Stale,
    /// The namespace of a new object does not exist.
    #[error("namespace {0:?} does not exist")]
    NoNamespace(String),
    /// The namespace of a new object is being deleted.
    #[error("namespace {0:?} is being deleted")]
    NamespaceEnds(String),
    /// The changes since that resource version are no longer kept.
    #[error("too old resource version: {requested} ({oldest})")]
    TooOld {
        /// What was asked for.
        requested: u64,
        /// From where on changes are known.
        oldest: u64,
    },
    /// The disk refuses. The store goes on trying and recovers by itself.
    #[error(
        "cannot write {path}: {reason}; free some space or repair the disk, the server goes on trying"
    )]
    Disk {
        /// The file.
        path: String,
        /// What the storage engine said.
        reason: String,
    },
    /// The file cannot be opened.
    #[error("cannot open {path}: {reason}")]
    Open {
        /// The file.
        path: String,
        /// What the storage engine said.
        reason: String,
    },
}

/// How far the disk is.
#[derive(Clone, Debug)]
struct Settled {
    rv: u64,
    fault: Option<StoreError>,
}

type Objects = BTreeMap<(String, String), Arc<Stored>>;

struct Inner {
    rv: u64,
    objects: HashMap<Arc<str>, Objects>,
    changed: HashMap<Arc<str>, u64>,
    ring: Ring,
    disk: Disk,
}

/// All objects. Shared by reference; see the module's guarantees.
pub(crate) struct Store {
    inner: Mutex<Inner>,
    settled: watch::Receiver<Settled>,
}

// === impl Key ===

impl Key {
    /// A key; `namespace` is empty for cluster-scoped objects.
    pub(crate) fn new(resource: &Arc<str>, namespace: &str, name: &str) -> Self {
        Self {
            resource: resource.clone(),
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

// === impl Store ===

impl Store {
    /// Opens or creates the store in `dir`.
    pub(crate) fn open(dir: &Path, durability: Durability) -> Result<Self, StoreError> {
        let loaded = disk::load(&dir.join("objects.redb"))?;
        let mut objects: HashMap<Arc<str>, Objects> = HashMap::new();
        let mut rv = loaded.rv;
        for (key, json) in loaded.objects {
            let Ok(value) = serde_json::from_slice::<Value>(&json) else {
                tracing::error!(resource = %key.resource, name = %key.name, "skipping an unreadable object");
                continue;
            };
            let at = resource_version(&value);
            rv = rv.max(at);
            let stored = Arc::new(Stored {
                value,
                json,
                rv: at,
            });
            objects
                .entry(key.resource)
                .or_default()
                .insert((key.namespace, key.name), stored);
        }
        // The API gives "0" a meaning of its own, so the first version is 1.
        let rv = rv.max(1);
        let (report, settled) = watch::channel(Settled { rv, fault: None });
        let disk = Disk::start(loaded.file, report, durability);
        let ring = Ring::new(HISTORY, rv);
        let inner = Inner {
            rv,
            objects,
            changed: HashMap::new(),
            ring,
            disk,
        };
        Ok(Self {
            inner: Mutex::new(inner),
            settled,
        })
    }

    /// The object under `key`.
    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Stored>> {
        let inner = self.lock();
        let objects = inner.objects.get(&key.resource)?;
        objects
            .get(&(key.namespace.clone(), key.name.clone()))
            .cloned()
    }

    /// The current resource version.
    pub(crate) fn rv(&self) -> u64 {
        self.lock().rv
    }

    /// All objects of a resource (of one namespace, if given), sorted by namespace and name,
    /// with the resource version at which that was so.
    pub(crate) fn list(&self, resource: &str, namespace: Option<&str>) -> (u64, Vec<Arc<Stored>>) {
        let inner = self.lock();
        let all = inner.objects.get(resource);
        let found = match (all, namespace) {
            (None, _) => Vec::new(),
            (Some(all), None) => all.values().cloned().collect(),
            (Some(all), Some(ns)) => all
                .range((ns.to_owned(), String::new())..)
                .take_while(|((found, _), _)| found == ns)
                .map(|(_, object)| object.clone())
                .collect(),
        };
        (inner.rv, found)
    }

    /// The resource version of the last change to any object of `resource` since the start;
    /// 0 if there was none.
    pub(crate) fn last_change(&self, resource: &str) -> u64 {
        self.lock().changed.get(resource).copied().unwrap_or(0)
    }

    /// Adds an object. A namespaced one needs its namespace to be there and not to be ending.
    pub(crate) fn create(&self, key: &Key, value: Value) -> Result<Arc<Stored>, StoreError> {
        let mut inner = self.lock();
        self.health()?;
        inner.check_namespace(key)?;
        if inner.find(key).is_some() {
            return Err(StoreError::Exists);
        }
        Ok(inner.write(key, value, None))
    }

    /// Replaces the object that still has resource version `expected`.
    pub(crate) fn replace(
        &self,
        key: &Key,
        expected: u64,
        value: Value,
    ) -> Result<Arc<Stored>, StoreError> {
        let mut inner = self.lock();
        self.health()?;
        let previous = inner.expect(key, expected)?;
        Ok(inner.write(key, value, Some(previous)))
    }

    /// Removes the object that still has resource version `expected`; returns its last state.
    pub(crate) fn remove(&self, key: &Key, expected: u64) -> Result<Arc<Stored>, StoreError> {
        let mut inner = self.lock();
        self.health()?;
        let previous = inner.expect(key, expected)?;
        Ok(inner.erase(key, previous))
    }

    /// Waits until the disk holds everything up to `rv`.
    pub(crate) async fn settled(&self, rv: u64) -> Result<(), StoreError> {
        let mut settled = self.settled.clone();
        let state = settled
            .wait_for(|state| state.rv >= rv || state.fault.is_some())
            .await;
        match state {
            Ok(state) if state.rv >= rv => Ok(()),
            Ok(state) => Err(state.fault.clone().unwrap_or(StoreError::Missing)),
            Err(_) => Err(StoreError::Disk {
                path: "store".into(),
                reason: "the writer has ended".into(),
            }),
        }
    }

    /// Waits until the disk holds more than `rv`; returns how far it is. Ends never if nothing
    /// is written.
    pub(crate) async fn beyond(&self, rv: u64) -> u64 {
        let mut settled = self.settled.clone();
        let reached = settled
            .wait_for(|state| state.rv > rv)
            .await
            .map(|state| state.rv);
        match reached {
            Ok(rv) => rv,
            // The writer ends with the process only.
            Err(_) => std::future::pending().await,
        }
    }

    /// Whether writes reach the disk.
    pub(crate) fn health(&self) -> Result<(), StoreError> {
        self.settled.borrow().fault.clone().map_or(Ok(()), Err)
    }

    /// The changes after `after` up to and including `until`, of one resource if given.
    pub(crate) fn changes(
        &self,
        resource: Option<&str>,
        after: u64,
        until: u64,
    ) -> Result<Vec<Arc<Change>>, StoreError> {
        self.lock().ring.between(resource, after, until)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No critical section leaves the state half changed, so a panic elsewhere is no reason
        // to stop serving.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn find(&self, key: &Key) -> Option<Arc<Stored>> {
        self.objects
            .get(&key.resource)?
            .get(&(key.namespace.clone(), key.name.clone()))
            .cloned()
    }

    fn expect(&self, key: &Key, expected: u64) -> Result<Arc<Stored>, StoreError> {
        let current = self.find(key).ok_or(StoreError::Missing)?;
        if current.rv == expected {
            Ok(current)
        } else {
            Err(StoreError::Stale)
        }
    }

    fn check_namespace(&self, key: &Key) -> Result<(), StoreError> {
        if key.namespace.is_empty() {
            return Ok(());
        }
        let namespaces = self.objects.get("namespaces");
        let found = namespaces.and_then(|all| all.get(&(String::new(), key.namespace.clone())));
        match found {
            None => Err(StoreError::NoNamespace(key.namespace.clone())),
            Some(ns) if ns.value["metadata"]["deletionTimestamp"].is_string() => {
                Err(StoreError::NamespaceEnds(key.namespace.clone()))
            }
            Some(_) => Ok(()),
        }
    }

    fn write(&mut self, key: &Key, value: Value, previous: Option<Arc<Stored>>) -> Arc<Stored> {
        self.rv += 1;
        let stored = seal(value, self.rv);
        let at = (key.namespace.clone(), key.name.clone());
        self.objects
            .entry(key.resource.clone())
            .or_default()
            .insert(at, stored.clone());
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.record(kind, key, stored.clone(), previous);
        stored
    }

    fn erase(&mut self, key: &Key, previous: Arc<Stored>) -> Arc<Stored> {
        self.rv += 1;
        if let Some(objects) = self.objects.get_mut(&key.resource) {
            objects.remove(&(key.namespace.clone(), key.name.clone()));
        }
        let last = seal(previous.value.clone(), self.rv);
        self.record(ChangeKind::Deleted, key, last.clone(), Some(previous));
        last
    }

    fn record(
        &mut self,
        kind: ChangeKind,
        key: &Key,
        object: Arc<Stored>,
        previous: Option<Arc<Stored>>,
    ) {
        self.changed.insert(key.resource.clone(), self.rv);
        let json = (kind != ChangeKind::Deleted).then(|| object.json.clone());
        self.disk.write(Entry {
            rv: self.rv,
            key: key.clone(),
            json,
        });
        self.ring.push(Arc::new(Change {
            rv: self.rv,
            kind,
            key: key.clone(),
            object,
            previous,
        }));
    }
}

/// The number in `metadata.resourceVersion`; 0 if there is none.
pub(crate) fn resource_version(value: &Value) -> u64 {
    value["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|rv| rv.parse().ok())
        .unwrap_or(0)
}

fn seal(mut value: Value, rv: u64) -> Arc<Stored> {
    value["metadata"]["resourceVersion"] = Value::String(rv.to_string());
    let json = Bytes::from(value.to_string());
    Arc::new(Stored { value, json, rv })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(&"nodes".into(), "", name)
    }

    fn object(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    }

    #[tokio::test]
    async fn a_settled_write_is_there_after_the_store_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let rv = {
            let store = Store::open(dir.path(), Durability::Answer).unwrap();
            let a = store.create(&key("a"), object("a")).unwrap();
            store.create(&key("b"), object("b")).unwrap();
            let gone = store.remove(&key("a"), a.rv).unwrap();
            store.settled(gone.rv).await.unwrap();
            gone.rv
        };
        let store = Store::open(dir.path(), Durability::Answer).unwrap();
        assert!(store.get(&key("a")).is_none());
        assert!(store.get(&key("b")).is_some());
        assert_eq!(
            store.rv(),
            rv,
            "a deletion's version must not be given out twice"
        );
    }

    #[tokio::test]
    async fn a_stale_write_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Answer).unwrap();
        let first = store.create(&key("a"), object("a")).unwrap();
        store.replace(&key("a"), first.rv, object("a")).unwrap();
        let rv = store.rv();
        assert!(matches!(
            store.replace(&key("a"), first.rv, object("a")),
            Err(StoreError::Stale)
        ));
        assert!(matches!(
            store.remove(&key("a"), first.rv),
            Err(StoreError::Stale)
        ));
        assert!(matches!(
            store.create(&key("a"), object("a")),
            Err(StoreError::Exists)
        ));
        assert_eq!(store.rv(), rv);
    }

    #[tokio::test]
    async fn a_namespaced_object_needs_a_living_namespace() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), Durability::Answer).unwrap();
        let pod = Key::new(&"pods".into(), "x", "p");
        assert!(matches!(
            store.create(&pod, object("p")),
            Err(StoreError::NoNamespace(_))
        ));
        let ns = Key::new(&"namespaces".into(), "", "x");
        let made = store.create(&ns, object("x")).unwrap();
        store.create(&pod, object("p")).unwrap();
        let mut ending = object("x");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        store.replace(&ns, made.rv, ending).unwrap();
        let other = Key::new(&"pods".into(), "x", "q");
        assert!(matches!(
            store.create(&other, object("q")),
            Err(StoreError::NamespaceEnds(_))
        ));
    }

    #[test]
    fn a_second_process_is_told_that_the_folder_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Store::open(dir.path(), Durability::Answer).unwrap();
        let Err(StoreError::Open { reason, .. }) = Store::open(dir.path(), Durability::Answer)
        else {
            panic!("opened twice")
        };
        assert!(reason.contains("another"), "{reason}");
    }
}
