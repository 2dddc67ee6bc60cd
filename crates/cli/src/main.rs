//! The `tubeway` command.

mod apply;
mod connect;
mod flows;
mod live;
mod progress;
mod state;
mod status;
mod stop;
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
        Command::Connect(options) => connect::run(&state, &options).await,
    }
}
