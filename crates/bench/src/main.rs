//! `bench-proxy`: what the data path costs, beside a bare relay and Envoy.
//! docs/bench.md says what is measured and how to read it.

use anyhow::{Result, bail};
use clap::Parser as _;
use tubeway_bench::field::Field;
use tubeway_bench::route::Kind;
use tubeway_bench::{idle, inspect, latency, raw, relay, setup, throughput};

/// Measures the data path and prints Markdown.
#[derive(Debug, clap::Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    asked: Asked,
}

/// What the bench starts itself as.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// One half of a bare relay.
    #[command(hide = true)]
    Relay(relay::Options),
}

#[derive(Debug, clap::Args)]
struct Asked {
    /// Rounds of each figure; medians are of so many.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
    /// 10⁹ bytes of records in each run of the producer.
    #[arg(long, default_value_t = 1.0)]
    gigabytes: f64,
    /// Figures to take.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Figure::ALL)]
    only: Vec<Figure>,
    /// What may stand between client and broker.
    #[arg(long, value_delimiter = ',', default_values_t = Kind::ALL)]
    ways: Vec<Kind>,
    /// Small sizes, to see whether it runs: the figures mean nothing.
    #[arg(long)]
    quick: bool,
}

/// The figures, by their numbers in docs/bench.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Figure {
    /// Processor time for a gigabyte.
    D1,
    /// The same, with a client whose requests are always 16 KB.
    D1Raw,
    /// Latency of a Produce.
    D3,
    /// Memory.
    D4,
    /// Inspection, by the number of rules.
    D6,
    /// Inspection, by the number of partitions.
    D7,
}

// === impl Figure ===

impl Figure {
    const ALL: [Self; 6] = [
        Self::D1,
        Self::D1Raw,
        Self::D3,
        Self::D4,
        Self::D6,
        Self::D7,
    ];

    /// Whether it needs a broker and pairs.
    fn is_of_processes(self) -> bool {
        matches!(self, Self::D1 | Self::D1Raw | Self::D3 | Self::D4)
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self {
            Self::D1 => "d1",
            Self::D1Raw => "d1-raw",
            Self::D3 => "d3",
            Self::D4 => "d4",
            Self::D6 => "d6",
            Self::D7 => "d7",
        };
        f.write_str(name)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let Cli { part, asked } = Cli::parse();
    let ended = tubeway_telemetry::on_signal()?;
    match part {
        Some(Part::Relay(options)) => tokio::select! {
            done = relay::run(options) => done,
            () = ended.wait() => Ok(()),
        },
        // Whatever ends it, no process of its own is left: they end with what
        // holds them.
        None => tokio::select! {
            done = bench(asked) => done,
            () = ended.wait() => bail!("interrupted"),
        },
    }
}

async fn bench(asked: Asked) -> Result<()> {
    println!("{}", setup::machine().trim_end());
    println!("- {} rounds; median (smallest–largest)", asked.rounds);
    let rounds = usize::from(asked.rounds);
    if asked.only.iter().any(|figure| figure.is_of_processes()) {
        processes(&asked, rounds).await?;
    }
    let sizes = inspect::Sizes::new(rounds, asked.quick);
    if asked.only.contains(&Figure::D6) {
        println!("\n{}", inspect::by_rules(&sizes)?);
    }
    if asked.only.contains(&Figure::D7) {
        println!("\n{}", inspect::by_partitions(&sizes)?);
    }
    Ok(())
}

async fn processes(asked: &Asked, rounds: usize) -> Result<()> {
    let field = Field::start(&asked.ways).await?;
    let with_envoy = asked.ways.contains(&Kind::Envoy);
    print!("{}", setup::programs(&field.tools, with_envoy));
    if asked.only.contains(&Figure::D4) {
        let connections = if asked.quick { 20 } else { 1_000 };
        let sizes = idle::Sizes {
            rounds,
            connections,
        };
        println!("- D4: {connections} connections, each logged in and answered once");
        println!("\n{}", idle::measure(&field, sizes).await?);
    }
    let lanes = field.lanes().await?;
    if asked.only.contains(&Figure::D1) {
        let gigabytes = if asked.quick { 0.01 } else { asked.gigabytes };
        println!(
            "\nD1: {gigabytes} GB of 1 KB records a run, acks=1, 16 KB batches, 1 partition\n"
        );
        let sizes = throughput::Sizes { rounds, gigabytes };
        println!("{}", throughput::measure(&field, &lanes, sizes).await?);
    }
    if asked.only.contains(&Figure::D1Raw) {
        let gigabytes = if asked.quick { 0.01 } else { asked.gigabytes };
        println!("\nD1 raw: {gigabytes} GB a run, acks=1, 16 KB requests, 5 in flight\n");
        let sizes = throughput::Sizes { rounds, gigabytes };
        let measured = tokio::task::block_in_place(|| raw::measure(&lanes, sizes));
        println!("{}", measured?);
    }
    if asked.only.contains(&Figure::D3) {
        let (requests, warm_up) = if asked.quick {
            (50, 10)
        } else {
            (20_000, 5_000)
        };
        println!("\nD3: Produce of 1 KB, acks=1, one in flight, {requests} requests a round\n");
        let sizes = latency::Sizes {
            rounds,
            requests,
            warm_up,
        };
        let measured = tokio::task::block_in_place(|| latency::measure(&lanes, sizes));
        println!("{}", measured?);
    }
    Ok(())
}
