//! Status of pod disruption budgets.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{is_ready, selects};
use crate::api::{Api, key_of, now};
use crate::objects::ending;
use crate::store::{Change, Stored};

const BUDGETS: &str = "poddisruptionbudgets.policy";

/// Brings the budgets up to date that `changes` may concern.
pub(super) fn update(api: &Api, changes: &[Arc<Change>]) {
    let namespaces: std::collections::BTreeSet<&str> = changes
        .iter()
        .filter(|change| matches!(&*change.key.resource, "pods" | BUDGETS))
        .map(|change| &*change.key.namespace)
        .collect();
    for namespace in namespaces {
        for budget in api.store.list(BUDGETS, Some(namespace)).1 {
            if ending(&budget.value) {
                continue;
            }
            let pods = api.store.list("pods", Some(namespace)).1;
            let status = status(api, &budget.value, &pods);
            let key = key_of(&BUDGETS.into(), &budget);
            let written = api.adjust(&key, |budget| {
                if budget["status"] == status {
                    return false;
                }
                budget["status"] = status.clone();
                true
            });
            if let Err(error) = written {
                tracing::warn!(%error, name = key.name, "cannot update a disruption budget");
            }
        }
    }
}

fn status(api: &Api, budget: &Value, pods: &[Arc<Stored>]) -> Value {
    let spec = &budget["spec"];
    let over = |pod: &Value| {
        matches!(
            pod["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        )
    };
    let mine: Vec<&Value> = pods
        .iter()
        .map(|pod| &pod.value)
        .filter(|pod| selects(&spec["selector"], pod) && !over(pod))
        .collect();
    let healthy = mine.iter().filter(|pod| is_ready(pod)).count() as i64;
    let (expected, desired) = wanted(api, spec, &mine);
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let (state, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let old = budget["status"]["conditions"]
        .as_array()
        .and_then(|list| list.first());
    let since = match old {
        Some(condition) if condition["status"] == state => condition["lastTransitionTime"].clone(),
        _ => now().into(),
    };
    json!({
        "observedGeneration": budget["metadata"]["generation"],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": expected,
        "disruptionsAllowed": allowed,
        "conditions": [{
            "type": "DisruptionAllowed", "status": state, "reason": reason, "message": "",
            "observedGeneration": budget["metadata"]["generation"], "lastTransitionTime": since,
        }],
    })
}

/// How many pods are expected, and how many of them must be healthy.
fn wanted(api: &Api, spec: &Value, pods: &[&Value]) -> (i64, i64) {
    let scale = || expected(api, pods);
    match (&spec["minAvailable"], &spec["maxUnavailable"]) {
        (Value::Number(least), _) => (pods.len() as i64, least.as_i64().unwrap_or(0)),
        (Value::String(percent), _) => {
            let expected = scale();
            (expected, share(percent, expected))
        }
        (_, Value::String(percent)) => {
            let expected = scale();
            (expected, (expected - share(percent, expected)).max(0))
        }
        (_, most) => {
            let expected = scale();
            (expected, (expected - most.as_i64().unwrap_or(0)).max(0))
        }
    }
}

/// A percentage, rounded up.
fn share(percent: &str, of: i64) -> i64 {
    let percent: i64 = percent.trim_end_matches('%').parse().unwrap_or(100);
    (of * percent + 99) / 100
}

/// What the controllers of the pods want to have, by their `scale` subresource. A pod without
/// such a controller makes the number unknowable, and no disruption is allowed.
fn expected(api: &Api, pods: &[&Value]) -> i64 {
    let catalog = api.registry.catalog();
    let mut sizes: HashMap<String, i64> = HashMap::new();
    for pod in pods {
        let references = pod["metadata"]["ownerReferences"]
            .as_array()
            .into_iter()
            .flatten();
        let Some(owner) = references
            .into_iter()
            .find(|reference| reference["controller"] == true)
        else {
            return 0;
        };
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let group = text("apiVersion")
            .split_once('/')
            .map_or("", |(group, _)| group);
        let size = catalog.by_kind(group, text("kind")).and_then(|resource| {
            let pointer = &resource.crd.as_ref()?.scale.as_ref()?.spec;
            let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
            let key = crate::store::Key::new(&resource.storage, namespace, text("name"));
            api.store.get(&key)?.value.pointer(pointer)?.as_i64()
        });
        match size {
            Some(size) => sizes.insert(text("uid").to_owned(), size),
            None => return 0,
        };
    }
    sizes.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_up() {
        assert_eq!(
            [
                share("50%", 3),
                share("0%", 3),
                share("100%", 3),
                share("34%", 3)
            ],
            [2, 0, 3, 2]
        );
    }
}
