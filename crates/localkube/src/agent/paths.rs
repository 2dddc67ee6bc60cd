//! Paths of a container, rewritten to the local folders that stand for them.
//!
//! Pods share the machine's file system, so a mount path does not exist. Every absolute path in a
//! command, an argument or a variable that lies at or under a mounted path is replaced by the
//! local one before the process starts. File contents are left alone.

use std::path::{Path, PathBuf};

/// Replacements of path prefixes; the longest prefix wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PathMap {
    /// Prefix without a trailing slash, and its local path; longest prefix first.
    entries: Vec<(String, String)>,
}

// === impl PathMap ===

impl PathMap {
    /// Builds the map; of two entries with the same prefix the later one counts. A prefix that is
    /// the root or not absolute is ignored: it would catch every path there is.
    pub(crate) fn new(entries: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let mut map = Self::default();
        for (prefix, local) in entries {
            let prefix = prefix.trim_end_matches('/').to_owned();
            if !prefix.starts_with('/') {
                continue;
            }
            map.entries.retain(|(known, _)| *known != prefix);
            map.entries
                .push((prefix, local.to_string_lossy().into_owned()));
        }
        map.entries
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        map
    }

    /// `text` with every mapped path in it replaced, once: what was put in is not looked at again.
    pub(crate) fn map_text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut copied = 0;
        let mut from = 0;
        while let Some(offset) = text[from..].find('/') {
            let slash = from + offset;
            if let Some((prefix, local)) = self.entry_at(text, slash) {
                out.push_str(&text[copied..slash]);
                out.push_str(local);
                copied = slash + prefix.len();
                from = copied;
            } else {
                from = slash + 1;
            }
        }
        out.push_str(&text[copied..]);
        out
    }

    /// The local path for exactly `path` or something under it, `None` when nothing maps it.
    pub(crate) fn map_path(&self, path: &str) -> Option<PathBuf> {
        let (prefix, local) = self.entry_at(path, 0)?;
        let rest = path[prefix.len()..].trim_start_matches('/');
        Some(if rest.is_empty() {
            PathBuf::from(local)
        } else {
            Path::new(local).join(rest)
        })
    }

    fn entry_at(&self, text: &str, slash: usize) -> Option<(&str, &str)> {
        if !begins_a_path(&text[..slash]) {
            return None;
        }
        let path = &text[slash..];
        self.entries
            .iter()
            .find(|(prefix, _)| {
                path.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.chars().next().is_none_or(ends_a_name))
            })
            .map(|(prefix, local)| (prefix.as_str(), local.as_str()))
    }
}

/// Whether a slash after `before` can be the first one of an absolute path: at the start, after a
/// separator, or the third one of `file:///…`. The slash after `$(X)`, `${X}` or a word is inside
/// a path that something else begins.
fn begins_a_path(before: &str) -> bool {
    match before.chars().next_back() {
        None => true,
        Some('/') => before.ends_with("://"),
        Some(last) => last.is_whitespace() || "\"'`=:,;|&<>([{@!".contains(last),
    }
}

/// Whether a file name cannot go on with `next`.
fn ends_a_name(next: char) -> bool {
    next == '/' || next.is_whitespace() || "\"'`=:,;|&<>()[]{}".contains(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> PathMap {
        PathMap::new([
            ("/etc/kafka".to_owned(), "/s/config".into()),
            ("/etc/kafka/tls/".to_owned(), "/s/tls".into()),
            ("/data".to_owned(), "/s/data".into()),
            ("/tmp".to_owned(), "/tmp/state/scratch".into()),
        ])
    }

    #[test]
    fn replaces_whole_paths_only() {
        let map = map();
        for (text, expected) in [
            ("/data", "/s/data"),
            ("/data/", "/s/data/"),
            ("/data/0/x", "/s/data/0/x"),
            ("/database", "/database"),
            ("/data.bak", "/data.bak"),
            ("/data-1", "/data-1"),
            ("/mnt/data", "/mnt/data"),
            ("data/x", "data/x"),
            ("/etc/kafka/tls/ca.pem", "/s/tls/ca.pem"),
            ("/etc/kafka/tls2", "/s/config/tls2"),
            ("", ""),
        ] {
            assert_eq!(map.map_text(text), expected, "{text}");
        }
    }

    #[test]
    fn finds_paths_inside_longer_strings() {
        let map = map();
        for (text, expected) in [
            ("--dir=/data", "--dir=/s/data"),
            ("a=/data:/etc/kafka/tls:/usr", "a=/s/data:/s/tls:/usr"),
            ("cat '/data/x' >/data/y", "cat '/s/data/x' >/s/data/y"),
            ("file:/data/x", "file:/s/data/x"),
            ("file:///data/x", "file:///s/data/x"),
            ("http://host/data/x", "http://host/data/x"),
            ("http:///data", "http:///s/data"),
            ("${HOME}/data", "${HOME}/data"),
            ("$(HOME)/data", "$(HOME)/data"),
            ("ä=/data", "ä=/s/data"),
        ] {
            assert_eq!(map.map_text(text), expected, "{text}");
        }
    }

    #[test]
    fn does_not_map_what_it_put_in() {
        assert_eq!(
            map().map_text("/tmp/x /tmp"),
            "/tmp/state/scratch/x /tmp/state/scratch"
        );
    }

    #[test]
    fn the_root_and_relative_prefixes_are_ignored() {
        let map = PathMap::new([("/".to_owned(), "/s".into()), ("x".to_owned(), "/y".into())]);
        assert_eq!(map.map_text("/usr/bin x"), "/usr/bin x");
    }

    #[test]
    fn later_entries_replace_earlier_ones() {
        let map = PathMap::new([
            ("/data".to_owned(), "/image".into()),
            ("/data/".to_owned(), "/volume".into()),
        ]);
        assert_eq!(map.map_path("/data/a"), Some("/volume/a".into()));
        assert_eq!(map.map_path("/data"), Some("/volume".into()));
        assert_eq!(map.map_path("/other"), None);
    }
}
