//! The watch of one kind over all namespaces that are looked after.

use std::fmt::Debug;
use std::hash::Hash;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;

use super::merge::Merge;
use super::{Scope, Watched};

/// What a watch says, or why it begins anew.
type Said<K> = watcher::Result<Event<K>>;

/// Takes from an object what nobody here reads and what is often most of it: who has
/// written which field.
pub fn slim<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
}

// === impl Watched ===

impl Watched {
    /// Everything that happens to objects of a kind, as one watch says it that a
    /// [`Store`](kube::runtime::reflector::Store) can take. Errors are of watches
    /// that are tried again by themselves; it never ends.
    pub fn events<K>(&self, client: &Client) -> BoxStream<'static, Said<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
        K: Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    {
        self.events_of(client, &(), |scope| scope.api(client), slim)
    }

    /// The same of a kind that is not known by its type, where `slim` cuts
    /// objects down before they are kept.
    pub fn events_of<K>(
        &self,
        client: &Client,
        kind: &K::DynamicType,
        api: impl Fn(Scope<'_>) -> Api<K>,
        slim: impl Fn(&mut K) + Clone + Send + 'static,
    ) -> BoxStream<'static, Said<K>>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Hash + Eq + Clone + Send + Sync,
    {
        let scopes = self.scopes().into_iter();
        let sources = scopes.map(|scope| {
            let events = watch(api(scope), watcher::Config::default()).default_backoff();
            let events = events.modify(slim.clone()).boxed();
            match scope.namespace() {
                None => events,
                Some(namespace) => or_nothing(events, client, namespace),
            }
        });
        merged(sources.collect(), kind)
    }
}

/// One stream of several, where one alone stays as it is.
fn merged<K>(
    mut sources: Vec<BoxStream<'static, Said<K>>>,
    kind: &K::DynamicType,
) -> BoxStream<'static, Said<K>>
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Hash + Eq + Clone + Send + Sync,
{
    if sources.len() == 1 {
        return sources.remove(0);
    }
    let mut merge = Merge::new(sources.len(), kind.clone());
    let sources = sources.into_iter().enumerate();
    let sources = sources.map(|(source, events)| events.map(move |event| (source, event)));
    let events = stream::select_all(sources).map(move |(source, event)| match event {
        Ok(event) => merge.take(source, event).into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    events.flat_map(stream::iter).boxed()
}

/// In a namespace that is not there is nothing. Its operator may not even ask
/// what there is, because its rights went with it; a list that fails for ever
/// would keep those of all other namespaces from being whole.
fn or_nothing<K>(
    events: impl Stream<Item = Said<K>> + Send + 'static,
    client: &Client,
    namespace: &str,
) -> BoxStream<'static, Said<K>>
where
    K: Send + 'static,
{
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = namespace.to_owned();
    let events = events.then(move |event| {
        let (api, namespace) = (api.clone(), namespace.clone());
        async move {
            if event.is_err() && matches!(api.get_opt(&namespace).await, Ok(None)) {
                return vec![Ok(Event::Init), Ok(Event::InitDone)];
            }
            vec![event]
        }
    });
    events.flat_map(stream::iter).boxed()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;
    use crate::fixture::FakeApi;

    /// What two events of a watch become that is refused, and goes on.
    async fn refused(api: &FakeApi) -> Vec<bool> {
        let events = [
            Err(watcher::Error::NoResourceVersion),
            Ok(Event::Apply(ConfigMap::default())),
        ];
        let events = or_nothing(stream::iter(events), &api.client(), "kafka");
        events.map(|event| event.is_ok()).collect().await
    }

    #[tokio::test]
    async fn a_namespace_that_is_not_there_is_an_empty_one() {
        let api = FakeApi::default();
        assert_eq!(refused(&api).await, [true, true, true]);
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kafka"}});
        api.put("/api/v1/namespaces/kafka", namespace);
        assert_eq!(refused(&api).await, [false, true]);
    }
}
