//! D1: processor time for a gigabyte of Kafka's own producer.

use anyhow::{Context as _, Result, ensure};

use crate::broker::producer;
use crate::field::{Field, Lane, order};
use crate::messages;
use crate::route::Kind;
use crate::stats::Samples;
use crate::table::Table;

/// Bytes of a record's value.
const RECORD: u64 = 1024;
const GIGA: f64 = 1e9;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rounds; a median is of so many.
    pub rounds: usize,
    /// 10⁹ bytes of record values in each run.
    pub gigabytes: f64,
}

/// What the runs on one way have shown.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// Seconds for a gigabyte, of each half and of both.
    client: Samples,
    node: Samples,
    both: Samples,
    /// Megabytes a second.
    rate: Samples,
}

/// One run on one way: the processor time that its halves had had before.
pub(crate) struct Run([f64; 2]);

// === impl Run ===

impl Run {
    /// To be called before the first byte.
    pub(crate) fn begin(lane: &Lane) -> Result<Self> {
        Ok(Self(used(lane)?))
    }

    /// After the last one: of so many gigabytes, at so many megabytes a second.
    pub(crate) fn end(
        self,
        lane: &Lane,
        gigabytes: f64,
        rate: f64,
        shown: &mut Shown,
    ) -> Result<()> {
        let now = used(lane)?;
        let [client, node] = [0, 1].map(|half| (now[half] - self.0[half]) / gigabytes);
        shown.client.push(client);
        shown.node.push(node);
        shown.both.push(client + node);
        shown.rate.push(rate);
        Ok(())
    }
}

fn used(lane: &Lane) -> Result<[f64; 2]> {
    match &lane.pair {
        Some(pair) => Ok([pair.client.cpu()?, pair.node.cpu()?]),
        None => Ok([0.0; 2]),
    }
}

/// Runs the producer over every way in turn.
pub async fn measure(field: &Field, lanes: &[Lane], sizes: Sizes) -> Result<Table> {
    let mut shown: Vec<Shown> = lanes.iter().map(|_| Shown::default()).collect();
    for lane in lanes {
        // Warms the JVM's and the pair's memory; a third will do.
        run(field, lane, sizes.gigabytes / 3.0, &mut Shown::default()).await?;
    }
    for round in 0..sizes.rounds {
        for at in order(round, lanes.len()) {
            run(field, &lanes[at], sizes.gigabytes, &mut shown[at]).await?;
        }
        eprintln!("D1: round {} of {}", round + 1, sizes.rounds);
    }
    table("D1: way", lanes, &shown)
}

async fn run(field: &Field, lane: &Lane, gigabytes: f64, shown: &mut Shown) -> Result<()> {
    let run = Run::begin(lane)?;
    let records = (gigabytes * GIGA / RECORD as f64).ceil() as u64;
    let rate = produce(field, lane, records).await?;
    run.end(lane, (records * RECORD) as f64 / GIGA, rate, shown)
}

/// Runs the producer; megabytes a second, as it says itself.
async fn produce(field: &Field, lane: &Lane, records: u64) -> Result<f64> {
    let mut command = tokio::process::Command::from(producer(&field.tools));
    let output = command
        .args(["--topic", &messages::name(0), "--throughput", "-1"])
        .args(["--num-records", &records.to_string()])
        .args(["--record-size", &RECORD.to_string()])
        .args(["--bootstrap-server", &lane.route.entry().to_string()])
        .args(["--command-property", "acks=1"])
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let kind = lane.route.kind;
    ensure!(
        output.status.success(),
        "the producer failed over {kind}: {said}{errors}"
    );
    let a_second = said.lines().rev().find_map(|line| summary(line, records));
    let a_second =
        a_second.with_context(|| format!("the producer over {kind} said {said}{errors}"))?;
    Ok(a_second * RECORD as f64 / 1e6)
}

/// Records a second, from the line that tells of all of them:
/// `100000 records sent, 25000.0 records/sec (…`.
fn summary(line: &str, records: u64) -> Option<f64> {
    let rest = line.strip_prefix(&format!("{records} records sent, "))?;
    rest.split_once(" records/sec")?.0.parse().ok()
}

pub(crate) fn table(name: &str, lanes: &[Lane], shown: &[Shown]) -> Result<Table> {
    let mut table = Table::new(&[
        name,
        "CPU s/GB",
        "of it client",
        "node",
        "÷ envoy",
        "÷ relay 64",
        "÷ relay 256",
        "MB/s",
        "÷ plain",
        "RSS MB client",
        "node",
    ]);
    let of = |kind| {
        let mut all = lanes.iter().zip(shown);
        let found = all.find(|(lane, _)| lane.route.kind == kind);
        found.map(|(_, shown)| shown)
    };
    for (lane, own) in lanes.iter().zip(shown) {
        let times = |kind| of(kind).map_or_else(String::new, |o| own.both.over(&o.both).cell(2));
        let rate = of(Kind::Plain).map(|plain| own.rate.over(&plain.rate).cell(2));
        let mut row = vec![lane.route.kind.to_string()];
        match &lane.pair {
            Some(_) => row.extend([
                own.both.cell(2),
                own.client.cell(2),
                own.node.cell(2),
                times(Kind::Envoy),
                times(Kind::Relay(64)),
                times(Kind::Relay(256)),
            ]),
            None => row.resize(7, String::new()),
        }
        row.extend([own.rate.cell(0), rate.unwrap_or_default()]);
        if let Some(pair) = &lane.pair {
            let resident = [pair.client.resident()?, pair.node.resident()?];
            row.extend(resident.map(|mb| format!("{mb:.1}")));
        }
        table.row(row);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_about_all_records_counts() {
        let line = "1000 records sent, 2500.5 records/sec (2.44 MB/sec), 1.0 ms avg latency";
        assert_eq!(summary(line, 1_000), Some(2_500.5));
        assert_eq!(summary(line, 2_000), None);
        assert_eq!(summary("1000 records sent, then it broke", 1_000), None);
    }
}
