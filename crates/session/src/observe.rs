//! What a session counts.

use std::sync::Arc;
use std::time::Duration;

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::ApiKey;

/// A topic as the wire names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// By name.
    Name(Arc<str>),
    /// By id (KIP-516): what it is called has to be looked up.
    Id([u8; 16]),
}

/// One request of the client that is over: answered, or sent and wanting no
/// answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The API.
    pub api: ApiKey,
    /// Its name.
    pub name: &'static str,
    /// The request's version.
    pub version: i16,
    /// The request's frame as the client sent it, in bytes, its length included.
    pub request_bytes: u64,
    /// The response's frame as the client got it, in bytes; 0 where there is none.
    pub response_bytes: u64,
    /// From the request's last byte sent to the broker until the response's
    /// first byte. None where the broker was not asked or does not answer.
    pub broker: Option<Duration>,
    /// How long this sidecar held the request, and the end of the response:
    /// what it took to decide, and waiting for names, logins and room. Not
    /// waiting for either side's bytes.
    pub own: Duration,
    /// The response's `ThrottleTimeMs`.
    pub throttle: Duration,
    /// Whether the answer is the session's own.
    pub answered_here: bool,
}

/// What a client says it is (KIP-511). Both have the form that the KIP allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Software {
    /// Such as `apache-kafka-java`.
    pub name: Box<str>,
    /// Such as `4.1.0`.
    pub version: Box<str>,
}

/// Something in a request that the caller may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Name of the request's API.
    pub api: &'static str,
    /// What would have been done.
    pub operation: Operation,
    /// To what kind of thing.
    pub kind: ResourceType,
    /// Which one; cut after 249 bytes, the length of a topic's name.
    pub name: Box<str>,
    /// The partition, where it is partitions that differ.
    pub partition: Option<i32>,
    /// Where the rule comes from that denies it; none where no rule allows it.
    pub rule: Option<Box<str>>,
}

/// One partition's offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// The partition's number.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

/// Takes the counts of one connection. Called with whole requests and
/// responses, never with their contents.
pub trait Observe {
    /// The broker took these records of the connection's principal. Where the
    /// client wants no acknowledgement: they were sent to the broker.
    fn produced(&mut self, topic: &Topic, records: u64, bytes: u64);
    /// The broker sent these records to the connection's principal.
    fn consumed(&mut self, topic: &Topic, records: u64, bytes: u64);
    /// The broker refused the principal this topic (TOPIC_AUTHORIZATION_FAILED).
    fn denied(&mut self, topic: &Topic);
    /// A response carried this error code.
    fn error(&mut self, api: &'static str, code: i16);
    /// A request is over.
    fn finished(&mut self, _exchange: &Exchange) {}
    /// The client has said what it is. It may say so again.
    fn software(&mut self, _software: &Software) {}
    /// A request asked for things that the caller may not do: of each kind at
    /// least one. Called once a request.
    fn refused(&mut self, _denials: &[Denial]) {}
    /// The broker took these offsets of a group's: the next ones to be read.
    fn committed(&mut self, _group: &str, _topic: &Topic, _offsets: &[Offset]) {}
    /// So far the log of these partitions reaches for consumers.
    fn high_watermarks(&mut self, _topic: &Topic, _offsets: &[Offset]) {}
    /// A topic's id and name, as the broker has said them.
    fn named(&mut self, _id: &[u8; 16], _name: &str) {}
}

// === impl Software ===

impl Software {
    /// Takes what a client sent, if it has the form that a broker would take.
    pub fn new(name: &str, version: &str) -> Option<Self> {
        (is_software(name) && is_software(version)).then(|| Self {
            name: name.into(),
            version: version.into(),
        })
    }
}

/// KIP-511: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`, and here of at most
/// 64 bytes, for it becomes a label.
fn is_software(text: &str) -> bool {
    const MAX: usize = 64;
    let bytes = text.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= MAX
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

// === impl &mut O ===

impl<O: Observe> Observe for &mut O {
    fn produced(&mut self, topic: &Topic, records: u64, bytes: u64) {
        (**self).produced(topic, records, bytes);
    }
    fn consumed(&mut self, topic: &Topic, records: u64, bytes: u64) {
        (**self).consumed(topic, records, bytes);
    }
    fn denied(&mut self, topic: &Topic) {
        (**self).denied(topic);
    }
    fn error(&mut self, api: &'static str, code: i16) {
        (**self).error(api, code);
    }
    fn finished(&mut self, exchange: &Exchange) {
        (**self).finished(exchange);
    }
    fn software(&mut self, software: &Software) {
        (**self).software(software);
    }
    fn refused(&mut self, denials: &[Denial]) {
        (**self).refused(denials);
    }
    fn committed(&mut self, group: &str, topic: &Topic, offsets: &[Offset]) {
        (**self).committed(group, topic, offsets);
    }
    fn high_watermarks(&mut self, topic: &Topic, offsets: &[Offset]) {
        (**self).high_watermarks(topic, offsets);
    }
    fn named(&mut self, id: &[u8; 16], name: &str) {
        (**self).named(id, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_taken_in_the_form_of_the_kip_alone() {
        let long = "a".repeat(64);
        for text in ["a", "apache-kafka-java", "4.1.0", "4.1.0-SNAPSHOT", &long] {
            assert!(Software::new(text, "1").is_some(), "{text}");
            assert!(Software::new("x", text).is_some(), "{text}");
        }
        let longer = "a".repeat(65);
        for text in [
            "", "-a", "a-", ".", "a b", "a_b", "a\n", "ä", "a\"", &longer,
        ] {
            assert!(Software::new(text, "1").is_none(), "{text}");
            assert!(Software::new("x", text).is_none(), "{text}");
        }
    }
}
