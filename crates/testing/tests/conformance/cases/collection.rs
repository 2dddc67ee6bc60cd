//! Namespaces that end, and what is in them.

use serde_json::{Value, json};

use super::bodies::{TOPICS, config_map, topic};
use crate::trial::Trial;

super::cases! {
    a_namespace_takes_all_with_it,
    a_namespace_waits_for_finalizers_and_takes_nothing_new,
    namespaces_are_labelled_and_furnished,
}

async fn a_namespace_takes_all_with_it(t: &mut Trial<'_>) {
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.create(201, "configmaps", config_map("a", json!({})))
        .await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    t.create(201, "secrets", secret).await;
    let path = format!("/api/v1/namespaces/{}", t.namespace);
    t.delete(200, &path, Value::Null).await;
    t.until_gone(&path).await;
    t.get(404, &format!("{TOPICS}/a")).await;
    t.get(200, "configmaps").await;
    t.get(404, "secrets/a").await;
    t.create(404, "configmaps", config_map("b", json!({})))
        .await;
}

async fn a_namespace_waits_for_finalizers_and_takes_nothing_new(t: &mut Trial<'_>) {
    let mut held = topic("a", json!({}));
    held["metadata"]["finalizers"] = json!(["test.dev/hold"]);
    t.create(201, TOPICS, held).await;
    let path = format!("/api/v1/namespaces/{}", t.namespace);
    t.delete(200, &path, Value::Null).await;
    t.until(&format!("{TOPICS}/a"), |_, body| {
        body["metadata"]["deletionTimestamp"].is_string()
    })
    .await;
    t.create(403, "configmaps", config_map("b", json!({})))
        .await;
    t.create(403, TOPICS, topic("b", json!({}))).await;
    t.apply(
        403,
        "configmaps/c?fieldManager=m",
        config_map("c", json!({})),
    )
    .await;
    t.merge(
        200,
        &format!("{TOPICS}/a"),
        json!({"metadata": {"labels": {"x": "y"}}}),
    )
    .await;
    let namespace = t.get_unnoted(&path).await;
    t.note("phase", namespace["status"]["phase"].clone());
    t.note("finalizers", namespace["spec"]["finalizers"].clone());
    t.merge(
        200,
        &format!("{TOPICS}/a"),
        json!({"metadata": {"finalizers": null}}),
    )
    .await;
    t.until_gone(&path).await;
}

async fn namespaces_are_labelled_and_furnished(t: &mut Trial<'_>) {
    let name = format!("{}-2", t.namespace);
    let path = format!("/api/v1/namespaces/{name}");
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"team": "a"}}});
    t.create(201, "/api/v1/namespaces", body.clone()).await;
    t.create(409, "/api/v1/namespaces", body).await;
    t.merge(
        200,
        &path,
        json!({"metadata": {"labels": {"team": null, "mesh": "on"}}}),
    )
    .await;
    t.merge(200, &path, json!({"spec": {"finalizers": null}}))
        .await;
    t.until(&format!("{path}/serviceaccounts/default"), |code, _| {
        code == 200
    })
    .await;
    t.until(&format!("{path}/configmaps/kube-root-ca.crt"), |code, _| {
        code == 200
    })
    .await;
    let map = t
        .get_unnoted(&format!("{path}/configmaps/kube-root-ca.crt"))
        .await;
    let certificate = map["data"]["ca.crt"].as_str().unwrap_or_default();
    t.note(
        "a certificate",
        certificate.starts_with("-----BEGIN CERTIFICATE-----"),
    );
    let account = t
        .get_unnoted(&format!("{path}/serviceaccounts/default"))
        .await;
    t.note("secrets of the account", account["secrets"].clone());
}
