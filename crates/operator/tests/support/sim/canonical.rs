//! Objects without what differs from run to run: times, versions, chance.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tubeway_api::labels;

use super::api::{KINDS, Namespace};

/// Everything in a namespace, by kind and name.
pub(crate) async fn everything(api: &Namespace) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for kind in KINDS {
        for object in api.list(kind).await {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            all.insert(format!("{kind}/{name}"), object);
        }
    }
    all.remove("configmaps/kube-root-ca.crt");
    all.remove("serviceaccounts/default");
    let chance = chances(&all, &api.name);
    all.into_iter()
        .map(|(key, mut object)| {
            if key.starts_with("persistentvolumeclaims/") {
                let spec = object["spec"].as_object_mut();
                spec.map(|spec| spec.remove("volumeName"));
            }
            (key, canonical(object, &chance))
        })
        .collect()
}

/// Texts that chance has made, and what they are called here.
fn chances(all: &BTreeMap<String, Value>, namespace: &str) -> Vec<(String, String)> {
    let mut chances = vec![(namespace.to_owned(), "NAMESPACE".to_owned())];
    for (key, map) in all {
        // Claims outlive the ConfigMap that says so, too.
        if let Some(id) = map["metadata"]["annotations"][labels::CLUSTER_ID].as_str() {
            chances.push((id.to_owned(), "CLUSTER-ID".to_owned()));
        }
        let Some(text) = map["data"]["quorum.json"].as_str() else {
            continue;
        };
        let Ok(quorum) = serde_json::from_str::<Value>(text) else {
            continue;
        };
        let name = |what: &str| what.to_owned();
        if key.ends_with("-quorum")
            && let Some(id) = quorum["clusterId"].as_str()
        {
            chances.push((id.to_owned(), name("CLUSTER-ID")));
        }
        for controller in quorum["initialControllers"]
            .as_array()
            .into_iter()
            .flatten()
        {
            if let Some(id) = controller["directoryId"].as_str() {
                chances.push((id.to_owned(), format!("DIRECTORY-{}", controller["id"])));
            }
        }
    }
    chances.sort();
    chances.dedup();
    chances
}

fn canonical(mut object: Value, chances: &[(String, String)]) -> Value {
    let metadata = &mut object["metadata"];
    for field in [
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "generation",
    ] {
        metadata.as_object_mut().map(|m| m.remove(field));
    }
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        // Digests of what has names of chance in it.
        annotations.retain(|name, _| {
            !matches!(
                name.as_str(),
                "kafka.tubeway.dev/spec-hash" | "kafka.tubeway.dev/applied"
            )
        });
    }
    if metadata["annotations"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        metadata.as_object_mut().map(|m| m.remove("annotations"));
    }
    for owner in metadata["ownerReferences"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        owner["uid"] = json!("UID");
    }
    for field in ["clusterIP", "clusterIPs"] {
        if object["spec"][field].is_string() && object["spec"][field] != "None" {
            object["spec"][field] = json!("ADDRESS");
        }
    }
    if object["spec"]["clusterIP"] == "ADDRESS" {
        object["spec"]["clusterIPs"] = json!("ADDRESS");
    }
    // Options that were taken back leave an empty map.
    if object["spec"]["config"]
        .as_object()
        .is_some_and(serde_json::Map::is_empty)
    {
        object["spec"]
            .as_object_mut()
            .map(|spec| spec.remove("config"));
    }
    // Who leads the quorum is up to the controllers.
    if let Some(quorum) = object["status"]["quorum"].as_object_mut() {
        quorum.remove("leader");
    }
    timeless(&mut object["status"]);
    let mut text = object.to_string();
    for (chance, name) in chances {
        text = text.replace(chance, name);
    }
    serde_json::from_str(&text).unwrap()
}

fn timeless(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| {
                !matches!(
                    name.as_str(),
                    "lastTransitionTime" | "startTime" | "observedGeneration" | "epoch"
                )
            });
            fields.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// What differs, in a few lines.
pub(crate) fn difference(
    expected: &BTreeMap<String, Value>,
    found: &BTreeMap<String, Value>,
) -> Vec<String> {
    let keys: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let mut lines = Vec::new();
    for key in keys {
        match (expected.get(key), found.get(key)) {
            (Some(_), None) => lines.push(format!("{key} is missing")),
            (None, Some(_)) => lines.push(format!("{key} should not be there")),
            (Some(expected), Some(found)) => fields(key, expected, found, &mut lines),
            (None, None) => {}
        }
    }
    lines
}

fn fields(at: &str, expected: &Value, found: &Value, lines: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let (a, b) = (&expected[key.as_str()], &found[key.as_str()]);
                fields(&format!("{at}.{key}"), a, b, lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                fields(&format!("{at}[{i}]"), a, b, lines);
            }
        }
        (a, b) if a != b => {
            let short = |value: &Value| value.to_string().chars().take(200).collect::<String>();
            lines.push(format!("{at}: {} became {}", short(a), short(b)));
        }
        _ => {}
    }
}
