use super::*;
use crate::pure::testing;
use proptest::prelude::*;
use serde_json::json;

fn deployment(pod: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": pod}}})
}

/// Patches the pod spec of a deployment.
fn patched(pod: &Value, patch: &Value) -> Value {
    let patch = json!({"spec": {"template": {"spec": patch}}});
    let mut out = strategic_merge_patch(&deployment(pod), &patch).unwrap();
    out["spec"]["template"]["spec"].take()
}

#[test]
fn json_patch_applies_all_or_nothing() {
    let target = json!({"a": [1, 2], "b": {"c/d": 1}});
    let patch = json!([
        {"op": "test", "path": "/a/0", "value": 1},
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "remove", "path": "/b/c~1d"},
        {"op": "copy", "from": "/a/0", "path": "/e"},
    ]);
    assert_eq!(
        json_patch(&target, &patch).unwrap(),
        json!({"a": [1, 2, 3], "b": {}, "e": 1})
    );
}

#[test]
fn json_patch_errors_say_which_kind() {
    let target = json!({"a": 1});
    let run = |patch: Value| json_patch(&target, &patch).unwrap_err();
    assert_eq!(
        run(json!([{"op": "test", "path": "/a", "value": 2}])),
        PatchError::TestFailed {
            path: "/a".to_owned()
        }
    );
    let missing = run(json!([{"op": "remove", "path": "/x"}]));
    assert!(matches!(missing, PatchError::NotApplicable(_)), "{missing}");
    for bad in [
        json!({}),
        json!([{"op": "fly", "path": "/a"}]),
        json!([{"path": "/a"}]),
    ] {
        assert!(matches!(run(bad), PatchError::Malformed(_)));
    }
}

#[test]
fn merge_patch_follows_the_rfc() {
    let cases = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (json!({"a": [1]}), json!({"a": [2]}), json!({"a": [2]})),
        (
            json!({}),
            json!({"a": {"b": {"c": null}}}),
            json!({"a": {"b": {}}}),
        ),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
    ];
    for (target, patch, want) in cases {
        assert_eq!(merge_patch(&target, &patch).unwrap(), want, "{patch}");
    }
    assert!(merge_patch(&json!({}), &json!([])).is_err());
}

#[test]
fn containers_merge_by_name() {
    let pod = json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]});
    let patch = json!({"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}, {"name": "c"}]});
    assert_eq!(
        patched(&pod, &patch),
        json!({"containers": [
            {"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
            {"name": "b"}, {"name": "c"},
        ]})
    );
}

#[test]
fn items_are_deleted_and_replaced_by_directive() {
    let pod = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1", "tty": true}]});
    let patch = json!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "$patch": "replace", "image": "2"}]});
    assert_eq!(
        patched(&pod, &patch),
        json!({"containers": [{"name": "b", "image": "2"}]})
    );
    // Deleting what is not there, also where there is no list, is no error.
    let patch = json!({"volumes": [{"name": "v", "$patch": "delete"}]});
    assert_eq!(patched(&json!({}), &patch), json!({"volumes": []}));
}

#[test]
fn whole_lists_and_structs_are_replaced_by_directive() {
    let pod = json!({"containers": [{"name": "a"}], "securityContext": {"runAsUser": 1}});
    let patch = json!({
        "containers": [{"$patch": "replace"}, {"name": "z"}],
        "securityContext": {"$patch": "replace", "fsGroup": 2},
    });
    assert_eq!(
        patched(&pod, &patch),
        json!({"containers": [{"name": "z"}], "securityContext": {"fsGroup": 2}})
    );
    let patch = json!({"securityContext": {"$patch": "delete"}});
    assert_eq!(patched(&pod, &patch)["securityContext"], json!({}));
}

#[test]
fn lists_without_strategy_are_replaced() {
    let pod = json!({"tolerations": [{"key": "a"}], "containers": [{"name": "c", "args": ["1"]}]});
    let patch =
        json!({"tolerations": [{"key": "b"}], "containers": [{"name": "c", "args": ["2"]}]});
    assert_eq!(patched(&pod, &patch), patch);
}

#[test]
fn merge_keys_of_the_builtin_lists() {
    let cases = [
        ("volumes", "name"),
        ("initContainers", "name"),
        ("ephemeralContainers", "name"),
        ("imagePullSecrets", "name"),
        ("hostAliases", "ip"),
        ("topologySpreadConstraints", "topologyKey"),
    ];
    for (list, key) in cases {
        let pod = json!({list: [{key: "1", "x": 1}]});
        let patch = json!({list: [{key: "1", "y": 2}, {key: "2"}]});
        assert_eq!(
            patched(&pod, &patch),
            json!({list: [{key: "1", "x": 1, "y": 2}, {key: "2"}]}),
            "{list}"
        );
    }
}

#[test]
fn service_ports_merge_by_port_and_taints_by_key() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "name": "a"}]}});
    let patch = json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}});
    let out = strategic_merge_patch(&service, &patch).unwrap();
    assert_eq!(
        out["spec"]["ports"],
        json!([{"port": 80, "name": "a", "targetPort": 8080}])
    );
    let node = json!({"apiVersion": "v1", "kind": "Node", "spec": {"taints": [{"key": "a", "effect": "x"}]}});
    let patch = json!({"spec": {"taints": [{"key": "a", "effect": "y"}]}});
    let out = strategic_merge_patch(&node, &patch).unwrap();
    assert_eq!(out["spec"]["taints"], json!([{"key": "a", "effect": "y"}]));
}

#[test]
fn a_budgets_selector_is_replaced() {
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "spec": {"selector": {"matchLabels": {"a": "1"}}}});
    let patch = json!({"spec": {"selector": {"matchLabels": {"b": "2"}}}});
    let out = strategic_merge_patch(&budget, &patch).unwrap();
    assert_eq!(out["spec"], patch["spec"]);
}

#[test]
fn finalizers_are_a_set_and_primitives_can_be_deleted() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"finalizers": ["a", "b"]}});
    let patch = json!({"metadata": {"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
    let out = strategic_merge_patch(&pod, &patch).unwrap();
    assert_eq!(out["metadata"]["finalizers"], json!(["b", "c"]));
}

#[test]
fn element_order_is_set() {
    let pod = json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "x"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
        "containers": [{"name": "c"}],
    });
    assert_eq!(
        patched(&pod, &patch),
        json!({"containers": [{"name": "c"}, {"name": "b"}, {"name": "x"}, {"name": "a"}]})
    );
}

#[test]
fn retained_keys_push_out_the_others() {
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let out = strategic_merge_patch(&deployment, &patch).unwrap();
    assert_eq!(out["spec"]["strategy"], json!({"type": "Recreate"}));
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}});
    assert!(strategic_merge_patch(&deployment, &patch).is_err());
}

#[test]
fn bad_patches_are_refused() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}});
    let run = |patch: Value| strategic_merge_patch(&pod, &patch).unwrap_err();
    assert_eq!(
        run(json!({"spec": {"containers": [{"image": "x"}]}})).to_string(),
        "map: {\"image\":\"x\"} does not contain declared merge key: name"
    );
    assert!(matches!(
        run(json!({"$patch": "explode"})),
        PatchError::Malformed(_)
    ));
    assert!(matches!(run(json!([])), PatchError::Malformed(_)));
}

#[test]
fn no_directive_survives_in_new_values() {
    let patch = json!({
        "containers": [{"name": "a", "$setElementOrder/env": [{"name": "X"}], "env": [{"name": "X", "$patch": "merge"}]}],
        "securityContext": {"$retainKeys": ["fsGroup"], "fsGroup": 1},
    });
    let out = patched(&json!({}), &patch);
    assert!(!out.to_string().contains('$'), "{out}");
}

/// The merge patch that turns `from` into `to`; both without nulls.
fn diff(from: &Value, to: &Value) -> Value {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let mut patch = serde_json::Map::new();
            for name in from.keys().filter(|name| !to.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            for (name, value) in to {
                match from.get(name) {
                    Some(before) if before == value => {}
                    Some(before) => {
                        patch.insert(name.clone(), diff(before, value));
                    }
                    None => {
                        patch.insert(name.clone(), value.clone());
                    }
                }
            }
            Value::Object(patch)
        }
        _ => to.clone(),
    }
}

proptest! {
    #[test]
    fn a_diff_applied_gives_the_other_side(from in testing::json_object(false), to in testing::json_object(false)) {
        let patch = diff(&from, &to);
        prop_assert_eq!(merge_patch(&from, &patch).unwrap(), to.clone());
        // Without strategies and directives the strategic format is the same.
        prop_assert_eq!(strategic_merge_patch(&from, &patch).unwrap(), to);
    }

    #[test]
    fn merge_patches_settle(target in testing::json_object(true), patch in testing::json_object(true)) {
        let once = merge_patch(&target, &patch).unwrap();
        prop_assert_eq!(merge_patch(&once, &patch).unwrap(), once);
    }

    #[test]
    fn strategic_patches_settle(target in testing::pod(), patch in testing::pod()) {
        let once = strategic_merge_patch(&target, &patch).unwrap();
        prop_assert_eq!(strategic_merge_patch(&once, &patch).unwrap(), once);
    }
}
