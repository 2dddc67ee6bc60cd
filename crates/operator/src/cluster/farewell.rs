//! A cluster that is deleted: what it owns goes by itself, and what is kept in
//! memory of it is forgotten.

use futures::{StreamExt, stream};
use kube::ResourceExt;
use kube::runtime::{WatchStreamExt, watcher};
use tubeway_api::KafkaCluster;
use tubeway_config::ClusterRef;

use crate::context::Context;

/// Forgets clusters that are deleted. Never ends.
pub(super) async fn watch(ctx: Context) {
    let scopes = ctx.config.watched.scopes().into_iter();
    let watches = scopes.map(|scope| {
        let clusters = scope.api::<KafkaCluster>(&ctx.client);
        let events = watcher(clusters, watcher::Config::default());
        events.default_backoff().boxed()
    });
    // Nobody waits here for all of them to be listed.
    let mut events = stream::select_all(watches);
    while let Some(event) = events.next().await {
        // An error is a watch that begins anew, which it does by itself.
        if let Ok(watcher::Event::Delete(cluster)) = event {
            let namespace = cluster.namespace().unwrap_or_default();
            let name = cluster.name_any();
            forget(&ctx, &ClusterRef { namespace, name });
        }
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
