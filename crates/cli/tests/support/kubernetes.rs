//! A real Kubernetes API, by the command and by kubectl.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::Value;
use tubeway_testing::kubernetes::ControlPlane;

use super::{run, tubeway};

/// A control plane of the test's own.
pub struct Kubernetes(ControlPlane);

// === impl Kubernetes ===

impl Kubernetes {
    pub async fn start() -> Result<Self> {
        Ok(Self(ControlPlane::start().await?))
    }

    pub fn tubeway(&self, args: &[&str]) -> Result<String> {
        run(tubeway().args(args).env("KUBECONFIG", self.kubeconfig()))
    }

    /// What a command says that must fail.
    pub fn fails(&self, args: &[&str]) -> Result<String> {
        match self.tubeway(args) {
            Ok(said) => bail!("{args:?} did not fail: {said}"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        run(self.0.kubectl().as_std_mut().args(args))
    }

    pub fn apply(&self, manifest: &str) -> Result<()> {
        let file = self.folder().join("applied.yaml");
        std::fs::write(&file, manifest)?;
        self.kubectl(&["apply", "-f", &file.to_string_lossy()])
            .map(drop)
    }

    pub fn get(&self, namespace: &str, what: &str) -> Result<Value> {
        let text = self.kubectl(&["get", "-n", namespace, what, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join("admin.kubeconfig")
    }

    /// Its folder, which ends with it.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    pub fn url(&self) -> String {
        self.0.url().to_string()
    }
}
