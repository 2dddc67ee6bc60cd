//! Waiting for a condition of an object, by watching it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tubeway_telemetry::Shutdown;

/// What the wait found out about an object.
pub enum Seen {
    /// It is as wanted.
    Done,
    /// It is not yet; this is why.
    NotYet(String),
}

/// Watches one object until `look` is satisfied, and tells `report` what it
/// waits for.
pub async fn until(
    api: Api<DynamicObject>,
    name: &str,
    within: Duration,
    shutdown: &Shutdown,
    mut look: impl FnMut(&DynamicObject) -> Seen,
    report: impl Fn(&str),
) -> Result<()> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut objects = watcher(api, config)
        .default_backoff()
        .applied_objects()
        .boxed();
    let mut reason = format!("{name} is not there yet");
    let found = async {
        while let Some(object) = objects.try_next().await.context("the watch failed")? {
            match look(&object) {
                Seen::Done => return Ok(()),
                Seen::NotYet(why) => {
                    report(&why);
                    reason = why;
                }
            }
        }
        bail!("the watch ended")
    };
    let result = tokio::select! {
        result = tokio::time::timeout(within, found) => result,
        () = shutdown.wait() => bail!("stopped"),
    };
    match result {
        Ok(result) => result,
        Err(_) => bail!("waited {} s for {name}: {reason}", within.as_secs()),
    }
}

/// The API of one kind in one namespace, without its Rust type.
pub fn dynamic(client: &Client, namespace: &str, resource: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, resource)
}
