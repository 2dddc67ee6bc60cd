//! Watches and controllers through kube-rs.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, World, define, eventually, topic, topics};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    Api, DeleteParams, Patch, PatchParams, PostParams, ResourceExt, WatchEvent, WatchParams,
};
use kube::runtime::controller::Action;
use kube::runtime::{Controller, watcher};
use serde_json::json;

fn config_map(name: &str, label: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"l": label}}, "data": {}}))
        .unwrap()
}

/// `ADDED name` and so on, for a given number of events.
async fn seen(
    stream: impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>>,
    count: usize,
) -> Vec<String> {
    let events = stream.take(count).map_ok(|event| match event {
        WatchEvent::Added(o) => format!("ADDED {}", o.name_any()),
        WatchEvent::Modified(o) => format!("MODIFIED {}", o.name_any()),
        WatchEvent::Deleted(o) => format!("DELETED {}", o.name_any()),
        WatchEvent::Bookmark(_) => "BOOKMARK".into(),
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.reason),
    });
    tokio::time::timeout(PATIENCE, events.try_collect())
        .await
        .expect("events in time")
        .unwrap()
}

#[tokio::test]
async fn a_selection_sees_objects_come_and_go() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let from = maps
        .create(&PostParams::default(), &config_map("a", "x"))
        .await
        .unwrap()
        .resource_version()
        .unwrap();
    maps.create(&PostParams::default(), &config_map("b", "y"))
        .await
        .unwrap();
    let relabel = |label: &str| Patch::Merge(json!({"metadata": {"labels": {"l": label}}}));
    maps.patch("b", &PatchParams::default(), &relabel("x"))
        .await
        .unwrap();
    maps.patch(
        "a",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"k": "v"}})),
    )
    .await
    .unwrap();
    maps.patch("a", &PatchParams::default(), &relabel("y"))
        .await
        .unwrap();
    maps.delete("b", &DeleteParams::default()).await.unwrap();
    let wanted = ["ADDED b", "MODIFIED a", "DELETED a", "DELETED b"];
    let stream = maps
        .watch(&WatchParams::default().labels("l=x"), &from)
        .await
        .unwrap();
    assert_eq!(seen(stream, 4).await, wanted);
    let stream = maps
        .watch(&WatchParams::default().fields("metadata.name=b"), &from)
        .await
        .unwrap();
    assert_eq!(
        seen(stream, 3).await,
        ["ADDED b", "MODIFIED b", "DELETED b"]
    );
    let rest = maps
        .watch(&WatchParams::default().labels("l=x").timeout(1), &from)
        .await
        .unwrap();
    assert_eq!(seen(rest, usize::MAX).await, wanted, "and then it ends");
}

#[tokio::test]
async fn a_version_of_before_the_restart_is_too_old() {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let old = maps
        .create(&PostParams::default(), &config_map("a", "x"))
        .await
        .unwrap()
        .resource_version()
        .unwrap();
    maps.create(&PostParams::default(), &config_map("b", "x"))
        .await
        .unwrap();
    let world = world.restart().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    let stream = maps.watch(&WatchParams::default(), &old).await.unwrap();
    assert_eq!(seen(stream, 1).await, ["ERROR 410 Expired"]);
}

async fn follows(config: watcher::Config) {
    let world = World::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(world.admin().await);
    maps.create(&PostParams::default(), &config_map("a", "x"))
        .await
        .unwrap();
    let mut events = std::pin::pin!(watcher(maps.clone(), config.labels("l=x")));
    let mut next = async || {
        tokio::time::timeout(PATIENCE, events.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    };
    assert!(matches!(next().await, watcher::Event::Init));
    assert!(matches!(next().await, watcher::Event::InitApply(o) if o.name_any() == "a"));
    assert!(matches!(next().await, watcher::Event::InitDone));
    maps.create(&PostParams::default(), &config_map("b", "x"))
        .await
        .unwrap();
    assert!(matches!(next().await, watcher::Event::Apply(o) if o.name_any() == "b"));
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(matches!(next().await, watcher::Event::Delete(o) if o.name_any() == "a"));
}

#[tokio::test]
async fn a_watcher_that_lists_first() {
    follows(watcher::Config::default()).await;
}

#[tokio::test]
async fn a_watcher_that_streams_the_list() {
    follows(watcher::Config::default().streaming_lists()).await;
}

#[tokio::test]
async fn a_controller_reconciles_what_it_owns() {
    let world = World::start().await;
    let client = world.admin().await;
    define(client.clone()).await;
    let (topics, maps) = (
        topics(client.clone()),
        Api::<ConfigMap>::default_namespaced(client),
    );
    let kind = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(
        "test.dev", "v1", "Topic",
    ));
    let controller = Controller::new_with(topics.clone(), watcher::Config::default(), kind)
        .owns(maps.clone(), watcher::Config::default())
        .run(
            |topic, maps: Arc<Api<ConfigMap>>| async move {
                let owner = json!([{
                    "apiVersion": "test.dev/v1", "kind": "Topic", "name": topic.name_any(), "uid": topic.uid(),
                    "controller": true,
                }]);
                let wanted = json!({
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": topic.name_any(), "ownerReferences": owner},
                    "data": {"partitions": topic.data["spec"]["partitions"].to_string()},
                });
                maps.patch(&topic.name_any(), &PatchParams::apply("test").force(), &Patch::Apply(wanted)).await?;
                Ok::<_, kube::Error>(Action::await_change())
            },
            |_, _, _| Action::requeue(Duration::from_millis(100)),
            Arc::new(maps.clone()),
        );
    let controller = tokio::spawn(controller.for_each(|_| async {}));
    topics
        .create(&PostParams::default(), &topic("t", 3))
        .await
        .unwrap();
    let shows = async |partitions: &str| {
        let found = maps.get_opt("t").await.unwrap();
        found
            .and_then(|map| map.data?.get("partitions").cloned())
            .as_deref()
            == Some(partitions)
    };
    eventually("the map", || shows("3")).await;
    topics
        .patch(
            "t",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"partitions": 5}})),
        )
        .await
        .unwrap();
    eventually("the new map", || shows("5")).await;
    maps.delete("t", &DeleteParams::default()).await.unwrap();
    eventually("the map again", || shows("5")).await;
    topics.delete("t", &DeleteParams::default()).await.unwrap();
    eventually("the map's end", || async {
        maps.get_opt("t").await.unwrap().is_none()
    })
    .await;
    controller.abort();
}
