//! Nodes, disks and replicas come and go, while clients go on.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::cluster::{CLUSTER, POOL, all_ready, disturb, patch, pods, scale, seen};
use crate::manifests;
use crate::stage::{KAFKA, SHOP, Stage, eventually};

/// A fourth node comes.
pub fn scale_up(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        scale(on, POOL, 4)?;
        all_ready(on, 4)
    })
}

/// A topic gets a replica more on the new node, and one less again.
pub fn other_replicas(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        for replicas in [4, 3] {
            patch(
                on,
                SHOP,
                "kafkatopic/orders",
                &json!({"replicas": replicas}),
            )?;
            let wanted = format!("jsonpath={{.status.replicas}}={replicas}");
            on.wait(SHOP, "kafkatopic/orders", &wanted)?;
            on.wait(SHOP, "kafkatopic/orders", "condition=Ready")?;
        }
        all_ready(on, 4)
    })
}

/// The fourth node goes again, once what it holds is elsewhere; so does its volume,
/// because the pool says so.
pub fn scale_down(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let storage = json!({"storage": {"deleteClaim": true}, "replicas": 3});
        patch(on, KAFKA, POOL, &storage)?;
        all_ready(on, 3)?;
        let pods = pods(on)?;
        ensure!(pods.len() == 3, "the pods are {pods:?}");
        eventually("the claim goes", || {
            let claims = claims(on)?;
            ensure!(!claims.contains("-combined-3"), "{claims}");
            Ok(())
        })?;
        let kept = json!({"storage": {"deleteClaim": false}});
        patch(on, KAFKA, POOL, &kept)?;
        all_ready(on, 3)
    })
}

/// A pool of two controllers joins the quorum, and leaves it when it is deleted.
pub fn controllers(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        on.apply(manifests::VOTERS)?;
        eventually("five voters", || voters(on, 5))?;
        all_ready(on, 3)?;
        on.kubectl(&["delete", "-n", KAFKA, "kafkanodepool/voters"])?;
        eventually("three voters", || voters(on, 3))?;
        eventually("the pods go", || {
            let pods = pods(on)?;
            ensure!(pods.len() == 3, "the pods are {pods:?}");
            Ok(())
        })?;
        all_ready(on, 3)
    })
}

/// A node's volume is lost with its pod: it comes back on an empty one, and gets what
/// it had from the others.
pub fn lost_volume(on: &mut Stage) -> Result<()> {
    let claim = "persistentvolumeclaim/data-demo-combined-1";
    disturb(on, |on| {
        let before = on.get(KAFKA, claim)?["metadata"]["uid"].clone();
        on.kubectl(&["delete", "-n", KAFKA, claim, "--wait=false"])?;
        on.kubectl(&["delete", "-n", KAFKA, "pod/demo-combined-1"])?;
        eventually("another volume", || {
            let now = on.get(KAFKA, claim)?["metadata"]["uid"].clone();
            ensure!(now != before, "{now} is the one of before");
            Ok(())
        })?;
        eventually("all three vote", || voters(on, 3))?;
        all_ready(on, 3)
    })
}

/// Every node gets a second disk, and gives it back, emptied.
pub fn disks(on: &mut Stage) -> Result<()> {
    let disks = |volumes: Value| json!({"storage": {"volumes": volumes, "deleteClaim": true}});
    disturb(on, |on| {
        patch(on, KAFKA, POOL, &disks(json!([{"id": 1, "size": "1Gi"}])))?;
        all_ready(on, 3)?;
        have_second_disks(on, true)?;
        patch(on, KAFKA, POOL, &disks(json!([])))?;
        all_ready(on, 3)?;
        have_second_disks(on, false)?;
        eventually("the claims go", || {
            let claims = claims(on)?;
            ensure!(!claims.contains("data-1-demo"), "{claims}");
            Ok(())
        })?;
        let kept = json!({"storage": {"deleteClaim": false}});
        patch(on, KAFKA, POOL, &kept)?;
        all_ready(on, 3)
    })
}

/// Volumes are to be larger: the claims ask for it, and no pod is replaced for it.
/// That the storage follows is its provisioner's work; here the volumes are larger
/// already.
pub fn storage_grows(on: &mut Stage) -> Result<()> {
    disturb(on, |on| {
        let before = pods(on)?;
        patch(on, KAFKA, POOL, &json!({"storage": {"size": "2Gi"}}))?;
        seen(on, POOL)?;
        let size = "jsonpath={.spec.resources.requests.storage}=2Gi";
        for id in 0..3 {
            let claim = format!("persistentvolumeclaim/data-demo-combined-{id}");
            on.wait(KAFKA, &claim, size)?;
        }
        all_ready(on, 3)?;
        ensure!(pods(on)? == before, "a pod was replaced");
        Ok(())
    })
}

fn have_second_disks(on: &Stage, wanted: bool) -> Result<()> {
    for id in 0..3 {
        let pod = on.get(KAFKA, &format!("pod/demo-combined-{id}"))?;
        let volumes = pod["spec"]["volumes"].to_string();
        let has = volumes.contains(&format!("data-1-demo-combined-{id}"));
        ensure!(has == wanted, "{volumes}");
    }
    Ok(())
}

fn voters(on: &Stage, wanted: usize) -> Result<()> {
    let cluster = on.get(KAFKA, CLUSTER)?;
    let voters = cluster["status"]["quorum"]["voters"].as_array();
    let voters = voters.context("nobody says who votes")?;
    ensure!(voters.len() == wanted, "voters are {voters:?}");
    Ok(())
}

fn claims(on: &Stage) -> Result<String> {
    on.kubectl(&["get", "pvc", "-n", KAFKA, "-o", "name"])
}
