//! What the operator costs and how fast it is, on an installation of its own:
//! the Kubernetes API of `tubeway up`, real brokers, the operator as a process.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use crate::process::{Process, cpu_of};

/// Where everything is made.
pub const NAMESPACE: &str = "bench";
/// Requests that are on their way to the Kubernetes API at the same time.
const AT_ONCE: usize = 32;
/// The longest that anything may take.
const WITHIN: Duration = Duration::from_mins(15);
/// Between two looks at how far things are.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A running installation; dropped, it is killed.
pub struct Installation {
    up: Process,
    client: Client,
    state: std::path::PathBuf,
    programs: std::path::PathBuf,
}

/// What the operator has used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Resident memory in MiB.
    pub memory: f64,
    /// Processor time since its start, in seconds.
    pub cpu: f64,
    /// Writes to the Kubernetes API since its start.
    pub writes: f64,
}

// === impl Installation ===

impl Installation {
    /// Starts `tubeway up` without the demonstration, from the programs in this
    /// folder, with all that it keeps in `folder`.
    pub async fn start(programs: &Path, folder: &Path) -> Result<Self> {
        let state = folder.join("state");
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut command = Command::new(programs.join("tubeway"));
        command
            .args([
                "up",
                "--no-demo",
                "--quiet",
                "--api-port",
                &port.to_string(),
            ])
            .env("TUBEWAY_STATE", &state);
        let mut up = Process::start("tubeway-up", &mut command, folder)?;
        up.until(async |log| log.contains("\nup after ")).await?;
        let kubeconfig = Kubeconfig::read_from(state.join("kubeconfig"))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let installation = Self {
            up,
            client: Client::try_from(config)?,
            state,
            programs: programs.to_owned(),
        };
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
        });
        installation.create("Namespace", vec![namespace]).await?;
        Ok(installation)
    }

    /// Stops it as a user would.
    pub fn stop(self) -> Result<()> {
        let status = Command::new(self.programs.join("tubeway"))
            .arg("down")
            .env("TUBEWAY_STATE", &self.state)
            .stdout(std::process::Stdio::null())
            .status()?;
        ensure!(status.success(), "tubeway down ended with {status}");
        drop(self.up);
        Ok(())
    }

    /// Makes objects of one kind, many at the same time.
    pub async fn create(&self, kind: &str, objects: Vec<Value>) -> Result<()> {
        let api = self.api(kind);
        let api = &api;
        let made = stream::iter(objects).map(|object| async move {
            let object: DynamicObject = serde_json::from_value(object)?;
            api.create(&PostParams::default(), &object)
                .await
                .with_context(|| format!("create {kind} {}", object.name_any()))?;
            Ok::<_, anyhow::Error>(())
        });
        made.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Waits until all objects of a kind are ready; how long after `begun` that is.
    pub async fn all_ready(&self, kind: &str, count: usize, begun: Instant) -> Result<Duration> {
        let api = self.api(kind);
        loop {
            let listed = api.list(&ListParams::default()).await?;
            let ready = listed
                .items
                .iter()
                .filter(|object| is_ready(object))
                .count();
            if ready >= count {
                return Ok(begun.elapsed());
            }
            ensure!(
                begun.elapsed() < WITHIN,
                "{ready} of {count} {kind}s are ready after {} s",
                WITHIN.as_secs()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What the operator has used so far.
    pub async fn used(&self) -> Result<Used> {
        let pid = self.operator().await?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(Used {
            memory: kib.context("no VmRSS")? / 1024.0,
            cpu: cpu_of(&stat).context("no processor time")?,
            writes: self.writes().await?,
        })
    }

    async fn operator(&self) -> Result<u64> {
        let pods = self.of("", "v1", "Pod", "tubeway-system");
        let pod = pods.get("tubeway-operator").await?;
        let uid = pod.uid().context("the operator's pod has no UID")?;
        for entry in std::fs::read_dir(self.state.join("node/run"))? {
            let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
            let record: Value = serde_json::from_str(&text).unwrap_or_default();
            if record["pod"] == uid.as_str() && record["container"] == "operator" {
                return record["pid"].as_u64().context("no process id");
            }
        }
        anyhow::bail!("the operator has no process")
    }

    async fn writes(&self) -> Result<f64> {
        let text = self.metrics().await?;
        let counts = text.lines().filter_map(|line| {
            let series = line.strip_prefix("tubeway_operator_writes_total")?;
            series.rsplit(' ').next()?.parse::<f64>().ok()
        });
        Ok(counts.sum())
    }

    async fn metrics(&self) -> Result<String> {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let pods = self.of("", "v1", "Pod", "tubeway-system");
        let pod = pods.get("tubeway-operator").await?;
        let ip = pod.data["status"]["podIP"].as_str().context("no podIP")?;
        // The pod's loopback address, on which it shows them: docs/pods.md.
        let [a, b, c, _] = ip.parse::<std::net::Ipv4Addr>()?.octets();
        let loopback = std::net::Ipv4Addr::from([a, b, c, 2]);
        let mut stream = tokio::net::TcpStream::connect((loopback, 15021)).await?;
        let request = "GET /metrics HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        if kind == "Namespace" {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", kind));
            return Api::all_with(self.client.clone(), &resource);
        }
        self.of("kafka.tubeway.dev", "v1alpha1", kind, NAMESPACE)
    }

    fn of(&self, group: &str, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }
}

fn is_ready(object: &DynamicObject) -> bool {
    let conditions = object.data["status"]["conditions"].as_array();
    let generation = object.metadata.generation;
    let seen = object.data["status"]["observedGeneration"].as_i64();
    seen == generation
        && conditions.is_some_and(|all| {
            all.iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
}

/// A cluster and its one pool.
pub fn cluster(name: &str, replicas: u32) -> (Value, Value) {
    let cluster = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaCluster",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"version": tubeway_launcher::kafka_dist::DEFAULT_VERSION},
    });
    let pool = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaNodePool",
        "metadata": {"name": format!("{name}-all"), "namespace": NAMESPACE},
        "spec": {
            "cluster": name, "replicas": replicas, "roles": ["broker", "controller"],
            "storage": {"size": "1Gi"},
        },
    });
    (cluster, pool)
}

/// A topic of one partition, in one copy.
pub fn topic(cluster: &str, number: usize) -> Value {
    json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaTopic",
        "metadata": {"name": format!("topic-{number}"), "namespace": NAMESPACE},
        "spec": {"cluster": {"name": cluster}, "partitions": 1, "replicas": 1},
    })
}

/// What one user may do, and how much of it.
pub fn user(cluster: &str, number: usize) -> (Value, Value) {
    let name = format!("user-{number}");
    let account = json!({"name": name, "namespace": "apps"});
    let acl = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaAcl",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "cluster": {"name": cluster},
            "rules": [
                {
                    "principals": [{"serviceAccount": account}],
                    "resource": {"type": "Topic", "name": format!("{name}."), "pattern": "Prefixed"},
                    "operations": ["Read", "Write", "Create"],
                },
                {
                    "principals": [{"serviceAccount": account}],
                    "resource": {"type": "Group", "name": format!("{name}."), "pattern": "Prefixed"},
                    "operations": ["Read"],
                },
            ],
        },
    });
    let quota = json!({
        "apiVersion": "kafka.tubeway.dev/v1alpha1", "kind": "KafkaQuota",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "cluster": {"name": cluster},
            "subjects": {"serviceAccounts": [account]},
            "limits": {"producedBytesPerSecond": "10Mi", "requestsPerSecond": 500},
        },
    });
    (acl, quota)
}
