//! What a pod's volumes are and what goes into them.

use super::downward::{self, DownwardError, Surroundings};
use super::publish::{Files, PublishedFile, stays_inside};
use super::store::{PodId, PodStore, SourceKey, StoreError, TokenWish};
use super::tokens::TokenCache;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath, Pod,
    SecretProjection, Volume, VolumeProjection,
};
use k8s_openapi::jiff::Timestamp;
use std::io;
use std::path::PathBuf;

/// A volume of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum VolumeKind {
    /// A folder that lives as long as the pod.
    Scratch {
        /// In memory on a node, so it starts empty after whatever ended all processes.
        memory: bool,
    },
    /// The folder of a claim.
    Claim { name: String },
    /// Files that come from the API and follow it.
    Projected(Projection),
}

/// Files from the API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Projection {
    pub(crate) sources: Vec<ProjectedSource>,
    pub(crate) default_mode: u32,
}

/// One source of projected files.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ProjectedSource {
    Object {
        key: SourceKey,
        items: Option<Vec<KeyToPath>>,
        optional: bool,
    },
    Downward(Vec<DownwardAPIVolumeFile>),
    Token {
        wish: TokenWish,
        path: String,
    },
    /// A file the agent itself knows.
    Given {
        path: String,
        bytes: Vec<u8>,
    },
}

/// The files of a projection.
pub(crate) struct Content {
    pub(crate) files: Files,
    /// When a token in it is to be renewed.
    pub(crate) renew: Option<Timestamp>,
}

/// Why a volume cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error(
        "volume {volume:?}: {kind} is not available on this node; use emptyDir, configMap, secret, \
         projected, downwardAPI or persistentVolumeClaim"
    )]
    Unsupported { volume: String, kind: String },
    #[error("{key} not found")]
    NoSource { key: SourceKey },
    #[error("{key} references non-existent config key: {name}")]
    NoKey { key: SourceKey, name: String },
    #[error("path {path:?} must be relative and stay inside the volume")]
    Path { path: String },
    #[error("persistentvolumeclaim \"{name}\" not found")]
    NoClaim { name: String },
    #[error("persistentvolumeclaim \"{name}\" is not bound")]
    Unbound { name: String },
    #[error(transparent)]
    Downward(#[from] DownwardError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("volume folder {path}: {source}; check the disk", path = path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error("no address: {0}")]
    Address(String),
}

// === impl VolumeKind ===

impl VolumeKind {
    /// Reads a volume of a pod in `namespace`.
    pub(crate) fn of(namespace: &str, account: &str, volume: &Volume) -> Result<Self, MountError> {
        let projected = |mode: Option<i32>, sources| {
            Ok(Self::Projected(Projection {
                sources,
                default_mode: file_mode(mode, 0o644),
            }))
        };
        if let Some(source) = &volume.empty_dir {
            let memory = source.medium.as_deref() == Some("Memory");
            return Ok(Self::Scratch { memory });
        }
        if let Some(source) = &volume.persistent_volume_claim {
            let name = source.claim_name.clone();
            return Ok(Self::Claim { name });
        }
        if let Some(source) = &volume.config_map {
            let object = ProjectedSource::Object {
                key: SourceKey::config_map(namespace, &source.name),
                items: source.items.clone(),
                optional: source.optional == Some(true),
            };
            return projected(source.default_mode, vec![object]);
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.as_deref().unwrap_or_default();
            let object = ProjectedSource::Object {
                key: SourceKey::secret(namespace, name),
                items: source.items.clone(),
                optional: source.optional == Some(true),
            };
            return projected(source.default_mode, vec![object]);
        }
        if let Some(source) = &volume.downward_api {
            let items = source.items.clone().unwrap_or_default();
            return projected(source.default_mode, vec![ProjectedSource::Downward(items)]);
        }
        if let Some(source) = &volume.projected {
            let sources = source.sources.iter().flatten();
            let sources: Result<Vec<_>, _> = sources
                .map(|source| projection(namespace, account, &volume.name, source))
                .collect();
            return projected(source.default_mode, sources?);
        }
        Err(unsupported(&volume.name, volume))
    }
}

fn projection(
    namespace: &str,
    account: &str,
    volume: &str,
    source: &VolumeProjection,
) -> Result<ProjectedSource, MountError> {
    if let Some(ConfigMapProjection {
        items,
        name,
        optional,
    }) = &source.config_map
    {
        return Ok(ProjectedSource::Object {
            key: SourceKey::config_map(namespace, name),
            items: items.clone(),
            optional: *optional == Some(true),
        });
    }
    if let Some(SecretProjection {
        items,
        name,
        optional,
    }) = &source.secret
    {
        return Ok(ProjectedSource::Object {
            key: SourceKey::secret(namespace, name),
            items: items.clone(),
            optional: *optional == Some(true),
        });
    }
    if let Some(DownwardAPIProjection { items }) = &source.downward_api {
        return Ok(ProjectedSource::Downward(items.clone().unwrap_or_default()));
    }
    if let Some(token) = &source.service_account_token {
        return Ok(ProjectedSource::Token {
            wish: TokenWish {
                service_account: account.to_owned(),
                audience: token.audience.clone().unwrap_or_default(),
                seconds: token.expiration_seconds.unwrap_or(3600),
            },
            path: token.path.clone(),
        });
    }
    Err(unsupported(volume, source))
}

/// Names the source that a volume or projection has, which this agent does not offer.
fn unsupported(volume: &str, source: &impl serde::Serialize) -> MountError {
    let value = serde_json::to_value(source).unwrap_or_default();
    let mut keys = value
        .as_object()
        .into_iter()
        .flat_map(serde_json::Map::keys);
    let kind = keys.find(|key| *key != "name");
    MountError::Unsupported {
        volume: volume.to_owned(),
        kind: kind
            .map_or("a volume without a source", String::as_str)
            .to_owned(),
    }
}

/// A file's mode; the owner always keeps the right to read, as the agent's own user is the reader.
fn file_mode(mode: Option<i32>, default: u32) -> u32 {
    mode.map_or(default, |mode| (mode.unsigned_abs() & 0o777) | 0o400)
}

// === impl Projection ===

impl Projection {
    /// Whether a change of `key` may change the files.
    pub(crate) fn refers_to(&self, key: &SourceKey) -> bool {
        self.sources
            .iter()
            .any(|source| matches!(source, ProjectedSource::Object { key: own, .. } if own == key))
    }

    /// Collects the files as they are to be now. Where two sources have the same path, the later
    /// one wins.
    pub(crate) async fn content(
        &self,
        store: &dyn PodStore,
        pod: &Pod,
        around: &Surroundings,
        tokens: &TokenCache,
    ) -> Result<Content, MountError> {
        let mut content = Content {
            files: Files::new(),
            renew: None,
        };
        for source in &self.sources {
            match source {
                ProjectedSource::Object {
                    key,
                    items,
                    optional,
                } => {
                    let files = self.object(store, key, items.as_deref(), *optional).await?;
                    content.files.extend(files);
                }
                ProjectedSource::Downward(items) => {
                    content.files.extend(self.downward(pod, around, items)?);
                }
                ProjectedSource::Token { wish, path } => {
                    let (token, renew) = tokens.get(store, &PodId::of(pod), wish).await?;
                    let renew = content.renew.map_or(renew, |other| other.min(renew));
                    content.renew = Some(renew);
                    // A token is nobody's but the pod's.
                    content.put(path, token.value.into_bytes(), 0o600)?;
                }
                ProjectedSource::Given { path, bytes } => {
                    content.put(path, bytes.clone(), self.default_mode)?;
                }
            }
        }
        Ok(content)
    }

    async fn object(
        &self,
        store: &dyn PodStore,
        key: &SourceKey,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<Files, MountError> {
        let mut content = Content {
            files: Files::new(),
            renew: None,
        };
        let Some(data) = store.source(key).await? else {
            return if optional {
                Ok(content.files)
            } else {
                Err(MountError::NoSource { key: key.clone() })
            };
        };
        let Some(items) = items else {
            for (name, bytes) in data {
                content.put(&name, bytes, self.default_mode)?;
            }
            return Ok(content.files);
        };
        for item in items {
            match data.get(&item.key) {
                Some(bytes) => {
                    let mode = file_mode(item.mode, self.default_mode);
                    content.put(&item.path, bytes.clone(), mode)?;
                }
                None if optional => {}
                None => {
                    return Err(MountError::NoKey {
                        key: key.clone(),
                        name: item.key.clone(),
                    });
                }
            }
        }
        Ok(content.files)
    }

    fn downward(
        &self,
        pod: &Pod,
        around: &Surroundings,
        items: &[DownwardAPIVolumeFile],
    ) -> Result<Files, MountError> {
        let mut content = Content {
            files: Files::new(),
            renew: None,
        };
        let spec = pod.spec.as_ref();
        for item in items {
            let value = if let Some(field) = &item.field_ref {
                downward::field(pod, around, &field.field_path)?
            } else if let Some(selector) = &item.resource_field_ref {
                let name = selector.container_name.as_deref();
                let container = spec
                    .and_then(|spec| {
                        spec.containers
                            .iter()
                            .find(|c| Some(c.name.as_str()) == name)
                    })
                    .ok_or_else(|| DownwardError::Resource {
                        resource: selector.resource.clone(),
                        container: name.unwrap_or_default().to_owned(),
                    })?;
                downward::resource(container, selector)?
            } else {
                String::new()
            };
            let mode = file_mode(item.mode, self.default_mode);
            content.put(&item.path, value.into_bytes(), mode)?;
        }
        Ok(content.files)
    }
}

// === impl Content ===

impl Content {
    fn put(&mut self, path: &str, bytes: Vec<u8>, mode: u32) -> Result<(), MountError> {
        if !stays_inside(path) {
            return Err(MountError::Path {
                path: path.to_owned(),
            });
        }
        let file = PublishedFile { bytes, mode };
        self.files.insert(path.to_owned(), file);
        Ok(())
    }
}
