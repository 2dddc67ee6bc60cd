//! Server-side apply, and the bookkeeping of field ownership for every other write.
//!
//! # Guarantees
//! - Applying the same twice changes nothing the second time.
//! - What an applier set and no longer mentions is removed, unless someone else owns it.
//! - Changing a field that someone else owns is a conflict, unless forced; setting it to the value
//!   it has is shared ownership.
//! - `status` belongs to requests to the status subresource, everything else to the others.
//!
//! # Caveats
//! All requests are taken to use one API version per kind. `kubectl`'s client-side annotation is
//! not turned into ownership.

pub(crate) mod fieldset;
mod managers;
mod typed;

use std::fmt;

use serde_json::{Map, Value};

use crate::pure::schema::{Schema, types};
use fieldset::{DisplayPath, FieldSet, PathElement};
use managers::{Entry, Identity, Managers, Operation, metadata_mut};
use typed::{BadItems, Comparison};

pub use fieldset::FieldsV1Error;

/// Why an apply was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// The patch changes fields that others own; applying with force takes them.
    #[error("{}", conflict_message(.0))]
    Conflict(Vec<Conflict>),
    /// The patch's lists cannot be merged.
    #[error("failed to create typed patch object: {path}: {detail}")]
    Invalid {
        /// The list, e.g. `.spec.containers`.
        path: String,
        /// What is wrong with it.
        detail: String,
    },
    /// The patch is not an object.
    #[error("an apply patch must be an object with apiVersion, kind and metadata.name")]
    NotAnObject,
    /// The patch carries ownership of its own, which only the server writes.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// The stored object's ownership cannot be read.
    #[error("failed to decode managed fields: {0}")]
    StoredOwnership(#[from] FieldsV1Error),
}

/// One field that someone else owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The owner as messages name it, e.g. `"kubectl" using apps/v1`.
    pub manager: String,
    /// The field, e.g. `.spec.replicas`.
    pub field: String,
}

/// Metadata that only the server writes. It is never owned and never taken from a patch.
const SERVER_METADATA: [&str; 6] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "selfLink",
    "managedFields",
];

/// The owner of what an object had before its ownership was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Lays `applied` over `live` on behalf of `manager`; the result carries the new ownership.
///
/// `live` is `None` where the object does not exist yet. `subresource` is empty for the object
/// itself. `now` is RFC 3339 in UTC. Server-owned metadata in `applied` is ignored: preconditions
/// such as `resourceVersion` are the caller's to check.
pub fn server_side_apply(
    live: Option<&Value>,
    applied: &Value,
    manager: &str,
    force: bool,
    subresource: &str,
    now: &str,
    schema: &Schema,
) -> Result<Value, ApplyError> {
    let scope = Scope(subresource);
    let config = scope.config(applied)?;
    let root = schema.root();
    let who = Identity {
        manager: manager.to_owned(),
        operation: Operation::Apply,
        api_version: api_version(applied),
        subresource: subresource.to_owned(),
    };
    let mut managers = match live {
        Some(live) => ownership_before_apply(live, now, schema)?,
        None => Managers::default(),
    };
    let before = live.map_or_else(|| Value::Object(Map::new()), without_ownership);
    let fields = scope.owned(&typed::field_set(root, &config, BadItems::Refuse)?);
    let last = managers.get(&who).cloned();
    let last_fields = last.as_ref().map(|entry| entry.fields.clone());
    managers.put(Entry {
        who: who.clone(),
        time: last.and_then(|entry| entry.time),
        fields: fields.clone(),
    });

    let merged = typed::merge(root, &before, &config);
    let mut result = match &last_fields {
        Some(last) if !last.is_empty() => prune(root, &merged, last, &managers)?,
        _ => merged,
    };

    let change = Comparison::of(root, &before, &result).scoped(|set| scope.owned(set));
    let touched = change.modified.union(&change.added);
    if !force {
        let conflicts = conflicts(&managers, &touched, &who);
        if !conflicts.is_empty() {
            return Err(ApplyError::Conflict(conflicts));
        }
    }
    managers.take_from_others(&touched.union(&change.removed), &who);
    if !change.is_same() || last_fields.as_ref() != Some(&fields) {
        for entry in managers.entries.iter_mut().filter(|one| one.who.is(&who)) {
            entry.time = Some(now.to_owned());
        }
    }
    managers.write(&mut result);
    Ok(result)
}

/// Records in `new` who owns what after a create (`old` is `None`), an update, or a patch that is
/// not an apply.
///
/// Ownership that the client sent along is kept, `[{}]` clears it, and an object whose ownership
/// was cleared is not tracked until its next apply. `now` is RFC 3339 in UTC.
pub fn track_update(
    old: Option<&Value>,
    new: &mut Value,
    manager: &str,
    subresource: &str,
    now: &str,
    schema: &Schema,
) {
    let scope = Scope(subresource);
    let mut managers = ownership_before_update(old, new);
    if old.is_some() && managers.entries.is_empty() {
        managers.write(new);
        return;
    }
    let who = Identity {
        manager: manager.to_owned(),
        operation: Operation::Update,
        api_version: api_version(new),
        subresource: subresource.to_owned(),
    };
    let root = schema.root();
    let before = old.map_or_else(|| types::skeleton(root), without_ownership);
    let after = without_ownership(new);
    let change = Comparison::of(root, &before, &after).scoped(|set| scope.owned(set));
    let touched = change.modified.union(&change.added);

    managers.take_from_others(&touched.union(&change.removed), &who);
    let mine = managers.get(&who).cloned();
    let kept = mine
        .as_ref()
        .map(|mine| mine.fields.difference(&change.removed));
    let time = if touched.is_empty() {
        mine.and_then(|mine| mine.time)
    } else {
        Some(now.to_owned())
    };
    managers.put(Entry {
        who,
        time,
        fields: touched.union(&kept.unwrap_or_default()),
    });
    managers.write(new);
}

// === impl ApplyError ===

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conflict with {}", self.manager)
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {one}: {}", one.field);
    }
    let mut lines = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.manager) {
            lines.push(format!("conflicts with {}:", conflict.manager));
        }
        last = Some(&conflict.manager);
        lines.push(format!("- {}", conflict.field));
    }
    let count = conflicts.len();
    format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
}

fn conflicts(managers: &Managers, touched: &FieldSet, who: &Identity) -> Vec<Conflict> {
    let mut out = Vec::new();
    for entry in managers.entries.iter().filter(|one| !one.who.is(who)) {
        let manager = entry.who.describe();
        for path in entry.fields.intersection(touched).paths() {
            let field = DisplayPath(&path).to_string();
            let manager = manager.clone();
            out.push(Conflict { manager, field });
        }
    }
    out.sort_by(|a, b| a.manager.cmp(&b.manager));
    out
}

/// Removes from `merged` what the applier set the last time and nobody claims now.
fn prune(
    root: types::TypeRef<'_>,
    merged: &Value,
    last: &FieldSet,
    managers: &Managers,
) -> Result<Value, ApplyError> {
    let set_of = |value: &Value| -> Result<FieldSet, ApplyError> {
        Ok(typed::field_set(root, value, BadItems::Skip)?.with_named_parents())
    };
    let last = last.with_named_parents();
    let claimed = managers.union().with_named_parents();
    let whole = set_of(merged)?;

    // Without all that was applied before, then with what anyone still claims put back …
    let bare = typed::remove(root, merged, &last);
    let gone = whole.difference(&set_of(&bare)?).difference(&claimed);
    let claimed_kept = typed::remove(root, merged, &gone);
    // … and with what hung below a removed field but was never the applier's put back too.
    let gone = whole
        .difference(&set_of(&claimed_kept)?)
        .intersection(&last);
    Ok(typed::remove(root, merged, &gone))
}

/// The recorded ownership; for an object without any, one entry for all it has.
fn ownership_before_apply(
    live: &Value,
    now: &str,
    schema: &Schema,
) -> Result<Managers, ApplyError> {
    let mut managers = Managers::of(live)?;
    if managers.entries.is_empty() {
        let root = schema.root();
        let change = Comparison::of(root, &types::skeleton(root), &without_ownership(live));
        managers.put(Entry {
            who: Identity {
                manager: BEFORE_FIRST_APPLY.to_owned(),
                operation: Operation::Update,
                api_version: api_version(live),
                subresource: String::new(),
            },
            time: Some(now.to_owned()),
            fields: Scope("").owned(&change.added.union(&change.modified)),
        });
    }
    Ok(managers)
}

fn ownership_before_update(old: Option<&Value>, new: &Value) -> Managers {
    let sent = new.pointer("/metadata/managedFields");
    let cleared = sent
        .and_then(Value::as_array)
        .is_some_and(|list| list.len() == 1 && list[0].as_object().is_some_and(Map::is_empty));
    if cleared {
        return Managers::default();
    }
    // What the client sent counts if it can be read; otherwise what was stored.
    match Managers::of(new) {
        Ok(managers) if !managers.entries.is_empty() => managers,
        _ => old
            .and_then(|old| Managers::of(old).ok())
            .unwrap_or_default(),
    }
}

fn without_ownership(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(Value::Object(meta)) = out.get_mut("metadata") {
        meta.remove("managedFields");
    }
    out
}

fn api_version(object: &Value) -> String {
    let version = object.get("apiVersion").and_then(Value::as_str);
    version.unwrap_or_default().to_owned()
}

/// The part of an object that a request to a subresource can own.
#[derive(Clone, Copy)]
struct Scope<'s>(&'s str);

// === impl Scope ===

impl Scope<'_> {
    /// The part of an apply patch that counts.
    fn config(self, applied: &Value) -> Result<Value, ApplyError> {
        let Value::Object(fields) = applied else {
            return Err(ApplyError::NotAnObject);
        };
        let mut out = Value::Object(fields.clone());
        let Some(meta) = metadata_mut(&mut out) else {
            return Err(ApplyError::NotAnObject);
        };
        let owned = meta.get("managedFields");
        if owned.is_some_and(|owned| !owned.is_null() && owned != &Value::Array(Vec::new())) {
            return Err(ApplyError::ManagedFieldsGiven);
        }
        meta.retain(|name, _| !SERVER_METADATA.contains(&name.as_str()));
        if self.0 == "status" {
            meta.retain(|name, _| name == "name" || name == "namespace");
        }
        if let Some(fields) = out.as_object_mut() {
            fields.retain(|name, _| match name.as_str() {
                "apiVersion" | "kind" | "metadata" => true,
                name => (name == "status") == (self.0 == "status"),
            });
        }
        Ok(out)
    }

    /// The part of `set` that this scope's owners can own.
    fn owned(self, set: &FieldSet) -> FieldSet {
        let status = PathElement::field("status");
        if self.0 == "status" {
            return set.only(&status);
        }
        let mut never = FieldSet::default();
        never.insert(&[status]);
        for name in ["apiVersion", "kind"] {
            never.insert(&[PathElement::field(name)]);
        }
        let metadata = PathElement::field("metadata");
        for name in SERVER_METADATA.into_iter().chain(["name", "namespace"]) {
            never.insert(&[metadata.clone(), PathElement::field(name)]);
        }
        let set = set.without_subtrees(&never);
        // That there is metadata at all is nobody's doing.
        let mut top = FieldSet::default();
        top.insert(&[metadata]);
        set.difference(&top)
    }
}

#[cfg(test)]
mod tests;
