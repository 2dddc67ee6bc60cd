//! The clients' drivers (`clients/`) as child processes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;
use tubeway_testing::tools::Tools;

/// Longest silence of a task from which something is expected.
const PATIENCE: Duration = Duration::from_secs(60);

/// Things that a task may say before they are listened to: more than there are
/// records, and a consumer that is refused something says so often.
const EVENTS: usize = 100_000;

/// A client and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// kafka-clients of a release.
    Java(&'static str),
    /// confluent-kafka.
    Librdkafka,
    /// kafka-python.
    Python,
}

/// A running driver; it ends when it is dropped.
pub(crate) struct Driver {
    pub(crate) kind: Kind,
    input: tokio::sync::Mutex<ChildStdin>,
    tasks: Arc<Tasks>,
    next: AtomicU32,
    _child: Child,
    _classes: Option<TempDir>,
}

type Tasks = Mutex<HashMap<u32, mpsc::Sender<Event>>>;

/// A task that was given to a driver.
pub(crate) struct Task<'a> {
    driver: &'a Driver,
    id: u32,
    events: mpsc::Receiver<Event>,
}

/// One line of a driver. What it does not speak of is none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) id: u32,
    pub(crate) value: Option<String>,
    pub(crate) partition: Option<i32>,
    pub(crate) offset: Option<i64>,
    /// The error's name, as the client calls it.
    pub(crate) error: Option<String>,
    pub(crate) message: Option<String>,
    /// Milliseconds from the attempt to its failure.
    pub(crate) after: Option<u64>,
    pub(crate) assigned: Option<Vec<i32>>,
    pub(crate) revoked: Option<Vec<i32>>,
    pub(crate) committed: Option<bool>,
    pub(crate) asked: Option<String>,
    pub(crate) says: Option<String>,
    pub(crate) transaction: Option<usize>,
    pub(crate) ended: Option<String>,
    pub(crate) done: Option<bool>,
}

// === impl Kind ===

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Java(release) => write!(f, "java-{release}"),
            Self::Librdkafka => f.write_str("librdkafka"),
            Self::Python => f.write_str("kafka-python"),
        }
    }
}

// === impl Driver ===

impl Driver {
    pub(crate) async fn start(kind: Kind, tools: &Tools) -> Self {
        let (mut command, classes) = match kind {
            Kind::Java(release) => {
                let (command, classes) = java(release).await;
                (command, Some(classes))
            }
            Kind::Librdkafka => {
                let python = tools.confluent().unwrap_or_else(|error| panic!("{error}"));
                (script(&python, "confluent.py"), None)
            }
            Kind::Python => {
                let python = tools.python().unwrap_or_else(|error| panic!("{error}"));
                (script(&python, "kafka_python.py"), None)
            }
        };
        let stderr = match std::env::var_os("PARTITIONS_LOUD") {
            Some(_) => Stdio::inherit(),
            None => Stdio::null(),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.stderr(stderr).kill_on_drop(true).spawn();
        let mut child = child.expect("the driver starts");
        let input = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        let tasks: Arc<Tasks> = Arc::default();
        let of = tasks.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                dispatch(&of, &line);
            }
            // Whoever still waits is told so by the end of its events.
            of.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Self {
            kind,
            input: input.into(),
            tasks,
            next: AtomicU32::default(),
            _child: child,
            _classes: classes,
        }
    }

    /// Gives it a task: an object with `do`, and what that needs.
    pub(crate) async fn task(&self, mut command: Json) -> Task<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel(EVENTS);
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        command["id"] = id.into();
        self.write(&command).await;
        Task {
            driver: self,
            id,
            events,
        }
    }

    /// Gives it a task, and waits for its end.
    pub(crate) async fn run(&self, command: Json) -> Vec<Event> {
        self.task(command).await.end().await
    }

    async fn write(&self, line: &Json) {
        let mut input = self.input.lock().await;
        let written = input.write_all(format!("{line}\n").as_bytes()).await;
        written.unwrap_or_else(|error| panic!("{:?} has ended: {error}", self.kind));
    }
}

fn dispatch(tasks: &Tasks, line: &str) {
    let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
    let (id, done) = (event.id, event.done.is_some());
    if let Some(task) = tasks.get(&id) {
        let sent = task.try_send(event);
        // Nobody may be interested any more, which is no error.
        let full = matches!(sent, Err(TrySendError::Full(_)));
        assert!(!full, "task {id} says more than {EVENTS} things");
    }
    if done {
        tasks.remove(&id);
    }
}

/// Compiles the Java driver for a release.
async fn java(release: &str) -> (Command, TempDir) {
    let tools = Tools::of_release(release).unwrap_or_else(|error| panic!("{error}"));
    let javac = tools.javac().unwrap_or_else(|error| panic!("{error}"));
    let classes = tempfile::tempdir().expect("a temporary folder");
    let mut sources = vec!["Driver", "Produce", "Consume", "Administer"];
    if release.starts_with('4') {
        sources.push("Share");
    }
    let sources = sources.iter().map(|name| file(&format!("{name}.java")));
    let jars = tools.dist.libs.join("*");
    let mut compile = Command::new(javac);
    compile.arg("-cp").arg(&jars).arg("-d").arg(classes.path());
    let output = compile.args(sources).output().await.expect("javac runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "javac: {said}");
    let class_path = std::env::join_paths([classes.path(), &jars]).expect("a class path");
    let mut command = Command::new(&tools.java.path);
    command.args(["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg("-cp").arg(class_path).arg("Driver");
    (command, classes)
}

fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg("-B").arg(file(name));
    command
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/partitions/clients")
        .join(name)
}

// === impl Task ===

impl Task<'_> {
    /// The next thing it says, but for its end.
    pub(crate) async fn next(&mut self) -> Event {
        let kind = self.driver.kind;
        let event = timeout(PATIENCE, self.events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{kind:?} says nothing"));
        event.unwrap_or_else(|| panic!("{kind:?} has ended"))
    }

    /// What it says within `time`.
    pub(crate) async fn during(&mut self, time: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        let _ = timeout(time, async {
            while let Some(event) = self.events.recv().await {
                events.push(event);
            }
        })
        .await;
        events
    }

    /// What it says until something `is` what is waited for.
    pub(crate) async fn until(&mut self, mut is: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            let found = is(&event);
            assert!(event.done.is_none() || found, "it ended: {event:?}");
            events.push(event);
            if found {
                return events;
            }
        }
    }

    /// Ends it; what it says until then.
    pub(crate) async fn stop(self) -> Vec<Event> {
        let id = self.id;
        self.driver.write(&json!({"id": id, "stop": true})).await;
        self.end().await
    }

    /// What it says until its end, at which it must not have failed.
    pub(crate) async fn end(mut self) -> Vec<Event> {
        let mut events = self.until(|event| event.done.is_some()).await;
        let end = events.pop().expect("an end");
        assert!(end.error.is_none(), "{:?}: {end:?}", self.driver.kind);
        events
    }
}
