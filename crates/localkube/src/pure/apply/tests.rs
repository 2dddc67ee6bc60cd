use super::*;
use crate::pure::testing;
use proptest::prelude::*;
use serde_json::json;

const T1: &str = "2026-11-23T10:00:00Z";
const T2: &str = "2026-11-23T11:00:00Z";

fn pods() -> Schema {
    Schema::for_builtin("", "Pod")
}

fn deployments() -> Schema {
    Schema::for_builtin("apps", "Deployment")
}

fn apply(live: Option<&Value>, applied: &Value, manager: &str, schema: &Schema) -> Value {
    server_side_apply(live, applied, manager, false, "", T1, schema).unwrap()
}

fn deployment(spec: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
}

fn pod(containers: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}})
}

/// The managers of an object, as `manager/operation` with what they own.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let list = object.pointer("/metadata/managedFields");
    let list = list.and_then(Value::as_array).cloned().unwrap_or_default();
    list.into_iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            let subresource = entry
                .get("subresource")
                .map(|s| format!("/{}", s.as_str().unwrap()));
            let who = format!(
                "{}/{}{}",
                text("manager"),
                text("operation"),
                subresource.unwrap_or_default()
            );
            (who, entry["fieldsV1"].clone())
        })
        .collect()
}

fn owner(object: &Value, who: &str) -> Value {
    let found = owners(object).into_iter().find(|(name, _)| name == who);
    found.map_or(Value::Null, |(_, fields)| fields)
}

#[test]
fn create_by_apply_owns_what_it_says() {
    let applied = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "labels": {"app": "x"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"spec": {"containers": [
                {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {}},
            ]}},
        },
    });
    let made = apply(None, &applied, "me", &deployments());
    assert_eq!(
        owner(&made, "me/Apply"),
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {
                    ".": {}, "f:image": {}, "f:name": {},
                    "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    "f:resources": {},
                }}}},
            },
        })
    );
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!(entry["apiVersion"], "apps/v1");
    assert_eq!(entry["fieldsType"], "FieldsV1");
    assert_eq!(entry["time"], T1);
}

#[test]
fn create_by_update_owns_as_kubectl_run_does() {
    let mut made = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"run": "p"}},
        "spec": {"containers": [{"name": "p", "image": "i", "resources": {}}]},
        "status": {"phase": "Pending"},
    });
    track_update(None, &mut made, "kubectl-run", "", T1, &pods());
    assert_eq!(
        owners(&made),
        [(
            "kubectl-run/Update".to_owned(),
            json!({
                "f:metadata": {"f:labels": {".": {}, "f:run": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"p\"}": {
                    ".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                }}},
            })
        )]
    );
}

#[test]
fn a_conflict_is_worded_as_the_server_words_it() {
    let mut live = deployment(&json!({"replicas": 1}));
    track_update(None, &mut live, "kubectl", "", T1, &deployments());
    let applied = deployment(&json!({"replicas": 2}));
    let error = server_side_apply(Some(&live), &applied, "me", false, "", T2, &deployments());
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
    );
    let ApplyError::Conflict(conflicts) = error else {
        panic!("not a conflict");
    };
    assert_eq!(
        conflicts[0].to_string(),
        "conflict with \"kubectl\" using apps/v1"
    );
    assert_eq!(conflicts[0].field, ".spec.replicas");
}

#[test]
fn several_conflicts_are_grouped_by_manager() {
    let schema = deployments();
    let live = apply(None, &deployment(&json!({"replicas": 1})), "b", &schema);
    let live = apply(
        Some(&live),
        &deployment(&json!({"paused": true, "minReadySeconds": 1})),
        "a",
        &schema,
    );
    let applied = deployment(&json!({"replicas": 2, "paused": false, "minReadySeconds": 2}));
    let error = server_side_apply(Some(&live), &applied, "me", false, "", T2, &schema);
    assert_eq!(
        error.unwrap_err().to_string(),
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .spec.minReadySeconds\n- .spec.paused\nconflicts with \"b\":\n- .spec.replicas"
    );
}

#[test]
fn force_takes_ownership_and_leaves_no_empty_entry() {
    let schema = deployments();
    let live = apply(None, &deployment(&json!({"replicas": 1})), "a", &schema);
    let applied = deployment(&json!({"replicas": 2}));
    let out = server_side_apply(Some(&live), &applied, "b", true, "", T2, &schema).unwrap();
    assert_eq!(out["spec"]["replicas"], 2);
    assert_eq!(owners(&out).len(), 1);
    assert_eq!(
        owner(&out, "b/Apply"),
        json!({"f:spec": {"f:replicas": {}}})
    );
}

#[test]
fn equal_values_are_owned_by_both_and_stay_until_both_let_go() {
    let schema = deployments();
    let both = deployment(&json!({"replicas": 1}));
    let live = apply(None, &both, "a", &schema);
    let live = apply(Some(&live), &both, "b", &schema);
    assert_eq!(owners(&live).len(), 2);
    let nothing = deployment(&json!({"paused": true}));
    let live = apply(Some(&live), &nothing, "a", &schema);
    assert_eq!(live["spec"]["replicas"], 1, "b still owns it");
    let live = apply(Some(&live), &nothing, "b", &schema);
    assert_eq!(live["spec"].get("replicas"), None);
}

#[test]
fn list_items_of_others_stay_and_own_ones_go() {
    let schema = pods();
    let live = apply(
        None,
        &pod(&json!([{"name": "a", "image": "1"}, {"name": "b", "image": "1"}])),
        "x",
        &schema,
    );
    let live = apply(
        Some(&live),
        &pod(&json!([{"name": "c", "image": "1"}])),
        "y",
        &schema,
    );
    let live = apply(
        Some(&live),
        &pod(&json!([{"name": "b", "image": "2"}])),
        "x",
        &schema,
    );
    assert_eq!(
        live["spec"]["containers"],
        json!([{"name": "b", "image": "2"}, {"name": "c", "image": "1"}])
    );
}

#[test]
fn an_item_with_defaults_of_others_goes_with_its_owner() {
    let schema = pods();
    let applied = pod(&json!([{"name": "a", "image": "1"}]));
    let mut live = apply(None, &applied, "x", &schema);
    // A default that no one owns.
    live["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
    let live = apply(
        Some(&live),
        &pod(&json!([{"name": "b", "image": "1"}])),
        "x",
        &schema,
    );
    assert_eq!(
        live["spec"]["containers"],
        json!([{"name": "b", "image": "1"}])
    );
}

#[test]
fn finalizers_and_owner_references_are_told_apart() {
    let schema = pods();
    let object = |meta: &Value| {
        let mut out = pod(&json!([]));
        let fields = meta.as_object().unwrap().clone();
        out["metadata"].as_object_mut().unwrap().extend(fields);
        out
    };
    let one =
        object(&json!({"finalizers": ["f/a"], "ownerReferences": [{"uid": "1", "name": "o"}]}));
    let two = object(&json!({"finalizers": ["f/b"]}));
    let live = apply(None, &one, "x", &schema);
    let live = apply(Some(&live), &two, "y", &schema);
    assert_eq!(live["metadata"]["finalizers"], json!(["f/a", "f/b"]));
    assert_eq!(
        owner(&live, "x/Apply")["f:metadata"],
        json!({"f:finalizers": {"v:\"f/a\"": {}}, "f:ownerReferences": {"k:{\"uid\":\"1\"}": {}}})
    );
    let live = apply(Some(&live), &object(&json!({})), "x", &schema);
    assert_eq!(live["metadata"]["finalizers"], json!(["f/b"]));
    assert_eq!(live["metadata"].get("ownerReferences"), None);
}

#[test]
fn applied_order_wins_for_shared_items() {
    let names = |value: &Value| -> Vec<String> {
        let list = value["spec"]["containers"].as_array().unwrap();
        list.iter()
            .map(|c| c["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let list = |names: &str| {
        pod(&names
            .chars()
            .map(|c| json!({"name": c.to_string()}))
            .collect())
    };
    let cases = [
        ("abc", "cab", "cab"),
        ("axby", "ba", "xbya"),
        ("ab", "axb", "axb"),
        ("xy", "ab", "xyab"),
        ("axb", "a", "axb"),
    ];
    for (live, applied, want) in cases {
        let live = list(live);
        let out = server_side_apply(Some(&live), &list(applied), "m", true, "", T1, &pods());
        assert_eq!(names(&out.unwrap()).concat(), want, "{applied} over it");
    }
}

#[test]
fn status_and_the_rest_do_not_mix() {
    let schema = deployments();
    let mut applied = deployment(&json!({"replicas": 1}));
    applied["status"] = json!({"replicas": 9});
    let live = apply(None, &applied, "a", &schema);
    assert_eq!(live.get("status"), None);
    let status = server_side_apply(Some(&live), &applied, "a", false, "status", T2, &schema);
    let status = status.unwrap();
    assert_eq!(status["status"]["replicas"], 9);
    assert_eq!(
        owner(&status, "a/Apply/status"),
        json!({"f:status": {"f:replicas": {}}})
    );
    assert_eq!(
        owner(&status, "a/Apply"),
        json!({"f:spec": {"f:replicas": {}}})
    );
    // A status update that also touches spec owns only status.
    let mut new = status.clone();
    new["status"]["readyReplicas"] = json!(1);
    new["spec"]["replicas"] = json!(5);
    track_update(Some(&status), &mut new, "ctl", "status", T2, &schema);
    assert_eq!(
        owner(&new, "ctl/Update/status"),
        json!({"f:status": {"f:readyReplicas": {}}})
    );
}

#[test]
fn an_update_takes_fields_from_an_applier() {
    let schema = deployments();
    let live = apply(
        None,
        &deployment(&json!({"replicas": 1, "paused": true})),
        "a",
        &schema,
    );
    let mut new = live.clone();
    new["spec"]["replicas"] = json!(4);
    track_update(Some(&live), &mut new, "scaler", "scale", T2, &schema);
    assert_eq!(owner(&new, "a/Apply"), json!({"f:spec": {"f:paused": {}}}));
    assert_eq!(
        owner(&new, "scaler/Update/scale"),
        json!({"f:spec": {"f:replicas": {}}})
    );
    let times: Vec<&Value> = new["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["time"])
        .collect();
    assert_eq!(times, [T1, T2]);
}

#[test]
fn removed_fields_are_owned_by_nobody() {
    let schema = deployments();
    let live = apply(None, &deployment(&json!({"replicas": 1})), "a", &schema);
    let mut new = live.clone();
    new["spec"].as_object_mut().unwrap().remove("replicas");
    track_update(Some(&live), &mut new, "b", "", T2, &schema);
    assert_eq!(owners(&new), []);
    assert_eq!(new["metadata"].get("managedFields"), None);
}

#[test]
fn an_unchanged_update_keeps_the_time() {
    let schema = deployments();
    let mut live = deployment(&json!({"replicas": 1}));
    track_update(None, &mut live, "a", "", T1, &schema);
    let mut same = live.clone();
    track_update(Some(&live), &mut same, "a", "", T2, &schema);
    assert_eq!(same, live);
}

#[test]
fn objects_without_ownership_get_it_at_their_first_apply() {
    let schema = deployments();
    let live = deployment(&json!({"replicas": 1}));
    let mut updated = live.clone();
    updated["spec"]["paused"] = json!(true);
    track_update(Some(&live), &mut updated, "a", "", T1, &schema);
    assert_eq!(updated["metadata"].get("managedFields"), None);
    let error = server_side_apply(
        Some(&live),
        &deployment(&json!({"replicas": 2})),
        "a",
        false,
        "",
        T1,
        &schema,
    );
    let message = error.unwrap_err().to_string();
    assert!(
        message.contains("\"before-first-apply\" using apps/v1"),
        "{message}"
    );
}

#[test]
fn ownership_can_be_cleared_but_not_by_leaving_it_out() {
    let schema = deployments();
    let live = apply(None, &deployment(&json!({"replicas": 1})), "a", &schema);
    let mut left_out = without_ownership(&live);
    track_update(Some(&live), &mut left_out, "b", "", T2, &schema);
    assert_eq!(left_out, live);
    let mut cleared = live.clone();
    cleared["metadata"]["managedFields"] = json!([{}]);
    track_update(Some(&live), &mut cleared, "b", "", T2, &schema);
    assert_eq!(cleared["metadata"].get("managedFields"), None);
}

#[test]
fn refuses_bad_patches() {
    let schema = pods();
    let bad = |applied: &Value| {
        let out = server_side_apply(None, applied, "m", true, "", T1, &schema);
        out.unwrap_err().to_string()
    };
    assert_eq!(
        bad(&pod(&json!([{"name": "a"}, {"name": "a"}]))),
        "failed to create typed patch object: .spec.containers: duplicate entries for key [name=\"a\"]"
    );
    assert_eq!(
        bad(&pod(&json!([{"image": "a"}]))),
        "failed to create typed patch object: .spec.containers: element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)"
    );
    let mut owned = pod(&json!([]));
    owned["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    assert_eq!(bad(&owned), "metadata.managedFields must be nil");
    assert!(bad(&json!([])).contains("must be an object"));
}

#[test]
fn server_metadata_is_neither_taken_nor_owned() {
    let schema = pods();
    let mut live = apply(None, &pod(&json!([])), "a", &schema);
    live["metadata"]["uid"] = json!("real");
    live["metadata"]["resourceVersion"] = json!("7");
    let mut applied = pod(&json!([]));
    applied["metadata"]["uid"] = json!("other");
    applied["metadata"]["resourceVersion"] = json!("7");
    applied["metadata"]["generation"] = json!(3);
    let out = apply(Some(&live), &applied, "a", &schema);
    assert_eq!(out["metadata"]["uid"], "real");
    assert_eq!(out["metadata"].get("generation"), None);
    assert_eq!(owner(&out, "a/Apply"), Value::Null);
}

#[test]
fn custom_resources_merge_by_their_schema() {
    let schema = Schema::for_crd(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "listeners": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "port": {"type": "integer"}}}},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "plain": {"type": "array", "items": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "config": {"type": "object", "additionalProperties": {"type": "string"}},
    }}}}))
    .unwrap();
    let object = |spec: Value| json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "k"}, "spec": spec});
    let a = object(
        json!({"listeners": [{"name": "a", "port": 1}], "tags": ["x"], "config": {"k": "1"}}),
    );
    let b = object(
        json!({"listeners": [{"name": "b", "port": 2}], "tags": ["y"], "config": {"l": "2"},
        "plain": ["p"], "whole": {"w": "1"}}),
    );
    let live = apply(None, &a, "a", &schema);
    let live = apply(Some(&live), &b, "b", &schema);
    assert_eq!(live["spec"]["listeners"].as_array().unwrap().len(), 2);
    assert_eq!(live["spec"]["tags"], json!(["x", "y"]));
    assert_eq!(live["spec"]["config"], json!({"k": "1", "l": "2"}));
    let mine = owner(&live, "b/Apply");
    assert_eq!(mine["f:spec"]["f:plain"], json!({}));
    assert_eq!(mine["f:spec"]["f:whole"], json!({}));
    assert_eq!(mine["f:spec"]["f:tags"], json!({"v:\"y\"": {}}));
    let other = object(json!({"plain": ["q"]}));
    let error = server_side_apply(Some(&live), &other, "c", false, "", T1, &schema);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .ends_with("conflict with \"b\": .spec.plain")
    );
    // A create of a custom resource owns its structs too.
    let mut made = object(json!({"tags": []}));
    track_update(None, &mut made, "u", "", T1, &schema);
    assert_eq!(
        owner(&made, "u/Update"),
        json!({"f:spec": {".": {}, "f:tags": {}}})
    );
}

#[test]
fn old_updaters_are_folded_together() {
    let schema = deployments();
    let mut live = deployment(&json!({}));
    track_update(None, &mut live, "creator", "", T1, &schema);
    live["metadata"]["labels"] = json!({});
    for n in 0..14 {
        let mut new = live.clone();
        new["metadata"]["labels"][format!("l{n}")] = json!("x");
        let manager = format!("m{n:02}");
        let time = format!("2026-11-23T12:{n:02}:00Z");
        let old = live.clone();
        if n == 0 {
            // Tracking starts with a create.
            track_update(None, &mut new, &manager, "", &time, &schema);
        } else {
            track_update(Some(&old), &mut new, &manager, "", &time, &schema);
        }
        live = new;
    }
    let owners = owners(&live);
    assert_eq!(owners.len(), 10);
    let ancient = owner(&live, "ancient-changes/Update");
    assert_eq!(ancient["f:metadata"]["f:labels"]["f:l0"], json!({}));
    assert_eq!(ancient["f:metadata"]["f:labels"].get("f:l13"), None);
}

#[test]
fn the_time_moves_only_with_a_change() {
    let schema = deployments();
    let applied = deployment(&json!({"replicas": 1}));
    let one = apply(None, &applied, "a", &schema);
    let two = server_side_apply(Some(&one), &applied, "a", false, "", T2, &schema).unwrap();
    assert_eq!(two, one);
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(live in testing::pod(), applied in testing::pod()) {
        let schema = pods();
        let live = apply(None, &live, "a", &schema);
        let one = server_side_apply(Some(&live), &applied, "b", true, "", T1, &schema).unwrap();
        let two = server_side_apply(Some(&one), &applied, "b", false, "", T2, &schema).unwrap();
        prop_assert_eq!(one, two);
    }

    #[test]
    fn letting_go_restores_what_was_there(live in testing::pod(), applied in testing::pod()) {
        let schema = pods();
        let live = apply(None, &live, "a", &schema);
        let Ok(one) = server_side_apply(Some(&live), &applied, "b", false, "", T1, &schema) else {
            return Ok(()); // A conflict changes nothing.
        };
        let empty = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        let back = server_side_apply(Some(&one), &empty, "b", false, "", T2, &schema).unwrap();
        prop_assert_eq!(sorted(&back), sorted(&live));
    }

    #[test]
    fn an_applier_gets_what_it_asks_for(live in testing::pod(), applied in testing::pod()) {
        let schema = pods();
        let live = apply(None, &live, "a", &schema);
        let out = server_side_apply(Some(&live), &applied, "b", true, "", T1, &schema).unwrap();
        let again = typed::merge(schema.root(), &without_ownership(&out), &applied);
        prop_assert_eq!(again, without_ownership(&out));
    }

    #[test]
    fn a_lone_applier_owns_all_and_leaves_nothing(first in testing::pod(), second in testing::pod()) {
        let schema = pods();
        let live = apply(None, &first, "a", &schema);
        let out = apply(Some(&live), &second, "a", &schema);
        let fresh = apply(None, &second, "a", &schema);
        prop_assert_eq!(sorted(&out), sorted(&fresh));
    }

    #[test]
    fn every_set_survives_being_written(object in testing::pod()) {
        let set = typed::field_set(pods().root(), &object, BadItems::Refuse).unwrap();
        prop_assert_eq!(FieldSet::from_fields_v1(&set.to_fields_v1()).unwrap(), set);
    }

    #[test]
    fn any_update_is_tracked_without_loss(old in testing::json_object(true), new in testing::json_object(true)) {
        let schema = Schema::for_builtin("", "ConfigMap");
        let mut old = json!({"apiVersion": "v1", "metadata": {"name": "x"}, "data": old});
        track_update(None, &mut old, "a", "", T1, &schema);
        let mut out = json!({"apiVersion": "v1", "metadata": {"name": "x"}, "data": new});
        let sent = out.clone();
        track_update(Some(&old), &mut out, "b", "", T2, &schema);
        prop_assert_eq!(without_ownership(&out), sent);
    }
}

/// The object with empty containers and list order taken out, which pruning may change.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), sorted(value)))
            .filter(|(_, value)| {
                let empty = value.as_array().is_some_and(Vec::is_empty);
                !empty && !value.as_object().is_some_and(Map::is_empty)
            })
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        other => other.clone(),
    }
}
