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

fn rules() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rbac.yaml");
    let text = fs::read_to_string(path).unwrap();
    let documents = text.split("\n---\n").map(|document| {
        let document: Value = serde_saphyr::from_str(document).unwrap();
        document
    });
    documents
        .flat_map(|document| document["rules"].as_array().cloned().unwrap_or_default())
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    let list = value.as_array().cloned().unwrap_or_default();
    list.iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}
