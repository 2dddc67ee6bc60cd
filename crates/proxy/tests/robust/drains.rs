//! Sidecars that end while requests are under way (figure P10).

use std::time::{Duration, Instant};

use futures::future::join_all;
use socket2::SockRef;

use crate::alone;
use crate::authority::{Authority, CHECKOUT};
use crate::broker::{Broker, anywhere};
use crate::client::Client;
use crate::node::{Node, allowing};
use crate::process::until;
use crate::sidecar::{Pod, Sidecar};
use crate::sizes::size;
use crate::wire::{Request, Wanted, fetch, produce};

/// Connections in each drain.
const CLIENTS: usize = 20;
/// Requests of each that are under way.
const DEPTH: usize = 3;
/// Before the sidecar is told to end.
const LOAD: Duration = Duration::from_millis(300);
/// A drain waits for answers, which take a moment, and for nothing else.
const ENDED: Duration = Duration::from_secs(8);

#[test]
fn what_the_broker_has_answered_reaches_the_client_before_the_sidecar_ends() {
    alone(drains(size("DRAINS", 6)));
}

async fn drains(count: usize) {
    let (authority, pod) = (Authority::new(), Pod::new());
    let broker = Broker::start(pod.broker()).await;
    let plane = authority.serve().await;
    let config = authority.client(CHECKOUT);
    let (mut answers, mut slowest) = (0, Duration::ZERO);
    for drain in 0..count {
        let rules = allowing(&[CHECKOUT]);
        let mut sidecar = Sidecar::start(&authority, &plane, pod, rules).await;
        let mut working = Vec::new();
        for client in 0..CLIENTS {
            let id = format!("{drain}-{client}");
            let connected = Client::connect(&config, sidecar.address, &id).await;
            let works = works(connected.expect("a connection"), client);
            working.push(tokio::spawn(async move { (id, works.await) }));
        }
        tokio::time::sleep(LOAD).await;
        let begun = Instant::now();
        sidecar.terminate();
        until(ENDED, "the sidecar ends", async || {
            sidecar.ended().is_some()
        })
        .await;
        slowest = slowest.max(begun.elapsed());
        assert_eq!(sidecar.ended(), Some(true), "{}", sidecar.log());
        for done in join_all(working).await {
            let (id, received) = done.expect("a client");
            assert_eq!(received, broker.answered(&id), "client {id}, drain {drain}");
            answers += received;
        }
        sidecar.assert_unharmed();
    }
    println!(
        "{count} drains under {CLIENTS} connections with {DEPTH} requests each: {answers} answers, \
         each received; the slowest drain took {slowest:.1?}"
    );
    assert!(answers > 0);
    broker.assert_unharmed();
}

/// Keeps requests under way until the sidecar closes; the answers received.
async fn works(mut client: Client, number: usize) -> u64 {
    let requests: [Request; DEPTH] = [
        produce(1_000),
        fetch(Wanted {
            after: number as i32,
            ..Wanted::default()
        }),
        fetch(Wanted {
            bytes: 1024 * 1024,
            ..Wanted::default()
        }),
    ];
    let mut received = 0;
    let mut next = 0;
    let mut open = true;
    while next < DEPTH {
        open &= client.send(&requests[next]).await.is_ok();
        next += 1;
    }
    while let Ok(Some(_)) = client.receive().await {
        received += 1;
        if open {
            open = client.send(&requests[next % DEPTH]).await.is_ok();
            next += 1;
        }
    }
    received
}

#[test]
fn a_slow_reader_that_goes_on_asking_gets_its_answer_whole() {
    const MIB: i32 = 1024 * 1024;
    alone(async {
        let authority = Authority::new();
        let config = authority.client(CHECKOUT);
        for answer in 1..=3 {
            let broker = Broker::start(anywhere()).await;
            let node = Node::start(&authority, &broker, allowing(&[CHECKOUT])).await;
            let client = Client::connect(&config, node.address, "slow").await;
            let mut client = client.expect("a connection");
            let socket = SockRef::from(client.stream.get_ref().0);
            socket.set_recv_buffer_size(128 * 1024).expect("a size");
            let wanted = Wanted {
                bytes: answer * MIB,
                ..Wanted::default()
            };
            client.send(&fetch(wanted)).await.expect("a request");
            // Until the broker is done, or can write no more.
            let mut last = u64::MAX;
            until(ENDED, "nothing moves", async || {
                tokio::time::sleep(Duration::from_millis(100)).await;
                let written = broker
                    .seen
                    .written
                    .load(std::sync::atomic::Ordering::Relaxed);
                written > 1000 && std::mem::replace(&mut last, written) == written
            })
            .await;
            node.end();
            client.send(&produce(100)).await.expect("one more request");
            tokio::time::sleep(Duration::from_millis(100)).await;
            let received = client.receive().await;
            let received = received.unwrap_or_else(|e| panic!("{answer} MiB: {e}"));
            let received = received.expect("the answer").len();
            assert!(received as i32 > answer * MIB, "{received} of {answer} MiB");
            broker.assert_unharmed();
        }
    });
}
