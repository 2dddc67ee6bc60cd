//! Life and death of objects, for requests and for the controllers inside the server.

use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::api::status::{Reply, Status};
use crate::api::{Api, now};
use crate::resource::Resource;
use crate::store::{Key, StoreError, Stored};

/// How dependents of a deleted object fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They go after it.
    Background,
    /// They go before it.
    Foreground,
    /// They stay and forget it.
    Orphan,
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// Time that the object has to end, seconds; only pods make use of it.
    pub(crate) grace: Option<i64>,
    /// Only the object of this uid.
    pub(crate) uid: Option<String>,
    /// Only at this resource version.
    pub(crate) resource_version: Option<String>,
    /// What becomes of the dependents; unsaid, what earlier deletions said.
    pub(crate) propagation: Option<Propagation>,
    /// Only tell what would happen.
    pub(crate) dry_run: bool,
}

/// What a deletion did.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// The object is gone; its last state.
    Gone(Arc<Stored>),
    /// The object is marked and goes later.
    Marked(Arc<Stored>),
}

/// The finalizer that stands for dependents to be orphaned.
pub(crate) const ORPHAN: &str = "orphan";
/// The finalizer that stands for dependents to be deleted first.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of CRDs that stands for their objects.
pub(crate) const CRD_CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How often a write is tried again after somebody else was faster.
pub(crate) const RETRIES: usize = 32;

// === impl Api ===

impl Api {
    /// Stores the successor of `old`, or removes the object if `new` was waiting for nothing but
    /// this write to go.
    pub(crate) fn put(
        &self,
        key: &Key,
        old: &Stored,
        new: Value,
    ) -> Result<Arc<Stored>, StoreError> {
        let stored = if ended(&new) {
            self.store.remove(key, old.rv)?
        } else {
            self.store.replace(key, old.rv, new)?
        };
        self.follow(key);
        Ok(stored)
    }

    /// Does what must be done at once after any write to `key`.
    pub(crate) fn follow(&self, key: &Key) {
        if &*key.resource == "customresourcedefinitions.apiextensions.k8s.io" {
            self.registry.refresh(&self.store);
        }
    }

    /// Changes an object as often as it takes; `change` returns false to leave it as it is.
    pub(crate) fn adjust(
        &self,
        key: &Key,
        mut change: impl FnMut(&mut Value) -> bool,
    ) -> Result<(), StoreError> {
        for _ in 0..RETRIES {
            let Some(old) = self.store.get(key) else {
                return Ok(());
            };
            let mut new = old.value.clone();
            if !change(&mut new) {
                return Ok(());
            }
            match self.put(key, &old, new) {
                Err(StoreError::Stale) => {}
                other => return other.map(|_| ()),
            }
        }
        Err(StoreError::Stale)
    }

    /// Deletes an object, or marks it for deletion if something must happen before.
    pub(crate) fn discard(
        &self,
        resource: &Resource,
        key: &Key,
        deletion: &Deletion,
    ) -> Reply<Deleted> {
        for _ in 0..RETRIES {
            let old = self
                .store
                .get(key)
                .ok_or_else(|| Status::not_found(resource, &key.name))?;
            check_preconditions(resource, &old, deletion)?;
            let new = mark(resource, &old.value, deletion);
            let gone = ended(&new);
            if deletion.dry_run {
                return Ok(if gone {
                    Deleted::Gone(old)
                } else {
                    Deleted::Marked(old)
                });
            }
            if !gone && new == old.value {
                return Ok(Deleted::Marked(old));
            }
            match self.put(key, &old, new) {
                Ok(stored) if gone && resource.is_core("pods") => {
                    let value = mark(resource, &stored.value, deletion);
                    let json = value.to_string().into();
                    let rv = stored.rv;
                    return Ok(Deleted::Gone(Arc::new(Stored { value, json, rv })));
                }
                Ok(stored) if gone => return Ok(Deleted::Gone(stored)),
                Ok(stored) => return Ok(Deleted::Marked(stored)),
                Err(StoreError::Stale) => {}
                Err(error) => return Err(Status::from_store(&error, resource, &key.name)),
            }
        }
        Err(Status::modified(resource, &key.name))
    }
}

/// The finalizers of an object.
pub(crate) fn finalizers(value: &Value) -> Vec<&str> {
    value["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether an object is marked for deletion.
pub(crate) fn ending(value: &Value) -> bool {
    value["metadata"]["deletionTimestamp"].is_string()
}

/// Removes a finalizer; false if it was not there.
pub(crate) fn drop_finalizer(value: &mut Value, name: &str) -> bool {
    let Some(list) = value["metadata"]
        .get_mut("finalizers")
        .and_then(Value::as_array_mut)
    else {
        return false;
    };
    let before = list.len();
    list.retain(|finalizer| finalizer != name);
    let changed = list.len() < before;
    if list.is_empty()
        && let Some(metadata) = value["metadata"].as_object_mut()
    {
        metadata.remove("finalizers");
    }
    changed
}

/// Adds a finalizer unless it is there.
pub(crate) fn add_finalizer(value: &mut Value, name: &str) {
    if finalizers(value).contains(&name) {
        return;
    }
    match value["metadata"]
        .get_mut("finalizers")
        .and_then(Value::as_array_mut)
    {
        Some(list) => list.push(name.into()),
        None => value["metadata"]["finalizers"] = json!([name]),
    }
}

/// Whether an object that is marked for deletion has nothing left to wait for.
pub(crate) fn ended(value: &Value) -> bool {
    let graceful = value["metadata"]["deletionGracePeriodSeconds"]
        .as_i64()
        .unwrap_or(0)
        > 0;
    let namespace = value["kind"] == "Namespace"
        && value["spec"]["finalizers"]
            .as_array()
            .is_some_and(|f| !f.is_empty());
    ending(value) && finalizers(value).is_empty() && !graceful && !namespace
}

/// The object, marked for deletion.
fn mark(resource: &Resource, old: &Value, deletion: &Deletion) -> Value {
    let mut new = old.clone();
    if let Some(propagation) = deletion.propagation {
        drop_finalizer(&mut new, ORPHAN);
        drop_finalizer(&mut new, FOREGROUND);
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => add_finalizer(&mut new, FOREGROUND),
            Propagation::Orphan => add_finalizer(&mut new, ORPHAN),
        }
    }
    let grace = if resource.is_core("pods") {
        grace(old, deletion.grace)
    } else {
        0
    };
    let before = old["metadata"]["deletionGracePeriodSeconds"].as_i64();
    // A second deletion may shorten the time, never lengthen it.
    if !ending(old) || before.is_some_and(|before| grace < before) {
        let end = jiff::Timestamp::now().as_second().saturating_add(grace);
        let end = jiff::Timestamp::from_second(end).map_or_else(|_| now(), |end| end.to_string());
        let metadata = &mut new["metadata"];
        metadata["deletionTimestamp"] = end.into();
        // These two end when their contents have, and nothing counts it as a change.
        if resource.is_core("namespaces")
            || resource.is("apiextensions.k8s.io", "customresourcedefinitions")
        {
            return finish(resource, old, new);
        }
        metadata["deletionGracePeriodSeconds"] = grace.into();
        if ending(old) {
            return finish(resource, old, new);
        }
        if let Some(generation) = metadata["generation"].as_i64() {
            metadata["generation"] = (generation + 1).into();
        } else if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("generation");
        }
    }
    finish(resource, old, new)
}

/// Adds to an object marked for deletion what its kind is ended by.
fn finish(resource: &Resource, old: &Value, mut new: Value) -> Value {
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") && !ending(old) {
        add_finalizer(&mut new, CRD_CLEANUP);
    }
    if resource.is_core("namespaces") {
        new["status"]["phase"] = "Terminating".into();
    }
    new
}

/// The time that a pod gets to end, seconds.
fn grace(pod: &Value, wanted: Option<i64>) -> i64 {
    let nowhere = pod["spec"]["nodeName"]
        .as_str()
        .unwrap_or_default()
        .is_empty();
    let over = matches!(
        pod["status"]["phase"].as_str(),
        Some("Succeeded" | "Failed")
    );
    if nowhere || over {
        return 0;
    }
    wanted
        .or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64())
        .unwrap_or(30)
        .max(0)
}

fn check_preconditions(resource: &Resource, old: &Stored, deletion: &Deletion) -> Reply<()> {
    let metadata = &old.value["metadata"];
    let refuse = |why: String| {
        let kind = match &*resource.group {
            "" => resource.kind.to_string(),
            group => format!("{}.{group}", resource.kind),
        };
        let name = metadata["name"].as_str().unwrap_or_default();
        let message = format!("Operation cannot be fulfilled on {kind} \"{name}\": {why}");
        let mut status = Status::new(StatusCode::CONFLICT, "Conflict", message);
        status.details = json!({"name": name, "kind": resource.kind});
        if !resource.group.is_empty() {
            status.details["group"] = resource.group.clone().into();
        }
        Err(status)
    };
    if let Some(uid) = &deletion.uid
        && metadata["uid"] != **uid
    {
        let found = metadata["uid"].as_str().unwrap_or_default();
        return refuse(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({found}). \
             The object might have been deleted and then recreated"
        ));
    }
    if let Some(version) = &deletion.resource_version
        && metadata["resourceVersion"] != **version
    {
        return refuse(format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
             The object might have been modified",
            old.rv
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::BUILTIN;

    fn resource(plural: &str) -> &'static Resource {
        BUILTIN.iter().find(|r| r.is_core(plural)).unwrap()
    }

    #[test]
    fn a_running_pod_ends_in_two_steps() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "generation": 1},
            "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 20}, "status": {"phase": "Running"}});
        let marked = mark(resource("pods"), &pod, &Deletion::default());
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 20);
        assert_eq!(marked["metadata"]["generation"], 2);
        assert!(!ended(&marked));
        let longer = mark(
            resource("pods"),
            &marked,
            &Deletion {
                grace: Some(90),
                ..Deletion::default()
            },
        );
        assert_eq!(longer, marked);
        let last = mark(
            resource("pods"),
            &marked,
            &Deletion {
                grace: Some(0),
                ..Deletion::default()
            },
        );
        assert!(ended(&last));
    }

    #[test]
    fn a_pod_that_never_ran_goes_at_once_and_a_finalizer_keeps_anything() {
        let mut pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Pending"}});
        assert!(ended(&mark(resource("pods"), &pod, &Deletion::default())));
        pod["metadata"]["finalizers"] = json!(["x"]);
        let mut marked = mark(resource("pods"), &pod, &Deletion::default());
        assert!(!ended(&marked));
        assert!(drop_finalizer(&mut marked, "x"));
        assert!(ended(&marked) && marked["metadata"].get("finalizers").is_none());
    }

    #[test]
    fn the_last_word_on_dependents_counts() {
        let map = json!({"kind": "ConfigMap", "metadata": {"name": "c"}});
        let with = |old: &Value, propagation| {
            mark(
                resource("configmaps"),
                old,
                &Deletion {
                    propagation: Some(propagation),
                    ..Deletion::default()
                },
            )
        };
        let orphan = with(&map, Propagation::Orphan);
        assert_eq!(finalizers(&orphan), [ORPHAN]);
        assert_eq!(
            finalizers(&with(&orphan, Propagation::Foreground)),
            [FOREGROUND]
        );
        assert!(ended(&with(&orphan, Propagation::Background)));
    }

    #[test]
    fn a_namespace_waits_for_its_content() {
        let ns = json!({"kind": "Namespace", "metadata": {"name": "n"}, "spec": {"finalizers": ["kubernetes"]}});
        let marked = mark(resource("namespaces"), &ns, &Deletion::default());
        assert_eq!(marked["status"]["phase"], "Terminating");
        assert!(!ended(&marked));
    }
}
