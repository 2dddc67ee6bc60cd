//! Error codes, and the messages that brokers send with them.

use tubeway_protocol::value::{Struct, Value};

pub(super) const UNKNOWN_TOPIC: i16 = 3;
pub(super) const INVALID_TOPIC: i16 = 17;
pub(super) const INCONSISTENT_PROTOCOL: i16 = 23;
pub(super) const TOPIC_DENIED: i16 = 29;
pub(super) const GROUP_DENIED: i16 = 30;
pub(super) const CLUSTER_DENIED: i16 = 31;
pub(super) const INVALID_REQUEST: i16 = 42;
pub(super) const TRANSACTIONAL_ID_DENIED: i16 = 53;
pub(super) const NOT_ATTEMPTED: i16 = 55;
pub(super) const TOKEN_DENIED: i16 = 65;
pub(super) const UNKNOWN_TOPIC_ID: i16 = 100;

/// Kafka's own message for an error that this module answers with.
pub(super) const fn message(code: i16) -> &'static str {
    match code {
        UNKNOWN_TOPIC => "This server does not host this topic-partition.",
        TOPIC_DENIED => "Topic authorization failed.",
        GROUP_DENIED => "Group authorization failed.",
        CLUSTER_DENIED => "Cluster authorization failed.",
        INVALID_REQUEST => {
            "This most likely occurs because of a request being malformed by the client library \
             or the message was sent to an incompatible broker. See the broker logs for more details."
        }
        TRANSACTIONAL_ID_DENIED => "Transactional Id authorization failed.",
        _ => "",
    }
}

/// Sets the error, with Kafka's message for it.
pub(super) fn say(of: &mut Struct, code: i16) {
    of.set("ErrorCode", code);
    of.set("ErrorMessage", message(code));
}

/// Sets the error, with no message.
pub(super) fn quietly(of: &mut Struct, code: i16) {
    of.set("ErrorCode", code);
    of.set("ErrorMessage", Value::Null);
}
