//! Types of the built-in kinds: do an object's fields exist and have the right types?
//!
//! The types are those of `k8s-openapi`: what survives a round trip through them exists.

use std::any::TypeId;

use k8s_openapi::api::{
    authentication::v1 as authn, authorization::v1 as authz, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, events::v1 as events, policy::v1 as policy,
    rbac::v1 as rbac, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::quantity;

/// Removes what does not belong to the kind and returns the paths of it; an error if a field has
/// the wrong type.
pub(crate) type Check = fn(&mut Value) -> Result<Vec<String>, String>;

macro_rules! checks {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(pub(super) fn $name(value: &mut Value) -> Result<Vec<String>, String> {
            check::<$type>(value)
        })*
    };
}

checks! {
    config_map: core::ConfigMap,
    endpoints: core::Endpoints,
    event: core::Event,
    namespace: core::Namespace,
    node: core::Node,
    claim: core::PersistentVolumeClaim,
    volume: core::PersistentVolume,
    pod: core::Pod,
    secret: core::Secret,
    service_account: core::ServiceAccount,
    service: core::Service,
    crd: CustomResourceDefinition,
    self_subject_review: authn::SelfSubjectReview,
    token_review: authn::TokenReview,
    local_access_review: authz::LocalSubjectAccessReview,
    self_access_review: authz::SelfSubjectAccessReview,
    self_rules_review: authz::SelfSubjectRulesReview,
    access_review: authz::SubjectAccessReview,
    lease: coordination::Lease,
    endpoint_slice: discovery::EndpointSlice,
    event_v1: events::Event,
    budget: policy::PodDisruptionBudget,
    cluster_role_binding: rbac::ClusterRoleBinding,
    cluster_role: rbac::ClusterRole,
    role_binding: rbac::RoleBinding,
    role: rbac::Role,
    storage_class: storage::StorageClass,
}

fn check<T: DeserializeOwned + Serialize + 'static>(
    value: &mut Value,
) -> Result<Vec<String>, String> {
    // In a definition `limits` is the schema of somebody's field, and no map
    // of quantities.
    if TypeId::of::<T>() != TypeId::of::<CustomResourceDefinition>() {
        quantities(value, false);
    }
    let typed = T::deserialize(&*value).map_err(|error| error.to_string())?;
    let known = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    let mut unknown = Vec::new();
    prune(value, &known, "", &mut unknown);
    Ok(unknown)
}

/// Quantities may be written as numbers and in many ways; they are text and in one way from here
/// on.
fn quantities(value: &mut Value, inside: bool) {
    const MAPS: &[&str] = &[
        "limits",
        "requests",
        "capacity",
        "allocatable",
        "allocatedResources",
        "overhead",
    ];
    match value {
        Value::Number(number) if inside => {
            let text = number.to_string();
            *value = quantity::canonical(&text).unwrap_or(text).into();
        }
        Value::String(text) if inside => {
            if let Some(canonical) = quantity::canonical(text) {
                *text = canonical;
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let single = matches!(name.as_str(), "sizeLimit" | "divisor");
                quantities(
                    field,
                    single || inside || (MAPS.contains(&name.as_str()) && field.is_object()),
                );
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| quantities(item, false)),
        _ => {}
    }
}

/// Removes from `value` the fields that `known` lacks. Nulls mean "not there" in built-in kinds
/// and go silently.
fn prune(value: &mut Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (value, known) {
        (Value::Object(fields), Value::Object(known)) => fields.retain(|name, field| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match known.get(name) {
                Some(known) => {
                    prune(field, known, &path, unknown);
                    true
                }
                None if field.is_null() => false,
                None => {
                    unknown.push(path);
                    false
                }
            }
        }),
        (Value::Array(items), Value::Array(known)) => {
            for (at, (item, known)) in items.iter_mut().zip(known).enumerate() {
                prune(item, known, &format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_are_named_and_removed() {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "creationTimestamp": null},
            "spec": {"containers": [{"name": "a", "image": "b", "resources": {"limits": {"cpu": 2}}, "imagge": "x"}], "spek": 1},
        });
        let unknown = pod(&mut value).unwrap();
        assert_eq!(unknown, ["spec.containers[0].imagge", "spec.spek"]);
        assert_eq!(
            value["spec"]["containers"][0]["resources"]["limits"]["cpu"],
            "2"
        );
        assert_eq!(value["metadata"], json!({"name": "p"}));
    }

    #[test]
    fn a_definition_may_have_a_field_named_limits() {
        let limits = json!({"type": "object", "minProperties": 1, "properties": {"cpu": {"type": "integer", "minimum": 1.0}}});
        let mut value = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a.b"},
            "spec": {"group": "b", "scope": "Namespaced", "names": {"kind": "A", "plural": "a"}, "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"limits": limits}}}},
            ]},
        });
        let before = value.clone();
        assert_eq!(crd(&mut value), Ok(Vec::new()));
        assert_eq!(value, before);
    }

    #[test]
    fn a_wrong_type_is_an_error() {
        let mut value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": 1}});
        let error = config_map(&mut value).unwrap_err();
        assert!(error.contains("invalid type"), "{error}");
    }
}
