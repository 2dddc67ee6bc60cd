//! What many of these tests begin with.

use serde_json::{Value, json};

use crate::sim::world::is_state;
use crate::sim::{Host, Step, World, cluster, pool};

pub(crate) const BOTH: [&str; 2] = ["broker", "controller"];

/// A cluster of three nodes with a topic on each, which is ready.
pub(crate) fn three() -> Vec<Step> {
    vec![
        cluster(&json!({ "version": "4.3.1" })),
        pool("all", 3, &BOTH, &json!({})),
        Step::Settle,
        Step::Topic("orders", 3, 3),
        Step::Settle,
    ]
}

/// A world after these steps, with nothing seen of it yet.
pub(crate) async fn world<'a>(host: &'a Host, steps: &[Step]) -> World<'a> {
    let mut world = World::new(host).await;
    take(&mut world, steps).await;
    forget(&world);
    world
}

/// The same with the controllers of topics, access and quotas.
pub(crate) async fn world_with_access<'a>(host: &'a Host, steps: &[Step]) -> World<'a> {
    let mut world = World::with_access(host).await;
    take(&mut world, steps).await;
    forget(&world);
    world
}

pub(crate) async fn take(world: &mut World<'_>, steps: &[Step]) {
    for step in steps {
        world.take(step).await;
    }
    assert_eq!(world.problems, [""; 0]);
}

/// What was seen so far counts no more.
pub(crate) fn forget(world: &World<'_>) {
    world.plan(tubeway_localkube::fault::Plan::default(), None);
}

/// What the operator has changed since then, as `VERB path`.
pub(crate) fn writes(world: &World<'_>) -> Vec<String> {
    let seen = world.seen();
    let writes = seen.iter().filter(|s| is_state(s) && s.asked.is_write());
    let prefix = format!("/namespaces/{}/", world.api.name);
    writes
        .map(|seen| {
            let (_, what) = seen.asked.path.split_once(&prefix).unwrap_or_default();
            format!("{} {what}", seen.asked.method)
        })
        .collect()
}

/// Those of them that delete.
pub(crate) fn deletions(world: &World<'_>) -> Vec<String> {
    let mut writes = writes(world);
    writes.retain(|write| write.starts_with("DELETE"));
    writes
}

/// Names of all objects of a kind.
pub(crate) async fn names(world: &World<'_>, kind: &str) -> Vec<String> {
    let objects = world.api.list(kind).await;
    let names = objects
        .iter()
        .map(|object| text(&object["metadata"]["name"]));
    names.collect()
}

/// UIDs of all pods, by name.
pub(crate) async fn uids(world: &World<'_>, kind: &str) -> Vec<(String, String)> {
    let objects = world.api.list(kind).await;
    let uids = objects.iter().map(|object| {
        let metadata = &object["metadata"];
        (text(&metadata["name"]), text(&metadata["uid"]))
    });
    uids.collect()
}

/// One condition of an object.
pub(crate) async fn condition(world: &World<'_>, what: &str, type_: &str) -> Value {
    let object = world.api.get(what).await.unwrap_or_default();
    let conditions = object["status"]["conditions"].as_array().cloned();
    let mut conditions = conditions.unwrap_or_default().into_iter();
    conditions.find(|c| c["type"] == type_).unwrap_or_default()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(crate) fn spec(spec: &Value) -> Step {
    Step::Edit("kafkaclusters/demo", json!({ "spec": spec }))
}

pub(crate) fn pool_spec(spec: &Value) -> Step {
    Step::Edit("kafkanodepools/all", json!({ "spec": spec }))
}
