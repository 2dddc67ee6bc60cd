//! Helm, as `scripts/setup-helm` has built it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The project's chart.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/helm/tubeway");
/// Variable that names another helm than the one in `target/tools/helm`.
const VARIABLE: &str = "TUBEWAY_HELM";

/// Helm with a home of its own.
pub struct Helm {
    home: tempfile::TempDir,
}

// === impl Helm ===

impl Helm {
    pub fn new() -> Result<Self> {
        ensure!(
            program().is_file(),
            "{} is not there; scripts/setup-helm builds it",
            program().display()
        );
        Ok(Self {
            home: tempfile::tempdir()?,
        })
    }

    /// What it says, and what it says besides if it fails.
    pub fn run(&self, args: &[&str], kubeconfig: &Path) -> Result<String> {
        let output = Command::new(program())
            .args(args)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .output()
            .context("cannot run helm")?;
        ensure!(
            output.status.success(),
            "helm {args:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it says of a command that must fail.
    pub fn fails(&self, args: &[&str], kubeconfig: &Path) -> Result<String> {
        match self.run(args, kubeconfig) {
            Ok(said) => anyhow::bail!("helm {args:?} did not fail: {said}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// The objects of the chart in a namespace, where `set` are `name=value`.
    /// Nothing is asked of any cluster.
    pub fn template(&self, namespace: &str, set: &[&str]) -> Result<Vec<Value>> {
        let mut args = vec!["template", "tubeway", CHART, "--namespace", namespace];
        args.extend(set.iter().flat_map(|one| ["--set", *one]));
        let text = self.run(&args, Path::new("/nowhere"))?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
        Ok(documents.into_iter().filter(|one| !one.is_null()).collect())
    }
}

fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/helm/helm");
    std::env::var_os(VARIABLE).map_or(built, PathBuf::from)
}
