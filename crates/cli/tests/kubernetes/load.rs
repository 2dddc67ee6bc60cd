//! Clients that write and read all the time, and whether everything came through.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use tubeway_testing::checker::{History, Report};
use tubeway_testing::clients::logs::{ConsumerLog, ProducerLog};
use tubeway_testing::records::{Outcome, Position};

use crate::manifests;
use crate::stage::{SHOP, Stage, eventually};

/// How many producers, each a pod.
const WRITERS: u32 = 2;
/// Records a second of each.
const RATE: &str = "250";
/// The one consumer.
const READER: &str = "reader";

/// The clients. They run until [`Load::end`].
pub struct Load {
    /// When the disturbance began that is looked at, in milliseconds since 1970.
    since: u64,
}

/// What the clients' logs say.
struct Logs {
    writers: Vec<ProducerLog>,
    reader: ConsumerLog,
}

// === impl Load ===

impl Load {
    /// Starts them; when this returns, all write or read.
    pub fn start(stage: &Stage) -> Result<Self> {
        let reader = [
            "--group-id",
            "readers",
            "--reset-policy",
            "earliest",
            "--verbose",
        ];
        let mut pods = manifests::client(READER, "reader", "VerifiableConsumer", &reader);
        for number in 1..=WRITERS {
            let prefix = number.to_string();
            let writer = [
                "--value-prefix",
                &prefix,
                "--throughput",
                RATE,
                "--acks",
                "-1",
                "--command-config",
                "/etc/client/producer.properties",
            ];
            pods.push_str("---");
            pods.push_str(&manifests::client(
                &writer_pod(number),
                "writer",
                "VerifiableProducer",
                &writer,
            ));
        }
        stage.apply(&pods)?;
        let load = Self { since: now()? };
        Self::wait_for_flow(stage, load.since)?;
        Ok(load)
    }

    /// From now on a disturbance is looked at.
    pub fn mark(&mut self) -> Result<()> {
        self.since = now()?;
        Ok(())
    }

    /// Waits until every client goes on, then checks all that was written and read
    /// from the beginning, and says how the clients fared since the mark.
    pub fn check(&self, stage: &Stage) -> Result<()> {
        Self::wait_for_flow(stage, now()?)?;
        let logs = await_reader(stage)?;
        self.say(&logs);
        // The writers go on, and the reader has read more than they had told.
        let told = |(number, log): (u32, ProducerLog)| {
            let read = logs.reader.sessions.iter().flatten();
            let read = read.filter_map(|read| read.id);
            let seqs = read.filter(|id| id.producer == number).map(|id| id.seq);
            log.with_unknown(number, seqs.max().unwrap_or_default())
        };
        let writers = (1..).zip(logs.writers.clone()).map(told).collect();
        let logs = Logs { writers, ..logs };
        logs.ensure_clean().map(drop)
    }

    /// Ends the writers, lets the reader read everything, ends it, and checks.
    pub fn end(self, stage: &Stage) -> Result<Report> {
        for number in 1..=WRITERS {
            stop(stage, &writer_pod(number))?;
        }
        let logs = await_reader(stage)?;
        stop(stage, READER)?;
        self.say(&logs);
        logs.ensure_clean()
    }

    fn wait_for_flow(stage: &Stage, since: u64) -> Result<()> {
        let pods = (1..=WRITERS).map(writer_pod).chain([READER.to_owned()]);
        for pod in pods {
            eventually(&format!("{pod} goes on"), || {
                let last = ["logs", "-n", SHOP, &pod, "-c", "app", "--tail=20"];
                let last = stage.kubectl(&last)?;
                let good = ["producer_send_success", "record_data"];
                let went_on = last.lines().any(|line| {
                    good.iter().any(|name| line.contains(name)) && time_of(line) > since
                });
                ensure!(went_on, "it said last:\n{last}");
                Ok(())
            })?;
        }
        Ok(())
    }

    fn say(&self, logs: &Logs) {
        for (number, log) in (1..).zip(&logs.writers) {
            println!(
                "  {}: {} acknowledged, at most {} ms between two",
                writer_pod(number),
                log.acked(),
                log.longest_pause(self.since)
            );
        }
    }
}

// === impl Logs ===

impl Logs {
    /// Everything that was acknowledged lies behind what the reader has read.
    fn ensure_read(&self) -> Result<()> {
        let mut highest: HashMap<i32, i64> = HashMap::new();
        for read in self.reader.sessions.iter().flatten() {
            let highest = highest.entry(read.at.partition).or_insert(-1);
            *highest = read.at.offset.max(*highest);
        }
        let sent = self.writers.iter().flat_map(|log| &log.sent);
        for one in sent {
            if let Outcome::Acked(Some(Position { partition, offset })) = one.outcome {
                let read = highest.get(&partition).copied().unwrap_or(-1);
                ensure!(
                    offset <= read,
                    "{partition}@{offset} was acknowledged, and partition {partition} is read to {read}"
                );
            }
        }
        Ok(())
    }

    fn ensure_clean(&self) -> Result<Report> {
        for (number, log) in (1..).zip(&self.writers) {
            let pod = writer_pod(number);
            ensure!(log.errors.is_empty(), "{pod} had errors: {:?}", log.errors);
        }
        let errors = &self.reader.errors;
        ensure!(errors.is_empty(), "{READER} had errors: {errors:?}");
        let sent = self.writers.iter().flat_map(|log| log.sent.clone());
        let history = History {
            sent: sent.collect(),
            sessions: self.reader.sessions.clone(),
        };
        let report = history.check();
        ensure!(report.is_clean() && report.acked > 0, "{report}");
        Ok(report)
    }
}

/// Waits until the reader has read all that the writers have told by now.
fn await_reader(stage: &Stage) -> Result<Logs> {
    let writers = read_writers(stage)?;
    eventually("all that was acknowledged is read", || {
        let reader = ConsumerLog::read(&stage.log(SHOP, READER, "app")?);
        let writers = writers.clone();
        let logs = Logs { writers, reader };
        logs.ensure_read()?;
        Ok(logs)
    })
}

fn read_writers(stage: &Stage) -> Result<Vec<ProducerLog>> {
    let logs = (1..=WRITERS).map(|number| {
        let log = stage.log(SHOP, &writer_pod(number), "app")?;
        Ok(ProducerLog::read(&log, number))
    });
    logs.collect()
}

/// Has a client end in good order; its log stays.
fn stop(stage: &Stage, pod: &str) -> Result<()> {
    stage.signal(SHOP, pod, "TERM")?;
    let ended = "jsonpath={.status.containerStatuses[0].state.terminated}";
    stage.wait(SHOP, &format!("pod/{pod}"), ended)
}

fn writer_pod(number: u32) -> String {
    format!("writer-{number}")
}

fn time_of(line: &str) -> u64 {
    let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    line["timestamp"].as_u64().unwrap_or_default()
}

fn now() -> Result<u64> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH);
    let time = time.context("the clock is before 1970")?;
    Ok(u64::try_from(time.as_millis())?)
}
