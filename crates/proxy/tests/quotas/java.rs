//! `Load.java`: Kafka's own Java clients under load, as a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::world::{Credentials, World};

const SOURCE: &str = include_str!("Load.java");
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One Java process with its loads.
pub struct Java {
    child: Child,
    input: ChildStdin,
    said: Arc<Mutex<Said>>,
}

/// What a load said at a time of the process's own clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    pub at: Duration,
    pub value: u64,
}

#[derive(Debug, Default)]
struct Said {
    samples: BTreeMap<String, Vec<Sample>>,
    ended: Vec<String>,
    failed: Vec<String>,
}

/// Compiles the program into the world's folder.
pub fn compile(world: &World) {
    let source = world.scratch().join("Load.java");
    std::fs::write(&source, SOURCE).expect("a file");
    let javac = world
        .tools
        .javac()
        .unwrap_or_else(|error| panic!("{error}"));
    let output = Command::new(javac)
        .arg("-cp")
        .arg(world.tools.dist.libs.join("*"))
        .arg("-d")
        .arg(world.scratch())
        .arg(&source)
        .output()
        .expect("javac runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "javac: {said}");
}

// === impl Java ===

impl Java {
    /// Starts the program that [`compile`] has made, without a load.
    pub fn start(world: &World, name: &str) -> Self {
        let jars = world.tools.dist.libs.join("*");
        let class_path = std::env::join_paths([world.scratch(), &jars]).expect("a class path");
        let log = world.scratch().join(format!("{name}.log"));
        let mut child = Command::new(&world.tools.java.path)
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Dlog4j2.level=ERROR", "-cp"])
            .arg(class_path)
            .arg("Load")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log).expect("a file"))
            .spawn()
            .expect("Java starts");
        let said = Arc::new(Mutex::new(Said::default()));
        let (output, hears) = (child.stdout.take().expect("a pipe"), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                hears
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .hear(&line);
            }
        });
        Self {
            input: child.stdin.take().expect("a pipe"),
            child,
            said,
        }
    }

    /// Starts a load: a mode of `Load.java` and its properties, with spaces
    /// between them.
    pub fn load(&mut self, name: &str, what: &str, bootstrap: &str, as_whom: &Credentials) {
        let properties = mutual_tls(bootstrap, &as_whom.key, &as_whom.roots);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.ended.retain(|ended| ended != name);
        drop(said);
        self.tell(&format!("start {name} {what} {properties}"));
    }

    /// Ends a load, soon.
    pub fn stop(&mut self, name: &str) {
        self.tell(&format!("stop {name}"));
    }

    fn tell(&mut self, line: &str) {
        let told = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        told.expect("the program listens");
    }

    /// All that a load has said so far.
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.assert_unharmed();
        said.samples.get(name).cloned().unwrap_or_default()
    }

    /// The newest thing that a load has said.
    pub fn last(&self, name: &str) -> Option<Sample> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.assert_unharmed();
        said.samples.get(name)?.last().copied()
    }

    /// Waits until a load has said something.
    pub async fn begun(&self, name: &str, within: Duration) {
        let begun = || self.last(name).is_some();
        wait(begun, within, &format!("{name} has not begun")).await;
    }

    /// Waits until a load has ended.
    pub async fn ended(&self, name: &str, within: Duration) {
        let ended = || {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.assert_unharmed();
            said.ended.iter().any(|ended| ended == name)
        };
        wait(ended, within, &format!("{name} has not ended")).await;
    }
}

async fn wait(is_so: impl Fn() -> bool, within: Duration, otherwise: &str) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < within, "{otherwise}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Said ===

impl Said {
    fn assert_unharmed(&self) {
        assert!(self.failed.is_empty(), "a client failed: {:?}", self.failed);
    }

    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.splitn(3, ' ').collect();
        match words[..] {
            [name, "end"] => self.ended.push(name.to_owned()),
            [name, at, value] if at != "failed" => {
                let number = |text: &str| text.parse::<u64>().unwrap_or_default();
                let sample = Sample {
                    at: Duration::from_nanos(number(at)),
                    value: number(value),
                };
                let samples = self.samples.entry(name.to_owned()).or_default();
                samples.push(sample);
            }
            _ => self.failed.push(line.to_owned()),
        }
    }
}

/// A client's properties for a bootstrap that is met by mutual TLS.
fn mutual_tls(bootstrap: &str, key: &Path, roots: &Path) -> String {
    let (key, roots) = (key.display(), roots.display());
    // The sidecar is known by its SPIFFE id, which the client cannot check.
    format!(
        "bootstrap.servers={bootstrap} security.protocol=SSL ssl.keystore.type=PEM \
         ssl.keystore.location={key} ssl.truststore.type=PEM ssl.truststore.location={roots} \
         ssl.endpoint.identification.algorithm="
    )
}
