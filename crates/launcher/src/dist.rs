//! Kafka as published: fetched from Maven Central once, and checked.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

/// Oldest Java that Kafka 4 runs on.
pub const JAVA_MIN: u32 = 17;

/// What is fetched, as Maven takes it.
const POM: &str = include_str!("../kafka/pom.xml");
/// The jars' checksums, one `<sha256>  <name>` a line.
const SUMS_4_3_1: &str = include_str!("../kafka/4.3.1.sha256");

/// A folder of Kafka's jars.
#[derive(Debug, Clone)]
pub struct KafkaDist {
    /// The folder.
    pub libs: PathBuf,
    /// Version of Kafka.
    pub version: String,
}

/// A Java that will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Java {
    /// The `java` program.
    pub path: PathBuf,
    /// Its feature version, as in 17.
    pub version: u32,
}

/// Why Kafka or Java is not there.
#[derive(Debug, thiserror::Error)]
pub enum DistError {
    /// No `java`, or not one that runs.
    #[error(
        "no Java was found in JAVA_HOME or PATH; on Debian: apt-get install openjdk-17-jre-headless"
    )]
    NoJava,
    /// A `java` that is too old.
    #[error(
        "{} is Java {version}, and Kafka needs {JAVA_MIN} or newer; set JAVA_HOME to one, or: apt-get install openjdk-17-jre-headless",
        path.display()
    )]
    OldJava {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// A version whose checksums are not known here.
    #[error("Kafka {0} is not known here; 4.3.1 is")]
    UnknownVersion(String),
    /// No `mvn`.
    #[error("Maven fetches Kafka's jars and was not found; on Debian: apt-get install maven")]
    NoMaven,
    /// Maven failed.
    #[error("Maven could not fetch Kafka (is Maven Central reachable?):\n{0}")]
    Maven(String),
    /// A jar is missing, or another one than was published.
    #[error("{}: {problem}; delete the folder and start again", path.display())]
    Jar {
        /// The jar.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// The cache cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The Java of `JAVA_HOME`, else of `PATH`.
pub fn find_java() -> Result<Java, DistError> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("java"));
    let java = home
        .into_iter()
        .chain(on_path)
        .find(|path| path.is_file())
        .ok_or(DistError::NoJava)?;
    let output = Command::new(&java)
        .arg("-version")
        .output()
        .map_err(|_| DistError::NoJava)?;
    let version =
        parse_version(&String::from_utf8_lossy(&output.stderr)).ok_or(DistError::NoJava)?;
    if version < JAVA_MIN {
        return Err(DistError::OldJava {
            path: java,
            version,
        });
    }
    Ok(Java {
        path: java,
        version,
    })
}

// === impl KafkaDist ===

impl KafkaDist {
    /// The jars of `version` below `cache`; fetched, if they are not there,
    /// and compared with the checksums that this program was built with.
    pub fn ensure(
        cache: &Path,
        version: &str,
        mut progress: impl FnMut(&str),
    ) -> Result<Self, DistError> {
        let sums = checksums(version)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| DistError::Io { path, source }
        };
        fs::create_dir_all(cache).map_err(at(cache))?;
        let libs = cache.join(version);
        // Two that start at once must not fetch into each other's folder.
        let lock = File::create(cache.join("lock")).map_err(at(cache))?;
        lock.lock().map_err(at(cache))?;
        if !libs.is_dir() {
            progress(&format!(
                "fetching Kafka {version} from Maven Central (55 MB)"
            ));
            let temporary = cache.join(format!(".{version}-{}", std::process::id()));
            fetch(&temporary, version)?;
            fs::rename(temporary.join("libs"), &libs).map_err(at(&libs))?;
            let _ = fs::remove_dir_all(&temporary);
            progress("checking its checksums");
            verify(&libs, &sums)?;
        }
        for name in sums.keys() {
            if !libs.join(name).is_file() {
                return Err(DistError::Jar {
                    path: libs.join(name),
                    problem: "is missing",
                });
            }
        }
        Ok(Self {
            libs,
            version: version.to_owned(),
        })
    }

    /// Compares every jar with its checksum.
    pub fn verify(&self) -> Result<(), DistError> {
        verify(&self.libs, &checksums(&self.version)?)
    }
}

fn checksums(version: &str) -> Result<BTreeMap<&'static str, &'static str>, DistError> {
    if version != "4.3.1" {
        return Err(DistError::UnknownVersion(version.to_owned()));
    }
    Ok(SUMS_4_3_1
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(sum, name)| (name, sum))
        .collect())
}

fn verify(libs: &Path, sums: &BTreeMap<&str, &str>) -> Result<(), DistError> {
    let entries = fs::read_dir(libs).map_err(|source| DistError::Io {
        path: libs.to_owned(),
        source,
    })?;
    for entry in entries.flatten() {
        if !sums.contains_key(entry.file_name().to_string_lossy().as_ref()) {
            return Err(DistError::Jar {
                path: entry.path(),
                problem: "is not part of Kafka as it was published",
            });
        }
    }
    for (name, sum) in sums {
        let path = libs.join(name);
        let bytes = fs::read(&path).map_err(|source| DistError::Io {
            path: path.clone(),
            source,
        })?;
        let digest = format!("{:x}", Sha256::digest(&bytes));
        if digest != *sum {
            return Err(DistError::Jar {
                path,
                problem: "has another checksum than what was published",
            });
        }
    }
    Ok(())
}

fn fetch(dir: &Path, version: &str) -> Result<(), DistError> {
    let at = |source| DistError::Io {
        path: dir.to_owned(),
        source,
    };
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).map_err(at)?;
    fs::write(dir.join("pom.xml"), POM.replace("KAFKA_VERSION", version)).map_err(at)?;
    let output = Command::new("mvn")
        .args(["-q", "-B", "dependency:copy-dependencies"])
        .args(["-DincludeScope=runtime", "-DoutputDirectory=libs"])
        .current_dir(dir)
        .output()
        .map_err(|_| DistError::NoMaven)?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let tail: Vec<&str> = said.lines().rev().take(10).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(DistError::Maven(tail.join("\n")));
    }
    Ok(())
}

/// The feature version in what `java -version` says: `"17.0.15"` is 17, and
/// `"1.8.0_402"` is 8.
fn parse_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once('"')?;
    let mut parts = rest.split(['.', '"', '_', '-', '+']);
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        version => Some(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_java_old_and_new() {
        for (text, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15", 17),
            ("openjdk version \"21\" 2023-09-19", 21),
            ("java version \"1.8.0_402\"", 8),
            ("openjdk version \"25-ea\" 2025", 25),
        ] {
            assert_eq!(parse_version(text), Some(version), "{text}");
        }
        assert_eq!(parse_version("command not found"), None);
    }

    #[test]
    fn a_jar_that_was_changed_added_or_lost_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let sums = BTreeMap::from([("a.jar", sum)]);
        let jar = dir.path().join("a.jar");
        assert!(matches!(
            verify(dir.path(), &sums),
            Err(DistError::Io { .. })
        ));
        fs::write(&jar, "hello").unwrap();
        verify(dir.path(), &sums).unwrap();
        fs::write(&jar, "jello").unwrap();
        assert!(
            verify(dir.path(), &sums)
                .unwrap_err()
                .to_string()
                .contains("a.jar")
        );
        fs::write(&jar, "hello").unwrap();
        fs::write(dir.path().join("ours.jar"), "").unwrap();
        assert!(
            verify(dir.path(), &sums)
                .unwrap_err()
                .to_string()
                .contains("ours.jar")
        );
    }
}
