//! Connections that are held open (figures D4 and D5).

use futures::{StreamExt as _, TryStreamExt as _};
use std::sync::Arc;
use std::time::Instant;

use crate::alone;
use crate::authority::{Authority, CHECKOUT};
use crate::broker::Broker;
use crate::client::Client;
use crate::node::allowing;
use crate::sidecar::{Pod, Sidecar};
use crate::sizes::{need_descriptors, size};
use crate::wire::heartbeat;

/// Handshakes at a time.
const AT_ONCE: usize = 16;
/// KiB that an idle connection may cost a node's sidecar, TLS included.
const MOST: u64 = 48;

#[test]
fn thousands_of_connections_are_held_and_each_answers() {
    let count = size("CONNECTIONS", 1_000);
    // Both sides of this process: clients and broker. Those of the sidecar are as many.
    need_descriptors(2 * count as u64 + 200);
    alone(hold(count));
}

async fn hold(count: usize) {
    let (authority, pod) = (Authority::new(), Pod::new());
    let broker = Broker::start(pod.broker()).await;
    let plane = authority.serve().await;
    let sidecar = Sidecar::start(&authority, &plane, pod, allowing(&[CHECKOUT])).await;
    let config = authority.client(CHECKOUT);
    let open = async |config: Arc<_>| {
        let mut client = Client::connect(&config, sidecar.address, "held").await?;
        client.call(&heartbeat()).await.map(|_| client)
    };
    // What is made once, on the first connection, is no connection's.
    drop(open(config.clone()).await.expect("a connection"));
    let (before, begun) = (sidecar.resident(), Instant::now());
    let opening = futures::stream::iter((0..count).map(|_| open(config.clone())));
    let opening = opening.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>();
    let clients = opening.await.expect("all are let in");
    let (opened, after) = (begun.elapsed(), sidecar.resident());
    let each = (after - before) / count as u64;
    println!(
        "{count} connections in {opened:.1?}: {before} KiB before, {after} KiB with them, \
         {each} KiB each, {} descriptors",
        sidecar.descriptors()
    );
    assert!(sidecar.descriptors() >= 2 * count);
    let asking = clients.into_iter().map(async |mut client| {
        client.call(&heartbeat()).await?;
        std::io::Result::Ok(client)
    });
    let asking = futures::stream::iter(asking).buffer_unordered(AT_ONCE);
    let clients: Vec<Client> = asking.try_collect().await.expect("each still answers");
    assert_eq!(clients.len(), count);
    let busy = sidecar.resident();
    println!("after one more round of requests: {busy} KiB");
    assert!(each <= MOST, "an idle connection costs {each} KiB");
    broker.assert_unharmed();
    sidecar.assert_unharmed();
}
