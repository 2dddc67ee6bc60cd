//! Types of the built-in kinds: do an object's fields exist and have the right types?
//!
//! The types are those of `k8s-openapi`: what survives a round trip through them exists.

use k8s_openapi::api::{
    authentication::v1 as authn, authorization::v1 as authz, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, events::v1 as events, policy::v1 as policy,
    rbac::v1 as rbac, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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

fn check<T: DeserializeOwned + Serialize>(value: &mut Value) -> Result<Vec<String>, String> {
    quantities(value, false);
    let typed = T::deserialize(&*value).map_err(|error| error.to_string())?;
    let known = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    let mut unknown = Vec::new();
    prune(value, &known, "", &mut unknown);
    Ok(unknown)
}

/// Quantities may be written as numbers; they are text from here on.
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
        Value::Number(number) if inside => *value = Value::String(number.to_string()),
        Value::Object(fields) => {
            for (name, field) in fields {
                let single = matches!(name.as_str(), "sizeLimit" | "divisor") && field.is_number();
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
    fn a_wrong_type_is_an_error() {
        let mut value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": 1}});
        let error = config_map(&mut value).unwrap_err();
        assert!(error.contains("invalid type"), "{error}");
    }
}
