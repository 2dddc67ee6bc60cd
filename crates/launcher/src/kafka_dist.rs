//! The jars of a stock Kafka, fetched from Maven Central once and checked every time.
//!
//! Expected flow: [`KafkaDist::ensure`] with a folder that may be shared by
//! any number of processes. The first one to come fetches, into a folder of
//! its own that takes the final name only when every checksum is right; the
//! others wait for it. Later calls read the jars (60 MB, a tenth of a second)
//! and compare them with the sums that are pinned here.
//!
//! Everything blocks; call it from a thread that may.

mod error;
mod fetch;
mod java;
mod manifest;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

pub use error::DistError;
pub use java::{JavaCandidate, JavaError, JavaInfo, MIN_JAVA, find_java};
pub use manifest::{Manifest, ManifestError};

/// The Kafka that is run where nothing else is asked for.
pub const DEFAULT_VERSION: &str = "4.3.1";

/// The releases whose checksums are pinned, each with its manifest.
const RELEASES: &[(&str, &str)] = &[
    ("3.9.1", include_str!("../kafka/kafka-3.9.1.sha256")),
    ("4.3.1", include_str!("../kafka/kafka-4.3.1.sha256")),
];

/// A folder of Kafka's jars, each with the checksum that Maven Central's has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaDist {
    /// Folder of the jars; nothing else is in it.
    pub libs: PathBuf,
    /// Kafka's version, such as `4.3.1`.
    pub version: String,
}

// === impl KafkaDist ===

impl KafkaDist {
    /// Kafka `version` under `cache_dir`, fetched if it is not there or damaged.
    ///
    /// `progress` gets a line for each step that may take a while. Fetching
    /// needs Maven, Java and the network; finding needs none of them.
    pub fn ensure(
        cache_dir: &Path,
        version: &str,
        mut progress: impl FnMut(&str),
    ) -> Result<Self, DistError> {
        let manifest = Self::manifest(version)?;
        let home = cache_dir.join(format!("kafka-{version}"));
        let dist = Self {
            libs: home.join("libs"),
            version: version.to_owned(),
        };
        fs::create_dir_all(cache_dir).map_err(DistError::io("make the folder", cache_dir))?;
        let _lock = lock(
            &cache_dir.join(format!("kafka-{version}.lock")),
            &mut progress,
        )?;
        if home.exists() {
            match manifest.verify(&dist.libs) {
                Ok(()) => return Ok(dist),
                Err(error) => progress(&format!("fetching Kafka {version} again: {error}")),
            }
        }
        let staged = fetch::fetch(cache_dir, version, &mut progress)?;
        manifest
            .verify(&staged.join("libs"))
            .map_err(|source| DistError::NotStock {
                version: version.to_owned(),
                source,
            })?;
        replace(&staged, &home)?;
        progress(&format!("Kafka {version} is in {}", home.display()));
        Ok(dist)
    }

    /// The pinned names and checksums of a release's jars.
    pub fn manifest(version: &str) -> Result<Manifest, DistError> {
        RELEASES
            .iter()
            .find(|(known, _)| *known == version)
            .map(|(_, sums)| Manifest::parse(sums))
            .ok_or_else(|| DistError::UnknownVersion {
                version: version.to_owned(),
                known: RELEASES.iter().map(|(known, _)| *known).collect(),
            })
    }

    /// Whether every jar, and nothing but them, is there as it was published.
    pub fn verify(&self) -> Result<(), DistError> {
        Self::manifest(&self.version)?
            .verify(&self.libs)
            .map_err(|source| DistError::NotStock {
                version: self.version.clone(),
                source,
            })
    }

    /// A command that runs one of Kafka's main classes; add its arguments.
    pub fn command(&self, java: &JavaInfo, jvm_options: &[&str], main: &str) -> Command {
        let mut command = Command::new(&java.path);
        command
            .args(jvm_options)
            .arg("-cp")
            .arg(self.libs.join("*"))
            .arg(main);
        command
    }
}

/// The folder that `tubeway up` and the tests share: `$TUBEWAY_CACHE_DIR`, else
/// `$XDG_CACHE_HOME/tubeway`, else `$HOME/.cache/tubeway`, else a folder for temporary files.
pub fn default_cache_dir() -> PathBuf {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("TUBEWAY_CACHE_DIR")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("tubeway")))
        .or_else(|| Some(set("HOME")?.join(".cache/tubeway")))
        .unwrap_or_else(|| std::env::temp_dir().join("tubeway-cache"))
}

/// The lock file, held until it is dropped; the kernel lets go of it when a process dies.
fn lock(path: &Path, progress: &mut dyn FnMut(&str)) -> Result<File, DistError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(DistError::io("open the lock", path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress("waiting for another process that is fetching Kafka");
        }
        Err(TryLockError::Error(source)) => return Err(DistError::io("lock", path)(source)),
    }
    file.lock().map_err(DistError::io("lock", path))?;
    Ok(file)
}

fn replace(staged: &Path, home: &Path) -> Result<(), DistError> {
    if home.exists() {
        fs::remove_dir_all(home).map_err(DistError::io("remove the damaged folder", home))?;
    }
    fs::rename(staged, home).map_err(DistError::io("rename to", home))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_release_names_the_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let error = KafkaDist::ensure(folder.path(), "0.8.2", |_| {}).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Kafka 0.8.2 has no pinned checksums here; releases that do: 3.9.1, 4.3.1"
        );
    }

    #[test]
    fn a_pinned_release_has_the_broker_and_its_tools() {
        let manifest = KafkaDist::manifest(DEFAULT_VERSION).unwrap();
        for jar in ["kafka_2.13-4.3.1.jar", "kafka-tools-4.3.1.jar"] {
            assert!(manifest.names().any(|name| name == jar), "{jar}");
        }
        assert!(
            manifest
                .names()
                .all(|name| !name.to_lowercase().contains("tubeway"))
        );
    }

    #[test]
    fn a_cache_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error =
            KafkaDist::ensure(&file.path().join("cache"), DEFAULT_VERSION, |_| {}).unwrap_err();
        assert!(
            error.to_string().starts_with("could not make the folder"),
            "{error}"
        );
    }

    #[test]
    fn a_second_process_is_told_what_it_waits_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock(&path, &mut |_| unreachable!("nobody holds it")).unwrap();
        let mut first = Some(first);
        let mut said = Vec::new();
        lock(&path, &mut |line| {
            said.push(line.to_owned());
            drop(first.take());
        })
        .unwrap();
        assert_eq!(said, ["waiting for another process that is fetching Kafka"]);
    }
}
