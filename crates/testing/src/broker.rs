//! A stock Kafka node, alone and without a mesh, for tests.
//!
//! It answers two needs: what a client or an operator does against real Kafka,
//! and what a broker itself answers, to compare a proxy's answers with.

mod probe;
mod properties;

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::Command;

use crate::tools::Tools;
use properties::{Ports, server_properties};

/// Longest time until a node answers; two seconds is usual.
const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Between two looks at a node that does not answer yet.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Starts, each with other ports, before it is given up.
const ATTEMPTS: usize = 3;
/// Lines of the broker's log that an error or a failed test shows.
const LOG_LINES: usize = 60;

/// How a [`TestBroker`] differs from a bare one.
#[derive(Debug, Clone, Default)]
pub struct BrokerOptions {
    users: Vec<String>,
    jwks: Option<PathBuf>,
    acls: bool,
    log_level: Option<&'static str>,
    properties: Vec<(String, String)>,
}

/// A running node, combined broker and controller, with its data in a
/// temporary folder. Dropping it kills it; if the thread is panicking, the end
/// of its log goes to standard error.
#[derive(Debug)]
pub struct TestBroker {
    child: Child,
    ports: Ports,
    folder: TempDir,
    jwks: Option<PathBuf>,
    log_level: Option<&'static str>,
}

/// Why a node does not run.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// A file, a port or a process could not be had.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// One of its programs failed.
    #[error("{program} ended with {status}; its log ends:\n{log}")]
    Ended {
        /// Which.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        log: String,
    },
    /// It does not answer.
    #[error("the broker did not answer within {START_TIMEOUT:?}; its log ends:\n{log}")]
    Silent {
        /// The last lines it wrote.
        log: String,
    },
}

// === impl BrokerOptions ===

impl BrokerOptions {
    /// Runs the `StandardAuthorizer`: nothing is allowed that no ACL allows,
    /// but for whoever comes through [`TestBroker::bootstrap`].
    #[must_use]
    pub fn with_acls(mut self) -> Self {
        self.acls = true;
        self
    }

    /// Adds a user of the SASL listener; its password is its name.
    #[must_use]
    pub fn with_user(mut self, name: &str) -> Self {
        self.users.push(name.to_owned());
        self
    }

    /// Takes OAUTHBEARER logins on the SASL listener too, signed by a key of
    /// this JWK set, as a node's broker takes them of its sidecar. The file
    /// must be there when the broker starts.
    #[must_use]
    pub fn with_jwks(mut self, file: &Path) -> Self {
        self.jwks = Some(file.to_owned());
        self
    }

    /// Logs only what is worse than usual. The authorizer writes a line for
    /// each of its decisions otherwise, which costs more than deciding.
    #[must_use]
    pub fn with_warnings_only(mut self) -> Self {
        self.log_level = Some("warn");
        self
    }

    /// Sets a property of `server.properties`, over whatever it was.
    #[must_use]
    pub fn with_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }
}

// === impl TestBroker ===

impl TestBroker {
    /// Formats and starts a node, and waits until it answers.
    pub async fn start(tools: &Tools, options: &BrokerOptions) -> Result<Self, BrokerError> {
        let mut attempt = 1;
        loop {
            // Another process may take a free port before the broker does.
            match Self::start_once(tools, options).await {
                Err(BrokerError::Ended { log, .. })
                    if attempt < ATTEMPTS && log.contains("Address already in use") =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    async fn start_once(tools: &Tools, options: &BrokerOptions) -> Result<Self, BrokerError> {
        let folder = tempfile::Builder::new()
            .prefix("tubeway-broker-")
            .tempdir()
            .map_err(failed("make a temporary folder"))?;
        let ports = Ports::free().map_err(failed("find free ports"))?;
        let config = folder.path().join("server.properties");
        fs::write(&config, server_properties(folder.path(), ports, options))
            .map_err(failed("write server.properties"))?;
        format_storage(tools, &config).await?;

        let mut broker = Self {
            child: spawn(
                tools,
                folder.path(),
                options.jwks.as_deref(),
                options.log_level,
            )?,
            ports,
            folder,
            jwks: options.jwks.clone(),
            log_level: options.log_level,
        };
        broker.wait_until_it_answers().await?;
        Ok(broker)
    }

    /// Kills it as `kill -9` does, starts it again on the same data and ports,
    /// and waits until it answers. Connections break; the log is kept.
    pub async fn bounce(&mut self, tools: &Tools) -> Result<(), BrokerError> {
        self.child.kill().map_err(failed("kill the broker"))?;
        self.child.wait().map_err(failed("wait for the broker"))?;
        let jwks = self.jwks.as_deref();
        self.child = spawn(tools, self.folder.path(), jwks, self.log_level)?;
        self.wait_until_it_answers().await
    }

    async fn wait_until_it_answers(&mut self) -> Result<(), BrokerError> {
        let deadline = Instant::now() + START_TIMEOUT;
        let address = self.bootstrap();
        while !probe::answers(address).await {
            if let Some(status) = self
                .child
                .try_wait()
                .map_err(failed("wait for the broker"))?
            {
                return Err(BrokerError::Ended {
                    program: "kafka.Kafka",
                    status,
                    log: self.log_end(),
                });
            }
            if Instant::now() > deadline {
                return Err(BrokerError::Silent {
                    log: self.log_end(),
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Address of the plain listener. Whoever connects is `User:ANONYMOUS`, a super user.
    pub fn bootstrap(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.plain).into()
    }

    /// Address of the SASL listener, for the users of the options (PLAIN) and
    /// whoever has a token ([`BrokerOptions::with_jwks`]).
    pub fn sasl_bootstrap(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.sasl).into()
    }

    /// Address of the controller's listener.
    pub fn controller(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.controller).into()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("broker.log")).unwrap_or_default()
    }

    /// Its folder: `data`, `broker.log`, `server.properties`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn log_end(&self) -> String {
        last_lines(&self.log())
    }
}

impl Drop for TestBroker {
    fn drop(&mut self) {
        // Nothing of it is kept, so it need not end well.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the broker's log ends:\n{}", self.log_end());
        }
    }
}

// === impl Ports ===

impl Ports {
    /// Three ports that were free a moment ago.
    fn free() -> io::Result<Self> {
        let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        // All three are open at once, or the system might choose one twice.
        let held = [listen()?, listen()?, listen()?];
        let port = |listener: &TcpListener| Ok::<_, io::Error>(listener.local_addr()?.port());
        Ok(Self {
            plain: port(&held[0])?,
            sasl: port(&held[1])?,
            controller: port(&held[2])?,
        })
    }
}

/// Starts the broker whose files are in `folder`.
fn spawn(
    tools: &Tools,
    folder: &Path,
    jwks: Option<&Path>,
    log_level: Option<&str>,
) -> Result<Child, BrokerError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("broker.log"))
        .map_err(failed("open the broker's log"))?;
    let jvm = log4j(folder, log_level).map_err(failed("write log4j2.properties"))?;
    let allowed = jwks.map(|file| {
        let name = "-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls";
        format!("{name}=file://{}", file.display())
    });
    let mut options = vec![
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        &jvm,
    ];
    options.extend(allowed.as_deref());
    let mut command = tools.dist.command(&tools.java, &options, "kafka.Kafka");
    command
        .arg(folder.join("server.properties"))
        .stdout(log.try_clone().map_err(failed("share the broker's log"))?)
        .stderr(log)
        .spawn()
        .map_err(failed("start java"))
}

async fn format_storage(tools: &Tools, config: &Path) -> Result<(), BrokerError> {
    let mut format: Command = tools.kafka("kafka.tools.StorageTool");
    let output = format
        .args(["format", "--standalone", "--cluster-id"])
        .arg("dHViZXdheS10ZXN0LW5vZA")
        .arg("--config")
        .arg(config)
        .output()
        .await
        .map_err(failed("run the storage tool"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(BrokerError::Ended {
        program: "kafka.tools.StorageTool",
        status: output.status,
        log: last_lines(&String::from_utf8_lossy(
            &[output.stdout, output.stderr].concat(),
        )),
    })
}

/// Writes the logging configuration; returns the JVM's flag for it.
fn log4j(folder: &Path, level: Option<&str>) -> io::Result<String> {
    let path = folder.join("log4j2.properties");
    let mut text = include_str!("../kafka/log4j2.properties").to_owned();
    if let Some(level) = level {
        // The last of several lines for one name is the one that counts.
        let lines = ["rootLogger", "logger.authorizer"].map(|of| format!("{of}.level = {level}\n"));
        text.extend(lines);
    }
    fs::write(&path, text)?;
    Ok(format!("-Dlog4j2.configurationFile={}", path.display()))
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> BrokerError {
    move |source| BrokerError::Io { action, source }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
