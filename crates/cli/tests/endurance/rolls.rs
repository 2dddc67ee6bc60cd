//! All brokers restart in turn, time and again, while records and transactions flow.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Until};
use tubeway_testing::records::{Sent, Workload};
use tubeway_testing::tools::Tools;

use crate::support::load::{Copy, block_on};
use crate::support::mesh::{Connection, topic};
use crate::support::{Installation, eventually};

/// How often all brokers are restarted, unless `TUBEWAY_ROLLS` says so.
const ROLLS: u32 = 20;
/// How many records are acknowledged at least, unless `TUBEWAY_ACKED` says so.
const ACKED: u64 = 200_000;
/// One roll may take so long.
const WITHIN: Duration = Duration::from_mins(4);
/// Producers, and records a second of each. Each is one of a row of programs, and
/// the other one's row goes on while the next begins.
const PRODUCERS: u32 = 2;
const RATE: u32 = 200;
/// Records of one program.
const RECORDS: u64 = 15_000;
/// Records of one copy.
const COPIED: u64 = 30_000;
const TOPIC: &str = "rolled";

/// Set when the last roll has ended, or one has failed.
type Over = AtomicBool;

#[test]
fn rolls_lose_nothing_and_disturb_no_client() -> Result<()> {
    let rolls = number("TUBEWAY_ROLLS")?.unwrap_or(ROLLS);
    let acked = number("TUBEWAY_ACKED")?.unwrap_or(ACKED);
    let mut on = Installation::new(&[])?;
    on.up()?;
    let on = &on;
    make_small(on)?;
    topic(on, TOPIC)?;
    let over = Over::new(false);
    let enough = acked / u64::from(PRODUCERS);
    let over = &over;
    let (sent, copies) = thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|row| scope.spawn(move || produce(on, row, enough, over)))
            .collect();
        let copies = scope.spawn(move || copy(on, over));
        let rolled = (1..=rolls).try_for_each(|roll| one_roll(on, roll));
        over.store(true, Ordering::Relaxed);
        let sent: Result<Vec<_>> = producers.into_iter().map(join).collect();
        let copies = join(copies);
        rolled?;
        Ok::<_, anyhow::Error>((sent?.concat(), copies?))
    })?;
    let history = History {
        sent,
        sessions: read(on)?,
    };
    let report = history.check();
    println!("{rolls} rolls of 3 brokers, {copies} copies in transactions: {report}");
    ensure!(
        report.is_clean() && report.acked as u64 >= acked,
        "{report}"
    );
    Ok(())
}

fn number<T: std::str::FromStr>(variable: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(variable) else {
        return Ok(None);
    };
    let number = text.parse().ok();
    let number = number.with_context(|| format!("{variable}={text} is no number"))?;
    Ok(Some(number))
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a client's thread"))?
}

/// Where all brokers share a few cores, a second compiler costs more than it brings.
fn make_small(on: &Installation) -> Result<()> {
    let options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    let patch = serde_json::json!({"spec": {"jvm": {"heap": "256m", "options": options}}});
    rolled(
        on,
        &[
            "patch",
            "kafkanodepool/combined",
            "--type=merge",
            "-p",
            &patch.to_string(),
        ],
    )
}

/// Restarts every broker, one after the other, and waits until all is well.
fn one_roll(on: &Installation, number: u32) -> Result<()> {
    let begun = Instant::now();
    let restart = format!("kafka.tubeway.dev/restart={number}");
    rolled(
        on,
        &["annotate", "kafkacluster/demo", "--overwrite", &restart],
    )?;
    println!("roll {number} took {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a kubectl command because of which every pod is replaced, and waits until
/// all is well again.
fn rolled(on: &Installation, because: &[&str]) -> Result<()> {
    let before = pods(on)?;
    on.kubectl(&[because, &["-n", "kafka"]].concat())?;
    eventually(WITHIN, "every pod is another one", || {
        let now = pods(on)?;
        let same = before
            .iter()
            .filter(|(pod, uid)| now.get(*pod) == Some(*uid));
        let same: Vec<_> = same.map(|(pod, _)| pod).collect();
        ensure!(
            same.is_empty() && now.len() == before.len(),
            "{same:?} of {now:?}"
        );
        Ok(())
    })?;
    on.settled(WITHIN)
}

/// The brokers' pods, and which they are.
fn pods(on: &Installation) -> Result<BTreeMap<String, String>> {
    let pods = on.get("kafka", "pods")?;
    let pods = pods["items"].as_array().context("no items")?.iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let names = pods.map(|pod| {
        let meta = &pod["metadata"];
        (text(&meta["name"]), text(&meta["uid"]))
    });
    Ok(names.collect())
}

/// Produces until the rolls are over and enough is acknowledged; nothing may fail.
fn produce(on: &Installation, row: u32, enough: u64, over: &Over) -> Result<Vec<Sent>> {
    let tools = Tools::ensure()?;
    let connection = Connection::start(on, "checkout")?;
    let mut all = Vec::new();
    // The second one of a row is not to end when that of the other row does.
    let mut count = RECORDS / u64::from(row + 1);
    let mut number = row;
    while !over.load(Ordering::Relaxed) || (all.len() as u64) < enough {
        let workload = Workload::new(number, count).at_rate(RATE);
        let target = connection.target(TOPIC);
        let load = block_on(Client::JavaVerifiable.produce(&tools, &target, &workload))?;
        ensure!(load.errors.is_empty(), "a producer saw {:?}", load.errors);
        all.extend(load.sent);
        number += PRODUCERS;
        count = RECORDS;
    }
    Ok(all)
}

/// Copies topics in transactions, one after the other, until the rolls are over;
/// says how many.
fn copy(on: &Installation, over: &Over) -> Result<u32> {
    let mut copies = 0;
    while !over.load(Ordering::Relaxed) {
        let copy = Copy::prepare(on, &format!("copy-{copies}"), COPIED)?;
        block_on(copy.run())?;
        copy.check()?;
        copies += 1;
    }
    Ok(copies)
}

fn read(on: &Installation) -> Result<Vec<Vec<tubeway_testing::records::Read>>> {
    let consumer = Connection::start(on, "billing")?;
    let tools = Tools::ensure()?;
    let target = consumer.target(TOPIC);
    let reading = Client::JavaVerifiable.consume(&tools, &target, Until::End);
    Ok(block_on(reading)?)
}
