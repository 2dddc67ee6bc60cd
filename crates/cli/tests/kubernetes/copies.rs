//! What was written, copied in transactions of which some are aborted.

use anyhow::{Context as _, Result, ensure};
use tubeway_testing::checker::Report;
use tubeway_testing::records::{Outcome, Sent};

use crate::audit::audit;
use crate::manifests::{self, BOOTSTRAP};
use crate::stage::{SHOP, Stage};

/// Records of one transaction.
const TRANSACTION: &str = "500";

/// Pods that copy what has been written since the one before them, one at a time:
/// Kafka's `TransactionalMessageCopier`, which commits its place in the one topic in
/// the transaction in which it writes to the other, and aborts some at random.
#[derive(Default)]
pub struct Copies {
    /// How many were begun.
    begun: u32,
    /// Whether the last one is still at work.
    goes_on: bool,
}

// === impl Copies ===

impl Copies {
    /// Begins the next one.
    pub fn begin(&mut self, stage: &Stage) -> Result<()> {
        self.begun += 1;
        self.goes_on = true;
        let copier = [
            "--broker-list",
            BOOTSTRAP,
            "--input-topic",
            "orders",
            "--input-partition",
            "-1",
            "--output-topic",
            "copies",
            "--transactional-id",
            "copier",
            "--consumer-group",
            "copiers",
            "--transaction-size",
            TRANSACTION,
            "--enable-random-aborts",
            "--group-mode",
            "--use-group-metadata",
        ];
        let tool = "TransactionalMessageCopier";
        stage.apply(&manifests::client(&self.pod(), "copier", tool, &copier))
    }

    /// Waits until it has copied all that there was when it began; it may not fail.
    pub fn end(&mut self, stage: &Stage) -> Result<()> {
        if !std::mem::take(&mut self.goes_on) {
            return Ok(());
        }
        let pod = format!("pod/{}", self.pod());
        let ended = "jsonpath={.status.containerStatuses[0].state.terminated}";
        stage.wait(SHOP, &pod, ended)?;
        let object = stage.get(SHOP, &pod)?;
        let ended = &object["status"]["containerStatuses"][0]["state"]["terminated"];
        let code = ended["exitCode"].as_i64().context("no exit code")?;
        ensure!(
            code == 0,
            "{pod} ended with {code}:\n{}",
            stage.log(SHOP, &self.pod(), "app")?
        );
        stage.kubectl(&["delete", "-n", SHOP, &pod]).map(drop)
    }

    /// Copies the rest, and looks for every record among those that were committed.
    pub fn check(mut self, stage: &Stage, sent: Vec<Sent>) -> Result<Report> {
        self.begin(stage)?;
        self.end(stage)?;
        // Where a record was put in the first topic says nothing about the copy.
        let copied = sent.into_iter().map(|sent| Sent {
            outcome: Outcome::Acked(None),
            ..sent
        });
        audit(stage, "auditor", "copies", copied.collect())
    }

    fn pod(&self) -> String {
        format!("copier-{}", self.begun)
    }
}
