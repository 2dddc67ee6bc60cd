//! What the pod lifecycle needs from the Kubernetes API, and nothing more.
//!
//! The lifecycle is tested with real processes over an in-memory store; the agent runs it over the
//! API ([`super::kube_store`]).

use async_trait::async_trait;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Which pod: the name alone may come back as another pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodId {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// A change in the set of pods.
#[derive(Debug, Clone)]
pub(crate) enum PodEvent {
    /// Every pod there is; what is not among them is gone.
    All(Vec<Arc<Pod>>),
    Changed(Arc<Pod>),
    Gone(PodId),
}

/// A ConfigMap or a Secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SourceKey {
    pub(crate) kind: SourceKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum SourceKind {
    ConfigMap,
    Secret,
}

/// The keys of a ConfigMap or a Secret, decoded.
pub(crate) type SourceData = BTreeMap<String, Vec<u8>>;

/// A claim as a pod sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) uid: String,
    /// Whether it is bound to a volume of this agent and not being deleted.
    pub(crate) usable: bool,
}

/// A token request on behalf of a pod's service account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenWish {
    pub(crate) service_account: String,
    /// Empty: the API server's own audience.
    pub(crate) audience: String,
    pub(crate) seconds: i64,
}

/// A service-account token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) value: String,
    pub(crate) expires: Timestamp,
}

/// Something that happened to a pod and that its owner may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// Why the store did not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// The object is not there (any more), or another one has its name.
    #[error("{what} does not exist any more")]
    Gone { what: String },
    /// The API refused or could not be reached; trying again may help.
    #[error("{what}: {message}")]
    Failed { what: String, message: String },
}

/// The Kubernetes API as the pod lifecycle uses it.
#[async_trait]
pub(crate) trait PodStore: Send + Sync + 'static {
    /// All pods, then every change. Never ends; survives a lost connection by listing again.
    fn pods(&self) -> BoxStream<'static, PodEvent>;
    /// ConfigMaps and Secrets that were created, changed or deleted.
    fn source_changes(&self) -> BoxStream<'static, SourceKey>;
    /// Assigns a pod to a node.
    async fn bind(&self, pod: &PodId, node: &str) -> Result<(), StoreError>;
    /// Writes a pod's status; conditions that are not in `status` stay.
    async fn write_status(&self, pod: &PodId, status: &PodStatus) -> Result<(), StoreError>;
    /// Removes a pod that has stopped. A pod that is already gone is a success.
    async fn remove(&self, pod: &PodId) -> Result<(), StoreError>;
    /// Reads a ConfigMap or a Secret, `None` when there is none.
    async fn source(&self, key: &SourceKey) -> Result<Option<SourceData>, StoreError>;
    /// Reads a claim, `None` when there is none.
    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<Claim>, StoreError>;
    /// Requests a token that is bound to the pod.
    async fn token(&self, pod: &PodId, wish: &TokenWish) -> Result<Token, StoreError>;
    /// Records an event. Losing one is not an error that anybody can act on.
    async fn record(&self, pod: &PodId, note: &Note);
}

// === impl PodId ===

impl PodId {
    /// The identity of a pod object.
    pub(crate) fn of(pod: &Pod) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self {
            namespace: text(&pod.metadata.namespace),
            name: text(&pod.metadata.name),
            uid: text(&pod.metadata.uid),
        }
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

// === impl SourceKey ===

impl SourceKey {
    pub(crate) fn config_map(namespace: &str, name: &str) -> Self {
        Self {
            kind: SourceKind::ConfigMap,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn secret(namespace: &str, name: &str) -> Self {
        Self {
            kind: SourceKind::Secret,
            ..Self::config_map(namespace, name)
        }
    }
}

impl fmt::Display for SourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            SourceKind::ConfigMap => "configmap",
            SourceKind::Secret => "secret",
        };
        write!(f, "{kind} \"{}\"", self.name)
    }
}

// === impl Token ===

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

// === impl Note ===

impl Note {
    pub(crate) fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            message: message.into(),
        }
    }
}
