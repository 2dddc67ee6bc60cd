//! Which Kubernetes a command talks to.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::state::State;

/// Chooses a Kubernetes cluster the way `kubectl` does.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// File that says how to reach the cluster; else $KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Entry of that file to use; else its current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// The installation that `tubeway up` runs on this machine.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    local: bool,
}

// === impl Target ===

impl Target {
    /// A client, and the server's address.
    pub async fn client(&self, state: &State) -> Result<(Client, String)> {
        let config = self.config(state).await?;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .with_context(|| format!("the settings for {url} are of no use"))?;
        Ok((client, url.trim_end_matches('/').to_owned()))
    }

    async fn config(&self, state: &State) -> Result<Config> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let file = if self.local {
            Some(state.kubeconfig())
        } else {
            self.kubeconfig.clone()
        };
        let Some(file) = file else {
            return self.inferred(&options).await;
        };
        let hint = if self.local {
            "`tubeway up` writes it"
        } else {
            "--kubeconfig names the file"
        };
        let kubeconfig = Kubeconfig::read_from(&file)
            .with_context(|| format!("cannot read {}; {hint}", file.display()))?;
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| format!("{} names no cluster to use", file.display()))
    }

    async fn inferred(&self, options: &KubeConfigOptions) -> Result<Config> {
        let missing = "no cluster to talk to: set KUBECONFIG, or give --kubeconfig FILE, \
                       or --local for the one that `tubeway up` runs";
        if self.context.is_some() {
            return Config::from_kubeconfig(options).await.context(missing);
        }
        Config::infer().await.context(missing)
    }
}
