//! Partitions 3 to 5 are taken from running clients, and given back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tubeway_testing::checker::History;
use tubeway_testing::records::{Outcome, Sent, Workload};

use crate::driver::{Event, Kind, Task};
use crate::mesh::Door;
use crate::world::{
    self, ALL, HALF, World, assert_calm, by_partition, errors, position, records, sent, sessions,
    settings,
};

/// Records a second.
const PACE: u64 = 100;
/// After this long without a record of them, partitions are away.
const QUIET: Duration = Duration::from_secs(2);
/// How long they stay away then.
const AWAY: Duration = Duration::from_secs(3);

/// Whether an event tells of a record in the partitions that are taken.
fn is_taken(event: &Event) -> bool {
    position(event).is_some_and(|at| at.partition >= 3)
}

/// Takes the partitions away and gives them back; what the client says then.
async fn take_and_give(name: &str, door: &Door, task: &mut Task<'_>) -> Vec<Event> {
    let mut events = task.until(is_taken).await;
    door.grant(HALF);
    // What was on its way arrives.
    loop {
        let some = task.during(QUIET).await;
        let quiet = !some.iter().any(is_taken);
        events.extend(some);
        if quiet {
            break;
        }
    }
    let begun = Instant::now();
    let away = task.during(AWAY).await;
    assert_calm(name, door, begun);
    let counts = by_partition(&away);
    println!("{name}: {counts:?} and {:?} in {AWAY:?}", errors(&away));
    assert!(!counts.is_empty(), "{name} has stopped");
    assert!(!away.iter().any(is_taken), "{name}: {counts:?}");
    events.extend(away);
    door.grant(ALL);
    let begun = Instant::now();
    events.extend(task.until(is_taken).await);
    println!("{name}: back after {:?}", begun.elapsed());
    events
}

/// A consumer reads all the time, and in the end everything once and in order.
pub(crate) async fn consumer(
    world: Arc<World>,
    kind: Kind,
    protocol: Option<&'static str>,
    name: String,
) {
    let door = world.topic(&name, ALL).await;
    let workload = Workload::new(1, 10_000);
    let open = json!({"bootstrap.servers": world.open(), "linger.ms": 5});
    let records = records(&workload, |seq| json!({"partition": seq % 6}));
    let feed =
        json!({"do": "produce", "topic": name, "records": records, "pace": PACE, "settings": open});
    let feed = world.java.task(feed).await;
    let mut settings = settings(
        &door,
        &json!({"group.id": name, "auto.offset.reset": "earliest"}),
    );
    settings["enable.auto.commit"] = false.into();
    let mut partitions = json!([0, 1, 2, 3, 4, 5]);
    if let Some(protocol) = protocol {
        partitions = Json::Null;
        if protocol != "classic" {
            settings["group.protocol"] = protocol.into();
        }
    }
    let consume = json!({"do": "consume", "topic": name, "commit": true, "partitions": partitions, "settings": settings});
    let mut task = world.driver(kind).task(consume).await;
    let mut events = take_and_give(&name, &door, &mut task).await;
    let sent = sent(&workload, &feed.stop().await);
    let total = sent.len();
    let mut read = by_partition(&events).values().sum::<usize>();
    if read < total {
        events.extend(
            task.until(|event| {
                read += usize::from(event.value.is_some());
                read >= total
            })
            .await,
        );
    }
    events.extend(task.stop().await);
    assert!(errors(&events).is_empty(), "{:?}", errors(&events));
    let sessions = sessions(&events);
    let report = History { sent, sessions }.check();
    report.assert_clean(total);
    assert_eq!(report.read_again, 0);
}

/// A producer of records without keys (librdkafka's not idempotent) writes all
/// the time. What it sends is there once and in order, wherever it went.
pub(crate) async fn producer(world: Arc<World>, kind: Kind, name: String) {
    let (door, workload, mut task) = writing(&world, kind, &name).await;
    let mut events = take_and_give(&name, &door, &mut task).await;
    events.extend(task.stop().await);
    assert!(errors(&events).is_empty(), "{:?}", errors(&events));
    let sent = sent(&workload, &events);
    let acked = |sent: &&Sent| matches!(sent.outcome, Outcome::Acked(_));
    let acked = sent.iter().filter(acked).count();
    println!("{name}: {acked} of {} are acknowledged", sent.len());
    world.check(&name, sent).await.assert_clean(acked);
}

/// Starts a producer that may write everything.
async fn writing<'a>(world: &'a World, kind: Kind, name: &str) -> (Door, Workload, Task<'a>) {
    let door = world.topic(name, ALL).await;
    let workload = Workload::new(1, 10_000);
    let mut settings = world::producer(kind, &door, Duration::from_secs(60));
    if kind == Kind::Librdkafka {
        settings["enable.idempotence"] = false.into();
    }
    let records = records(&workload, |_| json!({}));
    let produce = json!({
        "do": "produce", "topic": name, "records": records, "pace": PACE,
        "settings": settings,
    });
    let task = world.driver(kind).task(produce).await;
    (door, workload, task)
}
