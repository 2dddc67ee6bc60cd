//! The `tubeway` command.

mod apply;
mod check;
mod connect;
mod flows;
mod install;
mod live;
mod mesh;
mod progress;
mod state;
mod status;
mod stop;
mod target;
mod up;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::state::State;

/// Apache Kafka on Kubernetes inside a service mesh.
#[derive(Debug, Parser)]
#[command(name = "tubeway", version, about)]
struct Cli {
    /// Folder of the local installation: its API objects, volumes and logs.
    #[arg(long, global = true, env = "TUBEWAY_STATE", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything on this machine and show what flows; Ctrl-C stops it.
    Up(up::Options),
    /// Say what runs and where.
    Status,
    /// Stop what `up` started; the data stays.
    Down,
    /// Delete the local installation and all its data, after asking.
    Reset(stop::ResetOptions),
    /// Print the path of the kubeconfig, for `export KUBECONFIG=$(tubeway kubeconfig)`.
    Kubeconfig,
    /// Install the operator on a Kubernetes cluster.
    Install(install::InstallOptions),
    /// Bring an installation to this version.
    Upgrade(install::UpgradeOptions),
    /// Take the operator away; clusters' data stays.
    Uninstall(install::UninstallOptions),
    /// Print what an installation consists of, for GitOps.
    Render(install::RenderOptions),
    /// Look at a Kubernetes cluster and the installation on it, and say what is
    /// wrong and what to do.
    Check(check::Options),
    /// Be a service account's Kafka client: a client sidecar on local ports.
    Connect(connect::Options),
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    tubeway_telemetry::init_logging("warn")?;
    let state = State::new(cli.state_dir)?;
    match cli.command {
        Command::Up(options) => up::run(state, options).await,
        Command::Status => status::run(&state).await,
        Command::Down => stop::down(&state).await,
        Command::Reset(options) => stop::reset(&state, &options).await,
        Command::Kubeconfig => {
            println!("{}", state.kubeconfig().display());
            Ok(())
        }
        Command::Install(options) => install::install(&state, &options).await,
        Command::Upgrade(options) => install::upgrade(&state, &options).await,
        Command::Uninstall(options) => install::uninstall(&state, &options).await,
        Command::Render(options) => install::render(&options),
        Command::Check(options) => check::run(&state, &options).await,
        Command::Connect(options) => connect::run(&state, &options).await,
    }
}
