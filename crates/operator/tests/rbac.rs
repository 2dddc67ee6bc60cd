//! `deploy/rbac.yaml` against the rules it must keep.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

#[test]
fn no_rule_has_a_wildcard_and_none_reaches_secrets_without_names() {
    let rules = rules();
    assert!(rules.len() > 5, "the file is read");
    for rule in &rules {
        for part in ["apiGroups", "resources", "verbs"] {
            let values = texts(&rule[part]);
            assert!(!values.is_empty(), "{part} is empty in {rule}");
            assert!(!values.contains(&"*".to_owned()), "wildcard in {rule}");
        }
        if texts(&rule["resources"])
            .iter()
            .any(|r| r.starts_with("secrets"))
        {
            assert!(
                !texts(&rule["resourceNames"]).is_empty(),
                "unnamed secrets in {rule}"
            );
        }
    }
}

#[test]
fn nothing_lets_the_operator_give_itself_more_or_write_what_is_the_user_s() {
    for rule in rules() {
        let verbs = texts(&rule["verbs"]);
        let writes = verbs
            .iter()
            .any(|verb| !["get", "list", "watch"].contains(&verb.as_str()));
        for verb in ["bind", "escalate", "impersonate"] {
            assert!(!verbs.contains(&verb.to_owned()), "{verb} in {rule}");
        }
        for resource in texts(&rule["resources"]) {
            let theirs = [
                "kafkaclusters",
                "kafkanodepools",
                "kafkaacls",
                "kafkaquotas",
                "roles",
                "rolebindings",
                "clusterroles",
                "clusterrolebindings",
                "nodes",
            ];
            assert!(
                !(writes && theirs.contains(&resource.as_str())),
                "{resource} is written by {rule}"
            );
        }
    }
}

#[test]
fn every_kind_is_watched_and_its_status_written() {
    let allowed = |resource: &str| -> BTreeSet<String> {
        let rules = rules().into_iter().filter(|rule| {
            let groups = texts(&rule["apiGroups"]);
            groups == [tubeway_api::GROUP]
                && texts(&rule["resources"]).contains(&resource.to_owned())
        });
        rules.flat_map(|rule| texts(&rule["verbs"])).collect()
    };
    for crd in tubeway_api::crds() {
        let kind = crd.spec.names.plural;
        let mut verbs = allowed(&kind);
        // The finalizer of a topic that is to be deleted with its object.
        assert_eq!(verbs.remove("patch"), kind == "kafkatopics", "{kind}");
        assert_eq!(verbs, ["get", "list", "watch"].map(str::to_owned).into());
        let status = allowed(&format!("{kind}/status"));
        assert_eq!(status, ["get", "patch"].map(str::to_owned).into(), "{kind}");
    }
}

/// Where only some namespaces are looked after, the role of kinds that live in
/// namespaces is bound in those alone.
#[test]
fn what_lives_in_no_namespace_is_the_global_role_s_and_nothing_else() {
    let global: BTreeSet<_> = [
        "namespaces",
        "nodes",
        "tokenreviews",
        "clusterroles",
        "clusterrolebindings",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    ]
    .map(str::to_owned)
    .into();
    let resources = |role: &str| -> BTreeSet<String> {
        let documents = documents().into_iter();
        let roles =
            documents.filter(|d| d["kind"] == "ClusterRole" && d["metadata"]["name"] == role);
        roles
            .flat_map(|role| rules_of(&role))
            .flat_map(|rule| texts(&rule["resources"]))
            .collect()
    };
    assert_eq!(resources("tubeway-operator-global"), global);
    let namespaced = resources("tubeway-operator");
    assert!(namespaced.len() > 10, "{namespaced:?}");
    assert!(namespaced.is_disjoint(&global), "{namespaced:?}");
    let cluster_roles = documents()
        .into_iter()
        .filter(|d| d["kind"] == "ClusterRole");
    assert_eq!(cluster_roles.count(), 2);
}

#[test]
fn each_cluster_role_is_bound_by_its_name_to_the_operator() {
    let bindings = documents()
        .into_iter()
        .filter(|d| d["kind"] == "ClusterRoleBinding");
    let bindings: Vec<_> = bindings.collect();
    assert_eq!(bindings.len(), 2);
    for binding in bindings {
        assert_eq!(binding["roleRef"]["kind"], "ClusterRole");
        assert_eq!(binding["roleRef"]["name"], binding["metadata"]["name"]);
        let subjects = binding["subjects"].as_array().unwrap();
        assert_eq!(subjects.len(), 1, "{binding}");
        assert_eq!(subjects[0]["kind"], "ServiceAccount");
        assert_eq!(subjects[0]["name"], "tubeway-operator");
    }
}

fn documents() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rbac.yaml");
    let text = fs::read_to_string(path).unwrap();
    let documents = text.split("\n---\n");
    documents
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

fn rules() -> Vec<Value> {
    documents().iter().flat_map(rules_of).collect()
}

fn rules_of(document: &Value) -> Vec<Value> {
    document["rules"].as_array().cloned().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}
