//! Looks at each cluster whenever something of it changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::controller::{self, Action};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tubeway_api::{KafkaCluster, KafkaNodePool, labels};
use tubeway_config::ClusterRef;

use super::farewell;
use super::reconcile::{Again, CONTROLLER, reconcile};
use crate::context::Context;
use crate::error::Error;
use crate::stream::Topologies;
use crate::watched::Scope;

/// When to look again though nothing has changed: against drift.
const LATE: Duration = Duration::from_mins(5);
/// When to look again for what does not announce itself.
const SOON: Duration = Duration::from_secs(5);
/// The least time between two looks while a roll waits for Kafka.
const SHORTLY: Duration = Duration::from_secs(1);
/// Where looks take long, because there is much to ask Kafka for, the time between
/// two of them is this many times as long as one.
const SPACING: u32 = 10;
/// When to try again what failed.
const RETRY: Duration = Duration::from_secs(5);
/// When to look again after somebody else was faster.
const RACE: Duration = Duration::from_millis(200);
/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Runs until `shutdown`.
pub async fn controller(ctx: Context, shutdown: impl Future<Output = ()> + Send + Sync + 'static) {
    let shutdown = shutdown.shared();
    // Who asks for acknowledgements takes them: one asks for all.
    let (tell, acknowledged) = watch::channel(());
    let scopes = ctx.config.watched.scopes().into_iter();
    let looks = scopes.map(|scope| {
        let (acknowledged, shutdown) = (acknowledged.clone(), shutdown.clone());
        looks(ctx.clone(), scope, acknowledged, shutdown)
    });
    tokio::select! {
        _ = join_all(looks) => {}
        () = acknowledgements(&ctx.topologies, &tell) => {}
        () = farewell::watch(ctx.clone()) => {}
    }
}

/// Looks after the clusters of one scope.
fn looks(
    ctx: Context,
    scope: Scope<'_>,
    acknowledged: watch::Receiver<()>,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) -> BoxFuture<'static, ()> {
    let client = &ctx.client;
    let ours = watcher::Config::default().labels(&format!(
        "{}={}",
        labels::APP_MANAGED_BY,
        labels::MANAGER
    ));
    let replication = WatchStream::from_changes(ctx.replication.subscribe());
    let config = controller::Config::default()
        .debounce(DEBOUNCE)
        .concurrency(8);
    let controller = scope.controller::<KafkaCluster>(client);
    controller
        .with_config(config)
        .owns(scope.api::<Pod>(client), ours.clone())
        .owns(scope.api::<Service>(client), ours.clone())
        .owns(scope.api::<ConfigMap>(client), ours.clone())
        .owns(scope.api::<ServiceAccount>(client), ours.clone())
        .owns(scope.api::<PodDisruptionBudget>(client), ours.clone())
        .watches(scope.api::<PersistentVolumeClaim>(client), ours, |claim| {
            by_label(&claim)
        })
        .watches(
            scope.api::<KafkaNodePool>(client),
            watcher::Config::default(),
            |pool| {
                let namespace = pool.namespace()?;
                Some(ObjectRef::new(&pool.spec.cluster).within(&namespace))
            },
        )
        .reconcile_all_on(WatchStream::from_changes(acknowledged))
        .reconcile_all_on(replication)
        .graceful_shutdown_on(shutdown)
        .run(look, retry, Arc::new(ctx))
        .for_each(|_| std::future::ready(()))
        .boxed()
}

async fn look(cluster: Arc<KafkaCluster>, ctx: Arc<Context>) -> Result<Action, Error> {
    let started = Instant::now();
    let key = ClusterRef {
        namespace: cluster.namespace().unwrap_or_default(),
        name: cluster.name_any(),
    };
    let result = reconcile(&ctx, &key).await;
    let failed = result.as_ref().is_err_and(|error| !error.is_race());
    ctx.metrics
        .reconciled(CONTROLLER, started.elapsed(), failed);
    Ok(match result? {
        Again::Late => Action::requeue(LATE),
        Again::Soon => Action::requeue(SOON),
        Again::Shortly => Action::requeue(spaced(started.elapsed())),
        Again::Never => Action::await_change(),
    })
}

/// When to look again shortly, after a look that took so long.
fn spaced(took: Duration) -> Duration {
    (took * SPACING).clamp(SHORTLY, SOON)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the controller asks for"
)]
fn retry(cluster: Arc<KafkaCluster>, error: &Error, _: Arc<Context>) -> Action {
    let namespace = cluster.namespace().unwrap_or_default();
    let cluster = cluster.name_any();
    if error.is_race() {
        tracing::debug!(namespace, cluster, error = error.full(), "looking again");
        return Action::requeue(RACE);
    }
    tracing::warn!(namespace, cluster, error = error.full(), "reconcile failed");
    Action::requeue(RETRY)
}

fn by_label<K: Resource>(object: &K) -> Option<ObjectRef<KafkaCluster>> {
    let cluster = object.labels().get(labels::CLUSTER)?;
    Some(ObjectRef::new(cluster).within(&object.namespace()?))
}

/// Passes the news on; never ends.
async fn acknowledgements(topologies: &Topologies, tell: &watch::Sender<()>) {
    loop {
        topologies.acknowledged().await;
        tell.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_that_take_long_are_further_apart() {
        let spaced = |millis| spaced(Duration::from_millis(millis));
        assert_eq!(spaced(20), SHORTLY);
        assert_eq!(spaced(200), Duration::from_secs(2));
        assert_eq!(spaced(9_000), SOON);
    }
}
