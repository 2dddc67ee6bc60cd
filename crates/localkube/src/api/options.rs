//! Parameters that a request may not have, refused in the words of the real server.

use http::StatusCode;
use serde_json::Value;

use super::Call;
use super::status::{Reply, Status};
use crate::pure::schema::FieldError;

/// The longest name of a field manager, bytes.
const MAX_MANAGER: usize = 128;

/// Checks the parameters of a request with `verb`.
pub(super) fn check(call: &Call, verb: &str) -> Reply<()> {
    match verb {
        "create" => written(call, "CreateOptions"),
        "update" => written(call, "UpdateOptions"),
        "patch" => written(call, "PatchOptions"),
        "list" | "watch" | "deletecollection" => {
            for name in ["limit", "timeoutSeconds"] {
                integer(call, name)?;
            }
            listed(call, verb == "watch")
        }
        "delete" => integer(call, "gracePeriodSeconds"),
        _ => Ok(()),
    }
}

/// Checks what a deletion asks for, in its body or its parameters.
pub(super) fn deletion(body: &Value, call: &Call) -> Reply<()> {
    let mut errors = Vec::new();
    let named = body["dryRun"].as_array().into_iter().flatten();
    let wrong = named
        .filter_map(Value::as_str)
        .find(|value| *value != "All");
    errors.extend(wrong.or_else(|| wrong_dry_run(call)).map(dry_run));
    let policy = body["propagationPolicy"].as_str();
    let policy = policy.or_else(|| call.query.get("propagationPolicy"));
    let orphans =
        body["orphanDependents"].is_boolean() || call.query.get("orphanDependents").is_some();
    if let Some(policy) = policy {
        let path = "propagationPolicy";
        if !matches!(policy, "Foreground" | "Background" | "Orphan") {
            let supported = "\"Foreground\", \"Background\", \"Orphan\", \"nil\"";
            errors.push(unsupported(path, &format!("{policy:?}"), supported));
        } else if orphans {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.push(error(
                path,
                "FieldValueInvalid",
                format!("Invalid value: {policy:?}: {why}"),
            ));
        }
    }
    refuse("DeleteOptions", &errors)
}

fn written(call: &Call, kind: &str) -> Reply<()> {
    let query = &call.query;
    let mut errors = Vec::new();
    errors.extend(wrong_dry_run(call).map(dry_run));
    let apply = call
        .headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/apply-patch"));
    if kind == "PatchOptions" && !apply && query.flag("force") {
        let message = "Forbidden: may not be specified for non-apply patch".into();
        errors.push(error("force", "FieldValueForbidden", message));
    }
    if query
        .get("fieldManager")
        .is_some_and(|manager| manager.len() > MAX_MANAGER)
    {
        let message = format!("Too long: may not be more than {MAX_MANAGER} bytes");
        errors.push(error("fieldManager", "FieldValueTooLong", message));
    }
    if let Some(wanted) = query.get("fieldValidation")
        && !matches!(wanted, "Ignore" | "Strict" | "Warn")
    {
        let supported = "\"\", \"Ignore\", \"Strict\", \"Warn\"";
        errors.push(unsupported(
            "fieldValidation",
            &format!("{wanted:?}"),
            supported,
        ));
    }
    refuse(kind, &errors)
}

fn listed(call: &Call, watch: bool) -> Reply<()> {
    let query = &call.query;
    let version = query.get("resourceVersion");
    let forbidden =
        |path: &str, why: &str| error(path, "FieldValueForbidden", format!("Forbidden: {why}"));
    let mut errors = Vec::new();
    if let Some(wanted) = query.get("resourceVersionMatch") {
        let path = "resourceVersionMatch";
        if watch {
            if !query.flag("sendInitialEvents") {
                errors.push(forbidden(path, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
            }
        } else if !matches!(wanted, "Exact" | "NotOlderThan") {
            errors.push(unsupported(
                path,
                &format!("{wanted:?}"),
                "\"Exact\", \"NotOlderThan\", \"\"",
            ));
        } else if version.is_none() {
            errors.push(forbidden(
                path,
                "resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        } else if wanted == "Exact" && version == Some("0") {
            errors.push(forbidden(
                path,
                "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
    }
    if !watch && query.get("sendInitialEvents").is_some() {
        errors.push(forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    refuse("ListOptions", &errors)?;
    if query.get("continue").is_some() && version.is_some_and(|version| version != "0") {
        return Err(Status::bad_request(
            "specifying resource version is not allowed when using continue",
        ));
    }
    match version {
        Some(text) if text.parse::<u64>().is_err() => {
            let why = format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            );
            Err(if watch {
                Status::new(StatusCode::INTERNAL_SERVER_ERROR, "", why)
            } else {
                Status::bad_request(format!("invalid resource version: {why}"))
            })
        }
        _ => Ok(()),
    }
}

fn integer(call: &Call, name: &str) -> Reply<()> {
    match call.query.get(name) {
        Some(text) if text.parse::<i64>().is_err() => Err(Status::bad_request(format!(
            "strconv.ParseInt: parsing {text:?}: invalid syntax"
        ))),
        _ => Ok(()),
    }
}

fn wrong_dry_run(call: &Call) -> Option<&str> {
    call.query.get("dryRun").filter(|value| *value != "All")
}

fn dry_run(value: &str) -> FieldError {
    unsupported("dryRun", &format!("[{value:?}]"), "\"All\"")
}

fn unsupported(path: &str, value: &str, supported: &str) -> FieldError {
    let message = format!("Unsupported value: {value}: supported values: {supported}");
    error(path, "FieldValueNotSupported", message)
}

fn error(path: &str, reason: &'static str, message: String) -> FieldError {
    FieldError {
        path: path.into(),
        reason,
        message,
    }
}

fn refuse(kind: &str, errors: &[FieldError]) -> Reply<()> {
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid_of("meta.k8s.io", kind, "", errors))
    }
}
