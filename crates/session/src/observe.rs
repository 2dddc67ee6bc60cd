//! What a session counts.

use std::sync::Arc;

/// A topic as the wire names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// By name.
    Name(Arc<str>),
    /// By id (KIP-516): what it is called has to be looked up.
    Id([u8; 16]),
}

/// Takes the counts of one connection. Called with whole requests and
/// responses, never with their contents.
pub trait Observe {
    /// The broker took these records of the connection's principal.
    fn produced(&mut self, topic: &Topic, records: u64, bytes: u64);
    /// The broker sent these records to the connection's principal.
    fn consumed(&mut self, topic: &Topic, records: u64, bytes: u64);
    /// The broker refused the principal this topic (TOPIC_AUTHORIZATION_FAILED).
    fn denied(&mut self, topic: &Topic);
    /// A response carried this error code.
    fn error(&mut self, api: &'static str, code: i16);
}
