//! Clients that write and read all the time, and whether everything came through.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use tubeway_testing::checker::{History, Report};
use tubeway_testing::clients::logs::{ConsumerLog, ProducerLog};
use tubeway_testing::records::{Outcome, Position, Sent};

use crate::copies::Copies;
use crate::manifests::{self, BOOTSTRAP};
use crate::stage::{SHOP, Stage, eventually};

/// How many producers, each a pod.
const WRITERS: u32 = 2;
/// Records a second of each.
const RATE: &str = "250";
/// The one consumer.
const READER: &str = "reader";
/// `NOT_ENOUGH_REPLICAS` and `NOT_ENOUGH_REPLICAS_AFTER_APPEND`, as the writers'
/// sidecars count them.
const TOO_FEW_IN_SYNC: [&str; 2] = ["error=\"19\"", "error=\"20\""];

/// The clients. They run until [`Load::end`].
pub struct Load {
    /// When the disturbance began that is looked at, in milliseconds since 1970.
    since: u64,
    writers: Vec<Followed<ProducerLog>>,
    reader: Followed<ConsumerLog>,
    copies: Copies,
}

/// The log of a client, read as far as it was written when somebody looked.
pub(crate) struct Followed<L> {
    pod: String,
    pub(crate) log: L,
    /// Bytes of it that were read.
    read: u64,
    /// When the newest record in it was written or read, in milliseconds since 1970.
    last: u64,
}

// === impl Load ===

impl Load {
    /// Starts them; when this returns, all write or read.
    pub fn start(stage: &Stage) -> Result<Self> {
        let reader = [
            "--bootstrap-server",
            BOOTSTRAP,
            "--topic",
            "orders",
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
                "--bootstrap-server",
                BOOTSTRAP,
                "--topic",
                "orders",
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
        let writers = (1..=WRITERS).map(|number| Followed::new(writer_pod(number)));
        let mut load = Self {
            since: now()?,
            writers: writers.collect(),
            reader: Followed::new(READER.to_owned()),
            copies: Copies::default(),
        };
        load.wait_for_flow(stage)?;
        Ok(load)
    }

    /// From now on a disturbance is looked at, and what was written by now is copied in
    /// transactions.
    pub fn mark(&mut self, stage: &Stage) -> Result<()> {
        self.since = now()?;
        self.copies.begin(stage)
    }

    /// Waits until every client goes on and what was acknowledged is read, and says
    /// how the clients fared since the mark. Whether each record is there once and in
    /// order is seen at the end.
    pub fn check(&mut self, stage: &Stage) -> Result<()> {
        self.wait_for_flow(stage)?;
        self.await_reader(stage)?;
        self.copies.end(stage)?;
        self.say();
        self.ensure_no_errors()?;
        self.ensure_enough_in_sync(stage)
    }

    /// Ends the writers, lets the reader read everything, ends it, and checks what was
    /// written and what was copied. Gives what was written, too.
    pub fn end(mut self, stage: &Stage) -> Result<(Vec<Sent>, Report, Report)> {
        self.ensure_enough_in_sync(stage)?;
        for number in 1..=WRITERS {
            stop(stage, &writer_pod(number))?;
        }
        self.await_reader(stage)?;
        stop(stage, READER)?;
        self.await_reader(stage)?;
        self.say();
        self.ensure_no_errors()?;
        let sent = self.writers.into_iter().flat_map(|writer| writer.log.sent);
        let history = History {
            sent: sent.collect(),
            sessions: self.reader.log.sessions,
        };
        let report = history.check();
        ensure!(report.is_clean() && report.acked > 0, "{report}");
        let copied = self.copies.check(stage, history.sent.clone())?;
        Ok((history.sent, report, copied))
    }

    /// Waits until every client has gone on since now.
    fn wait_for_flow(&mut self, stage: &Stage) -> Result<()> {
        let since = now()?;
        eventually("the clients go on", || {
            self.follow(stage)?;
            let writers = self.writers.iter().map(|w| (&w.pod, w.last));
            for (pod, last) in writers.chain([(&self.reader.pod, self.reader.last)]) {
                ensure!(last > since, "{pod} did so last at {last}, before {since}");
            }
            Ok(())
        })
    }

    /// Reads what all have written since.
    fn follow(&mut self, stage: &Stage) -> Result<()> {
        for (number, writer) in (1..).zip(&mut self.writers) {
            writer.more(stage, |log, more| log.go_on(more, number))?;
        }
        self.reader.more(stage, ConsumerLog::go_on)
    }

    fn say(&self) {
        for writer in &self.writers {
            println!(
                "  {}: {} acknowledged, at most {} ms between two",
                writer.pod,
                writer.log.acked(),
                writer.log.longest_pause(self.since)
            );
        }
    }

    /// Waits until the reader has read all that the writers have told by now.
    fn await_reader(&mut self, stage: &Stage) -> Result<()> {
        self.follow(stage)?;
        eventually("all that was acknowledged is read", || {
            self.reader.more(stage, ConsumerLog::go_on)?;
            self.ensure_read()
        })
    }

    /// Everything that was acknowledged lies behind what the reader has read.
    fn ensure_read(&self) -> Result<()> {
        let mut highest: HashMap<i32, i64> = HashMap::new();
        for read in self.reader.log.sessions.iter().flatten() {
            let highest = highest.entry(read.at.partition).or_insert(-1);
            *highest = read.at.offset.max(*highest);
        }
        let sent = self.writers.iter().flat_map(|writer| &writer.log.sent);
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

    /// No write was refused because too few replicas were in sync, not even one that
    /// the producer tried again: the operator took no broker that was needed.
    fn ensure_enough_in_sync(&self, stage: &Stage) -> Result<()> {
        for writer in &self.writers {
            let metrics = stage.metrics(SHOP, &writer.pod)?;
            let of_produce = |name: &str, error: &str| -> f64 {
                let lines = metrics.lines().filter(|line| {
                    line.starts_with(name)
                        && line.contains("api=\"Produce\"")
                        && line.contains(error)
                });
                let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
                values.sum()
            };
            let requests = of_produce("tubeway_requests_total", "");
            ensure!(
                requests > 0.0,
                "{} has written nothing: {metrics}",
                writer.pod
            );
            for error in TOO_FEW_IN_SYNC {
                let refused = of_produce("tubeway_response_errors_total", error);
                ensure!(
                    refused == 0.0,
                    "{refused} writes of {} were refused with {error}",
                    writer.pod
                );
            }
        }
        Ok(())
    }

    fn ensure_no_errors(&self) -> Result<()> {
        for writer in &self.writers {
            let (pod, errors) = (&writer.pod, &writer.log.errors);
            ensure!(errors.is_empty(), "{pod} had errors: {errors:?}");
        }
        let errors = &self.reader.log.errors;
        ensure!(errors.is_empty(), "{READER} had errors: {errors:?}");
        Ok(())
    }
}

// === impl Followed ===

impl<L: Default> Followed<L> {
    pub(crate) fn new(pod: String) -> Self {
        Self {
            pod,
            log: L::default(),
            read: 0,
            last: 0,
        }
    }

    /// Takes what the client has written since.
    pub(crate) fn more(&mut self, stage: &Stage, take: impl FnOnce(&mut L, &str)) -> Result<()> {
        let more = stage.log_from(SHOP, &self.pod, "app", &mut self.read)?;
        let good = ["producer_send_success", "record_data"];
        let is_good = |line: &&str| good.iter().any(|name| line.contains(name));
        if let Some(line) = more.lines().rfind(is_good) {
            self.last = time_of(line);
        }
        take(&mut self.log, &more);
        Ok(())
    }
}

/// Has a client end in good order; its log stays.
pub(crate) fn stop(stage: &Stage, pod: &str) -> Result<()> {
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
