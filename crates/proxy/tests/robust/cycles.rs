//! Clients that break off, at every stage and in every way (figure P11).

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::alone;
use crate::authority::{Authority, CHECKOUT};
use crate::broker::{Broker, anywhere};
use crate::client::Client;
use crate::node::{Node, allowing};
use crate::process::{descriptors, resident, until};
use crate::sizes::size;
use crate::wire::{Wanted, fetch, heartbeat, produce};

const AT_ONCE: usize = 32;
const SETTLE: Duration = Duration::from_secs(30);

/// Where a client breaks off.
#[derive(Debug, Clone, Copy)]
enum Stage {
    BeforeTls,
    WithinHello,
    WithinHandshake,
    AfterHandshake,
    WithinLength,
    WithinFrame,
    InFlight,
    HalfClosed,
    Answered,
}

const STAGES: [Stage; 9] = [
    Stage::BeforeTls,
    Stage::WithinHello,
    Stage::WithinHandshake,
    Stage::AfterHandshake,
    Stage::WithinLength,
    Stage::WithinFrame,
    Stage::InFlight,
    Stage::HalfClosed,
    Stage::Answered,
];

/// What should be as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    descriptors: usize,
    tasks: usize,
    open: i64,
    at_broker: i64,
}

#[test]
fn nothing_is_left_of_clients_that_break_off_at_any_stage() {
    alone(cycles(size("CYCLES", 1_500)));
}

async fn cycles(count: usize) {
    let authority = Authority::new();
    let broker = Broker::start(anywhere()).await;
    let node = Node::start(&authority, &broker, allowing(&[CHECKOUT])).await;
    let config = authority.client(CHECKOUT);
    let before = held(&node, &broker);
    run(&node, &config, count / 10).await;
    settled(&node, &broker, before).await;
    let memory = resident(std::process::id());
    let begun = Instant::now();
    run(&node, &config, count).await;
    let elapsed = begun.elapsed();
    settled(&node, &broker, before).await;
    let after = resident(std::process::id());
    let drift = (after as f64 / memory as f64 - 1.0) * 100.0;
    println!(
        "{count} cycles in {elapsed:.1?}: {before:?} before and after; \
         memory of both sides {memory} KiB, then {after} KiB ({drift:+.1} %)"
    );
    broker.assert_unharmed();
}

fn held(node: &Node, broker: &Broker) -> Held {
    Held {
        descriptors: descriptors(std::process::id()),
        tasks: node.tasks(),
        open: node.open(),
        at_broker: broker.seen.open.load(Ordering::SeqCst),
    }
}

async fn settled(node: &Node, broker: &Broker, before: Held) {
    let what = format!("as it was: {before:?}");
    until(SETTLE, &what, async || {
        let now = held(node, broker);
        // Others of the process may have closed something in the meantime.
        now.descriptors <= before.descriptors
            && (now.tasks, now.open, now.at_broker) == (before.tasks, before.open, before.at_broker)
    })
    .await;
}

async fn run(node: &Node, config: &Arc<ClientConfig>, count: usize) {
    let cycles = (0..count).map(|i| {
        let (stage, reset) = (
            STAGES[i % STAGES.len()],
            (i / STAGES.len()).is_multiple_of(2),
        );
        async move {
            let done = break_off(node, config, stage, reset).await;
            assert!(done.is_ok(), "{stage:?}: {done:?}");
        }
    });
    let cycles = futures::stream::iter(cycles).buffer_unordered(AT_ONCE);
    cycles.collect::<()>().await;
}

/// One client's short life. Dropping the connection ends it without TLS's
/// farewell, with a FIN or a RST.
async fn break_off(
    node: &Node,
    config: &Arc<ClientConfig>,
    stage: Stage,
    reset: bool,
) -> io::Result<()> {
    let tcp = match stage {
        Stage::BeforeTls => TcpStream::connect(node.address).await?,
        Stage::WithinHello | Stage::WithinHandshake => hello(node, config, stage).await?,
        _ => return speak(node, config, stage, reset).await,
    };
    leave(&tcp, reset)
}

fn leave(tcp: &TcpStream, reset: bool) -> io::Result<()> {
    if reset {
        SockRef::from(tcp).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Part of a ClientHello, or all of it and the beginning of its answer.
async fn hello(node: &Node, config: &Arc<ClientConfig>, stage: Stage) -> io::Result<TcpStream> {
    let name = ServerName::IpAddress(node.address.ip().into());
    let mut tls = rustls::ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    tls.write_tls(&mut hello)?;
    let mut tcp = TcpStream::connect(node.address).await?;
    if let Stage::WithinHello = stage {
        tcp.write_all(&hello[..hello.len() / 2]).await?;
    } else {
        tcp.write_all(&hello).await?;
        tcp.read_exact(&mut [0; 100]).await?;
    }
    Ok(tcp)
}

async fn speak(
    node: &Node,
    config: &Arc<ClientConfig>,
    stage: Stage,
    reset: bool,
) -> io::Result<()> {
    let mut client = Client::connect(config, node.address, "cycle").await?;
    let frame = produce(10_000).frame(1, "cycle");
    match stage {
        Stage::WithinLength => client.stream.write_all(&frame[..3]).await?,
        Stage::WithinFrame => client.stream.write_all(&frame[..5_000]).await?,
        Stage::InFlight => {
            let late = Wanted {
                bytes: 1024 * 1024,
                after: 20,
                ..Wanted::default()
            };
            client.send(&fetch(late)).await?;
        }
        Stage::HalfClosed => {
            client.send(&heartbeat()).await?;
            client.stream.shutdown().await?;
            // Answered or not, it ends.
            let _ = client.stream.read_to_end(&mut Vec::new()).await;
        }
        Stage::Answered => {
            client.call(&heartbeat()).await?;
        }
        _ => {}
    }
    client.stream.flush().await?;
    leave(client.stream.get_ref().0, reset)
}
