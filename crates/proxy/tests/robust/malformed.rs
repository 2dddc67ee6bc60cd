//! Bytes that are no Kafka, or no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt as _;
use tubeway_protocol::header::RequestHeader;
use tubeway_protocol::{ApiKey, Direction};

use crate::alone;
use crate::authority::{Authority, CHECKOUT};
use crate::broker::Broker;
use crate::client::{Client, read_response};
use crate::node::allowing;
use crate::process::until;
use crate::sidecar::{Pod, Sidecar};
use crate::sizes::size;
use crate::wire::{Call, Wanted, api_versions, fetch, heartbeat, metadata, produce};

const AT_ONCE: usize = 8;
/// An answer, or the end, comes within this.
const PATIENCE: Duration = Duration::from_secs(20);
const SEED: u64 = 0x006b_6166_6b61;
/// Frames that the sidecar may hold whole.
const MAX_FRAME: usize = 100 * 1024 * 1024;

/// What becomes of a connection.
#[derive(Debug, Default)]
struct Fates {
    answered: AtomicUsize,
    closed: AtomicUsize,
}

/// What a sidecar owes for some bytes.
#[derive(Debug, Default)]
struct Owed {
    /// Answers to these, in their order, unless it closes.
    answers: Vec<(Call, i32)>,
    /// It has to close after these.
    closes: bool,
}

#[test]
fn a_malformed_frame_at_every_offset_is_answered_or_closed_and_harms_nobody() {
    alone(async {
        let (authority, pod) = (Authority::new(), Pod::new());
        let broker = Broker::start_plain(pod.broker()).await;
        let plane = authority.serve().await;
        let sidecar = Sidecar::start(&authority, &plane, pod, allowing(&[CHECKOUT])).await;
        let config = authority.client(CHECKOUT);
        let stop = Arc::new(AtomicBool::new(false));
        let neighbour = Client::connect(&config, sidecar.address, "neighbour").await;
        let neighbour = tokio::spawn(works(neighbour.unwrap(), stop.clone()));
        let (cases, fates) = (cases(), Fates::default());
        let count = cases.len();
        let trying = cases.iter().map(|case| fates.of(&sidecar, &config, case));
        let trying = futures::stream::iter(trying).buffer_unordered(AT_ONCE);
        trying.collect::<()>().await;
        stop.store(true, Ordering::Relaxed);
        let (calls, slowest) = neighbour.await.expect("the neighbour is unharmed");
        let closed = fates.closed.load(Ordering::Relaxed);
        println!(
            "{count} conversations: {} answered, {closed} closed; the neighbour's {calls} \
             calls took at most {slowest:?}",
            fates.answered.load(Ordering::Relaxed),
        );
        until(PATIENCE, "each end has its reason in the log", async || {
            let log = sidecar.log();
            let why =
                |line: &&str| line.contains("connection ended") && !line.contains("client closed");
            log.lines().filter(why).count() >= closed
        })
        .await;
        assert!(closed > 0 && calls > 0);
        broker.assert_unharmed();
        sidecar.assert_unharmed();
    });
}

/// A neighbour's calls, until the end; how many, and the slowest.
async fn works(mut client: Client, stop: Arc<AtomicBool>) -> (usize, Duration) {
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = client.call(&heartbeat()).await.expect("an answer");
        assert_eq!(answer.int("ErrorCode"), 0);
        (calls, slowest) = (calls + 1, slowest.max(begun.elapsed()));
    }
    (calls, slowest)
}

/// A conversation with one byte changed, or cut, at each offset; and noise.
fn cases() -> Vec<Vec<u8>> {
    let requests = [
        api_versions(),
        metadata(),
        produce(10),
        fetch(Wanted::default()),
    ];
    let frames = requests.iter().zip(1..);
    let whole: Vec<u8> = frames
        .flat_map(|(request, id)| request.frame(id, "client"))
        .collect();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut cases = vec![whole.clone()];
    for at in 0..whole.len() {
        cases.push(whole[..at].to_vec());
        for change in [0x01, 0x80, random.random_range(1..=255_u8)] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            cases.push(changed);
        }
    }
    for _ in 0..size("NOISE", 100) {
        let mut noise = vec![0; random.random_range(1..2_000)];
        random.fill_bytes(&mut noise);
        cases.push(noise.clone());
        // With a length that fits, it gets further.
        let length = noise.len() as i32;
        cases.push([&length.to_be_bytes()[..], &noise].concat());
    }
    cases
}

// === impl Fates ===

impl Fates {
    /// Tries one conversation on a connection of its own.
    async fn of(&self, sidecar: &Sidecar, config: &Arc<ClientConfig>, case: &[u8]) {
        let client = Client::connect(config, sidecar.address, "x").await;
        let mut client = client.expect("a connection");
        let owed = Owed::for_bytes(case);
        let trial = tokio::time::timeout(PATIENCE, converse(&mut client, case, &owed));
        match trial.await {
            Err(late) => panic!("neither answered nor closed ({late}): {owed:?} for {case:02x?}"),
            Ok(Err(wrong)) => panic!("{wrong}: {owed:?} for {case:02x?}"),
            Ok(Ok(true)) => self.closed.fetch_add(1, Ordering::Relaxed),
            Ok(Ok(false)) => self.answered.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// Sends the bytes and reads what is owed; whether the sidecar closed before.
async fn converse(client: &mut Client, case: &[u8], owed: &Owed) -> Result<bool, String> {
    // It may close before it has read all.
    let sent = client.stream.write_all(case).await.is_ok();
    let _ = client.stream.flush().await;
    for (call, id) in &owed.answers {
        match client.receive().await {
            Ok(Some(frame)) => read_response(*call, *id, &frame)?,
            Ok(None) | Err(_) => return Ok(true),
        };
    }
    if owed.closes || !sent {
        return match client.receive().await {
            Ok(Some(frame)) => Err(format!("an answer of {} bytes to nothing", frame.len())),
            Ok(None) | Err(_) => Ok(true),
        };
    }
    let _ = client.stream.shutdown().await;
    while let Ok(Some(_)) = client.receive().await {}
    Ok(false)
}

// === impl Owed ===

impl Owed {
    fn for_bytes(mut bytes: &[u8]) -> Self {
        let mut owed = Self::default();
        while let Some((length, after)) = bytes.split_first_chunk::<4>() {
            let length = usize::try_from(i32::from_be_bytes(*length));
            let Some(length) = length.ok().filter(|length| *length <= MAX_FRAME) else {
                owed.closes = true;
                break;
            };
            let Some((frame, rest)) = after.split_at_checked(length) else {
                break;
            };
            if owed.frame(frame).is_none() {
                owed.closes = true;
                break;
            }
            bytes = rest;
        }
        owed
    }

    /// None for a frame that cannot be answered.
    fn frame(&mut self, frame: &[u8]) -> Option<()> {
        let header = RequestHeader::read(frame, frame.len() as u32).ok()??;
        let call = Call::new(header.api, header.version);
        let id = header.correlation_id;
        if call.api == ApiKey::API_VERSIONS && call.message(Direction::Request).is_err() {
            // A version that is yet to come has its answer in version 0.
            self.answers.push((Call::new(call.api, 0), id));
            return Some(());
        }
        let body = Bytes::copy_from_slice(&frame[header.length..]);
        let body = call.read(Direction::Request, &body).ok()?;
        if call.api != ApiKey::PRODUCE || body.int("Acks") != 0 {
            self.answers.push((call, id));
        }
        Some(())
    }
}
