//! Slow readers and slow writers: what they cost, and whom.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::alone;
use crate::authority::{Authority, CHECKOUT};
use crate::broker::{Broker, anywhere};
use crate::client::Client;
use crate::node::{Node, allowing};
use crate::process::{percentile, until};
use crate::sidecar::{Pod, Sidecar};
use crate::wire::{Wanted, fetch, heartbeat};

const MIB: u64 = 1024 * 1024;
/// One answer to a client that does not read it.
const ANSWER: u64 = 64 * MIB;
/// Clients that stall at a time.
const STALLED: usize = 10;
/// Round trips of the other client in each round.
const CALLS: usize = 200;
const ROUNDS: usize = 5;
/// Nothing has moved for so long: all is stalled.
const HALT: Duration = Duration::from_millis(300);
const ANSWERED: Duration = Duration::from_secs(20);
/// KiB of the sidecar's own that a stalled connection may hold.
const MOST_HELD: u64 = 2 * 1024;
/// What the kernel's buffers of the two connections may hold of an answer.
const MOST_IN_BUFFERS: u64 = 16 * MIB;

#[test]
fn a_reader_that_stalls_holds_little_and_delays_nobody() {
    alone(async {
        let (authority, pod) = (Authority::new(), Pod::new());
        let broker = Broker::start(pod.broker()).await;
        let plane = authority.serve().await;
        let sidecar = Sidecar::start(&authority, &plane, pod, allowing(&[CHECKOUT])).await;
        let config = authority.client(CHECKOUT);
        let connect = async |id| Client::connect(&config, sidecar.address, id).await.unwrap();
        let mut other = connect("other").await;
        round(&mut other).await;
        let before = sidecar.resident();
        let (mut alone, mut beside, mut last) = (Vec::new(), Vec::new(), None);
        for _ in 0..ROUNDS {
            alone.push(round(&mut other).await);
            let mut stalled = Vec::new();
            let written = broker.seen.written.load(Ordering::Relaxed);
            for _ in 0..STALLED {
                let mut client = connect("stalled").await;
                client.send(&large()).await.unwrap();
                stalled.push(client);
            }
            // Until every buffer on the way is full.
            let mut last_look = written;
            until(ANSWERED, "answers begin, and come to a halt", async || {
                tokio::time::sleep(HALT).await;
                let now = broker.seen.written.load(Ordering::Relaxed);
                let halted = std::mem::replace(&mut last_look, now) == now;
                halted && now > written + STALLED as u64 * MIB
            })
            .await;
            beside.push(round(&mut other).await);
            let held = sidecar.resident().saturating_sub(before) / STALLED as u64;
            let taken = broker.seen.written.load(Ordering::Relaxed) - written;
            let taken = taken / STALLED as u64;
            println!("a stalled connection: {held} KiB in the sidecar, {taken} bytes taken");
            assert!(held <= MOST_HELD, "{held} KiB");
            assert!(taken <= MOST_IN_BUFFERS, "{taken} bytes of one answer");
            last = stalled.pop();
        }
        let ratios = alone.iter().zip(&beside);
        let mut ratios: Vec<f64> = ratios
            .map(|(alone, beside)| beside.as_secs_f64() / alone.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!(
            "p99 of another client alone {alone:?}, beside {STALLED} stalled {beside:?}; \
             ratio in the median {:.2}",
            ratios[ROUNDS / 2]
        );
        // Who reads at last gets all of it.
        let mut last = last.expect("the last round's");
        let answer = last.receive().await.unwrap().expect("an answer");
        assert!(answer.len() as u64 >= ANSWER, "{} bytes", answer.len());
        broker.assert_unharmed();
        sidecar.assert_unharmed();
    });
}

#[test]
fn a_writer_that_stalls_costs_what_it_has_written() {
    const CLAIMED: i32 = 90 * 1024 * 1024;
    const SENT: usize = 100;
    alone(async {
        let (authority, pod) = (Authority::new(), Pod::new());
        let broker = Broker::start(pod.broker()).await;
        let plane = authority.serve().await;
        let sidecar = Sidecar::start(&authority, &plane, pod, allowing(&[CHECKOUT])).await;
        let config = authority.client(CHECKOUT);
        let connect = async |id| Client::connect(&config, sidecar.address, id).await.unwrap();
        let mut other = connect("other").await;
        round(&mut other).await;
        let before = sidecar.resident();
        let mut stalled = Vec::new();
        // A Produce's header and no more.
        let mut frame = crate::wire::produce(SENT).frame(1, "slow");
        frame[..4].copy_from_slice(&CLAIMED.to_be_bytes());
        for at in 0..SENT {
            let mut client = connect("slow").await;
            client.stream.write_all(&frame[..=at % 50]).await.unwrap();
            client.stream.flush().await.unwrap();
            stalled.push(client);
        }
        let slowest = round(&mut other).await;
        let held = sidecar.resident().saturating_sub(before) / SENT as u64;
        println!("{SENT} writers that stall: {held} KiB each; p99 of another {slowest:?}");
        assert!(held <= 64, "{held} KiB each");
        broker.assert_unharmed();
        sidecar.assert_unharmed();
    });
}

#[test]
fn a_reader_that_stalls_for_good_does_not_hold_its_sidecar() {
    alone(async {
        let authority = Authority::new();
        let config = authority.client(CHECKOUT);
        let broker = Broker::start(anywhere()).await;
        let node = Node::start(&authority, &broker, allowing(&[CHECKOUT])).await;
        let client = Client::connect(&config, node.address, "stalled").await;
        let mut client = client.expect("a connection");
        client.send(&large()).await.expect("a request");
        until(ANSWERED, "the answer begins", async || {
            broker.seen.written.load(Ordering::Relaxed) > MIB
        })
        .await;
        let begun = Instant::now();
        node.end();
        until(ANSWERED, "the connection is let go", async || {
            node.open() == 0 && broker.seen.open.load(Ordering::SeqCst) == 0
        })
        .await;
        println!(
            "let go {:.1?} after the end of the sidecar",
            begun.elapsed()
        );
        // Until now the client has been there, and has read nothing.
        drop(client);
    });
}

fn large() -> crate::wire::Request {
    fetch(Wanted {
        bytes: ANSWER as i32,
        ..Wanted::default()
    })
}

/// Round trips, each answered in time; their p99.
async fn round(client: &mut Client) -> Duration {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = Instant::now();
        let answer = tokio::time::timeout(ANSWERED, client.call(&heartbeat())).await;
        answer.expect("an answer in time").expect("an answer");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    percentile(&times, 99)
}
