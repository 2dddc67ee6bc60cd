//! Where the other programs are: beside this one.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The folder that the programs were built or installed into.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

/// The programs that run in pods.
pub const PROGRAMS: [&str; 3] = ["tubeway-operator", "tubeway-proxy", "tubeway-launcher"];

// === impl Binaries ===

impl Binaries {
    /// The folder of the running program.
    pub fn find() -> Result<Self> {
        let exe = std::env::current_exe().context("cannot tell where this program is")?;
        let exe = exe.canonicalize().unwrap_or(exe);
        let mut dir = exe.parent().unwrap_or(Path::new("/")).to_owned();
        // A test's program is one folder below the programs.
        if dir.ends_with("deps") {
            dir.pop();
        }
        Ok(Self { dir })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one program.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        if !path.is_file() {
            bail!(
                "{name} is not in {}; `make build` builds all programs into one folder",
                self.dir.display()
            );
        }
        Ok(path)
    }

    /// Checks that all of them are there.
    pub fn check(&self) -> Result<()> {
        PROGRAMS
            .iter()
            .try_for_each(|name| self.program(name).map(drop))
    }
}
