//! The folder that holds everything of one local installation.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// Where things are kept, and who uses them.
#[derive(Debug, Clone)]
pub struct State {
    root: PathBuf,
}

/// What a running `tubeway up` tells the other commands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Process id of `tubeway up`.
    pub pid: i32,
    /// URL of the Kubernetes API.
    pub api: String,
    /// Whether everything that was asked for is up.
    pub ready: bool,
}

/// The right to use the folder; the system takes it back when the process ends.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

// === impl State ===

impl State {
    /// The folder given, or the user's state folder.
    pub fn new(given: Option<PathBuf>) -> Result<Self> {
        let root = match given {
            Some(root) => std::path::absolute(root)?,
            None => state_home()?.join("tubeway"),
        };
        Ok(Self { root })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Objects of the Kubernetes API.
    pub fn kube(&self) -> PathBuf {
        self.root.join("kube")
    }

    /// Pods, volumes and logs of the node.
    pub fn node(&self) -> PathBuf {
        self.root.join("node")
    }

    /// The kubeconfig for `kubectl`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// What a detached `up` prints.
    pub fn log(&self) -> PathBuf {
        self.root.join("up.log")
    }

    /// Takes the folder for this process, or says who has it.
    pub fn lock(&self) -> Result<Lock> {
        std::fs::create_dir_all(&self.root).with_context(|| {
            format!(
                "cannot make the state folder {}; choose another with --state-dir",
                self.root.display()
            )
        })?;
        let file = self.open_lock()?;
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
            let who = self.running()?.map_or_else(
                || "another tubeway command".to_owned(),
                |running| format!("`tubeway up` (process {})", running.pid),
            );
            bail!(
                "{who} uses {} already. `tubeway status` shows it, `tubeway down` stops it, --state-dir chooses another folder",
                self.root.display()
            );
        }
        Ok(Lock { file })
    }

    /// The `tubeway up` that runs on this folder, if one does.
    pub fn running(&self) -> Result<Option<Running>> {
        if !self.root.join("lock").exists() {
            return Ok(None);
        }
        let mut file = self.open_lock()?;
        if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_ok() {
            return Ok(None);
        }
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        Ok(serde_json::from_str(&text).ok())
    }

    fn open_lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

// === impl Lock ===

impl Lock {
    /// Tells other commands what runs here.
    pub fn publish(&mut self, running: &Running) -> Result<()> {
        let text = serde_json::to_vec(running)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&text)?;
        Ok(())
    }
}

fn state_home() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|dir| !dir.is_empty());
    set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))
        .context("neither XDG_STATE_HOME nor HOME is set; give --state-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_told_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(Some(dir.path().join("s"))).unwrap();
        assert_eq!(state.running().unwrap(), None);
        let mut lock = state.lock().unwrap();
        let running = Running {
            pid: 4711,
            api: "https://127.0.0.1:1".to_owned(),
            ready: true,
        };
        lock.publish(&running).unwrap();
        assert_eq!(state.running().unwrap(), Some(running));
        let error = state.lock().unwrap_err().to_string();
        assert!(
            error.contains("process 4711") && error.contains("--state-dir"),
            "{error}"
        );
        drop(lock);
        assert_eq!(state.running().unwrap(), None);
        state.lock().unwrap();
    }
}
