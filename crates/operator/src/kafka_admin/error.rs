//! What goes wrong between the operator and a broker, and whose fault it is.

use std::io;
use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::connect::BrokerAddress;

/// Where to look for the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The broker is not reachable: pod, sidecar, network or certificates.
    Network,
    /// The broker answered, and said no.
    Broker,
    /// The operator asked for what it cannot ask for.
    Ours,
}

/// A broker's own error, for a whole request or for one thing in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("kafka says {error}{}", .message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
pub struct Refusal {
    /// Kafka's error code.
    pub error: ResponseError,
    /// What the broker adds in words.
    pub message: Option<String>,
}

/// Why a call to the cluster failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no address to try.
    #[error("no broker of the cluster has an address yet")]
    NoBrokers,
    /// No connection, or no handshake.
    #[error(
        "cannot connect to broker {broker}; is its pod ready, and does its sidecar trust this operator?"
    )]
    Connect {
        /// The broker.
        broker: BrokerAddress,
        /// What the system or TLS says.
        #[source]
        source: io::Error,
    },
    /// The connection ended before the answer.
    #[error("broker {broker} closed the connection during {api}")]
    Lost {
        /// The broker.
        broker: BrokerAddress,
        /// The request.
        api: &'static str,
        /// What the system or TLS says.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("broker {broker} did not answer {api} within {after:?}")]
    Timeout {
        /// The broker.
        broker: BrokerAddress,
        /// The request.
        api: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The broker and this client have no version of the request in common.
    #[error("broker {broker} does not speak {api} in versions {ours:?}, but {theirs:?}")]
    Version {
        /// The broker.
        broker: BrokerAddress,
        /// The request.
        api: &'static str,
        /// First and last version that this client can use.
        ours: (i16, i16),
        /// First and last version of the broker; none if it does not know the request.
        theirs: Option<(i16, i16)>,
    },
    /// The answer is not what the protocol says.
    #[error("broker {broker} answered {api} with something else: {detail}")]
    Malformed {
        /// The broker.
        broker: BrokerAddress,
        /// The request.
        api: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The request cannot be written down in the version that was agreed on.
    #[error("{api} cannot be sent in version {version}: {detail}")]
    Encode {
        /// The request.
        api: &'static str,
        /// The version.
        version: i16,
        /// What cannot be said in it.
        detail: String,
    },
    /// The broker refused the whole request.
    #[error("{api} was refused")]
    Refused {
        /// The request.
        api: &'static str,
        /// What the broker said.
        #[source]
        refusal: Refusal,
    },
}

// === impl Refusal ===

impl Refusal {
    /// The error of a code, or nothing for the code of success.
    pub(super) fn check(code: i16, message: Option<&StrBytes>) -> Result<(), Self> {
        match ResponseError::try_from_code(code) {
            None => Ok(()),
            Some(error) => Err(Self {
                error,
                message: message.map(ToString::to_string).filter(|m| !m.is_empty()),
            }),
        }
    }

    /// Whether the same request can succeed a moment later.
    pub fn may_pass(&self) -> bool {
        // Without the second group a broker that starts, or a controller that has
        // just been elected, would look like a mistake of the user's.
        self.error.is_retriable() && self.error != ResponseError::UnknownTopicOrPartition
            || matches!(
                self.error,
                ResponseError::BrokerNotAvailable | ResponseError::StaleControllerEpoch
            )
    }
}

// === impl AdminError ===

impl AdminError {
    /// Whether the same call can succeed a moment later, at this or another broker.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::NoBrokers | Self::Connect { .. } | Self::Lost { .. } | Self::Timeout { .. } => {
                true
            }
            Self::Version { .. } | Self::Malformed { .. } | Self::Encode { .. } => false,
            Self::Refused { refusal, .. } => refusal.may_pass(),
        }
    }

    /// Where to look for the cause.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoBrokers | Self::Connect { .. } | Self::Lost { .. } | Self::Timeout { .. } => {
                Fault::Network
            }
            Self::Refused { .. } | Self::Malformed { .. } => Fault::Broker,
            Self::Version { .. } | Self::Encode { .. } => Fault::Ours,
        }
    }

    /// The message with its causes, for a condition or a log line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
