//! Generators for property tests.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any JSON value a few levels deep, nulls only where `nulls` says so.
pub(crate) fn json_value(nulls: bool) -> impl Strategy<Value = Value> {
    let null = u32::from(nulls);
    let leaf = prop_oneof![
        null => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        3 => (-3i64..4).prop_map(Value::from),
        3 => "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-d]", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Any JSON object a few levels deep.
pub(crate) fn json_object(nulls: bool) -> impl Strategy<Value = Value> {
    btree_map("[a-d]", json_value(nulls), 0..4)
        .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

/// A pod with some labels, finalizers and containers, as an applier would send it.
pub(crate) fn pod() -> impl Strategy<Value = Value> {
    let labels = btree_map("[a-c]", "[x-z]", 0..3);
    let finalizers = proptest::sample::subsequence(vec!["f/a", "f/b", "f/c"], 0..3);
    let env = btree_map("[A-C]", "[0-2]", 0..3);
    let container = ("[x-z]", env, proptest::bool::ANY);
    let containers = btree_map("[a-c]", container, 0..3);
    (labels, finalizers, containers).prop_map(|(labels, finalizers, containers)| {
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, (image, env, port))| {
                let env: Vec<Value> = env
                    .into_iter()
                    .map(|(name, value)| json!({"name": name, "value": value}))
                    .collect();
                let mut out = json!({"name": name, "image": image, "env": env});
                if port {
                    out["ports"] = json!([{"containerPort": 80}]);
                }
                out
            })
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": labels, "finalizers": finalizers},
            "spec": {"containers": containers},
        })
    })
}
