//! A cluster goes to a newer Kafka, back, and there for good, while records flow.

mod support;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use support::load::under_load;
use support::{Installation, eventually};

const OLD: &str = "3.9.1";
const NEW: &str = "4.3.1";
const WITHIN: Duration = Duration::from_secs(300);

#[test]
fn a_cluster_goes_up_back_and_up_for_good() -> Result<()> {
    let versions = ["--kafka-version", OLD, "--kafka-version", NEW];
    let mut on = Installation::new(&versions)?;
    on.up()?;
    runs(&on, OLD, "3.9")?;
    // The metadata stays that of 3.9, so that the way back is open.
    under_load(&on, "up", Duration::from_secs(75), |on| {
        change(
            on,
            r#"{"spec": {"version": "4.3.1", "metadataVersion": "3.9"}}"#,
        )?;
        runs(on, NEW, "3.9")
    })
    .context("up")?;
    under_load(&on, "back", Duration::from_secs(75), |on| {
        change(on, r#"{"spec": {"version": "3.9.1"}}"#)?;
        runs(on, OLD, "3.9")
    })
    .context("back")?;
    under_load(&on, "for-good", Duration::from_secs(75), |on| {
        change(
            on,
            r#"{"spec": {"version": "4.3.1", "metadataVersion": null}}"#,
        )?;
        runs(on, NEW, "4.3")
    })
    .context("up for good")?;
    change(&on, r#"{"spec": {"version": "3.9.1"}}"#)?;
    eventually(Duration::from_secs(30), "the way back is closed", || {
        let cluster = on.get("kafka", "kafkacluster/demo")?;
        let conditions = cluster["status"]["conditions"].to_string();
        for part in ["InvalidSpec", "spec.version", "4.3.0 and newer"] {
            ensure!(conditions.contains(part), "{part} is not in {conditions}");
        }
        Ok(())
    })
}

fn change(on: &Installation, patch: &str) -> Result<()> {
    on.kubectl(&[
        "patch",
        "-n",
        "kafka",
        "kafkacluster/demo",
        "--type=merge",
        "-p",
        patch,
    ])
    .map(drop)
}

/// Waits until all nodes run this version, on metadata of this release.
fn runs(on: &Installation, version: &str, release: &str) -> Result<()> {
    eventually(
        WITHIN,
        &format!("{version} on metadata of {release}"),
        || {
            let cluster = on.get("kafka", "kafkacluster/demo")?;
            let status = &cluster["status"];
            let generation = &cluster["metadata"]["generation"];
            let conditions = status["conditions"].as_array().context("no conditions")?;
            let busy = conditions
                .iter()
                .any(|c| c["type"] == "Progressing" && c["status"] != "False");
            ensure!(
                status["observedGeneration"] == *generation
                    && status["kafkaVersion"] == version
                    && status["metadataVersion"] == release
                    && !busy,
                "{status}"
            );
            Ok(())
        },
    )
}
