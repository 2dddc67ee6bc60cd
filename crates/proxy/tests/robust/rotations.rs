//! Certificates that are replaced under live connections (figure P8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use rustls_pki_types::CertificateDer;

use crate::alone;
use crate::authority::{Authority, CHECKOUT, NODE, to_node};
use crate::broker::{Broker, anywhere};
use crate::client::Client;
use crate::node::{Node, allowing};
use crate::process::until;
use crate::sizes::size;
use crate::wire::heartbeat;

const SETTLE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(200);

#[test]
fn no_connection_and_no_request_is_lost_when_certificates_are_replaced() {
    let (connections, rotations) = (size("LIVE", 100), size("ROTATIONS", 100));
    alone(rotate(connections, rotations));
}

async fn rotate(connections: usize, rotations: usize) {
    let mut authority = Authority::new();
    let broker = Broker::start(anywhere()).await;
    let node = Node::start(&authority, &broker, allowing(&[CHECKOUT])).await;
    let own = authority.store(CHECKOUT);
    let stop = Arc::new(AtomicBool::new(false));
    let mut working = Vec::new();
    for _ in 0..connections {
        let client = Client::connect(&to_node(&own), node.address, "live").await;
        let client = client.expect("a connection");
        working.push(tokio::spawn(works(client, stop.clone())));
    }
    let begun = Instant::now();
    for rotation in 0..rotations {
        if rotation == rotations / 2 {
            authority.replace();
        }
        authority.renew(&node.identity, NODE);
        authority.renew(&own, CHECKOUT);
        // Who comes now meets the new certificate.
        let new = Client::connect(&to_node(&own), node.address, "new").await;
        let mut new = new.expect("a connection with the new certificates");
        let shown = certificate(&new);
        let current = node.identity.latest().expect("an identity");
        assert_eq!(
            shown.as_ref(),
            current.chain().first(),
            "rotation {rotation}"
        );
        let answer = new.call(&heartbeat()).await.expect("an answer");
        assert_eq!(answer.int("ErrorCode"), 0);
    }
    let elapsed = begun.elapsed();
    until(SETTLE, "all live connections, and no other", async || {
        node.open() == connections as i64
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let calls: Vec<u64> = join_all(working)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    println!(
        "{rotations} rotations in {elapsed:.1?}, one of them of the root, under {connections} \
         connections: none dropped in {} calls",
        calls.iter().sum::<u64>()
    );
    assert!(calls.iter().all(|calls| *calls > 1), "{calls:?}");
    broker.assert_unharmed();
}

/// Calls until the end, each of which must be answered; how many.
async fn works(mut client: Client, stop: Arc<AtomicBool>) -> u64 {
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = client.call(&heartbeat()).await.expect("an answer");
        assert_eq!(answer.int("ErrorCode"), 0);
        calls += 1;
        tokio::time::sleep(PACE).await;
    }
    // Once more after the last rotation.
    client.call(&heartbeat()).await.expect("an answer");
    calls + 1
}

/// What the node has shown.
fn certificate(client: &Client) -> Option<CertificateDer<'static>> {
    let chain = client.stream.get_ref().1.peer_certificates()?;
    chain.first().cloned()
}
