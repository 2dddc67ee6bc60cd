//! What the server fills in and refuses, kind by kind.

mod checks;
mod meta;
mod pod;
mod service;

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::pure::schema::FieldError;
use crate::resource::Resource;

pub(crate) use meta::{check_metadata, check_update as check_metadata_update};
pub(crate) use service::{
    Allocation, addresses as service_addresses, allocate as allocate_address,
};

/// Fills in what a client may leave out. Runs before validation, on creates and updates alike.
pub(crate) fn default(resource: &Resource, value: &mut Value) {
    if resource.crd.is_some() {
        resource.schema.default(value);
        return;
    }
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => pod::default(value),
        ("", "services") => service::default(value),
        ("", "secrets") => secret(value),
        ("", "namespaces") => {
            let name = value["metadata"]["name"].clone();
            value["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
        }
        ("", "persistentvolumeclaims") => {
            fill(&mut value["spec"], &json!({"volumeMode": "Filesystem"}));
        }
        ("", "persistentvolumes") => {
            let defaults =
                json!({"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"});
            fill(&mut value["spec"], &defaults);
        }
        ("storage.k8s.io", "storageclasses") => {
            fill(
                value,
                &json!({"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
            );
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => binding(value),
        _ => {}
    }
}

/// What a new object starts with, whatever its maker said: the state that is not theirs.
pub(crate) fn start(resource: &Resource, value: &mut Value) {
    if resource.status
        && !resource.is("apiextensions.k8s.io", "customresourcedefinitions")
        && let Some(fields) = value.as_object_mut()
    {
        fields.remove("status");
    }
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => {
            value["status"] = json!({"phase": "Pending", "qosClass": pod::quality(&value["spec"])});
        }
        ("", "namespaces") => {
            value["spec"]["finalizers"] = json!(["kubernetes"]);
            value["status"] = json!({"phase": "Active"});
        }
        ("", "persistentvolumeclaims") => {
            value["status"] = json!({"phase": "Pending"});
            crate::objects::add_finalizer(value, "kubernetes.io/pvc-protection");
        }
        ("", "persistentvolumes") => value["status"] = json!({"phase": "Pending"}),
        ("policy", "poddisruptionbudgets") => {
            value["status"] = json!({
                "currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0,
            });
        }
        ("", "services") => value["status"] = json!({"loadBalancer": {}}),
        _ => {}
    }
}

/// What is wrong with an object, `old` being what it replaces.
pub(crate) fn validate(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    if let Some(crd) = &resource.crd {
        let mut errors = resource.schema.validate_update(new, old);
        if !errors.iter().any(blocks_rules) {
            errors.extend(resource.schema.validate_cel(new, old));
        } else if has_rules(&crd.schema) {
            errors.push(UNCHECKED.clone());
        }
        return errors;
    }
    let mut errors = Vec::new();
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => pod::validate(new, old, &mut errors),
        ("", "services") => service::validate(new, old, &mut errors),
        ("", "configmaps" | "secrets") => {
            sealed(new, old, &mut errors);
            checks::data(new, &mut errors);
        }
        ("coordination.k8s.io", "leases") => checks::lease(new, &mut errors),
        ("events.k8s.io", "events") => checks::event(new, old, &mut errors),
        ("policy", "poddisruptionbudgets") => checks::budget(new, &mut errors),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => checks::role(new, &mut errors),
        ("", "persistentvolumeclaims") => claim(new, old, &mut errors),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => {
            reference(new, old, &mut errors);
            checks::subjects(new, &mut errors);
        }
        _ => {}
    }
    errors
}

/// Says that rules were left out.
static UNCHECKED: LazyLock<FieldError> = LazyLock::new(|| {
    FieldError {
    path: "<nil>".into(),
    reason: "FieldValueInvalid",
    message: "Invalid value: null: some validation rules were not checked because the object was invalid; correct the \
              existing errors to complete validation"
        .into(),
}
});

/// Whether an error leaves rules without the fields and types that they may rely on.
fn blocks_rules(error: &FieldError) -> bool {
    matches!(
        error.reason,
        "FieldValueNotSupported"
            | "FieldValueRequired"
            | "FieldValueTooLong"
            | "FieldValueTooMany"
            | "FieldValueTypeInvalid"
    )
}

/// Whether a schema has rules anywhere.
fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.contains_key("x-kubernetes-validations") || fields.values().any(has_rules)
        }
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

fn secret(value: &mut Value) {
    use base64::Engine;
    if value["type"].is_null() {
        value["type"] = "Opaque".into();
    }
    // Plain text is for writing only.
    let Some(plain) = value
        .as_object_mut()
        .and_then(|fields| fields.remove("stringData"))
    else {
        return;
    };
    for (key, text) in plain.as_object().into_iter().flatten() {
        let text = text.as_str().unwrap_or_default();
        value["data"][key] = base64::engine::general_purpose::STANDARD
            .encode(text)
            .into();
    }
}

fn binding(value: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    fill(&mut value["roleRef"], &json!({"apiGroup": GROUP}));
    let namespace = value["metadata"]["namespace"].clone();
    for subject in value
        .get_mut("subjects")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if subject["kind"] != "ServiceAccount" {
            fill(subject, &json!({"apiGroup": GROUP}));
        } else if namespace.is_string() {
            fill(subject, &json!({"namespace": namespace}));
        }
    }
}

fn sealed(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let Some(old) = old else { return };
    if old["immutable"] == true {
        for field in ["data", "binaryData", "immutable"] {
            if new[field] != old[field] {
                errors.push(forbidden(
                    field,
                    "field is immutable when `immutable` is set",
                ));
            }
        }
    }
    if new["kind"] == "Secret" {
        immutable(new, old, &["type"], errors);
    }
}

fn claim(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if new["spec"]["accessModes"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        errors.push(required(
            "spec.accessModes",
            "at least 1 access mode is required",
        ));
    }
    if new.pointer("/spec/resources/requests/storage").is_none() {
        errors.push(required("spec.resources[storage]", ""));
    }
    let Some(old) = old else { return };
    let without = |value: &Value| {
        let mut spec = value["spec"].clone();
        // Only a volume that is there can grow.
        if old["status"]["phase"] == "Bound" {
            spec["resources"]["requests"] = Value::Null;
        }
        // Binding fills this in, once.
        if old["spec"]["volumeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            spec["volumeName"] = Value::Null;
        }
        spec
    };
    if without(new) != without(old) {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(forbidden("spec", why));
    }
}

fn reference(new: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let reference = &new["roleRef"];
    if !matches!(reference["kind"].as_str(), Some("Role" | "ClusterRole")) {
        let message = format!(
            "Unsupported value: {}: supported values: \"Role\", \"ClusterRole\"",
            reference["kind"]
        );
        errors.push(FieldError {
            path: "roleRef.kind".into(),
            reason: "FieldValueNotSupported",
            message,
        });
    }
    if reference["name"].as_str().unwrap_or_default().is_empty() {
        errors.push(required("roleRef.name", ""));
    }
    if old.is_some_and(|old| old["roleRef"] != *reference) {
        let shown = json!({"APIGroup": reference["apiGroup"], "Kind": reference["kind"], "Name": reference["name"]});
        let message = format!("Invalid value: {shown}: field is immutable");
        errors.push(FieldError {
            path: "roleRef".into(),
            reason: "FieldValueInvalid",
            message,
        });
    }
}

/// Adds to the object `value` what it lacks of `defaults`.
pub(crate) fn fill(value: &mut Value, defaults: &Value) {
    for (key, default) in defaults.as_object().into_iter().flatten() {
        if value.get(key).is_none_or(Value::is_null) {
            value[key] = default.clone();
        }
    }
}

/// Refuses changes of the top-level or dotted fields `paths`.
fn immutable(new: &Value, old: &Value, paths: &[&str], errors: &mut Vec<FieldError>) {
    for path in paths {
        let pointer = format!("/{}", path.replace('.', "/"));
        let (new, old) = (new.pointer(&pointer), old.pointer(&pointer));
        if new != old {
            let message = format!(
                "Invalid value: {}: field is immutable",
                new.unwrap_or(&Value::Null)
            );
            errors.push(FieldError {
                path: (*path).into(),
                reason: "FieldValueInvalid",
                message,
            });
        }
    }
}

fn required(path: &str, why: &str) -> FieldError {
    let message = if why.is_empty() {
        "Required value".into()
    } else {
        format!("Required value: {why}")
    };
    FieldError {
        path: path.into(),
        reason: "FieldValueRequired",
        message,
    }
}

fn duplicate(path: &str, value: &Value) -> FieldError {
    FieldError {
        path: path.into(),
        reason: "FieldValueDuplicate",
        message: format!("Duplicate value: {value}"),
    }
}

fn forbidden(path: &str, why: &str) -> FieldError {
    FieldError {
        path: path.into(),
        reason: "FieldValueForbidden",
        message: format!("Forbidden: {why}"),
    }
}
