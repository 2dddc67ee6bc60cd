//! `metav1.Status`: how the API says no, word for word as clients expect it.

use std::fmt;

use http::StatusCode;
use serde_json::{Value, json};

use crate::pure::schema::FieldError;
use crate::resource::Resource;
use crate::store::StoreError;

/// A refusal. Displays as its message.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    /// HTTP status.
    pub(crate) code: StatusCode,
    /// Machine-readable reason; empty where the real API has none either.
    pub(crate) reason: &'static str,
    /// What people read.
    pub(crate) message: String,
    /// `details`, or null.
    pub(crate) details: Value,
}

/// What is said of paths that mean nothing.
pub(crate) const NO_SUCH_PATH: &str = "404 page not found\n";

/// Result of anything that may be refused.
pub(crate) type Reply<T> = Result<T, Status>;

// === impl Status ===

impl Status {
    /// A refusal without details.
    pub(crate) fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = details(&resource.group, &resource.plural, name);
        self
    }

    /// The object is not there.
    pub(crate) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(resource, name)
    }

    /// The path means nothing here. Nothing that speaks of objects answers then, so the answer is
    /// plain text.
    pub(crate) fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "", NO_SUCH_PATH)
    }

    /// The namespace is not there.
    pub(crate) fn no_namespace(name: &str) -> Self {
        let message = format!("namespaces \"{name}\" not found");
        let mut status = Self::new(StatusCode::NOT_FOUND, "NotFound", message);
        status.details = details("", "namespaces", name);
        status
    }

    /// An object of that name is there already.
    pub(crate) fn exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(resource, name)
    }

    /// An object of that name is on its way out.
    pub(crate) fn still_exists(resource: &Resource, name: &str) -> Self {
        let mut status = Self::exists(resource, name);
        status.message = format!("object is being deleted: {}", status.message);
        status
    }

    /// The object was changed in between.
    pub(crate) fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// The write clashes with the object's state.
    pub(crate) fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified()
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(resource, name)
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// Not allowed for a reason that has nothing to do with roles.
    pub(crate) fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let message = match name {
            "" => format!("{} is forbidden: {why}", resource.qualified()),
            name => format!("{} \"{name}\" is forbidden: {why}", resource.qualified()),
        };
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(resource, name)
    }

    /// Nobody is known by these credentials.
    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// The resource has no such verb.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let mut status = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
        status.details = json!({});
        status
    }

    /// The body is of a type that is not understood.
    pub(crate) fn unsupported(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            message,
        )
    }

    /// A group that is built in has no such resource.
    pub(crate) fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        let mut status = Self::new(StatusCode::NOT_FOUND, "NotFound", message);
        status.details = json!({});
        status
    }

    /// None of the types that the client accepts can be produced.
    pub(crate) fn not_acceptable() -> Self {
        let message =
            "only the following media types are accepted: application/json, application/yaml";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// A resource version that is no longer known.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// Something broke on this side.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        let message = format!("Internal error occurred: {message}");
        let mut status = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
        status.details = json!({"causes": [{"message": status.message.trim_start_matches("Internal error occurred: ")}]});
        status
    }

    /// Fields of the object are wrong.
    pub(crate) fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_of(&resource.group, &resource.kind, name, errors)
    }

    /// Fields of something of a kind are wrong.
    pub(crate) fn invalid_of(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let qualified = match group {
            "" => kind.to_owned(),
            group => format!("{kind}.{group}"),
        };
        let text: Vec<String> = errors
            .iter()
            .map(|e| format!("{}: {}", e.path, e.message))
            .collect();
        let text = match &text[..] {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{qualified} \"{name}\" is invalid: {text}");
        let mut status = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        let causes: Vec<Value> = errors
            .iter()
            .map(|e| json!({"reason": e.reason, "message": e.message, "field": e.path}))
            .collect();
        status.details = details(group, kind, name);
        status.details["causes"] = Value::Array(causes);
        status
    }

    /// A part of the request is wrong that belongs to no object.
    pub(crate) fn invalid_nameless(error: &FieldError) -> Self {
        let message = format!(" \"\" is invalid: {}: {}", error.path, error.message);
        let mut status = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        status.details = json!({"causes": [{"reason": error.reason, "message": error.message, "field": error.path}]});
        status
    }

    /// What the store refused, about the object `name`.
    pub(crate) fn from_store(error: &StoreError, resource: &Resource, name: &str) -> Self {
        match error {
            StoreError::Exists => Self::exists(resource, name),
            StoreError::Missing => Self::not_found(resource, name),
            StoreError::Stale => Self::modified(resource, name),
            StoreError::NoNamespace(ns) => Self::no_namespace(ns),
            StoreError::NamespaceEnds(ns) => Self::namespace_ends(resource, name, ns),
            StoreError::TooOld { .. } => Self::expired(error.to_string()),
            StoreError::Disk { .. } | StoreError::Open { .. } => Self::internal(error),
        }
    }

    fn namespace_ends(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut status = Self::forbidden(resource, name, &why);
        status.details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]);
        status
    }

    /// The object that goes over the wire.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            body["reason"] = self.reason.into();
        }
        if !self.details.is_null() {
            body["details"] = self.details.clone();
        }
        body
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({"kind": kind});
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details
}
