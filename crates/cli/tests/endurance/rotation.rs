//! Certificates that live a minute, under load for some of their lives, with the
//! issuer away for longer than one: no connection is dropped and no client sees
//! an error.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::mesh::{Connection, check, topic};
use crate::support::{Installation, run};
use anyhow::{Context as _, Result, ensure};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Until};
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;

const RATE: u32 = 300;
/// Longest time until a producer has met every broker.
const OPEN: Duration = Duration::from_secs(60);
/// What a certificate lives: as short as the operator signs them.
const LIFE: Duration = Duration::from_secs(60);
/// How long the issuer is away: longer than a certificate lives. `make soak`
/// leaves it away for longer.
const AWAY: Duration = Duration::from_secs(75);
/// Nodes of the demonstration, and partitions of the topic.
const BROKERS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn minute_long_certificates_and_an_absent_issuer_disturb_nobody() -> Result<()> {
    let away = match std::env::var("TUBEWAY_ROTATION_AWAY") {
        Ok(seconds) => Duration::from_secs(seconds.parse().context("TUBEWAY_ROTATION_AWAY")?),
        Err(_) => AWAY,
    };
    let load_for = (LIFE + away + LIFE).as_secs();
    let ttl = format!("{}s", LIFE.as_secs());
    let mut on = Installation::new(&["--cert-ttl", &ttl])?;
    tokio::task::block_in_place(|| on.up())?;
    let on = &on;
    topic(on, "rotated")?;
    let tools = Tools::ensure()?;
    let producer = Connection::start(on, "checkout")?;
    let workload = Workload::new(1, load_for * u64::from(RATE)).at_rate(RATE);
    let mut target = producer.target("rotated");
    target.timeout = Duration::from_secs(load_for + 120);
    let load = Client::JavaVerifiable.produce(&tools, &target, &workload);
    let disturbance = async {
        let began = Instant::now();
        let expiry = certificate_expiry(on)?;
        let open = connections_to_all_brokers(&producer).await?;
        tokio::time::sleep_until((began + LIFE).into()).await;
        ensure!(
            certificate_expiry(on)? > expiry,
            "the certificate was not renewed"
        );
        let operator = on.container_pid("tubeway-system", "tubeway-operator", "operator")?;
        signal(operator, "STOP")?;
        tokio::time::sleep(away).await;
        signal(operator, "CONT")?;
        // Renewed again, and still under load.
        tokio::time::sleep_until((began + LIFE + away + LIFE).into()).await;
        let still = broker_connections(&producer)?;
        ensure!(
            still.is_superset(&open),
            "of the connections {open:?} only {still:?} are left"
        );
        Ok::<_, anyhow::Error>(())
    };
    let (load, disturbance) = tokio::join!(load, disturbance);
    let load = load?;
    disturbance?;
    ensure!(load.errors.is_empty(), "the producer saw {:?}", load.errors);
    let consumer = Connection::start(on, "billing")?;
    let until = Until::Records(workload.count);
    let sessions = Client::JavaVerifiable
        .consume(&tools, &consumer.target("rotated"), until)
        .await?;
    let log = on.kubectl(&["logs", "-n", "shop", "checkout", "-c", "app"])?;
    ensure!(
        !log.contains("producer_send_error"),
        "the demonstration's producer saw an error"
    );
    ensure!(
        !log.to_lowercase().contains("disconnected"),
        "the demonstration's producer was disconnected"
    );
    check(&History {
        sent: load.sent,
        sessions,
    })
}

/// When the certificate of the first broker's sidecar ends.
fn certificate_expiry(on: &Installation) -> Result<u64> {
    let [a, b, c, _] = on.pod_ip("kafka", "demo-combined-0")?.octets();
    let url = format!("http://{a}.{b}.{c}.2:15020/metrics");
    let text = run(Command::new("curl").args(["-sS", &url]))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("tubeway_certificate_expiry_seconds "))
        .context("no expiry in the metrics")?;
    Ok(line.parse::<f64>()? as u64)
}

/// Waits for a connection to each broker: a producer that fills one batch at a
/// time meets them one by one.
async fn connections_to_all_brokers(producer: &Connection) -> Result<BTreeSet<String>> {
    let deadline = Instant::now() + OPEN;
    loop {
        let open = broker_connections(producer)?;
        if open.len() >= BROKERS {
            return Ok(open);
        }
        ensure!(Instant::now() < deadline, "only {open:?} are open");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Local ports of the client sidecar's connections to brokers.
fn broker_connections(connection: &Connection) -> Result<BTreeSet<String>> {
    let sidecar = run(Command::new("pgrep").args(["-P", &connection.pid().to_string()]))?;
    let pid = format!("pid={},", sidecar.trim());
    let all = run(Command::new("ss").args(["-Htnp", "state", "established"]))?;
    Ok(all
        .lines()
        .filter(|line| line.contains(&pid))
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(2);
            let (local, peer) = (words.next()?, words.next()?);
            peer.ends_with(":9092").then(|| local.to_owned())
        })
        .collect())
}

fn signal(pid: u32, name: &str) -> Result<()> {
    run(Command::new("kill").args([&format!("-{name}"), &pid.to_string()])).map(drop)
}
