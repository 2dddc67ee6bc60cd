//! `tubeway-operator`.

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tubeway_operator::config::Config;

#[tokio::main]
async fn main() -> Result<()> {
    let config = Config::parse();
    tubeway_telemetry::init_logging("info")?;
    let shutdown = tubeway_telemetry::on_signal()?;
    let client = kube::Client::try_default().await.context(
        "cannot reach the Kubernetes API: neither KUBECONFIG nor a service account works",
    )?;
    tubeway_operator::run(client, config, shutdown).await
}
