//! Patches by merge, by operations, and in Kubernetes' strategic way.

use http::Method;
use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, gadget, pod, topic};
use crate::trial::Trial;

super::cases! {
    merges_add_change_and_remove,
    operations_are_done_in_order_or_not_at_all,
    strategic_merges_know_lists,
    patches_of_custom_resources,
    patches_are_guarded_by_version,
    patches_may_not_change_identity,
    broken_patches_are_refused,
}

async fn merges_add_change_and_remove(t: &mut Trial<'_>) {
    t.create(
        201,
        "configmaps",
        config_map("a", json!({"a": "1", "b": "2"})),
    )
    .await;
    t.merge(200, "configmaps/a", json!({"data": {"a": null, "c": "3"}}))
        .await;
    t.merge(200, "configmaps/a", json!({"data": null})).await;
    t.merge(200, "configmaps/a", json!({})).await;
    t.merge(
        200,
        "configmaps/a",
        json!({"metadata": {"labels": {"x": "y"}}}),
    )
    .await;
    t.merge(404, "configmaps/none", json!({})).await;
    t.merge(422, "configmaps/a", json!({"data": {"a": 1}}))
        .await;
    t.merge(422, "configmaps/a", json!({"data": []})).await;
}

async fn operations_are_done_in_order_or_not_at_all(t: &mut Trial<'_>) {
    t.create(
        201,
        "configmaps",
        config_map("a", json!({"a": "1", "b": "2"})),
    )
    .await;
    t.json_patch(
        200,
        "configmaps/a",
        json!([
            {"op": "test", "path": "/data/a", "value": "1"},
            {"op": "replace", "path": "/data/a", "value": "2"},
            {"op": "add", "path": "/data/d", "value": "3"},
            {"op": "copy", "from": "/data/d", "path": "/data/e"},
            {"op": "move", "from": "/data/d", "path": "/data/f"},
            {"op": "add", "path": "/metadata/labels", "value": {"x": "y"}},
        ]),
    )
    .await;
    t.json_patch(422, "configmaps/a", json!([{"op": "add", "path": "/data/z", "value": "1"}, {"op": "test", "path": "/data/a", "value": "9"}])).await;
    t.json_patch(
        422,
        "configmaps/a",
        json!([{"op": "remove", "path": "/data/none"}]),
    )
    .await;
    t.json_patch(
        200,
        "configmaps/a",
        json!([{"op": "replace", "path": "/data/none", "value": "1"}]),
    )
    .await;
    t.json_patch(
        422,
        "configmaps/a",
        json!([{"op": "add", "path": "/none/none", "value": "1"}]),
    )
    .await;
    t.json_patch(
        422,
        "configmaps/a",
        json!([{"op": "test", "path": "/data/none", "value": null}]),
    )
    .await;
    t.json_patch(200, "configmaps/a", json!([])).await;
    t.get(200, "configmaps/a").await;
}

async fn strategic_merges_know_lists(t: &mut Trial<'_>) {
    let mut body = pod("a");
    body["spec"]["automountServiceAccountToken"] = false.into();
    body["metadata"]["finalizers"] = json!(["test.dev/a"]);
    t.create(201, "pods", body).await;
    t.strategic(
        200,
        "pods/a",
        json!({"spec": {"containers": [{"name": "main", "image": "x:3"}]}}),
    )
    .await;
    t.strategic(
        200,
        "pods/a",
        json!({"metadata": {"finalizers": ["test.dev/b"]}}),
    )
    .await;
    t.strategic(
        200,
        "pods/a",
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["test.dev/a"]}}),
    )
    .await;
    t.strategic(
        200,
        "pods/a",
        json!({"metadata": {"labels": {"$patch": "replace", "only": "this"}}}),
    )
    .await;
    t.strategic(200, "pods/a", json!({"metadata": {"finalizers": [], "$deleteFromPrimitiveList/finalizers": ["test.dev/b"]}})).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
    t.create(201, "services", service).await;
    t.strategic(
        200,
        "services/s",
        json!({"spec": {"ports": [{"port": 1, "name": "c"}]}}),
    )
    .await;
    t.strategic(
        200,
        "services/s",
        json!({"spec": {"ports": [{"port": 2, "$patch": "delete"}]}}),
    )
    .await;
    t.strategic(
        200,
        "services/s",
        json!({"spec": {"ports": [{"$patch": "replace"}, {"port": 9, "name": "z"}]}}),
    )
    .await;
}

async fn patches_of_custom_resources(t: &mut Trial<'_>) {
    t.create(
        201,
        GADGETS,
        gadget("a", json!({"tags": ["x"], "ports": [{"number": 1}]})),
    )
    .await;
    let a = format!("{GADGETS}/a");
    t.merge(
        200,
        &a,
        json!({"spec": {"ports": [{"number": 2}], "tags": null}}),
    )
    .await;
    t.json_patch(
        200,
        &a,
        json!([{"op": "add", "path": "/spec/ports/-", "value": {"number": 3}}]),
    )
    .await;
    t.json_patch(200, &a, json!([{"op": "remove", "path": "/spec/ports/0"}]))
        .await;
    t.strategic(415, &a, json!({"spec": {}})).await;
    t.json_patch(422, &a, json!([{"op": "remove", "path": "/spec/ports/9"}]))
        .await;
}

async fn patches_are_guarded_by_version(t: &mut Trial<'_>) {
    let made = t.create(201, TOPICS, topic("a", json!({}))).await;
    let a = format!("{TOPICS}/a");
    let patch = json!({"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "spec": {"partitions": 2}});
    t.merge(200, &a, patch.clone()).await;
    t.merge(409, &a, patch).await;
    t.merge(409, &a, json!({"metadata": {"resourceVersion": "1"}}))
        .await;
    t.json_patch(
        422,
        &a,
        json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "1"}]),
    )
    .await;
    t.create(201, "configmaps", config_map("a", json!({})))
        .await;
    t.merge(
        409,
        "configmaps/a",
        json!({"metadata": {"resourceVersion": "1"}, "data": {"x": "y"}}),
    )
    .await;
}

async fn patches_may_not_change_identity(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    t.merge(400, "configmaps/a", json!({"metadata": {"name": "b"}}))
        .await;
    t.merge(400, "configmaps/a", json!({"metadata": {"namespace": "b"}}))
        .await;
    t.merge(422, "configmaps/a", json!({"kind": "Secret"}))
        .await;
    t.merge(422, "configmaps/a", json!({"metadata": {"creationTimestamp": null, "deletionTimestamp": "2026-01-01T00:00:00Z"}})).await;
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.merge(
        400,
        &format!("{TOPICS}/a"),
        json!({"metadata": {"name": "b"}}),
    )
    .await;
    t.merge(422, &format!("{TOPICS}/a"), json!({"kind": "Other"}))
        .await;
    t.merge(
        422,
        &format!("{TOPICS}/a"),
        json!({"apiVersion": "kafka.tubeway.dev/v2"}),
    )
    .await;
}

async fn broken_patches_are_refused(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({"a": "1"})))
        .await;
    let merge = "application/merge-patch+json";
    t.raw(400, Method::PATCH, "configmaps/a", merge, "{").await;
    t.raw(400, Method::PATCH, "configmaps/a", merge, "[]").await;
    t.raw(
        400,
        Method::PATCH,
        "configmaps/a",
        "application/json-patch+json",
        "{}",
    )
    .await;
    t.raw(415, Method::PATCH, "configmaps/a", "application/json", "{}")
        .await;
    t.raw(415, Method::PATCH, "configmaps/a", "text/plain", "{}")
        .await;
    t.json_patch(
        422,
        "configmaps/a",
        json!([{"op": "jump", "path": "/data"}]),
    )
    .await;
    let many: Vec<Value> = (0..10_001)
        .map(|_| json!({"op": "test", "path": "/data/a", "value": "1"}))
        .collect();
    t.json_patch(413, "configmaps/a", many.into()).await;
}
