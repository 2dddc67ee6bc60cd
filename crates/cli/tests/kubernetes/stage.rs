//! The node, and how the trials use it.

use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;
use tubeway_testing::kubernetes::Node;
use tubeway_testing::records::Sent;

use crate::load::Load;

/// Where clients are, and where their cluster is.
pub const SHOP: &str = "shop";
/// Where the cluster is.
pub const KAFKA: &str = "kafka";
/// Where the operator is.
pub const SYSTEM: &str = "tubeway-system";
/// How long anything may take that has no time of its own. A broker that the operator
/// stops may hand over its partitions for five minutes (Kafka 4.3).
pub const WITHIN: Duration = Duration::from_mins(7);

/// A node with our images, and the clients on it.
pub struct Stage {
    node: Node,
    runtime: Runtime,
    /// The clients, once they were started.
    pub load: Option<Load>,
    /// What they wrote, once they were ended.
    pub written: Vec<Sent>,
    /// The trial that failed: those after it would find what it has left.
    pub failed: Option<&'static str>,
}

// === impl Stage ===

impl Stage {
    /// Starts the node and gives it our images.
    pub fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let begun = Instant::now();
        let images = images()?;
        let node = runtime.block_on(Node::start())?;
        let ready = begun.elapsed();
        for image in &images {
            runtime.block_on(node.import(image))?;
        }
        println!(
            "the node was ready after {:.1} s, the images there after {:.1} s",
            ready.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        Ok(Self {
            node,
            runtime,
            load: None,
            written: Vec::new(),
            failed: None,
        })
    }

    /// Runs a `tubeway` command on the node's Kubernetes.
    pub fn tubeway(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tubeway"));
        let kubeconfig = self.node.folder().join("admin.kubeconfig");
        run(command.args(args).arg("--kubeconfig").arg(kubeconfig))
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        run(self.node.kubectl().as_std_mut().args(args))
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        let file = self.node.folder().join("applied.yaml");
        std::fs::write(&file, manifest)?;
        let file = file.to_string_lossy();
        self.kubectl(&["apply", "-f", &file]).map(drop)
    }

    /// One object, or a list, as JSON.
    pub fn get(&self, namespace: &str, what: &str) -> Result<Value> {
        let text = self.kubectl(&["get", "-n", namespace, what, "-o", "json"])?;
        serde_json::from_str(&text).with_context(|| format!("{what} is no JSON: {text}"))
    }

    /// Waits for an object as `kubectl wait` does, with its `--for`.
    pub fn wait(&self, namespace: &str, what: &str, state: &str) -> Result<()> {
        let state = format!("--for={state}");
        let within = format!("--timeout={}s", WITHIN.as_secs());
        let waited = self.kubectl(&["wait", "-n", namespace, what, &state, &within]);
        waited.map(drop).map_err(|error| {
            let now = self.kubectl(&["get", "-n", namespace, what, "-o", "yaml"]);
            error.context(now.unwrap_or_else(|error| error.to_string()))
        })
    }

    /// Everything that a container has written.
    pub fn log(&self, namespace: &str, pod: &str, container: &str) -> Result<String> {
        self.kubectl(&["logs", "-n", namespace, pod, "-c", container])
    }

    /// The lines that a container has written from this byte of its log on, which
    /// becomes the one after them. Logs of several 10 MB are read time and again, so
    /// they are read where the kubelet writes them.
    ///
    /// # Errors
    /// If there is no such log yet.
    pub fn log_from(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        at: &mut u64,
    ) -> Result<String> {
        let all = self.node.folder().join("pods");
        let prefix = format!("{namespace}_{pod}_");
        let mut folders = std::fs::read_dir(&all)?.filter_map(Result::ok);
        let folder =
            folders.find(|folder| folder.file_name().to_string_lossy().starts_with(&prefix));
        let folder = folder.with_context(|| format!("{pod} has written nothing yet"))?;
        let mut file = std::fs::File::open(folder.path().join(container).join("0.log"))?;
        file.seek(SeekFrom::Start(*at))?;
        let mut more = Vec::new();
        file.read_to_end(&mut more)?;
        more.truncate(
            more.iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |last| last + 1),
        );
        *at += more.len() as u64;
        let mut lines = String::with_capacity(more.len());
        for line in String::from_utf8_lossy(&more).lines() {
            // When, on which stream, and whether the line is whole: all are.
            lines.push_str(line.splitn(4, ' ').nth(3).unwrap_or_default());
            lines.push('\n');
        }
        Ok(lines)
    }

    /// The metrics of a pod's sidecar, as they are now.
    pub fn metrics(&self, namespace: &str, pod: &str) -> Result<String> {
        let mut kubectl = self.node.kubectl();
        let pod = format!("pod/{pod}");
        let forward = ["port-forward", "-n", namespace, &pod, ":15020"];
        let command = kubectl.as_std_mut().args(forward);
        let mut forwarder = command.stdout(Stdio::piped()).spawn()?;
        let metrics = forwarder
            .stdout
            .take()
            .context("no output")
            .and_then(read_metrics);
        forwarder.kill()?;
        forwarder.wait()?;
        metrics.with_context(|| format!("the metrics of {pod}"))
    }

    /// Sends a signal to the first container of a pod.
    pub fn signal(&self, namespace: &str, pod: &str, signal: &str) -> Result<()> {
        let object = self.get(namespace, &format!("pod/{pod}"))?;
        let container = object["status"]["containerStatuses"][0]["containerID"].as_str();
        let container = container.with_context(|| format!("{pod} has no container yet"))?;
        Ok(self.runtime.block_on(self.node.signal(container, signal))?)
    }

    /// What a person needs to see why something did not come about.
    pub fn report(&self) -> String {
        let objects = "kafkaclusters,kafkanodepools,kafkatopics";
        let objects = self.kubectl(&["get", objects, "-A", "-o", "yaml"]);
        let conditions = objects.unwrap_or_else(|error| error.to_string());
        let operator = [
            "logs",
            "-n",
            SYSTEM,
            "deployment/tubeway-operator",
            "--tail=40",
        ];
        let operator = self.kubectl(&operator);
        let operator = operator.unwrap_or_else(|error| error.to_string());
        let pods = self.node.report(&[SYSTEM, KAFKA, SHOP]);
        let pods = self.runtime.block_on(pods);
        format!("{conditions}\n{pods}\n--- the operator said last:\n{operator}")
    }
}

/// Asks for metrics at the port that `kubectl port-forward` says it listens on.
fn read_metrics(says: ChildStdout) -> Result<String> {
    // The forwarder ends when nobody hears it any more.
    let mut says = BufReader::new(says);
    let mut line = String::new();
    says.read_line(&mut line)?;
    // As in `Forwarding from 127.0.0.1:40123 -> 15020`.
    let address = line.split_whitespace().nth(2).unwrap_or_default();
    let mut stream = TcpStream::connect(address).with_context(|| line.clone())?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    ensure!(answer.contains(" 200 "), "{answer}");
    Ok(answer)
}

/// The images that `make e2e` makes: ours, and one of an older Kafka.
fn images() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/images");
    let names = ["operator.tar", "proxy.tar", "kafka.tar", "old/kafka.tar"];
    let images: Vec<_> = names.iter().map(|name| folder.join(name)).collect();
    for image in &images {
        ensure!(
            image.is_file(),
            "{} is not there; `make e2e` makes it",
            image.display()
        );
    }
    Ok(images)
}

/// Runs a command to its end; its output, or an error with everything it said.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// Tries until `check` succeeds, for what nobody announces.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    loop {
        match check() {
            Ok(value) => return Ok(value),
            Err(error) if begun.elapsed() > WITHIN => {
                bail!(error.context(format!("{what}: not within {WITHIN:?}")));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Whether a text has each of these parts.
pub fn contains(said: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    Ok(())
}
