//! Real clients as child processes: what applications run, not what we wrote.
//!
//! Every client connects in plain text to whatever address it is given (a
//! broker's, or a client sidecar's), produces the records of a [`Workload`] with
//! acks=all and idempotence, and consumes a topic from its beginning.
//!
//! | client | says where each record went | says when its partitions changed |
//! |---|---|---|
//! | Java `VerifiableProducer`, `VerifiableConsumer` | yes | yes |
//! | Java console producer and consumer | no: all or an error | no |
//! | kcat (librdkafka) | no: all or an error | no |
//! | kafka-python | yes | yes |

mod console;
mod consume;
mod copy;
mod kcat;
pub mod logs;
mod process;
mod produce;
mod python;
mod verifiable;

use std::fmt;
use std::io;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::records::{Position, Read, Sent, Workload};
use crate::tools::{Tools, ToolsError};
use process::Process;

pub use copy::copy_in_transactions;

/// One of the real clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// Kafka's `VerifiableProducer` and `VerifiableConsumer`. They write values
    /// of their own form: payload length does not apply.
    JavaVerifiable,
    /// Kafka's console producer and consumer.
    JavaConsole,
    /// kcat, on librdkafka.
    Kcat,
    /// kafka-python, driven by a small script.
    KafkaPython,
}

/// What a client works on, and how it is set up.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`, or several with commas.
    pub bootstrap: String,
    /// The topic, which must exist.
    pub topic: String,
    /// Consumer group; without one a client reads alone, or in a group of its own.
    pub group: Option<String>,
    /// User and password of SASL/PLAIN, where the listener asks for it.
    pub user: Option<(String, String)>,
    /// Further client properties by their Java names, such as `client.id`;
    /// only those that every client knows.
    pub properties: Vec<(String, String)>,
    /// Time after which the client is killed.
    pub timeout: Duration,
}

/// When a consumer has read enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So many different offsets.
    Records(u64),
    /// All that was in the topic when the consumer started. The topic must
    /// have no transactions: their markers are never read.
    End,
}

/// What a producer did.
#[derive(Debug, Clone)]
pub struct Produced {
    /// Every record of the workload and what became of it.
    pub sent: Vec<Sent>,
    /// The errors it reported, each once.
    pub errors: Vec<String>,
}

/// What a consumer read: a list a session, as the checker takes it. Where the
/// client does not say when its partitions changed, a step back begins a session.
pub type Consumed = Vec<Vec<Read>>;

/// Why a client's run gives no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client, or what it needs, is not there.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// It could not be run or talked to.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it had done its work.
    #[error("{client:?} ended with {status} after {records} records; it said last:\n{said}")]
    Ended {
        /// Which.
        client: Client,
        /// How.
        status: ExitStatus,
        /// Records read until then.
        records: usize,
        /// The last lines it wrote that are no records.
        said: String,
    },
    /// It had not done its work in time, and was killed.
    #[error("{client:?} was killed after {timeout:?} and {records} records; it said last:\n{said}")]
    Timeout {
        /// Which.
        client: Client,
        /// The time it had.
        timeout: Duration,
        /// Records read until then.
        records: usize,
        /// The last lines it wrote that are no records.
        said: String,
    },
}

/// What one line of a client's output says.
#[derive(Debug, Clone, PartialEq)]
enum Event {
    /// A record was sent.
    Sent {
        value: String,
        result: Result<Position, String>,
    },
    /// A record was read.
    Read(Read),
    /// The consumer's partitions changed.
    Reassigned,
    /// Something for people.
    Said,
}

/// A way of a client to work: how it is started, how its lines are read.
struct Run {
    process: Process,
    read_line: fn(&str) -> Event,
}

// === impl Client ===

impl Client {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::JavaVerifiable,
        Self::JavaConsole,
        Self::Kcat,
        Self::KafkaPython,
    ];

    /// Sends the whole workload. Errors that the client reports for records
    /// are part of the result; the client not ending in time is an error.
    pub async fn produce(
        self,
        tools: &Tools,
        target: &Target,
        workload: &Workload,
    ) -> Result<Produced, ClientError> {
        let run = match self {
            Self::JavaVerifiable => verifiable::producer(tools, target, workload)?,
            Self::JavaConsole => console::producer(tools, target)?,
            Self::Kcat => kcat::producer(tools, target)?,
            Self::KafkaPython => python::producer(tools, target)?,
        };
        produce::produce(self, run, target.timeout, workload).await
    }

    /// Reads the topic from its beginning until it has read enough, then kills the client.
    pub async fn consume(
        self,
        tools: &Tools,
        target: &Target,
        until: Until,
    ) -> Result<Consumed, ClientError> {
        let goal = match until {
            Until::Records(count) => consume::Goal::records(count),
            Until::End => consume::Goal::Offsets(verifiable::end_offsets(tools, target).await?),
        };
        if goal.is_reached() {
            return Ok(Vec::new());
        }
        let run = match self {
            Self::JavaVerifiable => verifiable::consumer(tools, target)?,
            Self::JavaConsole => console::consumer(tools, target)?,
            Self::Kcat => kcat::consumer(tools, target)?,
            Self::KafkaPython => python::consumer(tools, target)?,
        };
        consume::consume(self, run, target.timeout, goal).await
    }

    /// Whether it writes a line for each record sent and each change of its partitions.
    fn tells(self) -> bool {
        matches!(self, Self::JavaVerifiable | Self::KafkaPython)
    }

    fn timed_out(self, timeout: Duration, records: usize, process: &Process) -> ClientError {
        ClientError::Timeout {
            client: self,
            timeout,
            records,
            said: process.said(),
        }
    }
}

// === impl Target ===

impl Target {
    /// A topic behind an address, with two minutes for each run.
    pub fn new(bootstrap: impl fmt::Display, topic: &str) -> Self {
        Self {
            bootstrap: bootstrap.to_string(),
            topic: topic.to_owned(),
            group: None,
            user: None,
            properties: Vec::new(),
            timeout: Duration::from_mins(2),
        }
    }

    /// Reads as a member of this consumer group.
    #[must_use]
    pub fn in_group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Logs in with SASL/PLAIN.
    #[must_use]
    pub fn as_user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Sets a client property by its Java name.
    #[must_use]
    pub fn with_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The group, or one that nobody else has.
    fn group_or_own(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        self.group.clone().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            format!("test-{}-{number}", std::process::id())
        })
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ClientError {
    move |source| ClientError::Io { action, source }
}
