//! What it costs to decode, authorise, count and throttle: pure, so that
//! nothing but the session's own work is in the figures.

use std::sync::Arc;

use anyhow::Result;
use bytes::BytesMut;
use rustix::time::{ClockId, clock_gettime};
use tubeway_policy::rules::Authorizer;

use crate::conversation::Conversation;
use crate::messages::{Exchange, batch, fetch, metadata, produce, spread};
use crate::stats::Samples;
use crate::table::Table;
use crate::world;

/// Topics that take turns, so that caches do not hold one answer alone.
const TOPICS: usize = 16;
/// Rules in force while the number of partitions grows.
const RULES: usize = 1_000;
/// Bytes of messages between two readings of the clock, about.
const AT_ONCE: usize = 1 << 20;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Rounds; a median is of so many.
    pub rounds: usize,
    /// Exchanges of each kind in a round.
    pub exchanges: usize,
    /// Numbers of rules.
    pub rules: Vec<usize>,
    /// Numbers of partitions.
    pub partitions: Vec<usize>,
    /// Bytes that each size of message is to come to in a round, about.
    pub bytes: usize,
}

/// Exchanges of one kind on one connection, and what they took.
struct Case {
    kind: &'static str,
    conversation: Conversation,
    exchanges: Vec<Exchange>,
    requests: Samples,
    responses: Samples,
}

// === impl Sizes ===

impl Sizes {
    /// For figures; `quick` for a look whether it works.
    pub fn new(rounds: usize, quick: bool) -> Self {
        let (exchanges, bytes) = if quick {
            (160, 10_000)
        } else {
            (16_384, 16 << 20)
        };
        Self {
            rounds,
            exchanges,
            rules: if quick {
                vec![1, 100]
            } else {
                vec![1, 1_000, 100_000]
            },
            partitions: if quick {
                vec![1, 10]
            } else {
                vec![1, 10, 100, 1_000, 10_000]
            },
            bytes,
        }
    }
}

// === impl Case ===

impl Case {
    fn new(
        kind: &'static str,
        rules: &Arc<Authorizer>,
        topics: usize,
        exchanges: Vec<Exchange>,
    ) -> Result<Self> {
        Ok(Self {
            kind,
            conversation: Conversation::new(rules.clone(), topics)?,
            exchanges,
            requests: Samples::default(),
            responses: Samples::default(),
        })
    }

    /// At least `number` exchanges, as many at a time in flight as there are
    /// of them; keeps the nanoseconds that a request and a response took in the
    /// median of these times.
    fn round(&mut self, number: usize) -> Result<()> {
        let each = self.exchanges.len() as f64;
        let (mut requests, mut responses) = (Samples::default(), Samples::default());
        for _ in 0..number.div_ceil(self.exchanges.len()) {
            // Made outside of what is timed: the pump has read them already.
            let read = |exchange: &Exchange| BytesMut::from(&*exchange.response);
            let mut buffers: Vec<BytesMut> = self.exchanges.iter().map(read).collect();
            let begun = used();
            for exchange in &self.exchanges {
                self.conversation.request(&exchange.request)?;
            }
            requests.push((used() - begun) / each);
            let begun = used();
            for buffer in &mut buffers {
                self.conversation.response(buffer)?;
            }
            responses.push((used() - begun) / each);
        }
        let median = |samples: &Samples| samples.summary(0).map_or(0.0, |all| all.median);
        self.requests.push(median(&requests));
        self.responses.push(median(&responses));
        Ok(())
    }
}

/// Nanoseconds of processor time of this thread: what it waits for others does
/// not count.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// D6: one request and its answer, by the number of rules in force.
pub fn by_rules(sizes: &Sizes) -> Result<Table> {
    let mut cases = Vec::new();
    for &number in &sizes.rules {
        let rules = Arc::new(Authorizer::new(world::rules(number)));
        for (kind, exchanges) in kinds()? {
            cases.push((number, Case::new(kind, &rules, TOPICS, exchanges)?));
        }
    }
    for (_, case) in &mut cases {
        case.round(sizes.exchanges)?;
        (case.requests, case.responses) = Default::default();
    }
    for _ in 0..sizes.rounds {
        for (_, case) in &mut cases {
            case.round(sizes.exchanges)?;
        }
    }
    let mut table = Table::new(&["D6: exchange", "rules", "request ns", "response ns"]);
    cases.sort_by_key(|(number, case)| (case.kind, *number));
    for (number, case) in &cases {
        table.row(vec![
            case.kind.to_owned(),
            number.to_string(),
            case.requests.cell(0),
            case.responses.cell(0),
        ]);
    }
    Ok(table)
}

/// The exchanges of a producer and a consumer with 16 KB batches.
fn kinds() -> Result<[(&'static str, Vec<Exchange>); 4]> {
    let records = batch(15, 1024)?;
    let each = |make: &dyn Fn(usize) -> Result<Exchange>| (0..TOPICS).map(make).collect();
    let all: [Result<Vec<Exchange>>; 4] = [
        each(&|topic| produce(12, topic, 1, &records)),
        each(&|topic| produce(13, topic, 1, &records)),
        each(&|topic| fetch(17, topic, 1, &records)),
        each(&|topic| metadata(13, topic, 12)),
    ];
    let [by_name, by_id, fetches, metadata] = all;
    Ok([
        ("Produce v12, 1 partition, 16 KB", by_name?),
        ("Produce v13, 1 partition, 16 KB", by_id?),
        ("Fetch v17, 1 partition, 16 KB", fetches?),
        ("Metadata v13, 1 topic of 12", metadata?),
    ])
}

/// D7: one request and its answer, by the number of partitions in it.
pub fn by_partitions(sizes: &Sizes) -> Result<Table> {
    let rules = Arc::new(Authorizer::new(world::rules(RULES)));
    let records = batch(1, 1024)?;
    let mut cases = Vec::new();
    for &partitions in &sizes.partitions {
        let topics = spread(partitions).count();
        let all = [
            ("Produce v12", produce(12, 0, partitions, &records)?),
            ("Produce v13", produce(13, 0, partitions, &records)?),
            ("Fetch v17", fetch(17, 0, partitions, &records)?),
        ];
        for (kind, exchange) in all {
            // Several at once, so that reading the clock is lost in them.
            let bytes = exchange.request.len() + exchange.response.len();
            let exchanges = vec![exchange; (AT_ONCE / bytes).clamp(1, 64)];
            cases.push((partitions, Case::new(kind, &rules, topics, exchanges)?));
        }
    }
    let number = |case: &Case| {
        let exchange = &case.exchanges[0];
        let bytes = exchange.request.len() + exchange.response.len();
        (sizes.bytes / bytes).max(9 * case.exchanges.len())
    };
    for (_, case) in &mut cases {
        case.round(number(case))?;
        (case.requests, case.responses) = Default::default();
    }
    for _ in 0..sizes.rounds {
        for (_, case) in &mut cases {
            case.round(number(case))?;
        }
    }
    cases.sort_by_key(|(number, case)| (case.kind, *number));
    Ok(partitions_table(&cases))
}

fn partitions_table(cases: &[(usize, Case)]) -> Table {
    let mut table = Table::new(&[
        "D7: message",
        "partitions",
        "bytes",
        "ns",
        "ns a partition",
        "ns a byte",
    ]);
    for (direction, is_request) in [("request", true), ("response", false)] {
        for (partitions, case) in cases {
            let exchange = &case.exchanges[0];
            let (bytes, taken) = if is_request {
                (exchange.request.len(), &case.requests)
            } else {
                (exchange.response.len(), &case.responses)
            };
            let per = |number: usize| taken.values().iter().map(|v| v / number as f64).collect();
            let (each, byte): (Samples, Samples) = (per(*partitions), per(bytes));
            table.row(vec![
                format!("{} {direction}", case.kind),
                partitions.to_string(),
                bytes.to_string(),
                taken.cell(0),
                each.cell(1),
                byte.cell(3),
            ]);
        }
    }
    table
}
