//! A release on a real Kubernetes API; nothing runs pods there.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use serde_json::json;

use crate::support::helm::{CHART, Helm};
use crate::support::kubernetes::Kubernetes;
use crate::support::manifests::{KAFKA, cluster};
use crate::support::{contains, run};

/// Where releases are, and Helm's and kubectl's option for it.
const SYSTEM: &str = "tubeway-system";
const IN: &str = "-n";

#[tokio::test(flavor = "multi_thread")]
async fn a_release_comes_changes_and_goes() -> Result<()> {
    let on = Kubernetes::start().await?;
    tokio::task::block_in_place(|| {
        let helm = Helm::new()?;
        comes(&on, &helm)?;
        changes(&on, &helm)?;
        goes_and_comes_back(&on, &helm)
    })
}

/// From an older chart, whose kinds lack something.
fn comes(on: &Kubernetes, helm: &Helm) -> Result<()> {
    let older = on.folder().join("older");
    let older = older.to_str().context("no UTF-8")?;
    run(Command::new("cp").args(["-r", CHART, older]))?;
    let kind = Path::new(older).join("templates/crds/kafkaclusters.yaml");
    let text = std::fs::read_to_string(&kind)?;
    let without = text.replace("    shortNames:\n", "    shortNames:\n    - old\n");
    ensure!(text != without, "the kind has no short names: {text}");
    std::fs::write(&kind, without)?;

    let install = [
        "install",
        "tubeway",
        older,
        IN,
        SYSTEM,
        "--create-namespace",
    ];
    let said = helm.run(&install, &on.kubeconfig())?;
    contains(&said, &["STATUS: deployed", "tubeway check"])?;
    let said = on.fails(&["check"])?;
    contains(
        &said,
        &["√ the kind KafkaCluster is defined", "tubeway-ca is empty"],
    )?;
    ensure!(short_names(on)?.contains("old"), "{}", short_names(on)?);

    // As the operator does at its start, with the rights that it has.
    let secret = ["patch", "secret", "tubeway-ca", IN, SYSTEM, "-p"];
    on.kubectl(&[&secret[..], &[r#"{"data": {"ca.key": "a2V5"}}"#]].concat())?;
    let hook = ["patch", "mutatingwebhookconfiguration", "tubeway-inject"];
    let at = "/webhooks/0/clientConfig/caBundle";
    let roots = json!([{"op": "add", "path": at, "value": roots(on)?}]).to_string();
    on.kubectl(&[&hook[..], &["--type=json", "-p", &roots]].concat())?;
    on.apply(KAFKA)?;
    on.apply(&cluster("", ""))
}

/// What the operator wrote stays, the kinds follow, and nobody gets around Helm.
fn changes(on: &Kubernetes, helm: &Helm) -> Result<()> {
    let upgrade = ["upgrade", "tubeway", CHART, IN, SYSTEM, "--set"];
    let tag = [&upgrade[..], &["image.tag=9.9.9"]].concat();
    contains(&helm.run(&tag, &on.kubeconfig())?, &["REVISION: 2"])?;
    contains(&on.fails(&["check"])?, &["it is 9.9.9, this command is"])?;
    ensure!(!short_names(on)?.contains("old"), "{}", short_names(on)?);
    kept(on)?;

    let domain = [&upgrade[..], &["trustDomain=other.example"]].concat();
    let said = helm.fails(&domain, &on.kubeconfig())?;
    contains(
        &said,
        &["1 Kafka clusters (kafka/demo among them)", "other.example"],
    )?;

    looks_after_some(on, helm, &upgrade)?;
    for (command, way) in [
        (["install", "--wait=0s"], "helm upgrade tubeway -n"),
        (["upgrade", "--wait=0s"], "helm upgrade tubeway -n"),
        (
            ["uninstall", "--leave-clusters"],
            "helm uninstall tubeway -n",
        ),
    ] {
        let said = on.fails(&command)?;
        contains(&said, &["belongs to the Helm release tubeway", way])?;
    }
    let second = [
        "install",
        "second",
        CHART,
        IN,
        "elsewhere",
        "--create-namespace",
    ];
    let said = helm.fails(&second, &on.kubeconfig())?;
    contains(&said, &["invalid ownership metadata"])
}

/// The rights follow the namespaces, none of which may lose its clusters.
fn looks_after_some(on: &Kubernetes, helm: &Helm, upgrade: &[&str]) -> Result<()> {
    let without = [upgrade, &["watchNamespaces={shop}"]].concat();
    let said = helm.fails(&without, &on.kubeconfig())?;
    contains(&said, &["cluster kafka/demo no more", "name kafka in"])?;
    let with = [upgrade, &["watchNamespaces={kafka}"]].concat();
    helm.run(&with, &on.kubeconfig())?;
    on.get("kafka", "rolebinding/tubeway-operator-watched")?;
    let wide = on.get(SYSTEM, "clusterrolebinding/tubeway-operator");
    ensure!(wide.is_err(), "it is bound in the whole cluster, too");
    on.get(SYSTEM, "clusterrolebinding/tubeway-operator-global")?;
    helm.fails(&without, &on.kubeconfig()).map(drop)
}

/// Clusters outlive the release, and so does the key of their certificates.
fn goes_and_comes_back(on: &Kubernetes, helm: &Helm) -> Result<()> {
    let said = helm.run(&["uninstall", "tubeway", IN, SYSTEM], &on.kubeconfig())?;
    contains(
        &said,
        &["kept due to the resource policy", "[Secret] tubeway-ca"],
    )?;
    let left = [
        "get",
        "deployments,services,leases,serviceaccounts",
        IN,
        SYSTEM,
    ];
    let left = on.kubectl(&[&left[..], &["-o", "name"]].concat())?;
    ensure!(!left.contains("tubeway"), "left: {left}");
    on.get("kafka", "kafkacluster/demo")?;
    contains(&on.fails(&["uninstall"])?, &["nothing is installed"])?;

    helm.run(&["install", "tubeway", CHART, IN, SYSTEM], &on.kubeconfig())?;
    let secret = on.get(SYSTEM, "secret/tubeway-ca")?;
    ensure!(secret["data"]["ca.key"] == "a2V5", "{secret}");
    on.get("kafka", "kafkacluster/demo").map(drop)
}

/// Whether what the operator has written is there.
fn kept(on: &Kubernetes) -> Result<()> {
    let secret = on.get(SYSTEM, "secret/tubeway-ca")?;
    ensure!(secret["data"]["ca.key"] == "a2V5", "{secret}");
    let hook = on.get(SYSTEM, "mutatingwebhookconfiguration/tubeway-inject")?;
    let roots = &hook["webhooks"][0]["clientConfig"]["caBundle"];
    ensure!(*roots == self::roots(on)?, "{roots}");
    Ok(())
}

/// Some certificate, as webhooks have it.
fn roots(on: &Kubernetes) -> Result<String> {
    let certificate = std::fs::read(on.folder().join("ca.crt"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(certificate))
}

fn short_names(on: &Kubernetes) -> Result<String> {
    let kind = on.get(SYSTEM, "crd/kafkaclusters.kafka.tubeway.dev")?;
    Ok(kind["spec"]["names"]["shortNames"].to_string())
}
