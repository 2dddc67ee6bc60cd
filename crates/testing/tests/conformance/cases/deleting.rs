//! Deletion: preconditions, finalizers, owners.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, gadget, pod, topic};
use crate::trial::Trial;

super::cases! {
    dependents_of_custom_resources_go_too,
    dependents_go_with_their_owner,
    orphans_stay,
    in_the_foreground_dependents_go_first,
    an_owner_that_is_not_there_takes_its_dependents_along,
    deletion_answers_what_it_did,
    preconditions_guard_deletion,
    finalizers_hold_an_object,
    an_object_that_goes_gets_no_new_finalizers,
    collections_go_by_selector,
    pods_go_when_nobody_runs_them,
    pods_on_nodes_go_in_grace,
    deletion_options_are_checked,
}

fn owned(name: &str, owner: &Value, more: Value) -> Value {
    let mut reference = more;
    for field in ["apiVersion", "kind"] {
        reference[field] = owner[field].clone();
    }
    reference["name"] = owner["metadata"]["name"].clone();
    reference["uid"] = owner["metadata"]["uid"].clone();
    let mut body = config_map(name, json!({}));
    body["metadata"]["ownerReferences"] = json!([reference]);
    body
}

async fn dependents_of_custom_resources_go_too(t: &mut Trial<'_>) {
    let owner = t.create(201, TOPICS, topic("owner", json!({}))).await;
    t.create(
        201,
        "configmaps",
        owned(
            "a",
            &owner,
            json!({"controller": true, "blockOwnerDeletion": true}),
        ),
    )
    .await;
    t.delete(200, &format!("{TOPICS}/owner"), Value::Null).await;
    t.until_gone("configmaps/a").await;
}

async fn dependents_go_with_their_owner(t: &mut Trial<'_>) {
    let owner = t
        .create(201, "configmaps", config_map("owner", json!({})))
        .await;
    let child = t
        .create(
            201,
            "configmaps",
            owned("child", &owner, json!({"controller": true})),
        )
        .await;
    t.create(201, "configmaps", owned("grandchild", &child, json!({})))
        .await;
    let other = t
        .create(201, "configmaps", config_map("other", json!({})))
        .await;
    let mut both = owned("both", &owner, json!({}));
    let more = owned("x", &other, json!({}));
    both["metadata"]["ownerReferences"]
        .as_array_mut()
        .unwrap()
        .push(more["metadata"]["ownerReferences"][0].clone());
    t.create(201, "configmaps", both).await;
    t.delete(200, "configmaps/owner", Value::Null).await;
    t.until_gone("configmaps/grandchild").await;
    t.get(404, "configmaps/child").await;
    // It has another owner; the one that is gone is struck off.
    t.until("configmaps/both", |_, body| {
        body["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    })
    .await;
    t.get(200, "configmaps/both").await;
}

async fn orphans_stay(t: &mut Trial<'_>) {
    let owner = t
        .create(201, "configmaps", config_map("owner", json!({})))
        .await;
    t.create(201, "configmaps", owned("child", &owner, json!({})))
        .await;
    t.delete(
        200,
        "configmaps/owner?propagationPolicy=Orphan",
        Value::Null,
    )
    .await;
    t.until_gone("configmaps/owner").await;
    t.until("configmaps/child", |_, body| {
        body["metadata"].get("ownerReferences").is_none()
    })
    .await;
    let child = t.get(200, "configmaps/child").await;
    t.note("owners", child["metadata"]["ownerReferences"].clone());
}

async fn in_the_foreground_dependents_go_first(t: &mut Trial<'_>) {
    let owner = t
        .create(201, "configmaps", config_map("owner", json!({})))
        .await;
    let mut child = owned("child", &owner, json!({"blockOwnerDeletion": true}));
    child["metadata"]["finalizers"] = json!(["test.dev/hold"]);
    t.create(201, "configmaps", child).await;
    t.delete(
        200,
        "configmaps/owner",
        json!({"propagationPolicy": "Foreground"}),
    )
    .await;
    t.until("configmaps/child", |_, body| {
        body["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    let owner = t.get(200, "configmaps/owner").await;
    t.note("finalizers", owner["metadata"]["finalizers"].clone());
    t.merge(
        200,
        "configmaps/child",
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    t.until_gone("configmaps/owner").await;
}

async fn an_owner_that_is_not_there_takes_its_dependents_along(t: &mut Trial<'_>) {
    let mut owner = config_map("never", json!({}));
    owner["metadata"]["uid"] = "00000000-0000-0000-0000-00000000beef".into();
    t.create(201, "configmaps", owned("a", &owner, json!({})))
        .await;
    t.until_gone("configmaps/a").await;
}

async fn deletion_answers_what_it_did(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({})))
        .await;
    t.delete(200, "configmaps/a", Value::Null).await;
    t.delete(404, "configmaps/a", Value::Null).await;
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.delete(200, &format!("{TOPICS}/a"), json!({})).await;
    t.delete(404, &format!("{TOPICS}/a"), Value::Null).await;
    for (path, kind) in [
        ("services", "Service"),
        ("serviceaccounts", "ServiceAccount"),
        ("secrets", "Secret"),
    ] {
        let mut body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "d"}});
        if kind == "Service" {
            body["spec"] = json!({"clusterIP": "None"});
        }
        t.create(201, path, body).await;
        t.delete(200, &format!("{path}/d"), Value::Null).await;
    }
    t.delete(404, "/api/v1/namespaces/none", Value::Null).await;
}

async fn preconditions_guard_deletion(t: &mut Trial<'_>) {
    for (path, body) in [
        ("configmaps", config_map("a", json!({"a": "1"}))),
        (TOPICS, topic("a", json!({}))),
    ] {
        let made = t.create(201, path, body).await;
        let a = format!("{path}/a");
        let wrong = "00000000-0000-0000-0000-000000000000";
        t.delete(409, &a, json!({"preconditions": {"uid": wrong}}))
            .await;
        t.delete(409, &a, json!({"preconditions": {"resourceVersion": "1"}}))
            .await;
        t.delete(
            409,
            &a,
            json!({"preconditions": {"uid": wrong, "resourceVersion": "1"}}),
        )
        .await;
        let changed = t
            .merge(200, &a, json!({"metadata": {"labels": {"x": "y"}}}))
            .await;
        t.delete(
            409,
            &a,
            json!({"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}}),
        )
        .await;
        let both = json!({"uid": made["metadata"]["uid"], "resourceVersion": changed["metadata"]["resourceVersion"]});
        t.delete(200, &a, json!({"preconditions": both})).await;
    }
}

async fn finalizers_hold_an_object(t: &mut Trial<'_>) {
    for (path, mut body) in [
        ("configmaps", config_map("a", json!({}))),
        (TOPICS, topic("a", json!({}))),
    ] {
        let a = format!("{path}/a");
        body["metadata"]["finalizers"] = json!(["test.dev/one", "test.dev/two"]);
        t.create(201, path, body.clone()).await;
        t.delete(200, &a, Value::Null).await;
        t.delete(200, &a, Value::Null).await;
        t.create(409, path, body).await;
        t.json_patch(
            200,
            &a,
            json!([{"op": "remove", "path": "/metadata/finalizers/0"}]),
        )
        .await;
        t.get(200, &a).await;
        t.merge(200, &a, json!({"metadata": {"labels": {"still": "here"}}}))
            .await;
        t.merge(200, &a, json!({"metadata": {"finalizers": []}}))
            .await;
        t.get(404, &a).await;
    }
}

async fn an_object_that_goes_gets_no_new_finalizers(t: &mut Trial<'_>) {
    let mut body = topic("a", json!({}));
    body["metadata"]["finalizers"] = json!(["test.dev/one"]);
    t.create(201, TOPICS, body).await;
    let a = format!("{TOPICS}/a");
    t.delete(200, &a, Value::Null).await;
    t.merge(
        422,
        &a,
        json!({"metadata": {"finalizers": ["test.dev/one", "test.dev/two"]}}),
    )
    .await;
    t.merge(200, &a, json!({"spec": {"partitions": 5}})).await;
    t.merge(200, &a, json!({"metadata": {"deletionTimestamp": null}}))
        .await;
    t.merge(200, &a, json!({"metadata": {"finalizers": null}}))
        .await;
    t.get(404, &a).await;
}

async fn collections_go_by_selector(t: &mut Trial<'_>) {
    for name in ["a", "b", "c"] {
        let mut body = gadget(name, json!({}));
        body["metadata"]["labels"] = json!({"keep": (name == "c").to_string()});
        t.create(201, GADGETS, body).await;
    }
    t.delete(
        200,
        &format!("{GADGETS}?labelSelector=keep%3Dfalse"),
        Value::Null,
    )
    .await;
    let left = t.get(200, GADGETS).await;
    t.note("left", left["items"].as_array().map_or(0, Vec::len));
    t.delete(
        400,
        &format!("{GADGETS}?labelSelector=%3D%3D%3D"),
        Value::Null,
    )
    .await;
    t.delete(200, &format!("{GADGETS}?dryRun=All"), Value::Null)
        .await;
    t.delete(200, GADGETS, Value::Null).await;
    t.get(200, GADGETS).await;
}

async fn pods_go_when_nobody_runs_them(t: &mut Trial<'_>) {
    let mut body = pod("a");
    body["spec"]["automountServiceAccountToken"] = false.into();
    t.create(201, "pods", body).await;
    t.delete(200, "pods/a", Value::Null).await;
    t.get(404, "pods/a").await;
}

async fn pods_on_nodes_go_in_grace(t: &mut Trial<'_>) {
    let body = |name: &str| {
        let mut body = pod(name);
        body["spec"]["automountServiceAccountToken"] = false.into();
        body["spec"]["nodeName"] = "nowhere".into();
        body["spec"]["terminationGracePeriodSeconds"] = 60.into();
        body["metadata"]["finalizers"] = json!(["test.dev/hold"]);
        body
    };
    t.create(201, "pods", body("a")).await;
    t.delete(200, "pods/a", json!({"gracePeriodSeconds": 20}))
        .await;
    t.delete(200, "pods/a", json!({"gracePeriodSeconds": 40}))
        .await;
    t.delete(200, "pods/a", json!({"gracePeriodSeconds": 0}))
        .await;
    t.merge(200, "pods/a", json!({"metadata": {"finalizers": null}}))
        .await;
    t.until_gone("pods/a").await;
    t.create(201, "pods", body("b")).await;
    t.delete(200, "pods/b?gracePeriodSeconds=0", Value::Null)
        .await;
    t.merge(200, "pods/b", json!({"metadata": {"finalizers": null}}))
        .await;
}

async fn deletion_options_are_checked(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({})))
        .await;
    t.delete(
        422,
        "configmaps/a",
        json!({"propagationPolicy": "Sideways"}),
    )
    .await;
    t.delete(
        422,
        "configmaps/a",
        json!({"propagationPolicy": "Orphan", "orphanDependents": true}),
    )
    .await;
    t.delete(422, "configmaps/a", json!({"dryRun": ["Some"]}))
        .await;
    t.delete(400, "configmaps/a?gracePeriodSeconds=soon", Value::Null)
        .await;
    t.raw(
        400,
        http::Method::DELETE,
        "configmaps/a",
        "application/json",
        "{",
    )
    .await;
    t.get(200, "configmaps/a").await;
}
