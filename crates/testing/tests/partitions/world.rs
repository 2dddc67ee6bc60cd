//! What every case uses: the broker, the clients, topics with records.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tubeway_policy::acl::Operation;
use tubeway_testing::checker::{History, Report};
use tubeway_testing::clients::{Client, Target, Until};
use tubeway_testing::records::{Outcome, Position, Read, Sent, Workload};
use tubeway_testing::tools::Tools;

use crate::KINDS;
use crate::driver::{Driver, Event, Kind};
use crate::mesh::{Door, Grant, Mesh};

/// Every topic has this many partitions.
pub(crate) const PARTITIONS: i32 = 6;
/// Partitions 0 to 2 of a topic, to read and to write.
pub(crate) const HALF: &[Grant] = &[("0-2", Operation::Read), ("0-2", Operation::Write)];
/// All of them.
pub(crate) const ALL: &[Grant] = &[("0-5", Operation::Read), ("0-5", Operation::Write)];
/// Requests a second of one API that a client may make while it waits for
/// something that it is refused. Clients wait 100 ms between two attempts.
const CALM: usize = 20;

/// Groups whose names hash to each of the three partitions of
/// `__consumer_offsets`.
const ONE_GROUP_EACH: [&str; 3] = ["a", "b", "c"];
/// Longest time until a new topic can be used.
const SETTLE: Duration = Duration::from_secs(60);

/// The broker and the clients.
pub(crate) struct World {
    pub(crate) tools: Tools,
    pub(crate) mesh: Mesh,
    pub(crate) java: Driver,
    pub(crate) old_java: Driver,
    pub(crate) librdkafka: Driver,
    pub(crate) python: Driver,
}

// === impl World ===

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let tools = Tools::ensure().unwrap_or_else(|error| panic!("{error}"));
        let (mesh, java, old_java, librdkafka, python) = tokio::join!(
            Mesh::start(&tools),
            Driver::start(Kind::Java("4.3.1"), &tools),
            Driver::start(Kind::Java("3.9.1"), &tools),
            Driver::start(Kind::Librdkafka, &tools),
            Driver::start(Kind::Python, &tools),
        );
        let world = Self {
            tools,
            mesh,
            java,
            old_java,
            librdkafka,
            python,
        };
        world.coordinators().await;
        Arc::new(world)
    }

    /// Waits until the broker coordinates every group. The first groups are
    /// told `NOT_COORDINATOR` for a while, which not every client waits out.
    async fn coordinators(&self) {
        let topic = "coordinators";
        let door = self.topic(topic, ALL).await;
        for group in ONE_GROUP_EACH {
            let mut settings = settings(&door, &json!({"group.id": group}));
            settings["bootstrap.servers"] = self.open().into();
            let ask =
                json!({"do": "offsets", "topic": topic, "partitions": [0], "settings": settings});
            let said = self.java.run(ask).await;
            assert!(errors(&said).is_empty(), "{said:?}");
        }
    }

    pub(crate) fn driver(&self, kind: Kind) -> &Driver {
        match kind {
            Kind::Java("3.9.1") => &self.old_java,
            Kind::Java(_) => &self.java,
            Kind::Librdkafka => &self.librdkafka,
            Kind::Python => &self.python,
        }
    }

    /// The broker itself, where everybody may do everything.
    pub(crate) fn open(&self) -> String {
        self.mesh.broker.bootstrap().to_string()
    }

    /// Makes a topic, and lets somebody of the same name in to it.
    pub(crate) async fn topic(&self, name: &str, grants: &[Grant]) -> Door {
        let settings = json!({"bootstrap.servers": self.open()});
        let create =
            json!({"do": "create", "topic": name, "count": PARTITIONS, "settings": settings});
        self.java.run(create).await;
        // Metadata names a leader before that has opened the partition's log.
        let all: Vec<i32> = (0..PARTITIONS).collect();
        let ends =
            json!({"do": "list offsets", "topic": name, "partitions": all, "settings": settings});
        let deadline = Instant::now() + SETTLE;
        loop {
            let said = self.java.run(ends.clone()).await;
            if errors(&said).is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "{said:?}");
        }
        self.mesh.door(name, name, grants).await
    }

    /// The same with so many records in each partition; returns what was written.
    pub(crate) async fn full_topic(
        &self,
        name: &str,
        grants: &[Grant],
        each: u64,
    ) -> (Door, Vec<Sent>) {
        let door = self.topic(name, grants).await;
        let workload = Workload::new(1, each * PARTITIONS as u64);
        let settings = json!({"bootstrap.servers": self.open()});
        let records = records(
            &workload,
            |seq| json!({"partition": seq % PARTITIONS as u64}),
        );
        let produce =
            json!({"do": "produce", "topic": name, "records": records, "settings": settings});
        let events = self.java.run(produce).await;
        let sent = sent(&workload, &events);
        assert!(
            sent.iter()
                .all(|sent| matches!(sent.outcome, Outcome::Acked(Some(_))))
        );
        (door, sent)
    }

    /// Everything in a topic that has no transactions, read at the broker.
    pub(crate) async fn read_all(&self, topic: &str) -> Vec<Vec<Read>> {
        let target = Target::new(self.open(), topic);
        let read = Client::Kcat.consume(&self.tools, &target, Until::End).await;
        read.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Holds what was sent against what is in the topic.
    pub(crate) async fn check(&self, topic: &str, sent: Vec<Sent>) -> Report {
        let sessions = self.read_all(topic).await;
        History { sent, sessions }.check()
    }

    /// The same; of this producer nothing may be in partitions 3 to 5.
    pub(crate) async fn check_half(&self, topic: &str, sent: Vec<Sent>, producer: u32) -> Report {
        let sessions = self.read_all(topic).await;
        for read in sessions.iter().flatten() {
            let its = read.id.is_some_and(|id| id.producer == producer);
            assert!(!its || read.at.partition < 3, "{topic}: {read:?}");
        }
        History { sent, sessions }.check()
    }
}

/// Settings for what is behind a door.
pub(crate) fn settings(door: &Door, more: &Json) -> Json {
    let mut all = json!({"bootstrap.servers": door.bootstrap});
    for (name, value) in more.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    all
}

/// A producer that gives a record up after `timeout`, with small batches.
pub(crate) fn producer(kind: Kind, door: &Door, timeout: Duration) -> Json {
    let millis = timeout.as_millis() as u64;
    let common = json!({"acks": "all", "linger.ms": 5, "delivery.timeout.ms": millis});
    let mut settings = settings(door, &common);
    if kind == Kind::Librdkafka {
        settings["enable.idempotence"] = true.into();
    } else {
        // The sticky partitioner goes on to another partition after a batch.
        settings["batch.size"] = 200.into();
        settings["request.timeout.ms"] = (millis - 1000).into();
    }
    settings
}

/// The records of a workload, with what else is to be said of each.
pub(crate) fn records(workload: &Workload, more: impl Fn(u64) -> Json) -> Vec<Json> {
    let record = |seq| {
        let mut record = more(seq);
        record["value"] = workload.value(seq).into();
        record
    };
    (0..workload.count).map(record).collect()
}

/// What became of each record. One that was refused must not be in the topic;
/// one that the producer gave up may be. What nothing was said of was not sent.
pub(crate) fn sent(workload: &Workload, events: &[Event]) -> Vec<Sent> {
    let mut outcomes = BTreeMap::new();
    for event in events {
        if let Some(value) = &event.value {
            let outcome = match position(event) {
                Some(at) => Outcome::Acked(Some(at)),
                None if event.error.as_deref().is_some_and(is_refusal) => Outcome::Refused,
                None => Outcome::Unknown,
            };
            let twice = outcomes.insert(value.clone(), outcome);
            assert!(twice.is_none(), "told twice of {value}");
        }
    }
    let sent = |seq| {
        let outcome = outcomes.get(&workload.value(seq))?;
        Some(workload.sent(seq, *outcome))
    };
    (0..workload.count).filter_map(sent).collect()
}

/// Where the record is that an event speaks of.
pub(crate) fn position(event: &Event) -> Option<Position> {
    Some(Position {
        partition: event.partition?,
        offset: event.offset?,
    })
}

/// The records that a consumer read; it begins anew with each assignment.
pub(crate) fn sessions(events: &[Event]) -> Vec<Vec<Read>> {
    let mut sessions = vec![Vec::new()];
    for event in events {
        if event.assigned.is_some() {
            sessions.push(Vec::new());
        }
        if let (Some(at), Some(value), Some(session)) =
            (position(event), &event.value, sessions.last_mut())
        {
            session.push(Read::new(at, value.as_bytes()));
        }
    }
    sessions
}

/// Records that events speak of, by partition.
pub(crate) fn by_partition(events: &[Event]) -> BTreeMap<i32, usize> {
    let mut counts = BTreeMap::new();
    for at in events.iter().filter_map(position) {
        *counts.entry(at.partition).or_default() += 1;
    }
    counts
}

/// The names of errors.
pub(crate) fn errors(events: &[Event]) -> BTreeSet<&str> {
    let errors = events.iter().filter_map(|event| event.error.as_deref());
    errors.collect()
}

/// How a client calls TOPIC_AUTHORIZATION_FAILED.
pub(crate) fn refusal(kind: Kind) -> &'static str {
    match kind {
        Kind::Java(_) => "TopicAuthorizationException",
        Kind::Librdkafka => "TOPIC_AUTHORIZATION_FAILED",
        Kind::Python => "TopicAuthorizationFailedError",
    }
}

fn is_refusal(error: &str) -> bool {
    KINDS.iter().any(|kind| error == refusal(*kind))
}

/// The client has not asked for the same thing again and again. Produce and
/// Fetch do work and are not counted.
pub(crate) fn assert_calm(what: &str, door: &Door, begun: Instant) {
    let seconds = begun.elapsed().as_secs_f64();
    let mut requests = door.requests_since(begun);
    println!("{what}: {requests:?} in {seconds:.1} s");
    for works in ["Produce", "Fetch", "OffsetCommit"] {
        requests.remove(works);
    }
    let allowed = CALM as f64 * seconds.max(1.0);
    let busy: Vec<_> = requests
        .iter()
        .filter(|(_, count)| **count as f64 > allowed)
        .collect();
    assert!(busy.is_empty(), "{what}: {busy:?} in {seconds:.1} s");
}
