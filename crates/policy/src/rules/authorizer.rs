//! Decides by rules.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::iter::once;
use std::net::IpAddr;

use super::host::Host;
use super::index::{Bucket, Entry, Kind, Operations, Principal};
use super::{AccessRules, Caller, EVERY_PRINCIPAL, Resource, Rule};
use crate::acl::{Operation, Permission, ResourceType};

/// The rules of a cluster, ready to be asked.
///
/// A question costs the same however many rules there are, and allocates
/// nothing. What it does grow with: how many prefixes of the asked name have
/// rules of that principal, how many prefix lengths the networks of one pattern
/// have, and how many rules differ in their operation, zones and partitions only.
///
/// A rule that [`AccessRules::check`] refuses allows nothing. One that denies
/// counts as far as it can be read: without its host where that is no host, and
/// whole where it names partitions for what is not done to partitions.
#[derive(Debug, Clone, Default)]
pub struct Authorizer {
    /// Sorted, without doubles.
    rules: Vec<Rule>,
    /// The host of each rule.
    hosts: Vec<Host>,
    principals: HashMap<Box<str>, Principal>,
    /// The rules of `User:*`.
    everybody: Principal,
}

/// What came of a question, and by which rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a> {
    /// Whether it is allowed.
    pub allowed: bool,
    /// The rule that decided; none for a super user, and where no rule matched.
    ///
    /// Of several that decide alike, always the same one, in whatever order
    /// they were given: the principal's own before `User:*`'s; of these the
    /// literal name before `*` before prefixes, short ones first; of these any
    /// host before networks, wide ones first; of these the first by [`Rule`]'s
    /// order.
    pub rule: Option<&'a Rule>,
}

/// How much of a topic is asked about.
#[derive(Debug, Clone, Copy)]
enum Scope {
    /// Any of its partitions.
    Any,
    /// One of them.
    One(i32),
    /// All that it has and may have one day.
    Whole,
}

/// A caller whose rules have been looked up.
struct Known<'a> {
    caller: &'a Caller,
    /// In the form that hosts of rules have.
    host: IpAddr,
    own: Option<&'a Principal>,
    everybody: &'a Principal,
}

// === impl Authorizer ===

impl Authorizer {
    /// Takes the rules.
    pub fn new(rules: AccessRules) -> Self {
        let AccessRules {
            super_users,
            mut rules,
        } = rules;
        rules.retain(|rule| rule.acl.permission == Permission::Deny || rule.is_sound());
        rules.sort_unstable();
        rules.dedup_by(|later, kept| later.says(kept));
        // A host that is none is one of a denial, as the others are gone.
        let hosts = rules
            .iter()
            .map(|rule| rule.acl.host.parse().unwrap_or(Host::Any))
            .collect();
        let mut this = Self {
            rules,
            hosts,
            ..Self::default()
        };
        this.index();
        for principal in super_users {
            let own = this.principals.entry(principal.into_boxed_str());
            own.or_default().super_user = true;
        }
        this.finish();
        this
    }

    /// Whether `caller` may do `operation` on `resource`.
    ///
    /// For a topic with rules about some of its partitions: an allowance of any
    /// of them allows, and a denial of some does not deny.
    /// [`partition`](Self::partition) says which are, and
    /// [`whole_topic`](Self::whole_topic) whether it is all of them.
    pub fn authorize(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
    ) -> Decision<'_> {
        self.decide(caller, operation, resource, Scope::Any)
    }

    /// Whether `caller` may do `operation` on this partition of a topic.
    pub fn partition(
        &self,
        caller: &Caller,
        operation: Operation,
        topic: &str,
        partition: i32,
    ) -> Decision<'_> {
        let resource = Resource::topic(topic);
        self.decide(caller, operation, resource, Scope::One(partition))
    }

    /// Whether `caller` may do `operation` on all of a topic, such as delete it:
    /// allowed by a rule about the whole topic, and denied for no partition.
    pub fn whole_topic(&self, caller: &Caller, operation: Operation, topic: &str) -> Decision<'_> {
        self.decide(caller, operation, Resource::topic(topic), Scope::Whole)
    }

    /// Whether a rule about some partitions of this topic concerns `caller`:
    /// if not, [`authorize`](Self::authorize) answers for all of them.
    pub fn tells_partitions_apart(&self, caller: &Caller, topic: &str) -> bool {
        let known = self.known(caller);
        let some = known.kinds(ResourceType::Topic).any(|k| k.partitioned);
        some && self
            .concerning(&known, Resource::topic(topic))
            .any(|entry| entry.partitioned)
    }

    /// Whether a rule about some zones concerns this principal: if not, where it
    /// is does not matter but for its address.
    pub fn tells_zones_apart(&self, principal: &str) -> bool {
        let own = self.principals.get(principal);
        match own {
            Some(own) if own.super_user => false,
            own => self.everybody.zoned || own.is_some_and(|own| own.zoned),
        }
    }

    /// Whether `caller` may do `operation` on at least one resource of this
    /// kind (Kafka's `authorizeByResourceType`). Implied operations do not
    /// count. An allowance of some partitions does, a denial of some does not.
    ///
    /// Answered from summaries, unless denials with a host or a zone, or of one
    /// of the principal and everybody against the other, might take away every
    /// allowance: then the allowances are gone through, up to the first that
    /// nothing denies.
    pub fn authorize_any(&self, caller: &Caller, operation: Operation, kind: ResourceType) -> bool {
        let known = self.known(caller);
        if known.is_super_user() {
            return true;
        }
        let own = known.own.and_then(|own| own.kind(kind));
        let everybody = self.everybody.kind(kind);
        let any = |set: fn(&Kind) -> Operations| {
            own.is_some_and(|k| set(k).has(operation))
                || everybody.is_some_and(|k| set(k).has(operation))
        };
        if !any(|k| k.allows) || any(|k| k.nowhere) {
            return false;
        }
        if own.is_some_and(|k| k.surely.has(operation)) {
            return true;
        }
        let against_all = own.is_some_and(|k| k.denies.has(operation));
        if !against_all && everybody.is_some_and(|k| k.surely.has(operation)) {
            return true;
        }
        known
            .kinds(kind)
            .flat_map(|k| &k.allowing)
            .any(|allow| self.allows_some(&known, operation, *allow))
    }

    /// Kafka's bit field of the operations that are allowed: bit `1 << code`
    /// for each of `kind`'s (KIP-430).
    pub fn operations(&self, caller: &Caller, resource: Resource<'_>) -> i32 {
        let known = self.known(caller);
        let mut allowed = Operations::NONE;
        let mut denied = Operations::NONE;
        for entry in self.concerning(&known, resource) {
            match entry.permission {
                Permission::Allow => allowed = allowed.and(entry.decides),
                Permission::Deny if entry.partitioned => {}
                Permission::Deny => denied = denied.and(entry.decides),
            }
        }
        let left = allowed.without(denied);
        let may = |operation: &&Operation| known.is_super_user() || left.has(**operation);
        let operations = resource.kind.operations().iter().filter(may);
        operations.fold(0, |bits, operation| bits | 1 << operation.code())
    }

    /// A number that stands for all rules that can concern this principal:
    /// its own, `User:*`'s, and whether it is a super user.
    ///
    /// Where it is the same in two authorizers of one process, both decide
    /// alike for this principal (but for one chance in 2⁶⁴), and what was
    /// decided by the one still holds. Where a rule comes from is no part of it.
    /// Not to be stored: another build may count differently.
    pub fn fingerprint(&self, principal: &str) -> u64 {
        let own = self.principals.get(principal);
        let mut hasher = DefaultHasher::new();
        self.everybody.fingerprint.hash(&mut hasher);
        own.map_or(0, |own| own.fingerprint).hash(&mut hasher);
        own.is_some_and(|own| own.super_user).hash(&mut hasher);
        hasher.finish()
    }

    fn decide(
        &self,
        caller: &Caller,
        operation: Operation,
        resource: Resource<'_>,
        scope: Scope,
    ) -> Decision<'_> {
        let known = self.known(caller);
        if known.is_super_user() {
            return Decision {
                allowed: true,
                rule: None,
            };
        }
        let mut allowing = None;
        let kinds = known.kinds(resource.kind);
        for bucket in kinds.flat_map(|kind| kind.about(resource.name)) {
            let may_matter = bucket.denying || allowing.is_none();
            if !may_matter || !bucket.decides.has(operation) {
                continue;
            }
            for entry in self.counting(&known, once(bucket)) {
                let rule = &self.rules[entry.rule as usize];
                if !entry.decides.has(operation) || !entry.is_about(rule, scope) {
                    continue;
                }
                if entry.permission == Permission::Deny {
                    return Decision {
                        allowed: false,
                        rule: Some(rule),
                    };
                }
                allowing = allowing.or(Some(rule));
            }
        }
        Decision {
            allowed: allowing.is_some(),
            rule: allowing,
        }
    }

    /// Every rule that is about this caller and this resource, as far as its
    /// operation and its partitions are left out.
    fn concerning<'a>(
        &'a self,
        known: &'a Known<'_>,
        resource: Resource<'a>,
    ) -> impl Iterator<Item = &'a Entry> {
        let buckets = known
            .kinds(resource.kind)
            .flat_map(move |kind| kind.about(resource.name));
        self.counting(known, buckets)
    }

    /// Those that count for a caller at this place.
    fn counting<'a>(
        &'a self,
        known: &'a Known<'_>,
        buckets: impl Iterator<Item = &'a Bucket>,
    ) -> impl Iterator<Item = &'a Entry> {
        buckets
            .flat_map(|bucket| bucket.at(known.host))
            .filter(|entry| {
                !entry.zoned || self.rules[entry.rule as usize].counts_in_zone_of(known.caller)
            })
    }

    /// Whether this allowance is about the caller and the operation, and no
    /// denial takes away all of its resources.
    fn allows_some(&self, known: &Known<'_>, operation: Operation, allow: u32) -> bool {
        let rule = &self.rules[allow as usize];
        let is_about = Operations::named_by(rule).has(operation)
            && self.hosts[allow as usize].contains(known.host)
            && rule.counts_in_zone_of(known.caller);
        let covering = known
            .kinds(rule.acl.resource_type)
            .flat_map(|kind| kind.covering(rule))
            .filter(|bucket| bucket.denies.has(operation));
        is_about
            && !self.counting(known, covering).any(|entry| {
                entry.permission == Permission::Deny
                    && !entry.partitioned
                    && entry.names.has(operation)
            })
    }

    fn known<'a>(&'a self, caller: &'a Caller) -> Known<'a> {
        Known {
            caller,
            host: caller.host.to_canonical(),
            own: self.principals.get(&*caller.principal),
            everybody: &self.everybody,
        }
    }

    /// Puts every rule where it is found.
    fn index(&mut self) {
        for (i, (rule, host)) in self.rules.iter().zip(&self.hosts).enumerate() {
            let name = rule.acl.principal.as_str();
            // Far fewer rules than 2^32 fit into memory.
            let i = i as u32;
            if name == EVERY_PRINCIPAL {
                self.everybody.add(*host, i, rule);
            } else if let Some(own) = self.principals.get_mut(name) {
                own.add(*host, i, rule);
            } else {
                let own = self.principals.entry(name.into()).or_default();
                own.add(*host, i, rule);
            }
        }
    }

    /// Works out what depends on all rules of a principal.
    fn finish(&mut self) {
        let mut hashers: HashMap<&str, DefaultHasher> = HashMap::new();
        for rule in &self.rules {
            let hasher = hashers.entry(&rule.acl.principal).or_default();
            rule.statement().hash(hasher);
        }
        for (name, hasher) in hashers {
            let principal = match name {
                EVERY_PRINCIPAL => Some(&mut self.everybody),
                own => self.principals.get_mut(own),
            };
            if let Some(principal) = principal {
                principal.fingerprint = hasher.finish();
            }
        }
        self.everybody.summarize(None, &self.rules, &self.hosts);
        for own in self.principals.values_mut() {
            own.summarize(Some(&self.everybody), &self.rules, &self.hosts);
        }
    }
}

// === impl Known ===

impl<'a> Known<'a> {
    fn is_super_user(&self) -> bool {
        self.own.is_some_and(|own| own.super_user)
    }

    /// The rules about a kind of resource: the principal's own, then everybody's.
    fn kinds(&self, kind: ResourceType) -> impl Iterator<Item = &'a Kind> + use<'a> {
        let principals = self.own.into_iter().chain([self.everybody]);
        principals.filter_map(move |principal| principal.kind(kind))
    }
}

// === impl Entry ===

impl Entry {
    /// Whether the rule decides for this much of a topic.
    fn is_about(&self, rule: &Rule, scope: Scope) -> bool {
        // Most rules need not be looked at for this.
        !self.partitioned
            || match scope {
                Scope::Any => self.permission == Permission::Allow,
                Scope::Whole => self.permission == Permission::Deny,
                Scope::One(partition) => rule
                    .partitions
                    .as_ref()
                    .is_none_or(|set| set.contains(partition)),
            }
    }
}
