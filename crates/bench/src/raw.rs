//! D1 without a JVM at the client: requests of one size, so many in flight.
//!
//! What a producer of Kafka's sends depends on how fast it is itself: on a busy
//! machine its batches are small, and the cost of a gigabyte is that of its
//! many requests. Here the requests are always the same.

use std::collections::VecDeque;
use std::io::{BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::field::{Lane, order};
use crate::latency::{CORRELATION, VERSION, check};
use crate::messages::{batch, produce};
use crate::throughput::{Run, Shown, Sizes, table};

/// As a Java producer has at most (`max.in.flight.requests.per.connection`).
const IN_FLIGHT: usize = 5;
/// A batch as full as `batch.size` (16 KB) allows.
const RECORDS: usize = 15;
const RECORD: usize = 1024;
/// A broker takes this long only when it is stuck.
const PATIENCE: Duration = Duration::from_mins(1);

/// Sends over every way in turn. Blocks.
pub fn measure(lanes: &[Lane], sizes: Sizes) -> Result<crate::table::Table> {
    let mut shown: Vec<Shown> = lanes.iter().map(|_| Shown::default()).collect();
    for lane in lanes {
        run(lane, sizes.gigabytes / 3.0, &mut Shown::default())?;
    }
    for round in 0..sizes.rounds {
        for at in order(round, lanes.len()) {
            run(&lanes[at], sizes.gigabytes, &mut shown[at])?;
        }
        eprintln!("D1 raw: round {} of {}", round + 1, sizes.rounds);
    }
    table("D1 raw: way", lanes, &shown)
}

fn run(lane: &Lane, gigabytes: f64, shown: &mut Shown) -> Result<()> {
    let size = (RECORDS * RECORD) as f64;
    let number = (gigabytes * 1e9 / size).ceil() as usize;
    let begun = (Run::begin(lane)?, Instant::now());
    send(lane, number)?;
    let bytes = number as f64 * size;
    let rate = bytes / 1e6 / begun.1.elapsed().as_secs_f64();
    begun.0.end(lane, bytes / 1e9, rate, shown)
}

/// So many requests on a connection of their own, all of them answered.
fn send(lane: &Lane, number: usize) -> Result<()> {
    let mut stream = TcpStream::connect(lane.route.entry())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let mut request = produce(VERSION, 0, 1, &batch(RECORDS, RECORD)?)?.request;
    let (mut waiting, mut last_answer) = (VecDeque::new(), Vec::new());
    for next in 0..number as i32 {
        request[CORRELATION].copy_from_slice(&next.to_be_bytes());
        stream.write_all(&request)?;
        waiting.push_back(next);
        let last = next + 1 == number as i32;
        while waiting.len() >= if last { 1 } else { IN_FLIGHT } {
            let answer = read(&mut answers)?;
            let expected = waiting.pop_front().unwrap_or_default();
            ensure!(
                answer.starts_with(&expected.to_be_bytes()),
                "the answer is to another request"
            );
            last_answer = answer;
        }
    }
    check(&last_answer)
}

fn read(from: &mut BufReader<TcpStream>) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    from.read_exact(&mut answer)?;
    Ok(answer)
}
