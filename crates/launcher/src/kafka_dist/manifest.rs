//! Names and checksums of a release's jars.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest;

/// The jars of one release: file name → SHA-256 in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest(BTreeMap<&'static str, &'static str>);

/// How a folder differs from what a release is made of.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Files are missing, of other bytes, or should not be there.
    #[error("in {}: {}", .folder.display(), .differences.join(", "))]
    Differs {
        /// The folder that was read.
        folder: PathBuf,
        /// One entry a file, each with what is wrong with it.
        differences: Vec<String>,
    },
    /// A file or the folder could not be read.
    #[error("could not read {}: {source}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

// === impl Manifest ===

impl Manifest {
    /// Reads what `sha256sum` writes.
    pub(super) fn parse(sums: &'static str) -> Self {
        Self(
            sums.lines()
                .filter_map(|line| line.split_once("  "))
                .map(|(sum, name)| (name, sum))
                .collect(),
        )
    }

    /// The jars' file names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().copied()
    }

    /// Checks that a folder holds exactly these files. A file too many is a
    /// difference as well: whatever is in that folder is on the class path.
    pub fn verify(&self, folder: &Path) -> Result<(), ManifestError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| ManifestError::Unreadable { path, source }
        };
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            found.insert(entry.file_name().to_string_lossy().into_owned());
        }

        let mut differences = Vec::new();
        for (&name, &wanted) in &self.0 {
            if !found.remove(name) {
                differences.push(format!("{name} is missing"));
                continue;
            }
            let path = folder.join(name);
            let sum = sha256(&path).map_err(unreadable(&path))?;
            if sum != wanted {
                differences.push(format!("{name} has SHA-256 {sum}, not {wanted}"));
            }
        }
        differences.extend(found.iter().map(|name| format!("{name} does not belong")));
        if differences.is_empty() {
            return Ok(());
        }
        Err(ManifestError::Differs {
            folder: folder.to_owned(),
            differences,
        })
    }
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => context.update(&buffer[..n]),
        }
    }
    let mut hex = String::with_capacity(64);
    for byte in context.finish().as_ref() {
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMS: &str = "\
ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  abc.jar
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  empty.jar
";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn differences(files: &[(&str, &str)]) -> Vec<String> {
        let folder = folder(files);
        match Manifest::parse(SUMS).verify(folder.path()) {
            Ok(()) => Vec::new(),
            Err(ManifestError::Differs { differences, .. }) => differences,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn accepts_the_published_files() {
        assert!(differences(&[("abc.jar", "abc"), ("empty.jar", "")]).is_empty());
    }

    #[test]
    fn finds_each_difference() {
        assert_eq!(
            differences(&[("abc.jar", "abd"), ("extra.jar", "x")]),
            [
                "abc.jar has SHA-256 \
                 a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9, not \
                 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "empty.jar is missing",
                "extra.jar does not belong",
            ]
        );
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libs");
        let error = Manifest::parse(SUMS).verify(&path).unwrap_err();
        assert!(error.to_string().starts_with("could not read"), "{error}");
    }
}
