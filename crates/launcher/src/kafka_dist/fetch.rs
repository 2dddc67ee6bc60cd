//! Maven, run as a child process, and what its output means.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{DistError, find_java};

const POM: &str = include_str!("../../kafka/pom.xml");

/// Megabytes that the jars take twice (Maven keeps its own copy), and a margin.
const ROOM: u64 = 200;

/// How many of Maven's error lines are passed on.
const DETAIL_LINES: usize = 6;

/// Fetches the jars into a folder next to their final place; the caller holds the lock.
pub(super) fn fetch(
    cache_dir: &Path,
    version: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, DistError> {
    let java = find_java()?;
    check_room(cache_dir)?;
    let staged = cache_dir.join(format!("kafka-{version}.part"));
    if staged.exists() {
        fs::remove_dir_all(&staged).map_err(DistError::io("remove what was left in", &staged))?;
    }
    fs::create_dir(&staged).map_err(DistError::io("make the folder", &staged))?;
    let pom = staged.join("pom.xml");
    fs::write(&pom, POM).map_err(DistError::io("write", &pom))?;

    progress(&format!("fetching Kafka {version} through Maven"));
    let mut command = Command::new("mvn");
    command
        .arg("-B")
        .arg("-f")
        .arg(&pom)
        .arg(format!("-Dkafka.version={version}"))
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!(
            "-DoutputDirectory={}",
            staged.join("libs").display()
        ));
    // Maven would take an old JAVA_HOME at its word, whatever is on the PATH.
    if let Some(home) = java.path.parent().and_then(Path::parent)
        && home.join("lib").is_dir()
        && home != Path::new("/usr")
    {
        command.env("JAVA_HOME", home);
    } else {
        command.env_remove("JAVA_HOME");
    }
    run(command, cache_dir, progress)?;
    Ok(staged)
}

fn check_room(folder: &Path) -> Result<(), DistError> {
    let free = free_megabytes(folder)?;
    if free < ROOM {
        return Err(DistError::DiskFull {
            folder: folder.to_owned(),
            free,
            needed: ROOM,
        });
    }
    Ok(())
}

fn free_megabytes(folder: &Path) -> Result<u64, DistError> {
    let stat = rustix::fs::statvfs(folder)
        .map_err(|errno| DistError::io("ask for the free space of", folder)(errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000)
}

fn run(
    mut command: Command,
    folder: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<(), DistError> {
    let mut maven = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| match source.kind() {
            ErrorKind::NotFound => DistError::MavenMissing,
            _ => DistError::io("run", Path::new("mvn"))(source),
        })?;
    let mut errors = Vec::new();
    if let Some(output) = maven.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            match Line::read(&line) {
                Line::Downloaded(jar) => progress(&format!("downloaded {jar}")),
                Line::Error(text) => errors.push(text.to_owned()),
                Line::Other => {}
            }
        }
    }
    let status = maven
        .wait()
        .map_err(DistError::io("wait for", Path::new("mvn")))?;
    if status.success() {
        return Ok(());
    }
    Err(failure(&status.to_string(), &errors, folder))
}

/// What one line of `mvn -B` says.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Downloaded(&'a str),
    Error(&'a str),
    Other,
}

// === impl Line ===

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        if let Some(rest) = line.strip_prefix("[INFO] Downloaded from ") {
            let url = rest.split_whitespace().nth(1).unwrap_or(rest);
            let file = url.rsplit('/').next().unwrap_or(url);
            return match file.strip_suffix(".jar") {
                Some(_) => Self::Downloaded(file),
                None => Self::Other,
            };
        }
        match line.strip_prefix("[ERROR] ").map(str::trim) {
            Some(text) if !text.is_empty() => Self::Error(text),
            _ => Self::Other,
        }
    }
}

/// Which error the lines that Maven ended with amount to.
fn failure(status: &str, errors: &[String], folder: &Path) -> DistError {
    let says = |signs: &[&str]| {
        errors
            .iter()
            .any(|line| signs.iter().any(|sign| line.contains(sign)))
    };
    let detail = errors
        .iter()
        .take(DETAIL_LINES)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ");
    if says(&["No space left on device", "Disk quota exceeded"]) {
        return DistError::DiskFull {
            folder: folder.to_owned(),
            free: free_megabytes(folder).unwrap_or(0),
            needed: ROOM,
        };
    }
    if says(&[
        "Could not transfer artifact",
        "Unknown host",
        "UnknownHostException",
        "Connection refused",
        "Connection timed out",
        "Network is unreachable",
        "Temporary failure in name resolution",
    ]) {
        return DistError::Network { detail };
    }
    DistError::Maven {
        status: status.to_owned(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(errors: &[&str]) -> DistError {
        let errors: Vec<_> = errors.iter().map(|&line| line.to_owned()).collect();
        failure("exit status: 1", &errors, Path::new("/"))
    }

    #[test]
    fn reads_the_lines_that_matter() {
        assert_eq!(
            Line::read(
                "[INFO] Downloaded from central: https://repo/org/a-1.jar (1.2 MB at 3 MB/s)"
            ),
            Line::Downloaded("a-1.jar")
        );
        assert_eq!(
            Line::read("[INFO] Downloaded from central: https://repo/org/a-1.pom (1 kB at 3)"),
            Line::Other
        );
        assert_eq!(Line::read("[ERROR] no"), Line::Error("no"));
        assert_eq!(Line::read("[ERROR] "), Line::Other);
        assert_eq!(Line::read(""), Line::Other);
    }

    #[test]
    fn tells_the_causes_apart() {
        assert!(matches!(
            failed(&[
                "Failed to execute goal …",
                "Could not transfer artifact x from/to central: repo.maven.apache.org"
            ]),
            DistError::Network { .. }
        ));
        assert!(matches!(
            failed(&["x.jar.part: No space left on device"]),
            DistError::DiskFull { needed: ROOM, .. }
        ));
        let other = failed(&["Non-resolvable parent POM", "see the log"]);
        assert_eq!(
            other.to_string(),
            "mvn ended with exit status: 1: Non-resolvable parent POM see the log"
        );
    }

    #[test]
    fn a_missing_maven_says_how_to_install_it() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Command::new(folder.path().join("mvn"));
        let error = run(missing, folder.path(), &mut |_| {}).unwrap_err();
        assert!(
            error.to_string().ends_with("apt-get install maven"),
            "{error}"
        );
    }
}
