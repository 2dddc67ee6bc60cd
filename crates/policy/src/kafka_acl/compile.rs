//! From KafkaAcl objects to rules.

use std::collections::{BTreeMap, BTreeSet};

use super::{AclRule, Compiled, Finding, KafkaAcl, Pattern, Principal, Problem, Target};
use crate::acl::{AclBinding, Operation, PatternType, Permission, ResourceType, WILDCARD};
use crate::claim::{Claim, claims};
use crate::rbac::{Cluster, ObjectRef, Topic};
use crate::rules::{EVERY_PRINCIPAL, Host, OF_PARTITIONS, Partitions, Rule};
use crate::spiffe::SpiffeId;

/// How many rules one KafkaAcl can make, so that no object of a namespace can
/// fill the memory of every sidecar.
pub const MAX_RULES: usize = 10_000;

/// What one object is compiled with.
struct Scope<'a> {
    trust_domain: &'a str,
    acl: &'a KafkaAcl,
    /// Topics of the cluster that the object's namespace owns.
    topics: Option<&'a BTreeSet<&'a str>>,
}

/// One rule of an object on its way.
struct Draft<'a> {
    scope: &'a Scope<'a>,
    index: usize,
    rule: &'a AclRule,
    findings: &'a mut Vec<Finding>,
}

/// A resource as Kafka's ACLs name it.
struct Resource {
    kind: ResourceType,
    name: String,
    pattern: PatternType,
    partitions: Option<Partitions>,
}

/// Compiles all KafkaAcl objects.
///
/// A namespace speaks about its own: an object outside the cluster's namespace
/// makes rules only about topics that KafkaTopic objects of its namespace own
/// there ([`claims`]). What it may not say, and what cannot be read, is a
/// finding, and the rest of the object counts. An allowance never becomes wider
/// by what could not be read; a denial does: without a host or a zone that can
/// be read it counts anywhere, and without readable partitions for all.
pub fn compile(
    trust_domain: &str,
    acls: &[KafkaAcl],
    topics: &[Topic],
    clusters: &[Cluster],
) -> Compiled {
    let mut compiled = Compiled {
        clusters: clusters
            .iter()
            .map(|cluster| (cluster.object.clone(), Vec::new()))
            .collect(),
        ..Compiled::default()
    };
    let admitting: BTreeMap<_, _> = clusters.iter().map(|c| (&c.object, c)).collect();
    let owned = owned(topics, clusters);
    let mut acls: Vec<_> = acls.iter().collect();
    acls.sort_by(|a, b| a.object.cmp(&b.object));
    for acl in acls {
        let namespace = acl.object.namespace.as_str();
        let problem = match admitting.get(&acl.cluster) {
            None => Some(Problem::NoCluster(acl.cluster.clone())),
            Some(cluster) if !cluster.admits(namespace) => {
                Some(Problem::NotAllowed(acl.cluster.clone()))
            }
            Some(_) => None,
        };
        if let Some(problem) = problem {
            compiled.objects.insert(acl.object.clone(), 0);
            compiled.findings.push(Finding {
                object: acl.object.clone(),
                path: "spec.cluster".to_owned(),
                effect: None,
                problem,
            });
            continue;
        }
        let scope = Scope {
            trust_domain,
            acl,
            topics: owned.get(&(&acl.cluster, namespace)),
        };
        let rules = scope.compile(&mut compiled.findings);
        compiled.objects.insert(acl.object.clone(), rules.len());
        let all = compiled.clusters.entry(acl.cluster.clone()).or_default();
        all.extend(rules);
    }
    compiled
}

/// The topics by cluster and the namespace whose KafkaTopic objects own them.
fn owned<'a>(
    topics: &'a [Topic],
    clusters: &[Cluster],
) -> BTreeMap<(&'a ObjectRef, &'a str), BTreeSet<&'a str>> {
    let mut owned: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for (topic, claim) in topics.iter().zip(claims(topics, clusters)) {
        if claim == Claim::Owner {
            owned
                .entry((&topic.cluster, topic.object.namespace.as_str()))
                .or_default()
                .insert(&topic.topic);
        }
    }
    owned
}

// === impl Resource ===

impl Resource {
    /// The partitions, where the operation is done to partitions.
    fn partitions_for(&self, operation: Operation) -> Option<&Partitions> {
        self.partitions
            .as_ref()
            .filter(|_| OF_PARTITIONS.contains(&operation))
    }
}

// === impl Scope ===

impl Scope<'_> {
    /// The object's rules. Denials come first, so that they are the last that
    /// [`MAX_RULES`] leaves out.
    fn compile(&self, findings: &mut Vec<Finding>) -> Vec<Rule> {
        let mut rules = Vec::new();
        let mut total = 0;
        for effect in [Permission::Deny, Permission::Allow] {
            for (index, rule) in self.acl.rules.iter().enumerate() {
                if rule.effect != effect {
                    continue;
                }
                let mut draft = Draft {
                    scope: self,
                    index,
                    rule,
                    findings,
                };
                draft.compile(&mut total, &mut rules);
            }
        }
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// Whether the object is in the cluster's own namespace.
    fn owns_cluster(&self) -> bool {
        self.acl.object.namespace == self.acl.cluster.namespace
    }
}

// === impl Draft ===

impl Draft<'_> {
    fn compile(&mut self, total: &mut usize, rules: &mut Vec<Rule>) {
        let principals = self.principals();
        let resource = self.resource();
        let hosts = self.hosts();
        let zones = self.zones();
        let Some(resource) = resource else {
            return;
        };
        let operations = self.operations(&resource);
        let number = principals.len() * operations.len() * hosts.len();
        if *total + number > super::MAX_RULES {
            self.find("", Problem::TooMany(*total + number));
            return;
        }
        let Some(zones) = zones else {
            return;
        };
        *total += number;
        for principal in &principals {
            for operation in &operations {
                for host in &hosts {
                    let acl = AclBinding {
                        resource_type: resource.kind,
                        name: resource.name.clone(),
                        pattern: resource.pattern,
                        principal: principal.clone(),
                        host: host.clone(),
                        operation: *operation,
                        permission: self.rule.effect,
                    };
                    rules.push(Rule {
                        acl,
                        zones: zones.clone(),
                        partitions: resource.partitions_for(*operation).cloned(),
                        source: format!("KafkaAcl {} rules[{}]", self.scope.acl.object, self.index),
                    });
                }
            }
        }
    }

    fn is_denial(&self) -> bool {
        self.rule.effect == Permission::Deny
    }

    /// Takes down a problem of a field of the rule, or of the whole rule.
    fn find(&mut self, field: &str, problem: Problem) {
        let dot = if field.is_empty() { "" } else { "." };
        self.findings.push(Finding {
            object: self.scope.acl.object.clone(),
            path: format!("spec.rules[{}]{dot}{field}", self.index),
            effect: Some(self.rule.effect),
            problem,
        });
    }

    fn principals(&mut self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if self.rule.principals.is_empty() {
            self.find("principals", Problem::Empty);
        }
        for (i, principal) in self.rule.principals.iter().enumerate() {
            match self.scope.principal(principal) {
                Ok(name) => drop(found.insert(name)),
                Err(problem) => self.find(&format!("principals[{i}]"), problem),
            }
        }
        found
    }

    /// What the rule is about, if it may be about that.
    fn resource(&mut self) -> Option<Resource> {
        let target = &self.rule.resource;
        let (name, pattern) = match name_of(target) {
            Ok(found) => found,
            Err((field, problem)) => {
                self.find(field, problem);
                return None;
            }
        };
        if let Err((field, problem)) = self.scope.may_speak_about(target, &name, pattern) {
            self.find(field, problem);
            return None;
        }
        let partitions = match target.partitions.as_deref() {
            None => None,
            Some(_) if target.kind != ResourceType::Topic => {
                let problem = Problem::PartitionsOf(target.kind);
                self.find("resource.partitions", problem);
                if !self.is_denial() {
                    return None;
                }
                None
            }
            Some(text) => match text.parse() {
                Ok(set) => Some(set),
                Err(error) => {
                    self.find("resource.partitions", Problem::Partitions(error));
                    if !self.is_denial() {
                        return None;
                    }
                    None
                }
            },
        };
        Some(Resource {
            kind: target.kind,
            name,
            pattern,
            partitions,
        })
    }

    fn operations(&mut self, resource: &Resource) -> BTreeSet<Operation> {
        let mut found = BTreeSet::new();
        if self.rule.operations.is_empty() {
            self.find("operations", Problem::Empty);
        }
        for (i, operation) in self.rule.operations.iter().enumerate() {
            let known =
                *operation == Operation::All || resource.kind.operations().contains(operation);
            let field = format!("operations[{i}]");
            if !known {
                self.find(&field, Problem::Operation(*operation, resource.kind));
                continue;
            }
            if resource.partitions_for(*operation).is_none() && resource.partitions.is_some() {
                self.find(&field, Problem::PartitionsFor(*operation));
                if !self.is_denial() {
                    continue;
                }
            }
            found.insert(*operation);
        }
        found
    }

    /// The hosts, `*` for any; none if the rule cannot count anywhere.
    fn hosts(&mut self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut unreadable = false;
        for (i, text) in self.rule.hosts.iter().enumerate() {
            match text.parse::<Host>() {
                Ok(host) => drop(found.insert(host.to_string())),
                Err(error) => {
                    unreadable = true;
                    self.find(&format!("hosts[{i}]"), error.into());
                }
            }
        }
        let anywhere = WILDCARD.to_owned();
        if self.rule.hosts.is_empty() || unreadable && self.is_denial() || found.contains(&anywhere)
        {
            return [anywhere].into();
        }
        found
    }

    /// The zones, empty for anywhere; none if the rule cannot count anywhere.
    fn zones(&mut self) -> Option<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let mut unreadable = false;
        for (i, zone) in self.rule.zones.iter().enumerate() {
            if zone.is_empty() {
                unreadable = true;
                self.find(&format!("zones[{i}]"), Problem::NoZone);
            } else {
                found.insert(zone.clone());
            }
        }
        match self.rule.effect {
            Permission::Deny if unreadable => return Some(BTreeSet::new()),
            Permission::Allow if unreadable && found.is_empty() => return None,
            _ => {}
        }
        Some(found)
    }
}

// === impl Scope: who and what ===

impl Scope<'_> {
    fn principal(&self, principal: &Principal) -> Result<String, Problem> {
        match principal {
            Principal {
                service_account: Some((namespace, name)),
                spiffe_id: None,
                user: None,
                any: None,
            } => {
                let own = &self.acl.object.namespace;
                let namespace = namespace.as_ref().unwrap_or(own);
                SpiffeId::of_service_account(self.trust_domain, namespace, name)
                    .map(|id| id.principal())
                    .map_err(|_| Problem::ServiceAccount(ObjectRef::new(namespace, name)))
            }
            Principal {
                service_account: None,
                spiffe_id: Some(id),
                user: None,
                any: None,
            } => id
                .parse()
                .map(|id: SpiffeId| id.principal())
                .map_err(|error| Problem::SpiffeId(id.clone(), error)),
            Principal {
                service_account: None,
                spiffe_id: None,
                user: Some(user),
                any: None,
            } => match user.strip_prefix("User:") {
                Some("" | WILDCARD) | None => Err(Problem::User(user.clone())),
                Some(_) => Ok(user.clone()),
            },
            Principal {
                service_account: None,
                spiffe_id: None,
                user: None,
                any: Some(true),
            } => Ok(EVERY_PRINCIPAL.to_owned()),
            _ => Err(Problem::PrincipalForm),
        }
    }

    /// The one place where it is decided whose word counts for what.
    fn may_speak_about(
        &self,
        target: &Target,
        name: &str,
        pattern: PatternType,
    ) -> Result<(), (&'static str, Problem)> {
        if self.owns_cluster() {
            return Ok(());
        }
        let owner = self.acl.cluster.namespace.clone();
        if target.kind != ResourceType::Topic {
            return Err(("resource.type", Problem::NotYours(owner)));
        }
        if pattern != PatternType::Literal || target.pattern != Pattern::Literal {
            return Err(("resource.pattern", Problem::NotYours(owner)));
        }
        if self.topics.is_some_and(|topics| topics.contains(name)) {
            return Ok(());
        }
        let topic = name.to_owned();
        Err(("resource.name", Problem::NotYourTopic { topic, owner }))
    }
}

/// The name and the pattern as Kafka has them.
fn name_of(target: &Target) -> Result<(String, PatternType), (&'static str, Problem)> {
    const NAME: &str = "resource.name";
    let every = target.kind.every();
    let name = target.name.as_deref();
    if target.kind == ResourceType::Cluster {
        return match (target.pattern, name) {
            (Pattern::Prefixed, _) => Err(("resource.pattern", Problem::ClusterPattern)),
            (_, Some(name)) if name != every => Err((NAME, Problem::Name(name.to_owned()))),
            _ => Ok((every.to_owned(), PatternType::Literal)),
        };
    }
    match (target.pattern, name) {
        (Pattern::Any, None) => Ok((every.to_owned(), PatternType::Literal)),
        (Pattern::Any, Some(name)) => Err((NAME, Problem::Name(name.to_owned()))),
        (_, None | Some("")) => Err((NAME, Problem::NoName)),
        (Pattern::Literal, Some(WILDCARD)) => Err((NAME, Problem::Name(WILDCARD.to_owned()))),
        (Pattern::Literal, Some(name)) => Ok((name.to_owned(), PatternType::Literal)),
        (Pattern::Prefixed, Some(name)) => Ok((name.to_owned(), PatternType::Prefixed)),
    }
}

#[cfg(test)]
mod tests;
