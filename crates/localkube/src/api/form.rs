//! Forms of an object: the one that is stored and those that are shown.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::resource::Resource;
use crate::store::Stored;

/// Fields of an event that have another name in `events.k8s.io`, with the core name first.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// The object as `resource` shows it.
pub(super) fn shown<'a>(resource: &Resource, stored: &'a Value) -> Cow<'a, Value> {
    if resource.group == "events.k8s.io" {
        return Cow::Owned(event(
            stored,
            |&(core, new)| (core, new),
            "events.k8s.io/v1",
        ));
    }
    if stored["apiVersion"] == *resource.api_version() {
        return Cow::Borrowed(stored);
    }
    // Versions of a custom resource differ in their names only: conversion strategy None.
    let mut value = stored.clone();
    value["apiVersion"] = resource.api_version().into();
    Cow::Owned(value)
}

/// The object as `resource` shows it, as JSON text.
pub(super) fn shown_json(resource: &Resource, stored: &Stored) -> Bytes {
    match shown(resource, &stored.value) {
        Cow::Borrowed(_) => stored.json.clone(),
        Cow::Owned(value) => Bytes::from(value.to_string()),
    }
}

/// The object as it is stored.
pub(super) fn kept(resource: &Resource, value: Value) -> Value {
    if resource.group == "events.k8s.io" {
        event(&value, |&(core, new)| (new, core), "v1")
    } else {
        value
    }
}

fn event(
    value: &Value,
    names: fn(&(&'static str, &'static str)) -> (&'static str, &'static str),
    version: &str,
) -> Value {
    let mut fields: Map<String, Value> = value.as_object().cloned().unwrap_or_default();
    for pair in RENAMED {
        let (from, to) = names(pair);
        if let Some(value) = fields.remove(from) {
            fields.insert(to.into(), value);
        }
    }
    fields.insert("apiVersion".into(), json!(version));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::BUILTIN;

    #[test]
    fn an_event_is_the_same_in_both_groups() {
        let resource = BUILTIN.iter().find(|r| r.group == "events.k8s.io").unwrap();
        let core = json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"},
            "involvedObject": {"name": "p"}, "message": "m", "reason": "r", "count": 2,
        });
        let new = shown(resource, &core).into_owned();
        assert_eq!(
            (
                &new["regarding"]["name"],
                &new["note"],
                &new["deprecatedCount"]
            ),
            (&json!("p"), &json!("m"), &json!(2))
        );
        assert_eq!(new["apiVersion"], "events.k8s.io/v1");
        assert_eq!(kept(resource, new), core);
    }
}
