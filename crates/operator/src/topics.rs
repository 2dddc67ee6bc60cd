//! KafkaTopic objects, and the topics of Kafka that follow them.
//!
//! The object is the one truth about a topic: what someone changes in Kafka is
//! put back within a minute. Topics without an object are nobody's business
//! here. Of several objects for one topic the oldest counts, by the same rule
//! that access goes by.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{self, Action};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::time::Instant;
use tokio_stream::wrappers::WatchStream;
use tracing::{info, warn};
use tubeway_api::condition::reasons;
use tubeway_api::labels::TOPIC_FINALIZER;
use tubeway_api::{DeletionPolicy, KafkaCluster, KafkaTopic};
use tubeway_config::ClusterRef;
use tubeway_policy::rbac::ObjectRef;
use tubeway_policy::{Claim, claims};
use uuid::Uuid;

use crate::access::{Stores, StoresGone, rbac_topic};
use crate::kafka_admin::AdminDirectory;
use crate::replication::{Progress, Replication};
use crate::watched::Scope;

mod batch;
mod calls;
mod ensure;
mod plan;
mod replicas;
mod verdict;

use calls::Book;
pub use calls::Calls;
pub use ensure::{Ensured, TopicError, delete, ensure};
pub use plan::{ActualTopic, Change, InvalidTopic, Observed, WantedTopic};
pub use replicas::Replicas;
use verdict::Verdict;

/// How often what someone changed in Kafka is put back: all topics are looked at in
/// one round, because then few calls do.
const RESYNC: Duration = Duration::from_mins(1);
/// How soon something is looked at again that another object's end can change,
/// and that costs no call to Kafka.
const SOON: Duration = Duration::from_secs(5);
/// How soon a failed call is tried again.
const RETRY: Duration = Duration::from_secs(3);
/// Topics looked after at the same time, and so in one call.
const CONCURRENCY: u16 = 64;

/// The topic's cluster does not answer, or its object cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kubernetes refused a write, or did not answer.
    #[error("the API server did not take a write of a KafkaTopic")]
    Kubernetes(#[from] kube::Error),
    /// The topic is to be deleted and could not be.
    #[error(transparent)]
    Delete(#[from] TopicError),
    /// The topic is to be deleted and its cluster cannot be reached.
    #[error("topic {0:?} is to be deleted, and no broker of its cluster can be reached")]
    Unreachable(String),
}

/// What the topics controller needs.
#[derive(Clone)]
pub struct Context {
    client: Client,
    stores: Stores,
    admins: AdminDirectory,
    replication: Replication,
    calls: Book,
    /// When the rounds began.
    begun: Instant,
}

/// Looks after every KafkaTopic until `shutdown`, and ends what it has begun.
pub async fn controller(
    context: Context,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) -> Result<(), StoresGone> {
    context.stores.ready().await?;
    let shutdown = shutdown.shared();
    let scopes = context.stores.watched().scopes().into_iter();
    let looks = scopes.map(|scope| looks(context.clone(), scope, shutdown.clone()));
    join_all(looks).await;
    Ok(())
}

/// Looks after the topics of one scope.
fn looks(
    context: Context,
    scope: Scope<'_>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) -> BoxFuture<'static, ()> {
    let reached = WatchStream::from_changes(context.admins.subscribe()).map(|_| ());
    let admitted = cluster_changes(&context.stores);
    let moved = WatchStream::from_changes(context.replication.subscribe());
    let controller = scope.controller::<KafkaTopic>(&context.client);
    controller
        .with_config(controller::Config::default().concurrency(CONCURRENCY))
        .reconcile_all_on(reached)
        .reconcile_all_on(admitted)
        .reconcile_all_on(moved)
        .graceful_shutdown_on(shutdown)
        .run(
            |topic, context| async move { reconcile(&topic, &context).await }.boxed(),
            |topic, error, _| {
                warn!(topic = %key(&topic), error = %Chain(error), "a topic could not be looked after");
                Action::requeue(RETRY)
            },
            Arc::new(context),
        )
        .for_each(|_| std::future::ready(()))
        .boxed()
}

/// Says when a cluster comes, goes, is paused or admits others; not when its
/// status changes, which it does all the time.
fn cluster_changes(stores: &Stores) -> impl futures::Stream<Item = ()> + Send + use<> {
    let stores = stores.clone();
    let seen = move |stores: &Stores| {
        let mut clusters: Vec<_> = stores
            .clusters()
            .state()
            .iter()
            .map(|cluster| {
                let policy = stores.policy_cluster(cluster);
                let going = cluster.metadata.deletion_timestamp.is_some();
                (policy.object, policy.allowed, cluster.spec.pause, going)
            })
            .collect();
        clusters.sort_by(|a, b| a.0.cmp(&b.0));
        clusters
    };
    let mut last = seen(&stores);
    WatchStream::from_changes(stores.changes()).filter_map(move |_| {
        let now = seen(&stores);
        let changed = now != last;
        last = now;
        std::future::ready(changed.then_some(()))
    })
}

async fn reconcile(topic: &KafkaTopic, context: &Context) -> Result<Action, Error> {
    if topic.metadata.deletion_timestamp.is_some() {
        return context.finish(topic).await;
    }
    let keep = topic.spec.deletion_policy == DeletionPolicy::Delete;
    if keep != has_finalizer(topic) {
        // The write comes back as an event, and the rest is done then.
        context.set_finalizer(topic, keep).await?;
        return Ok(Action::await_change());
    }
    let Some(verdict) = context.judge(topic).await else {
        return Ok(Action::await_change());
    };
    context.report(topic, &verdict).await?;
    Ok(Action::requeue(match verdict.again {
        RESYNC => until_round(context.begun.elapsed()),
        again => again,
    }))
}

/// How long it is to the next round, so long after the first.
fn until_round(since: Duration) -> Duration {
    let into = since.as_nanos() % RESYNC.as_nanos();
    RESYNC.saturating_sub(Duration::from_nanos(into as u64))
}

// === impl Context ===

impl Context {
    /// Reads and writes KafkaTopics by `client`. `stores` tell which object speaks
    /// for which topic, and `replication` tells the cluster controller how many
    /// replicas they are to have.
    pub fn new(
        client: Client,
        stores: Stores,
        admins: AdminDirectory,
        replication: Replication,
    ) -> Self {
        Self {
            client,
            stores,
            admins,
            replication,
            calls: Book::default(),
            begun: Instant::now(),
        }
    }

    /// Looks after a topic that is to be there. None: it is paused.
    async fn judge(&self, topic: &KafkaTopic) -> Option<Verdict> {
        let wanted = match WantedTopic::of(topic) {
            Ok(wanted) => wanted,
            Err(error) => return Some(Verdict::not(reasons::INVALID_SPEC, error.to_string())),
        };
        let (_, cluster) = match self.owned(topic) {
            Ok(found) => found,
            Err(verdict) => return Some(verdict),
        };
        if cluster.spec.pause {
            return None;
        }
        let Some(calls) = self.calls(topic) else {
            let message = "no broker of the cluster can be reached yet".to_owned();
            return Some(Verdict::not(reasons::WAITING_FOR_NODES, message));
        };
        Some(match ensure(&calls, &wanted).await {
            Ok(ensured) => {
                if !ensured.done.is_empty() {
                    info!(topic = %key(topic), done = ?ensured.done, "a topic has changed");
                }
                self.verdict(topic, &ensured)
            }
            Err(error) => Verdict {
                again: if error.may_pass() { RETRY } else { RESYNC },
                ..Verdict::not(reasons::KAFKA_ERROR, error.to_string())
            },
        })
    }

    /// What comes of a topic, with its number of replicas, which the cluster
    /// controller sees to.
    fn verdict(&self, topic: &KafkaTopic, ensured: &Ensured) -> Verdict {
        let (namespace, name) = topic.cluster_key();
        let cluster = ClusterRef { namespace, name };
        let name = topic.topic_name();
        let verdict = Verdict::of(ensured);
        if !verdict.ready {
            self.replication.withdraw(&cluster, &name);
            return verdict;
        }
        let wanted = topic.spec.replicas.and_then(|n| usize::try_from(n).ok());
        let before = self.replication.progress(&cluster, &name);
        // An operator before this one may have left a limit behind.
        let left_behind = before == Progress::Unknown && verdict::was_moving(topic);
        let under_way = matches!(before, Progress::Open { .. }) || left_behind;
        let moves = ensured.moves.or(wanted.filter(|_| under_way));
        let Some(replicas) = moves else {
            return verdict;
        };
        let refused = match self.replication.want(&cluster, &name, replicas) {
            Progress::Open { refused } => refused,
            Progress::Done | Progress::Unknown => None,
        };
        Verdict {
            again: SOON,
            ..verdict.moving(replicas, refused)
        }
    }

    /// The cluster, if this object is the one that speaks for its topic there.
    fn owned(&self, topic: &KafkaTopic) -> Result<(ObjectRef, Arc<KafkaCluster>), Verdict> {
        let own = rbac_topic(topic);
        let target = own.cluster.clone();
        let found = self.stores.cluster(&target);
        let rivals = self.stores.rivals(&own);
        // The watch that brought this object may be ahead of the one of the store.
        let topics: Vec<_> = std::iter::once(own).chain(rivals).collect();
        let clusters: Vec<_> = found
            .iter()
            .map(|c| self.stores.policy_cluster(c))
            .collect();
        match (claims(&topics, &clusters)[0], found) {
            (Claim::Owner, Some(cluster)) => Ok((target, cluster)),
            (Claim::Conflict(owner), _) => Err(Verdict {
                again: SOON,
                ..Verdict::not(
                    reasons::CONFLICT,
                    format!("KafkaTopic {owner} is older and speaks for this topic"),
                )
            }),
            (Claim::NotAllowed, _) => Err(Verdict::not(
                reasons::NOT_ALLOWED,
                format!(
                    "spec.allowedNamespaces of KafkaCluster {target} does not admit this namespace"
                ),
            )),
            (Claim::InvalidName, _) => Err(Verdict::not(
                reasons::INVALID_SPEC,
                "no KafkaTopic can speak for a topic of this name".to_owned(),
            )),
            (Claim::NoCluster | Claim::Owner, _) => Err(Verdict::not(
                reasons::NOT_FOUND,
                format!("there is no KafkaCluster {target}"),
            )),
        }
    }

    fn calls(&self, topic: &KafkaTopic) -> Option<Arc<Calls>> {
        let (namespace, name) = topic.cluster_key();
        self.calls
            .calls(&self.admins, &ClusterRef { namespace, name })
    }

    /// Looks after an object that is to go.
    ///
    /// The finalizer stays only while there is a topic that is this object's to
    /// delete and a cluster that is to stay: a namespace that is deleted whole,
    /// its cluster with it, waits for nobody.
    async fn finish(&self, topic: &KafkaTopic) -> Result<Action, Error> {
        if !has_finalizer(topic) {
            return Ok(Action::await_change());
        }
        if let Some(id) = self.to_delete(topic) {
            let name = topic.topic_name();
            let calls = self.calls(topic);
            let calls = calls.ok_or_else(|| Error::Unreachable(name.clone()))?;
            if delete(calls.admin(), &name, id).await? {
                info!(topic = %key(topic), "the topic is deleted, as its object says");
            }
        }
        self.set_finalizer(topic, false).await?;
        Ok(Action::await_change())
    }

    /// The id of the topic in Kafka, if it goes with its object. In a paused
    /// cluster nothing is deleted, and the object does not wait for its end.
    fn to_delete(&self, topic: &KafkaTopic) -> Option<Uuid> {
        let (_, cluster) = self.owned(topic).ok()?;
        let stays = cluster.metadata.deletion_timestamp.is_none() && !cluster.spec.pause;
        let wanted = topic.spec.deletion_policy == DeletionPolicy::Delete;
        // Only a topic that this object has once looked after is its own.
        let id = topic.status.as_ref()?.topic_id.as_ref()?;
        (stays && wanted).then(|| id.parse().ok()).flatten()
    }

    async fn set_finalizer(&self, topic: &KafkaTopic, wanted: bool) -> Result<(), Error> {
        let mut finalizers = topic.finalizers().to_vec();
        finalizers.retain(|f| f != TOPIC_FINALIZER);
        if wanted {
            finalizers.push(TOPIC_FINALIZER.to_owned());
        }
        let patch = json!({"metadata": {
            "finalizers": finalizers,
            "uid": topic.metadata.uid,
            // A list is written whole: not over what someone else has just written.
            "resourceVersion": topic.metadata.resource_version,
        }});
        self.api(topic)
            .patch(
                &topic.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await?;
        Ok(())
    }

    /// Writes the status, if it is another than before.
    async fn report(&self, topic: &KafkaTopic, verdict: &Verdict) -> Result<(), Error> {
        let status = verdict.status(topic, Timestamp::now());
        if topic.status.as_ref() == Some(&status) {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"uid": topic.metadata.uid},
            // Null takes a field away that is not in force any more.
            "status": {
                "observedGeneration": status.observed_generation,
                "conditions": status.conditions,
                "topicId": status.topic_id,
                "topicName": status.topic_name,
                "partitions": status.partitions,
                "replicas": status.replicas,
            },
        });
        self.api(topic)
            .patch_status(
                &topic.name_any(),
                &PatchParams::default(),
                &Patch::Merge(patch),
            )
            .await?;
        Ok(())
    }

    fn api(&self, topic: &KafkaTopic) -> Api<KafkaTopic> {
        Api::namespaced(self.client.clone(), &topic.namespace().unwrap_or_default())
    }
}

fn has_finalizer(topic: &KafkaTopic) -> bool {
    topic.finalizers().iter().any(|f| f == TOPIC_FINALIZER)
}

fn key(topic: &KafkaTopic) -> ObjectRef {
    ObjectRef::new(topic.namespace().unwrap_or_default(), topic.name_any())
}

/// An error with its causes, for a log line.
struct Chain<'a>(&'a Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
