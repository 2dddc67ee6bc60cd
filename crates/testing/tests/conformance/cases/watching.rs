//! Watches.

use serde_json::{Value, json};

use super::bodies::{GADGETS, TOPICS, config_map, gadget, labelled, topic};
use crate::trial::Trial;

super::cases! {
    a_watch_tells_all_since_a_version,
    a_selection_sees_objects_come_and_go,
    a_watch_can_begin_with_what_is_there,
    bookmarks_come_when_asked_for,
    an_old_version_is_gone,
    a_watch_of_metadata_or_rows,
    watch_parameters_are_checked,
    a_watch_ends_in_time,
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// `ADDED a` and so on.
fn kinds(events: &[Value]) -> Value {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                text(&event["type"]),
                text(&event["object"]["metadata"]["name"])
            )
        })
        .collect()
}

async fn a_watch_tells_all_since_a_version(t: &mut Trial<'_>) {
    for (path, first, second) in [
        (
            "configmaps",
            config_map("a", json!({})),
            config_map("b", json!({})),
        ),
        (TOPICS, topic("a", json!({})), topic("b", json!({}))),
    ] {
        let made = t.create(201, path, first).await;
        let from = version(&made);
        t.alias(
            &json!(format!("resourceVersion={from}")),
            "resourceVersion=<made>",
        );
        t.create(201, path, second).await;
        t.merge(
            200,
            &format!("{path}/a"),
            json!({"metadata": {"labels": {"x": "y"}}}),
        )
        .await;
        t.delete(200, &format!("{path}/b"), Value::Null).await;
        let events = t
            .watch(3, &format!("{path}?watch=true&resourceVersion={from}"))
            .await;
        t.note("events", kinds(&events));
        t.watch(
            1,
            &format!("{path}?watch=1&resourceVersion={from}&fieldSelector=metadata.name%3Da"),
        )
        .await;
    }
}

async fn a_selection_sees_objects_come_and_go(t: &mut Trial<'_>) {
    let made = t
        .create(201, "configmaps", labelled("a", json!({"l": "x"})))
        .await;
    let from = version(&made);
    t.alias(
        &json!(format!("resourceVersion={from}")),
        "resourceVersion=<made>",
    );
    t.create(201, "configmaps", labelled("b", json!({"l": "y"})))
        .await;
    t.merge(
        200,
        "configmaps/b",
        json!({"metadata": {"labels": {"l": "x"}}}),
    )
    .await;
    t.merge(200, "configmaps/a", json!({"data": {"k": "v"}}))
        .await;
    t.merge(
        200,
        "configmaps/a",
        json!({"metadata": {"labels": {"l": "y"}}}),
    )
    .await;
    t.merge(200, "configmaps/a", json!({"data": {"k": "w"}}))
        .await;
    t.delete(200, "configmaps/b", Value::Null).await;
    t.watch(
        4,
        &format!("configmaps?watch=true&labelSelector=l%3Dx&resourceVersion={from}"),
    )
    .await;
    let made = t
        .create(201, GADGETS, gadget("a", json!({"color": "red"})))
        .await;
    let from = version(&made);
    t.alias(
        &json!(format!("resourceVersion={from}")),
        "resourceVersion=<made>",
    );
    t.merge(
        200,
        &format!("{GADGETS}/a"),
        json!({"spec": {"color": "blue"}}),
    )
    .await;
    t.merge(
        200,
        &format!("{GADGETS}/a"),
        json!({"spec": {"color": "red"}}),
    )
    .await;
    t.watch(
        2,
        &format!("{GADGETS}?watch=true&fieldSelector=spec.color%3Dred&resourceVersion={from}"),
    )
    .await;
}

async fn a_watch_can_begin_with_what_is_there(t: &mut Trial<'_>) {
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.create(201, TOPICS, topic("b", json!({}))).await;
    t.watch(2, &format!("{TOPICS}?watch=true")).await;
    t.watch(2, &format!("{TOPICS}?watch=true&resourceVersion=0"))
        .await;
    let initial = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let events = t.watch_unnoted(3, &format!("{TOPICS}?{initial}")).await;
    t.note("events", kinds(&events));
    let bookmark = &events.last().cloned().unwrap_or_default();
    t.note(
        "annotations",
        bookmark["object"]["metadata"]["annotations"].clone(),
    );
    t.note("kind", bookmark["object"]["kind"].clone());
    t.note(
        "fields",
        bookmark["object"]
            .as_object()
            .map_or(Value::Null, |fields| fields.keys().cloned().collect()),
    );
    let events = t
        .watch_unnoted(1, &format!("configmaps?labelSelector=none&{initial}"))
        .await;
    t.note("events", kinds(&events));
}

async fn bookmarks_come_when_asked_for(t: &mut Trial<'_>) {
    t.create(201, TOPICS, topic("a", json!({}))).await;
    let made = t.create(201, TOPICS, topic("b", json!({}))).await;
    let from = version(&made);
    let events = t.watch_unnoted(9, &format!("{TOPICS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=4&resourceVersion={from}")).await;
    let bookmarks = events
        .iter()
        .filter(|event| event["type"] == "BOOKMARK")
        .count();
    t.note("bookmarks", bookmarks > 0);
    t.note("others", events.len() - bookmarks);
    let events = t
        .watch_unnoted(
            9,
            &format!("{TOPICS}?watch=true&timeoutSeconds=2&resourceVersion={from}"),
        )
        .await;
    t.note("without being asked for", events.len());
}

async fn an_old_version_is_gone(t: &mut Trial<'_>) {
    t.create(201, TOPICS, topic("a", json!({}))).await;
    t.watch(1, &format!("{TOPICS}?watch=true&resourceVersion=1"))
        .await;
    let list = t
        .get_unnoted(&format!("{TOPICS}?resourceVersion=99999999999"))
        .await;
    t.note(
        "a version to come",
        json!([
            list["code"],
            list["reason"],
            list["details"]["causes"][0]["reason"]
        ]),
    );
}

async fn a_watch_of_metadata_or_rows(t: &mut Trial<'_>) {
    let made = t.create(201, TOPICS, topic("a", json!({}))).await;
    let from = version(&made);
    t.alias(
        &json!(format!("resourceVersion={from}")),
        "resourceVersion=<made>",
    );
    t.merge(
        200,
        &format!("{TOPICS}/a"),
        json!({"spec": {"partitions": 2}}),
    )
    .await;
    t.accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
    t.watch(1, &format!("{TOPICS}?watch=true&resourceVersion={from}"))
        .await;
    t.accept("application/json;as=Table;v=v1;g=meta.k8s.io");
    let events = t
        .watch_unnoted(1, &format!("{TOPICS}?watch=true&resourceVersion={from}"))
        .await;
    t.note(
        "kind",
        events
            .first()
            .map_or(Value::Null, |event| event["object"]["kind"].clone()),
    );
}

async fn watch_parameters_are_checked(t: &mut Trial<'_>) {
    t.get(500, &format!("{TOPICS}?watch=true&resourceVersion=soon"))
        .await;
    t.get(400, &format!("{TOPICS}?watch=true&labelSelector=%3D"))
        .await;
    t.get(
        422,
        &format!("{TOPICS}?watch=true&resourceVersionMatch=NotOlderThan"),
    )
    .await;
    t.get(422, &format!("{TOPICS}?watch=true&sendInitialEvents=true"))
        .await;
    t.get(422, &format!("{TOPICS}?sendInitialEvents=true"))
        .await;
    t.get(400, &format!("{TOPICS}?watch=true&timeoutSeconds=long"))
        .await;
}

async fn a_watch_ends_in_time(t: &mut Trial<'_>) {
    let made = t.create(201, TOPICS, topic("a", json!({}))).await;
    let from = version(&made);
    let begun = std::time::Instant::now();
    let events = t
        .watch_unnoted(
            9,
            &format!("{TOPICS}?watch=true&timeoutSeconds=1&resourceVersion={from}"),
        )
        .await;
    t.note("events", events.len());
    let took = begun.elapsed().as_millis();
    t.note(
        "within ten seconds, after about one",
        (900..10_000).contains(&took),
    );
}
