//! D4: memory of a pair that has just started, and of connections that wait.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::field::{Field, order};
use crate::pair::Pair;
use crate::route::Kind;
use crate::stats::Samples;
use crate::table::Table;

/// Connections that are being made at a time.
const AT_ONCE: usize = 16;
/// ApiVersions v0, correlation id 7, no client id, behind its length.
const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
const MB: f64 = 1e6;
const KIB: f64 = 1024.0;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Rounds; a median is of so many.
    pub rounds: usize,
    /// Connections that are held.
    pub connections: usize,
}

/// Of the client's half and of the node's.
#[derive(Debug, Default)]
struct Shown {
    /// Megabytes after the start.
    base: [Samples; 2],
    /// KiB more for each connection, and of both together.
    each: [Samples; 2],
    pair: Samples,
}

/// Starts every pair anew in each round: a process that has worked keeps
/// memory of it.
pub async fn measure(field: &Field, sizes: Sizes) -> Result<Table> {
    let pairs = field.routes.iter().filter(|r| r.kind != Kind::Plain);
    let routes: Vec<_> = pairs.copied().collect();
    let mut shown: Vec<Shown> = routes.iter().map(|_| Shown::default()).collect();
    for round in 0..sizes.rounds {
        for at in order(round, routes.len()) {
            let pair = field.starter.start(routes[at]).await?;
            let pair = pair.context("a way without a pair")?;
            hold(&pair, routes[at].entry(), sizes.connections, &mut shown[at])
                .await
                .with_context(|| format!("over {}", routes[at].kind))?;
        }
        eprintln!("D4: round {} of {}", round + 1, sizes.rounds);
    }
    let mut table = Table::new(&[
        "D4: way",
        "base MB client",
        "base MB node",
        "KiB a connection client",
        "KiB node",
        "KiB both",
    ]);
    for (route, shown) in routes.iter().zip(&shown) {
        let mut row = vec![route.kind.to_string()];
        row.extend(shown.base.each_ref().map(|samples| samples.cell(1)));
        row.extend(shown.each.each_ref().map(|samples| samples.cell(1)));
        row.push(shown.pair.cell(1));
        table.row(row);
    }
    Ok(table)
}

async fn hold(pair: &Pair, entry: SocketAddr, number: usize, shown: &mut Shown) -> Result<()> {
    let resident = || anyhow::Ok([pair.client.resident()?, pair.node.resident()?]);
    let base = resident()?;
    let mut held = Vec::with_capacity(number);
    while held.len() < number {
        let mut connecting = JoinSet::new();
        for _ in 0..AT_ONCE.min(number - held.len()) {
            connecting.spawn(connect(entry));
        }
        while let Some(connected) = connecting.join_next().await {
            held.push(connected??);
        }
    }
    let full = resident()?;
    let each = [0, 1].map(|half| (full[half] - base[half]) * MB / KIB / number as f64);
    for half in [0, 1] {
        shown.base[half].push(base[half]);
        shown.each[half].push(each[half]);
    }
    shown.pair.push(each[0] + each[1]);
    Ok(())
}

/// A connection that has been answered: it reaches to the broker.
async fn connect(entry: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(entry).await?;
    stream.write_all(&REQUEST).await?;
    let length = stream.read_u32().await?;
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await?;
    let right = answer.starts_with(&[0, 0, 0, 7, 0, 0]);
    ensure!(right, "the broker does not answer ApiVersions");
    Ok(stream)
}
