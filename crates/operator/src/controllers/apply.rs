//! Writes what is wanted, and nothing where it is there already.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;
use tubeway_api::labels;

/// Whether `live` has every field of `wanted` with the same value. Lists count
/// as a whole, except that their elements may carry defaults that the API
/// server has filled in; an empty wanted value is the same as none.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            live.get(key)
                .map_or_else(|| is_empty(wanted), |live| covers(live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| covers(l, w))
        }
        (live, wanted) => live == wanted || (is_empty(wanted) && is_empty(live)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Applies an object of a core kind server-side; says whether that was needed.
pub async fn apply(client: &Client, wanted: &Value) -> Result<bool, kube::Error> {
    let kind = wanted["kind"].as_str().unwrap_or_default();
    let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = wanted["metadata"]["namespace"].as_str().unwrap_or_default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    if let Some(live) = api.get_opt(name).await? {
        let live = serde_json::to_value(&live).map_err(kube::Error::SerdeError)?;
        if covers(&live, wanted) {
            return Ok(false);
        }
    }
    let params = PatchParams::apply(labels::MANAGER).force();
    api.patch(name, &params, &Patch::Apply(wanted)).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let live = json!({"metadata": {"name": "a", "uid": "1"}, "spec": {"ports": [{"port": 1, "protocol": "TCP"}]}});
        let wanted =
            json!({"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}], "selector": {}}});
        assert!(covers(&live, &wanted));
    }

    #[test]
    fn a_changed_missing_or_further_element_is() {
        let live = json!({"a": [1, 2], "b": {"c": 1}});
        for wanted in [
            json!({"a": [1]}),
            json!({"a": [1, 3]}),
            json!({"b": {"c": 2}}),
            json!({"b": {"d": 1}}),
            json!({"e": "x"}),
        ] {
            assert!(!covers(&live, &wanted), "{wanted}");
        }
    }
}
