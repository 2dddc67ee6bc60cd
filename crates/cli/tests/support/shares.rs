//! A KafkaQuota of the whole cluster, shared out by use.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::mesh::{Connection, apply};
use super::rules::{ready, topic};
use super::{Installation, run};

/// Records a second that all three brokers together allow.
const RATE: f64 = 300.0;
/// How far a rate may be off.
const OFF: f64 = 0.1;
/// What one that uses a single broker gets at the least.
const NEARLY_ALL: f64 = 0.9;
/// In which the bursts are used up.
const SETTLE: Duration = Duration::from_secs(4);
const WINDOW: Duration = Duration::from_secs(10);
/// Windows until a rate must be right: the operator's round takes 2 s and moves
/// a share by a part of what is missing, and the machine may be busy.
const WINDOWS: usize = 6;
/// What a window may have beside the limit after one in which the client did
/// not get on: the burst of one second.
const SAVED: f64 = 0.1;

/// A kcat that produces to the topic as fast as it is let; dropped, it ends.
struct Load {
    lines: Child,
    kcat: Child,
}

/// Whoever uses all brokers has the whole limit in sum, and so, a little later,
/// has whoever uses one.
pub async fn a_limit_of_the_cluster_follows_its_use(on: &Installation) -> Result<()> {
    apply(on, &topic("shared", 3, "checkout"))?;
    ready(on, "kafkatopic/shared")?;
    apply(on, &QUOTA.replace("RATE", &RATE.to_string()))?;
    ready(on, "kafkaquota/shared")?;
    let through = Connection::start(on, "checkout")?;
    let everywhere = Load::start(&through, None)?;
    let rates = settled(&through, 1.0 - OFF).await;
    drop(everywhere);
    report("all brokers", &rates?, 1.0 - OFF)?;
    let one = Load::start(&through, Some("0"))?;
    let rates = settled(&through, NEARLY_ALL).await;
    drop(one);
    report("one broker", &rates?, NEARLY_ALL)?;
    on.kubectl(&["delete", "-n", "shop", "kafkaquota/shared"])?;
    Ok(())
}

/// Records a second in one window after the other, until one has the limit, or
/// so much of it.
async fn settled(through: &Connection, at_least: f64) -> Result<Vec<f64>> {
    let mut rates = Vec::new();
    tokio::time::sleep(SETTLE).await;
    while rates.len() < WINDOWS && !rates.last().is_some_and(|rate| is_right(*rate, at_least)) {
        let (first, begun) = (records(through)?, Instant::now());
        tokio::time::sleep(WINDOW).await;
        let more = records(through)? - first;
        rates.push(more as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(rates)
}

fn is_right(rate: f64, at_least: f64) -> bool {
    (at_least * RATE..=(1.0 + OFF) * RATE).contains(&rate)
}

fn report(whose: &str, rates: &[f64], at_least: f64) -> Result<()> {
    println!("{RATE} records a second for the cluster, a client of {whose}: {rates:.1?}");
    for rate in rates {
        let most = (1.0 + OFF + SAVED) * RATE;
        ensure!(*rate <= most, "{whose}, more than {most}: {rates:?}");
    }
    let last = rates.last().context("no rate")?;
    ensure!(is_right(*last, at_least), "{whose}: {rates:?}");
    Ok(())
}

/// Records in the topic, as its brokers say.
fn records(through: &Connection) -> Result<u64> {
    let mut command = Command::new("kcat");
    command.args(["-Q", "-b", &through.bootstrap()]);
    for partition in 0..3 {
        command.args(["-t", &format!("shared:{partition}:-1")]);
    }
    let said = run(&mut command)?;
    let offsets = said.lines().filter(|line| line.starts_with("shared ["));
    let mut sum = 0;
    for line in offsets {
        let offset = line.rsplit(' ').next().context("no offset")?;
        sum += offset.parse::<u64>().with_context(|| line.to_owned())?;
    }
    Ok(sum)
}

// === impl Load ===

impl Load {
    /// To all partitions, whose leaders are different brokers, or to one.
    fn start(through: &Connection, partition: Option<&str>) -> Result<Self> {
        let mut lines = Command::new("yes").stdout(Stdio::piped()).spawn()?;
        let mut command = Command::new("kcat");
        command.args(["-P", "-t", "shared", "-b", &through.bootstrap()]);
        // Little at a time, and little that waits: a broker whose share is used
        // up holds the others back no longer than it must.
        for property in [
            "batch.num.messages=20",
            "linger.ms=20",
            "max.in.flight=5",
            "queue.buffering.max.messages=2000",
        ] {
            command.args(["-X", property]);
        }
        if let Some(partition) = partition {
            command.args(["-p", partition]);
        }
        let kcat = command
            .stdin(lines.stdout.take().context("no pipe")?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("kcat; scripts/setup-test-tools installs it")?;
        Ok(Self { lines, kcat })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in [&mut self.kcat, &mut self.lines] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const QUOTA: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaQuota
metadata: {name: shared, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  topics: {names: [shared]}
  limits: {producedRecordsPerSecond: RATE}
  burstSeconds: 1
  scope: Cluster
";
