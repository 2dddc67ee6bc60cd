//! Topics and clients on an installation.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tubeway_testing::checker::History;
use tubeway_testing::clients::{Client, Target, Until};
use tubeway_testing::records::Workload;
use tubeway_testing::tools::Tools;

use super::{Installation, eventually, tubeway};

/// A `tubeway connect`; dropped, it ends.
pub struct Connection {
    child: Child,
    port: u16,
}

// === impl Connection ===

impl Connection {
    /// Connects as a service account of namespace `shop`.
    pub fn start(on: &Installation, account: &str) -> Result<Self> {
        // Brokers are on the ports after the bootstrap's.
        let port = ports_in_a_row()?;
        let file = on.scratch().join(format!("connect-{account}-{port}.log"));
        let log = std::fs::File::create(&file)?;
        let child = tubeway()
            .args([
                "connect",
                "--as",
                &format!("shop/{account}"),
                "--port",
                &port.to_string(),
            ])
            .env("TUBEWAY_STATE", on.state())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut connection = Self { child, port };
        eventually(Duration::from_secs(30), "tubeway connect", || {
            if connection.child.try_wait()?.is_some() {
                bail!(
                    "FATAL tubeway connect ended: {}",
                    std::fs::read_to_string(&file)?
                );
            }
            std::net::TcpStream::connect(("127.0.0.1", port)).context("not there yet")
        })?;
        Ok(connection)
    }

    /// What a client takes as its bootstrap.
    pub fn target(&self, topic: &str) -> Target {
        let mut target = Target::new(format!("127.0.0.1:{}", self.port), topic);
        target.timeout = Duration::from_secs(300);
        target
    }

    /// Process id of the command.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The bootstrap address.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // It ends its sidecar when it is asked to; killed, it could not.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// A port with enough free ones behind it for the brokers, below those that the
/// system gives to outgoing connections.
fn ports_in_a_row() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const NEEDED: u16 = 5;
    let own = (std::process::id() % 1_000) as u16 * 10;
    for _ in 0..100 {
        let port = FIRST + (own + NEXT.fetch_add(NEEDED, Ordering::Relaxed)) % 12_000;
        let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (port..port + NEEDED).all(free) {
            return Ok(port);
        }
    }
    bail!("no {NEEDED} free ports in a row")
}

/// Applies a manifest.
pub fn apply(on: &Installation, manifest: &str) -> Result<String> {
    let mut child = on
        .kubectl_command()
        .args(["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("no stdin")?
        .write_all(manifest.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "kubectl apply: {said}");
    Ok(said)
}

/// A topic that `checkout` may produce to and `billing` consume, ready.
pub fn topic(on: &Installation, name: &str) -> Result<()> {
    apply(on, &TOPIC.replace("NAME", name))?;
    on.kubectl(&[
        "wait",
        "-n",
        "shop",
        &format!("kafkatopic/{name}"),
        "--for=condition=Ready",
        "--timeout=60s",
    ])?;
    Ok(())
}

const TOPIC: &str = "
apiVersion: kafka.tubeway.dev/v1alpha1
kind: KafkaTopic
metadata: {name: NAME, namespace: shop}
spec:
  cluster: {name: demo, namespace: kafka}
  partitions: 3
  replicas: 3
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: NAME-both, namespace: shop}
rules:
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatopics], resourceNames: [NAME], verbs: [produce, consume]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkagroups], verbs: [join]}
- {apiGroups: [kafka.tubeway.dev], resources: [kafkatransactionalids], verbs: [use]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: NAME-both, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: NAME-both}
subjects:
- {kind: ServiceAccount, name: checkout, namespace: shop}
- {kind: ServiceAccount, name: billing, namespace: shop}
";

/// Produces and consumes with the same kind of client, and checks everything.
pub async fn round_trip(
    client: Client,
    tools: &Tools,
    producer: &Connection,
    consumer: &Connection,
    topic: &str,
    workload: Workload,
) -> Result<()> {
    let target = producer.target(topic);
    let done = client.produce(tools, &target, &workload).await?;
    ensure!(
        done.errors.is_empty(),
        "{client:?} reported {:?}",
        done.errors
    );
    let sessions = client
        .consume(
            tools,
            &consumer.target(topic),
            Until::Records(workload.count),
        )
        .await?;
    check(&History {
        sent: done.sent,
        sessions,
    })
}

/// Fails with the report where an invariant is broken.
pub fn check(history: &History) -> Result<()> {
    let report = history.check();
    ensure!(report.is_clean(), "{report}");
    Ok(())
}
