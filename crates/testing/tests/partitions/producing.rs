//! Producers that may write partitions 0 to 2 of six.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tubeway_policy::acl::Operation;
use tubeway_testing::records::{Outcome, Workload};

use crate::driver::{Event, Kind};
use crate::mesh::Door;
use crate::world::{
    self, HALF, World, assert_calm, by_partition, errors, position, records, sent, settings,
};

/// Records a second.
const PACE: u64 = 100;
/// After this long a producer gives a record up.
const PATIENCE: Duration = Duration::from_secs(8);
/// So long where it should not have to.
const LONG: Duration = Duration::from_secs(60);

/// How a client calls it when it has given a record up.
fn given_up(kind: Kind) -> &'static str {
    match kind {
        Kind::Java(_) => "TimeoutException",
        Kind::Librdkafka => "_MSG_TIMED_OUT",
        Kind::Python => "KafkaTimeoutError",
    }
}

async fn produce(
    world: &World,
    kind: Kind,
    door: &Door,
    records: Json,
    settings: &Json,
) -> Vec<Event> {
    let command = json!({
        "do": "produce", "topic": door.topic(), "records": records, "pace": PACE,
        "settings": settings,
    });
    world.driver(kind).run(command).await
}

/// Records without key go to the partitions that may be written, to all of
/// them, and none is lost. librdkafka looks for a partition with a leader twice
/// and then takes what it gets: what goes astray it reports.
pub(crate) async fn without_keys(world: Arc<World>, kind: Kind, name: String) {
    let door = world.topic(&name, HALF).await;
    let workload = Workload::new(1, 300);
    let begun = Instant::now();
    let records = records(&workload, |_| json!({}));
    let patience = match kind {
        Kind::Librdkafka => PATIENCE,
        _ => LONG,
    };
    let settings = world::producer(kind, &door, patience);
    let events = produce(&world, kind, &door, records.into(), &settings).await;
    assert_calm(&name, &door, begun);
    let counts = by_partition(&events);
    assert!(counts.keys().eq(&[0, 1, 2]), "{counts:?}");
    let failed: Vec<_> = events
        .iter()
        .filter(|event| event.error.is_some())
        .collect();
    println!("{name}: {counts:?}, {} given up", failed.len());
    if kind == Kind::Librdkafka {
        assert!(errors(&events).iter().all(|name| *name == given_up(kind)));
        assert!(failed.len() < 200, "{} given up", failed.len());
    } else if !failed.is_empty() {
        let report = world.check(&name, sent(&workload, &events)).await;
        panic!("{failed:?}; in the topic: {report}");
    }
    let sent = sent(&workload, &events);
    assert_eq!(sent.len(), 300, "each has its outcome");
    let acked = 300 - failed.len();
    let report = world.check_half(&name, sent, 1).await;
    report.assert_clean(acked);
}

/// How a record is told where to go.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Key,
    Partition,
}

/// A key goes where a producer without restrictions sends it, or nowhere:
/// then the record is given up after the delivery timeout.
pub(crate) async fn to_a_place(world: Arc<World>, kind: Kind, by: By, more: Json, name: String) {
    let door = world.topic(&name, HALF).await;
    let place = |seq: u64| match by {
        By::Key => json!({"key": format!("key-{seq}")}),
        By::Partition => json!({"partition": seq % 6}),
    };
    let free = world
        .mesh
        .door(&format!("{name}-free"), &name, world::ALL)
        .await;
    let (unrestricted, restricted) = (Workload::new(1, 60), Workload::new(2, 60));
    let list = records(&unrestricted, place).into();
    let settings = world::producer(kind, &free, LONG);
    let first = produce(&world, kind, &free, list, &settings).await;
    let places = places(&unrestricted, &first);
    assert_eq!(places.len(), 60, "{:?}", errors(&first));
    let begun = Instant::now();
    let list = records(&restricted, place).into();
    let mut settings = world::producer(kind, &door, PATIENCE);
    for (name, value) in more.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    let second = produce(&world, kind, &door, list, &settings).await;
    assert_calm(&name, &door, begun);
    let outcomes: BTreeMap<&str, &Event> = second
        .iter()
        .filter_map(|event| Some((event.value.as_deref()?, event)))
        .collect();
    for (seq, partition) in &places {
        let event = outcomes[restricted.value(*seq).as_str()];
        if *partition < 3 {
            assert_eq!(event.partition, Some(*partition), "{event:?}");
            continue;
        }
        assert_eq!(event.error.as_deref(), Some(given_up(kind)), "{event:?}");
        let after = Duration::from_millis(event.after.expect("a time"));
        assert!(after > PATIENCE / 2 && after < PATIENCE * 3, "{after:?}");
    }
    let mut all = sent(&unrestricted, &first);
    all.extend(sent(&restricted, &second));
    let acked = all
        .iter()
        .filter(|sent| matches!(sent.outcome, Outcome::Acked(_)));
    let acked = acked.count();
    assert!(acked < 120 && acked > 60, "keys on both sides");
    let report = world.check_half(&name, all, 2).await;
    report.assert_clean(acked);
}

/// Where each record of a workload went.
fn places(workload: &Workload, events: &[Event]) -> BTreeMap<u64, i32> {
    let at = |seq| {
        let value = workload.value(seq);
        let event = events
            .iter()
            .find(|event| event.value.as_ref() == Some(&value))?;
        Some((seq, position(event)?.partition))
    };
    (0..workload.count).filter_map(at).collect()
}

/// Transactions commit and abort on partitions that may be written. One that
/// writes another fails, leaves nothing, and the producer goes on.
pub(crate) async fn transactions(world: Arc<World>, kind: Kind, name: String) {
    let door = world.topic(&name, HALF).await;
    let transaction = |number: u32, partitions: &[i32], end: &str| {
        let workload = Workload::new(number, partitions.len() as u64);
        let to = |seq: u64| json!({"partition": partitions[seq as usize]});
        json!({"records": records(&workload, to), "end": end})
    };
    let mut settings = world::producer(kind, &door, PATIENCE);
    settings["transactional.id"] = name.clone().into();
    settings["max.block.ms"] = 10_000.into();
    let begun = Instant::now();
    let events = world
        .driver(kind)
        .run(
            json!({"do": "produce", "topic": name, "settings": settings, "transactions": [
                transaction(1, &[0, 1, 2], "commit"),
                transaction(2, &[0, 1, 2], "abort"),
                transaction(3, &[0, 4], "commit"),
                transaction(4, &[0, 1, 2], "commit"),
            ]}),
        )
        .await;
    assert_calm(&name, &door, begun);
    let ended: Vec<_> = events
        .iter()
        .filter(|event| event.transaction.is_some())
        .collect();
    let ends: Vec<_> = ended
        .iter()
        .map(|event| event.ended.as_deref().unwrap_or(""))
        .collect();
    assert_eq!(ends, ["commit", "abort", "error", "commit"], "{ended:?}");
    // Before transactions of version 2 (KIP-890) partitions are added first,
    // and that is refused; since then the record waits for a leader, and it is
    // the record that the commit tells of or the transaction, whichever comes first.
    let refusals: &[_] = match kind {
        Kind::Java("3.9.1") => &["TopicAuthorizationException"],
        _ => &["TransactionAbortableException", "TimeoutException"],
    };
    let refusal = ended[2].error.as_deref().unwrap_or_default();
    assert!(refusals.contains(&refusal), "{ended:?}");
    // What a consumer that reads what is committed finds.
    let open = world
        .mesh
        .door(
            &format!("{name}-reader"),
            &name,
            &[("0-5", Operation::Read)],
        )
        .await;
    let mut reader = settings_of_a_reader(&open);
    reader["isolation.level"] = "read_committed".into();
    let consume = json!({"do": "consume", "topic": name, "partitions": [0, 1, 2, 3, 4, 5], "settings": reader});
    let mut task = world.java.task(consume).await;
    let mut read = 0;
    let mut events = task
        .until(|event| {
            read += usize::from(event.value.is_some());
            read == 6
        })
        .await;
    events.extend(task.stop().await);
    let mut values: Vec<_> = events
        .iter()
        .filter_map(|event| event.value.clone())
        .collect();
    values.sort();
    let mut committed: Vec<_> = [1, 4]
        .into_iter()
        .flat_map(|number| {
            let workload = Workload::new(number, 3);
            (0..3).map(move |seq| workload.value(seq))
        })
        .collect();
    committed.sort();
    assert_eq!(values, committed);
}

fn settings_of_a_reader(door: &Door) -> Json {
    settings(door, &json!({"auto.offset.reset": "earliest"}))
}
