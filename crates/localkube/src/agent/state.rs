//! The agent's folder: checked, locked, and cleared of processes of an agent before.

use super::address::{AddressBook, AddressRange};
use super::node::StateDirs;
use super::records::ProcessRecords;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The state folder, held for one agent.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) dirs: StateDirs,
    _lock: File,
}

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The path is not UTF-8, so it could not be put into commands.
    #[error("state folder {}: its path must be UTF-8", path.display())]
    NotUtf8 {
        /// The folder.
        path: PathBuf,
    },
    /// Another agent uses it.
    #[error("state folder {} is used by another agent; stop it or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It cannot be written, or its content cannot be read.
    #[error("state folder, {}: {source}; check that the disk has room and the folder is yours", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kept pod addresses cannot be read.
    #[error("state folder: {0}; move the file away to give pods new addresses")]
    Addresses(String),
}

// === impl State ===

impl State {
    /// Makes and locks the folder, and ends processes that an earlier agent left, within `grace`.
    pub(crate) async fn open(root: &Path, grace: Duration) -> Result<Self, StateError> {
        let root = std::path::absolute(root).map_err(io_error(root))?;
        if root.to_str().is_none() {
            return Err(StateError::NotUtf8 { path: root });
        }
        std::fs::create_dir_all(&root).map_err(io_error(&root))?;
        // Links resolved: a process is recognised by where its home really is.
        let root = root.canonicalize().map_err(io_error(&root))?;
        let lock = lock(&root)?;
        let dirs = StateDirs::new(root);
        for dir in [dirs.pods(), dirs.logs(), dirs.running(), dirs.volumes()] {
            make_private(&dir).map_err(io_error(&dir))?;
        }
        check_room(dirs.root())?;
        let (records, pods) = (ProcessRecords::new(dirs.running()), dirs.pods());
        let ended = tokio::task::spawn_blocking(move || records.end_leftovers(&pods, grace));
        let ended = ended.await.map_err(io::Error::other).flatten();
        let ended = ended.map_err(io_error(&dirs.running()))?;
        if ended > 0 {
            tracing::warn!(
                processes = ended,
                "processes of an agent that died were ended"
            );
        }
        Ok(Self { dirs, _lock: lock })
    }

    /// The pods' addresses.
    pub(crate) fn addresses(&self, range: AddressRange) -> Result<Arc<AddressBook>, StateError> {
        AddressBook::open(self.dirs.root().join("addresses.json"), range)
            .map(Arc::new)
            .map_err(|error| StateError::Addresses(error.to_string()))
    }
}

fn lock(root: &Path) -> Result<File, StateError> {
    let path = root.join("agent.lock");
    let file = File::options().create(true).append(true).open(&path);
    let file = file.map_err(io_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse {
            path: root.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(io_error(&path)(error)),
    }
}

/// Pods' folders hold secrets: they are their owner's alone.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

/// A full disk is said at once, not when the first pod fails.
fn check_room(root: &Path) -> Result<(), StateError> {
    let probe = root.join("agent.probe");
    let written = super::files::write_atomically(&probe, &[0; 4096], 0o600);
    written
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(io_error(&probe))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateError + use<> {
    let path = path.to_owned();
    move |source| StateError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_agent_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = State::open(dir.path(), Duration::ZERO).await.unwrap();
        let second = State::open(dir.path(), Duration::ZERO).await;
        assert!(
            matches!(second, Err(StateError::InUse { .. })),
            "{second:?}"
        );
        drop(first);
        State::open(dir.path(), Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = State::open(&file.join("state"), Duration::ZERO)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
