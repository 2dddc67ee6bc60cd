//! Fourth step: makes Kubernetes' objects what they should be, one write at a
//! time, and none where nothing is different.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tubeway_api::labels;

use crate::cluster::build::digest;
use crate::error::{Error, Result};
use crate::metrics::Metrics;

/// Annotation: digest of what was applied. Where it is not that of what should
/// be, something was taken out of what should be, which comparing cannot see.
pub const APPLIED: &str = "kafka.tubeway.dev/applied";

/// Sends changes, and counts them.
#[derive(Clone)]
pub struct Writer<'a> {
    client: Client,
    metrics: &'a Metrics,
    controller: &'static str,
    manager: &'static str,
}

/// What every kind that is written here can do.
pub trait Object:
    Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

// === impl Writer ===

impl<'a> Writer<'a> {
    /// Writes on behalf of `controller`.
    pub fn new(client: Client, metrics: &'a Metrics, controller: &'static str) -> Self {
        Self {
            client,
            metrics,
            controller,
            manager: labels::MANAGER,
        }
    }

    /// Owns the fields that it applies under this name of its own, so that
    /// whoever writes the rest does not take them away.
    #[must_use]
    pub fn managed_by(mut self, manager: &'static str) -> Self {
        self.manager = manager;
        self
    }

    /// Makes an object what it should be by server-side apply; returns whether
    /// that took a write.
    pub async fn apply<K: Object>(&self, desired: &K, live: Option<&K>) -> Result<bool> {
        let mut desired = desired.clone();
        let mark = digest(&[&desired]);
        let annotations = desired.annotations_mut();
        annotations.insert(APPLIED.to_owned(), mark);
        if live.is_some_and(|live| contains(&to_json(live), &to_json(&desired))) {
            return Ok(false);
        }
        match live {
            None => self.check_free(&desired).await?,
            Some(live) => {
                if let Some(lists) = other_lists(&to_json(live), &to_json(&desired)) {
                    self.put_lists(live, lists).await?;
                    return Ok(true);
                }
                // One that is gone by now is not made again by mistake.
                desired.meta_mut().uid = live.uid();
            }
        }
        let params = PatchParams::apply(self.manager).force();
        self.metrics.wrote(self.controller);
        self.api(&desired)
            .patch(&desired.name_any(), &params, &Patch::Apply(&desired))
            .await
            .map_err(Error::kubernetes(about("apply", &desired)))?;
        tracing::info!(object = %about("", &desired), "applied");
        Ok(true)
    }

    /// Makes lists of exactly the object that was seen what they should be.
    /// Applying would leave in them what others have put there, as another port
    /// of the same name, which the API server then refuses for good.
    async fn put_lists<K: Object>(&self, live: &K, mut lists: Value) -> Result<()> {
        lists["metadata"]["uid"] = live.uid().into();
        lists["metadata"]["resourceVersion"] = live.resource_version().into();
        let params = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        self.metrics.wrote(self.controller);
        self.api(live)
            .patch(&live.name_any(), &params, &Patch::Merge(lists))
            .await
            .map_err(Error::kubernetes(about("put right", live)))?;
        tracing::info!(object = %about("", live), "lists put right");
        Ok(())
    }

    /// Refuses a name that another cluster's object has: applying would take it
    /// over, and its volume with it. `a` with a pool `b-c` and `a-b` with a pool
    /// `c` want the same names.
    async fn check_free<K: Object>(&self, desired: &K) -> Result<()> {
        let Some(own) = desired.labels().get(labels::CLUSTER) else {
            return Ok(());
        };
        let found = self.api(desired).get_opt(&desired.name_any()).await;
        let found = found.map_err(Error::kubernetes(about("read", desired)))?;
        let owner = found.and_then(|found| found.labels().get(labels::CLUSTER).cloned());
        match owner {
            Some(owner) if owner != *own => Err(Error::Taken {
                object: about("", desired),
                owner,
            }),
            _ => Ok(()),
        }
    }

    /// Makes an object that must not be there yet; returns what is there then.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K> {
        self.metrics.wrote(self.controller);
        let params = PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        };
        let created = self
            .api(object)
            .create(&params, object)
            .await
            .map_err(Error::kubernetes(about("create", object)))?;
        tracing::info!(object = %about("", object), "created");
        Ok(created)
    }

    /// Sets an annotation of exactly the object that was seen, or takes it away.
    pub async fn annotate<K: Object>(
        &self,
        seen: &K,
        annotation: &str,
        value: Option<&str>,
    ) -> Result<()> {
        let patch = json!({ "metadata": {
            "uid": seen.uid(),
            "resourceVersion": seen.resource_version(),
            "annotations": { (annotation): value },
        } });
        let params = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        self.metrics.wrote(self.controller);
        self.api(seen)
            .patch(&seen.name_any(), &params, &Patch::Merge(patch))
            .await
            .map_err(Error::kubernetes(about("annotate", seen)))?;
        tracing::info!(object = %about("", seen), annotation, value, "annotated");
        Ok(())
    }

    /// Deletes exactly the object that was seen: not another of its name, and
    /// not one that has changed since.
    pub async fn delete<K: Object>(&self, seen: &K) -> Result<()> {
        self.delete_within(seen, None).await
    }

    /// Deletes exactly the Pod that was seen, which has so many seconds to stop,
    /// be it more or less than its own spec says.
    pub async fn stop(&self, seen: &Pod, grace: u32) -> Result<()> {
        self.delete_within(seen, Some(grace)).await
    }

    async fn delete_within<K: Object>(&self, seen: &K, grace: Option<u32>) -> Result<()> {
        let params = DeleteParams {
            grace_period_seconds: grace,
            preconditions: Some(Preconditions {
                uid: seen.uid(),
                resource_version: seen.resource_version(),
            }),
            ..DeleteParams::default()
        };
        self.metrics.wrote(self.controller);
        self.api(seen)
            .delete(&seen.name_any(), &params)
            .await
            .map_err(Error::kubernetes(about("delete", seen)))?;
        tracing::info!(object = %about("", seen), "deleted");
        Ok(())
    }

    /// Writes `status` where `live` says something else; returns whether that
    /// took a write. Only this status's own conditions are touched.
    pub async fn status<K: Object>(&self, live: &K, status: &impl Serialize) -> Result<bool> {
        let status = to_json(status);
        if contains(&to_json(live)["status"], &status) {
            return Ok(false);
        }
        self.put_status(live, &status).await?;
        Ok(true)
    }

    /// Writes `status` whatever `live` says.
    pub async fn put_status<K: Object>(&self, live: &K, status: &Value) -> Result<()> {
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // The UID keeps this from landing on another object of the name.
            "metadata": { "name": live.name_any(), "uid": live.uid() },
            "status": status,
        });
        let params = PatchParams::apply(self.manager).force();
        self.metrics.wrote(self.controller);
        self.api(live)
            .patch_status(&live.name_any(), &params, &Patch::Apply(patch))
            .await
            .map_err(Error::kubernetes(about("write the status of", live)))?;
        Ok(())
    }

    fn api<K: Object>(&self, object: &K) -> Api<K> {
        let namespace = object.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }
}

/// The lists of `desired` that are others in `live`, as a merge patch. A list
/// that is not there yet is none of them.
fn other_lists(live: &Value, desired: &Value) -> Option<Value> {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            let fields = desired.iter().filter_map(|(name, wanted)| {
                let other = other_lists(live.get(name)?, wanted)?;
                Some((name.clone(), other))
            });
            let fields: serde_json::Map<_, _> = fields.collect();
            (!fields.is_empty()).then(|| fields.into())
        }
        (Value::Array(_), Value::Array(_)) => (!contains(live, desired)).then(|| desired.clone()),
        _ => None,
    }
}

/// Whether `live` has everything that `desired` has; it may have more, which
/// others or the API server filled in.
pub(crate) fn contains(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => desired.iter().all(|(key, wanted)| {
            live.get(key)
                .map_or_else(|| wanted.is_null(), |found| contains(found, wanted))
        }),
        (Value::Array(live), Value::Array(desired)) => {
            let typed = |item: &Value| item.get("type").is_some();
            if !desired.is_empty() && desired.iter().all(typed) {
                // Conditions: others may have theirs in the same list.
                desired.iter().all(|wanted| {
                    let mut same = live.iter().filter(|item| item["type"] == wanted["type"]);
                    same.any(|found| contains(found, wanted))
                })
            } else {
                live.len() == desired.len() && live.iter().zip(desired).all(|(l, d)| contains(l, d))
            }
        }
        (live, desired) => live == desired,
    }
}

pub(crate) fn to_json(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_else(|_| unreachable!("Kubernetes objects are JSON"))
}

fn about<K: Object>(verb: &str, object: &K) -> String {
    let kind = K::kind(&());
    let namespace = object.namespace().unwrap_or_default();
    let name = object.name_any();
    let text = format!("{verb} {kind} {namespace}/{name}");
    text.trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_add_is_no_difference() {
        let desired = json!({ "a": 1, "list": [{ "name": "x" }], "none": null });
        let live = json!({ "a": 1, "b": 2, "list": [{ "name": "x", "extra": true }] });
        assert!(contains(&live, &desired));
    }

    #[test]
    fn a_changed_or_longer_list_is_a_difference() {
        let desired = json!({ "ports": [{ "port": 1 }] });
        assert!(!contains(&json!({ "ports": [{ "port": 2 }] }), &desired));
        assert!(!contains(
            &json!({ "ports": [{ "port": 1 }, { "port": 2 }] }),
            &desired
        ));
        assert!(!contains(&json!({}), &desired));
    }

    #[test]
    fn lists_that_others_have_changed_are_put_right_as_a_whole() {
        let desired = json!({ "spec": { "type": "A", "ports": [{ "port": 1 }] } });
        for ports in [
            json!([{ "port": 2 }]),
            json!([{ "port": 1 }, { "port": 2 }]),
            json!([]),
        ] {
            let live = json!({ "spec": { "type": "B", "ports": ports } });
            let wanted = json!({ "spec": { "ports": [{ "port": 1 }] } });
            assert_eq!(other_lists(&live, &desired), Some(wanted));
        }
        for live in [
            json!({ "spec": { "ports": [{ "port": 1, "protocol": "TCP" }] } }),
            json!({ "spec": {} }),
        ] {
            assert_eq!(other_lists(&live, &desired), None);
        }
    }

    #[test]
    fn conditions_are_compared_by_type() {
        let desired = json!([{ "type": "Ready", "status": "True" }]);
        let live = json!([
            { "type": "AccessApplied", "status": "True" },
            { "type": "Ready", "status": "True", "reason": "Ready" },
        ]);
        assert!(contains(&live, &desired));
        assert!(!contains(
            &json!([{ "type": "Ready", "status": "False" }]),
            &desired
        ));
    }

    #[test]
    fn an_empty_list_that_others_filled_is_a_difference() {
        assert!(contains(&json!([]), &json!([])));
        assert!(!contains(&json!([1]), &json!([])));
    }
}
