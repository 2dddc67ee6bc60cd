//! The labels of each family.

use prometheus_client::encoding::EncodeLabelSet;

/// Labels of the flow series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FlowLabels {
    pub principal: String,
    pub topic: String,
}

/// Labels of what is counted by request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabels {
    pub principal: String,
    pub api: &'static str,
}

/// Labels of the error series.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ErrorLabels {
    pub principal: String,
    pub api: &'static str,
    pub error: String,
}

/// Labels of denied requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DenialLabels {
    pub principal: String,
    pub api: &'static str,
    pub resource: &'static str,
}

/// Labels of clients' connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SoftwareLabels {
    pub principal: String,
    pub software: String,
    pub version: String,
}

/// Labels of consumer groups.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GroupLabels {
    pub group: String,
    pub topic: String,
}

/// Labels of what is counted by listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ListenerLabels {
    /// `client`, `replication`, `controller`, `egress`, `broker` or `bootstrap`.
    pub listener: &'static str,
}

/// Labels of connections that were refused, or are over.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabels {
    /// As in [`ListenerLabels`].
    pub listener: &'static str,
    /// A constant text.
    pub reason: &'static str,
}

/// Labels of handshakes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HandshakeLabels {
    /// As in [`ListenerLabels`].
    pub listener: &'static str,
    /// `ok`, `handshake`, `handshake_timeout` or `identity`.
    pub outcome: &'static str,
}
