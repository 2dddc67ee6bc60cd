//! Kinds of groups other than the core.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::core::{event, name, none_if_empty, plain};
use super::{Cells, Headings, age, items, text};

pub(super) fn printer(group: &str, plural: &str) -> (Headings, Cells) {
    match (group, plural) {
        ("apiextensions.k8s.io", "customresourcedefinitions")
        | ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            (&["Name", "Created At"], created)
        }
        ("rbac.authorization.k8s.io", _) => (
            &[
                "Name",
                "Role",
                "Age",
                "+Users",
                "+Groups",
                "+ServiceAccounts",
            ],
            binding,
        ),
        ("coordination.k8s.io", "leases") => (&["Name", "Holder", "Age"], lease),
        ("policy", "poddisruptionbudgets") => (
            &[
                "Name",
                "Min Available",
                "Max Unavailable",
                "Allowed Disruptions#",
                "Age",
            ],
            budget,
        ),
        ("discovery.k8s.io", "endpointslices") => {
            (&["Name", "AddressType", "Ports", "Endpoints", "Age"], slice)
        }
        ("storage.k8s.io", "storageclasses") => (
            &[
                "Name",
                "Provisioner",
                "ReclaimPolicy",
                "VolumeBindingMode",
                "AllowVolumeExpansion",
                "Age",
            ],
            storage_class,
        ),
        ("events.k8s.io", "events") => (super::core::printer("events").0, event_v1),
        _ => (&["Name", "Age"], plain),
    }
}

fn created(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/metadata/creationTimestamp").into(),
    ]
}

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str| {
        let names: Vec<String> = items(object, "/subjects")
            .filter(|subject| subject["kind"] == kind)
            .map(|subject| match text(subject, "/namespace") {
                "" => text(subject, "/name").to_owned(),
                namespace => format!("{namespace}/{}", text(subject, "/name")),
            })
            .collect();
        names.join(", ")
    };
    let role = format!(
        "{}/{}",
        text(object, "/roleRef/kind"),
        text(object, "/roleRef/name")
    );
    vec![
        name(object),
        role.into(),
        age(object, now),
        subjects("User").into(),
        subjects("Group").into(),
        subjects("ServiceAccount").into(),
    ]
}

fn lease(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        text(object, "/spec/holderIdentity").into(),
        age(object, now),
    ]
}

fn budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let limit = |field: &str| match &object["spec"][field] {
        Value::Null => "N/A".to_owned(),
        Value::String(percentage) => percentage.clone(),
        number => number.to_string(),
    };
    vec![
        name(object),
        limit("minAvailable").into(),
        limit("maxUnavailable").into(),
        object["status"]["disruptionsAllowed"]
            .as_i64()
            .unwrap_or(0)
            .into(),
        age(object, now),
    ]
}

fn slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let short = |all: Vec<String>| match all.len() {
        0..=3 => all.join(","),
        total => format!("{} + {} more...", all[..3].join(","), total - 3),
    };
    let ports: Vec<String> = items(object, "/ports")
        .map(|port| port["port"].to_string())
        .collect();
    let endpoints: Vec<String> = items(object, "/endpoints")
        .flat_map(|endpoint| items(endpoint, "/addresses"))
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    let ports = if ports.is_empty() {
        json!("<unset>")
    } else {
        short(ports).into()
    };
    let endpoints = if endpoints.is_empty() {
        json!("<unset>")
    } else {
        short(endpoints).into()
    };
    vec![
        name(object),
        text(object, "/addressType").into(),
        ports,
        endpoints,
        age(object, now),
    ]
}

fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let default = text(
        object,
        "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
    ) == "true";
    let shown = if default { " (default)" } else { "" };
    vec![
        format!("{}{shown}", text(object, "/metadata/name")).into(),
        text(object, "/provisioner").into(),
        none_if_empty(text(object, "/reclaimPolicy").to_owned()),
        none_if_empty(text(object, "/volumeBindingMode").to_owned()),
        (object["allowVolumeExpansion"] == true).into(),
        age(object, now),
    ]
}

/// An event of the new group: the same cells from fields of other names.
fn event_v1(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut core = object.clone();
    for (new, old) in [
        ("regarding", "involvedObject"),
        ("note", "message"),
        ("reportingController", "reportingComponent"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
    ] {
        if let Some(value) = object.get(new) {
            core[old] = value.clone();
        }
    }
    event(&core, now)
}
