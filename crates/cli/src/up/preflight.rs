//! What this machine must have, looked at before anything is started.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tubeway_launcher::kafka_dist::{KafkaDist, default_cache_dir, find_java};

use crate::progress::Progress;
use crate::state::State;
use crate::up::binaries::Binaries;

/// Topics, logs and jars need some room; less than this fails half-way.
const NEEDED: u64 = 1 << 30;

/// What was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Folder of our programs.
    pub programs: PathBuf,
    /// The `java` program.
    pub java: PathBuf,
    /// Versions of Kafka, each with the folder of its jars.
    pub kafka: Vec<(String, PathBuf)>,
}

/// Looks, and fetches Kafka where it is not there yet.
pub async fn run(state: &State, versions: &[String], progress: &Progress) -> Result<Found> {
    let programs = Binaries::find()?;
    programs.check()?;
    room(state.root())?;
    let java = find_java()?;
    let mut kafka = Vec::new();
    for version in versions.iter().cloned() {
        let report = progress.clone();
        let asked = version.clone();
        let dist = tokio::task::spawn_blocking(move || {
            KafkaDist::ensure(&default_cache_dir(), &asked, |what| {
                report.waits_for(what);
            })
        })
        .await?
        .with_context(|| format!("cannot get Kafka {version}"))?;
        kafka.push((version, dist.libs));
    }
    Ok(Found {
        programs: programs.dir().to_owned(),
        java: java.path,
        kafka,
    })
}

fn room(dir: &Path) -> Result<()> {
    let stat =
        rustix::fs::statvfs(dir).with_context(|| format!("cannot look at {}", dir.display()))?;
    let free = stat.f_bavail * stat.f_frsize;
    if free < NEEDED {
        bail!(
            "{} has {} MB left and at least {} MB are needed; make room, or choose another disk with --state-dir",
            dir.display(),
            free >> 20,
            NEEDED >> 20
        );
    }
    Ok(())
}
