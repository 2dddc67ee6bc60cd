//! D3: how long a Produce of one record takes, one at a time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::value::{Budget, decode};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use crate::field::{Lane, order};
use crate::messages::{batch, produce};
use crate::route::Kind;
use crate::stats::{Samples, quantile};
use crate::table::Table;

/// The newest version that names its topics: no id has to be asked for first.
pub(crate) const VERSION: i16 = 12;
/// A broker takes this long only when it is stuck.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is printed of each round.
const QUANTILES: [(f64, &str); 3] = [(0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")];
/// Where a request carries its correlation id: behind length, key and version.
pub(crate) const CORRELATION: std::ops::Range<usize> = 8..12;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rounds; a median is of so many.
    pub rounds: usize,
    /// Requests of each way in a round.
    pub requests: usize,
    /// Requests before those, which do not count.
    pub warm_up: usize,
}

/// A connection that asks and waits.
struct Asking {
    stream: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
    next: i32,
}

// === impl Asking ===

impl Asking {
    fn new(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            request: produce(VERSION, 0, 1, &batch(1, 1024)?)?.request,
            response: Vec::new(),
            next: 0,
        })
    }

    /// One request and its answer; how long that took.
    fn ask(&mut self) -> Result<Duration> {
        self.request[CORRELATION].copy_from_slice(&self.next.to_be_bytes());
        let begun = Instant::now();
        self.stream.write_all(&self.request)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        self.response.resize(u32::from_be_bytes(length) as usize, 0);
        self.stream.read_exact(&mut self.response)?;
        let taken = begun.elapsed();
        let answered = self.response.starts_with(&self.next.to_be_bytes());
        ensure!(answered, "the answer is to another request");
        self.next += 1;
        Ok(taken)
    }

    /// Microseconds of so many requests, sorted.
    fn many(&mut self, number: usize) -> Result<Vec<f64>> {
        let taken = (0..number).map(|_| Ok(self.ask()?.as_nanos() as f64 / 1e3));
        let mut taken = taken.collect::<Result<Vec<_>>>()?;
        check(&self.response)?;
        taken.sort_by(f64::total_cmp);
        Ok(taken)
    }
}

/// That an answer, without its length, says that the records were taken.
pub(crate) fn check(answer: &[u8]) -> Result<()> {
    let (frame, api) = (Bytes::copy_from_slice(answer), ApiKey::PRODUCE);
    let header = ResponseHeader::read(&frame, frame.len() as u32, api, VERSION)?;
    let body = frame.slice(header.context("an answer without a header")?.length..);
    let layout = Schemas::get().layout(api, VERSION, Direction::Response)?;
    let answer = decode(layout, &body, Budget::bytes(1 << 16))?;
    let topics = answer.structs("Responses");
    let mut partitions = topics.flat_map(|topic| topic.structs("PartitionResponses"));
    let error = partitions.next().context("no partition")?.int("ErrorCode");
    ensure!(error == 0, "the broker answers error {error}");
    Ok(())
}

/// Asks over every way in turn. Blocks.
pub fn measure(lanes: &[Lane], sizes: Sizes) -> Result<Table> {
    let mut asking = Vec::new();
    for lane in lanes {
        let kind = lane.route.kind;
        let mut one = Asking::new(lane.route.entry())?;
        one.many(sizes.warm_up)
            .with_context(|| format!("over {kind}"))?;
        asking.push(one);
    }
    let mut shown = vec![QUANTILES.map(|_| Samples::default()); lanes.len()];
    for round in 0..sizes.rounds {
        for at in order(round, lanes.len()) {
            let taken = asking[at].many(sizes.requests)?;
            for ((q, _), samples) in QUANTILES.iter().zip(&mut shown[at]) {
                samples.push(quantile(&taken, *q).context("no requests")?);
            }
        }
        eprintln!("D3: round {} of {}", round + 1, sizes.rounds);
    }
    Ok(table(lanes, &shown))
}

fn table(lanes: &[Lane], shown: &[[Samples; 3]]) -> Table {
    let columns = QUANTILES.map(|(_, name)| (format!("{name} µs"), format!("+ {name} µs")));
    let mut all = vec!["D3: way"];
    all.extend(columns.iter().map(|(own, _)| own.as_str()));
    all.extend(columns.iter().map(|(_, added)| added.as_str()));
    let mut table = Table::new(&all);
    let plain = lanes
        .iter()
        .position(|lane| lane.route.kind == Kind::Plain)
        .map(|at| &shown[at]);
    for (lane, own) in lanes.iter().zip(shown) {
        let mut row = vec![lane.route.kind.to_string()];
        row.extend(own.each_ref().map(|samples| samples.cell(0)));
        if let Some(plain) = plain.filter(|_| lane.pair.is_some()) {
            let added = own.iter().zip(plain);
            row.extend(added.map(|(own, plain)| own.less(plain).cell(0)));
        }
        table.row(row);
    }
    table
}
