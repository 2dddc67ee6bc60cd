//! What an administrator with rights on some partitions is told.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tubeway_policy::acl::Operation;

use crate::driver::{Event, Kind};
use crate::world::{World, assert_calm, settings};

/// What was said of a partition: a value, or an error.
fn of(events: &[Event], partition: i32) -> (Option<&str>, Option<&str>) {
    let event = events
        .iter()
        .find(|event| event.partition == Some(partition));
    let event = event.unwrap_or_else(|| panic!("nothing about {partition}: {events:?}"));
    (event.says.as_deref(), event.error.as_deref())
}

/// describeTopics, listOffsets and deleteRecords of somebody who may use some
/// partitions: the others have no leader, and the refusal is told at once.
pub(crate) async fn some_partitions(world: Arc<World>, kind: Kind, name: String) {
    let grants = &[("0-2", Operation::Read), ("0-1", Operation::Delete)];
    let (door, _) = world.full_topic(&name, grants, 100).await;
    let settings = settings(&door, &json!({}));
    let driver = world.driver(kind);
    let command = |what: &str| json!({"do": what, "topic": name, "partitions": [0, 2, 4], "before": 10, "settings": settings});
    let described = driver.run(command("describe")).await;
    for index in 0..6 {
        let leader = if index < 3 { "1" } else { "none" };
        assert_eq!(of(&described, index), (Some(leader), None));
    }
    let begun = Instant::now();
    let listed = driver.run(command("list offsets")).await;
    assert_eq!(of(&listed, 0), (Some("100"), None));
    assert_eq!(of(&listed, 2), (Some("100"), None));
    assert_eq!(of(&listed, 4), (None, Some("TopicAuthorizationException")));
    let deleted = driver.run(command("delete records")).await;
    assert_calm(&name, &door, begun);
    assert_eq!(of(&deleted, 0), (Some("10"), None));
    assert_eq!(of(&deleted, 2), (None, Some("TopicAuthorizationException")));
    assert_eq!(of(&deleted, 4), (None, Some("TopicAuthorizationException")));
}

/// Somebody who may delete records of some partitions and read none sees every
/// leader, and is refused at once.
pub(crate) async fn deletion_only(world: Arc<World>, kind: Kind, name: String) {
    let grants = &[("0-1", Operation::Delete)];
    let (door, _) = world.full_topic(&name, grants, 100).await;
    let settings = settings(&door, &json!({}));
    let deleted = world
        .driver(kind)
        .run(json!({"do": "delete records", "topic": name, "partitions": [0, 4], "before": 10, "settings": settings}))
        .await;
    assert_eq!(of(&deleted, 0), (Some("10"), None));
    assert_eq!(of(&deleted, 4), (None, Some("TopicAuthorizationException")));
}
