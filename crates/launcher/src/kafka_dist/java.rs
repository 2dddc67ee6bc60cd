//! Which Java there is.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Java that runs a Kafka 4 broker.
pub const MIN_JAVA: u32 = 17;

/// A Java that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JavaInfo {
    /// The `java` program.
    pub path: PathBuf,
    /// Feature release: 17 for `17.0.15`, 8 for `1.8.0_292`.
    pub version: u32,
}

/// A Java that was looked at and will not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JavaCandidate {
    /// The `java` program.
    pub path: PathBuf,
    /// Which setting led to it: `JAVA_HOME` or `PATH`.
    pub found_by: &'static str,
    /// What is wrong with it.
    pub fault: String,
}

/// There is no Java that will do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Kafka needs Java {MIN_JAVA} or newer, and {}; on Debian: apt-get install openjdk-17-jre-headless", Faults(.0))]
pub struct JavaError(pub Vec<JavaCandidate>);

/// The first Java that is new enough, of `JAVA_HOME` and then `PATH`.
pub fn find_java() -> Result<JavaInfo, JavaError> {
    find_java_in(|name| std::env::var_os(name))
}

fn find_java_in(env: impl Fn(&str) -> Option<OsString>) -> Result<JavaInfo, JavaError> {
    let home = env("JAVA_HOME")
        .filter(|home| !home.is_empty())
        .map(|home| ("JAVA_HOME", Path::new(&home).join("bin/java")));
    let path = env("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path)
        .map(|folder| folder.join("java"))
        .find(|java| java.is_file())
        .map(|java| ("PATH", java));

    let mut unfit = Vec::new();
    for (found_by, path) in home.into_iter().chain(on_path) {
        match feature_release(&path) {
            Ok(version) if version >= MIN_JAVA => return Ok(JavaInfo { path, version }),
            Ok(version) => unfit.push((found_by, path, format!("is Java {version}"))),
            Err(fault) => unfit.push((found_by, path, fault)),
        }
    }
    Err(JavaError(
        unfit
            .into_iter()
            .map(|(found_by, path, fault)| JavaCandidate {
                path,
                found_by,
                fault,
            })
            .collect(),
    ))
}

fn feature_release(java: &Path) -> Result<u32, String> {
    let output = Command::new(java)
        .arg("-version")
        .output()
        .map_err(|error| format!("does not run ({error})"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("fails with {}", output.status));
    }
    parse_version(&text).ok_or_else(|| "does not say which version it is".to_owned())
}

/// Reads `openjdk version "17.0.15" 2025-04-15`.
fn parse_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut numbers = quoted
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match numbers.next()?.ok()? {
        // Java 8 and older call themselves 1.8.
        1 => numbers.next()?.ok(),
        feature => Some(feature),
    }
}

/// The candidates as one clause of a sentence.
struct Faults<'a>(&'a [JavaCandidate]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there is none in JAVA_HOME or on the PATH");
        }
        for (i, candidate) in self.0.iter().enumerate() {
            let JavaCandidate {
                path,
                found_by,
                fault,
            } = candidate;
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} (from {found_by}) {fault}", path.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a `bin/java` that prints `version` as Java does.
    ///
    /// A shell writes it: this process must never hold the file open for
    /// writing, or a child that another test forks at that moment inherits it
    /// and running the file fails with "text file busy".
    fn java_home(version: &str) -> tempfile::TempDir {
        const WRITE: &str = r#"mkdir bin && printf '#!/bin/sh\necho "%s" >&2\n' "$1" >bin/java \
            && chmod 755 bin/java"#;
        let home = tempfile::tempdir().unwrap();
        let status = Command::new("sh")
            .args(["-c", WRITE, "sh"])
            .arg(format!("openjdk version \\\"{version}\\\""))
            .current_dir(home.path())
            .status()
            .unwrap();
        assert!(status.success());
        home
    }

    fn look(home: Option<&Path>, path: Option<&Path>) -> Result<JavaInfo, JavaError> {
        find_java_in(|name| match name {
            "JAVA_HOME" => home.map(|home| home.as_os_str().to_owned()),
            "PATH" => path.map(|home| home.join("bin").into_os_string()),
            _ => None,
        })
    }

    #[test]
    fn reads_every_way_java_writes_its_version() {
        for (text, version) in [
            ("openjdk version \"17.0.15\" 2025-04-15\nmore", Some(17)),
            ("java version \"1.8.0_292\"", Some(8)),
            ("openjdk version \"25-ea\" 2025-09-16", Some(25)),
            ("openjdk version \"21\"", Some(21)),
            ("openjdk version \"\"", None),
            ("sh: java: not found", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn java_home_comes_before_the_path() {
        let (home, path) = (java_home("21.0.1"), java_home("17.0.1"));
        let java = look(Some(home.path()), Some(path.path())).unwrap();
        assert_eq!(
            (java.version, java.path),
            (21, home.path().join("bin/java"))
        );
    }

    #[test]
    fn an_old_java_home_does_not_hide_a_good_path() {
        let (home, path) = (java_home("11.0.2"), java_home("17.0.1"));
        let java = look(Some(home.path()), Some(path.path())).unwrap();
        assert_eq!(
            (java.version, java.path),
            (17, path.path().join("bin/java"))
        );
    }

    #[test]
    fn says_what_was_looked_at() {
        assert_eq!(
            look(None, None).unwrap_err().to_string(),
            "Kafka needs Java 17 or newer, and there is none in JAVA_HOME or on the PATH; \
             on Debian: apt-get install openjdk-17-jre-headless"
        );
        let old = java_home("1.8.0_292");
        let gone = old.path().join("gone");
        let said = look(Some(&gone), Some(old.path())).unwrap_err().to_string();
        assert!(
            said.contains("gone/bin/java (from JAVA_HOME) does not run"),
            "{said}"
        );
        assert!(said.contains("bin/java (from PATH) is Java 8;"), "{said}");
    }
}
