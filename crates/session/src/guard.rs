//! By what a node's session decides: who is calling, the rules, the topics' names.

use std::collections::HashMap;
use std::sync::Arc;

use tubeway_policy::acl::Operation;
use tubeway_policy::rules::{Authorizer, Caller, Resource};

use crate::access::{Access, Exists, NameOf, Names};

/// A topic's id on the wire (KIP-516).
pub type TopicId = [u8; 16];

/// Names that sessions share: what the sidecar has learned from its broker.
pub type SharedNames = Arc<dyn Names + Send + Sync>;

/// What a node's session decides by.
pub struct Guard {
    caller: Caller,
    rules: Arc<Authorizer>,
    names: SharedNames,
    /// What has been asked for the request at hand.
    answers: Answers,
}

/// What the broker knows of topics, for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Ids that are no topic's; what the others are called is among the shared
    /// names by now.
    pub unknown_ids: Vec<TopicId>,
    /// Whether topics of these names exist.
    pub topics: HashMap<Arc<str>, bool>,
}

/// Whether a topic of a request may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permit {
    /// All of its partitions.
    All,
    /// Some: each has to be asked about.
    Some,
    /// None.
    None,
}

// === impl Guard ===

impl Guard {
    /// Decides for `caller` by `rules`.
    pub fn new(caller: Caller, rules: Arc<Authorizer>, names: SharedNames) -> Self {
        Self {
            caller,
            rules,
            names,
            answers: Answers::default(),
        }
    }

    /// Who is calling.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn rules(&self) -> &Arc<Authorizer> {
        &self.rules
    }

    pub(crate) fn set_rules(&mut self, rules: Arc<Authorizer>) {
        self.rules = rules;
    }

    pub(crate) fn answer(&mut self, answers: Answers) {
        self.answers.unknown_ids.extend(answers.unknown_ids);
        self.answers.topics.extend(answers.topics);
    }

    /// The request at hand is decided.
    pub(crate) fn decided(&mut self) {
        self.answers.unknown_ids.clear();
        self.answers.topics.clear();
    }

    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            rules: &self.rules,
            caller: &self.caller,
            names: self,
        }
    }

    /// Equal as long as the same rules concern the caller.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.rules.fingerprint(&self.caller.principal)
    }

    pub(crate) fn allows(&self, operation: Operation, resource: Resource<'_>) -> bool {
        self.rules
            .authorize(&self.caller, operation, resource)
            .allowed
    }

    /// What of a topic may be used for `operation`.
    pub(crate) fn topic(&self, operation: Operation, name: &str) -> Permit {
        let topic = Resource::topic(name);
        if !self.allows(operation, topic) {
            Permit::None
        } else if self.rules.tells_partitions_apart(&self.caller, name) {
            Permit::Some
        } else {
            Permit::All
        }
    }

    pub(crate) fn partition(&self, operation: Operation, topic: &str, partition: i32) -> bool {
        self.rules
            .partition(&self.caller, operation, topic, partition)
            .allowed
    }
}

impl Names for Guard {
    fn name_of(&self, id: &TopicId) -> NameOf {
        match self.names.name_of(id) {
            NameOf::NotAsked if self.answers.unknown_ids.contains(id) => NameOf::NoSuchTopic,
            answer => answer,
        }
    }

    fn exists(&self, topic: &str) -> Exists {
        match self.answers.topics.get(topic) {
            Some(true) => Exists::Yes,
            Some(false) => Exists::No,
            None => self.names.exists(topic),
        }
    }

    fn auto_create(&self) -> bool {
        self.names.auto_create()
    }
}
