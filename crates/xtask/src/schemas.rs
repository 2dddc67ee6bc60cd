//! `xtask schemas`: the union of several Kafka releases' message schemas as one compact text.
//!
//! Releases are given oldest first. Where two releases define the same version of a message, the
//! newer one's definition counts; versions that only an older release has come from that one.

mod json;
mod merge;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// What to read and where to write.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A `kafka-clients` jar as `<release>=<path>`, oldest release first.
    #[arg(long = "jar", required = true, value_name = "RELEASE=PATH")]
    jars: Vec<String>,
    /// The file to write.
    #[arg(long, default_value = "crates/protocol/schemas/kafka.txt")]
    out: PathBuf,
}

/// The two halves of one API in one release.
#[derive(Default)]
struct Pair {
    request: Option<json::Message>,
    response: Option<json::Message>,
}

/// One release's APIs by key.
struct Release {
    name: String,
    apis: BTreeMap<i16, Pair>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut releases = Vec::new();
    for jar in &arguments.jars {
        let (name, path) = jar
            .split_once('=')
            .with_context(|| format!("--jar {jar}: expected <release>=<path>"))?;
        releases.push(read_release(name, Path::new(path))?);
    }
    let text = write::document(&releases)?;
    std::fs::write(&arguments.out, text)
        .with_context(|| format!("cannot write {}", arguments.out.display()))
}

/// Reads every request and response schema of a jar.
fn read_release(name: &str, jar: &Path) -> anyhow::Result<Release> {
    let mut apis: BTreeMap<i16, Pair> = BTreeMap::new();
    for entry in entries(jar)? {
        let source = unzip(jar, &["-p"], &entry)?;
        // By way of a tree: some of Kafka's files name a key twice, and the last one counts there.
        let tree: serde_json::Value = serde_json::from_str(&json::strip_comments(&source))
            .with_context(|| format!("{}: {entry} is not JSON", jar.display()))?;
        let message: json::Message = serde_json::from_value(tree)
            .with_context(|| format!("{}: {entry} is not a message schema", jar.display()))?;
        let Some(key) = message.api_key else { continue };
        let pair = apis.entry(key).or_default();
        match message.kind.as_str() {
            "request" => pair.request = Some(message),
            "response" => pair.response = Some(message),
            other => bail!("{entry}: type {other} with an API key"),
        }
    }
    Ok(Release {
        name: name.to_owned(),
        apis,
    })
}

fn entries(jar: &Path) -> anyhow::Result<Vec<String>> {
    let listing = unzip(jar, &["-Z1"], "common/message/*.json")?;
    let mut names: Vec<String> = listing.lines().map(str::to_owned).collect();
    names.sort();
    Ok(names)
}

/// A jar is a zip file, and this runs by hand once a release: the system's `unzip` is enough.
fn unzip(jar: &Path, flags: &[&str], entry: &str) -> anyhow::Result<String> {
    let output = Command::new("unzip")
        .args(flags)
        .arg(jar)
        .arg(entry)
        .output()
        .context("cannot run unzip; install the package of that name")?;
    if !output.status.success() {
        bail!(
            "unzip {} {entry}: {}",
            jar.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{entry} is not UTF-8"))
}
