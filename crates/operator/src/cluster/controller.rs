//! Looks at each cluster whenever something of it changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Resource, ResourceExt};
use tokio_stream::wrappers::WatchStream;
use tubeway_api::{KafkaCluster, KafkaNodePool, labels};
use tubeway_config::ClusterRef;

use super::farewell;
use super::reconcile::{Again, CONTROLLER, reconcile};
use crate::context::Context;
use crate::error::Error;
use crate::stream::Topologies;

/// When to look again though nothing has changed: against drift.
const LATE: Duration = Duration::from_mins(5);
/// When to look again for what does not announce itself.
const SOON: Duration = Duration::from_secs(5);
/// When to try again what failed.
const RETRY: Duration = Duration::from_secs(5);
/// When to look again after somebody else was faster.
const RACE: Duration = Duration::from_millis(200);
/// Changes that come together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Runs until `shutdown`.
pub async fn controller(ctx: Context, shutdown: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = ctx.client.clone();
    let ours = watcher::Config::default().labels(&format!(
        "{}={}",
        labels::APP_MANAGED_BY,
        labels::MANAGER
    ));
    let acknowledged = acknowledgements(ctx.topologies.clone());
    let replication = WatchStream::from_changes(ctx.replication.subscribe());
    let config = controller::Config::default()
        .debounce(DEBOUNCE)
        .concurrency(8);
    let farewells = farewell::watch(ctx.clone());
    let looks = Controller::new(
        Api::<KafkaCluster>::all(client.clone()),
        watcher::Config::default(),
    )
    .with_config(config)
    .owns(Api::<Pod>::all(client.clone()), ours.clone())
    .owns(Api::<Service>::all(client.clone()), ours.clone())
    .owns(Api::<ConfigMap>::all(client.clone()), ours.clone())
    .owns(Api::<ServiceAccount>::all(client.clone()), ours.clone())
    .owns(
        Api::<PodDisruptionBudget>::all(client.clone()),
        ours.clone(),
    )
    .watches(
        Api::<PersistentVolumeClaim>::all(client.clone()),
        ours,
        |claim| by_label(&claim),
    )
    .watches(
        Api::<KafkaNodePool>::all(client),
        watcher::Config::default(),
        |pool| {
            let namespace = pool.namespace()?;
            Some(ObjectRef::new(&pool.spec.cluster).within(&namespace))
        },
    )
    .reconcile_all_on(acknowledged)
    .reconcile_all_on(replication)
    .graceful_shutdown_on(shutdown)
    .run(look, retry, Arc::new(ctx))
    .for_each(|_| std::future::ready(()));
    tokio::select! {
        () = looks => {}
        () = farewells => {}
    }
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
        Again::Never => Action::await_change(),
    })
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

fn acknowledgements(topologies: Topologies) -> impl Stream<Item = ()> {
    stream::unfold(topologies, |topologies| async move {
        topologies.acknowledged().await;
        Some(((), topologies))
    })
}
