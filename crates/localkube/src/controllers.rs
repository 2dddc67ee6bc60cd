//! What goes on by itself: garbage collection, namespaces and CRDs that end, events that expire.
//!
//! One task follows the store. Whenever something happened that may concern the others, it looks
//! at everything and does what is due; what it does is then the next thing that happened.

mod budgets;
mod collector;
mod contents;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::api::{Api, now};
use crate::objects::ending;
use crate::pure::selector::LabelSelector;
use crate::store::{Change, ChangeKind, Key};

/// How often events are looked through, and how long they are kept.
const EVENTS_EVERY: Duration = Duration::from_secs(60);
const EVENTS_KEPT: i64 = 3600;

/// How long after a failed write everything is looked at again.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let mut cursor = api.store.rv();
    let mut sweep_at = Some(Instant::now());
    let mut events_at = Instant::now() + EVENTS_EVERY;
    let never = Instant::now() + Duration::from_secs(u32::MAX.into());
    loop {
        tokio::select! {
            reached = api.store.beyond(cursor) => {
                let due = match api.store.changes(None, cursor, reached) {
                    Ok(changes) => {
                        budgets::update(&api, &changes);
                        changes.iter().any(|change| concerns_others(change))
                    }
                    Err(_) => true,
                };
                cursor = reached;
                if due && !sweep(&api) {
                    sweep_at = Some(Instant::now() + RETRY);
                }
            }
            () = sleep_until(sweep_at.unwrap_or(never)) => {
                sweep_at = (!sweep(&api)).then(|| Instant::now() + RETRY);
            }
            () = sleep_until(events_at) => {
                events_at = Instant::now() + EVENTS_EVERY;
                expire_events(&api);
            }
            () = api.stop.cancelled() => return,
        }
    }
}

/// Whether a change may leave something to be done for another object.
fn concerns_others(change: &Change) -> bool {
    let owners = |value: &Value| value["metadata"]["ownerReferences"].clone();
    let before = change.previous.as_ref().map(|object| &object.value);
    change.kind == ChangeKind::Deleted
        || ending(&change.object.value)
        || owners(&change.object.value) != before.map_or(Value::Null, owners)
        || (&*change.key.resource == "pods"
            && before
                .is_some_and(|b| b["status"]["phase"] != change.object.value["status"]["phase"]))
}

/// Does everything that is due; false if something could not be done.
fn sweep(api: &Api) -> bool {
    let steps: [(&str, fn(&Api) -> Result<(), crate::api::status::Status>); 4] = [
        ("contents of namespaces", contents::namespaces),
        ("objects of definitions", contents::definitions),
        ("claims in use", contents::claims),
        ("dependents", collector::collect),
    ];
    let mut done = true;
    for (what, step) in steps {
        if let Err(error) = step(api) {
            tracing::warn!(what, %error, "could not be cleaned up yet");
            done = false;
        }
    }
    done
}

fn expire_events(api: &Api) {
    let (_, events) = api.store.list("events", None);
    let oldest = jiff::Timestamp::now().as_second() - EVENTS_KEPT;
    for event in events {
        let times = [
            "/lastTimestamp",
            "/series/lastObservedTime",
            "/eventTime",
            "/metadata/creationTimestamp",
        ];
        let last = times
            .iter()
            .filter_map(|at| {
                event
                    .value
                    .pointer(at)?
                    .as_str()?
                    .parse::<jiff::Timestamp>()
                    .ok()
            })
            .max();
        if last.is_some_and(|last| last.as_second() < oldest) {
            let key = crate::api::key_of(&"events".into(), &event);
            // A change in between gives the event another hour.
            let _ = api.store.remove(&key, event.rv);
        }
    }
}

/// Whether a `LabelSelector` object selects a pod; one that cannot be read selects none.
pub(crate) fn selects(selector: &Value, pod: &Value) -> bool {
    LabelSelector::from_object(selector).is_some_and(|selector| selector.matches(pod))
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    !ending(pod)
        && conditions
            .into_iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
}

// === impl Api ===

impl Api {
    /// Gives a namespace what every namespace has: a service account and the CA.
    pub(crate) fn furnish(&self, namespace: &str) {
        let object = |kind: &str, name: &str| {
            json!({
                "apiVersion": "v1",
                "kind": kind,
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": uuid::Uuid::new_v4().to_string(),
                    "creationTimestamp": now(),
                },
            })
        };
        let account = object("ServiceAccount", "default");
        let mut roots = object("ConfigMap", "kube-root-ca.crt");
        roots["data"] = json!({"ca.crt": self.ca_pem});
        for (resource, name, value) in [
            ("serviceaccounts", "default", account),
            ("configmaps", "kube-root-ca.crt", roots),
        ] {
            let key = Key::new(&resource.into(), namespace, name);
            if self.store.get(&key).is_none() {
                // Refused only if somebody else made it or the namespace is going.
                let _ = self.store.create(&key, value);
            }
        }
    }
}
