//! The design's rules about the source itself, kept by a test.
//!
//! - A pure crate depends on pure crates and on nothing that does I/O, keeps
//!   time or makes random numbers, however far down; nor does it through the
//!   standard library.
//! - A file fits a head: 600 lines at most.
//! - No crate opts out of the workspace's lints, `unsafe_code = "forbid"` among them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that decide and do nothing (ARCHITECTURE.md).
const PURE: [&str; 6] = ["protocol", "policy", "session", "config", "api", "planner"];

/// What a pure crate must not have below it, and why.
const FORBIDDEN: [(&str, &str); 13] = [
    ("tokio", "does I/O and keeps time"),
    ("mio", "does I/O"),
    ("socket2", "opens sockets"),
    ("rustix", "calls the system"),
    ("tempfile", "writes files"),
    ("hyper", "does I/O"),
    ("reqwest", "does I/O"),
    ("tonic", "does I/O"),
    ("kube-client", "does I/O"),
    ("kube-runtime", "does I/O"),
    ("rustls", "holds keys and connections"),
    ("ring", "makes random numbers"),
    ("rand", "makes random numbers"),
];

/// What the source of a pure crate must not name, though the standard library has it.
const FORBIDDEN_WORDS: [&str; 9] = [
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "std::env::",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
];

/// Longest source file, in lines.
const MAX_LINES: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every package that `package` is built with, for Linux, by name.
fn below(package: &str) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["tree", "--package", package, "--edges", "normal"])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(["--prefix", "none", "--format", "{p}", "--quiet"])
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut names: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn pure_crates_do_no_io_however_far_down() {
    let mut wrong = Vec::new();
    for folder in PURE {
        let package = format!("tubeway-{folder}");
        let names = below(&package);
        assert!(names.contains(&package), "{package}: {names:?}");
        for name in &names {
            if let Some((_, why)) = FORBIDDEN.iter().find(|(forbidden, _)| forbidden == name) {
                wrong.push(format!("{package} is built with {name}, which {why}"));
            }
            if let Some(ours) = name.strip_prefix("tubeway-")
                && !PURE.contains(&ours)
            {
                wrong.push(format!(
                    "{package} is pure and depends on {name}, which is not"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Calls `look` with each Rust file of the workspace, its path from the root and its text.
fn each_source(look: &mut dyn FnMut(&str, &str)) {
    fn walk(folder: &Path, root: &Path, look: &mut dyn FnMut(&str, &str)) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, root, look);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).expect("below the root");
                let text = fs::read_to_string(&path).expect("a text");
                look(&name.to_string_lossy(), &text);
            }
        }
    }
    let root = root().canonicalize().expect("the root");
    walk(&root.join("crates"), &root, look);
}

#[test]
fn pure_crates_ask_the_system_for_nothing() {
    let mut wrong = Vec::new();
    each_source(&mut |name, text| {
        let is_pure = PURE
            .iter()
            .any(|folder| name.starts_with(&format!("crates/{folder}/src/")));
        // Tests may read golden files; their own or at the end of a file.
        if !is_pure || name.contains("tests") {
            return;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or(text);
        let words = FORBIDDEN_WORDS.iter().filter(|word| code.contains(**word));
        wrong.extend(words.map(|word| format!("{name} uses {word}")));
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_fit_a_head() {
    let mut long = Vec::new();
    each_source(&mut |name, text| {
        if text.lines().count() > MAX_LINES {
            long.push(name.to_owned());
        }
    });
    assert!(
        long.is_empty(),
        "files of more than {MAX_LINES} lines: {long:?}"
    );
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("the crates") {
        let folder = entry.expect("an entry").path();
        let manifest = folder.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else {
            continue;
        };
        if !text.contains("[lints]\nworkspace = true") {
            wrong.push(manifest);
        }
    }
    assert!(wrong.is_empty(), "without the workspace's lints: {wrong:?}");

    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
    each_source(&mut |name, text| {
        // Neither may be written by this test, or it would find itself.
        let words = ["allow", "expect"].map(|word| format!("{word}(unsafe_code"));
        assert!(
            !words.iter().any(|word| text.contains(word.as_str())),
            "{name}"
        );
    });
}
