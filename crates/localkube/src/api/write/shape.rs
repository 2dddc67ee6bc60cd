//! The shape of objects on their way in: identity, fields, and what a write may not touch.

use rand::seq::IndexedRandom;
use serde_json::{Map, Value, json};

use crate::api::status::{Reply, Status};
use crate::api::{Call, now};
use crate::pure::schema::FieldError;
use crate::resource::Resource;

/// Letters and digits of generated names: no vowels, so no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Checks that a body is what the path says it is.
pub(in crate::api) fn check_identity(call: &Call, value: &Value) -> Reply<()> {
    let resource = &call.resource;
    if !value.is_object() {
        return Err(Status::bad_request("the body is not an object"));
    }
    let (version, kind) = (
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    if version.is_empty() || kind.is_empty() {
        let missing = if kind.is_empty() {
            "Kind"
        } else {
            "apiVersion"
        };
        return Err(Status::bad_request(format!(
            "Object '{missing}' is missing in '{}'",
            shorten(value)
        )));
    }
    if version != resource.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            resource.api_version()
        )));
    }
    if *kind != *resource.kind && resource.crd.is_some() {
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        let error = FieldError {
            path: "kind".into(),
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {kind:?}: must be {}", resource.kind),
        };
        return Err(Status::invalid_of(&resource.group, kind, name, &[error]));
    }
    if *kind != *resource.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}",
            resource.version, resource.kind
        )));
    }
    if resource.crd.is_some() {
        check_metadata_types(resource, &value["metadata"])?;
    }
    let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
    if resource.namespaced && !namespace.is_empty() && namespace != call.target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

/// Types of a custom resource's metadata, which no schema of its own describes.
fn check_metadata_types(resource: &Resource, metadata: &Value) -> Reply<()> {
    let maps = ["labels", "annotations"];
    for (field, value) in maps.into_iter().flat_map(|field| {
        let entries = metadata[field].as_object().into_iter().flatten();
        entries.map(move |(_, value)| (field, value))
    }) {
        let found = match value {
            Value::String(_) | Value::Null => continue,
            Value::Number(_) => "number",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let kind = &resource.kind;
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {kind}: json: cannot unmarshal {found} into Go struct \
             field ObjectMeta.{field} of type string",
            resource.version
        )));
    }
    Ok(())
}

fn shorten(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

/// Removes unknown fields and returns warnings about them, or refuses them, as the client wishes.
pub(super) fn check_fields(call: &Call, value: &mut Value) -> Reply<Vec<String>> {
    let resource = &call.resource;
    let strict = call.query.get("fieldValidation") == Some("Strict");
    let before = strict.then(|| value.clone());
    let unknown = match resource.check {
        Some(check) => check(value).map_err(|why| {
            let kind = &resource.kind;
            Status::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: {why}",
                resource.version
            ))
        })?,
        None => resource.schema.prune(value),
    };
    drop_empty(resource, value);
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let warnings: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    match call.query.get("fieldValidation").unwrap_or("Warn") {
        "Strict" if call.patch => {
            let patched = before.unwrap_or_default().to_string();
            let why = format!("strict decoding error: {}", warnings.join(", "));
            let message = format!("Invalid value: {patched:?}: {why}");
            Err(Status::invalid_nameless(&FieldError {
                path: "patch".into(),
                reason: "FieldValueInvalid",
                message,
            }))
        }
        "Strict" => {
            let kind = &resource.kind;
            Err(Status::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: strict decoding error: {}",
                resource.version,
                warnings.join(", ")
            )))
        }
        "Ignore" => Ok(Vec::new()),
        _ => Ok(warnings),
    }
}

/// Removes lists and maps without anything in them where the real server's types leave them out.
fn drop_empty(resource: &Resource, value: &mut Value) {
    const METADATA: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];
    drop_those(&mut value["metadata"], METADATA);
    if resource.is_core("configmaps") || resource.is_core("secrets") {
        drop_those(value, &["data", "binaryData"]);
    }
    if resource.is_core("services") {
        drop_those(&mut value["spec"], &["ports", "selector"]);
    }
}

fn drop_those(value: &mut Value, names: &[&str]) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    fields.retain(|name, field| {
        let empty = field.as_object().is_some_and(Map::is_empty)
            || field.as_array().is_some_and(Vec::is_empty);
        !(empty && names.contains(&name.as_str()))
    });
}

/// Gives a new object its identity; true if its name was made up.
pub(super) fn name_and_stamp(call: &Call, value: &mut Value) -> bool {
    let resource = &call.resource;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    let generated = text(&value["metadata"]["name"]).is_empty()
        && !text(&value["metadata"]["generateName"]).is_empty();
    if generated {
        generate_name(value);
    }
    let metadata = &mut value["metadata"];
    if let Some(fields) = metadata.as_object_mut() {
        let gone = [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
            "selfLink",
            "generation",
        ];
        for field in gone {
            fields.remove(field);
        }
        fields.retain(|_, value| !value.is_null());
    }
    metadata["uid"] = uuid::Uuid::new_v4().to_string().into();
    metadata["creationTimestamp"] = now().into();
    if resource.namespaced {
        metadata["namespace"] = call.target.namespace.clone().into();
    } else if let Some(fields) = metadata.as_object_mut() {
        fields.remove("namespace");
    }
    if resource.generation {
        metadata["generation"] = 1.into();
    }
    generated
}

pub(super) fn generate_name(value: &mut Value) {
    let prefix = value["metadata"]["generateName"]
        .as_str()
        .unwrap_or_default();
    // Five characters of the 63 belong to the suffix.
    let prefix: String = prefix.chars().take(58).collect();
    value["metadata"]["name"] = format!("{prefix}{}", suffix()).into();
}

pub(super) fn suffix() -> String {
    let mut random = rand::rng();
    (0..5)
        .filter_map(|_| ALPHABET.choose(&mut random))
        .map(|&byte| char::from(byte))
        .collect()
}

/// Refuses a write whose conditions `old` does not meet.
pub(super) fn check_versions(call: &Call, old: &Value, new: &Value) -> Reply<()> {
    let resource = &call.resource;
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    let stated = |field: &str| {
        new["metadata"][field]
            .as_str()
            .filter(|text| !text.is_empty())
    };
    if let Some(version) = stated("resourceVersion") {
        if version.parse::<u64>().is_err() {
            let message = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
            return Err(Status::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                "",
                message,
            ));
        }
        if old["metadata"]["resourceVersion"] != *version {
            return Err(Status::modified(resource, name));
        }
    }
    if let Some(uid) = stated("uid").filter(|uid| old["metadata"]["uid"] != **uid) {
        if call.patch {
            let error = changed("metadata.uid", uid);
            return Err(Status::invalid(resource, name, &[error]));
        }
        let found = old["metadata"]["uid"].as_str().unwrap_or_default();
        let group = match resource.crd {
            Some(_) => format!("{}/", resource.group),
            None => String::new(),
        };
        let place = match &*call.target.namespace {
            "" => name.to_owned(),
            namespace => format!("{namespace}/{name}"),
        };
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{place}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {found}",
            resource.plural
        );
        return Err(Status::conflict(resource, name, &why));
    }
    Ok(())
}

/// Refuses a patch that makes another object of the object, or marks it for deletion.
pub(super) fn check_same(call: &Call, old: &Value, new: &Value) -> Reply<()> {
    if !call.patch {
        return Ok(());
    }
    let resource = &call.resource;
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let (name, namespace) = (
        text(&new["metadata"], "name"),
        text(&new["metadata"], "namespace"),
    );
    // What is left out stays.
    let differs = |found: &str, known: &str| !found.is_empty() && found != known;
    if differs(&name, &text(&old["metadata"], "name")) {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.target.name
        )));
    }
    if resource.namespaced && differs(&namespace, &text(&old["metadata"], "namespace")) {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    for (field, wanted) in [
        ("kind", resource.kind.to_string()),
        ("apiVersion", resource.api_version()),
    ] {
        let found = text(new, field);
        if differs(&found, &wanted) {
            let message = format!("Invalid value: {found:?}: must be {wanted}");
            let error = FieldError {
                path: field.into(),
                reason: "FieldValueInvalid",
                message,
            };
            if resource.crd.is_none() {
                return Err(Status::invalid_nameless(&FieldError {
                    path: "patch".into(),
                    ..error
                }));
            }
            return Err(Status::invalid_of(
                &resource.group,
                &text(new, "kind"),
                &name,
                &[error],
            ));
        }
    }
    let mark = &new["metadata"]["deletionTimestamp"];
    if let Some(mark) = mark.as_str().filter(|_| !crate::objects::ending(old)) {
        let error = changed("metadata.deletionTimestamp", mark);
        return Err(Status::invalid(resource, &name, &[error]));
    }
    Ok(())
}

fn changed(path: &str, value: &str) -> FieldError {
    FieldError {
        path: path.into(),
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {value:?}: field is immutable"),
    }
}

/// Puts back what only the server may change.
pub(super) fn keep_metadata(old: &Value, new: &mut Value) {
    const OWN: &[&str] = &[
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generateName",
    ];
    for field in ["apiVersion", "kind"] {
        new[field] = old[field].clone();
    }
    let Some(fields) = new["metadata"].as_object_mut() else {
        new["metadata"] = old["metadata"].clone();
        return;
    };
    for field in OWN {
        match old["metadata"].get(field) {
            Some(value) => fields.insert((*field).into(), value.clone()),
            None => fields.remove(*field),
        };
    }
    fields.retain(|_, value| !value.is_null());
}

/// Keeps a write to the part of the object that it is about.
pub(super) fn confine(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    if subresource == "status" {
        let mut kept = old.clone();
        take(&mut kept, "status", new);
        let managers = new["metadata"].get("managedFields").cloned();
        if let (Some(managers), Some(metadata)) = (managers, kept["metadata"].as_object_mut()) {
            metadata.insert("managedFields".into(), managers);
        }
        *new = kept;
        return;
    }
    if resource.status {
        take(new, "status", old);
    }
    if resource.is_core("namespaces") {
        take(new, "spec", old);
    }
}

/// Makes a field of `value` the same as that of `from`.
fn take(value: &mut Value, field: &str, from: &Value) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    match from.get(field) {
        Some(wanted) => fields.insert(field.into(), wanted.clone()),
        None => fields.remove(field),
    };
}

pub(super) fn content_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    let counts = |name: &str| name != "metadata" && !(resource.status && name == "status");
    let fields = |value: &'_ Value| -> Vec<(String, Value)> {
        let all = value.as_object().into_iter().flatten();
        all.filter(|(name, _)| counts(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    fields(old) != fields(new)
}

/// Whether a write changes nothing but the times of managers.
pub(super) fn unchanged(old: &Value, new: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        let managers = value["metadata"]
            .get_mut("managedFields")
            .and_then(Value::as_array_mut);
        for entry in managers.into_iter().flatten() {
            entry["time"] = Value::Null;
        }
        value
    };
    old == new || timeless(old) == timeless(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_write_changes_the_status_only() {
        let resource = crate::resource::BUILTIN
            .iter()
            .find(|r| r.is_core("pods"))
            .unwrap();
        let old =
            json!({"metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"phase": "Pending"}});
        let mut new = json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "spec": {"x": 2}, "status": {"phase": "Running"}});
        let mut main = new.clone();
        confine(resource, "status", &old, &mut new);
        assert_eq!(
            new,
            json!({"metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"phase": "Running"}})
        );
        confine(resource, "", &old, &mut main);
        assert_eq!(
            (&main["spec"]["x"], &main["status"]["phase"]),
            (&json!(2), &json!("Pending"))
        );
    }

    #[test]
    fn new_times_of_managers_are_no_change() {
        let object = |time: &str, value: i64| json!({"metadata": {"managedFields": [{"manager": "m", "time": time}]}, "x": value});
        assert!(unchanged(&object("1", 1), &object("2", 1)));
        assert!(!unchanged(&object("1", 1), &object("1", 2)));
    }
}
