//! Why there is no Kafka to run, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::{JavaError, ManifestError};

/// Why [`KafkaDist::ensure`](super::KafkaDist::ensure) could not hand out a Kafka.
#[derive(Debug, thiserror::Error)]
pub enum DistError {
    /// No checksums are pinned for this release.
    #[error(
        "Kafka {version} has no pinned checksums here; releases that do: {}",
        .known.join(", ")
    )]
    UnknownVersion {
        /// What was asked for.
        version: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// Maven needs a Java, and so does Kafka.
    #[error(transparent)]
    Java(#[from] JavaError),
    /// There is no `mvn` on the `PATH`.
    #[error(
        "Kafka's jars come through Maven, and `mvn` is not on the PATH; on Debian: \
         apt-get install maven"
    )]
    MavenMissing,
    /// Maven Central, or the mirror that Maven is set up for, could not be reached.
    #[error(
        "Maven could not reach its repository; check the network, or the mirror and proxy in \
         ~/.m2/settings.xml, and try again: {detail}"
    )]
    Network {
        /// Maven's own words.
        detail: String,
    },
    /// The jars do not fit.
    #[error(
        "no room for Kafka's jars in {}: {free} MB free, {needed} MB needed; make room, or name \
         another folder in TUBEWAY_CACHE_DIR",
        .folder.display()
    )]
    DiskFull {
        /// Where the jars were to go.
        folder: PathBuf,
        /// Free megabytes.
        free: u64,
        /// Megabytes that must be free.
        needed: u64,
    },
    /// Maven failed in a way that is not known here.
    #[error("mvn ended with {status}: {detail}")]
    Maven {
        /// How it ended.
        status: String,
        /// Its last error lines.
        detail: String,
    },
    /// What was fetched is not what was published.
    #[error(
        "the jars of Kafka {version} are not those that were published: {source}; if they come \
         from a local Maven repository, remove ~/.m2/repository/org/apache/kafka and try again"
    )]
    NotStock {
        /// Kafka's version.
        version: String,
        /// What differs.
        source: ManifestError,
    },
    /// The file system said no.
    #[error("could not {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

// === impl DistError ===

impl DistError {
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
