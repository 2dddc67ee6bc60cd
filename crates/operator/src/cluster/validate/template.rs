//! Where pods run, and what they are marked with: what the API server would
//! refuse when a pod is made is refused before one is taken away.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeAffinity, NodeSelectorRequirement, NodeSelectorTerm, Toleration,
};
use tubeway_api::{GROUP, PodTemplate};

use super::Problems;

const NAMES: &str = "label names as Kubernetes has them, as in example.com/team, other than those \
                     that make up the mesh (kafka.tubeway.dev, app.kubernetes.io)";
const VALUES: &str = "at most 63 of a-z, A-Z, 0-9, '-', '_' and '.', beginning and ending with a \
                      letter or a digit";

/// Checks all of it.
pub(super) fn check(problems: &mut Problems, pool: &str, pod: &PodTemplate) {
    let at = |field: &str| format!("KafkaNodePool/{pool} spec.pod.{field}");
    for (field, labels) in [
        ("labels", &pod.labels),
        ("nodeSelector", &pod.node_selector),
    ] {
        let owned = field == "labels";
        names(problems, &at(field), labels, owned);
        for (name, value) in labels.iter().filter(|(_, value)| !is_value(value)) {
            problems.add(format!("{}[{name:?}]", at(field)), value, VALUES);
        }
    }
    names(problems, &at("annotations"), &pod.annotations, true);
    for (i, toleration) in pod.tolerations.iter().enumerate() {
        if let Err(allowed) = tolerates(toleration) {
            let value = toleration.key.clone().unwrap_or_default();
            problems.add(format!("{}[{i}]", at("tolerations")), value, allowed);
        }
    }
    if let Some(affinity) = &pod.node_affinity {
        for requirement in requirements(affinity) {
            if let Err(allowed) = selects(requirement) {
                problems.add(at("nodeAffinity"), &requirement.key, allowed);
            }
        }
    }
    let class = pod.priority_class_name.as_deref();
    if let Some(class) = class.filter(|class| !is_dns(class)) {
        problems.add(
            at("priorityClassName"),
            class,
            "the name of a PriorityClass",
        );
    }
}

fn names(problems: &mut Problems, at: &str, marks: &BTreeMap<String, String>, ours: bool) {
    let fine = |name: &str| is_name(name) && !(ours && is_owned(name));
    for name in marks.keys().filter(|name| !fine(name)) {
        problems.add(format!("{at}[{name:?}]"), name, NAMES);
    }
}

/// Marks by which the operator and its objects know pods.
fn is_owned(name: &str) -> bool {
    let prefix = name.split_once('/').map_or("", |(prefix, _)| prefix);
    prefix == GROUP || prefix == "app.kubernetes.io"
}

fn tolerates(toleration: &Toleration) -> Result<(), &'static str> {
    let exists = toleration.operator.as_deref() == Some("Exists");
    let key = toleration.key.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    if key.is_empty() && !exists {
        return Err("a key, or the operator Exists, which without one is for all taints");
    }
    if !key.is_empty() && !is_name(key) {
        return Err("keys of taints as Kubernetes has them, as in example.com/kafka");
    }
    if exists && !value.is_empty() {
        return Err("the operator Exists without a value");
    }
    if !is_value(value) {
        return Err(VALUES);
    }
    let evicts = toleration.effect.as_deref() == Some("NoExecute");
    if toleration.toleration_seconds.is_some() && !evicts {
        return Err("tolerationSeconds with the effect NoExecute");
    }
    Ok(())
}

fn requirements(affinity: &NodeAffinity) -> impl Iterator<Item = &NodeSelectorRequirement> {
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .iter();
    let required = required.flat_map(|selector| &selector.node_selector_terms);
    let preferred = affinity
        .preferred_during_scheduling_ignored_during_execution
        .iter();
    let preferred = preferred.flatten().map(|term| &term.preference);
    required.chain(preferred).flat_map(expressions)
}

fn expressions(term: &NodeSelectorTerm) -> impl Iterator<Item = &NodeSelectorRequirement> {
    term.match_expressions.iter().flatten()
}

fn selects(requirement: &NodeSelectorRequirement) -> Result<(), &'static str> {
    if !is_name(&requirement.key) {
        return Err("label names as Kubernetes has them, as in example.com/team");
    }
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().is_ok();
    match (requirement.operator.as_str(), values) {
        ("In" | "NotIn", []) => Err("one value or more with the operators In and NotIn"),
        ("In" | "NotIn", values) if !values.iter().all(|value| is_value(value)) => Err(VALUES),
        ("Exists" | "DoesNotExist", [_, ..]) => {
            Err("no values with the operators Exists and DoesNotExist")
        }
        ("Gt" | "Lt", values) if values.len() != 1 || !values.iter().all(number) => {
            Err("one whole number with the operators Gt and Lt")
        }
        _ => Ok(()),
    }
}

/// Whether this is a label's name: a DNS subdomain and `/`, or nothing, before up
/// to 63 characters.
fn is_name(name: &str) -> bool {
    let (prefix, name) = match name.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, name),
    };
    prefix.is_none_or(is_dns) && !name.is_empty() && is_value(name)
}

fn is_value(value: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let ends = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric());
    value.len() <= 63
        && value.bytes().all(inside)
        && ends(value.bytes().next())
        && ends(value.bytes().last())
}

fn is_dns(name: &str) -> bool {
    let part = |part: &str| {
        let fine = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        !part.is_empty() && part.bytes().all(fine) && !part.starts_with('-') && !part.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(pod: &Value) -> Vec<String> {
        let mut problems = Problems::default();
        check(
            &mut problems,
            "a",
            &serde_json::from_value(pod.clone()).unwrap(),
        );
        let fields = problems.0.into_iter().map(|problem| problem.field);
        let fields = fields.map(|f| f.replace("KafkaNodePool/a spec.pod.", ""));
        fields.collect()
    }

    #[test]
    fn what_kubernetes_takes_is_taken() {
        let expression = |operator: &str, values: Value| json!({ "matchExpressions": [{ "key": "a", "operator": operator, "values": values }] });
        let none = found(&json!({
            "labels": { "example.com/team": "a.b_c", "x": "" },
            "annotations": { "example.com/what": "anything at all!" },
            "nodeSelector": { "kubernetes.io/arch": "arm64", "app.kubernetes.io/x": "y" },
            "tolerations": [
                { "operator": "Exists" },
                { "key": "kafka", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 5 },
            ],
            "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    expression("In", json!(["b"])), expression("Exists", Value::Null),
                    expression("Gt", json!(["7"])),
                ],
            } },
            "priorityClassName": "system-node-critical",
        }));
        assert_eq!(none, [""; 0]);
    }

    #[test]
    fn what_the_api_server_would_refuse_is_named() {
        let expression = |operator: &str, values: Value| {
            json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 1,
                "preference": { "matchExpressions": [
                    { "key": "a", "operator": operator, "values": values },
                ] },
            }] } })
        };
        for (pod, field) in [
            (
                json!({ "labels": { "kafka.tubeway.dev/pool": "x" } }),
                "labels[\"kafka.tubeway.dev/pool\"]",
            ),
            (
                json!({ "labels": { "app.kubernetes.io/name": "x" } }),
                "labels[\"app.kubernetes.io/name\"]",
            ),
            (json!({ "labels": { "a b": "x" } }), "labels[\"a b\"]"),
            (json!({ "labels": { "a": "-x" } }), "labels[\"a\"]"),
            (
                json!({ "annotations": { "kafka.tubeway.dev/restart": "x" } }),
                "annotations[\"kafka.tubeway.dev/restart\"]",
            ),
            (
                json!({ "nodeSelector": { "A/b": "x" } }),
                "nodeSelector[\"A/b\"]",
            ),
            (
                json!({ "tolerations": [{ "value": "x" }] }),
                "tolerations[0]",
            ),
            (
                json!({ "tolerations": [{ "key": "a", "operator": "Exists", "value": "x" }] }),
                "tolerations[0]",
            ),
            (
                json!({ "tolerations": [{ "key": "a", "effect": "NoSchedule", "tolerationSeconds": 1 }] }),
                "tolerations[0]",
            ),
            (expression("In", json!([])), "nodeAffinity"),
            (expression("Exists", json!(["x"])), "nodeAffinity"),
            (expression("Lt", json!(["x"])), "nodeAffinity"),
            (json!({ "priorityClassName": "A" }), "priorityClassName"),
        ] {
            assert_eq!(found(&pod), [field], "{pod}");
        }
    }
}
