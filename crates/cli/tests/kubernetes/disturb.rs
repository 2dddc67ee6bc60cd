//! What happens to a cluster in its life, while clients go on.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::stage::{KAFKA, SYSTEM, Stage, eventually};

/// How often all brokers are restarted in turn, unless `TUBEWAY_ROLLS` says so.
const ROLLS: u32 = 2;
/// Kafka reads this option when it starts and at no other time.
const READ_ONLY: &str = "queued.max.requests";

/// A pod is deleted as anybody might.
pub fn deleted_pod(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = uids(on)?;
        on.kubectl(&["delete", "pod", "-n", KAFKA, "demo-combined-1"])?;
        replaced(on, "demo-combined-1", &before)
    })
}

/// The machine of all nodes is drained: at most one of them goes at a time, and the
/// next one only when the cluster can spare it. Here that is never, because the
/// first finds no other machine; when it may come back, they all go in turn.
pub fn drained(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = uids(on)?;
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
            let now = uids(on)?;
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

/// All brokers restart in turn, a number of times.
pub fn rolls(on: &mut Stage) -> Result<()> {
    let wanted = std::env::var("TUBEWAY_ROLLS");
    let rolls = wanted.map_or(Ok(ROLLS), |text| text.parse())?;
    let begun = Instant::now();
    disturb(on, |on| {
        for roll in 1..=rolls {
            let begun = Instant::now();
            begin_roll(on, &format!("{}", 500 + roll))?.end(on)?;
            println!("  roll {roll} took {:.1} s", begun.elapsed().as_secs_f64());
        }
        Ok(())
    })?;
    println!(
        "  {rolls} rolls of 3 brokers took {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// The operator is gone in the middle of a roll.
pub fn killed_operator(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let roll = begin_roll(on, "400")?;
        eventually("the first pod is replaced", || {
            let now = uids(on)?;
            ensure!(now != roll.before, "the pods are those of before");
            Ok(())
        })?;
        let selector = "app.kubernetes.io/name=tubeway-operator";
        let kill = [
            "delete",
            "pod",
            "-n",
            SYSTEM,
            "-l",
            selector,
            "--force",
            "--grace-period=0",
        ];
        on.kubectl(&kill)?;
        on.wait(SYSTEM, "deployment/tubeway-operator", "condition=Available")?;
        roll.end(on)
    })
}

/// A fourth node comes.
pub fn scale_up(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        on.kubectl(&[
            "scale",
            "kafkanodepool/combined",
            "-n",
            KAFKA,
            "--replicas=4",
        ])?;
        all_ready(on, 4)
    })
}

/// It goes again, once what it holds is elsewhere.
pub fn scale_down(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        on.kubectl(&[
            "scale",
            "kafkanodepool/combined",
            "-n",
            KAFKA,
            "--replicas=3",
        ])?;
        all_ready(on, 3)?;
        let pods = uids(on)?;
        ensure!(pods.len() == 3, "the pods are {pods:?}");
        Ok(())
    })
}

/// A roll that was begun.
struct Roll {
    before: BTreeMap<String, String>,
}

// === impl Roll ===

impl Roll {
    /// Waits until it is through: every pod is another one, and all is well.
    fn end(self, on: &Stage) -> Result<()> {
        all_ready(on, self.before.len())?;
        let now = uids(on)?;
        for (pod, uid) in &self.before {
            ensure!(now.get(pod) != Some(uid), "{pod} was not replaced");
        }
        Ok(())
    }
}

/// Changes an option that only a restart brings to Kafka.
fn begin_roll(on: &Stage, value: &str) -> Result<Roll> {
    let before = uids(on)?;
    let patch = json!({"spec": {"config": {READ_ONLY: value.parse::<u32>()?}}}).to_string();
    let patch = [
        "patch",
        "kafkacluster/demo",
        "-n",
        KAFKA,
        "--type=merge",
        "-p",
        &patch,
    ];
    on.kubectl(&patch)?;
    Ok(Roll { before })
}

/// Does something while the clients go on, and checks that they have lost nothing.
fn disturb(on: &mut Stage, what: impl FnOnce(&Stage) -> Result<()>) -> Result<()> {
    let mut load = on.load.take().context("no client was started")?;
    load.mark()?;
    let result = what(on).and_then(|()| load.check(on));
    on.load = Some(load);
    result
}

/// Waits until the operator has seen the newest specs and has nothing left to do.
fn all_ready(on: &Stage, nodes: usize) -> Result<()> {
    let (cluster, pool) = ("kafkacluster/demo", "kafkanodepool/combined");
    for object in [cluster, pool] {
        let generation = on.get(KAFKA, object)?["metadata"]["generation"].clone();
        let seen = format!("jsonpath={{.status.observedGeneration}}={generation}");
        on.wait(KAFKA, object, &seen)?;
    }
    for field in ["replicas", "readyReplicas"] {
        on.wait(
            KAFKA,
            pool,
            &format!("jsonpath={{.status.{field}}}={nodes}"),
        )?;
    }
    on.wait(KAFKA, cluster, "condition=Progressing=false")?;
    on.wait(KAFKA, cluster, "condition=Ready")
}

/// Waits until another pod is in this one's place, and all is well again.
fn replaced(on: &Stage, pod: &str, before: &BTreeMap<String, String>) -> Result<()> {
    eventually("another pod in its place", || {
        let now = uids(on)?;
        let now = now.get(pod).context("there is none")?;
        ensure!(before.get(pod) != Some(now), "{pod} is the one of before");
        Ok(())
    })?;
    on.wait(KAFKA, &format!("pod/{pod}"), "condition=Ready")?;
    all_ready(on, before.len())
}

/// The pods of the nodes, and which they are.
fn uids(on: &Stage) -> Result<BTreeMap<String, String>> {
    let template = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let pods = on.kubectl(&["get", "pods", "-n", KAFKA, "-o", template])?;
    let pairs = pods.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .map(|(name, uid)| (name.to_owned(), uid.to_owned()))
        .collect())
}
