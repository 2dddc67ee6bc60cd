//! What a caller gets of every Kafka API: the answer of an unmodified broker
//! (Kafka 4.3) that has the same ACLs, decided before the broker is asked.
//!
//! [`decide`] looks at a request. What the caller may do goes on; what they may
//! not do is cut out and answered here, and [`Amend::apply`] puts that into the
//! broker's response. Nothing the caller may not use is named to the broker, so
//! it makes no difference whether the broker enforces ACLs too.
//!
//! # Guarantees
//! * Of a request that is cut, everything else stays as it was.
//! * What was refused is fixed when the request comes; lists in a response are
//!   filtered with the rules of when the response comes.
//! * A name that is not UTF-8 is nobody's, and so refused.
//!
//! # Where a broker's answer cannot be known
//! * A broker that refuses for want of rights on the cluster sometimes says
//!   `Request Request(processor=1, …) needs ALTER permission.`, with its own
//!   addresses in it; here it is the error's standard message.
//! * DeleteTopics answers in a random order, and DeleteRecords,
//!   AddPartitionsToTxn, WriteTxnMarkers and Metadata of more than four topics in
//!   the order of Scala's hash maps; here it is that of the request.
//! * AlterShareGroupOffsets tells the id of a topic that it refuses, and so that
//!   it exists; here the id is zero, as everywhere else.
//! * Errors that come before access and depend on the broker (a feature that is
//!   off, deletion that is disabled, a broker's configuration that is not valid)
//!   are seen only by callers with access.
//!
//! # What only a broker can do
//! What a consumer group's regular expression matches (KIP-848), and which
//! internal topics a streams group is given, is decided inside the broker; it
//! has to have the ACLs.

mod amend;
mod apis;
mod cluster;
mod configs;
mod coordinators;
mod deletion;
mod gates;
mod groups;
mod listed;
mod merge;
mod metadata;
mod offsets;
mod pages;
mod refusals;
mod shape;
mod share;
mod tokens;
mod topics;
mod topics_admin;
mod transactions;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_policy::rules::{Authorizer, Caller, Resource};
use tubeway_protocol::value::Struct;
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

pub use amend::Amend;

/// Who asks, by which rules, and what is known of topics.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The rules.
    pub rules: &'a Authorizer,
    /// Who asks.
    pub caller: &'a Caller,
    /// What is known of topics.
    pub names: &'a dyn Names,
}

/// What the sidecar knows of topics, by asking the broker as itself.
pub trait Names {
    /// What a topic id is called.
    fn name_of(&self, id: &[u8; 16]) -> NameOf;

    /// Whether there is a topic of this name. It is asked where a request would
    /// create a topic or tell of it, so an answer must not be older than the
    /// request.
    fn exists(&self, topic: &str) -> Exists;

    /// Whether brokers create topics that are asked for
    /// (`auto.create.topics.enable`). It only chooses the error for a topic that
    /// is missing and that the caller may not create: 29 if they do, 3 if not.
    /// Nothing is ever created that the caller may not create.
    fn auto_create(&self) -> bool {
        false
    }
}

/// What a topic id is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOf {
    /// This.
    Known(Arc<str>),
    /// No topic has it.
    NoSuchTopic,
    /// The broker has to be asked.
    NotAsked,
}

/// Whether there is a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exists {
    /// There is.
    Yes,
    /// There is not.
    No,
    /// The broker has to be asked.
    NotAsked,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing is refused: it goes on as it came.
    Pass,
    /// It goes on as it came, and its response is to be amended.
    Amend(Amend),
    /// It is not sent to the broker: this body is the answer.
    Answer(Struct),
    /// This goes to the broker in its place, and its response is to be amended.
    Cut(Struct, Amend),
    /// These have to be answered first; then it is decided anew.
    Ask(Questions),
    /// There is no answer that Kafka would give: the connection is closed, for
    /// this reason.
    Close(&'static str),
}

/// What the broker has to be asked before a request can be decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Questions {
    /// What these topic ids are called.
    pub ids: BTreeSet<[u8; 16]>,
    /// Whether topics of these names exist.
    pub topics: BTreeSet<Arc<str>>,
}

/// What has to be looked at of one API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Whether [`decide`] has to see the request.
    pub request: bool,
    /// Whether it may say that the response is to be amended.
    pub response: bool,
}

/// One request to be decided.
struct Case<'a> {
    access: Access<'a>,
    request: &'a Struct,
    response: &'static Layout,
}

/// What has to be looked at of an API: a cheap first look, by its key alone.
/// None for an API that is not known here, which must not be served.
pub fn look(api: ApiKey) -> Option<Look> {
    apis::find(api).map(|api| api.look)
}

/// What becomes of a request.
pub fn decide(access: &Access<'_>, request: &Struct) -> Verdict {
    let layout = request.layout();
    let Some(api) = apis::find(layout.api()) else {
        return Verdict::Close("the API is not known");
    };
    let response = Schemas::get().layout(layout.api(), layout.version(), Direction::Response);
    let (Ok(response), Direction::Request) = (response, layout.direction()) else {
        return Verdict::Close("the request's version is not known");
    };
    let case = Case {
        access: *access,
        request,
        response,
    };
    if !api.look.request || (access.is_super_user() && !api.closed) {
        return Verdict::Pass;
    }
    (api.decide)(&case)
}

// === impl Access ===

impl Access<'_> {
    /// Whether no rule was needed to allow something.
    fn is_super_user(&self) -> bool {
        let decision = self
            .rules
            .authorize(self.caller, Operation::All, Resource::CLUSTER);
        decision.allowed && decision.rule.is_none()
    }

    fn may(&self, operation: Operation, kind: ResourceType, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| {
            self.rules
                .authorize(self.caller, operation, Resource { kind, name })
                .allowed
        })
    }

    fn topic(&self, operation: Operation, name: &[u8]) -> bool {
        self.may(operation, ResourceType::Topic, name)
    }

    /// Whether all of a topic may be used so, and not just some partitions.
    fn whole_topic(&self, operation: Operation, name: &[u8]) -> bool {
        std::str::from_utf8(name)
            .is_ok_and(|name| self.rules.whole_topic(self.caller, operation, name).allowed)
    }

    fn group(&self, operation: Operation, name: &[u8]) -> bool {
        self.may(operation, ResourceType::Group, name)
    }

    fn transactional_id(&self, operation: Operation, name: &[u8]) -> bool {
        self.may(operation, ResourceType::TransactionalId, name)
    }

    fn cluster(&self, operation: Operation) -> bool {
        self.rules
            .authorize(self.caller, operation, Resource::CLUSTER)
            .allowed
    }

    /// Whether it may differ from partition to partition what is allowed.
    fn tells_apart(&self, topic: &[u8]) -> bool {
        std::str::from_utf8(topic)
            .is_ok_and(|topic| self.rules.tells_partitions_apart(self.caller, topic))
    }

    fn partition(&self, operation: Operation, topic: &[u8], partition: i32) -> bool {
        std::str::from_utf8(topic).is_ok_and(|topic| {
            self.rules
                .partition(self.caller, operation, topic, partition)
                .allowed
        })
    }

    /// Kafka's bit field of what is allowed.
    fn operations(&self, kind: ResourceType, name: &[u8]) -> i32 {
        std::str::from_utf8(name).map_or(0, |name| {
            self.rules.operations(self.caller, Resource { kind, name })
        })
    }

    /// The bit field for the cluster; 0 for who may not describe it.
    fn cluster_operations(&self) -> i32 {
        if self.cluster(Operation::Describe) {
            self.rules.operations(self.caller, Resource::CLUSTER)
        } else {
            0
        }
    }
}

impl fmt::Debug for Access<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("caller", self.caller)
            .finish_non_exhaustive()
    }
}

// === impl Case ===

impl Case<'_> {
    /// A response with every field at its default.
    fn blank(&self) -> Struct {
        Struct::message(self.response)
    }

    fn version(&self) -> i16 {
        self.request.layout().version()
    }
}

// === impl Questions ===

impl Questions {
    /// Asks for names alone.
    pub(crate) fn ids(ids: impl IntoIterator<Item = [u8; 16]>) -> Self {
        Self {
            ids: ids.into_iter().collect(),
            topics: BTreeSet::new(),
        }
    }

    fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.topics.is_empty()
    }

    fn topic(&mut self, name: &str) {
        if !self.topics.contains(name) {
            self.topics.insert(name.into());
        }
    }

    fn id(&mut self, id: [u8; 16]) {
        self.ids.insert(id);
    }
}
