//! `bench-operator`: what the operator costs and how fast it is. docs/bench.md
//! says what is measured and how to read it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tubeway_bench::operator::{Installation, cluster, topic, user};
use tubeway_bench::table::Table;

/// Measures the operator and prints Markdown.
#[derive(Debug, clap::Parser)]
#[command(version)]
struct Cli {
    /// Topics, of one partition each.
    #[arg(long, default_value_t = 10_000)]
    topics: usize,
    /// Users, each with a KafkaAcl of two rules and a KafkaQuota of two limits.
    #[arg(long, default_value_t = 2_000)]
    users: usize,
    /// Clusters in all: one that runs, and others that have no nodes.
    #[arg(long, default_value_t = 100)]
    clusters: usize,
    /// Seconds in which nothing is asked of it.
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let programs = std::env::current_exe()?;
    let programs = programs.parent().context("this program is in no folder")?;
    let folder = tempfile::Builder::new()
        .prefix("bench-operator-")
        .tempdir()?;
    let on = Installation::start(programs, folder.path()).await?;
    let mut table = Table::new(&["figure", "what", "measured", "to reach"]);
    let mut row = |figure: &str, what: String, measured: String, reach: &str| {
        eprintln!("{figure}: {what}: {measured}");
        table.row(vec![figure.to_owned(), what, measured, reach.to_owned()]);
    };

    let (kafka, pool) = cluster("main", 3);
    let begun = Instant::now();
    on.create("KafkaCluster", vec![kafka]).await?;
    on.create("KafkaNodePool", vec![pool]).await?;
    let took = on.all_ready("KafkaCluster", 1, begun).await?;
    row(
        "O4",
        "three nodes, from their creation to ready".to_owned(),
        seconds(took),
        "20 s",
    );

    let begun = Instant::now();
    on.create(
        "KafkaTopic",
        (0..cli.topics).map(|i| topic("main", i)).collect(),
    )
    .await?;
    let took = on.all_ready("KafkaTopic", cli.topics, begun).await?;
    row(
        "O2",
        format!("{} topics, from the first to all ready", cli.topics),
        seconds(took),
        "60 s for 10,000",
    );

    let (acls, quotas): (Vec<_>, Vec<_>) = (0..cli.users).map(|i| user("main", i)).unzip();
    let begun = Instant::now();
    tokio::try_join!(on.create("KafkaAcl", acls), on.create("KafkaQuota", quotas))?;
    on.all_ready("KafkaQuota", cli.users, begun).await?;
    let took = on.all_ready("KafkaAcl", cli.users, begun).await?;
    row(
        "O3",
        format!("{} users, from the first to all ready", cli.users),
        format!("{:.0} a second", cli.users as f64 / took.as_secs_f64()),
        "200 a second",
    );

    let others = (1..cli.clusters).map(|i| cluster(&format!("other-{i}"), 0).0);
    on.create("KafkaCluster", others.collect()).await?;
    let settling = Duration::from_secs(cli.idle);
    tokio::time::sleep(settling).await;
    let before = on.used().await?;
    tokio::time::sleep(settling).await;
    let after = on.used().await?;
    row(
        "O1",
        format!("memory with {} clusters and all of this", cli.clusters),
        format!("{:.0} MiB", after.memory),
        "100 MiB with 2,000 topics and users",
    );
    let millicores = (after.cpu - before.cpu) / settling.as_secs_f64() * 1000.0;
    row(
        "O1",
        format!("processor, idle for {} s", cli.idle),
        format!("{millicores:.1} millicores"),
        "10",
    );
    row(
        "O6",
        format!("writes, idle for {} s", cli.idle),
        format!("{:.0}", after.writes - before.writes),
        "0",
    );
    on.stop()?;
    println!("{table}");
    println!("O5 is a simulation: cargo test -p tubeway-planner --test roll -- --nocapture fifty");
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
