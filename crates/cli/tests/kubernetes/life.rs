//! From the installation to its end, with nothing in between that disturbs.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::audit::audit;
use crate::load::Load;
use crate::manifests::{self, BOOTSTRAP, NEW, OLD};
use crate::stage::{KAFKA, SHOP, SYSTEM, Stage, contains, eventually};

/// Kinds that are the whole cluster's, and of which an installation has some.
const WIDE: &str = "customresourcedefinitions,clusterroles,clusterrolebindings,\
                    mutatingwebhookconfigurations,namespaces";

/// The operator runs, and nothing is wrong.
pub fn install(on: &mut Stage) -> Result<()> {
    on.tubeway(&["check", "--pre"])?;
    let begun = Instant::now();
    on.tubeway(&["install", "-a", "--no-demo-cluster"])?;
    println!(
        "  installed and available after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    check(on)
}

/// Three nodes where Pod Security is enforced.
pub fn cluster(on: &mut Stage) -> Result<()> {
    let zone = "jsonpath={.metadata.labels.topology\\.kubernetes\\.io/zone}";
    let zone = on.kubectl(&["get", "node", "node", "-o", zone])?;
    on.apply(manifests::KAFKA)?;
    on.apply(manifests::SHOP)?;
    on.apply(&manifests::POLICY.replace("metadata:", "metadata:\n  namespace: kafka"))?;
    let begun = Instant::now();
    on.apply(&manifests::cluster(OLD))?;
    on.wait(KAFKA, "kafkacluster/demo", "condition=Ready")?;
    println!(
        "  O4: a cluster of 3 (Kafka {OLD}) was Ready {:.1} s after it was applied",
        begun.elapsed().as_secs_f64()
    );
    let log = on.log(KAFKA, "demo-combined-0", "kafka")?;
    contains(&log, &[&format!("broker.rack = {zone}\n")])?;
    checked(on)
}

/// Nothing is under way any more, and nothing is wrong.
fn checked(on: &Stage) -> Result<()> {
    for condition in ["Progressing=false", "SidecarsInSync"] {
        on.wait(
            KAFKA,
            "kafkacluster/demo",
            &format!("condition={condition}"),
        )?;
    }
    check(on)
}

/// Nothing is wrong. A pod that was ready may not be for a moment once more: what a
/// kubelet reports of it is of more than one of its threads.
fn check(on: &Stage) -> Result<()> {
    on.tubeway(&["check", "--wait", "30s"]).map(drop)
}

/// Clients' pods get their sidecar from the webhook, and use the topic.
pub fn clients(on: &mut Stage) -> Result<()> {
    on.apply(manifests::ACCESS)?;
    for topic in ["kafkatopic/orders", "kafkatopic/copies"] {
        on.wait(SHOP, topic, "condition=Ready")?;
    }
    on.wait(KAFKA, "kafkacluster/demo", "condition=AccessApplied")?;
    let mut load = Load::start(on)?;
    let pod = on.get(SHOP, "pod/reader")?;
    let sidecar = &pod["spec"]["initContainers"][0];
    ensure!(sidecar["name"] == "tubeway-sidecar", "{pod:#}");
    load.check(on)?;
    on.load = Some(load);
    Ok(())
}

/// Who has no rights is told so, and writes nothing.
pub fn outsider(on: &mut Stage) -> Result<()> {
    let to = ["--bootstrap-server", BOOTSTRAP, "--topic", "orders"];
    let arguments = [&to[..], &["--max-messages", "1", "--acks", "-1"]].concat();
    let pod = manifests::client("outsider", "outsider", "VerifiableProducer", &arguments);
    on.apply(&pod)?;
    let ended = "jsonpath={.status.containerStatuses[0].state.terminated}";
    on.wait(SHOP, "pod/outsider", ended)?;
    let log = on.log(SHOP, "outsider", "app")?;
    contains(&log, &["TopicAuthorizationException"])?;
    ensure!(!log.contains("producer_send_success"), "{log}");
    on.kubectl(&["delete", "pod", "-n", SHOP, "outsider"])
        .map(drop)
}

/// All that the clients did from their start to their end.
pub fn reckoning(on: &mut Stage) -> Result<()> {
    let load = on.load.take().context("no client was started")?;
    let (sent, written, copied) = load.end(on)?;
    on.written = sent;
    println!("  written: {written}");
    println!("  copied in transactions: {copied}");
    checked(on)
}

/// A cluster is deleted, and made again where its claims are: it has every record.
pub fn comes_back(on: &mut Stage) -> Result<()> {
    delete_cluster(on)?;
    // Its volumes have grown since it was made first.
    on.apply(&manifests::cluster(NEW).replace("size: 1Gi", "size: 2Gi"))?;
    on.wait(KAFKA, "kafkacluster/demo", "condition=Ready")?;
    on.wait(SHOP, "kafkatopic/orders", "condition=Ready")?;
    on.wait(KAFKA, "kafkacluster/demo", "condition=AccessApplied")?;
    let sent = std::mem::take(&mut on.written);
    let report = audit(on, "returned", "orders", sent)?;
    println!("  read again: {report}");
    checked(on)
}

/// The operator, the kinds; what stays is the claims.
pub fn uninstall(on: &mut Stage) -> Result<()> {
    on.kubectl(&["delete", "namespace", SHOP])?;
    delete_cluster(on)?;
    on.tubeway(&["uninstall", "--kinds"])?;
    eventually("everything goes", || {
        let left = on.kubectl(&["get", WIDE, "-o", "name"])?;
        let left: Vec<_> = left
            .lines()
            .filter(|name| name.contains("tubeway"))
            .collect();
        let roots = ["get", "configmaps", "-A", "-o", "name"];
        let roots = on.kubectl(&roots)?;
        let roots: Vec<_> = roots
            .lines()
            .filter(|name| name.contains("tubeway"))
            .collect();
        ensure!(
            left.is_empty() && roots.is_empty(),
            "left are {left:?} {roots:?}"
        );
        Ok(())
    })?;
    let gone = on.get("default", &format!("namespace/{SYSTEM}"));
    ensure!(gone.is_err(), "the operator's namespace is there");
    Ok(())
}

/// Deletes the cluster, and waits until nothing is left of it but its claims.
fn delete_cluster(on: &Stage) -> Result<()> {
    on.kubectl(&["delete", "kafkacluster,kafkanodepool", "-n", KAFKA, "--all"])?;
    eventually("the cluster's objects go", || {
        let objects = "pods,services,serviceaccounts,configmaps";
        let left = on.kubectl(&["get", objects, "-n", KAFKA, "-o", "name"])?;
        let every = [
            "serviceaccount/default",
            "configmap/kube-root-ca.crt",
            "configmap/tubeway-ca-root",
        ];
        let left: Vec<_> = left.lines().filter(|name| !every.contains(name)).collect();
        ensure!(left.is_empty(), "left are {left:?}");
        Ok(())
    })?;
    let claims = on.kubectl(&["get", "pvc", "-n", KAFKA, "-o", "name"])?;
    ensure!(
        claims.lines().count() >= 3,
        "claims are gone, with their data: {claims}"
    );
    Ok(())
}
