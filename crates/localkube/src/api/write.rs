//! Creating and replacing objects, and what all writes have in common.

use std::sync::Arc;

use http::StatusCode;
use hyper::body::Incoming;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::answer::Answer;
use super::status::{Reply, Status};
use super::{Api, Call, body, form, now};
use crate::objects::{CRD_CLEANUP, RETRIES, ending};
use crate::pure::apply::track_update;
use crate::pure::schema::FieldError;
use crate::resource::{Resource, accept_crd};
use crate::store::{Key, StoreError, Stored};
use crate::strategy::{self, Allocation};

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

/// Letters and digits of generated names: no vowels, so no words.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

// === impl Api ===

impl Api {
    pub(super) async fn create(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let value = body::read(&call.headers, body).await?;
        let written = self.insert(call, value, Tracking::Update)?;
        self.written(call, written).await
    }

    pub(super) async fn update(&self, call: &Call, body: Incoming) -> Reply<Answer> {
        let value = body::read(&call.headers, body).await?;
        check_identity(call, &value)?;
        let name = &call.target.name;
        if value["metadata"]["name"].as_str().unwrap_or_default() != name {
            let found = value["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::bad_request(format!(
                "the name of the object ({found}) does not match the name on the URL ({name})"
            )));
        }
        let key = self.key(call);
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
        if !versioned && call.resource.crd.is_some() {
            let error = FieldError {
                path: "metadata.resourceVersion".into(),
                reason: "FieldValueInvalid",
                message: "Invalid value: 0: must be specified for an update".into(),
            };
            return Err(Status::invalid(&call.resource, name, &[error]));
        }
        let written = self.change(call, &key, Tracking::Update, |_| Ok(value.clone()))?;
        self.written(call, written).await
    }

    /// Where the object of `call` is stored.
    pub(super) fn key(&self, call: &Call) -> Key {
        let namespace = if call.resource.namespaced {
            &*call.target.namespace
        } else {
            ""
        };
        Key::new(&call.resource.storage, namespace, &call.target.name)
    }

    /// The answer to a write, given once the disk has it.
    pub(super) async fn written(&self, call: &Call, written: Written) -> Reply<Answer> {
        self.settle(written.stored.rv).await?;
        let code = if written.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(self
            .show(call, &written.stored)
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
            check_versions(resource, &old, &new)?;
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
            match self.put(key, &stored, new) {
                Ok(stored) => {
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

    /// What plugins of the real server refuse or add.
    fn admit(&self, call: &Call, value: &mut Value) -> Reply<()> {
        let resource = &call.resource;
        match (&*resource.group, &*resource.plural) {
            ("", "pods") => self.admit_pod(call, value),
            ("apiextensions.k8s.io", "customresourcedefinitions") => {
                value["metadata"]["finalizers"] = json!([CRD_CLEANUP]);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sees to a pod's service account: it must exist, and its token is mounted.
    fn admit_pod(&self, call: &Call, pod: &mut Value) -> Reply<()> {
        let name = pod["spec"]["serviceAccountName"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let namespace = &call.target.namespace;
        let Some(account) = self
            .store
            .get(&Key::new(&"serviceaccounts".into(), namespace, &name))
        else {
            // A namespace that is not there is the better thing to complain about.
            if self
                .store
                .get(&Key::new(&"namespaces".into(), "", namespace))
                .is_none()
            {
                return Err(Status::no_namespace(namespace));
            }
            let why = format!(
                "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
            );
            let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::forbidden(&call.resource, pod, &why));
        };
        let wanted = pod["spec"]
            .get("automountServiceAccountToken")
            .filter(|wanted| wanted.is_boolean());
        if wanted.unwrap_or(&account.value["automountServiceAccountToken"]) != false {
            mount_token(pod);
        }
        Ok(())
    }
}

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn mount_token(pod: &mut Value) {
    let name = format!("kube-api-access-{}", suffix());
    let mounted = |container: &Value| {
        let mounts = container["volumeMounts"].as_array().into_iter().flatten();
        mounts.clone().any(|mount| mount["mountPath"] == TOKEN_PATH)
    };
    let mut used = false;
    for list in ["initContainers", "containers"] {
        for container in pod["spec"]
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if mounted(container) {
                continue;
            }
            used = true;
            let mount = json!({"name": name, "mountPath": TOKEN_PATH, "readOnly": true});
            push(container, "volumeMounts", mount);
        }
    }
    if used {
        let sources = json!([
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]);
        push(
            &mut pod["spec"],
            "volumes",
            json!({"name": name, "projected": {"defaultMode": 420, "sources": sources}}),
        );
    }
}

fn push(value: &mut Value, list: &str, item: Value) {
    match value.get_mut(list).and_then(Value::as_array_mut) {
        Some(list) => list.push(item),
        None => value[list] = json!([item]),
    }
}

/// Checks that a body is what the path says it is.
pub(super) fn check_identity(call: &Call, value: &Value) -> Reply<()> {
    let resource = &call.resource;
    if !value.is_object() {
        return Err(Status::bad_request("the body is not an object"));
    }
    let (version, kind) = (
        value["apiVersion"].as_str().unwrap_or_default(),
        value["kind"].as_str().unwrap_or_default(),
    );
    if version.is_empty() || kind.is_empty() {
        let missing = if kind.is_empty() {
            "Kind"
        } else {
            "apiVersion"
        };
        return Err(Status::bad_request(format!(
            "Object '{missing}' is missing in '{}'",
            shorten(value)
        )));
    }
    if version != resource.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            resource.api_version()
        )));
    }
    if *kind != *resource.kind {
        return Err(Status::bad_request(format!(
            "{kind} in version \"{}\" cannot be handled as a {}",
            resource.version, resource.kind
        )));
    }
    let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
    if resource.namespaced && !namespace.is_empty() && namespace != call.target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

fn shorten(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}

/// Removes unknown fields and returns warnings about them, or refuses them, as the client wishes.
fn check_fields(call: &Call, value: &mut Value) -> Reply<Vec<String>> {
    let resource = &call.resource;
    let unknown = match resource.check {
        Some(check) => check(value).map_err(|why| {
            let kind = &resource.kind;
            Status::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: {why}",
                resource.version
            ))
        })?,
        None => resource.schema.prune(value),
    };
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let warnings: Vec<String> = unknown
        .iter()
        .map(|path| format!("unknown field {path:?}"))
        .collect();
    match call.query.get("fieldValidation").unwrap_or("Warn") {
        "Strict" => {
            let kind = &resource.kind;
            Err(Status::bad_request(format!(
                "{kind} in version \"{}\" cannot be handled as a {kind}: strict decoding error: {}",
                resource.version,
                warnings.join(", ")
            )))
        }
        "Ignore" => Ok(Vec::new()),
        _ => Ok(warnings),
    }
}

/// Gives a new object its identity; true if its name was made up.
fn name_and_stamp(call: &Call, value: &mut Value) -> bool {
    let resource = &call.resource;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    let generated = text(&value["metadata"]["name"]).is_empty()
        && !text(&value["metadata"]["generateName"]).is_empty();
    if generated {
        generate_name(value);
    }
    let metadata = &mut value["metadata"];
    if let Some(fields) = metadata.as_object_mut() {
        let gone = [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "resourceVersion",
            "selfLink",
            "generation",
        ];
        gone.into_iter()
            .for_each(|field| drop(fields.remove(field)));
        fields.retain(|_, value| !value.is_null());
    }
    metadata["uid"] = uuid::Uuid::new_v4().to_string().into();
    metadata["creationTimestamp"] = now().into();
    if resource.namespaced {
        metadata["namespace"] = call.target.namespace.clone().into();
    } else if let Some(fields) = metadata.as_object_mut() {
        fields.remove("namespace");
    }
    if resource.generation {
        metadata["generation"] = 1.into();
    }
    generated
}

fn generate_name(value: &mut Value) {
    let prefix = value["metadata"]["generateName"]
        .as_str()
        .unwrap_or_default();
    // Five characters of the 63 belong to the suffix.
    let prefix: String = prefix.chars().take(58).collect();
    value["metadata"]["name"] = format!("{prefix}{}", suffix()).into();
}

fn suffix() -> String {
    let mut random = rand::rng();
    (0..5)
        .filter_map(|_| ALPHABET.choose(&mut random))
        .map(|&byte| char::from(byte))
        .collect()
}

fn check_versions(resource: &Resource, old: &Value, new: &Value) -> Reply<()> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    let stated = |field: &str| {
        new["metadata"][field]
            .as_str()
            .filter(|text| !text.is_empty())
    };
    if stated("resourceVersion")
        .is_some_and(|version| old["metadata"]["resourceVersion"] != *version)
    {
        return Err(Status::modified(resource, name));
    }
    if let Some(uid) = stated("uid").filter(|uid| old["metadata"]["uid"] != **uid) {
        let found = old["metadata"]["uid"].as_str().unwrap_or_default();
        let why =
            format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
        return Err(Status::conflict(resource, name, &why));
    }
    Ok(())
}

/// Puts back what only the server may change.
fn keep_metadata(old: &Value, new: &mut Value) {
    const OWN: &[&str] = &[
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "generateName",
    ];
    for field in ["apiVersion", "kind"] {
        new[field] = old[field].clone();
    }
    let Some(fields) = new["metadata"].as_object_mut() else {
        new["metadata"] = old["metadata"].clone();
        return;
    };
    for field in OWN {
        match old["metadata"].get(field) {
            Some(value) => fields.insert((*field).into(), value.clone()),
            None => fields.remove(*field),
        };
    }
    fields.retain(|_, value| !value.is_null());
}

/// Keeps a write to the part of the object that it is about.
fn confine(resource: &Resource, subresource: &str, old: &Value, new: &mut Value) {
    if subresource == "status" {
        let mut kept = old.clone();
        take(&mut kept, "status", new);
        let managers = new["metadata"].get("managedFields").cloned();
        if let (Some(managers), Some(metadata)) = (managers, kept["metadata"].as_object_mut()) {
            metadata.insert("managedFields".into(), managers);
        }
        *new = kept;
        return;
    }
    if resource.status {
        take(new, "status", old);
    }
    if resource.is_core("namespaces") {
        take(new, "spec", old);
    }
}

/// Makes a field of `value` the same as that of `from`.
fn take(value: &mut Value, field: &str, from: &Value) {
    let Some(fields) = value.as_object_mut() else {
        return;
    };
    match from.get(field) {
        Some(wanted) => fields.insert(field.into(), wanted.clone()),
        None => fields.remove(field),
    };
}

fn content_differs(resource: &Resource, old: &Value, new: &Value) -> bool {
    let counts = |name: &str| name != "metadata" && !(resource.status && name == "status");
    let fields = |value: &'_ Value| -> Vec<(String, Value)> {
        let all = value.as_object().into_iter().flatten();
        all.filter(|(name, _)| counts(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    fields(old) != fields(new)
}

/// Whether a write changes nothing but the times of managers.
fn unchanged(old: &Value, new: &Value) -> bool {
    let timeless = |value: &Value| {
        let mut value = value.clone();
        let managers = value["metadata"]
            .get_mut("managedFields")
            .and_then(Value::as_array_mut);
        for entry in managers.into_iter().flatten() {
            entry["time"] = Value::Null;
        }
        value
    };
    old == new || timeless(old) == timeless(new)
}

/// An object that looks stored, for dry runs.
fn unstored(mut value: Value, rv: u64) -> Arc<Stored> {
    if rv > 0 {
        value["metadata"]["resourceVersion"] = rv.to_string().into();
    }
    let json = value.to_string().into();
    Arc::new(Stored { value, json, rv })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_write_changes_the_status_only() {
        let resource = crate::resource::BUILTIN
            .iter()
            .find(|r| r.is_core("pods"))
            .unwrap();
        let old =
            json!({"metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"phase": "Pending"}});
        let mut new = json!({"metadata": {"name": "a", "labels": {"l": "1"}}, "spec": {"x": 2}, "status": {"phase": "Running"}});
        let mut main = new.clone();
        confine(resource, "status", &old, &mut new);
        assert_eq!(
            new,
            json!({"metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"phase": "Running"}})
        );
        confine(resource, "", &old, &mut main);
        assert_eq!(
            (&main["spec"]["x"], &main["status"]["phase"]),
            (&json!(2), &json!("Pending"))
        );
    }

    #[test]
    fn new_times_of_managers_are_no_change() {
        let object = |time: &str, value: i64| json!({"metadata": {"managedFields": [{"manager": "m", "time": time}]}, "x": value});
        assert!(unchanged(&object("1", 1), &object("2", 1)));
        assert!(!unchanged(&object("1", 1), &object("1", 2)));
    }

    #[test]
    fn a_token_is_mounted_once() {
        let mut pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        mount_token(&mut pod);
        let once = pod.clone();
        mount_token(&mut pod);
        assert_eq!(pod, once);
        assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
    }
}
