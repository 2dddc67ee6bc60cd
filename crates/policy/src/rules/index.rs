//! Where the rules about one thing are found without looking at the others.
//!
//! principal → kind of resource → `*`, the literal name, each prefix of it →
//! any host, each network around the caller's address → the few rules that
//! differ in operation, zones and partitions only.

use std::collections::HashMap;
use std::iter::once;
use std::net::IpAddr;

use super::check::OF_PARTITIONS;
use super::host::{Host, Network};
use super::prefixes::Prefixes;
use super::{Caller, Rule};
use crate::acl::{Operation, PatternType, Permission, ResourceType, WILDCARD};

/// A set of operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Operations(u16);

/// One rule, as far as most decisions need it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where the rule is in the authorizer's list.
    pub(super) rule: u32,
    /// Operations that it decides on, implied ones among them.
    pub(super) decides: Operations,
    /// Operations that it names itself.
    pub(super) names: Operations,
    pub(super) permission: Permission,
    /// Whether it is about some zones only.
    pub(super) zoned: bool,
    /// Whether it is about some partitions only.
    pub(super) partitioned: bool,
}

/// The rules of one pattern.
#[derive(Debug, Clone, Default)]
pub(super) struct Bucket {
    /// The first rule for any host is here, as most patterns have no other.
    first: Option<Entry>,
    everywhere: Vec<Entry>,
    places: Option<Box<Places>>,
    /// What its rules decide on at all.
    pub(super) decides: Operations,
    /// Whether one of them denies something.
    pub(super) denying: bool,
    /// What rules of any condition but partitions deny.
    pub(super) denies: Operations,
}

/// Rules for callers of some networks.
// The maps' random keys decide where an entry lies, and never an answer.
#[derive(Debug, Clone, Default)]
struct Places {
    /// Prefix lengths that occur, ascending.
    v4: Vec<u8>,
    v6: Vec<u8>,
    networks: HashMap<Network, Vec<Entry>>,
}

/// A principal's rules about one kind of resource.
#[derive(Debug, Clone, Default)]
pub(super) struct Kind {
    every: Bucket,
    literals: HashMap<Box<str>, Bucket>,
    prefixes: Prefixes<Bucket>,
    /// The rules that allow.
    pub(super) allowing: Vec<u32>,
    /// What they allow, under whatever condition.
    pub(super) allows: Operations,
    /// What rules of any condition but partitions deny somewhere.
    pub(super) denies: Operations,
    /// What is denied unconditionally on every resource.
    pub(super) nowhere: Operations,
    /// What is allowed on some resource, whatever the caller's host and zone
    /// and whichever denials of this principal and of everybody count.
    pub(super) surely: Operations,
    /// Whether a rule is about some partitions only.
    pub(super) partitioned: bool,
}

/// A principal's rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Principal {
    kinds: [Option<Box<Kind>>; ResourceType::ALL.len()],
    pub(super) super_user: bool,
    /// Whether a rule is about some zones only.
    pub(super) zoned: bool,
    pub(super) fingerprint: u64,
}

// === impl Operations ===

impl Operations {
    pub(super) const NONE: Self = Self(0);

    pub(super) const fn has(self, operation: Operation) -> bool {
        self.0 & 1 << operation.code() != 0
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What a rule names: its operation, or for ALL every one that there is for
    /// what the rule is about.
    pub(super) fn named_by(rule: &Rule) -> Self {
        match rule.acl.operation {
            Operation::All if rule.tells_partitions_apart() => Self::of(&OF_PARTITIONS),
            Operation::All => Self::of(&Operation::ALL),
            one => Self::of(&[one]),
        }
    }

    /// What an allowance of an operation allows besides.
    fn implied(operation: Operation) -> Self {
        use Operation::{Alter, AlterConfigs, Delete, Describe, DescribeConfigs, Read, Write};
        match operation {
            Read | Write | Delete | Alter => Self::of(&[Describe]),
            AlterConfigs => Self::of(&[DescribeConfigs]),
            _ => Self::NONE,
        }
    }

    fn of(operations: &[Operation]) -> Self {
        let bits = operations.iter().fold(0, |set, o| set | 1 << o.code());
        Self(bits)
    }
}

// === impl Entry ===

impl Entry {
    fn new(index: u32, rule: &Rule) -> Self {
        let names = Operations::named_by(rule);
        let decides = match rule.acl.permission {
            Permission::Allow => names.and(Operations::implied(rule.acl.operation)),
            Permission::Deny => names,
        };
        Self {
            rule: index,
            decides,
            names,
            permission: rule.acl.permission,
            zoned: !rule.zones.is_empty(),
            partitioned: rule.tells_partitions_apart(),
        }
    }
}

// === impl Bucket ===

impl Bucket {
    /// The rules for callers at an address: those for any first, then from the
    /// widest network to the narrowest.
    pub(super) fn at(&self, host: IpAddr) -> impl Iterator<Item = &Entry> {
        let places = self.places.iter().flat_map(move |places| places.at(host));
        self.first.iter().chain(&self.everywhere).chain(places)
    }

    fn add(&mut self, host: Host, entry: Entry) {
        self.decides = self.decides.and(entry.decides);
        self.denying |= entry.permission == Permission::Deny;
        if entry.permission == Permission::Deny && !entry.partitioned {
            self.denies = self.denies.and(entry.names);
        }
        match host {
            Host::Any if self.first.is_none() => self.first = Some(entry),
            Host::Any => self.everywhere.push(entry),
            Host::In(network) => self.places.get_or_insert_default().add(network, entry),
        }
    }
}

// === impl Places ===

impl Places {
    fn at(&self, host: IpAddr) -> impl Iterator<Item = &Entry> {
        let lengths = if host.is_ipv4() { &self.v4 } else { &self.v6 };
        let networks = lengths.iter().filter_map(move |bits| {
            let network = Network::around(host, *bits)?;
            self.networks.get(&network)
        });
        networks.flatten()
    }

    fn add(&mut self, network: Network, entry: Entry) {
        let lengths = if network.is_ipv6() {
            &mut self.v6
        } else {
            &mut self.v4
        };
        if let Err(place) = lengths.binary_search(&network.bits()) {
            lengths.insert(place, network.bits());
        }
        self.networks.entry(network).or_default().push(entry);
    }
}

// === impl Kind ===

impl Kind {
    /// The rules whose pattern a name matches: the name itself, then `*`, then
    /// its prefixes from the shortest.
    pub(super) fn about<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bucket> {
        let literal = self.literals.get(name).into_iter();
        literal
            .chain(once(&self.every))
            .chain(self.prefixes.of(name))
    }

    /// The rules whose pattern has every resource that `rule` is about.
    pub(super) fn covering<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a Bucket> {
        let name = rule.acl.name.as_str();
        let (literal, prefixes) = match rule.acl.pattern {
            PatternType::Literal if name == WILDCARD => (None, None),
            PatternType::Literal => (Some(name), Some(name)),
            PatternType::Prefixed => (None, Some(name)),
        };
        let literal = literal.and_then(|name| self.literals.get(name)).into_iter();
        let prefixes = prefixes.into_iter().flat_map(|name| self.prefixes.of(name));
        literal.chain(once(&self.every)).chain(prefixes)
    }

    fn add(&mut self, host: Host, rule: &Rule, entry: Entry) {
        self.partitioned |= entry.partitioned;
        let everything = rule.acl.pattern == PatternType::Literal && rule.acl.name == WILDCARD;
        match rule.acl.permission {
            Permission::Allow => {
                self.allows = self.allows.and(entry.names);
                self.allowing.push(entry.rule);
            }
            Permission::Deny if entry.partitioned => {}
            Permission::Deny => {
                self.denies = self.denies.and(entry.names);
                if everything && host == Host::Any && !entry.zoned {
                    self.nowhere = self.nowhere.and(entry.names);
                }
            }
        }
        let bucket = match rule.acl.pattern {
            _ if everything => &mut self.every,
            PatternType::Prefixed => self.prefixes.entry(&rule.acl.name),
            PatternType::Literal => {
                let name = rule.acl.name.as_str();
                if !self.literals.contains_key(name) {
                    self.literals.insert(name.into(), Bucket::default());
                }
                let Some(bucket) = self.literals.get_mut(name) else {
                    unreachable!("just inserted")
                };
                bucket
            }
        };
        bucket.add(host, entry);
    }

    /// Finds [`surely`](Self::surely), when all rules are there.
    fn summarize(&mut self, everybody: Option<&Self>, rules: &[Rule], hosts: &[Host]) {
        self.prefixes.grow();
        let mut surely = Operations::NONE;
        for index in &self.allowing {
            let (rule, host) = (&rules[*index as usize], hosts[*index as usize]);
            if host != Host::Any || !rule.zones.is_empty() {
                continue;
            }
            let denied = once(&*self)
                .chain(everybody)
                .flat_map(|kind| kind.covering(rule))
                .fold(Operations::NONE, |set, bucket| set.and(bucket.denies));
            surely = surely.and(Operations::named_by(rule).without(denied));
        }
        self.surely = surely;
    }
}

// === impl Principal ===

impl Principal {
    /// The rules about this kind of resource, if there are any.
    pub(super) fn kind(&self, kind: ResourceType) -> Option<&Kind> {
        self.kinds[place(kind)].as_deref()
    }

    /// Adds a rule; they must come in the order of [`Rule`].
    pub(super) fn add(&mut self, host: Host, index: u32, rule: &Rule) {
        self.zoned |= !rule.zones.is_empty();
        let kind = self.kinds[place(rule.acl.resource_type)].get_or_insert_default();
        kind.add(host, rule, Entry::new(index, rule));
    }

    /// To be called when all rules are there, and those of everybody are too.
    pub(super) fn summarize(&mut self, everybody: Option<&Self>, rules: &[Rule], hosts: &[Host]) {
        for kind in ResourceType::ALL {
            let everybody = everybody.and_then(|p| p.kind(kind));
            if let Some(own) = &mut self.kinds[place(kind)] {
                own.summarize(everybody, rules, hosts);
            }
        }
    }
}

fn place(kind: ResourceType) -> usize {
    match kind {
        ResourceType::Topic => 0,
        ResourceType::Group => 1,
        ResourceType::Cluster => 2,
        ResourceType::TransactionalId => 3,
        ResourceType::DelegationToken => 4,
        ResourceType::User => 5,
    }
}

// === impl Rule ===

impl Rule {
    /// Whether the rule counts where the caller is, as far as zones go.
    pub(super) fn counts_in_zone_of(&self, caller: &Caller) -> bool {
        self.zones.is_empty()
            || match caller.zone.as_deref() {
                Some(zone) => self.zones.contains(zone),
                // Not to be known must not be a way around a denial.
                None => self.acl.permission == Permission::Deny,
            }
    }
}
