//! Folders whose whole content changes at once.
//!
//! As in a kubelet's volumes, the files live in a folder of their own behind the link `..data`,
//! and what a container opens are links through it. Replacing that one link by rename shows all
//! new files at the same instant, and never a half-written one.

use super::files::{remove_folder, write_new};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// Files by relative path.
pub(crate) type Files = BTreeMap<String, PublishedFile>;

/// One file's content.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PublishedFile {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
}

const DATA: &str = "..data";

/// Makes `dir` show exactly `files`. Readers see the old files until they see all the new ones.
pub(crate) fn publish(dir: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let old = fs::read_link(dir.join(DATA)).ok();
    let content = format!("..{}", uuid::Uuid::new_v4().simple());
    let written = write_all(&dir.join(&content), files)
        .and_then(|()| replace_link(Path::new(&content), &dir.join(DATA)));
    if let Err(error) = written {
        let _ = remove_folder(&dir.join(&content));
        return Err(error);
    }
    link_names(dir, files)?;
    match old {
        Some(old) if !old.as_os_str().is_empty() => remove_folder(&dir.join(old)),
        _ => Ok(()),
    }
}

/// Whether `path` stays inside the folder it is relative to.
pub(crate) fn stays_inside(path: &str) -> bool {
    let mut components = Path::new(path).components().peekable();
    components.peek().is_some()
        && !path.starts_with("..")
        && components.all(|component| matches!(component, Component::Normal(_)))
}

fn write_all(dir: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir(dir)?;
    for (path, file) in files {
        let path = dir.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        write_new(&path, &file.bytes, file.mode)?;
    }
    Ok(())
}

/// Links the first component of each path through `..data`, and removes names that are over.
fn link_names(dir: &Path, files: &Files) -> io::Result<()> {
    let wanted: BTreeSet<&str> = files
        .keys()
        .filter_map(|path| path.split('/').find(|part| !part.is_empty()))
        .collect();
    for name in &wanted {
        let target = PathBuf::from(DATA).join(name);
        let link = dir.join(name);
        if fs::read_link(&link).ok().as_deref() != Some(&target) {
            replace_link(&target, &link)?;
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let known = name
            .to_str()
            .is_some_and(|name| name.starts_with("..") || wanted.contains(name));
        if !known && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn replace_link(target: &Path, link: &Path) -> io::Result<()> {
    let mut name = std::ffi::OsString::from("..new-");
    name.push(link.file_name().unwrap_or_default());
    let new = link.with_file_name(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(target, &new)?;
    fs::rename(&new, link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn files(files: &[(&str, &str)]) -> Files {
        let file = |text: &str| PublishedFile {
            bytes: text.into(),
            mode: 0o440,
        };
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), file(text)))
            .collect()
    }

    #[test]
    fn shows_exactly_the_latest_files() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("volume");
        let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
        publish(&dir, &files(&[("a", "1"), ("sub/b", "2"), ("sub/c", "3")])).unwrap();
        assert_eq!(read("a").as_deref(), Some("1"));
        assert_eq!(read("sub/c").as_deref(), Some("3"));
        let mode = fs::metadata(dir.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o440);

        publish(&dir, &files(&[("sub/b", "4"), ("d", "5")])).unwrap();
        assert_eq!((read("a"), read("sub/c")), (None, None));
        assert_eq!(read("sub/b").as_deref(), Some("4"));
        assert_eq!(read("d").as_deref(), Some("5"));
        let names: BTreeSet<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("..") || name == DATA)
            .collect();
        assert_eq!(
            names,
            BTreeSet::from([DATA.into(), "d".into(), "sub".into()])
        );
        assert_eq!(
            fs::read_dir(&dir).unwrap().count(),
            4,
            "and one folder of content"
        );
    }

    #[test]
    fn paths_that_leave_the_folder_are_recognised() {
        for path in ["a", "a/b", "a..b"] {
            assert!(stays_inside(path), "{path}");
        }
        for path in ["", "/a", "../a", "a/../../b", "..data", "./a"] {
            assert!(!stays_inside(path), "{path}");
        }
    }
}
