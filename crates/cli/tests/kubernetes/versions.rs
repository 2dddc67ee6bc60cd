//! What a cluster runs changes, while clients go on.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{CLUSTER, Roll, disturb, patch, pods, seen};
use crate::manifests::{NEW, OLD};
use crate::stage::{KAFKA, Stage};

/// Kafka takes this option while it runs.
const DYNAMIC: &str = "log.retention.ms";

/// To a newer Kafka whose metadata stays, so that the way back is open; back; and up
/// for good.
pub fn up_back_and_up(on: &mut Stage) -> Result<()> {
    let way = [
        (
            json!({"version": NEW, "metadataVersion": "3.9"}),
            NEW,
            "3.9",
        ),
        (json!({"version": OLD}), OLD, "3.9"),
        (json!({"version": NEW, "metadataVersion": null}), NEW, "4.3"),
    ];
    for (spec, version, metadata) in way {
        to(on, &spec, version, metadata).with_context(|| spec.to_string())?;
    }
    patch(on, KAFKA, CLUSTER, &json!({"version": OLD}))?;
    on.wait(KAFKA, CLUSTER, "condition=Ready=false")?;
    let refused = conditions(on)?;
    patch(on, KAFKA, CLUSTER, &json!({"version": NEW}))?;
    on.wait(KAFKA, CLUSTER, "condition=Ready")?;
    for part in ["InvalidSpec", "spec.version", "4.3.0 and newer"] {
        ensure!(refused.contains(part), "{part} is not in {refused}");
    }
    Ok(())
}

fn to(on: &mut Stage, spec: &Value, version: &str, metadata: &str) -> Result<()> {
    disturb(on, |on| {
        Roll::begin(on, || patch(on, KAFKA, CLUSTER, spec))?.end(on)?;
        let status = on.get(KAFKA, CLUSTER)?["status"].clone();
        ensure!(
            status["kafkaVersion"] == version && status["metadataVersion"] == metadata,
            "{status}"
        );
        Ok(())
    })
}

/// An option that Kafka takes while it runs restarts nothing, and what Kafka does not
/// take is said.
pub fn options(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = pods(on)?;
        patch(on, KAFKA, CLUSTER, &json!({"config": {DYNAMIC: 7_200_000}}))?;
        seen(on, CLUSTER)?;
        for condition in ["condition=Progressing=false", "condition=ConfigApplied"] {
            on.wait(KAFKA, CLUSTER, condition)?;
        }
        ensure!(pods(on)? == before, "a pod was replaced");
        let log = on.log(KAFKA, "demo-combined-0", "kafka")?;
        let taken = format!("{DYNAMIC} = 7200000");
        ensure!(log.contains(&taken), "broker 0 was not told that {taken}");
        Ok(())
    })
}

fn conditions(on: &Stage) -> Result<String> {
    Ok(on.get(KAFKA, CLUSTER)?["status"]["conditions"].to_string())
}
