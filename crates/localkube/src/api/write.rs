//! Creating and replacing objects, and what all writes have in common.

mod admission;
mod shape;

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use serde_json::Value;

use super::answer::Answer;
use super::status::{Reply, Status};
use super::{Api, Call, body, form, now};
use crate::objects::{RETRIES, ended, ending};
use crate::pure::apply::track_update;
use crate::pure::schema::FieldError;
use crate::resource::{Resource, accept_crd};
use crate::store::{Key, StoreError, Stored};
use crate::strategy::{self, Allocation};

pub(super) use shape::check_identity;

use shape::{
    check_fields, check_same, check_versions, confine, content_differs, generate_name,
    keep_metadata, name_and_stamp, unchanged,
};

/// A write that worked.
pub(super) struct Written {
    /// The object after it.
    pub(super) stored: Arc<Stored>,
    /// Whether the object is new.
    pub(super) created: bool,
    /// What the writer should know.
    pub(super) warnings: Vec<String>,
}

/// Who keeps `managedFields` in this write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracking {
    /// They are yet to be brought up to date.
    Update,
    /// Server-side apply did it.
    Done,
}

// === impl Api ===

impl Api {
    pub(super) async fn create(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let mut value = body::read(&call.headers, body).await?;
        say_kind(call, &mut value);
        let written = self.insert(call, value, Tracking::Update)?;
        self.written(call, written).await
    }

    pub(super) async fn update(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let mut value = body::read(&call.headers, body).await?;
        say_kind(call, &mut value);
        check_identity(call, &value)?;
        let name = &call.target.name;
        if value["metadata"]["name"].as_str().unwrap_or_default() != name {
            let found = value["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
        let key = call.key();
        if self.store.get(&key).is_none()
            && call.resource.create_on_update
            && call.target.subresource.is_empty()
        {
            self.check_target(&call.user, &call.target, "create")?;
            let written = self.insert(call, value, Tracking::Update)?;
            return self.written(call, written).await;
        }
        let versioned = !value["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .is_empty();
        if !versioned && (call.resource.crd.is_some() || call.resource.plural == "leases") {
            let error = FieldError {
                path: "metadata.resourceVersion".into(),
                reason: "FieldValueInvalid",
                message: "Invalid value: 0: must be specified for an update".into(),
            };
            let (group, plural) = (&call.resource.group, &call.resource.plural);
            return Err(Status::invalid_of(group, plural, name, &[error]));
        }
        let written = self.change(call, &key, Tracking::Update, |_| Ok(value.clone()))?;
        self.written(call, written).await
    }

    /// The answer to a write, given once the disk has it.
    pub(super) async fn written(&self, call: &Call, written: Written) -> Reply<Answer> {
        self.settle(written.stored.rv).await?;
        let code = if written.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(call
            .show(&written.stored)
            .with_code(code)
            .with_warnings(written.warnings))
    }

    /// Makes a new object.
    pub(super) fn insert(
        &self,
        call: &Call,
        mut value: Value,
        tracking: Tracking,
    ) -> Reply<Written> {
        let resource = &call.resource;
        check_identity(call, &value)?;
        if !value["metadata"]["resourceVersion"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(Status::new(StatusCode::INTERNAL_SERVER_ERROR, "", message));
        }
        self.check_open(resource)?;
        let warnings = check_fields(call, &mut value)?;
        let generated = name_and_stamp(call, &mut value);
        strategy::default(resource, &mut value);
        if tracking == Tracking::Update {
            track_update(
                None,
                &mut value,
                &call.manager(),
                "",
                &now(),
                &resource.schema,
            );
        }
        self.admit(call, &mut value)?;
        strategy::start(resource, &mut value);
        self.check(call, &mut value, None)?;
        let mut attempts = if generated { 8 } else { 1 };
        loop {
            attempts -= 1;
            let name = value["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
            let key = Key::new(&resource.storage, namespace, &name);
            match self.insert_at(call, &key, value.clone()) {
                Ok(stored) => {
                    return Ok(Written {
                        stored,
                        created: true,
                        warnings,
                    });
                }
                Err(StoreError::Exists) if attempts > 0 => generate_name(&mut value),
                Err(StoreError::Exists)
                    if self.store.get(&key).is_some_and(|old| ending(&old.value)) =>
                {
                    return Err(Status::still_exists(resource, &name));
                }
                Err(error) => return Err(Status::from_store(&error, resource, &name)),
            }
        }
    }

    fn insert_at(
        &self,
        call: &Call,
        key: &Key,
        mut value: Value,
    ) -> Result<Arc<Stored>, StoreError> {
        let service = call.resource.is_core("services");
        let _addresses = service.then(|| self.addresses.lock());
        if service {
            let (_, services) = self.store.list("services", None);
            let taken = strategy::service_addresses(services.iter().map(|service| &service.value));
            // What is wrong with a wanted address was said before; here only the race is left.
            if strategy::allocate_address(&mut value, &taken) != Allocation::Settled {
                return Err(StoreError::Stale);
            }
        }
        let value = form::kept(&call.resource, value);
        if call.dry_run() {
            return match self.store.get(key) {
                Some(_) => Err(StoreError::Exists),
                None => Ok(unstored(value, 0)),
            };
        }
        let stored = self.store.create(key, value)?;
        self.follow(key);
        if call.resource.is_core("namespaces") {
            self.furnish(&key.name);
        }
        Ok(stored)
    }

    /// Replaces an object by what `make` makes of it, as often as somebody else is faster.
    pub(super) fn change(
        &self,
        call: &Call,
        key: &Key,
        tracking: Tracking,
        mut make: impl FnMut(&Value) -> Reply<Value>,
    ) -> Reply<Written> {
        let resource = &call.resource;
        for _ in 0..RETRIES {
            let stored = self
                .store
                .get(key)
                .ok_or_else(|| Status::not_found(resource, &key.name))?;
            let old = form::shown(resource, &stored.value);
            let mut new = make(&old)?;
            check_versions(call, &old, &new)?;
            let warnings = self.complete(call, &old, &mut new, tracking)?;
            if unchanged(&old, &new) {
                return Ok(Written {
                    stored,
                    created: false,
                    warnings,
                });
            }
            let new = form::kept(resource, new);
            if call.dry_run() {
                return Ok(Written {
                    stored: unstored(new, stored.rv),
                    created: false,
                    warnings,
                });
            }
            let last = ended(&new).then(|| unstored(new.clone(), stored.rv));
            match self.put(key, &stored, new) {
                Ok(stored) => {
                    // What the write made of the object is what it was at its end.
                    let stored = last.unwrap_or(stored);
                    return Ok(Written {
                        stored,
                        created: false,
                        warnings,
                    });
                }
                Err(StoreError::Stale) => {}
                Err(error) => return Err(Status::from_store(&error, resource, &key.name)),
            }
        }
        Err(Status::modified(resource, &key.name))
    }

    /// Turns what a client wants `old` to become into what it becomes.
    fn complete(
        &self,
        call: &Call,
        old: &Value,
        new: &mut Value,
        tracking: Tracking,
    ) -> Reply<Vec<String>> {
        let resource = &call.resource;
        check_same(call, old, new)?;
        let warnings = check_fields(call, new)?;
        keep_metadata(old, new);
        confine(resource, &call.target.subresource, old, new);
        strategy::default(resource, new);
        if tracking == Tracking::Update {
            track_update(
                Some(old),
                new,
                &call.manager(),
                &call.target.subresource,
                &now(),
                &resource.schema,
            );
        }
        self.check(call, new, Some(old))?;
        if resource.generation
            && call.target.subresource != "status"
            && content_differs(resource, old, new)
        {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = (generation + 1).into();
        }
        Ok(warnings)
    }

    /// Refuses what is wrong with an object.
    fn check(&self, call: &Call, value: &mut Value, old: Option<&Value>) -> Reply<()> {
        let resource = &call.resource;
        let mut errors = strategy::check_metadata(resource, value);
        if let Some(old) = old {
            errors.extend(strategy::check_metadata_update(value, old));
        }
        errors.extend(strategy::validate(resource, value, old));
        if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
            errors.extend(accept_crd(value, &now()));
        }
        if old.is_none() && resource.is_core("services") {
            errors.extend(self.check_address(value));
        }
        if errors.is_empty() && resource.group == "rbac.authorization.k8s.io" {
            return self
                .rules()
                .check_escalation(resource, value, old, &call.user);
        }
        if errors.is_empty() {
            return Ok(());
        }
        let name = value["metadata"]["name"].as_str().unwrap_or_default();
        // Events of either group are checked as those of the core.
        if resource.is("events.k8s.io", "events") {
            return Err(Status::invalid_of("", &resource.kind, name, &errors));
        }
        Err(Status::invalid(resource, name, &errors))
    }

    fn check_address(&self, service: &Value) -> Option<FieldError> {
        let (_, services) = self.store.list("services", None);
        let taken = strategy::service_addresses(services.iter().map(|service| &service.value));
        let mut copy = service.clone();
        let message = match strategy::allocate_address(&mut copy, &taken) {
            Allocation::Settled => return None,
            Allocation::Refused(why) => {
                format!("Invalid value: {}: {why}", service["spec"]["clusterIP"])
            }
            Allocation::Exhausted => {
                "Internal error: failed to allocate a serviceIP: range is full".into()
            }
        };
        Some(FieldError {
            path: "spec.clusterIPs".into(),
            reason: "FieldValueInvalid",
            message,
        })
    }

    /// Objects of a CRD that is going away are not made any more.
    fn check_open(&self, resource: &Resource) -> Reply<()> {
        let Some(crd) = &resource.crd else {
            return Ok(());
        };
        let key = Key::new(
            &"customresourcedefinitions.apiextensions.k8s.io".into(),
            "",
            &crd.name,
        );
        if self.store.get(&key).is_some_and(|crd| ending(&crd.value)) {
            let message = "create not allowed while custom resource definition is terminating";
            return Err(Status::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                message,
            ));
        }
        Ok(())
    }
}

/// The kind of a built-in resource is known by the path, and need not be said.
fn say_kind(call: &Call, value: &mut Value) {
    if call.resource.crd.is_none()
        && let Some(fields) = value.as_object_mut()
    {
        fields
            .entry("kind")
            .or_insert_with(|| call.resource.kind.to_string().into());
        fields
            .entry("apiVersion")
            .or_insert_with(|| call.resource.api_version().into());
    }
}

/// An object that looks stored, for dry runs.
fn unstored(mut value: Value, rv: u64) -> Arc<Stored> {
    if rv > 0 {
        value["metadata"]["resourceVersion"] = rv.to_string().into();
    }
    let json = value.to_string().into();
    Arc::new(Stored { value, json, rv })
}
