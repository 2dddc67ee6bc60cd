//! The pod lifecycle's store over the Kubernetes API.

use super::claims;
use super::store::{
    Claim, Note, PodEvent, PodId, PodStore, SourceData, SourceKey, SourceKind, StoreError, Token,
    TokenWish,
};
use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt as _, select};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ObjectReference, PersistentVolumeClaim, Pod, PodStatus, Secret, ServiceAccount,
};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher::{self, watcher};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A [`PodStore`] over a client.
pub(crate) struct KubeStore {
    client: kube::Client,
    recorder: Recorder,
}

const MANAGER: &str = "tubeway-agent";

// === impl KubeStore ===

impl KubeStore {
    pub(crate) fn new(client: kube::Client, node_name: &str) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(node_name.to_owned()),
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            client,
        }
    }

    fn pods_of(&self, pod: &PodId) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace)
    }
}

#[async_trait]
impl PodStore for KubeStore {
    fn pods(&self) -> BoxStream<'static, PodEvent> {
        let api: Api<Pod> = Api::all(self.client.clone());
        let events = watcher(api, watcher::Config::default()).default_backoff();
        let mut listed = Vec::new();
        events
            .filter_map(move |event| {
                let event = match event {
                    Ok(event) => event,
                    Err(error) => {
                        tracing::warn!(%error, "pod watch interrupted");
                        return std::future::ready(None);
                    }
                };
                std::future::ready(match event {
                    watcher::Event::Init => {
                        listed.clear();
                        None
                    }
                    watcher::Event::InitApply(pod) => {
                        listed.push(Arc::new(pod));
                        None
                    }
                    watcher::Event::InitDone => Some(PodEvent::All(std::mem::take(&mut listed))),
                    watcher::Event::Apply(pod) => Some(PodEvent::Changed(Arc::new(pod))),
                    watcher::Event::Delete(pod) => Some(PodEvent::Gone(PodId::of(&pod))),
                })
            })
            .boxed()
    }

    fn source_changes(&self) -> BoxStream<'static, SourceKey> {
        let config_maps = changes::<ConfigMap>(&self.client, SourceKind::ConfigMap);
        let secrets = changes::<Secret>(&self.client, SourceKind::Secret);
        select(config_maps, secrets).boxed()
    }

    async fn bind(&self, pod: &PodId, node: &str) -> Result<(), StoreError> {
        // A pod's node is no field that may be patched: a scheduler binds.
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });

        let bound: Result<serde_json::Value, _> = self
            .pods_of(pod)
            .create_subresource("binding", &pod.name, &PostParams::default(), &binding)
            .await;
        bound
            .map(drop)
            .map_err(|error| failed(&format!("bind pod {pod}"), error))
    }

    async fn write_status(&self, pod: &PodId, status: &PodStatus) -> Result<(), StoreError> {
        let mut value = json!({"metadata": {"uid": pod.uid}, "status": status});
        // A patch leaves out what is not in it; these have to go when they no longer hold.
        for field in ["reason", "message"] {
            if value["status"].get(field).is_none() {
                value["status"][field] = serde_json::Value::Null;
            }
        }
        let patched = self
            .pods_of(pod)
            .patch_status(&pod.name, &PatchParams::default(), &Patch::Strategic(value))
            .await;
        patched
            .map(drop)
            .map_err(|error| failed(&format!("status of pod {pod}"), error))
    }

    async fn remove(&self, pod: &PodId) -> Result<(), StoreError> {
        let uid = Preconditions {
            uid: Some(pod.uid.clone()),
            resource_version: None,
        };
        let params = DeleteParams::default().grace_period(0).preconditions(uid);
        match self.pods_of(pod).delete(&pod.name, &params).await {
            Ok(_) => Ok(()),
            Err(error) => match failed(&format!("delete pod {pod}"), error) {
                StoreError::Gone { .. } => Ok(()),
                error => Err(error),
            },
        }
    }

    async fn source(&self, key: &SourceKey) -> Result<Option<SourceData>, StoreError> {
        let error = |error| failed(&key.to_string(), error);
        match key.kind {
            SourceKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
                let found = api.get_opt(&key.name).await.map_err(error)?;
                Ok(found.map(|map| {
                    let text = map.data.into_iter().flatten();
                    let text = text.map(|(name, value)| (name, value.into_bytes()));
                    let binary = map.binary_data.into_iter().flatten();
                    text.chain(binary.map(|(name, value)| (name, value.0)))
                        .collect()
                }))
            }
            SourceKind::Secret => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
                let found = api.get_opt(&key.name).await.map_err(error)?;
                let bytes = |data: BTreeMap<_, k8s_openapi::ByteString>| {
                    data.into_iter()
                        .map(|(name, value)| (name, value.0))
                        .collect()
                };
                Ok(found.map(|secret| bytes(secret.data.unwrap_or_default())))
            }
        }
    }

    async fn claim(&self, namespace: &str, name: &str) -> Result<Option<Claim>, StoreError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await;
        let found = found.map_err(|error| failed(&format!("claim {namespace}/{name}"), error))?;
        Ok(found.map(|claim| Claim {
            usable: claims::is_usable(&claim),
            uid: claim.metadata.uid.unwrap_or_default(),
        }))
    }

    async fn token(&self, pod: &PodId, wish: &TokenWish) -> Result<Token, StoreError> {
        let what = format!("token of service account {:?}", wish.service_account);
        let audiences = Some(&wish.audience).filter(|audience| !audience.is_empty());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(audiences.into_iter().cloned().collect()),
                expiration_seconds: Some(wish.seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod.name.clone()),
                    uid: Some(pod.uid.clone()),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &pod.namespace);
        let account = &wish.service_account;
        let answer = api
            .create_token_request(account, &PostParams::default(), &request)
            .await;
        let status = answer
            .map_err(|error| failed(&what, error))?
            .status
            .unwrap_or_default();
        match (status.token, status.expiration_timestamp) {
            (Some(value), Some(expires)) => Ok(Token {
                value,
                expires: expires.0,
            }),
            _ => Err(StoreError::Failed {
                what,
                message: "the API answered without a token".to_owned(),
            }),
        }
    }

    async fn record(&self, pod: &PodId, note: &Note) {
        let reference = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            ..ObjectReference::default()
        };
        let event = Event {
            type_: if note.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: note.reason.to_owned(),
            note: Some(note.message.clone()),
            action: note.reason.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::debug!(pod = %pod, reason = note.reason, %error, "event not recorded");
        }
    }
}

/// Names of objects of one kind as they change.
fn changes<K>(client: &kube::Client, kind: SourceKind) -> BoxStream<'static, SourceKey>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static,
    K: serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    watcher(api, watcher::Config::default())
        .default_backoff()
        .filter_map(move |event| {
            let object = match event {
                Ok(
                    watcher::Event::Apply(object)
                    | watcher::Event::InitApply(object)
                    | watcher::Event::Delete(object),
                ) => Some(object),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
                Err(error) => {
                    tracing::warn!(?kind, %error, "watch interrupted");
                    None
                }
            };
            std::future::ready(object.map(|object| SourceKey {
                kind,
                namespace: object.meta().namespace.clone().unwrap_or_default(),
                name: object.meta().name.clone().unwrap_or_default(),
            }))
        })
        .boxed()
}

/// Reads an API error: the object is gone when it is not found, or when the UID in the request is
/// another's.
pub(crate) fn failed(what: &str, error: kube::Error) -> StoreError {
    let gone = match &error {
        kube::Error::Api(status) => {
            status.code == 404
                || (status.code == 409 && status.message.to_lowercase().contains("uid"))
        }
        _ => false,
    };
    if gone {
        StoreError::Gone {
            what: what.to_owned(),
        }
    } else {
        StoreError::Failed {
            what: what.to_owned(),
            message: error.to_string(),
        }
    }
}
