//! What an image's file system, or one layer of it, consists of.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use tar::{Builder, EntryType, Header};

use super::read;

/// Users by name; programs run as the second.
const PASSWD: &str = "root:x:0:0:root:/:/none\ntubeway:x:10001:10001:tubeway:/:/none\n";
const GROUP: &str = "root:x:0:\ntubeway:x:10001:\n";
/// Names are looked up as everywhere: in the file, then by DNS.
const NSSWITCH: &str = "hosts: files dns\n";

/// Paths in the image, each absolute, with what is there.
#[derive(Debug, Default)]
pub struct Rootfs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Folder { mode: u32 },
    Text(&'static str),
    File { from: PathBuf, mode: u32 },
    Link(String),
}

// === impl Rootfs ===

impl Rootfs {
    /// What every image begins with.
    pub fn base() -> Self {
        let mut new = Self::default();
        for (path, text) in [
            ("/etc/passwd", PASSWD),
            ("/etc/group", GROUP),
            ("/etc/nsswitch.conf", NSSWITCH),
        ] {
            new.put(path, Entry::Text(text));
        }
        new.put("/tmp", Entry::Folder { mode: 0o1777 });
        new
    }

    /// A program into `folder`, and the libraries that it is linked with to
    /// where they are here.
    pub fn program(&mut self, from: &Path, folder: &str) -> Result<()> {
        let name = from.file_name().context("a program has a name")?;
        let to = format!("{folder}/{}", name.to_string_lossy());
        self.file(from, &to, 0o755);
        self.libraries(from, Path::new(folder))
    }

    /// The libraries that a program or library is linked with, but for those
    /// below `own`, which go into the image by themselves. Those are looked for
    /// in `own/lib` and, of a Java runtime, in `own/lib/server`.
    pub fn libraries(&mut self, of: &Path, own: &Path) -> Result<()> {
        let folders = [own.join("lib"), own.join("lib/server")];
        let output = Command::new("ldd")
            .arg(of)
            .env("LD_LIBRARY_PATH", std::env::join_paths(folders)?)
            .output()
            .context("cannot run ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            // A static program has none.
            if text.contains("statically linked") || said.contains("not a dynamic executable") {
                return Ok(());
            }
            bail!("ldd {}: {said}", of.display());
        }
        for library in linked(&text)? {
            let path = Path::new(&library);
            if !path.starts_with(own) {
                self.file(path, &library, 0o755);
            }
        }
        Ok(())
    }

    /// A folder with everything in it.
    pub fn folder(&mut self, from: &Path, to: &str) -> Result<()> {
        let entries =
            std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
        for entry in entries {
            let entry = entry?;
            let to = format!("{to}/{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.folder(&entry.path(), &to)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path())?;
                self.put(&to, Entry::Link(target.to_string_lossy().into_owned()));
            } else {
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                self.file(&entry.path(), &to, if executable { 0o755 } else { 0o644 });
            }
        }
        Ok(())
    }

    /// Writes everything as a tar, folders before what is in them. All is
    /// root's, and of no time: programs cannot change themselves, and the same
    /// files make the same bytes.
    pub fn write<W: Write>(&self, to: W) -> Result<W> {
        let mut tar = Builder::new(to);
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            let name = path.trim_start_matches('/');
            match entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    header.set_size(0);
                    tar.append_data(&mut header, format!("{name}/"), &[][..])?;
                }
                Entry::Text(text) => append(&mut tar, header, name, text.as_bytes(), 0o644)?,
                Entry::File { from, mode } => append(&mut tar, header, name, &read(from)?, *mode)?,
                Entry::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    header.set_size(0);
                    tar.append_link(&mut header, name, target)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }

    fn file(&mut self, from: &Path, to: &str, mode: u32) {
        let from = from.to_owned();
        self.put(to, Entry::File { from, mode });
    }

    /// Puts it there, and the folders that it is in.
    fn put(&mut self, path: &str, entry: Entry) {
        for (at, _) in path.match_indices('/').filter(|(at, _)| *at > 0) {
            let folder = Entry::Folder { mode: 0o755 };
            self.entries.entry(path[..at].to_owned()).or_insert(folder);
        }
        self.entries.insert(path.to_owned(), entry);
    }
}

fn append<W: Write>(
    tar: &mut Builder<W>,
    mut header: Header,
    name: &str,
    bytes: &[u8],
    mode: u32,
) -> Result<()> {
    header.set_entry_type(EntryType::Regular);
    header.set_mode(mode);
    header.set_size(bytes.len() as u64);
    Ok(tar.append_data(&mut header, name, bytes)?)
}

/// The paths in what `ldd` prints: `<name> => <path> (0x…)` or `<path> (0x…)`.
fn linked(ldd: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in ldd.lines().map(str::trim) {
        ensure!(!line.ends_with("not found"), "a library is missing: {line}");
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = path.split_once(" (").map_or(path, |(path, _)| path);
        // linux-vdso is the kernel's own, and no file.
        if path.starts_with('/') {
            paths.push(path.to_owned());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let expected = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(linked(said).unwrap(), expected);
        let error = linked("\tlibmissing.so.1 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libmissing"));
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut root = Rootfs::base();
        root.put("/a/b/c", Entry::Text(""));
        let bytes = root.write(Vec::new()).unwrap();
        let mut tar = tar::Archive::new(&bytes[..]);
        let mut seen = Vec::new();
        for entry in tar.entries().unwrap() {
            let path = entry.unwrap().path().unwrap().into_owned();
            if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                assert!(seen.contains(&parent.to_owned()), "{}", path.display());
            }
            seen.push(path);
        }
        assert!(seen.contains(&"a/b/c".into()), "{seen:?}");
        assert_eq!(bytes, root.write(Vec::new()).unwrap());
    }
}
