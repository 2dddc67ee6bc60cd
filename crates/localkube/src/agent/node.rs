//! What all pods of an agent share.

use super::address::AddressBook;
use super::backoff::BackoffRule;
use super::events::Notebook;
use super::images::ImageTable;
use super::logs::LogBook;
use super::records::ProcessRecords;
use super::store::{Note, PodId, PodStore, SourceKey};
use super::tokens::ApiAccess;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::broadcast;

/// The surroundings of every pod.
pub(crate) struct Node {
    pub(crate) store: Arc<dyn PodStore>,
    pub(crate) node_name: String,
    pub(crate) host_ip: Ipv4Addr,
    pub(crate) dirs: StateDirs,
    pub(crate) images: ImageTable,
    pub(crate) api: ApiAccess,
    pub(crate) backoff: BackoffRule,
    pub(crate) logs: Arc<LogBook>,
    pub(crate) records: ProcessRecords,
    pub(crate) addresses: Arc<AddressBook>,
    /// Changed ConfigMaps and Secrets.
    pub(crate) changes: broadcast::Sender<SourceKey>,
    pub(crate) notes: Notebook,
    pub(crate) host_env: HostEnv,
}

/// The agent's folders.
#[derive(Debug, Clone)]
pub(crate) struct StateDirs {
    root: PathBuf,
}

/// What containers get from the agent's own environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostEnv {
    pub(crate) search_path: Vec<PathBuf>,
    /// `LANG` and `JAVA_HOME`, if set.
    pub(crate) variables: BTreeMap<String, String>,
}

// === impl Node ===

impl Node {
    /// Records an event about a pod.
    pub(crate) fn note(&self, pod: &PodId, note: Note) {
        self.notes.add(pod, note);
    }
}

// === impl StateDirs ===

impl StateDirs {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of all pods' folders.
    pub(crate) fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// A pod's folder: volumes, home, credentials.
    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    /// A claim's folder.
    pub(crate) fn claim(&self, namespace: &str, uid: &str) -> PathBuf {
        self.volumes().join(namespace).join(uid)
    }

    /// Folder of all claims' folders.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Records of running processes.
    pub(crate) fn running(&self) -> PathBuf {
        self.root.join("run")
    }
}

// === impl HostEnv ===

impl HostEnv {
    /// From the environment of this process.
    pub(crate) fn of_this_process() -> Self {
        let search_path = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        let variables = ["LANG", "JAVA_HOME"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
            .collect();
        Self {
            search_path,
            variables,
        }
    }
}
