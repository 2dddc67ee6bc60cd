//! A Java runtime with what Kafka uses.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::rootfs::Rootfs;

/// Where the runtime is in an image.
pub const HOME: &str = "/opt/java";
/// All of Java SE, and what Kafka takes from beside it: elliptic curves,
/// sockets' options, JMX over the network, unmapping of files.
const MODULES: &str =
    "java.se,jdk.crypto.ec,jdk.net,jdk.management,jdk.management.agent,jdk.unsupported,jdk.zipfs";

/// Adds a runtime made from the JDK of this machine. It lies in the folder that
/// is returned, which has to be there until the image is written.
pub fn add(root: &mut Rootfs) -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let runtime = dir.path().join("java");
    let output = Command::new(jlink())
        .args(["--add-modules", MODULES, "--strip-java-debug-attributes"])
        .args(["--no-header-files", "--no-man-pages", "--output"])
        .arg(&runtime)
        .output()
        .context("cannot run jlink; `apt-get install openjdk-17-jdk-headless` has it")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "jlink failed: {said}");
    root.folder(&runtime, HOME)?;
    root.libraries(&runtime.join("bin/java"), &runtime)?;
    for folder in ["lib", "lib/server"] {
        libraries(root, &runtime, &runtime.join(folder))?;
    }
    Ok(dir)
}

/// The system's libraries that the runtime's own are linked with.
fn libraries(root: &mut Rootfs, runtime: &Path, folder: &Path) -> Result<()> {
    let entries = std::fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "so") {
            root.libraries(&path, runtime)?;
        }
    }
    Ok(())
}

fn jlink() -> PathBuf {
    match std::env::var_os("JAVA_HOME") {
        Some(home) => Path::new(&home).join("bin/jlink"),
        None => PathBuf::from("jlink"),
    }
}
