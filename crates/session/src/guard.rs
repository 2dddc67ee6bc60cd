//! By what a node's session decides: who is calling, the rules, the topics' names.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;

use tubeway_policy::acl::Operation;
use tubeway_policy::rules::{Authorizer, Caller, Resource};

use crate::access::{Access, Exists, NameOf, Names};

/// A topic's id on the wire (KIP-516).
pub type TopicId = [u8; 16];

/// Names that sessions share: what the sidecar has learned from its broker.
pub type SharedNames = Arc<dyn Names + Send + Sync>;

/// What the sidecar knows of the zones of addresses.
pub type ZoneOf = Arc<dyn Fn(IpAddr) -> Option<Arc<str>> + Send + Sync>;

/// What a node's session decides by.
pub struct Guard {
    caller: Caller,
    /// Says where the caller is now; without it the caller's zone stays.
    zone_of: Option<ZoneOf>,
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
            zone_of: None,
            rules,
            names,
            answers: Answers::default(),
        }
    }

    /// Takes the caller's zone from `zone_of`, now and whenever rules are set.
    #[must_use]
    pub fn with_zones(mut self, zone_of: ZoneOf) -> Self {
        self.caller.zone = zone_of(self.caller.host);
        self.zone_of = Some(zone_of);
        self
    }

    /// Who is calling.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(crate) fn rules(&self) -> &Arc<Authorizer> {
        &self.rules
    }

    /// The rules, or what is known of zones, have changed.
    pub(crate) fn set_rules(&mut self, rules: Arc<Authorizer>) {
        self.rules = rules;
        if let Some(zone_of) = &self.zone_of {
            self.caller.zone = zone_of(self.caller.host);
        }
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

    /// Equal as long as the same rules concern the caller where it is.
    pub(crate) fn fingerprint(&self) -> u64 {
        let rules = self.rules.fingerprint(&self.caller.principal);
        if !self.rules.tells_zones_apart(&self.caller.principal) {
            return rules;
        }
        let mut hasher = DefaultHasher::new();
        (rules, &self.caller.zone).hash(&mut hasher);
        hasher.finish()
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tubeway_policy::acl::{AclBinding, ResourceType};
    use tubeway_policy::rules::{AccessRules, Rule};

    use super::*;

    /// Knows no topic.
    struct Nothing;

    impl Names for Nothing {
        fn name_of(&self, _: &TopicId) -> NameOf {
            NameOf::NotAsked
        }

        fn exists(&self, _: &str) -> Exists {
            Exists::No
        }

        fn auto_create(&self) -> bool {
            false
        }
    }

    /// Rules by which `User:a` may read `t`, in some zone only if one is given.
    fn rules(zone: Option<&str>) -> Arc<Authorizer> {
        let acl = AclBinding::allow("User:a", Operation::Read, ResourceType::Topic, "t");
        let mut rule = Rule::from(acl);
        rule.zones.extend(zone.map(str::to_owned));
        Arc::new(Authorizer::new(AccessRules {
            rules: vec![rule],
            ..AccessRules::default()
        }))
    }

    /// A guard for `User:a`, and where it is.
    fn guard(rules: Arc<Authorizer>) -> (Guard, Arc<Mutex<Option<Arc<str>>>>) {
        let caller = Caller {
            principal: "User:a".into(),
            host: [10, 0, 0, 1].into(),
            zone: None,
        };
        let place: Arc<Mutex<Option<Arc<str>>>> = Arc::default();
        let known = Arc::clone(&place);
        let zone_of: ZoneOf = Arc::new(move |_| known.lock().unwrap().clone());
        let guard = Guard::new(caller, rules, Arc::new(Nothing)).with_zones(zone_of);
        (guard, place)
    }

    #[test]
    fn a_caller_that_turns_out_to_be_elsewhere_is_decided_on_anew() {
        let rules = rules(Some("z1"));
        let (mut guard, place) = guard(Arc::clone(&rules));
        let mut seen = vec![guard.fingerprint()];
        for (zone, may) in [(Some("z1"), true), (Some("z2"), false), (None, false)] {
            *place.lock().unwrap() = zone.map(Arc::from);
            guard.set_rules(Arc::clone(&rules));
            let allowed = guard.allows(Operation::Read, Resource::topic("t"));
            assert_eq!(allowed, may, "{zone:?}");
            seen.push(guard.fingerprint());
        }
        assert_eq!(seen[0], seen[3], "nowhere before and after");
        assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[2] != seen[0]);
    }

    #[test]
    fn without_rules_about_zones_it_does_not_matter_where_one_is() {
        let rules = rules(None);
        let (mut guard, place) = guard(Arc::clone(&rules));
        let before = guard.fingerprint();
        *place.lock().unwrap() = Some("z1".into());
        guard.set_rules(rules);
        assert_eq!(guard.fingerprint(), before);
        assert!(guard.allows(Operation::Read, Resource::topic("t")));
    }
}
