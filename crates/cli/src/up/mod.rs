//! `tubeway up`: everything on this machine, in the order a person would do it.

pub mod binaries;
mod demo;
mod detach;
mod machine;
mod preflight;
mod stop_order;
pub mod wait;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use kube::Client;
use tubeway_telemetry::Shutdown;

use tubeway_launcher::kafka_dist::DEFAULT_VERSION;

use crate::duration::duration;
use crate::live;
use crate::progress::{Progress, seconds};
use crate::state::{Running, State};
use machine::Machine;

/// What `tubeway up` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Start in the background and return when everything is up.
    #[arg(long, short)]
    detach: bool,
    /// Port of the Kubernetes API on 127.0.0.1.
    #[arg(long, default_value_t = 16443, env = "TUBEWAY_API_PORT")]
    api_port: u16,
    /// Start the API and the operator only, without the demonstration.
    #[arg(long)]
    no_demo: bool,
    /// Life of the certificates, as in 24h or 60s.
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    cert_ttl: Duration,
    /// Version of Kafka. Given several times, the first is what the demonstration
    /// runs, and the others are what it can be changed to.
    #[arg(long, value_name = "VERSION", default_value = DEFAULT_VERSION)]
    kafka_version: Vec<String>,
    /// Level of one of the brokers' loggers, as in kafka.authorizer.logger=DEBUG.
    #[arg(long, value_name = "LOGGER=LEVEL")]
    kafka_log: Vec<String>,
    /// No live view.
    #[arg(long, hide = true)]
    quiet: bool,
}

/// Runs until Ctrl-C or `tubeway down`.
pub async fn run(state: State, options: Options) -> Result<()> {
    if options.detach {
        return detach::run(&state).await;
    }
    println!("tubeway {}\n", env!("CARGO_PKG_VERSION"));
    let shutdown = tubeway_telemetry::on_signal()?;
    let progress = Progress::default();
    let mut lock = state.lock()?;
    progress.step("looking at this machine");
    let found = preflight::run(&state, &options.kafka_version, &progress).await?;
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, options.api_port));
    progress.step("starting the Kubernetes API");
    let machine = Machine::start(&state, listen, &found).await?;
    let mut running = Running {
        pid: i32::try_from(std::process::id())?,
        api: machine.url(),
        ready: false,
    };
    lock.publish(&running)?;
    let result = serve(&state, &options, &machine, &progress, &shutdown, || {
        running.ready = true;
        lock.publish(&running)
    })
    .await;
    progress.step("stopping, one broker after the other");
    machine.stop(&progress).await?;
    progress.done();
    // What went wrong is said after everything has been put away; a stop that
    // was asked for is nothing that went wrong.
    match result {
        Err(_) if shutdown.begun() => Ok(()),
        result => result,
    }
}

async fn serve(
    state: &State,
    options: &Options,
    machine: &Machine,
    progress: &Progress,
    shutdown: &Shutdown,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let client = machine.client();
    progress.step("starting the operator");
    demo::operator(client, options.cert_ttl).await?;
    demo::wait_for_operator(client, progress, shutdown).await?;
    if !options.no_demo {
        progress.step("starting the Kafka cluster kafka/demo");
        demo::cluster(client, &options.kafka_version, &options.kafka_log).await?;
        demo::wait_for_cluster(client, progress, shutdown).await?;
        progress.step("starting the clients in namespace shop");
        demo::clients(client).await?;
        demo::wait_for_clients(client, progress, shutdown).await?;
    }
    progress.done();
    summary(state, options, machine, progress);
    ready()?;
    if options.quiet || options.no_demo {
        shutdown.wait().await;
        return Ok(());
    }
    watch(client, shutdown).await
}

async fn watch(client: &Client, shutdown: &Shutdown) -> Result<()> {
    println!(
        "What flows, as the brokers' sidecars count it (Ctrl-C stops everything; the data stays):"
    );
    live::run(client, shutdown).await
}

fn summary(state: &State, options: &Options, machine: &Machine, progress: &Progress) {
    println!("\nup after {}", seconds(progress.elapsed()));
    println!("  API server   {}", machine.url());
    println!(
        "  kubectl      export KUBECONFIG={}",
        state.kubeconfig().display()
    );
    if !options.no_demo {
        println!("  bootstrap    demo-bootstrap.kafka.svc:9092, inside the mesh");
        println!("  from here    tubeway connect --as shop/checkout");
    }
    println!("  logs         kubectl logs -n kafka demo-combined-0 -c kafka");
    println!("               {}", state.node().join("logs").display());
    println!();
}
