//! The namespaces that the operator looks after, as rights and webhooks say them.

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tubeway_operator::watched::Watched;

use super::manifests::{OPERATOR, list};

/// The binding of what lives in no namespace. Every installation has it.
pub const GLOBAL: &str = "tubeway-operator-global";
/// The binding, in each namespace that is looked after, of what lives in
/// namespaces.
pub const WATCHED: &str = "tubeway-operator-watched";
/// Kubernetes' own label of every namespace: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What stands in the place of a document of `deploy/`: the same, unless only
/// some namespaces are looked after.
pub fn scoped(mut document: Value, watched: &Watched) -> Vec<Value> {
    if *watched == Watched::All {
        return vec![document];
    }
    let names: Vec<_> = watched.names().collect();
    if document["kind"] == "ClusterRoleBinding" && document["metadata"]["name"] == OPERATOR {
        let bindings = names.into_iter().map(|namespace| {
            let mut binding = document.clone();
            binding["kind"] = "RoleBinding".into();
            binding["metadata"] = json!({"name": WATCHED, "namespace": namespace});
            binding
        });
        return bindings.collect();
    }
    for webhook in list(&mut document, "/webhooks") {
        // None of deploy's has expressions already: a test compares with the chart.
        webhook["namespaceSelector"]["matchExpressions"] =
            json!([{"key": NAME_LABEL, "operator": "In", "values": names}]);
    }
    vec![document]
}

/// Whether every namespace that is to be looked after is there, or made by one of
/// the documents.
///
/// # Errors
/// If one is not: nothing could be bound in it.
pub async fn are_there(client: &Client, watched: &Watched, documents: &[Value]) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    for name in watched.names() {
        let makes = |d: &Value| is_namespace(d) && d["metadata"]["name"] == name;
        if documents.iter().any(makes) {
            continue;
        }
        let found = api.get_opt(name).await;
        let found = found.with_context(|| format!("cannot read namespace {name}"))?;
        if found.is_none() {
            bail!(
                "there is no namespace {name} for the operator to look after: \
                 `kubectl create namespace {name}` makes it, or name the others alone by \
                 --watch-namespaces"
            );
        }
    }
    Ok(())
}

/// Whether a document makes a namespace.
pub fn is_namespace(document: &Value) -> bool {
    document["kind"] == "Namespace"
}

/// Whether the operator may look after other namespaces from now on, where these
/// Kafka clusters (`<namespace>/<name>`) are.
///
/// # Errors
/// If it would leave one of them.
pub fn leaves_none(clusters: &[String], from: &Watched, to: &Watched) -> Result<()> {
    let namespace =
        |cluster: &String| -> String { cluster.split('/').next().unwrap_or_default().to_owned() };
    let left: Vec<_> = clusters
        .iter()
        .filter(|cluster| from.contains(&namespace(cluster)) && !to.contains(&namespace(cluster)))
        .collect();
    let Some(first) = left.first() else {
        return Ok(());
    };
    bail!(
        "{} Kafka clusters ({first} among them) are in namespaces that the operator would look \
         after no more, and their certificates would end: name {} in --watch-namespaces too, or \
         delete them first",
        left.len(),
        namespace(first)
    )
}

/// Bindings of earlier choices that these have no use for, as documents.
pub async fn left_over(client: &Client, watched: &Watched) -> Result<Vec<Value>> {
    let mut left = Vec::new();
    let bindings: Api<RoleBinding> = Api::all(client.clone());
    let ours = ListParams::default().fields(&format!("metadata.name={WATCHED}"));
    let found = bindings.list(&ours).await;
    let found = found.context("cannot list the operator's rights")?;
    let namespaces = found.iter().filter_map(kube::ResourceExt::namespace);
    let names: Vec<_> = watched.names().collect();
    for namespace in namespaces.filter(|namespace| !names.contains(&namespace.as_str())) {
        left.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": WATCHED, "namespace": namespace},
        }));
    }
    if *watched != Watched::All {
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        let found = bindings.get_opt(OPERATOR).await;
        let found = found.context("cannot read the operator's rights")?;
        left.extend(found.map(|_| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
                "metadata": {"name": OPERATOR},
            })
        }));
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_was_looked_after_is_not_left() {
        let clusters = ["kafka/demo".to_owned(), "other/main".to_owned()];
        for (from, to, left) in [
            ("", "", None),
            ("kafka", "", None),
            ("kafka", "kafka,shop", None),
            ("kafka", "other", Some("kafka/demo")),
            ("shop", "a", None),
            ("", "kafka", Some("other/main")),
            ("", "kafka,other", None),
        ] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let said = leaves_none(&clusters, &from, &to)
                .err()
                .map(|e| e.to_string());
            match left {
                None => assert_eq!(said, None, "{from} to {to}"),
                Some(cluster) => assert!(said.unwrap().contains(cluster), "{from} to {to}"),
            }
        }
    }
}
