//! What happens to pods, by others' hands and by the operator's, while clients go on.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::cluster::{CLUSTER, Roll, all_ready, disturb, patch, pods, replaced, seen};
use crate::stage::{KAFKA, SYSTEM, Stage, eventually};

/// How often all brokers are restarted in turn by hand, unless `TUBEWAY_ROLLS` says so.
const ROLLS: u32 = 1;
/// Kafka reads this option when it starts and at no other time.
const READ_ONLY: &str = "queued.max.requests";

/// A pod is deleted as anybody might.
pub fn deleted_pod(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = pods(on)?;
        on.kubectl(&["delete", "pod", "-n", KAFKA, "demo-combined-1"])?;
        replaced(on, "demo-combined-1", &before)
    })
}

/// The machine of all nodes is drained: at most one of them goes at a time, and the
/// next one only when the cluster can spare it. Here that is never, because the
/// first finds no other machine; when it may come back, they all go in turn.
pub fn drained(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = pods(on)?;
        let of_kafka = "--pod-selector=kafka.tubeway.dev/node-id";
        let within = "--timeout=30s";
        let drain = ["drain", "node", of_kafka, "--delete-emptydir-data", within];
        let drained = on.kubectl(&drain);
        let running = "jsonpath={.items[?(@.status.phase=='Running')].metadata.name}";
        let running = on.kubectl(&["get", "pods", "-n", KAFKA, "-o", running]);
        on.kubectl(&["uncordon", "node"])?;
        ensure!(
            drained.is_err(),
            "all nodes were drained at once: {drained:?}"
        );
        let running = running?;
        let left = running.split_whitespace().count();
        ensure!(
            left >= before.len() - 1,
            "only {running:?} were left to run"
        );
        eventually("every pod is replaced", || {
            let now = pods(on)?;
            let left = before
                .iter()
                .filter(|(pod, uid)| now.get(*pod) == Some(*uid));
            let left: Vec<_> = left.map(|(pod, _)| pod).collect();
            ensure!(left.is_empty(), "{left:?} are those of before");
            Ok(())
        })?;
        all_ready(on, before.len())
    })
}

/// All brokers restart in turn because somebody asks for it, a number of times.
pub fn rolls(on: &mut Stage) -> Result<()> {
    let wanted = std::env::var("TUBEWAY_ROLLS");
    let rolls = wanted.map_or(Ok(ROLLS), |text| text.parse())?;
    disturb(on, |on| {
        for roll in 1..=rolls {
            let begun = Instant::now();
            let restart = format!("kafka.tubeway.dev/restart={roll}");
            let annotate = ["annotate", CLUSTER, "-n", KAFKA, "--overwrite", &restart];
            Roll::begin(on, || on.kubectl(&annotate).map(drop))?.end(on)?;
            println!("  roll {roll} took {:.1} s", begun.elapsed().as_secs_f64());
        }
        Ok(())
    })
}

/// The operator is gone in the middle of a roll.
pub fn killed_operator(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let option = json!({"config": {READ_ONLY: 400}});
        let roll = Roll::begin(on, || patch(on, KAFKA, CLUSTER, &option))?;
        eventually("the first pod is replaced", || {
            ensure!(pods(on)? != roll.before, "the pods are those of before");
            Ok(())
        })?;
        let kill = [
            "delete",
            "pod",
            "-n",
            SYSTEM,
            "-l",
            "app.kubernetes.io/name=tubeway-operator",
            "--force",
            "--grace-period=0",
        ];
        on.kubectl(&kill)?;
        on.wait(SYSTEM, "deployment/tubeway-operator", "condition=Available")?;
        roll.end(on)
    })
}

/// A cluster that is paused is left alone, whatever is asked of it, until it is not.
pub fn paused(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let asked = json!({"pause": true, "config": {READ_ONLY: 450}});
        let roll = Roll::begin(on, || patch(on, KAFKA, CLUSTER, &asked))?;
        seen(on, CLUSTER)?;
        let why = "jsonpath={.status.conditions[?(@.type=='Progressing')].reason}=Paused";
        on.wait(KAFKA, CLUSTER, why)?;
        ensure!(pods(on)? == roll.before, "a pod was replaced");
        patch(on, KAFKA, CLUSTER, &json!({"pause": false}))?;
        roll.end(on)
    })
}
