//! The mesh's trust bundle in every namespace that needs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tubeway_api::{KafkaCluster, labels};

use crate::apply::Writer;
use crate::cluster::names;
use crate::context::Context;
use crate::error::{Error, Result};

/// Name of this controller in metrics.
const CONTROLLER: &str = "roots";

/// Puts the bundle into one namespace, where it is not there or is another.
pub async fn ensure(ctx: &Context, write: &Writer<'_>, namespace: &str) -> Result<()> {
    let config_maps: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), namespace);
    let live = config_maps
        .get_opt(names::ROOTS_CONFIG_MAP)
        .await
        .map_err(Error::kubernetes(format!(
            "read ConfigMap {namespace}/{}",
            names::ROOTS_CONFIG_MAP
        )))?;
    let wanted = config_map(namespace, &ctx.roots.borrow());
    write.apply(&wanted, live.as_ref()).await?;
    Ok(())
}

/// Keeps the bundle in every namespace that is looked after, with a KafkaCluster or the label that
/// asks for client sidecars, until `shutdown`.
pub async fn controller(ctx: Context, shutdown: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = ctx.client.clone();
    let ours = watcher::Config::default().labels(&format!(
        "{}={}",
        labels::APP_MANAGED_BY,
        labels::MANAGER
    ));
    let changed = tokio_stream::wrappers::WatchStream::from_changes(ctx.roots.clone());
    let mut controller = Controller::new(
        Api::<Namespace>::all(client.clone()),
        watcher::Config::default(),
    );
    for scope in ctx.config.watched.scopes() {
        let config_maps = scope.api::<ConfigMap>(&client);
        let clusters = scope.api::<KafkaCluster>(&client);
        controller = controller
            .watches(config_maps, ours.clone(), |config_map| {
                let namespace = config_map.namespace()?;
                let is_bundle = config_map.name_any() == names::ROOTS_CONFIG_MAP;
                is_bundle.then(|| ObjectRef::new(&namespace))
            })
            .watches(clusters, watcher::Config::default(), |cluster| {
                Some(ObjectRef::new(&cluster.namespace()?))
            });
    }
    controller
        .reconcile_all_on(changed.map(|_| ()))
        .graceful_shutdown_on(shutdown)
        .run(look, retry, Arc::new(ctx))
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn look(namespace: Arc<Namespace>, ctx: Arc<Context>) -> Result<Action> {
    let started = Instant::now();
    let result = keep(&ctx, &namespace).await;
    ctx.metrics
        .reconciled(CONTROLLER, started.elapsed(), result.is_err());
    result.map(|()| Action::await_change())
}

async fn keep(ctx: &Context, namespace: &Namespace) -> Result<()> {
    let name = namespace.name_any();
    let is_going = namespace.metadata.deletion_timestamp.is_some();
    if is_going || !ctx.config.watched.contains(&name) {
        return Ok(());
    }
    let asked = namespace.labels().get(labels::INJECT);
    if asked.is_some_and(|value| value == labels::INJECT_ENABLED) || has_cluster(ctx, &name).await?
    {
        let write = Writer::new(ctx.client.clone(), &ctx.metrics, CONTROLLER);
        ensure(ctx, &write, &name).await?;
    }
    Ok(())
}

async fn has_cluster(ctx: &Context, namespace: &str) -> Result<bool> {
    let clusters: Api<KafkaCluster> = Api::namespaced(ctx.client.clone(), namespace);
    let found = clusters
        .list_metadata(&ListParams::default().limit(1))
        .await
        .map_err(Error::kubernetes(format!(
            "list KafkaClusters in {namespace}"
        )))?;
    Ok(!found.items.is_empty())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the controller asks for"
)]
fn retry(namespace: Arc<Namespace>, error: &Error, _: Arc<Context>) -> Action {
    let namespace = namespace.name_any();
    tracing::warn!(namespace, error = error.full(), "trust bundle not written");
    Action::requeue(Duration::from_secs(5))
}

fn config_map(namespace: &str, bundle: &str) -> ConfigMap {
    let manager = (
        labels::APP_MANAGED_BY.to_owned(),
        labels::MANAGER.to_owned(),
    );
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::ROOTS_CONFIG_MAP.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: Some([manager].into()),
            ..ObjectMeta::default()
        },
        data: Some([(names::ROOTS_KEY.to_owned(), bundle.to_owned())].into()),
        ..ConfigMap::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixture::{FakeApi, context};

    #[tokio::test]
    async fn only_namespaces_that_are_looked_after_and_ask_for_it_have_the_bundle() {
        let namespace = |name: &str, value: &str| -> Namespace {
            let labels = json!({ (labels::INJECT): value });
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
        };
        for (watched, name, value, written) in [
            ("", "shop", labels::INJECT_ENABLED, true),
            ("kafka,shop", "shop", labels::INJECT_ENABLED, true),
            ("kafka", "shop", labels::INJECT_ENABLED, false),
            ("kafka,shop", "shop", labels::INJECT_DISABLED, false),
        ] {
            let api = FakeApi::default();
            let mut ctx = context(&api);
            let config = crate::Config {
                watched: watched.parse().unwrap(),
                ..crate::Config::clone(&ctx.config)
            };
            ctx.config = config.into();
            keep(&ctx, &namespace(name, value)).await.unwrap();
            let writes = api.take_writes();
            assert_eq!(!writes.is_empty(), written, "{watched}: {writes:?}");
        }
    }
}
