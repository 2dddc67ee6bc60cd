//! `tubeway-launcher`: the first process of a Kafka container.

use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, bail};
use tracing::info;
use tubeway_launcher::{Settings, prepare, wait_for_sidecar};

/// Starts a stock Kafka node: reads the environment that docs/pods.md
/// describes, formats an empty volume once, then becomes the JVM.
#[derive(clap::Parser)]
#[command(version, about)]
enum Cli {
    /// Run the node.
    Run,
}

fn main() -> anyhow::Result<()> {
    let Cli::Run = clap::Parser::parse();
    tubeway_telemetry::init_logging("info")?;
    let env = |name: &str| std::env::var(name).ok();
    let settings = Settings::read(env)?;
    wait_for_sidecar(&settings.run_dir)?;
    let mut plan = prepare(&settings, env)?;
    if let Some(format) = &mut plan.format {
        info!(data = %settings.data_dir.display(), "formatting an empty volume");
        let status = format
            .status()
            .with_context(|| format!("cannot run {}", settings.java.display()))?;
        if !status.success() {
            bail!("formatting the volume failed ({status}); its output is above");
        }
    }
    info!("starting kafka");
    let error = plan.kafka.exec();
    Err(error).with_context(|| format!("cannot run {}", settings.java.display()))
}
