//! A cluster that is deleted.
//!
//! What it owns goes by itself. Its brokers, though, all stop at once, and each
//! waits for the others to take its partitions over until its time is up: minutes
//! in which nothing more can be saved. They are given less of it.

use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Preconditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tubeway_api::{KafkaCluster, labels};
use tubeway_config::ClusterRef;

use super::reconcile::CONTROLLER;
use crate::context::Context;
use crate::error::{Error, Result};

/// Enough to write everything to disk.
const GRACE: u32 = 30;
/// How often it is looked whether the pods are going.
const PAUSE: Duration = Duration::from_secs(1);
/// After this they are left to Kubernetes.
const WITHIN: u32 = 600;

/// Forgets clusters that are deleted, and has their pods go soon. Never ends.
pub(super) async fn watch(ctx: Context) {
    let scopes = ctx.config.watched.scopes().into_iter();
    let watches = scopes.map(|scope| {
        let clusters = scope.api::<KafkaCluster>(&ctx.client);
        let events = watcher(clusters, watcher::Config::default());
        events.default_backoff().boxed()
    });
    // Nobody waits here for all of them to be listed.
    let events = stream::select_all(watches);
    // An error is a watch that begins anew, which it does by itself.
    let deleted = events.filter_map(|event| async {
        match event {
            Ok(watcher::Event::Delete(cluster)) => Some(cluster),
            _ => None,
        }
    });
    deleted
        .for_each_concurrent(None, |cluster| farewell(&ctx, cluster))
        .await;
}

async fn farewell(ctx: &Context, cluster: KafkaCluster) {
    let key = ClusterRef {
        namespace: cluster.namespace().unwrap_or_default(),
        name: cluster.name_any(),
    };
    forget(ctx, &key);
    let uid = cluster.uid().unwrap_or_default();
    for _ in 0..WITHIN {
        match hurry(ctx, &key, &uid).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.is_race() => {}
            Err(error) => {
                tracing::info!(cluster = %key, error = error.full(), "pods of a deleted cluster");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Nothing is known of the cluster from now on.
pub(super) fn forget(ctx: &Context, key: &ClusterRef) {
    ctx.topologies.forget(key);
    ctx.access.forget(key);
    ctx.zones.forget(key);
    ctx.quotas.forget(key);
    ctx.admins.remove(key);
    ctx.replication.forget(key);
}

/// Shortens the time that pods of this very cluster have, once somebody has
/// deleted them; returns how many pods are left.
pub(super) async fn hurry(ctx: &Context, key: &ClusterRef, uid: &str) -> Result<usize> {
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &key.namespace);
    let ours = ListParams::default().labels(&format!("{}={}", labels::CLUSTER, key.name));
    let what = format!("list Pods of {key}");
    let mut listed = pods
        .list(&ours)
        .await
        .map_err(Error::kubernetes(what))?
        .items;
    listed.retain(|pod| pod.owner_references().iter().any(|owner| owner.uid == uid));
    for pod in &listed {
        let grace = pod.metadata.deletion_grace_period_seconds;
        if grace.is_none_or(|seconds| seconds <= i64::from(GRACE)) {
            continue;
        }
        let params = DeleteParams {
            grace_period_seconds: Some(GRACE),
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        ctx.metrics.wrote(CONTROLLER);
        let name = pod.name_any();
        let what = format!("hurry Pod {}/{name}", key.namespace);
        pods.delete(&name, &params)
            .await
            .map_err(Error::kubernetes(what))?;
    }
    Ok(listed.len())
}
