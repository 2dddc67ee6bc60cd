//! KafkaQuota objects: from Kubernetes to the sidecars, and the shares of what
//! is limited for a whole cluster.
//!
//! ```text
//! reflectors ──changed──▶ compile (pure) ──rules──┐
//! use, nodes ──every 2 s─▶ share out (pure) ─────┴▶ stream to the nodes' sidecars
//!                                                   each with its own shares
//! ```
//! `spec.pause` of a KafkaCluster does not hold quotas back: they are the
//! sidecars' business, and no broker is changed by them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::info;
use tubeway_api::KafkaQuota;
use tubeway_config::ClusterRef;
use tubeway_config::stream::USAGE_EVERY;
use tubeway_policy::quota::QuotaRules;
use tubeway_policy::quota::compile::{Finding, Inputs, compile};
use tubeway_policy::rbac::{Cluster, ObjectRef, Topic};
use tubeway_protocol::Schemas;

use self::inputs::{Unreadable, kafka_quota};
use self::sharing::{Presence, Sharing};
use crate::access::{Stores, StoresGone, key};
use crate::context::Context;
use crate::statuses::{Statuses, Verdict, Verdicts};
use crate::stream::QuotaPlan;

mod inputs;
mod sharing;
mod verdict;

/// Name of this controller in metrics.
pub const CONTROLLER: &str = "quotas";
/// Owns what this controller writes.
const MANAGER: &str = "tubeway-operator-quotas";
/// Changes come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long sidecars may take to answer before a status says that they have not.
const GRACE: Duration = Duration::from_secs(1);

/// Keeps the quotas of every cluster.
pub struct Controller {
    ctx: Context,
    stores: Stores,
    clusters: BTreeMap<ClusterRef, State>,
    compiled: Vec<Judged>,
    apis: BTreeSet<&'static str>,
}

/// What is known of one cluster.
struct State {
    rules: QuotaRules,
    /// The version that the rules came with; later ones are about shares only.
    version: u64,
    since: Instant,
    sharing: Sharing,
}

/// What was found about one object, whatever sidecars make of it.
struct Judged {
    quota: Arc<KafkaQuota>,
    cluster: ObjectRef,
    /// Why it is not in force.
    against: Option<Verdict>,
}

// === impl Controller ===

impl Controller {
    /// Sends what `stores` hold to the sidecars that `ctx` reaches.
    pub fn new(ctx: Context, stores: Stores) -> Self {
        let apis = Schemas::get().apis().iter();
        Self {
            ctx,
            stores,
            clusters: BTreeMap::new(),
            compiled: Vec::new(),
            apis: apis.map(tubeway_protocol::schema::Api::name).collect(),
        }
    }

    /// Runs until dropped. Does nothing before every store has been listed
    /// once: half of the quotas would be no quotas.
    ///
    /// # Errors
    /// If the stores' watches have ended.
    pub async fn run(mut self) -> Result<(), StoresGone> {
        self.stores.ready().await?;
        let statuses = Statuses::new(self.ctx.clone(), CONTROLLER, MANAGER);
        let (verdicts, newest) = watch::channel(Verdicts::<KafkaQuota>::default());
        let mut writing = JoinSet::new();
        writing.spawn(statuses.keep(newest));
        let mut changes = self.stores.changes();
        let mut news = self.ctx.quotas.news();
        let mut rounds = interval(USAGE_EVERY);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.compile();
        loop {
            verdicts.send_replace(self.verdicts(Instant::now()));
            tokio::select! {
                objects = changes.changed() => {
                    objects.map_err(|_| StoresGone)?;
                    sleep(DEBOUNCE).await;
                    changes.mark_unchanged();
                    self.compile();
                }
                heard = news.changed() => {
                    heard.map_err(|_| StoresGone)?;
                    self.raise();
                }
                _ = rounds.tick() => self.share(),
            }
        }
    }

    /// Compiles everything, and publishes what has changed.
    fn compile(&mut self) {
        let started = Instant::now();
        let topics = self.stores.topics();
        let clusters = self.stores.clusters().state();
        let clusters: Vec<_> = clusters
            .iter()
            .map(|cluster| self.stores.policy_cluster(cluster))
            .collect();
        let mut readable = Vec::new();
        let mut unreadable: BTreeMap<ObjectRef, Unreadable> = BTreeMap::new();
        let objects = self.stores.quotas();
        for object in &objects {
            match kafka_quota(object) {
                Ok(quota) => readable.push(quota),
                Err(error) => drop(unreadable.insert(key(object.as_ref()), error)),
            }
        }
        let findings = self.publish_all(&clusters, &topics, &readable);
        let known: BTreeSet<_> = clusters.iter().map(|cluster| &cluster.object).collect();
        self.compiled = objects
            .into_iter()
            .map(|quota| {
                let object = key(quota.as_ref());
                let (namespace, name) = quota.cluster_key();
                let cluster = ObjectRef::new(namespace, name);
                let against = match (unreadable.get(&object), findings.get(&object)) {
                    _ if !known.contains(&cluster) => Some(verdict::no_cluster(&cluster)),
                    (Some(error), _) => Some(verdict::unreadable(error)),
                    (None, Some(finding)) => Some(verdict::found(finding)),
                    (None, None) => None,
                };
                Judged {
                    quota,
                    cluster,
                    against,
                }
            })
            .collect();
        let metrics = &self.ctx.metrics;
        metrics.reconciled(CONTROLLER, started.elapsed(), false);
    }

    /// Compiles the quotas of each cluster; what stands against which object.
    fn publish_all(
        &mut self,
        clusters: &[Cluster],
        topics: &[Topic],
        quotas: &[tubeway_policy::quota::compile::KafkaQuota],
    ) -> BTreeMap<ObjectRef, Finding> {
        let mut findings = BTreeMap::new();
        let mut gone = std::mem::take(&mut self.clusters);
        for cluster in clusters {
            let compiled = compile(Inputs {
                cluster,
                trust_domain: &self.ctx.config.trust_domain,
                quotas,
                topics,
                apis: &self.apis,
            });
            findings.extend(compiled.findings);
            let reference = ClusterRef {
                namespace: cluster.object.namespace.clone(),
                name: cluster.object.name.clone(),
            };
            let state = gone.remove(&reference);
            let state = self.take_rules(&reference, state, compiled.rules);
            self.clusters.insert(reference, state);
        }
        findings
    }

    fn take_rules(&self, cluster: &ClusterRef, state: Option<State>, rules: QuotaRules) -> State {
        let mut state = match state {
            Some(state) if state.rules == rules => return state,
            Some(state) => state,
            None => State {
                rules: QuotaRules::default(),
                version: 0,
                since: Instant::now(),
                sharing: Sharing::default(),
            },
        };
        state.rules = rules;
        state.since = Instant::now();
        state.sharing.share(&state.rules, &self.members(cluster));
        state.version = self.publish(cluster, &mut state);
        let quotas = state.rules.quotas.len();
        info!(%cluster, quotas, "quotas are sent to the sidecars");
        state
    }

    /// Publishes a cluster's rules with the shares of now.
    fn publish(&self, cluster: &ClusterRef, state: &mut State) -> u64 {
        self.ctx.quotas.publish(QuotaPlan {
            cluster: cluster.clone(),
            rules: state.rules.clone(),
            shares: state.sharing.shares().clone(),
        });
        let version = self.ctx.quotas.current(cluster).map_or(0, |d| d.version);
        state.sharing.sent(version);
        version
    }

    /// Hears what was used, and shares out anew where that moves something.
    fn share(&mut self) {
        let reports = self.ctx.usage.take();
        let mut clusters = std::mem::take(&mut self.clusters);
        for (cluster, state) in &mut clusters {
            state
                .sharing
                .hear(reports.get(cluster).into_iter().flatten());
            let members = self.members(cluster);
            state.sharing.taken(&self.ctx.quotas.taken(cluster));
            if state.sharing.share(&state.rules, &members) {
                self.publish(cluster, state);
            }
        }
        self.clusters = clusters;
    }

    /// Gives more to those that are to have more, where all that are to have
    /// less have been told.
    fn raise(&mut self) {
        let mut clusters = std::mem::take(&mut self.clusters);
        for (cluster, state) in &mut clusters {
            state.sharing.taken(&self.ctx.quotas.taken(cluster));
            if state.sharing.raise() {
                self.publish(cluster, state);
            }
        }
        self.clusters = clusters;
    }

    /// Who has a share: the brokers that there are, and the pods that are
    /// connected and not known to serve nobody.
    fn members(&self, cluster: &ClusterRef) -> BTreeMap<String, Presence> {
        let topology = self.ctx.topologies.current(cluster);
        let nodes = topology.iter().flat_map(|t| &t.document.nodes);
        let pod = |host: &str| host.split('.').next().unwrap_or_default().to_owned();
        let all: BTreeSet<_> = nodes.map(|node| pod(&node.host)).collect();
        let brokers = topology.iter().flat_map(|t| t.document.brokers());
        let brokers: BTreeSet<_> = brokers.map(|node| pod(&node.host)).collect();
        let connected = self.ctx.quotas.connected(cluster);
        let new = connected.difference(&all);
        let presence = |pod: &String| {
            let presence = if connected.contains(pod) {
                Presence::Here
            } else {
                Presence::Away
            };
            (pod.clone(), presence)
        };
        brokers.iter().chain(new).map(presence).collect()
    }

    /// What each object's status is to say. One that waits for sidecars that
    /// may answer any moment says what it said before.
    fn verdicts(&self, now: Instant) -> Verdicts<KafkaQuota> {
        // The same for all quotas of a cluster, of which there may be thousands.
        let mut in_force = BTreeMap::new();
        let verdict = |judged: &Judged| {
            let verdict = match &judged.against {
                Some(verdict) => Some(verdict.clone()),
                None => in_force
                    .entry(judged.cluster.clone())
                    .or_insert_with(|| self.in_force(&judged.cluster, now))
                    .clone(),
            };
            (Arc::clone(&judged.quota), verdict)
        };
        Arc::new(self.compiled.iter().map(verdict).collect())
    }

    fn in_force(&self, cluster: &ObjectRef, now: Instant) -> Option<Verdict> {
        let cluster = ClusterRef {
            namespace: cluster.namespace.clone(),
            name: cluster.name.clone(),
        };
        let state = self.clusters.get(&cluster)?;
        let behind = self.ctx.quotas.lacking(&cluster, state.version);
        let verdict = verdict::at(self.ctx.quotas.connected(&cluster).len(), &behind);
        let soon = now.saturating_duration_since(state.since) < GRACE;
        (verdict.ready || !soon).then_some(verdict)
    }
}

#[cfg(test)]
mod tests;
