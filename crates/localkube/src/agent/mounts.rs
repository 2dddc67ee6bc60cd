//! A pod's volumes as folders, kept up to date while the pod runs.

use super::downward::{Surroundings, service_account};
use super::files::{remove_folder, write_atomically};
use super::node::Node;
use super::paths::PathMap;
use super::publish::{Files, publish};
use super::store::{Note, PodId, SourceKey, TokenWish};
use super::tokens::{TokenCache, kubeconfig};
use super::volumes::{MountError, ProjectedSource, Projection, VolumeKind};
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{broadcast, watch};

/// Where the volumes of a pod are.
#[derive(Debug, Default)]
pub(crate) struct Mounts {
    /// By volume name.
    folders: BTreeMap<String, PathBuf>,
    /// A kubeconfig for the pod's service account, if it is to have one.
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// The volumes of a pod whose content follows the API.
#[derive(Default)]
pub(crate) struct LiveVolumes {
    volumes: Vec<LiveVolume>,
    tokens: TokenCache,
}

/// A volume whose content follows the API.
struct LiveVolume {
    name: String,
    folder: PathBuf,
    projection: Projection,
    shown: Files,
    renew: Option<Timestamp>,
}

/// Where a container expects the API server's address and credentials.
const API_ACCESS: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const API_ACCESS_VOLUME: &str = "kube-api-access";
/// As the kubelet's: an hour, and a little so that a check for an hour succeeds.
const API_TOKEN_SECONDS: i64 = 3607;
/// Wait after a failure to bring a volume up to date.
const RETRY: Duration = Duration::from_secs(5);

// === impl Mounts ===

impl Mounts {
    /// Makes the folders of all volumes and fills them.
    pub(crate) async fn mount(
        node: &Node,
        pod: &Pod,
        around: &Surroundings,
    ) -> Result<(Self, LiveVolumes), MountError> {
        let id = PodId::of(pod);
        let root = node.dirs.pod(&id.uid).join("volumes");
        let mut mounts = Self::default();
        let mut live = LiveVolumes::default();
        let spec = pod.spec.as_ref();
        let account = service_account(pod);
        for volume in spec
            .and_then(|spec| spec.volumes.as_ref())
            .into_iter()
            .flatten()
        {
            let folder = root.join(&volume.name);
            let folder = match VolumeKind::of(&id.namespace, account, volume)? {
                VolumeKind::Scratch { memory } => scratch(folder, memory)?,
                VolumeKind::Claim { name } => claim_folder(node, &id, &name).await?,
                VolumeKind::Projected(projection) => {
                    live.volumes
                        .push(LiveVolume::new(&volume.name, &folder, projection));
                    folder
                }
            };
            mounts.folders.insert(volume.name.clone(), folder);
        }
        if spec.is_some_and(|spec| spec.automount_service_account_token != Some(false)) {
            let volume =
                mounts.add_api_access(node, &id, account, &root.join(API_ACCESS_VOLUME))?;
            live.volumes.push(volume);
        }
        for volume in &mut live.volumes {
            volume.update(node, pod, around, &live.tokens).await?;
        }
        Ok((mounts, live))
    }

    /// The paths of a container: its image's, then its mounts, which win.
    pub(crate) fn paths(
        &self,
        container: &Container,
        image: &[(String, PathBuf)],
        expand: impl Fn(&str) -> String,
    ) -> Result<PathMap, MountError> {
        let mut entries: Vec<(String, PathBuf)> = Vec::new();
        if self.kubeconfig.is_some() {
            let folder = self.folders.get(API_ACCESS_VOLUME).cloned();
            entries.extend(folder.map(|folder| (API_ACCESS.to_owned(), folder)));
        }
        entries.extend(image.iter().cloned());
        for mount in container.volume_mounts.iter().flatten() {
            let Some(folder) = self.folders.get(&mount.name) else {
                return Err(MountError::Unsupported {
                    volume: mount.name.clone(),
                    kind: "a volume that the pod does not declare".to_owned(),
                });
            };
            let sub = match (&mount.sub_path, &mount.sub_path_expr) {
                (_, Some(sub)) if !sub.is_empty() => expand(sub),
                (Some(sub), _) => sub.clone(),
                _ => String::new(),
            };
            entries.push((mount.mount_path.clone(), sub_folder(folder, &sub)?));
        }
        Ok(PathMap::new(entries))
    }

    fn add_api_access(
        &mut self,
        node: &Node,
        id: &PodId,
        account: &str,
        folder: &Path,
    ) -> Result<LiveVolume, MountError> {
        let given = |path: &str, bytes: &str| ProjectedSource::Given {
            path: path.to_owned(),
            bytes: bytes.into(),
        };
        let wish = TokenWish {
            service_account: account.to_owned(),
            audience: String::new(),
            seconds: API_TOKEN_SECONDS,
        };
        let token = ProjectedSource::Token {
            wish,
            path: "token".to_owned(),
        };
        let projection = Projection {
            sources: vec![
                token,
                given("ca.crt", &node.api.ca_pem),
                given("namespace", &id.namespace),
            ],
            default_mode: 0o644,
        };
        let local = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let text = kubeconfig(&node.api, &id.namespace, &local("ca.crt"), &local("token"));
        let file = node.dirs.pod(&id.uid).join("kubeconfig");
        write_atomically(&file, text.as_bytes(), 0o600).map_err(at(&file))?;
        self.folders
            .insert(API_ACCESS_VOLUME.to_owned(), folder.to_owned());
        self.kubeconfig = Some(file);
        Ok(LiveVolume::new(API_ACCESS_VOLUME, folder, projection))
    }
}

// === impl LiveVolumes ===

impl LiveVolumes {
    /// Brings the volumes up to date as the API and the pod change, until dropped.
    pub(crate) async fn keep_fresh(
        mut self,
        node: Arc<Node>,
        mut pod: watch::Receiver<Arc<Pod>>,
        around: Surroundings,
        mut changes: broadcast::Receiver<SourceKey>,
    ) {
        // What changed between mounting and listening is caught by looking once more.
        let mut due = Some(tokio::time::Instant::now());
        loop {
            let renewal = self.next_renewal();
            tokio::select! {
                key = changes.recv() => match key {
                    Ok(key) if self.volumes.iter().any(|v| v.projection.refers_to(&key)) => {}
                    Ok(_) => continue,
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                changed = pod.changed() => if changed.is_err() { return },
                () = sleep_until(earlier(due, renewal)) => {}
            }
            let object = Arc::clone(&pod.borrow_and_update());
            due = self.update(&node, &object, &around).await;
        }
    }

    /// Updates every volume; when one failed, says when to try again.
    async fn update(
        &mut self,
        node: &Node,
        pod: &Pod,
        around: &Surroundings,
    ) -> Option<tokio::time::Instant> {
        let mut failed = None;
        for volume in &mut self.volumes {
            if let Err(error) = volume.update(node, pod, around, &self.tokens).await {
                // A source that went away leaves the files as they are, as on a node.
                let message = format!("update of volume \"{}\" failed: {error}", volume.name);
                node.note(&PodId::of(pod), Note::warning("FailedMount", message));
                failed = Some(tokio::time::Instant::now() + RETRY);
            }
        }
        failed
    }

    fn next_renewal(&self) -> Option<tokio::time::Instant> {
        let renew = self
            .volumes
            .iter()
            .filter_map(|volume| volume.renew)
            .min()?;
        let wait = renew.duration_since(Timestamp::now()).unsigned_abs();
        let overdue = renew <= Timestamp::now();
        Some(
            tokio::time::Instant::now()
                + if overdue {
                    Duration::from_secs(1)
                } else {
                    wait
                },
        )
    }
}

// === impl LiveVolume ===

impl LiveVolume {
    fn new(name: &str, folder: &Path, projection: Projection) -> Self {
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            projection,
            shown: Files::new(),
            renew: None,
        }
    }

    async fn update(
        &mut self,
        node: &Node,
        pod: &Pod,
        around: &Surroundings,
        tokens: &TokenCache,
    ) -> Result<(), MountError> {
        let store = node.store.as_ref();
        let content = self.projection.content(store, pod, around, tokens).await?;
        self.renew = content.renew;
        if content.files != self.shown || !self.folder.exists() {
            publish(&self.folder, &content.files).map_err(at(&self.folder))?;
            self.shown = content.files;
        }
        Ok(())
    }
}

fn scratch(folder: PathBuf, memory: bool) -> Result<PathBuf, MountError> {
    let emptied = if memory {
        remove_folder(&folder)
    } else {
        Ok(())
    };
    emptied
        .and_then(|()| fs::create_dir_all(&folder))
        .map_err(at(&folder))?;
    Ok(folder)
}

async fn claim_folder(node: &Node, id: &PodId, name: &str) -> Result<PathBuf, MountError> {
    let name = name.to_owned();
    match node.store.claim(&id.namespace, &name).await? {
        None => Err(MountError::NoClaim { name }),
        Some(claim) if !claim.usable => Err(MountError::Unbound { name }),
        Some(claim) => {
            let folder = node.dirs.claim(&id.namespace, &claim.uid);
            // Made when the claim was bound; a volume that vanished must not come back empty.
            match fs::metadata(&folder) {
                Ok(_) => Ok(folder),
                Err(source) => Err(MountError::Folder {
                    path: folder,
                    source,
                }),
            }
        }
    }
}

fn sub_folder(folder: &Path, sub: &str) -> Result<PathBuf, MountError> {
    if sub.is_empty() {
        return Ok(folder.to_owned());
    }
    if !super::publish::stays_inside(sub) {
        return Err(MountError::Path {
            path: sub.to_owned(),
        });
    }
    let path = folder.join(sub);
    if !path.exists() {
        fs::create_dir_all(&path).map_err(at(&path))?;
    }
    Ok(path)
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> MountError + use<> {
    let path = path.to_owned();
    move |source| MountError::Folder { path, source }
}

type Moment = Option<tokio::time::Instant>;

fn earlier(one: Moment, other: Moment) -> Moment {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

async fn sleep_until(moment: Moment) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
