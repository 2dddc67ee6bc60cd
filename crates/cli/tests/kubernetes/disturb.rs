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

/// A pod is evicted, as when its machine is drained.
pub fn evicted_pod(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = uids(on)?;
        evict(on, "demo-combined-2")?;
        replaced(on, "demo-combined-2", &before)
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
    let cluster = "kafkacluster/demo";
    let generation = on.get(KAFKA, cluster)?["metadata"]["generation"].clone();
    let seen = format!("jsonpath={{.status.observedGeneration}}={generation}");
    on.wait(KAFKA, cluster, &seen)?;
    let ready = format!("jsonpath={{.status.readyReplicas}}={nodes}");
    on.wait(KAFKA, "kafkanodepool/combined", &ready)?;
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

/// Asks the API to evict a pod, as `kubectl drain` does.
fn evict(on: &Stage, pod: &str) -> Result<()> {
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod, "namespace": KAFKA},
    });
    let file = std::env::temp_dir().join("tubeway-node/eviction.json");
    std::fs::write(&file, eviction.to_string())?;
    let path = format!("/api/v1/namespaces/{KAFKA}/pods/{pod}/eviction");
    let file = file.to_string_lossy();
    on.kubectl(&["create", "--raw", &path, "-f", &file])
        .map(drop)
}
