//! Consumers that may read partitions 0 to 2 of six.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Target, Until};

use crate::driver::{Event, Kind};
use crate::mesh::Door;
use crate::world::{HALF, World, assert_calm, by_partition, errors, sessions, settings};

/// Records in each partition.
const EACH: u64 = 100;
/// How long a client is watched once it has read what it may.
const WATCHED: Duration = Duration::from_secs(3);

/// A consumer's settings. Without a group of their own not all clients start.
fn consumer(kind: Kind, door: &Door, group: Option<&str>) -> Json {
    let mut settings = settings(door, &json!({"auto.offset.reset": "earliest"}));
    settings["enable.auto.commit"] = false.into();
    if group.is_some() || kind == Kind::Librdkafka {
        settings["group.id"] = group.unwrap_or(door.topic()).into();
    }
    settings
}

/// Reads what may be read, and is watched for a while then.
async fn read(world: &World, kind: Kind, door: &Door, mut command: Json, count: u64) -> Vec<Event> {
    command["do"] = "consume".into();
    command["topic"] = door.topic().into();
    let mut task = world.driver(kind).task(command).await;
    let mut read = 0;
    let mut events = Vec::new();
    if count > 0 {
        events = task
            .until(|event| {
                read += u64::from(event.value.is_some());
                read == count
            })
            .await;
    }
    let begun = Instant::now();
    events.extend(task.during(WATCHED).await);
    assert_calm(door.topic(), door, begun);
    events.extend(task.stop().await);
    events
}

/// A consumer is assigned some partitions by hand: it reads those that it may
/// read, and hears nothing of the others.
pub(crate) async fn assigned(
    world: Arc<World>,
    kind: Kind,
    partitions: &'static [i32],
    name: String,
) {
    let (door, mut sent) = world.full_topic(&name, HALF, EACH).await;
    let allowed: Vec<i32> = partitions
        .iter()
        .copied()
        .filter(|index| *index < 3)
        .collect();
    let command = json!({"partitions": partitions, "settings": consumer(kind, &door, None)});
    let events = read(&world, kind, &door, command, EACH * allowed.len() as u64).await;
    assert!(errors(&events).is_empty(), "{:?}", errors(&events));
    sent.retain(|sent| at(sent).is_some_and(|index| allowed.contains(&index)));
    let count = sent.len();
    let sessions = sessions(&events);
    History { sent, sessions }.check().assert_clean(count);
}

fn at(sent: &tubeway_testing::records::Sent) -> Option<i32> {
    match sent.outcome {
        tubeway_testing::records::Outcome::Acked(Some(at)) => Some(at.partition),
        _ => None,
    }
}

/// The same from the middle on.
pub(crate) async fn sought(world: Arc<World>, kind: Kind, name: String) {
    let (door, _) = world.full_topic(&name, HALF, EACH).await;
    let settings = consumer(kind, &door, None);
    let command = json!({"partitions": [0, 1, 4], "seek": 60, "settings": settings});
    let events = read(&world, kind, &door, command, 80).await;
    assert!(errors(&events).is_empty(), "{:?}", errors(&events));
    let counts = by_partition(&events);
    assert_eq!(counts, [(0, 40), (1, 40)].into(), "{counts:?}");
    let first = events.iter().filter_map(|event| event.offset).min();
    assert_eq!(first, Some(60));
}

/// A group gives its member all partitions. It reads and commits those that it
/// may read, and hears nothing of the others; the next member goes on after that.
pub(crate) async fn subscribed(
    world: Arc<World>,
    kind: Kind,
    protocol: &'static str,
    name: String,
) {
    let (door, mut sent) = world.full_topic(&name, HALF, EACH).await;
    let command = subscription(kind, &door, protocol);
    let events = read(&world, kind, &door, command.clone(), EACH * 3).await;
    assert!(errors(&events).is_empty(), "{:?}", errors(&events));
    assert!(events.iter().any(is_everything), "the group knows no rules");
    assert!(events.iter().any(|event| event.committed == Some(true)));
    sent.retain(|sent| at(sent).is_some_and(|index| index < 3));
    let sessions = sessions(&events);
    History { sent, sessions }.check().assert_clean(300);
    let again = read(&world, kind, &door, command, 0).await;
    assert_eq!(by_partition(&again), [].into(), "all of it is committed");
}

/// A member of a group, which commits.
fn subscription(kind: Kind, door: &Door, protocol: &str) -> Json {
    let mut settings = consumer(kind, door, Some(door.topic()));
    if protocol != "classic" {
        settings["group.protocol"] = protocol.into();
    }
    json!({"commit": true, "settings": settings})
}

/// Whether the group gives its member all partitions.
fn is_everything(event: &Event) -> bool {
    event.assigned.as_deref() == Some(&[0, 1, 2, 3, 4, 5])
}

/// What consumers say about offsets.
pub(crate) async fn offsets(world: Arc<World>, kind: Kind, name: String) {
    let (door, _) = world.full_topic(&name, HALF, EACH).await;
    let mut settings = consumer(kind, &door, Some(&name));
    if let Kind::Java(_) = kind {
        settings["default.api.timeout.ms"] = 5000.into();
    }
    let command = |partitions: &[i32]| json!({"do": "offsets", "topic": name, "partitions": partitions, "settings": settings});
    let allowed = world.driver(kind).run(command(&[1, 2])).await;
    assert!(errors(&allowed).is_empty(), "{:?}", errors(&allowed));
    for (asked, offset) in [("beginning", "0"), ("end", "100")] {
        let says = allowed
            .iter()
            .filter(|event| event.asked.as_deref() == Some(asked));
        let says: Vec<_> = says
            .map(|event| (event.partition, event.says.as_deref()))
            .collect();
        assert_eq!(says.len(), 2, "{allowed:?}");
        assert!(
            says.iter().all(|(_, says)| *says == Some(offset)),
            "{says:?}"
        );
    }
    let begun = Instant::now();
    let both = world.driver(kind).run(command(&[1, 4])).await;
    assert_calm(&name, &door, begun);
    let refused = match kind {
        Kind::Java(_) => "TimeoutException",
        Kind::Librdkafka => "_UNKNOWN_PARTITION",
        // It takes the answer for whole, and does not find the partition in it.
        Kind::Python => "KeyError",
    };
    let told = both
        .iter()
        .any(|event| event.error.as_deref() == Some(refused));
    assert!(told, "{both:?}");
    let of_four =
        |event: &&Event| event.partition == Some(4) && event.asked.as_deref() != Some("committed");
    assert!(
        both.iter()
            .filter(of_four)
            .all(|event| event.says.is_none()),
        "{both:?}"
    );
}

/// A share group's members read what they may.
pub(crate) async fn shared(world: Arc<World>, name: String) {
    let (door, _) = world.full_topic(&name, HALF, EACH).await;
    let open = json!({"bootstrap.servers": world.open()});
    world.java.run(json!({"do": "configure", "group": name, "name": "share.auto.offset.reset", "value": "earliest", "settings": open})).await;
    let settings = settings(&door, &json!({"group.id": name}));
    let mut task = world
        .java
        .task(json!({"do": "share", "topic": name, "settings": settings}))
        .await;
    let mut read = 0;
    let mut events = task
        .until(|event| {
            read += usize::from(event.value.is_some());
            read == 300 || event.error.is_some()
        })
        .await;
    let begun = Instant::now();
    events.extend(task.during(WATCHED).await);
    assert_calm(&name, &door, begun);
    events.extend(task.stop().await);
    assert!(errors(&events).is_empty(), "{:?}", errors(&events));
    let counts = by_partition(&events);
    assert_eq!(counts, [(0, 100), (1, 100), (2, 100)].into(), "{counts:?}");
}

/// kcat (an older librdkafka) reads what it may, alone and in a group.
pub(crate) async fn kcat(world: Arc<World>, name: String) {
    let (door, mut sent) = world.full_topic(&name, HALF, EACH).await;
    sent.retain(|sent| at(sent).is_some_and(|index| index < 3));
    let target = Target::new(&door.bootstrap, &name);
    let begun = Instant::now();
    let tools = &world.tools;
    let consume = |target: Target| async move {
        let until = Until::Records(EACH * 3);
        Client::Kcat.consume(tools, &target, until).await
    };
    for target in [target.clone(), target.in_group(&name)] {
        let read = consume(target).await;
        let sessions = read.unwrap_or_else(|error| panic!("{error}"));
        let sent = sent.clone();
        History { sent, sessions }.check().assert_clean(300);
    }
    assert_calm(&name, &door, begun);
}
