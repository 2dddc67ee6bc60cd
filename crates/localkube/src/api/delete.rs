//! Deleting: one object, or many.

use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::Answer;
use super::read::{Selection, listing};
use super::status::{Reply, Status};
use super::{Api, Call, body, form, options};
use crate::objects::{Deleted, Deletion, Propagation};
use crate::store::{Key, Stored};

// === impl Api ===

impl Api {
    pub(super) async fn delete(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let deletion = options(call, body).await?;
        let deleted = self.discard(&call.resource, &call.key(), &deletion)?;
        self.settle(self.store.rv()).await?;
        Ok(match deleted {
            Deleted::Marked(stored) => call.show(&stored),
            Deleted::Gone(stored) if returns_object(call) => call.show(&stored),
            Deleted::Gone(stored) => Answer::json(&success(call, &stored)),
        })
    }

    pub(super) async fn delete_collection(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let selection = Selection::parse(&call.resource, &call.query, "")?;
        let deletion = options(call, body).await?;
        let namespace = (!call.target.namespace.is_empty()).then_some(&*call.target.namespace);
        let (_, objects) = self.store.list(&call.resource.storage, namespace);
        let mut deleted = Vec::new();
        for object in objects {
            if !selection.matches(&form::shown(&call.resource, &object.value)) {
                continue;
            }
            match self.discard(
                &call.resource,
                &key_of(&call.resource.storage, &object),
                &deletion,
            ) {
                Ok(Deleted::Gone(_)) => deleted.push(object),
                Ok(Deleted::Marked(stored)) => deleted.push(stored),
                // Somebody else was faster: that is what was wanted.
                Err(status) if status.reason == "NotFound" => {}
                Err(status) => return Err(status),
            }
        }
        let rv = self.store.rv();
        self.settle(rv).await?;
        let metadata = json!({"resourceVersion": rv.to_string()});
        Ok(Answer::bytes(
            listing(
                &call.resource,
                call.accept,
                &call.query,
                &deleted,
                &metadata,
            ),
            "application/json",
        ))
    }
}

/// Where a stored object is stored.
pub(crate) fn key_of(storage: &std::sync::Arc<str>, object: &Stored) -> Key {
    let text = |field: &str| object.value["metadata"][field].as_str().unwrap_or_default();
    Key::new(storage, text("namespace"), text("name"))
}

/// Kinds whose deletion is answered by the object.
fn returns_object(call: &Call) -> bool {
    const KINDS: &[&str] = &[
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
    ];
    call.resource.group.is_empty() && KINDS.contains(&&*call.resource.plural)
}

fn success(call: &Call, stored: &Stored) -> Value {
    let mut details = json!({"name": call.target.name, "kind": call.resource.plural, "uid": stored.value["metadata"]["uid"]});
    if !call.resource.group.is_empty() {
        details["group"] = call.resource.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// The options in the body or, failing that, in the query.
async fn options(call: &Call, body: Incoming) -> Reply<Deletion> {
    let body = body::read_optional(&call.headers, body)
        .await?
        .unwrap_or(Value::Null);
    parse(&body, call)
}

/// The options in `body`, completed by the query.
pub(super) fn parse(body: &Value, call: &Call) -> Reply<Deletion> {
    options::deletion(body, call)?;
    let query = &call.query;
    let text = |name: &str| {
        body[name]
            .as_str()
            .or_else(|| query.get(name))
            .map(str::to_owned)
    };
    let grace = body["gracePeriodSeconds"]
        .as_i64()
        .or_else(|| query.get("gracePeriodSeconds")?.parse().ok());
    let orphans = body["orphanDependents"].as_bool();
    let orphans = orphans.or_else(|| query.get("orphanDependents").map(|value| value == "true"));
    let propagation = match (text("propagationPolicy").as_deref(), orphans) {
        (None, None) => None,
        (Some("Background"), None) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), None) => Some(Propagation::Foreground),
        (Some("Orphan"), None) | (None, Some(true)) => Some(Propagation::Orphan),
        (Some(other), _) => {
            return Err(Status::bad_request(format!("propagationPolicy: {other:?}")));
        }
    };
    let precondition = |name: &str| body["preconditions"][name].as_str().map(str::to_owned);
    Ok(Deletion {
        grace,
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        propagation,
        dry_run: call.dry_run()
            || body["dryRun"]
                .as_array()
                .is_some_and(|list| !list.is_empty()),
    })
}
