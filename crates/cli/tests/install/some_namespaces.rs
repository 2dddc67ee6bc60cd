//! An operator that looks after some namespaces, with its rights in these alone.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::support::kubernetes::Kubernetes;
use crate::support::manifests::{KAFKA, SHOP, cluster};
use crate::support::{contains, eventually};
use crate::{Operator, WITHIN};

const WATCH: &str = "--watch-namespaces";
const NOW: &str = "--wait=0s";

/// Nobody looks after it.
const OTHER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {kafka.tubeway.dev/inject: enabled}}
";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_some_namespaces_needs_no_rights_in_others() -> Result<()> {
    let on = Kubernetes::start().await?;
    tokio::task::block_in_place(|| {
        installs(&on)?;
        let operator = Operator::start(&on, &["--watch-namespaces=kafka,shop"])?;
        let told = |error: anyhow::Error| error.context(format!("it said:\n{}", operator.said()));
        looks_after_them_alone(&on, &operator).map_err(told)?;
        drop(operator);
        starts_without_one_of_them(&on)?;
        changes_and_goes(&on)
    })
}

fn installs(on: &Kubernetes) -> Result<()> {
    // The demonstration makes those it needs.
    let said = on.fails(&["install", "--dry-run", WATCH, "kafka,shop"])?;
    contains(&said, &["no namespace kafka"])?;
    let said = on.tubeway(&["install", "--dry-run", "--all", WATCH, "kafka,shop"])?;
    contains(
        &said,
        &["created    RoleBinding kafka/tubeway-operator-watched"],
    )?;
    on.apply(KAFKA)?;
    on.apply(SHOP)?;
    on.apply(OTHER)?;
    let said = on.fails(&["install", NOW, WATCH, "kafka,nowhere"])?;
    contains(&said, &["no namespace nowhere", "kubectl create namespace"])?;
    on.tubeway(&["install", NOW])?;
    // Of what was there before only the rights in the whole cluster go.
    let said = on.tubeway(&["install", NOW, WATCH, "shop,kafka"])?;
    let went: Vec<_> = said
        .lines()
        .filter(|line| line.contains("deleted"))
        .collect();
    ensure!(
        went == ["  deleted    ClusterRoleBinding tubeway-operator"],
        "{went:?}"
    );
    bound(on, &["kafka", "shop"])
}

/// Everything that it makes of a cluster it makes where it is to look, nothing
/// elsewhere, and it is refused nothing.
fn looks_after_them_alone(on: &Kubernetes, operator: &Operator) -> Result<()> {
    let demo = cluster("", "");
    on.apply(&demo.replace("namespace: kafka", "namespace: other"))?;
    on.apply(&demo)?;
    on.apply(&topic("shop"))?;
    eventually(WITHIN, "the pods", || {
        let pods = on.kubectl(&["get", "pods", "-n", "kafka", "-o", "name"])?;
        ensure!(pods.lines().count() == 3, "there are: {pods}");
        Ok(())
    })?;
    for namespace in ["kafka", "shop"] {
        eventually(WITHIN, "the trust bundle", || {
            on.get(namespace, "configmap/tubeway-ca-root").map(drop)
        })?;
    }
    looked_at(on, "shop", "kafkatopic/orders")?;
    // Its namespace asks for one, and got it were it looked after.
    let made = [
        "get",
        "pods,configmaps,services,pvc",
        "-n",
        "other",
        "-o",
        "name",
    ];
    let made = on.kubectl(&made)?;
    ensure!(
        made.trim() == "configmap/kube-root-ca.crt",
        "in other: {made}"
    );
    let object = on.get("other", "kafkacluster/demo")?;
    ensure!(object["status"].is_null(), "{object}");

    let said = on.fails(&["check"])?;
    contains(
        &said,
        &[
            "√ it has its rights in kafka,shop",
            "KafkaCluster other/demo",
            "--watch-namespaces kafka,other,shop",
        ],
    )?;
    // A cluster that goes is noticed, too.
    on.kubectl(&["delete", "kafkacluster", "-n", "kafka", "demo"])?;
    eventually(WITHIN, "the pods' end", || {
        let pods = on.kubectl(&["get", "pods", "-n", "kafka", "-o", "name"])?;
        ensure!(pods.is_empty(), "there are: {pods}");
        Ok(())
    })?;
    // A watch may expire where kinds are as young as here, and is begun anew.
    let said = operator.said().to_lowercase();
    ensure!(!said.contains("forbidden"), "it was refused something");
    let errors = operator.counted("reconcile_errors").unwrap_or_default();
    ensure!(errors == 0, "{errors} looks ended in errors");
    Ok(())
}

/// Topics are looked at when every kind has been listed in every namespace.
fn starts_without_one_of_them(on: &Kubernetes) -> Result<()> {
    on.kubectl(&["delete", "namespace", "shop"])?;
    let operator = Operator::start(on, &["--watch-namespaces=kafka,shop"])?;
    on.apply(&topic("kafka"))?;
    looked_at(on, "kafka", "kafkatopic/orders")
        .with_context(|| format!("it said:\n{}", operator.said()))?;
    let said = on.fails(&["check"])?;
    contains(&said, &["namespaces without them: shop"])?;
    let said = on.fails(&["upgrade", NOW])?;
    contains(&said, &["no namespace shop"])
}

fn changes_and_goes(on: &Kubernetes) -> Result<()> {
    on.tubeway(&["upgrade", NOW, WATCH, "kafka,other"])?;
    bound(on, &["kafka", "other"])?;
    let said = on.fails(&["upgrade", NOW, WATCH, "kafka"])?;
    contains(&said, &["1 Kafka clusters (other/demo among them)"])?;
    let said = on.fails(&["install", NOW, WATCH, "kafka"])?;
    contains(&said, &["other/demo among them"])?;
    // What is not given stays.
    on.tubeway(&["upgrade", NOW, "--cert-ttl", "1h"])?;
    bound(on, &["kafka", "other"])?;

    let said = on.tubeway(&["upgrade", NOW, "--dry-run", WATCH, ""])?;
    contains(
        &said,
        &["would go   RoleBinding other/tubeway-operator-watched"],
    )?;
    bound(on, &["kafka", "other"])?;
    on.tubeway(&["upgrade", NOW, WATCH, ""])?;
    bound(on, &[])?;
    on.get("", "clusterrolebinding/tubeway-operator")?;

    on.kubectl(&["delete", "kafkacluster", "-n", "other", "demo"])?;
    on.tubeway(&["upgrade", NOW, WATCH, "other"])?;
    on.tubeway(&["uninstall"])?;
    bound(on, &[])?;
    contains(&on.fails(&["uninstall"])?, &["nothing is installed"])
}

/// Whether the operator has rights in these namespaces and no others, by
/// bindings in each.
fn bound(on: &Kubernetes, wanted: &[&str]) -> Result<()> {
    let named = "metadata.name=tubeway-operator-watched";
    let found = [
        "get",
        "rolebindings",
        "-A",
        "--field-selector",
        named,
        "-o",
        "json",
    ];
    let found: Value = serde_json::from_str(&on.kubectl(&found)?)?;
    let items = found["items"].as_array().context("no list")?;
    let mut found: Vec<_> = items
        .iter()
        .filter_map(|item| item["metadata"]["namespace"].as_str())
        .collect();
    found.sort_unstable();
    ensure!(found == wanted, "bound in {found:?}");
    if !wanted.is_empty() {
        let wide = on.get("", "clusterrolebinding/tubeway-operator");
        ensure!(wide.is_err(), "it has its rights in the whole cluster, too");
    }
    Ok(())
}

/// Waits until the operator has said something of an object.
fn looked_at(on: &Kubernetes, namespace: &str, what: &str) -> Result<()> {
    eventually(WITHIN, "a status", || {
        let object = on.get(namespace, what)?;
        ensure!(object["status"]["conditions"].is_array(), "{object}");
        Ok(())
    })
}

fn topic(namespace: &str) -> String {
    format!(
        "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {{name: orders, namespace: {namespace}}}
spec: {{cluster: {{name: demo, namespace: kafka}}}}
"
    )
}
