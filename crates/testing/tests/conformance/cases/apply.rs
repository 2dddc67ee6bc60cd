//! Server-side apply: who owns what.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, gadget, topic};
use crate::trial::Trial;

super::cases! {
    apply_makes_what_is_not_there,
    fields_have_owners_that_conflict,
    force_takes_fields_over,
    what_is_no_longer_applied_goes,
    lists_are_merged_by_key,
    sets_and_atomic_parts,
    status_is_applied_on_its_own,
    updates_own_fields_too,
    apply_needs_a_manager_and_a_clean_object,
    apply_to_pods_and_services,
    applying_the_same_changes_nothing,
    finalizers_and_owners_are_applied,
}

async fn apply_makes_what_is_not_there(t: &mut Trial<'_>) {
    t.apply(
        201,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "1"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "2"})),
    )
    .await;
    t.apply(
        201,
        &format!("{TOPICS}/a?fieldManager=one"),
        topic("a", json!({"partitions": 1})),
    )
    .await;
    let mut unnamed = config_map("", json!({"a": "1"}));
    unnamed["metadata"] = json!({});
    t.apply(400, "configmaps/b?fieldManager=one", unnamed).await;
    t.apply(
        404,
        &format!("{TOPICS}/none/status?fieldManager=one"),
        topic("none", json!({})),
    )
    .await;
}

async fn fields_have_owners_that_conflict(t: &mut Trial<'_>) {
    t.apply(
        201,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "1", "b": "1"})),
    )
    .await;
    t.apply(
        409,
        "configmaps/a?fieldManager=two",
        config_map("a", json!({"a": "2"})),
    )
    .await;
    t.apply(
        409,
        "configmaps/a?fieldManager=two",
        config_map("a", json!({"a": "2", "b": "2"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two",
        config_map("a", json!({"a": "1", "c": "2"})),
    )
    .await;
    t.apply(
        409,
        "configmaps/a?fieldManager=three",
        config_map("a", json!({"a": "3", "c": "3"})),
    )
    .await;
    // One's change of a shared field conflicts with two.
    t.apply(
        409,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "9", "b": "1"})),
    )
    .await;
    t.get(200, "configmaps/a").await;
}

async fn force_takes_fields_over(t: &mut Trial<'_>) {
    t.apply(
        201,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "1", "b": "1"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two&force=true",
        config_map("a", json!({"a": "2"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"b": "1"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two&force=true",
        config_map("a", json!({"a": "2", "b": "2"})),
    )
    .await;
    t.merge(
        422,
        "configmaps/a?fieldManager=two&force=true",
        json!({"data": {}}),
    )
    .await;
}

async fn what_is_no_longer_applied_goes(t: &mut Trial<'_>) {
    t.apply(
        201,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "1", "b": "1"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two",
        config_map("a", json!({"b": "1"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two",
        config_map("a", json!({})),
    )
    .await;
    let a = format!("{TOPICS}/a");
    let spec = json!({"partitions": 1, "config": {"x": "1", "y": "2"}});
    t.apply(201, &format!("{a}?fieldManager=one"), topic("a", spec))
        .await;
    t.apply(
        200,
        &format!("{a}?fieldManager=one"),
        topic("a", json!({"config": {"y": "2"}})),
    )
    .await;
    t.apply(
        422,
        &format!("{a}?fieldManager=one"),
        topic("a", json!({"config": {}})),
    )
    .await;
    t.apply(200, &format!("{a}?fieldManager=one"), topic("a", json!({})))
        .await;
    // A field of a default comes back with it.
    let a = format!("{GADGETS}/a?fieldManager=one");
    t.apply(201, &a, gadget("a", json!({"replicas": 5, "color": "red"})))
        .await;
    t.apply(200, &a, gadget("a", json!({"color": "red"}))).await;
}

async fn lists_are_merged_by_key(t: &mut Trial<'_>) {
    let ports = |ports: Value| gadget("a", json!({"ports": ports}));
    let a = |manager: &str| format!("{GADGETS}/a?fieldManager={manager}");
    t.apply(
        201,
        &a("one"),
        ports(json!([{"number": 1, "name": "x"}, {"number": 2}])),
    )
    .await;
    t.apply(
        200,
        &a("two"),
        ports(json!([{"number": 1, "protocol": "UDP"}, {"number": 80, "name": "z"}])),
    )
    .await;
    t.apply(
        409,
        &a("two"),
        ports(json!([{"number": 1, "protocol": "TCP", "name": "other"}])),
    )
    .await;
    t.apply(200, &a("one"), ports(json!([{"number": 2, "name": "y"}])))
        .await;
    t.apply(200, &a("two"), ports(json!([]))).await;
    t.apply(500, &a("two"), ports(json!([{"number": 9}, {"number": 9}])))
        .await;
    t.apply(422, &a("two"), ports(json!([{"name": "keyless"}])))
        .await;
}

async fn sets_and_atomic_parts(t: &mut Trial<'_>) {
    let a = |manager: &str| format!("{GADGETS}/a?fieldManager={manager}");
    let one = json!({"tags": ["a", "b"], "steps": [{"do": "x"}], "whole": {"a": "1"}, "free": {"p": {"q": 1}}});
    t.apply(201, &a("one"), gadget("a", one)).await;
    t.apply(200, &a("two"), gadget("a", json!({"tags": ["b", "c"]})))
        .await;
    t.apply(409, &a("two"), gadget("a", json!({"steps": [{"do": "y"}]})))
        .await;
    t.apply(409, &a("two"), gadget("a", json!({"whole": {"b": "2"}})))
        .await;
    t.apply(
        200,
        &a("two"),
        gadget("a", json!({"tags": ["b", "c"], "free": {"p": {"r": 2}}})),
    )
    .await;
    t.apply(200, &a("one"), gadget("a", json!({"tags": ["a"]})))
        .await;
}

async fn status_is_applied_on_its_own(t: &mut Trial<'_>) {
    let status = |kind: &str| format!("{TOPICS}/a/status?fieldManager={kind}&force=true");
    t.create(201, TOPICS, topic("a", json!({"partitions": 1})))
        .await;
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let body = |status: Value| json!({"apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic", "metadata": {"name": "a"}, "status": status});
    t.apply(
        200,
        &status("x"),
        body(json!({"partitions": 1, "conditions": [condition("Ready", "True")]})),
    )
    .await;
    t.apply(
        200,
        &status("y"),
        body(json!({"conditions": [condition("Synced", "True")]})),
    )
    .await;
    t.apply(
        200,
        &status("x"),
        body(json!({"partitions": 1, "conditions": [condition("Ready", "False")]})),
    )
    .await;
    t.apply(200, &status("x"), body(json!({"conditions": []})))
        .await;
    let mut with_spec = body(json!({"partitions": 4}));
    with_spec["spec"] = json!({"partitions": 4});
    with_spec["metadata"]["labels"] = json!({"x": "y"});
    t.apply(200, &status("x"), with_spec).await;
    let mut main = topic("a", json!({"partitions": 1}));
    main["status"] = json!({"partitions": 99});
    t.apply(200, &format!("{TOPICS}/a?fieldManager=z&force=true"), main)
        .await;
}

async fn updates_own_fields_too(t: &mut Trial<'_>) {
    t.create(
        201,
        "configmaps?fieldManager=maker",
        config_map("a", json!({"a": "1", "b": "1"})),
    )
    .await;
    t.apply(
        409,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "2"})),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=one&force=true",
        config_map("a", json!({"a": "2"})),
    )
    .await;
    t.merge(
        200,
        "configmaps/a?fieldManager=patcher",
        json!({"data": {"a": "3", "c": "1"}}),
    )
    .await;
    t.apply(
        409,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"a": "2"})),
    )
    .await;
    let mut now = t.get(200, "configmaps/a").await;
    now["data"]["b"] = "2".into();
    t.replace(200, "configmaps/a", now).await;
    t.merge(
        200,
        "configmaps/a?fieldManager=patcher",
        json!({"data": null}),
    )
    .await;
    t.merge(
        200,
        "configmaps/a",
        json!({"metadata": {"managedFields": [{}]}}),
    )
    .await;
    t.merge(
        200,
        "configmaps/a?fieldManager=patcher",
        json!({"data": {"z": "1"}}),
    )
    .await;
    t.apply(
        409,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({"z": "2"})),
    )
    .await;
}

async fn apply_needs_a_manager_and_a_clean_object(t: &mut Trial<'_>) {
    t.apply(422, "configmaps/a", config_map("a", json!({})))
        .await;
    t.apply(
        422,
        &format!("configmaps/a?fieldManager={}", "m".repeat(129)),
        config_map("a", json!({})),
    )
    .await;
    let mut owned = config_map("a", json!({}));
    owned["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    t.apply(400, "configmaps/a?fieldManager=one", owned).await;
    t.apply(
        400,
        "configmaps/b?fieldManager=one",
        config_map("a", json!({})),
    )
    .await;
    let untyped = json!({"metadata": {"name": "a"}, "data": {}});
    t.apply(400, "configmaps/a?fieldManager=one", untyped).await;
    let other = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    t.apply(400, "configmaps/a?fieldManager=one", other).await;
    t.apply(
        201,
        "configmaps/a?fieldManager=one",
        config_map("a", json!({})),
    )
    .await;
    let mut stale = config_map("a", json!({"x": "1"}));
    stale["metadata"]["resourceVersion"] = "1".into();
    t.apply(409, "configmaps/a?fieldManager=one", stale).await;
    let mut other = config_map("a", json!({"x": "1"}));
    other["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000".into();
    t.apply(422, "configmaps/a?fieldManager=one", other.clone())
        .await;
    other["metadata"]["name"] = "new".into();
    t.apply(409, "configmaps/new?fieldManager=one", other).await;
    t.raw(
        400,
        http::Method::PATCH,
        "configmaps/a?fieldManager=one",
        "application/apply-patch+yaml",
        "a: [",
    )
    .await;
}

async fn apply_to_pods_and_services(t: &mut Trial<'_>) {
    let pod = |image: &str, env: Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}},
            "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": image, "env": env, "ports": [{"containerPort": 80}]}]},
        })
    };
    let path = "pods/p?fieldManager=one";
    t.apply(201, path, pod("x:1", json!([{"name": "A", "value": "1"}])))
        .await;
    t.apply(200, path, pod("x:2", json!([{"name": "A", "value": "1"}])))
        .await;
    t.apply(422, path, pod("x:2", json!([{"name": "A", "value": "2"}])))
        .await;
    let service = |ports: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": ports},
        })
    };
    let path = "services/s?fieldManager=one";
    t.apply(
        201,
        path,
        service(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}])),
    )
    .await;
    t.apply(
        200,
        path,
        service(json!([{"name": "b", "port": 2, "targetPort": "web"}])),
    )
    .await;
    t.apply(
        409,
        "services/s?fieldManager=two",
        service(json!([{"name": "c", "port": 2}])),
    )
    .await;
}

async fn applying_the_same_changes_nothing(t: &mut Trial<'_>) {
    let path = format!("{TOPICS}/a?fieldManager=one");
    for code in [201, 200, 200] {
        t.apply(
            code,
            &path,
            topic("a", json!({"partitions": 1, "config": {"a": "b"}})),
        )
        .await;
    }
    t.apply(
        200,
        &format!("{path}&dryRun=All"),
        topic("a", json!({"partitions": 2})),
    )
    .await;
    t.get(200, &format!("{TOPICS}/a")).await;
}

async fn finalizers_and_owners_are_applied(t: &mut Trial<'_>) {
    let owner = t
        .create(201, "configmaps", config_map("owner", json!({})))
        .await;
    let reference = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]});
    let body = |finalizers: Value, owners: Value| {
        let mut body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
        body["metadata"]["finalizers"] = finalizers;
        body["metadata"]["ownerReferences"] = owners;
        body
    };
    t.apply(
        201,
        "configmaps/a?fieldManager=one",
        body(json!(["test.dev/one"]), json!([reference])),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two",
        body(json!(["test.dev/two"]), json!([])),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=one",
        body(json!([]), json!([])),
    )
    .await;
    t.apply(
        200,
        "configmaps/a?fieldManager=two",
        body(json!([]), json!([])),
    )
    .await;
    let nameless = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "", "uid": ""}]);
    t.apply(
        422,
        "configmaps/a?fieldManager=one",
        body(json!([]), nameless),
    )
    .await;
    t.apply(
        422,
        "configmaps/a?fieldManager=one",
        body(json!(["unqualified"]), json!([])),
    )
    .await;
}
