//! Project tasks that a build must not need: `cargo run -p tubeway-xtask -- <task>`.

mod bench;
mod chart;
mod crds;
mod images;
mod schemas;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask", about = "Project tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the kinds' definitions to `deploy/crds`.
    Crds,
    /// Write what the Helm chart has of `deploy` to `deploy/helm`.
    Chart,
    /// Make container images, without a container engine.
    Images(images::Arguments),
    /// Extract the wire schemas from Kafka's own jars.
    Schemas(schemas::Arguments),
    /// Time the hot path on this machine; run it with --release.
    Bench,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Crds => crds::run(),
        Task::Chart => chart::run(),
        Task::Images(arguments) => images::run(&arguments),
        Task::Schemas(arguments) => schemas::run(&arguments),
        Task::Bench => bench::run(),
    }
}
