//! Whether a topic has everything that was written, once and in order.

use anyhow::{Result, ensure};
use tubeway_testing::checker::{History, Report};
use tubeway_testing::clients::logs::ConsumerLog;
use tubeway_testing::records::Sent;

use crate::load::{Followed, stop};
use crate::manifests::{self, BOOTSTRAP};
use crate::stage::{Stage, eventually};

/// Reads the whole topic in a pod and group of this name, without records of
/// transactions that were aborted, and compares.
pub fn audit(stage: &Stage, name: &str, topic: &str, sent: Vec<Sent>) -> Result<Report> {
    let arguments = [
        "--bootstrap-server",
        BOOTSTRAP,
        "--topic",
        topic,
        "--group-id",
        name,
        "--reset-policy",
        "earliest",
        "--verbose",
        "--command-config",
        "/etc/client/committed.properties",
    ];
    let pod = manifests::client(name, "copier", "VerifiableConsumer", &arguments);
    stage.apply(&pod)?;
    let mut read: Followed<ConsumerLog> = Followed::new(name.to_owned());
    let read_all = eventually("everything is read", || {
        read.more(stage, ConsumerLog::go_on)?;
        let count: usize = read.log.sessions.iter().map(Vec::len).sum();
        ensure!(count >= sent.len(), "{count} of {}", sent.len());
        Ok(())
    });
    stop(stage, name)?;
    read.more(stage, ConsumerLog::go_on)?;
    let history = History {
        sent,
        sessions: read.log.sessions,
    };
    let report = history.check();
    ensure!(report.is_clean(), "{topic}: {report}");
    read_all?;
    Ok(report)
}
