//! What a session tells its pump to do next, and why it ends a connection.

use std::time::Duration;

use bytes::Bytes;

use crate::access::Questions;

/// The next thing to do in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Read more: nothing can be decided from what is in the buffer.
    NeedMore,
    /// Write the buffer's first `n` bytes to the other side, as they now are,
    /// and drop them from the buffer. Never 0.
    Forward(usize),
    /// Drop the buffer's first `consumed` bytes and write `with` to the other
    /// side in their place (`with` may be empty).
    Replace {
        /// How many bytes of the buffer this stands for.
        consumed: usize,
        /// What the other side gets.
        with: Bytes,
    },
    /// Before anything else is sent to the broker, the login has to be
    /// renewed: call [`crate::Session::login`] and write what it returns.
    Login,
    /// Drop the buffer's first `n` bytes: the broker does not get that request.
    /// Its answer comes from [`crate::Session::response`] in its turn.
    Answered(usize),
    /// Ask the broker this, say by [`crate::Session::answer`] what came of it,
    /// and come again.
    Ask(Questions),
    /// Too many requests wait for their answers: go on when one has come.
    Wait,
    /// The client has used more than its quotas allow: read nothing more from
    /// it for so long.
    Pause(Duration),
}

/// Why a connection is closed. The text is constant, for logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A frame's length is negative, too short for its header, or over the limit.
    #[error("frame length {0} is not allowed")]
    FrameLength(i64),
    /// The frame does not decode as what its header says it is.
    #[error("{side} of {api} v{version} does not decode: {error}")]
    Malformed {
        /// `request` or `response`.
        side: &'static str,
        /// Name of the API.
        api: &'static str,
        /// Version of the API.
        version: i16,
        /// What is wrong.
        error: String,
    },
    /// The header itself does not decode.
    #[error("request header does not decode: {0}")]
    Header(String),
    /// An API or version that is not in the tables.
    #[error("api key {key} version {version} is not known")]
    UnknownApi {
        /// The API key.
        key: i16,
        /// Its version.
        version: i16,
    },
    /// A response that answers no request, or not the next one.
    #[error("response carries correlation id {got}, the next request's is {expected:?}")]
    Unexpected {
        /// What the response says.
        got: i32,
        /// What was next; `None` where nothing was asked.
        expected: Option<i32>,
    },
    /// The caller may not do what it asks, and Kafka has no other answer.
    #[error("{0}")]
    Denied(&'static str),
    /// The broker did not take the login.
    #[error("the broker refused the login: {0}")]
    Login(String),
}

// === impl Refusal ===

impl Refusal {
    /// A constant label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::FrameLength(_) => "frame_length",
            Self::Malformed { .. } => "malformed",
            Self::Header(_) => "header",
            Self::UnknownApi { .. } => "unknown_api",
            Self::Unexpected { .. } => "unexpected_response",
            Self::Denied(_) => "denied",
            Self::Login(_) => "login",
        }
    }

    /// Whether the client, rather than the broker or this proxy, is at fault.
    pub fn is_clients_fault(&self) -> bool {
        !matches!(self, Self::Unexpected { .. } | Self::Login(_))
    }
}
