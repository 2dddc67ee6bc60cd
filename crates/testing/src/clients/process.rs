//! A child process that is fed lines and read line by line.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempPath;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{ClientError, failed};
use crate::records::Workload;

/// Lines that are kept to say what a client said last.
const KEPT_LINES: usize = 40;
/// How often a producer with a rate is fed.
const FEED_EVERY: Duration = Duration::from_millis(10);

/// Errors that are kept; the first ones tell the most.
const KEPT_ERRORS: usize = 20;

/// A client's process; killed when it is dropped.
pub(super) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    said: Arc<Mutex<Said>>,
    stderr: JoinHandle<()>,
    /// Its configuration, which it may read late.
    _config: Option<TempPath>,
}

/// What a client wrote that is no record.
struct Said {
    last: VecDeque<String>,
    errors: Vec<String>,
    is_error: fn(&str) -> bool,
}

// === impl Process ===

impl Process {
    pub(super) fn start(
        mut command: Command,
        config: Option<TempPath>,
        is_error: fn(&str) -> bool,
    ) -> Result<Self, ClientError> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed("start the client"))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            unreachable!("both are piped");
        };
        let said = Arc::new(Mutex::new(Said {
            last: VecDeque::new(),
            errors: Vec::new(),
            is_error,
        }));
        let kept = Arc::clone(&said);
        let stderr = tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                keep(&kept, line);
            }
        });
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            stdout: BufReader::new(stdout).lines(),
            said,
            stderr,
            _config: config,
        })
    }

    /// Writes `key<TAB>value` lines to the client in the background, at the
    /// workload's rate, and ends its input. A client that stops reading has
    /// ended, which its status tells.
    pub(super) fn feed(&mut self, workload: Workload) {
        if let Some(stdin) = self.stdin.take() {
            tokio::spawn(async move {
                let _ = feed(BufWriter::new(stdin), workload).await;
            });
        }
    }

    /// The next line of its output; `None` at the end.
    pub(super) async fn line(&mut self) -> Result<Option<String>, ClientError> {
        let line = self.stdout.next_line().await;
        line.map_err(failed("read the client's output"))
    }

    /// Waits for its end, after its output has ended.
    pub(super) async fn wait(&mut self) -> Result<ExitStatus, ClientError> {
        let status = self.child.wait().await;
        let _ = (&mut self.stderr).await;
        status.map_err(failed("wait for the client"))
    }

    /// Keeps a line of its output among what it said.
    pub(super) fn remember(&self, line: String) {
        keep(&self.said, line);
    }

    /// What it said last, errors and other lines for people.
    pub(super) fn said(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let last: Vec<_> = said.last.iter().map(String::as_str).collect();
        last.join("\n")
    }

    /// Lines that mean that a record was not delivered, however long ago.
    pub(super) fn errors(&self) -> Vec<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.errors.clone()
    }
}

fn keep(said: &Mutex<Said>, line: String) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    if (said.is_error)(&line) && said.errors.len() < KEPT_ERRORS {
        said.errors.push(line.clone());
    }
    if said.last.len() == KEPT_LINES {
        said.last.pop_front();
    }
    said.last.push_back(line);
}

async fn feed(mut stdin: BufWriter<ChildStdin>, workload: Workload) -> io::Result<()> {
    let key = workload.key();
    let mut ticks = tokio::time::interval(FEED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut allowed = 0.0;
    for seq in 0..workload.count {
        if let Some(rate) = workload.rate {
            while allowed < 1.0 {
                stdin.flush().await?;
                ticks.tick().await;
                allowed += f64::from(rate) * FEED_EVERY.as_secs_f64();
            }
            allowed -= 1.0;
        }
        let line = format!("{key}\t{}\n", workload.value(seq));
        stdin.write_all(line.as_bytes()).await?;
    }
    stdin.shutdown().await
}
