//! Persistent volumes: a folder for each claim, as long as the claim exists.
//!
//! A claim is bound as soon as it is seen. While a pod uses it, its deletion waits, by the
//! finalizer Kubernetes uses for that. A folder is removed only when the API says that the claim
//! with exactly this UID does not exist any more.

use super::files::remove_folder;
use super::node::StateDirs;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{
    LocalVolumeSource, ObjectReference, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeSpec, Pod,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watcher};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Binds claims to folders, and removes the folders of claims that are gone.
pub(crate) struct ClaimKeeper {
    pub(crate) client: kube::Client,
    pub(crate) node_name: String,
    pub(crate) dirs: StateDirs,
    /// Tells that a pod ended, so that a claim may be free now.
    pub(crate) pod_ended: Arc<Notify>,
}

/// Why a claim is not as it should be yet.
#[derive(Debug, thiserror::Error)]
enum ClaimError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("volume folder: {0}; check the disk")]
    Folder(#[from] std::io::Error),
}

const PROTECTION: &str = "kubernetes.io/pvc-protection";
const BOUND_BY: &str = "pv.kubernetes.io/provisioned-by";
const PROVISIONER: &str = "tubeway.dev/local";
const RETRY: Duration = Duration::from_secs(5);

/// Whether a pod may mount the claim.
pub(crate) fn is_usable(claim: &PersistentVolumeClaim) -> bool {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Bound") && claim.metadata.deletion_timestamp.is_none()
}

// === impl ClaimKeeper ===

impl ClaimKeeper {
    /// Keeps claims until dropped.
    pub(crate) async fn run(self) {
        let api: Api<PersistentVolumeClaim> = Api::all(self.client.clone());
        let mut events = watcher(api, watcher::Config::default())
            .default_backoff()
            .boxed();
        let mut claims = BTreeMap::new();
        let mut listed = false;
        loop {
            let failed = !listed || !self.keep_all(&claims).await;
            let retry = async {
                if failed {
                    tokio::time::sleep(RETRY).await;
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => see(&mut claims, &mut listed, event),
                    Some(Err(error)) => tracing::warn!(%error, "claim watch interrupted"),
                    None => return,
                },
                () = self.pod_ended.notified() => {}
                () = retry => {}
            }
        }
    }

    /// Brings every claim and every volume to where it should be; `false` when something failed.
    async fn keep_all(&self, claims: &BTreeMap<String, PersistentVolumeClaim>) -> bool {
        let mut well = true;
        for claim in claims.values() {
            if let Err(error) = self.keep(claim).await {
                let (namespace, name) = (claim.namespace(), claim.name_any());
                tracing::warn!(namespace, name, %error, "claim not bound");
                well = false;
            }
        }
        if let Err(error) = self.remove_orphans().await {
            tracing::warn!(%error, "volumes of deleted claims not removed");
            well = false;
        }
        well
    }

    async fn keep(&self, claim: &PersistentVolumeClaim) -> Result<(), ClaimError> {
        let api = self.api_of(claim);
        let name = claim.name_any();
        let protected = claim
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == PROTECTION);
        let params = PatchParams::default();
        if claim.metadata.deletion_timestamp.is_some() {
            if protected && !self.in_use(claim).await? {
                let kept = claim.finalizers().iter().filter(|f| *f != PROTECTION);
                let kept: Vec<_> = kept.collect();
                let patch = json!({"metadata": {
                    "resourceVersion": claim.resource_version(), "finalizers": kept,
                }});
                ignore_stale(api.patch(&name, &params, &Patch::Merge(patch)).await)?;
            }
            return Ok(());
        }
        if is_usable(claim) {
            return Ok(());
        }
        let volume = self.provision(claim).await?;
        let mut finalizers = claim.finalizers().to_vec();
        if !protected {
            finalizers.push(PROTECTION.to_owned());
        }
        let patch = json!({
            "metadata": {
                "resourceVersion": claim.resource_version(),
                "finalizers": finalizers,
                "annotations": {
                    "pv.kubernetes.io/bind-completed": "yes",
                    "volume.kubernetes.io/storage-provisioner": PROVISIONER,
                },
            },
            "spec": {"volumeName": volume.name_any()},
        });
        ignore_stale(api.patch(&name, &params, &Patch::Merge(patch)).await)?;
        let status = json!({
            "metadata": {"uid": claim.uid()},
            "status": {
                "phase": "Bound",
                "accessModes": claim.spec.as_ref().and_then(|spec| spec.access_modes.clone()),
                "capacity": capacity(claim),
            },
        });
        ignore_stale(
            api.patch_status(&name, &params, &Patch::Merge(status))
                .await,
        )?;
        Ok(())
    }

    /// Makes the claim's folder and its volume, both unless they are there.
    async fn provision(
        &self,
        claim: &PersistentVolumeClaim,
    ) -> Result<PersistentVolume, ClaimError> {
        let uid = claim.uid().unwrap_or_default();
        let folder = self
            .dirs
            .claim(&claim.namespace().unwrap_or_default(), &uid);
        std::fs::create_dir_all(&folder)?;
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let name = format!("pvc-{uid}");
        let volume = match api.get_opt(&name).await? {
            Some(volume) => volume,
            None => {
                let wanted = self.volume(claim, &name, &folder.to_string_lossy());
                api.create(&PostParams::default(), &wanted).await?
            }
        };
        let status = json!({"status": {"phase": "Bound"}});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
            .await?;
        Ok(volume)
    }

    fn volume(&self, claim: &PersistentVolumeClaim, name: &str, path: &str) -> PersistentVolume {
        let spec = claim.spec.clone().unwrap_or_default();
        let affinity = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{
            "key": "kubernetes.io/hostname", "operator": "In", "values": [self.node_name],
        }]}]}});
        PersistentVolume {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                annotations: Some([(BOUND_BY.to_owned(), PROVISIONER.to_owned())].into()),
                ..ObjectMeta::default()
            },
            spec: Some(PersistentVolumeSpec {
                access_modes: spec.access_modes,
                capacity: Some(capacity(claim)),
                claim_ref: Some(ObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("PersistentVolumeClaim".to_owned()),
                    namespace: claim.namespace(),
                    name: claim.metadata.name.clone(),
                    uid: claim.uid(),
                    ..ObjectReference::default()
                }),
                local: Some(LocalVolumeSource {
                    path: path.to_owned(),
                    fs_type: None,
                }),
                node_affinity: serde_json::from_value(affinity).ok(),
                persistent_volume_reclaim_policy: Some("Delete".to_owned()),
                storage_class_name: spec.storage_class_name,
                volume_mode: Some("Filesystem".to_owned()),
                ..PersistentVolumeSpec::default()
            }),
            status: None,
        }
    }

    /// Removes the volumes of claims that are gone, folder first: a volume object that is left
    /// is tried again, a folder that is left would be forgotten.
    async fn remove_orphans(&self) -> Result<(), ClaimError> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        for volume in api.list(&ListParams::default()).await? {
            let own = volume
                .annotations()
                .get(BOUND_BY)
                .is_some_and(|by| by == PROVISIONER);
            let claim = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.claim_ref.as_ref());
            let Some(claim) = claim.filter(|_| own) else {
                continue;
            };
            let (namespace, uid) = (
                claim.namespace.clone().unwrap_or_default(),
                claim.uid.clone().unwrap_or_default(),
            );
            let claims: Api<PersistentVolumeClaim> =
                Api::namespaced(self.client.clone(), &namespace);
            let found = claims
                .get_opt(claim.name.as_deref().unwrap_or_default())
                .await?;
            if uid.is_empty() || found.and_then(|found| found.metadata.uid).as_ref() == Some(&uid) {
                continue;
            }
            let folder = self.dirs.claim(&namespace, &uid);
            tracing::info!(volume = volume.name_any(), path = %folder.display(),
                "claim deleted, removing its volume");
            tokio::task::spawn_blocking(move || remove_folder(&folder))
                .await
                .map_err(std::io::Error::other)??;
            let deleted = api
                .delete(&volume.name_any(), &DeleteParams::default())
                .await;
            ignore_stale(deleted)?;
        }
        Ok(())
    }

    /// Whether a pod that has not ended mounts the claim.
    async fn in_use(&self, claim: &PersistentVolumeClaim) -> Result<bool, ClaimError> {
        let namespace = claim.namespace().unwrap_or_default();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let name = claim.name_any();
        let pods = pods.list(&ListParams::default()).await?;
        Ok(pods.iter().any(|pod| mounts(pod, &name) && !is_over(pod)))
    }

    fn api_of(&self, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
        let namespace = claim.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }
}

fn see(
    claims: &mut BTreeMap<String, PersistentVolumeClaim>,
    listed: &mut bool,
    event: watcher::Event<PersistentVolumeClaim>,
) {
    let key = |claim: &PersistentVolumeClaim| claim.uid().unwrap_or_default();
    match event {
        watcher::Event::Init => {
            claims.clear();
            *listed = false;
        }
        watcher::Event::InitDone => *listed = true,
        watcher::Event::InitApply(claim) | watcher::Event::Apply(claim) => {
            claims.insert(key(&claim), claim);
        }
        watcher::Event::Delete(claim) => {
            claims.remove(&key(&claim));
        }
    }
}

fn mounts(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    volumes.into_iter().flatten().any(|volume| {
        volume
            .persistent_volume_claim
            .as_ref()
            .is_some_and(|source| source.claim_name == claim)
    })
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn capacity(claim: &PersistentVolumeClaim) -> BTreeMap<String, Quantity> {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    resources
        .and_then(|resources| resources.requests.clone())
        .unwrap_or_default()
}

/// A claim that changed or went away meanwhile is looked at again when its event comes.
fn ignore_stale<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(drop),
    }
}
