//! Requests that make no sense, and the bodies of the refusals.

use http::Method;
use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, topic};
use crate::trial::Trial;

super::cases! {
    what_is_not_there,
    bodies_that_are_no_objects,
    kinds_and_versions_that_do_not_match,
    methods_that_do_not_exist,
    media_types_that_are_not_known,
    objects_too_large,
    yaml_is_as_good_as_json,
}

async fn what_is_not_there(t: &mut Trial<'_>) {
    t.get(404, "configmaps/none").await;
    t.get(404, "kafka.tubeway.dev/v1alpha1/kafkatopics/none")
        .await;
    t.get(404, "nothings").await;
    t.get(404, "nothings/a").await;
    t.get(404, "kafka.tubeway.dev/v1alpha1/nothings").await;
    t.get(404, "none.tubeway.dev/v1/nothings/a").await;
    t.get(404, "kafka.tubeway.dev/v9/kafkatopics").await;
    t.get(404, "configmaps/none/status").await;
    t.get(200, "/api/v1/namespaces/nowhere/configmaps").await;
    t.get(404, "/api/v1/namespaces/nowhere/configmaps/a").await;
    t.get(404, "/api/v1/nodes/none").await;
    t.get(404, "/apis/rbac.authorization.k8s.io/v1/clusterroles/none")
        .await;
    t.create(404, "nothings", json!({})).await;
    t.merge(404, "secrets/none", json!({})).await;
}

async fn bodies_that_are_no_objects(t: &mut Trial<'_>) {
    for path in ["configmaps", TOPICS] {
        t.raw(400, Method::POST, path, "application/json", "").await;
        t.raw(400, Method::POST, path, "application/json", "[]")
            .await;
        t.raw(400, Method::POST, path, "application/json", "\"text\"")
            .await;
        t.raw(400, Method::POST, path, "application/json", "{")
            .await;
        t.raw(400, Method::POST, path, "application/json", "{\"kind\": 3}")
            .await;
    }
}

async fn kinds_and_versions_that_do_not_match(t: &mut Trial<'_>) {
    // The kind of a built-in resource is known by the path.
    t.create(
        201,
        "configmaps",
        json!({"metadata": {"name": "a"}, "data": {}}),
    )
    .await;
    t.create(
        400,
        TOPICS,
        json!({"metadata": {"name": "a"}, "spec": {"cluster": {"name": "c"}}}),
    )
    .await;
    t.create(
        400,
        "configmaps",
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}),
    )
    .await;
    t.create(
        400,
        "configmaps",
        json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "b"}}),
    )
    .await;
    let mut wrong = topic("b", json!({}));
    wrong["kind"] = "KafkaUser".into();
    t.create(422, TOPICS, wrong.clone()).await;
    wrong["kind"] = "KafkaTopic".into();
    wrong["apiVersion"] = "kafka.tubeway.dev/v1".into();
    t.create(400, TOPICS, wrong).await;
    t.create(
        400,
        TOPICS,
        json!({"apiVersion": "kafka.tubeway.dev/v1alpha1", "metadata": {"name": "a"}}),
    )
    .await;
    t.create(
        400,
        TOPICS,
        json!({"kind": "KafkaTopic", "metadata": {"name": "a"}}),
    )
    .await;
}

async fn methods_that_do_not_exist(t: &mut Trial<'_>) {
    t.raw(405, Method::PUT, "configmaps", "application/json", "{}")
        .await;
    t.raw(405, Method::POST, "configmaps/a", "application/json", "{}")
        .await;
    t.raw(
        405,
        Method::PATCH,
        "configmaps",
        "application/merge-patch+json",
        "{}",
    )
    .await;
    t.raw(400, Method::PUT, TOPICS, "application/json", "{}")
        .await;
    t.raw(
        400,
        Method::POST,
        &format!("{GADGETS}/a"),
        "application/json",
        "{}",
    )
    .await;
    t.raw(
        405,
        Method::DELETE,
        &format!("{GADGETS}/a/status"),
        "application/json",
        "",
    )
    .await;
    t.get(405, "/apis/authorization.k8s.io/v1/subjectaccessreviews")
        .await;
    t.delete(405, "/api/v1/namespaces", Value::Null).await;
    t.delete(200, "services?dryRun=All", Value::Null).await;
}

async fn media_types_that_are_not_known(t: &mut Trial<'_>) {
    t.raw(415, Method::POST, "configmaps", "text/plain", "{}")
        .await;
    t.raw(415, Method::POST, TOPICS, "application/xml", "<a/>")
        .await;
    t.create(201, "configmaps", config_map("a", json!({})))
        .await;
    t.raw(415, Method::PUT, "configmaps/a", "text/plain", "{}")
        .await;
    t.get_as(
        406,
        &format!("{TOPICS}/none"),
        "application/vnd.kubernetes.protobuf",
    )
    .await;
}

async fn objects_too_large(t: &mut Trial<'_>) {
    let large = "x".repeat(1_100_000);
    t.create(422, "configmaps", config_map("a", json!({"a": large})))
        .await;
    // Not by much: Go's server reads 256 KiB on and then closes, and who is still writing by
    // then may see a broken pipe instead of the answer.
    let huge = json!({"a": "x".repeat(3 << 20)}).to_string();
    t.raw(413, Method::POST, "configmaps", "application/json", &huge)
        .await;
    let mut noted = config_map("b", json!({}));
    noted["metadata"]["annotations"] = json!({"a": "x".repeat(300_000)});
    t.create(422, "configmaps", noted).await;
}

async fn yaml_is_as_good_as_json(t: &mut Trial<'_>) {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  number: \"1\"\n  text: |\n    two\n    lines\n";
    t.raw(201, Method::POST, "configmaps", "application/yaml", text)
        .await;
    let text = "apiVersion: kafka.tubeway.dev/v1alpha1\nkind: KafkaTopic\nmetadata: {name: a}\nspec:\n  cluster: {name: c}\n  partitions: 3\n";
    t.raw(201, Method::POST, TOPICS, "application/yaml", text)
        .await;
    t.raw(
        400,
        Method::POST,
        "configmaps",
        "application/yaml",
        "data: {a: on",
    )
    .await;
    t.raw(
        400,
        Method::POST,
        "configmaps",
        "application/yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {a: 1}\n",
    )
    .await;
}
