//! From Roles and bindings to Kafka's ACLs.
//!
//! | resource | verb | ACL |
//! |---|---|---|
//! | `kafkatopics` | `produce` | WRITE |
//! | | `consume` | READ |
//! | | `describe` | DESCRIBE |
//! | | `alterconfigs` | ALTER_CONFIGS |
//! | | `deleterecords` | DELETE (which Kafka also asks for to delete the topic) |
//! | `kafkagroups` | `join`, `describe`, `delete` | READ, DESCRIBE, DELETE |
//! | `kafkatransactionalids` | `use`, `describe` | WRITE, DESCRIBE |
//! | `kafkaclusters` | `describe` | DESCRIBE, DESCRIBE_CONFIGS on the cluster |
//! | | `alter` | ALTER, ALTER_CONFIGS on the cluster |
//! | | `administer` | ALL on every resource of every type |
//!
//! WRITE and READ imply DESCRIBE, and an idempotent producer needs no
//! IDEMPOTENT_WRITE: since Kafka 2.8 InitProducerId passes with WRITE on any topic.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::roles::Roles;
use super::subjects::Accounts;
use super::{Cluster, Compiled, Finding, Inputs, ObjectRef, Rule, RuleSet, Source, Topic};
use crate::acl::{AclBinding, CLUSTER_RESOURCE, Operation, ResourceType, WILDCARD};
use crate::claim::{Claim, claims};
use crate::spiffe::SpiffeId;

const TOPICS: &str = "kafkatopics";
const CLUSTERS: &str = "kafkaclusters";

const TOPIC_VERBS: [(&str, Operation); 5] = [
    ("produce", Operation::Write),
    ("consume", Operation::Read),
    ("describe", Operation::Describe),
    ("alterconfigs", Operation::AlterConfigs),
    ("deleterecords", Operation::Delete),
];

/// Verbs of one resource, and the operation that each is.
type Verbs = &'static [(&'static str, Operation)];

/// Resources that are names in Kafka and no objects in Kubernetes.
const NAMED: [(&str, ResourceType, Verbs); 2] = [
    (
        "kafkagroups",
        ResourceType::Group,
        &[
            ("join", Operation::Read),
            ("describe", Operation::Describe),
            ("delete", Operation::Delete),
        ],
    ),
    (
        "kafkatransactionalids",
        ResourceType::TransactionalId,
        &[("use", Operation::Write), ("describe", Operation::Describe)],
    ),
];

const CLUSTER_VERBS: [(&str, &[Operation]); 2] = [
    (
        "describe",
        &[Operation::Describe, Operation::DescribeConfigs],
    ),
    ("alter", &[Operation::Alter, Operation::AlterConfigs]),
];

const ADMINISTER: &str = "administer";

/// A binding with its role looked up and its subjects' principals.
struct Resolved<'a> {
    source: Arc<Source>,
    /// None reaches every namespace.
    namespace: Option<&'a str>,
    rules: Vec<&'a Rule>,
    principals: Vec<String>,
}

/// The objects that rules are about, by where they are.
struct World<'a> {
    clusters: &'a [Cluster],
    /// Namespace → object name → the topic, of those that own their topic.
    topics: BTreeMap<&'a str, BTreeMap<&'a str, &'a Topic>>,
}

/// Compiles RBAC into the ACLs of every cluster.
///
/// Agrees with the API server's own answer: a principal may do a verb's
/// operations on a topic exactly if its service account can do the verb on the
/// KafkaTopic object that speaks for it ([`claims`]), and on a group or
/// transactional id if it can do so in any namespace that the cluster admits.
/// Who can `administer` a cluster gets that and nothing besides, as it is all.
///
/// Takes time in proportion to what goes in and what comes out.
pub fn compile(inputs: &Inputs) -> Compiled {
    let mut compiled = Compiled {
        clusters: inputs
            .clusters
            .iter()
            .map(|c| (c.object.clone(), RuleSet::default()))
            .collect(),
        findings: Vec::new(),
    };
    let bindings = resolve(inputs, &mut compiled.findings);
    let world = World::new(inputs);
    let mut administrators: BTreeMap<&ObjectRef, BTreeSet<&str>> = BTreeMap::new();
    for binding in &bindings {
        binding.each_cluster(&world, |rule, cluster| {
            if rule.gives(ADMINISTER) {
                let set = administrators.entry(&cluster.object).or_default();
                set.extend(binding.principals.iter().map(String::as_str));
                binding.grant_all(ruleset(&mut compiled, &cluster.object));
            }
        });
    }
    for binding in &bindings {
        let mut grant = |cluster: &ObjectRef, operation, kind, name: &str| {
            let all_powerful = administrators.get(cluster);
            let set = ruleset(&mut compiled, cluster);
            for principal in &binding.principals {
                if all_powerful.is_none_or(|a| !a.contains(principal.as_str())) {
                    let acl = AclBinding::allow(principal, operation, kind, name);
                    set.add(acl, &binding.source);
                }
            }
        };
        binding.grant_clusters(&world, &mut grant);
        binding.grant_topics(&world, &mut grant);
        binding.grant_named(&world, &mut grant);
    }
    compiled.findings.sort();
    compiled.findings.dedup();
    compiled
}

fn ruleset<'c>(compiled: &'c mut Compiled, cluster: &ObjectRef) -> &'c mut RuleSet {
    compiled.clusters.entry(cluster.clone()).or_default()
}

/// Leaves the bindings that concern Kafka, with what they need to be granted.
fn resolve<'a>(inputs: &'a Inputs, findings: &mut Vec<Finding>) -> Vec<Resolved<'a>> {
    let index = Roles::new(inputs);
    let accounts = Accounts::new(&inputs.service_accounts);
    let mut found = Vec::new();
    for binding in &inputs.bindings {
        let source = Arc::new(Source {
            namespace: binding.namespace.clone(),
            binding: binding.name.clone(),
            role: binding.role.clone(),
        });
        let Some(rules) = index.of(binding) else {
            findings.push(Finding::NoRole(source.as_ref().clone()));
            continue;
        };
        // Most roles of a Kubernetes cluster have nothing to do with Kafka, and
        // their subjects are nobody's surprise.
        let rules: Vec<_> = rules.into_iter().filter(|rule| concerns_us(rule)).collect();
        if rules.is_empty() {
            continue;
        }
        let mut principals = Vec::new();
        for account in accounts.of(binding, &source, findings) {
            let ObjectRef { namespace, name } = &account;
            match SpiffeId::of_service_account(&inputs.trust_domain, namespace, name) {
                Ok(id) => principals.push(id.principal()),
                Err(_) => findings.push(Finding::Identity(
                    source.as_ref().clone(),
                    account.to_string(),
                )),
            }
        }
        found.push(Resolved {
            source,
            namespace: binding.namespace.as_deref(),
            rules,
            principals,
        });
    }
    found
}

/// Whether a rule gives any verb of the tables above.
fn concerns_us(rule: &Rule) -> bool {
    let topics = || TOPIC_VERBS.iter().any(|(verb, _)| rule.gives(verb));
    let clusters =
        || rule.gives(ADMINISTER) || CLUSTER_VERBS.iter().any(|(verb, _)| rule.gives(verb));
    let named = |(resource, _, verbs): &(&str, _, Verbs)| {
        rule.covers_resource(resource) && verbs.iter().any(|(verb, _)| rule.gives(verb))
    };
    rule.covers_resource(TOPICS) && topics()
        || rule.covers_resource(CLUSTERS) && clusters()
        || NAMED.iter().any(named)
}

// === impl Resolved ===

impl<'a> Resolved<'a> {
    /// The clusters that a rule about `kafkaclusters` means.
    fn each_cluster(&self, world: &World<'a>, mut found: impl FnMut(&'a Rule, &'a Cluster)) {
        for rule in self.rules.iter().filter(|r| r.covers_resource(CLUSTERS)) {
            for cluster in world.clusters {
                let ObjectRef { namespace, name } = &cluster.object;
                if self.namespace.is_none_or(|own| own == namespace)
                    && (rule.resource_names.is_empty() || rule.resource_names.contains(name))
                {
                    found(rule, cluster);
                }
            }
        }
    }

    fn grant_all(&self, set: &mut RuleSet) {
        for principal in &self.principals {
            for kind in ResourceType::ALL {
                let acl = AclBinding::allow(principal, Operation::All, kind, kind.every());
                set.add(acl, &self.source);
            }
        }
    }

    fn grant_clusters(
        &self,
        world: &World<'a>,
        grant: &mut impl FnMut(&ObjectRef, Operation, ResourceType, &str),
    ) {
        self.each_cluster(world, |rule, cluster| {
            for (_, operations) in CLUSTER_VERBS.iter().filter(|(v, _)| rule.gives(v)) {
                for operation in *operations {
                    grant(
                        &cluster.object,
                        *operation,
                        ResourceType::Cluster,
                        CLUSTER_RESOURCE,
                    );
                }
            }
        });
    }

    fn grant_topics(
        &self,
        world: &World<'a>,
        grant: &mut impl FnMut(&ObjectRef, Operation, ResourceType, &str),
    ) {
        for rule in self.rules.iter().filter(|r| r.covers_resource(TOPICS)) {
            for topic in world.topics(self.namespace, rule) {
                for (_, operation) in TOPIC_VERBS.iter().filter(|(v, _)| rule.gives(v)) {
                    grant(
                        &topic.cluster,
                        *operation,
                        ResourceType::Topic,
                        &topic.topic,
                    );
                }
            }
        }
    }

    fn grant_named(
        &self,
        world: &World<'a>,
        grant: &mut impl FnMut(&ObjectRef, Operation, ResourceType, &str),
    ) {
        let every = [WILDCARD.to_owned()];
        for (resource, kind, verbs) in NAMED {
            for rule in self.rules.iter().filter(|r| r.covers_resource(resource)) {
                let names = match rule.resource_names.as_slice() {
                    [] => &every,
                    names => names,
                };
                let clusters = world
                    .clusters
                    .iter()
                    .filter(|c| self.namespace.is_none_or(|own| c.admits(own)));
                for cluster in clusters {
                    for (_, operation) in verbs.iter().filter(|(v, _)| rule.gives(v)) {
                        // In `resourceNames` an asterisk is a letter like any other,
                        // but Kafka has no way to say so: such a name gives nothing.
                        let literal = |n: &&String| {
                            rule.resource_names.is_empty()
                                || (n.as_str() != WILDCARD && !n.is_empty())
                        };
                        for name in names.iter().filter(literal) {
                            grant(&cluster.object, *operation, kind, name);
                        }
                    }
                }
            }
        }
    }
}

// === impl World ===

impl<'a> World<'a> {
    fn new(inputs: &'a Inputs) -> Self {
        let mut topics: BTreeMap<&str, BTreeMap<&str, &Topic>> = BTreeMap::new();
        let claims = claims(&inputs.topics, &inputs.clusters);
        for (topic, claim) in inputs.topics.iter().zip(claims) {
            if claim == Claim::Owner {
                topics
                    .entry(&topic.object.namespace)
                    .or_default()
                    .insert(&topic.object.name, topic);
            }
        }
        Self {
            clusters: &inputs.clusters,
            topics,
        }
    }

    /// The topics that a rule means, in one namespace or in all.
    fn topics(&self, namespace: Option<&str>, rule: &Rule) -> Vec<&'a Topic> {
        let in_one = |topics: &BTreeMap<&str, &'a Topic>| -> Vec<&'a Topic> {
            if rule.resource_names.is_empty() {
                topics.values().copied().collect()
            } else {
                let names = rule.resource_names.iter();
                names
                    .filter_map(|name| topics.get(name.as_str()).copied())
                    .collect()
            }
        };
        match namespace {
            Some(namespace) => self.topics.get(namespace).map(in_one).unwrap_or_default(),
            None => self.topics.values().flat_map(in_one).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
