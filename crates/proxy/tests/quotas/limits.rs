//! Every dimension's limit, with clients that want more of it than they may have.

use std::time::{Duration, Instant};

use tubeway_policy::quota::Dimension::{
    self, ConnectionAttempts, ConsumedBytes, ConsumedRecords, GroupJoins, MetadataRequests,
    OffsetCommits, ProducedBytes, ProducedRecords, Requests,
};

use crate::java::{Java, Sample};
use crate::kcat::Kcat;
use crate::quotas::{Limit, document};
use crate::window::Window;
use crate::world::{PREPARER, World};

/// How far a rate may be off.
const OFF: f64 = 0.05;
/// At least so long is measured; where the client's count is coarse, for longer.
const USUAL: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(24);
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
    measured: Duration,
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

/// A client at its limit.
struct Running {
    case: &'static Case,
    window: Window,
    /// Where it is one; the Java clients are in one process.
    kcat: Option<Kcat>,
}

const ONE: Counted = Counted::ByClient { each: 1.0 };

static CASES: [Case; 12] = [
    Case {
        name: "produced-bytes",
        dimension: ProducedBytes,
        per_second: 256.0 * KIB,
        client: Client::Java("produce Topic=produced-bytes Size=1000 buffer.memory=1048576"),
        counted: Counted::BytesInLog,
        measured: USUAL,
    },
    Case {
        name: "kcat-bytes",
        dimension: ProducedBytes,
        per_second: 256.0 * KIB,
        client: Client::Kcat(
            1000,
            "max.in.flight=5 batch.size=16384 queue.buffering.max.messages=1000",
        ),
        counted: Counted::BytesInLog,
        measured: USUAL,
    },
    Case {
        name: "produced-records",
        dimension: ProducedRecords,
        per_second: 500.0,
        client: Client::Java(
            "produce Topic=produced-records Size=100 batch.size=2000 buffer.memory=65536",
        ),
        counted: ONE,
        measured: USUAL,
    },
    Case {
        name: "consumed-bytes",
        dimension: ConsumedBytes,
        per_second: 256.0 * KIB,
        client: Client::Java("consume Topic=large Count=bytes fetch.max.bytes=32768"),
        counted: ONE,
        measured: USUAL,
    },
    Case {
        name: "consumed-records",
        dimension: ConsumedRecords,
        per_second: 500.0,
        client: Client::Java("consume Topic=small Count=records fetch.max.bytes=2048"),
        counted: ONE,
        measured: USUAL,
    },
    Case {
        name: "requests",
        dimension: Requests,
        per_second: 25.0,
        client: Client::Java("requests"),
        counted: ONE,
        measured: USUAL,
    },
    Case {
        name: "kcat-requests",
        dimension: Requests,
        per_second: 25.0,
        client: Client::Kcat(
            100,
            "max.in.flight=5 batch.num.messages=1 linger.ms=0 queue.buffering.max.messages=1000",
        ),
        counted: Counted::BatchesInLog,
        measured: USUAL,
    },
    Case {
        name: "metadata",
        dimension: MetadataRequests,
        per_second: 25.0,
        client: Client::Java("metadata"),
        counted: ONE,
        measured: USUAL,
    },
    Case {
        name: "commits",
        dimension: OffsetCommits,
        per_second: 25.0,
        client: Client::Java("commits Topic=small group.id=commits"),
        counted: ONE,
        measured: USUAL,
    },
    Case {
        name: "joins-classic",
        dimension: GroupJoins,
        per_second: 5.0,
        client: Client::Java("joins Topic=small Members=2 group.protocol=classic"),
        // A member that has no id yet asks twice (KIP-394).
        counted: Counted::ByClient { each: 2.0 },
        measured: LONG,
    },
    Case {
        name: "joins-consumer",
        dimension: GroupJoins,
        per_second: 5.0,
        client: Client::Java("joins Topic=small Members=2 group.protocol=consumer"),
        counted: ONE,
        measured: LONG,
    },
    Case {
        name: "connections",
        dimension: ConnectionAttempts,
        per_second: 4.0,
        client: Client::Java("connections Topic=small Clients=8 enable.idempotence=false"),
        counted: ONE,
        measured: LONG,
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
    let running = CASES
        .iter()
        .map(|case| Running::start(case, world, &mut java));
    let mut running: Vec<_> = running.collect();
    let begun = Instant::now();
    while begun.elapsed() < LATEST && running.iter().any(Running::is_measuring) {
        for one in running.iter_mut().filter(|one| one.is_measuring()) {
            one.look(world, &mut java, begun);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let reports: Vec<_> = running.iter().map(|one| one.report(world)).collect();
    let wrong: Vec<_> = reports
        .into_iter()
        .filter_map(|(line, right)| {
            println!("{line}");
            (!right).then_some(line)
        })
        .collect();
    assert!(wrong.is_empty(), "off by more than 5 %: {wrong:#?}");
}

// === impl Running ===

impl Running {
    fn start(case: &'static Case, world: &World, java: &mut Java) -> Self {
        let credentials = world.credentials(case.name);
        let kcat = match case.client {
            Client::Java(what) => {
                java.load(case.name, what, &world.bootstrap(), &credentials);
                None
            }
            Client::Kcat(size, properties) => {
                let kcat = Kcat::produce(world, case.name, size, properties, &credentials);
                Some(kcat)
            }
        };
        Self {
            case,
            window: Window::new(case.measured),
            kcat,
        }
    }

    fn is_measuring(&self) -> bool {
        self.window.rate.is_none()
    }

    /// Looks at the count and the quota; ends the client that has been measured.
    fn look(&mut self, world: &World, java: &mut Java, begun: Instant) {
        let name = self.case.name;
        let by_client = matches!(self.case.counted, Counted::ByClient { .. });
        let now = if by_client {
            java.last(name)
        } else {
            Some(Sample {
                value: world.written(name),
                at: begun.elapsed(),
            })
        };
        let Some(now) = now else {
            return;
        };
        self.window.look(now, world.node.level(self.case.limit()));
        if !self.is_measuring() && self.kcat.take().is_none() {
            java.stop(name);
        }
    }

    /// What to print, and whether it is right.
    fn report(&self, world: &World) -> (String, bool) {
        let Case {
            name, per_second, ..
        } = self.case;
        let what = self.case.dimension.as_str();
        let begin = format!("{name:<17} {what:<18} limit {per_second:>8.0}/s");
        let Some(rate) = self.window.rate else {
            let why = "was not held back for long enough to be measured";
            return (format!("{begin}  {why}"), false);
        };
        let rate = rate * self.case.counted.each(world, name);
        let off = rate / per_second - 1.0;
        let percent = off * 100.0;
        let line = format!("{begin}  measured {rate:>10.1}/s  {percent:>+5.2} %");
        (line, off.abs() <= OFF)
    }
}

// === impl Case ===

impl Case {
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
