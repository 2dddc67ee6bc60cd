//! The cluster as the trials see it and ask for it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::stage::{KAFKA, Stage, eventually};

/// The cluster.
pub const CLUSTER: &str = "kafkacluster/demo";
/// Its first pool.
pub const POOL: &str = "kafkanodepool/combined";

/// Pods of nodes by name, and which they are: their UIDs.
pub type Pods = BTreeMap<String, String>;

/// A roll that was begun: pods that are to be replaced, each.
pub struct Roll {
    /// Those of before.
    pub before: Pods,
}

// === impl Roll ===

impl Roll {
    /// Does something because of which every pod is to be replaced.
    pub fn begin(on: &Stage, because: impl FnOnce() -> Result<()>) -> Result<Self> {
        let before = pods(on)?;
        because()?;
        Ok(Self { before })
    }

    /// Waits until it is through: every pod is another one, and all is well.
    pub fn end(self, on: &Stage) -> Result<()> {
        all_ready(on, self.before.len())?;
        let now = pods(on)?;
        for (pod, uid) in &self.before {
            ensure!(now.get(pod) != Some(uid), "{pod} was not replaced");
        }
        Ok(())
    }
}

/// Does something while the clients go on, and checks that they have lost nothing.
pub fn disturb(on: &mut Stage, what: impl FnOnce(&Stage) -> Result<()>) -> Result<()> {
    let mut load = on.load.take().context("no client was started")?;
    load.mark(on)?;
    let result = what(on).and_then(|()| load.check(on));
    on.load = Some(load);
    result
}

/// Changes an object's spec: fields that are `null` go.
pub fn patch(on: &Stage, namespace: &str, object: &str, spec: &Value) -> Result<()> {
    let patch = json!({ "spec": spec }).to_string();
    let patch = [
        "patch",
        object,
        "-n",
        namespace,
        "--type=merge",
        "-p",
        &patch,
    ];
    on.kubectl(&patch).map(drop)
}

/// Asks for so many nodes of a pool.
pub fn scale(on: &Stage, pool: &str, replicas: usize) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    on.kubectl(&["scale", pool, "-n", KAFKA, &replicas])
        .map(drop)
}

/// Waits until the operator has seen the newest specs and has nothing left to do.
/// `nodes` are those of the first pool.
pub fn all_ready(on: &Stage, nodes: usize) -> Result<()> {
    for object in [CLUSTER, POOL] {
        seen(on, object)?;
    }
    for field in ["replicas", "readyReplicas"] {
        let wanted = format!("jsonpath={{.status.{field}}}={nodes}");
        on.wait(KAFKA, POOL, &wanted)?;
    }
    on.wait(KAFKA, CLUSTER, "condition=Progressing=false")?;
    on.wait(KAFKA, CLUSTER, "condition=Ready")
}

/// Waits until the operator has seen an object's newest spec.
pub fn seen(on: &Stage, object: &str) -> Result<()> {
    let generation = on.get(KAFKA, object)?["metadata"]["generation"].clone();
    let seen = format!("jsonpath={{.status.observedGeneration}}={generation}");
    on.wait(KAFKA, object, &seen)
}

/// Waits until another pod is in this one's place, and all is well again.
pub fn replaced(on: &Stage, pod: &str, before: &Pods) -> Result<()> {
    eventually("another pod in its place", || {
        let now = pods(on)?;
        let now = now.get(pod).context("there is none")?;
        ensure!(before.get(pod) != Some(now), "{pod} is the one of before");
        Ok(())
    })?;
    on.wait(KAFKA, &format!("pod/{pod}"), "condition=Ready")?;
    all_ready(on, before.len())
}

/// The pods of the nodes.
pub fn pods(on: &Stage) -> Result<Pods> {
    let template = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let pods = on.kubectl(&["get", "pods", "-n", KAFKA, "-o", template])?;
    let pairs = pods.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .map(|(name, uid)| (name.to_owned(), uid.to_owned()))
        .collect())
}
