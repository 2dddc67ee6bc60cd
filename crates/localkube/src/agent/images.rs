//! Which local files stand for a container image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One image as the machine holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalImage {
    /// Absolute paths inside the image and what stands for each on this machine.
    pub paths: Vec<(String, PathBuf)>,
    /// Folders in which a command without a slash is looked up, before `PATH`.
    pub bin_dirs: Vec<PathBuf>,
    /// The command of a container that names none, as an image's `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
}

/// Maps image names to local files.
///
/// A name is looked up as written, then without its digest and its tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageTable {
    images: BTreeMap<String, LocalImage>,
}

// === impl ImageTable ===

impl ImageTable {
    /// An empty table, which knows no image.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an image under `name`, with or without a tag, replacing an earlier one.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, image: LocalImage) -> Self {
        self.images.insert(name.into(), image);
        self
    }

    /// The image for `name`, if this machine has one.
    pub fn find(&self, name: &str) -> Option<&LocalImage> {
        self.images
            .get(name)
            .or_else(|| self.images.get(without_tag(name)))
    }

    /// The names this table knows, for error messages.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.images.keys().map(String::as_str).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    }
}

/// Finds the program `name` (no slash in it) in `dirs`, the first executable file wins.
pub(crate) fn find_program<'a>(
    name: &str,
    dirs: impl IntoIterator<Item = &'a Path>,
) -> Option<PathBuf> {
    dirs.into_iter()
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

/// Whether `path` is a file that somebody may execute.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn without_tag(name: &str) -> &str {
    let name = name.split_once('@').map_or(name, |(name, _digest)| name);
    // A colon before the last slash belongs to the registry's port, not to a tag.
    match name.rsplit_once(':') {
        Some((bare, tag)) if !tag.contains('/') => bare,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ImageTable {
        let image = |dir: &str| LocalImage {
            bin_dirs: vec![dir.into()],
            ..LocalImage::default()
        };
        ImageTable::new()
            .with("tubeway.dev/proxy", image("/any"))
            .with("tubeway.dev/kafka:4.3.1", image("/kafka-4.3.1"))
            .with("localhost:5000/app", image("/app"))
    }

    #[test]
    fn finds_exact_names_before_bare_ones() {
        let table = table().with("tubeway.dev/kafka", LocalImage::default());
        let dir = |name| table.find(name).map(|image| image.bin_dirs.clone());
        assert_eq!(
            dir("tubeway.dev/kafka:4.3.1"),
            Some(vec!["/kafka-4.3.1".into()])
        );
        assert_eq!(dir("tubeway.dev/kafka:3.9.2"), Some(vec![]));
    }

    #[test]
    fn ignores_tag_and_digest_but_not_the_registry_port() {
        let table = table();
        for name in [
            "tubeway.dev/proxy",
            "tubeway.dev/proxy:latest",
            "tubeway.dev/proxy:1@sha256:00ff",
            "localhost:5000/app",
            "localhost:5000/app:2",
        ] {
            assert!(table.find(name).is_some(), "{name}");
        }
        assert_eq!(table.find("tubeway.dev/kafka:3.9.2"), None);
        assert_eq!(table.find("localhost"), None);
    }
}
