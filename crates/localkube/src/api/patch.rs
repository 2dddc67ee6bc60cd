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
        let written = self.change(call, &self.key(call), Tracking::Update, |old| {
            patch(old, &change).map_err(|error| refusal(&error))
        })?;
        self.written(call, written).await
    }

    /// Server-side apply; makes the object if it is not there.
    pub(super) fn apply(&self, call: &Call, applied: &Value) -> Reply<Written> {
        let manager = call
            .query
            .get("fieldManager")
            .ok_or_else(|| required("PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"))?;
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
        let applied = self.typed(call, applied)?;
        let key = self.key(call);
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
                match self.insert(call, merge(None)?, Tracking::Done) {
                    Err(status) if status.reason == "AlreadyExists" => continue,
                    other => return other,
                }
            }
            return self.change(call, &key, Tracking::Done, |old| merge(Some(old)));
        }
    }

    /// What is applied must be of its kind: there is no asking for leniency.
    fn typed(&self, call: &Call, applied: &Value) -> Reply<Value> {
        let mut applied = applied.clone();
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
        let wrong = match call.resource.check {
            Some(check) => check(&mut applied),
            None => Ok(call.resource.schema.prune(&mut applied)),
        };
        let why = match wrong {
            Ok(unknown) => match &unknown[..] {
                [] => return Ok(applied),
                [one] => format!(".{one}: field not declared in schema"),
                many => {
                    let lines: Vec<String> = many
                        .iter()
                        .map(|path| format!("\n  .{path}: field not declared in schema"))
                        .collect();
                    format!("errors:{}", lines.concat())
                }
            },
            Err(why) => why,
        };
        let identity = format!(
            "{}/{}; {}, Kind={}",
            call.target.namespace,
            call.target.name,
            call.resource.api_version(),
            call.resource.kind
        );
        let message = format!("failed to create typed patch object ({identity}): {why}");
        Err(Status::new(StatusCode::INTERNAL_SERVER_ERROR, "", message))
    }
}

fn required(message: &str) -> Status {
    Status::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
}

fn refusal(error: &PatchError) -> Status {
    match error {
        PatchError::Malformed(_) | PatchError::NoMergeKey { .. } => {
            Status::bad_request(error.to_string())
        }
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
