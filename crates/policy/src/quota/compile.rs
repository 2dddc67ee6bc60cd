//! From KafkaQuota objects to the rules of a cluster.
//!
//! Who may limit what:
//! - A KafkaQuota in the namespace of its KafkaCluster may limit everybody.
//! - One in another namespace that the cluster admits may limit that
//!   namespace's own service accounts, and anybody on topics that the namespace
//!   owns ([`claims`]). Where it names no subjects and no topics of its own, it
//!   is about the namespace's service accounts.
//!
//! Quotas of one namespace compete by how specific they are; those of different
//! namespaces do not (they are of different tiers), so that nobody gets out of
//! the cluster's quota by writing a more specific one of its own.

mod scope;

use std::collections::{BTreeMap, BTreeSet};

use self::scope::World;
use super::{Burst, Dimension, Held, Limit, Quota, QuotaRules, Share};
use crate::claim::claims;
use crate::rbac::{Cluster, ObjectRef, Topic};

/// A KafkaQuota object, as far as it counts here.
#[derive(Debug, Clone, PartialEq)]
pub struct KafkaQuota {
    /// Which object.
    pub object: ObjectRef,
    /// The KafkaCluster that it limits the use of.
    pub cluster: ObjectRef,
    /// Whom it limits; none is everybody together.
    pub subjects: Option<Values<Subject>>,
    /// The client ids that it limits; none is all together.
    pub client_ids: Option<Values<String>>,
    /// The topics that it limits, by their names in Kafka; none is all together.
    pub topics: Option<Values<String>>,
    /// The APIs that it limits, by their names; none is all together.
    pub apis: Option<Values<String>>,
    /// What is limited, and to how much a second.
    pub rates: BTreeMap<Dimension, f64>,
    /// What is limited, and to how much at a time.
    pub held: BTreeMap<Held, u32>,
    /// How many seconds' worth of a rate may be used at once.
    pub burst_seconds: Option<f64>,
    /// What becomes of connection attempts that are too many.
    pub attempts: super::Action,
    /// Whether the limits are for all brokers together and not for each.
    pub cluster_wide: bool,
}

/// Values that a quota is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values<T> {
    /// Which; all if empty.
    pub names: Vec<T>,
    /// Whether they share the limit; otherwise each has it to itself.
    pub together: bool,
}

/// Whom a quota limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A service account; without a namespace, of the KafkaQuota's own.
    ServiceAccount {
        /// Its namespace.
        namespace: Option<String>,
        /// Its name.
        name: String,
    },
    /// A workload, by its SPIFFE id.
    SpiffeId(String),
    /// Anyone else that Kafka knows, by the name after `User:`.
    User(String),
}

/// Everything that the rules of one cluster depend on.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// Trust domain of the service accounts' identities.
    pub trust_domain: &'a str,
    /// All KafkaQuotas; those of other clusters are passed over.
    pub quotas: &'a [KafkaQuota],
    /// All KafkaTopics.
    pub topics: &'a [Topic],
    /// Names of the APIs that there are.
    pub apis: &'a BTreeSet<&'a str>,
}

/// The rules, and which quotas are not among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compiled {
    /// As for a sidecar that is the only one: a cluster-wide limit is all its
    /// own until the operator puts its [`Share`] in.
    pub rules: QuotaRules,
    /// By KafkaQuota: why it is not in force, or what part of it has no effect.
    pub findings: Vec<(ObjectRef, Finding)>,
}

/// Why a KafkaQuota is not in force. Where one of these is found, nothing of
/// the object is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The cluster does not let the namespace in.
    #[error(
        "cluster {0} does not admit namespace {1:?}: its allowedNamespaces decides whose quotas count"
    )]
    NotAdmitted(ObjectRef, String),
    /// It would limit others.
    #[error(
        "{0} is not of namespace {1:?}: outside the cluster's namespace a quota limits service accounts of its own namespace, or topics that its namespace owns"
    )]
    NotOwn(String, String),
    /// A service account or SPIFFE id that cannot be one.
    #[error("{0:?} is no identity: {1}")]
    Identity(String, String),
    /// There is no such API.
    #[error("{0:?} is no API of Kafka; write its name as in \"Produce\"")]
    Api(String),
    /// It limits nothing.
    #[error("limits nothing: name at least one limit")]
    NoLimit,
    /// The limits and what they are for do not go together.
    #[error("{0}")]
    Invalid(String),
}

/// Compiles the quotas of one cluster.
///
/// A KafkaQuota becomes one [`Quota`] a limit, named
/// `<namespace>/<name>/<dimension>`. One that is wrong in any way is left out
/// whole, with a finding, and the others are in force. The order of the objects
/// has no part in it: the same quotas are the same rules, and nobody is sent them
/// anew.
pub fn compile(inputs: Inputs<'_>) -> Compiled {
    let world = World::new(inputs);
    let mut compiled = Compiled::default();
    let of_cluster = |quota: &&KafkaQuota| quota.cluster == inputs.cluster.object;
    let mut own: Vec<_> = inputs.quotas.iter().filter(of_cluster).collect();
    own.sort_by(|a, b| a.object.cmp(&b.object));
    for quota in own {
        match quotas(&world, quota) {
            Ok(quotas) => compiled.rules.quotas.extend(quotas),
            Err(finding) => compiled.findings.push((quota.object.clone(), finding)),
        }
    }
    compiled
}

fn quotas(world: &World<'_>, quota: &KafkaQuota) -> Result<Vec<Quota>, Finding> {
    let cluster = world.inputs.cluster;
    let namespace = &quota.object.namespace;
    if !cluster.admits(namespace) {
        let (cluster, namespace) = (cluster.object.clone(), namespace.clone());
        return Err(Finding::NotAdmitted(cluster, namespace));
    }
    let limits = limits(quota);
    if limits.is_empty() {
        return Err(Finding::NoLimit);
    }
    let scope = world.scope(quota)?;
    let share = if quota.cluster_wide {
        Share::ClusterWide {
            parts: super::PARTS,
            scopes: Vec::new(),
        }
    } else {
        Share::PerSidecar
    };
    let made = limits.into_iter().map(|(name, limit)| Quota {
        name: format!("{}/{name}", quota.object).into(),
        source: format!("KafkaQuota {}", quota.object),
        tier: namespace.clone(),
        scope: scope.clone(),
        limit,
        share: share.clone(),
    });
    let rules = QuotaRules {
        quotas: made.collect(),
        ..QuotaRules::default()
    };
    match rules.check() {
        Ok(()) => Ok(rules.quotas),
        Err(problems) => Err(Finding::Invalid(in_words(&rules, &problems.0))),
    }
}

fn limits(quota: &KafkaQuota) -> Vec<(&'static str, Limit)> {
    let burst = quota
        .burst_seconds
        .map_or_else(Burst::default, Burst::Seconds);
    let rates = quota.rates.iter().map(|(of, per_second)| {
        let action = match of {
            Dimension::ConnectionAttempts => quota.attempts,
            _ => super::Action::Throttle,
        };
        let limit = Limit::Rate {
            of: *of,
            per_second: *per_second,
            burst,
            action,
        };
        (of.as_str(), limit)
    });
    let held = quota.held.iter().map(|(of, count)| {
        let limit = Limit::Held {
            of: *of,
            count: *count,
        };
        (of.as_str(), limit)
    });
    rates.chain(held).collect()
}

/// Problems by what the user wrote: the limit in the place of `quotas[…]`.
fn in_words(rules: &QuotaRules, problems: &[super::Problem]) -> String {
    let mut words = Vec::new();
    for (i, quota) in rules.quotas.iter().enumerate() {
        let prefix = format!("quotas[{i}].");
        let limit = quota.name.rsplit('/').next().unwrap_or_default();
        let own = problems.iter().filter_map(|problem| {
            let field = problem.path.strip_prefix(&prefix)?;
            Some(format!("{limit}: {field}: {}", problem.message))
        });
        words.extend(own);
    }
    words.join("; ")
}

/// The topics of a cluster that each namespace owns.
fn owned<'a>(inputs: &Inputs<'a>) -> BTreeSet<(&'a str, &'a str)> {
    let clusters = [inputs.cluster.clone()];
    let claimed: Vec<bool> = claims(inputs.topics, &clusters)
        .into_iter()
        .map(|claim| claim == crate::Claim::Owner)
        .collect();
    let topics = inputs.topics.iter().zip(claimed);
    topics
        .filter(|(topic, owner)| *owner && topic.cluster == inputs.cluster.object)
        .map(|(topic, _)| (topic.object.namespace.as_str(), topic.topic.as_str()))
        .collect()
}

#[cfg(test)]
mod tests;
