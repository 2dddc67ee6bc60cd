//! Where the logs of pods come from.

use std::io;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;

/// Which log is asked for, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Uid of the pod.
    pub uid: String,
    /// Name of the container (or init container).
    pub container: String,
    /// Keep sending what is written later.
    pub follow: bool,
    /// Only that many lines from the end, before following.
    pub tail_lines: Option<u64>,
    /// At most that many bytes.
    pub limit_bytes: Option<u64>,
    /// The run before the present one.
    pub previous: bool,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The container has not run (that often) yet.
    #[error("{0}")]
    NotYet(String),
    /// The log cannot be read.
    #[error("cannot read the log: {0}")]
    Io(#[from] io::Error),
}

/// What a log arrives as.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// Reads logs of pods. The node agent is one.
pub trait LogSource: Send + Sync + 'static {
    /// Opens a log. The stream ends at the log's end or, when following, with the container.
    fn open(&self, request: LogRequest) -> BoxFuture<'static, Result<LogStream, LogError>>;
}
