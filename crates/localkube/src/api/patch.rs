//! Patches of all four kinds.

use http::StatusCode;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::Answer;
use super::status::{Reply, Status};
use super::write::{Tracking, Written, check_identity};
use super::{Api, Call, body, now};
use crate::pure::apply::{ApplyError, server_side_apply};
use crate::pure::patch::{PatchError, json_patch, merge_patch, strategic_merge_patch};
use crate::pure::schema::FieldError;

const TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
const BUILTIN_TYPES: &str = "application/json-patch+json, application/merge-patch+json, \
    application/strategic-merge-patch+json, application/apply-patch+yaml";

type Patch = fn(&Value, &Value) -> Result<Value, PatchError>;

// === impl Api ===

impl Api {
    pub(super) async fn patch(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let bytes = body::collect(body).await?;
        let media_type = body::media_type(&call.headers);
        let builtin = call.resource.crd.is_none();
        let patch: Patch = match media_type {
            "application/json-patch+json" => json_patch,
            "application/merge-patch+json" => merge_patch,
            "application/strategic-merge-patch+json" if builtin => strategic_merge_patch,
            "application/apply-patch+yaml" => {
                let applied = body::parse(&bytes, media_type)?;
                let written = self.apply(call, &applied)?;
                return self.written(call, written).await;
            }
            _ => {
                return Err(Status::unsupported(if builtin {
                    BUILTIN_TYPES
                } else {
                    TYPES
                }));
            }
        };
        let change = body::parse(&bytes, media_type)?;
        let written = self.change(call, &call.key(), Tracking::Update, |old| {
            patch(old, &change).map_err(|error| refusal(&error))
        })?;
        self.written(call, written).await
    }

    /// Server-side apply; makes the object if it is not there.
    pub(super) fn apply(&self, call: &Call, applied: &Value) -> Reply<Written> {
        let manager = call.query.get("fieldManager").ok_or_else(no_manager)?;
        check_identity(call, applied)?;
        let name = applied["metadata"]["name"].as_str().unwrap_or_default();
        if !name.is_empty() && name != call.target.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                call.target.name
            )));
        }
        if applied["metadata"]["managedFields"]
            .as_array()
            .is_some_and(|list| !list.is_empty())
        {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let unnamed = name.is_empty();
        let applied = typed(call, applied)?;
        let key = call.key();
        let force = call.query.flag("force");
        let merge = |live: Option<&Value>| {
            let (subresource, schema) = (&call.target.subresource, &call.resource.schema);
            server_side_apply(live, &applied, manager, force, subresource, &now(), schema)
                .map_err(|error| apply_refusal(&error))
        };
        loop {
            if self.store.get(&key).is_none() {
                if !call.target.subresource.is_empty() {
                    return Err(Status::not_found(&call.resource, &key.name));
                }
                self.check_target(&call.user, &call.target, "create")?;
                if unnamed {
                    return Err(Status::bad_request(format!(
                        "the name of the object ({} based on URL) was undeterminable: name must be provided",
                        call.target.name
                    )));
                }
                if let Some(uid) = applied["metadata"]["uid"].as_str() {
                    let why = format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    );
                    return Err(Status::conflict(&call.resource, &key.name, &why));
                }
                match self.insert(call, merge(None)?, Tracking::Done) {
                    Err(status) if status.reason == "AlreadyExists" => continue,
                    other => return other,
                }
            }
            return self.change(call, &key, Tracking::Done, |old| {
                let mut merged = merge(Some(old))?;
                // What the applier says of these are conditions.
                for field in ["resourceVersion", "uid"] {
                    if let Some(stated) = applied["metadata"].get(field) {
                        merged["metadata"][field] = stated.clone();
                    }
                }
                Ok(merged)
            });
        }
    }
}

/// What is applied must be of its kind: there is no asking for leniency.
fn typed(call: &Call, applied: &Value) -> Reply<Value> {
    let mut applied = applied.clone();
    if applied["metadata"].is_null() {
        applied["metadata"] = json!({});
    }
    if let Some(metadata) = applied["metadata"].as_object_mut() {
        metadata
            .entry("name")
            .or_insert_with(|| call.target.name.clone().into());
        if call.resource.namespaced {
            metadata
                .entry("namespace")
                .or_insert_with(|| call.target.namespace.clone().into());
        }
    }
    let whole = applied.clone();
    let wrong = match call.resource.check {
        Some(check) => check(&mut applied),
        None => Ok(call.resource.schema.prune(&mut applied)),
    };
    let why = match wrong {
        Ok(unknown) => match unknown.first() {
            None => return Ok(applied),
            Some(first) => format!(".{}: field not declared in schema", by_name(&whole, first)),
        },
        Err(why) => why,
    };
    let (resource, target) = (&call.resource, &call.target);
    let kind = format!(
        "{}/{}, Kind={}",
        resource.group, resource.version, resource.kind
    );
    let identity = format!("{}/{}; {kind}", target.namespace, target.name);
    let message = format!("failed to create typed patch object ({identity}): {why}");
    Err(Status::new(StatusCode::INTERNAL_SERVER_ERROR, "", message))
}

/// A path in which items of lists that have a name go by it: `spec.containers[name="a"].x`.
fn by_name(object: &Value, path: &str) -> String {
    let mut shown = String::new();
    let mut at = Some(object);
    for (count, part) in path.split('.').enumerate() {
        let (field, indexes) = part
            .split_once('[')
            .map_or((part, ""), |(field, rest)| (field, rest));
        shown.push_str(if count == 0 { "" } else { "." });
        shown.push_str(field);
        at = at.and_then(|at| at.get(field));
        for index in indexes.split('[').filter(|index| !index.is_empty()) {
            let index = index.trim_end_matches(']');
            at = at.and_then(|at| at.get(index.parse::<usize>().ok()?));
            match at.and_then(|item| item["name"].as_str()) {
                Some(name) => shown.extend(["[name=\"", name, "\"]"]),
                None => shown.extend(["[", index, "]"]),
            }
        }
    }
    shown
}

fn no_manager() -> Status {
    let error = FieldError {
        path: "fieldManager".into(),
        reason: "FieldValueRequired",
        message: "Required value: is required for apply patch".into(),
    };
    Status::invalid_of("meta.k8s.io", "PatchOptions", "", &[error])
}

fn refusal(error: &PatchError) -> Status {
    match error {
        PatchError::NoMergeKey { .. } => {
            Status::new(StatusCode::INTERNAL_SERVER_ERROR, "", error.to_string())
        }
        PatchError::Malformed(_) => Status::bad_request(error.to_string()),
        PatchError::TooLong { .. } => Status::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            error.to_string(),
        ),
        PatchError::TestFailed { .. } | PatchError::NotApplicable(_) => {
            tracing::debug!(%error, "a patch does not apply");
            let message = "the server rejected our request due to an error in our request";
            let mut status = Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
            status.details = json!({});
            status
        }
    }
}

fn apply_refusal(error: &ApplyError) -> Status {
    let message = error.to_string();
    match error {
        ApplyError::Conflict(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|conflict| {
                    let message = format!("conflict with {}", conflict.manager);
                    json!({"reason": "FieldManagerConflict", "message": message, "field": conflict.field})
                })
                .collect();
            let mut status = Status::new(StatusCode::CONFLICT, "Conflict", message);
            status.details = json!({"causes": causes});
            status
        }
        ApplyError::Invalid { .. } => Status::new(StatusCode::INTERNAL_SERVER_ERROR, "", message),
        ApplyError::StoredOwnership(_) => Status::internal(message),
        ApplyError::NotAnObject | ApplyError::ManagedFieldsGiven => Status::bad_request(message),
    }
}
