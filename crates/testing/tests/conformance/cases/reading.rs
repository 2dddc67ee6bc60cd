//! Lists, pages, selectors, and the forms of answers.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, gadget, labelled, pod, topic};
use crate::trial::Trial;

super::cases! {
    lists_come_in_pages,
    labels_select,
    fields_select,
    versions_of_lists,
    all_namespaces_at_once,
    tables_for_people,
    metadata_alone,
    server_says_what_it_is,
}

fn names(list: &Value) -> Value {
    let items = list["items"].as_array().into_iter().flatten();
    items.map(|item| item["metadata"]["name"].clone()).collect()
}

async fn lists_come_in_pages(t: &mut Trial<'_>) {
    for at in 0..5 {
        t.create(201, TOPICS, topic(&format!("t{at}"), json!({})))
            .await;
    }
    let first = t.get(200, &format!("{TOPICS}?limit=2")).await;
    t.delete(200, &format!("{TOPICS}/t3"), Value::Null).await;
    let token = first["metadata"]["continue"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    t.alias(&json!(token), "<token of the page>");
    let second = t
        .get(200, &format!("{TOPICS}?limit=2&continue={token}"))
        .await;
    t.note("as it was", names(&second));
    t.note(
        "of one state",
        second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"],
    );
    let token = second["metadata"]["continue"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    t.alias(&json!(token), "<token of the next page>");
    t.get(200, &format!("{TOPICS}?limit=2&continue={token}"))
        .await;
    t.get(200, &format!("{TOPICS}?limit=10")).await;
    t.get(400, &format!("{TOPICS}?limit=2&continue=rubbish"))
        .await;
    t.get(
        400,
        &format!("{TOPICS}?limit=2&continue={token}&resourceVersion=1"),
    )
    .await;
    t.get(400, &format!("{TOPICS}?limit=many")).await;
    let selected = t
        .get(200, &format!("{TOPICS}?limit=1&labelSelector=none"))
        .await;
    t.note(
        "remaining",
        selected["metadata"]["remainingItemCount"].clone(),
    );
}

async fn labels_select(t: &mut Trial<'_>) {
    t.create(
        201,
        "configmaps",
        labelled("a", json!({"app": "x", "tier": "1"})),
    )
    .await;
    t.create(
        201,
        "configmaps",
        labelled("b", json!({"app": "x", "tier": "2"})),
    )
    .await;
    t.create(201, "configmaps", labelled("c", json!({"app": "y"})))
        .await;
    for selector in [
        "app%3Dx",
        "app%3D%3Dx,tier%3D2",
        "app!%3Dx",
        "tier",
        "!tier",
        "app%20in%20(x,y),tier%20notin%20(1)",
        "tier%3E1",
        "tier%3C2",
        "app%20in%20(z)",
        "app%3D",
        "app%20in%20()",
    ] {
        // One of them a controller makes, with a certificate in it.
        let list = t
            .get_unnoted(&format!("configmaps?labelSelector={selector}"))
            .await;
        t.note(selector, names(&list));
    }
    for selector in [
        "app%20in%20x",
        "%3D",
        "a%20b",
        "app%3Dx%20y",
        "app%3Ethree",
        "UPPER/..%3Dx",
    ] {
        t.get(400, &format!("configmaps?labelSelector={selector}"))
            .await;
    }
}

async fn fields_select(t: &mut Trial<'_>) {
    t.create(201, "configmaps", config_map("a", json!({})))
        .await;
    t.create(201, "configmaps", config_map("b", json!({})))
        .await;
    t.create(201, GADGETS, gadget("a", json!({"color": "red"})))
        .await;
    t.create(201, GADGETS, gadget("b", json!({"color": "blue"})))
        .await;
    let mut body = pod("p");
    body["spec"]["automountServiceAccountToken"] = false.into();
    body["spec"]["nodeName"] = "n1".into();
    t.create(201, "pods", body).await;
    for path in [
        "configmaps?fieldSelector=metadata.name%3Da",
        "configmaps?fieldSelector=metadata.name!%3Da,metadata.name!%3Dkube-root-ca.crt",
        "test.tubeway.dev/v1/gadgets?fieldSelector=metadata.name%3Da",
        "test.tubeway.dev/v1/gadgets?fieldSelector=spec.color%3Dred",
        "test.tubeway.dev/v1/gadgets?fieldSelector=metadata.namespace%3Dother",
        "pods?fieldSelector=spec.nodeName%3Dn1,status.phase%3DPending",
        "pods?fieldSelector=spec.nodeName%3Dn2",
        "pods?fieldSelector=status.phase!%3DPending",
    ] {
        let list = t.get(200, path).await;
        t.note(path, names(&list));
    }
    for path in [
        "configmaps?fieldSelector=data.a%3D1",
        "configmaps?fieldSelector=metadata.name",
        "test.tubeway.dev/v1/gadgets?fieldSelector=spec.replicas%3D1",
        "kafka.tubeway.dev/v1alpha1/kafkatopics?fieldSelector=spec.partitions%3D1",
        "pods?fieldSelector=spec.hostname%3D1",
    ] {
        t.get(400, path).await;
    }
}

async fn versions_of_lists(t: &mut Trial<'_>) {
    let made = t.create(201, TOPICS, topic("a", json!({}))).await;
    let version = made["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    t.alias(
        &json!(format!("resourceVersion={version}")),
        "resourceVersion=<made>",
    );
    t.get(200, &format!("{TOPICS}?resourceVersion=0")).await;
    let list = t
        .get(
            200,
            &format!("{TOPICS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan"),
        )
        .await;
    t.note("names", names(&list));
    let list = t
        .get(
            200,
            &format!("{TOPICS}?resourceVersion={version}&resourceVersionMatch=Exact"),
        )
        .await;
    t.note("names", names(&list));
    t.get(400, &format!("{TOPICS}?resourceVersion=soon")).await;
    t.get(422, &format!("{TOPICS}?resourceVersionMatch=Exact"))
        .await;
    t.get(
        422,
        &format!("{TOPICS}?resourceVersion=0&resourceVersionMatch=Exact"),
    )
    .await;
    t.get(
        422,
        &format!("{TOPICS}?resourceVersion=1&resourceVersionMatch=Perhaps"),
    )
    .await;
    t.get(200, &format!("{TOPICS}/a?resourceVersion=0")).await;
}

async fn all_namespaces_at_once(t: &mut Trial<'_>) {
    let mut body = gadget("everywhere", json!({}));
    body["metadata"]["labels"] = json!({"case": "all-namespaces"});
    t.create(201, GADGETS, body).await;
    t.get(
        200,
        "/apis/test.tubeway.dev/v1/gadgets?labelSelector=case%3Dall-namespaces",
    )
    .await;
    t.get(200, "/api/v1/configmaps?labelSelector=case%3Dnone")
        .await;
    t.create(
        404,
        "/apis/test.tubeway.dev/v1/gadgets",
        gadget("x", json!({})),
    )
    .await;
    t.delete(405, "/api/v1/configmaps", Value::Null).await;
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn tables_for_people(t: &mut Trial<'_>) {
    t.create(
        201,
        TOPICS,
        topic("a", json!({"partitions": 3, "topicName": "x"})),
    )
    .await;
    let ready = json!({"status": {"partitions": 3, "topicName": "x", "conditions": [{"type": "Ready", "status": "True", "reason": "A", "message": "fine", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    t.merge(200, &format!("{TOPICS}/a/status"), ready).await;
    for path in [
        TOPICS.to_owned(),
        format!("{TOPICS}/a"),
        format!("{TOPICS}?includeObject=None"),
    ] {
        let mut table = t.get_as_unnoted(&path, TABLE).await;
        t.note("columns", table["columnDefinitions"].take());
        let mut rows = table["rows"].take();
        for row in rows.as_array_mut().into_iter().flatten() {
            // The age, which is the last of the columns.
            let cells = row["cells"].as_array_mut().unwrap();
            cells.pop();
        }
        t.note("rows", rows);
    }
    t.create(201, "configmaps", labelled("a", json!({"case": "tables"})))
        .await;
    let mut table = t
        .get_as_unnoted("configmaps?labelSelector=case%3Dtables", TABLE)
        .await;
    let names: Vec<Value> = table["columnDefinitions"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .map(|column| column["name"].take())
        .collect();
    t.note("columns", names);
}

async fn metadata_alone(t: &mut Trial<'_>) {
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.create(
        201,
        "configmaps",
        labelled("a", json!({"case": "metadata"})),
    )
    .await;
    let one = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let list = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    t.get_as(200, &format!("{TOPICS}/a"), one).await;
    t.get_as(200, TOPICS, list).await;
    t.get_as(200, "configmaps/a", one).await;
    t.get_as(200, "configmaps?labelSelector=case%3Dmetadata", list)
        .await;
    t.get_as(406, "configmaps/a", "text/html").await;
    t.get_as(200, "configmaps/a", "*/*").await;
}

async fn server_says_what_it_is(t: &mut Trial<'_>) {
    for path in ["/healthz", "/livez", "/readyz"] {
        t.get(200, path).await;
    }
    let version = t.get_unnoted("/version").await;
    t.note("major", version["major"].clone());
    t.get(200, "/apis/coordination.k8s.io").await;
    t.get(404, "/nothing/here").await;
}
