//! A local installation for tests: `tubeway up` as a process of its own, with
//! its state in a temporary folder and its port chosen by the system.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod helm;
pub mod kubernetes;
pub mod load;
pub mod looks;
pub mod manifests;
pub mod mesh;
pub mod net;
pub mod rules;
pub mod shares;
pub mod zones;

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Set, it has the folders of installations kept, for a look at what is in them.
const KEEP: &str = "TUBEWAY_TEST_KEEP";

/// A running installation; dropped, it is stopped and deleted.
pub struct Installation {
    dir: tempfile::TempDir,
    port: u16,
    extra: Vec<String>,
    child: Option<Child>,
}

// === impl Installation ===

impl Installation {
    /// An installation that has not been started.
    pub fn new(extra: &[&str]) -> Result<Self> {
        Ok(Self {
            dir: tempfile::Builder::new().prefix("tubeway-").tempdir()?,
            port: free_port()?,
            extra: extra.iter().map(|s| (*s).to_owned()).collect(),
            child: None,
        })
    }

    /// Starts it and waits until everything is up; says how long that took.
    pub fn up(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        let log = std::fs::File::create(self.log())?;
        let child = tubeway()
            .args(["up", "--quiet", "--api-port", &self.port.to_string()])
            .args(&self.extra)
            .env("TUBEWAY_STATE", self.state())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run tubeway; `cargo build --workspace` builds it")?;
        self.child = Some(child);
        let within = Duration::from_secs(300);
        let ended = |this: &mut Self| {
            this.child
                .as_mut()
                .is_none_or(|c| matches!(c.try_wait(), Ok(Some(_))))
        };
        eventually(within, "tubeway up", || {
            if ended(self) {
                bail!("FATAL tubeway up ended:\n{}", self.said());
            }
            let said = self.said();
            ensure!(said.contains("\nup after "), "it is at:\n{said}");
            Ok(())
        })?;
        Ok(begun.elapsed())
    }

    /// `tubeway down`; the data stays.
    pub fn down(&mut self) -> Result<()> {
        let out = self.tubeway(&["down"])?;
        ensure!(out.contains("stopped"), "{out}");
        if let Some(mut child) = self.child.take() {
            let status = child.wait()?;
            ensure!(
                status.success(),
                "tubeway up ended with {status}:\n{}",
                self.said()
            );
        }
        Ok(())
    }

    /// Runs another `tubeway` command on this installation.
    pub fn tubeway(&self, args: &[&str]) -> Result<String> {
        run(tubeway().args(args).env("TUBEWAY_STATE", self.state()))
    }

    /// Process id of `tubeway up`.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Folder of the installation.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A folder of the test's own.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// What `tubeway up` has printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        run(self.kubectl_command().args(args))
    }

    /// kubectl with this installation's kubeconfig and a cache of its own.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", self.state().join("kubeconfig"))
            .env("HOME", self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// One object as JSON.
    pub fn get(&self, namespace: &str, what: &str) -> Result<Value> {
        let text = self.kubectl(&["get", "-n", namespace, what, "-o", "json"])?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The pod's address.
    pub fn pod_ip(&self, namespace: &str, name: &str) -> Result<Ipv4Addr> {
        let pod = self.get(namespace, &format!("pod/{name}"))?;
        let ip = pod["status"]["podIP"].as_str().context("no podIP")?;
        Ok(ip.parse()?)
    }

    /// The process of one container, as the node agent has written it down.
    pub fn container_pid(&self, namespace: &str, pod: &str, container: &str) -> Result<u32> {
        let object = self.get(namespace, &format!("pod/{pod}"))?;
        let uid = object["metadata"]["uid"].as_str().context("no uid")?;
        for entry in std::fs::read_dir(self.state().join("node/run"))? {
            let Ok(text) = std::fs::read_to_string(entry?.path()) else {
                continue;
            };
            let record: Value = serde_json::from_str(&text)?;
            let pid = record["pid"].as_u64().unwrap_or_default();
            let this = record["pod"] == uid && record["container"] == container;
            if this && pid > 1 && std::path::Path::new(&format!("/proc/{pid}")).exists() {
                return Ok(u32::try_from(pid)?);
            }
        }
        bail!(
            "{namespace}/{pod} has no running container {container}: {}",
            object["status"]
        )
    }

    /// Waits until every pod of the namespace is ready.
    pub fn wait_ready(&self, namespace: &str, within: Duration) -> Result<()> {
        eventually(within, &format!("all pods of {namespace} ready"), || {
            let pods = self.get(namespace, "pods")?;
            for pod in pods["items"].as_array().context("no items")? {
                let ready = pod["status"]["conditions"].as_array().is_some_and(|all| {
                    all.iter()
                        .any(|c| c["type"] == "Ready" && c["status"] == "True")
                });
                ensure!(
                    ready,
                    "{} is not ready: {}",
                    pod["metadata"]["name"],
                    pod["status"]
                );
            }
            Ok(())
        })
    }

    /// Waits until nothing is under way any more in the demonstration's cluster.
    pub fn settled(&self, within: Duration) -> Result<()> {
        let cluster = ["wait", "-n", "kafka", "kafkacluster/demo"];
        let within = format!("--timeout={}s", within.as_secs());
        for condition in ["--for=condition=Ready", "--for=condition=Progressing=False"] {
            self.kubectl(&[&cluster[..], &[condition, &within]].concat())
                .with_context(|| self.condition())?;
        }
        Ok(())
    }

    /// What the operator says about that cluster, for a failure's message.
    pub fn condition(&self) -> String {
        let cluster = self.get("kafka", "kafkacluster/demo");
        let conditions = cluster.map(|cluster| cluster["status"]["conditions"].to_string());
        let operator = ["-n", "tubeway-system", "tubeway-operator", "--tail=25"];
        let log = self.kubectl(&[&["logs"], &operator[..]].concat());
        format!(
            "conditions: {}\noperator: {}",
            conditions.unwrap_or_default(),
            log.unwrap_or_default()
        )
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("up.log")
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let kept = std::env::var_os(KEEP).is_some();
        if std::thread::panicking() || kept {
            eprintln!("tubeway up said:\n{}", self.said());
        }
        if kept {
            self.dir.disable_cleanup(true);
            eprintln!("kept: {}", self.dir.path().display());
        }
        if self.child.is_some() {
            let _ = self.down();
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The command under test.
pub fn tubeway() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tubeway"))
}

/// Another of the project's programs, which lies beside the command.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_BIN_EXE_tubeway")).with_file_name(name);
    ensure!(
        path.is_file(),
        "{} is not there; `cargo build --workspace` builds it",
        path.display()
    );
    Ok(path)
}

/// Runs a command to its end; its output, or an error with everything it said.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {command:?}"))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(
        output.status.success(),
        "{command:?} ended with {}:\n{said}",
        output.status
    );
    Ok(said)
}

/// Whether something that was said has all these parts.
pub fn contains(said: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(said.contains(part), "{part:?} is not in: {said}");
    }
    Ok(())
}

/// Tries until `check` succeeds. For things that another process does and
/// gives no event for; an error that begins with FATAL ends it at once.
pub fn eventually<T>(
    within: Duration,
    what: &str,
    mut check: impl FnMut() -> Result<T>,
) -> Result<T> {
    let begun = Instant::now();
    loop {
        match check() {
            Ok(value) => return Ok(value),
            Err(error) if error.to_string().starts_with("FATAL") => return Err(error),
            Err(error) if begun.elapsed() > within => {
                return Err(error.context(format!("{what}: not within {} s", within.as_secs())));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(250)),
        }
    }
}

/// A port that nobody has now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
