//! The environment of a container and the command it runs.

use super::downward::{self, DownwardError, Surroundings};
use super::expand::expand;
use super::images::{LocalImage, find_program, is_executable};
use super::paths::PathMap;
use super::store::{PodStore, SourceData, SourceKey, StoreError};
use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource, Pod};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variables of a container as its spec gives them: references resolved, paths not mapped.
pub(crate) type Variables = BTreeMap<String, String>;

/// A process to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Variables,
    pub(crate) cwd: PathBuf,
}

/// What the agent adds to each container's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Variables that the spec may override, already local.
    pub(crate) defaults: Variables,
    /// Variables that override the spec.
    pub(crate) forced: Variables,
    /// `PATH` of the agent itself.
    pub(crate) search_path: Vec<PathBuf>,
    /// Working directory of a container that names none.
    pub(crate) home: PathBuf,
}

/// Everything that decides how a container's commands run.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    pub(crate) container: Container,
    pub(crate) image: LocalImage,
    pub(crate) variables: Variables,
    pub(crate) given: Given,
    pub(crate) paths: PathMap,
}

/// Why a container cannot be started as its spec says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvError {
    #[error("{key} not found")]
    NoSource { key: SourceKey },
    #[error("couldn't find key {name} in {key}")]
    NoKey { key: SourceKey, name: String },
    #[error("variable {name}: {source}")]
    Downward { name: String, source: DownwardError },
    #[error("variable {name}: this agent does not read fileKeyRef; use a ConfigMap or a Secret")]
    FileKey { name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no command: neither the container nor its image has one")]
    NoCommand,
    #[error("program {name:?} was not found in {searched}")]
    NoProgram { name: String, searched: String },
    #[error("workingDir {dir:?} does not exist")]
    NoWorkingDir { dir: PathBuf },
}

/// Resolves `envFrom` and `env`.
pub(crate) async fn variables(
    store: &dyn PodStore,
    pod: &Pod,
    container: &Container,
    around: &Surroundings,
    given: &Given,
) -> Result<Variables, EnvError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut variables = Variables::new();
    for from in container.env_from.iter().flatten() {
        variables.extend(all_of(store, namespace, from).await?);
    }
    for var in container.env.iter().flatten() {
        let value = match &var.value_from {
            Some(from) => {
                let reference = Reference {
                    store,
                    pod,
                    container,
                    around,
                    namespace,
                };
                match reference.resolve(&var.name, from).await? {
                    Some(value) => value,
                    None => continue,
                }
            }
            None => expand(var.value.as_deref().unwrap_or_default(), &variables),
        };
        // What is forced is so before later variables refer to it.
        let value = given.forced.get(&var.name).cloned().unwrap_or(value);
        variables.insert(var.name.clone(), value);
    }
    Ok(variables)
}

// === impl Recipe ===

impl Recipe {
    /// The container's own process: `command` and `args`, or the image's.
    pub(crate) fn main(&self) -> Result<Launch, EnvError> {
        let own = self.container.command.as_ref();
        let command = own
            .filter(|command| !command.is_empty())
            .unwrap_or(&self.image.entrypoint);
        if command.is_empty() {
            return Err(EnvError::NoCommand);
        }
        let args = self.container.args.iter().flatten();
        let words: Vec<String> = command.iter().chain(args).cloned().collect();
        self.command(&words)
    }

    /// A command of the container, also one that runs beside its own: a probe or a hook.
    /// References are expanded and paths made local, each once.
    pub(crate) fn command(&self, words: &[String]) -> Result<Launch, EnvError> {
        let local = |word: &String| self.paths.map_text(&expand(word, &self.variables));
        let mut words = words.iter().map(local);
        let name = words.next().ok_or(EnvError::NoCommand)?;
        let env = self.environment();
        Ok(Launch {
            program: self.locate(&name, env.get("PATH"))?,
            args: words.collect(),
            cwd: self.working_dir()?,
            env,
        })
    }

    fn environment(&self) -> Variables {
        let mut env = self.given.defaults.clone();
        let search = self.image.bin_dirs.iter().chain(&self.given.search_path);
        if let Ok(path) = std::env::join_paths(search) {
            env.insert("PATH".to_owned(), path.to_string_lossy().into_owned());
        }
        for (name, value) in &self.variables {
            let value = match self.given.forced.get(name) {
                Some(forced) => forced.clone(),
                None => self.paths.map_text(value),
            };
            env.insert(name.clone(), value);
        }
        env
    }

    fn locate(&self, name: &str, search: Option<&String>) -> Result<PathBuf, EnvError> {
        let missing = |searched: String| EnvError::NoProgram {
            name: name.to_owned(),
            searched,
        };
        if name.contains('/') {
            let path = PathBuf::from(name);
            let found = is_executable(&path).then_some(path);
            return found.ok_or_else(|| missing("the file system".to_owned()));
        }
        let search = search.into_iter().flat_map(std::env::split_paths);
        let dirs: Vec<PathBuf> = self.image.bin_dirs.iter().cloned().chain(search).collect();
        find_program(name, dirs.iter().map(PathBuf::as_path)).ok_or_else(|| {
            let dirs: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            missing(dirs.join(":"))
        })
    }

    fn working_dir(&self) -> Result<PathBuf, EnvError> {
        let named = self.container.working_dir.as_ref();
        let Some(dir) = named.filter(|dir| !dir.is_empty()) else {
            return Ok(self.given.home.clone());
        };
        let dir = expand(dir, &self.variables);
        let dir = self.paths.map_path(&dir).unwrap_or_else(|| dir.into());
        if dir.is_dir() {
            Ok(dir)
        } else {
            Err(EnvError::NoWorkingDir { dir })
        }
    }
}

async fn all_of(
    store: &dyn PodStore,
    namespace: &str,
    from: &EnvFromSource,
) -> Result<Variables, EnvError> {
    let (key, optional) = if let Some(source) = &from.config_map_ref {
        (
            SourceKey::config_map(namespace, &source.name),
            source.optional,
        )
    } else if let Some(source) = &from.secret_ref {
        (SourceKey::secret(namespace, &source.name), source.optional)
    } else {
        return Ok(Variables::new());
    };
    let prefix = from.prefix.as_deref().unwrap_or_default();
    let data = match store.source(&key).await? {
        Some(data) => data,
        None if optional == Some(true) => SourceData::new(),
        None => return Err(EnvError::NoSource { key }),
    };
    Ok(data
        .into_iter()
        .map(|(name, value)| (format!("{prefix}{name}"), lossy(value)))
        .filter(|(name, _)| !name.is_empty() && !name.contains(['=', '\0']))
        .collect())
}

fn lossy(value: Vec<u8>) -> String {
    String::from_utf8(value)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// All that a `valueFrom` may refer to.
struct Reference<'a> {
    store: &'a dyn PodStore,
    pod: &'a Pod,
    container: &'a Container,
    around: &'a Surroundings,
    namespace: &'a str,
}

// === impl Reference ===

impl Reference<'_> {
    /// The value, `None` when an optional one is missing.
    async fn resolve(&self, name: &str, from: &EnvVarSource) -> Result<Option<String>, EnvError> {
        let downward = |source| EnvError::Downward {
            name: name.to_owned(),
            source,
        };
        if let Some(field) = &from.field_ref {
            let value = downward::field(self.pod, self.around, &field.field_path);
            return value.map(Some).map_err(downward);
        }
        if let Some(selector) = &from.resource_field_ref {
            let about = selector.container_name.as_deref();
            let spec = self.pod.spec.as_ref();
            let container = about
                .and_then(|about| spec?.containers.iter().find(|c| c.name == about))
                .unwrap_or(self.container);
            return downward::resource(container, selector)
                .map(Some)
                .map_err(downward);
        }
        if let Some(key) = &from.config_map_key_ref {
            let source = SourceKey::config_map(self.namespace, &key.name);
            return self.key(source, &key.key, key.optional).await;
        }
        if let Some(key) = &from.secret_key_ref {
            let source = SourceKey::secret(self.namespace, &key.name);
            return self.key(source, &key.key, key.optional).await;
        }
        if from.file_key_ref.is_some() {
            return Err(EnvError::FileKey {
                name: name.to_owned(),
            });
        }
        Ok(Some(String::new()))
    }

    async fn key(
        &self,
        key: SourceKey,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<String>, EnvError> {
        let data = self.store.source(&key).await?;
        let missing = data.is_none();
        match data.and_then(|mut data| data.remove(name)) {
            Some(value) => Ok(Some(lossy(value))),
            None if optional == Some(true) => Ok(None),
            None if missing => Err(EnvError::NoSource { key }),
            None => Err(EnvError::NoKey {
                key,
                name: name.to_owned(),
            }),
        }
    }
}
