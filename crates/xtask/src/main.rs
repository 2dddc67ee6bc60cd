//! Project tasks that a build must not need: `cargo run -p tubeway-xtask -- <task>`.

mod bench;
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
    /// Extract the wire schemas from Kafka's own jars.
    Schemas(schemas::Arguments),
    /// Time the hot path on this machine; run it with --release.
    Bench,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Schemas(arguments) => schemas::run(&arguments),
        Task::Bench => bench::run(),
    }
}
