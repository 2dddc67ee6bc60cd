//! Every dimension's limit, with clients that want more of it than they may have.

use std::time::{Duration, Instant};

use tubeway_policy::quota::Dimension::{self, *};

use crate::java::{Java, Sample};
use crate::kcat::Kcat;
use crate::quotas::{Limit, document};
use crate::window::Window;
use crate::world::{PREPARER, World};

/// How far a rate may be off.
const OFF: f64 = 0.05;
/// By then every client has had the time to be measured, on a machine that has
/// much else to do.
const LATEST: Duration = Duration::from_secs(75);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PREPARED: Duration = Duration::from_secs(30);
const KIB: f64 = 1024.0;

/// One dimension with the client that meets its limit.
struct Case {
    /// The account, and where it produces its topic.
    name: &'static str,
    dimension: Dimension,
    per_second: f64,
    client: Client,
    counted: Counted,
}

/// Which client, and its properties.
enum Client {
    /// A mode of `Load.java`.
    Java(&'static str),
    /// kcat with lines of this size.
    Kcat(usize, &'static str),
}

/// Who counts, and what one of the count uses of the limit.
#[derive(Clone, Copy)]
enum Counted {
    /// The client.
    ByClient { each: f64 },
    /// The length of the broker's log, in bytes.
    BytesInLog,
    /// The same, where every record is a batch and a request of its own.
    BatchesInLog,
}

const ONE: Counted = Counted::ByClient { each: 1.0 };

const CASES: [Case; 12] = [
    Case {
        name: "produced-bytes",
        dimension: ProducedBytes,
        per_second: 512.0 * KIB,
        client: Client::Java("produce Topic=produced-bytes Size=1000 buffer.memory=1048576"),
        counted: Counted::BytesInLog,
    },
    Case {
        name: "kcat-bytes",
        dimension: ProducedBytes,
        per_second: 512.0 * KIB,
        client: Client::Kcat(1000, "batch.size=16384 queue.buffering.max.messages=1000"),
        counted: Counted::BytesInLog,
    },
    Case {
        name: "produced-records",
        dimension: ProducedRecords,
        per_second: 1_000.0,
        client: Client::Java(
            "produce Topic=produced-records Size=100 batch.size=2000 buffer.memory=65536",
        ),
        counted: ONE,
    },
    Case {
        name: "consumed-bytes",
        dimension: ConsumedBytes,
        per_second: 512.0 * KIB,
        client: Client::Java("consume Topic=large Count=bytes fetch.max.bytes=65536"),
        counted: ONE,
    },
    Case {
        name: "consumed-records",
        dimension: ConsumedRecords,
        per_second: 1_000.0,
        client: Client::Java("consume Topic=small Count=records fetch.max.bytes=8192"),
        counted: ONE,
    },
    Case {
        name: "requests",
        dimension: Requests,
        per_second: 50.0,
        client: Client::Java("requests"),
        counted: ONE,
    },
    Case {
        name: "kcat-requests",
        dimension: Requests,
        per_second: 50.0,
        client: Client::Kcat(
            100,
            "batch.num.messages=1 linger.ms=0 queue.buffering.max.messages=1000",
        ),
        counted: Counted::BatchesInLog,
    },
    Case {
        name: "metadata",
        dimension: MetadataRequests,
        per_second: 25.0,
        client: Client::Java("metadata"),
        counted: ONE,
    },
    Case {
        name: "commits",
        dimension: OffsetCommits,
        per_second: 25.0,
        client: Client::Java("commits Topic=small group.id=commits"),
        counted: ONE,
    },
    Case {
        name: "joins-classic",
        dimension: GroupJoins,
        per_second: 10.0,
        client: Client::Java("joins Topic=small Members=4 group.protocol=classic"),
        // A member that has no id yet asks twice (KIP-394).
        counted: Counted::ByClient { each: 2.0 },
    },
    Case {
        name: "joins-consumer",
        dimension: GroupJoins,
        per_second: 10.0,
        client: Client::Java("joins Topic=small Members=4 group.protocol=consumer"),
        counted: ONE,
    },
    Case {
        name: "connections",
        dimension: ConnectionAttempts,
        per_second: 10.0,
        client: Client::Java("connections Clients=2"),
        counted: ONE,
    },
];

/// Who has a limit here.
pub fn accounts() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

/// Creates the topics, and fills those that are read.
pub async fn prepare(world: &World) {
    let mut java = Java::start(world, "prepare");
    let (at, preparer) = (world.bootstrap(), world.credentials(PREPARER));
    let own = CASES.iter().filter(|case| case.counted.in_own_topic());
    let mut topics: Vec<_> = own.map(|case| case.name).collect();
    topics.extend(["large", "small", "neighbours", "produced-records"]);
    let create = format!("create Topics={}", topics.join(","));
    java.load("create", &create, &at, &preparer);
    java.ended("create", PREPARED).await;
    for (topic, what) in [
        ("large", "produce Topic=large Size=1000 Records=20000"),
        (
            "small",
            "produce Topic=small Size=20 Records=40000 batch.size=400",
        ),
    ] {
        java.load(topic, what, &at, &preparer);
        java.ended(topic, PREPARED).await;
    }
}

/// All at a time, each with a quota and an account of its own.
pub async fn hold_real_clients(world: &World) {
    let limits: Vec<_> = CASES.iter().map(Case::limit).collect();
    world.node.take(&document(&limits));
    let mut java = Java::start(world, "limits");
    let mut kcats = Vec::new();
    for case in &CASES {
        let credentials = world.credentials(case.name);
        match case.client {
            Client::Java(what) => java.load(case.name, what, &world.bootstrap(), &credentials),
            Client::Kcat(size, properties) => {
                kcats.push(Kcat::produce(
                    world,
                    case.name,
                    size,
                    properties,
                    &credentials,
                ));
            }
        }
    }
    let mut windows = vec![Window::default(); CASES.len()];
    let begun = Instant::now();
    while begun.elapsed() < LATEST && windows.iter().any(|window| window.rate.is_none()) {
        for (case, window) in CASES.iter().zip(&mut windows) {
            if let Some(now) = case.count(world, &java, begun) {
                window.look(now, world.node.level(case.limit()));
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let mut wrong = Vec::new();
    for (case, window) in CASES.iter().zip(windows) {
        let each = case.counted.each(world, case.name);
        let rate = window.rate.map_or(0.0, |rate| rate * each);
        let off = rate / case.per_second - 1.0;
        let line = format!(
            "{:<17} {:<18} limit {:>9.1}/s  measured {rate:>11.1}/s  {:>+6.2} %",
            case.name,
            case.dimension.as_str(),
            case.per_second,
            off * 100.0
        );
        println!("{line}");
        if off.abs() > OFF {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "off by more than 5 %: {wrong:#?}");
}

// === impl Case ===

impl Case {
    /// What has been counted by now, if anything has.
    fn count(&self, world: &World, java: &Java, begun: Instant) -> Option<Sample> {
        let sample = match self.counted {
            Counted::ByClient { .. } => java.samples(self.name).pop()?,
            Counted::BytesInLog | Counted::BatchesInLog => Sample {
                value: world.written(self.name),
                at: begun.elapsed(),
            },
        };
        Some(sample)
    }

    fn limit(&self) -> Limit {
        Limit {
            account: self.name,
            dimension: self.dimension,
            per_second: self.per_second,
        }
    }
}

// === impl Counted ===

impl Counted {
    fn in_own_topic(self) -> bool {
        matches!(self, Self::BytesInLog | Self::BatchesInLog)
    }

    /// What one of the count uses of the limit.
    fn each(self, world: &World, topic: &str) -> f64 {
        match self {
            Self::ByClient { each } => each,
            Self::BytesInLog => 1.0,
            Self::BatchesInLog => {
                let (batch, all) = (world.first_batch(topic), world.written(topic));
                assert_eq!(all % batch, 0, "batches of different lengths");
                1.0 / batch as f64
            }
        }
    }
}
