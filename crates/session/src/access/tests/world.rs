//! Rules, topics and requests to test with.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tubeway_policy::acl::{AclBinding, Operation, PatternType, Permission, ResourceType};
use tubeway_policy::rules::{AccessRules, Authorizer, Caller, Partitions, Rule};
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use super::super::{Access, Exists, NameOf, Names, Verdict, decide};

pub(super) const PRINCIPAL: &str = "User:app";

/// A caller with rules, and a cluster with topics.
pub(super) struct World {
    rules: AccessRules,
    authorizer: Authorizer,
    caller: Caller,
    pub(super) names: HashMap<[u8; 16], NameOf>,
    pub(super) topics: HashMap<&'static str, Exists>,
    pub(super) auto_create: bool,
}

pub(super) fn id(number: u8) -> [u8; 16] {
    let mut id = [0; 16];
    id[15] = number;
    id
}

pub(super) fn layouts(direction: Direction) -> impl Iterator<Item = Struct> {
    Schemas::get().apis().iter().flat_map(move |api| {
        let versions = api.message(direction).versions();
        (versions.first..=versions.last)
            .map(move |version| message(api.key().0, version, direction))
    })
}

pub(super) fn message(api: i16, version: i16, direction: Direction) -> Struct {
    let layout = Schemas::get().layout(ApiKey(api), version, direction);
    Struct::message(layout.unwrap())
}

pub(super) fn request(api: i16, version: i16) -> Struct {
    message(api, version, Direction::Request)
}

pub(super) fn response(api: i16, version: i16) -> Struct {
    message(api, version, Direction::Response)
}

/// The versions of an API's request.
pub(super) fn versions(api: i16) -> std::ops::RangeInclusive<i16> {
    let api = Schemas::get().api(ApiKey(api)).unwrap();
    let versions = api.message(Direction::Request).versions();
    versions.first..=versions.last
}

/// An element of `of`'s array `field` with these values, which must be fields.
pub(super) fn entry(of: &Struct, field: &str, values: &[(&str, Value)]) -> Struct {
    with(of.child(field).unwrap(), values)
}

pub(super) fn with(mut of: Struct, values: &[(&str, Value)]) -> Struct {
    for (field, value) in values {
        assert!(of.set(field, value.clone()), "no field {field}");
    }
    of
}

pub(super) fn strings(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(*text)).collect())
}

// === impl World ===

impl World {
    pub(super) fn nobody() -> Self {
        Self::of(Vec::new())
    }

    pub(super) fn may(rights: &[(Operation, ResourceType, &str)]) -> Self {
        Self::of(rights.iter().map(|right| rule(*right)).collect())
    }

    pub(super) fn of(rules: Vec<Rule>) -> Self {
        let rules = AccessRules {
            super_users: BTreeSet::new(),
            rules,
        };
        Self {
            authorizer: Authorizer::new(rules.clone()),
            rules,
            caller: Caller {
                principal: PRINCIPAL.into(),
                host: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
                zone: None,
            },
            names: HashMap::new(),
            topics: HashMap::new(),
            auto_create: false,
        }
    }

    pub(super) fn super_user(mut self) -> Self {
        self.rules.super_users.insert(PRINCIPAL.to_owned());
        self.ready()
    }

    /// Takes one more right away.
    pub(super) fn but_not(mut self, right: (Operation, ResourceType, &str)) -> Self {
        let mut rule = rule(right);
        rule.acl.permission = Permission::Deny;
        self.rules.rules.push(rule);
        self.ready()
    }

    /// One more right on some partitions of a topic.
    pub(super) fn on_partitions(mut self, operation: Operation, topic: &str, set: &str) -> Self {
        let mut rule = rule((operation, ResourceType::Topic, topic));
        rule.partitions = Some(set.parse::<Partitions>().unwrap());
        self.rules.rules.push(rule);
        self.ready()
    }

    fn ready(mut self) -> Self {
        self.authorizer = Authorizer::new(self.rules.clone());
        self
    }

    pub(super) fn called(mut self, number: u8, name: &str) -> Self {
        self.names
            .insert(id(number), NameOf::Known(Arc::from(name)));
        self
    }

    pub(super) fn access(&self) -> Access<'_> {
        Access {
            rules: &self.authorizer,
            caller: &self.caller,
            names: self,
        }
    }

    pub(super) fn decide(&self, request: &Struct) -> Verdict {
        decide(&self.access(), request)
    }

    #[track_caller]
    pub(super) fn answer(&self, request: &Struct) -> Struct {
        match self.decide(request) {
            Verdict::Answer(answer) => answer,
            other => panic!("{request:?}: {other:?}"),
        }
    }

    #[track_caller]
    pub(super) fn passes(&self, request: &Struct) {
        let verdict = self.decide(request);
        assert!(matches!(verdict, Verdict::Pass), "{request:?}: {verdict:?}");
    }

    /// What is sent, and what becomes of `response`.
    #[track_caller]
    pub(super) fn amended(
        &self,
        request: &Struct,
        respond: impl Fn(&Struct) -> Struct,
    ) -> [Struct; 2] {
        let (sent, amend) = match self.decide(request) {
            Verdict::Cut(sent, amend) => (sent, amend),
            Verdict::Amend(amend) => (request.clone(), amend),
            other => panic!("{request:?}: {other:?}"),
        };
        let mut response = respond(&sent);
        amend.apply(&self.access(), &mut response);
        [sent, response]
    }
}

impl Names for World {
    fn name_of(&self, id: &[u8; 16]) -> NameOf {
        self.names.get(id).cloned().unwrap_or(NameOf::NotAsked)
    }

    fn exists(&self, topic: &str) -> Exists {
        self.topics.get(topic).copied().unwrap_or(Exists::NotAsked)
    }

    fn auto_create(&self) -> bool {
        self.auto_create
    }
}

/// A right: a name that ends with `*` is a prefix.
pub(super) fn rule((operation, kind, name): (Operation, ResourceType, &str)) -> Rule {
    let mut acl = AclBinding::allow(PRINCIPAL, operation, kind, name);
    if let Some(prefix) = name.strip_suffix('*')
        && !prefix.is_empty()
    {
        prefix.clone_into(&mut acl.name);
        acl.pattern = PatternType::Prefixed;
    }
    acl.into()
}
