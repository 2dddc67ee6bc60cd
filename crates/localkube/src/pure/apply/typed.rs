//! The walks over typed objects that server-side apply is made of.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::ApplyError;
use super::fieldset::{DisplayPath, FieldSet, PathElement};
use crate::pure::schema::types::{ListKind, TypeRef, item_element};

/// What differs between two objects, as sets of fields.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

/// How to take an associative list's item that has no identity or repeats one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BadItems {
    /// An error: the list is the applier's.
    Refuse,
    /// Passed over: the list was stored before.
    Skip,
}

/// An associative list's items by their path elements, in order.
type Indexed<'v> = Vec<(PathElement, &'v Value)>;

// === impl Comparison ===

impl Comparison {
    /// Compares two objects of type `ty`. Absent is different from empty or null.
    pub(super) fn of(ty: TypeRef<'_>, old: &Value, new: &Value) -> Self {
        let mut out = Self::default();
        out.walk(ty, Some(old), Some(new), &mut Vec::new());
        out
    }

    /// Whether nothing differs.
    pub(super) fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// Only what `scope` keeps of each set.
    pub(super) fn scoped(&self, scope: impl Fn(&FieldSet) -> FieldSet) -> Self {
        Self {
            added: scope(&self.added),
            modified: scope(&self.modified),
            removed: scope(&self.removed),
        }
    }

    fn walk(
        &mut self,
        ty: TypeRef<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
        path: &mut Vec<PathElement>,
    ) {
        match (container(old), container(new)) {
            (Container::Map(a), Container::Map(b)) if !ty.is_atomic_map() => {
                self.walk_map(ty, a, b, path);
            }
            (Container::Map(a), Container::Empty) if !ty.is_atomic_map() => {
                self.walk_map(ty, a, &Map::new(), path);
            }
            (Container::Empty, Container::Map(b)) if !ty.is_atomic_map() => {
                self.walk_map(ty, &Map::new(), b, path);
            }
            (Container::List(a), Container::List(b)) if ty.list_kind() != ListKind::Atomic => {
                self.walk_list(ty, a, b, path);
            }
            (Container::List(a), Container::Empty) if ty.list_kind() != ListKind::Atomic => {
                self.walk_list(ty, a, &[], path);
            }
            (Container::Empty, Container::List(b)) if ty.list_kind() != ListKind::Atomic => {
                self.walk_list(ty, &[], b, path);
            }
            (Container::Other, Container::Map(_) | Container::List(_)) if old.is_some() => {
                self.walk(ty, None, new, path);
                self.modified.insert(path);
                return;
            }
            (Container::Map(_) | Container::List(_), Container::Other) if new.is_some() => {
                self.walk(ty, old, None, path);
                self.modified.insert(path);
                return;
            }
            _ => return self.leaf(old, new, path),
        }
        // A struct or list that appears or goes is itself part of the difference.
        match (old, new) {
            (None, Some(_)) => self.added.insert(path),
            (Some(_), None) => self.removed.insert(path),
            _ => {}
        }
    }

    fn walk_map(
        &mut self,
        ty: TypeRef<'_>,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
        path: &mut Vec<PathElement>,
    ) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            path.push(PathElement::field(name));
            self.walk(ty.field(name).0, old.get(name), new.get(name), path);
            path.pop();
        }
    }

    fn walk_list(
        &mut self,
        ty: TypeRef<'_>,
        old: &[Value],
        new: &[Value],
        path: &mut Vec<PathElement>,
    ) {
        let kind = ty.list_kind();
        let old = index_leniently(&kind, old);
        let new = index_leniently(&kind, new);
        let elements: BTreeSet<&PathElement> = old.iter().chain(&new).map(|(e, _)| e).collect();
        for element in elements {
            path.push(element.clone());
            self.walk(ty.item(), find(&old, element), find(&new, element), path);
            path.pop();
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>, path: &[PathElement]) {
        match (old, new) {
            (None, Some(_)) => self.added.insert(path),
            (Some(_), None) => self.removed.insert(path),
            (Some(a), Some(b)) if a != b => self.modified.insert(path),
            _ => {}
        }
    }
}

/// A value by what a walk can do with it.
enum Container<'v> {
    Map(&'v Map<String, Value>),
    List(&'v [Value]),
    /// Absent, null or an empty container: takes the form of the other side.
    Empty,
    Other,
}

fn container(value: Option<&Value>) -> Container<'_> {
    match value {
        None | Some(Value::Null) => Container::Empty,
        Some(Value::Object(map)) if map.is_empty() => Container::Empty,
        Some(Value::Array(list)) if list.is_empty() => Container::Empty,
        Some(Value::Object(map)) => Container::Map(map),
        Some(Value::Array(list)) => Container::List(list),
        Some(_) => Container::Other,
    }
}

/// The set of fields that `value` sets.
pub(super) fn field_set(
    ty: TypeRef<'_>,
    value: &Value,
    bad: BadItems,
) -> Result<FieldSet, ApplyError> {
    let mut set = FieldSet::default();
    collect(ty, value, bad, &mut Vec::new(), &mut set)?;
    Ok(set)
}

fn collect(
    ty: TypeRef<'_>,
    value: &Value,
    bad: BadItems,
    path: &mut Vec<PathElement>,
    set: &mut FieldSet,
) -> Result<(), ApplyError> {
    match value {
        Value::Object(fields) if !ty.is_atomic_map() => {
            for (name, value) in fields {
                let (below, declared) = ty.field(name);
                path.push(PathElement::field(name));
                collect(below, value, bad, path, set)?;
                let empty = value.as_object().is_some_and(Map::is_empty);
                if empty || !declared {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(items) if ty.list_kind() != ListKind::Atomic => {
            for (element, item) in index(&ty.list_kind(), items, bad, path)? {
                path.push(element);
                collect(ty.item(), item, bad, path, set)?;
                set.insert(path);
                path.pop();
            }
        }
        _ => set.insert(path),
    }
    Ok(())
}

/// What `live` becomes when `applied` is laid over it. Nothing is removed.
pub(super) fn merge(ty: TypeRef<'_>, live: &Value, applied: &Value) -> Value {
    match (live, applied) {
        (Value::Object(a), Value::Object(b)) if !ty.is_atomic_map() => {
            let mut out = a.clone();
            for (name, value) in b {
                let merged = match a.get(name) {
                    Some(live) => merge(ty.field(name).0, live, value),
                    None => value.clone(),
                };
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        (Value::Array(a), Value::Array(b)) if ty.list_kind() != ListKind::Atomic => {
            merge_lists(ty, a, b)
        }
        // Apply removes what it no longer mentions; a null mentions nothing.
        (Value::Object(_) | Value::Array(_), Value::Null) => live.clone(),
        _ => applied.clone(),
    }
}

/// The applier's order wins for what both have; live items that only others name stay ahead of
/// the shared item that followed them.
fn merge_lists(ty: TypeRef<'_>, live: &[Value], applied: &[Value]) -> Value {
    let kind = ty.list_kind();
    let live = index_leniently(&kind, live);
    let applied = index_leniently(&kind, applied);
    let shared: Vec<&PathElement> = applied
        .iter()
        .map(|(element, _)| element)
        .filter(|element| find(&live, element).is_some())
        .collect();
    let mut out = Vec::with_capacity(live.len() + applied.len());
    let (mut left, mut right, mut met) = (0, 0, 0);
    while left < live.len() || right < applied.len() {
        let wanted = applied.get(right);
        if let Some((element, value)) = live.get(left) {
            if find(&applied, element).is_none() {
                out.push((*value).clone());
                left += 1;
                continue;
            }
            // Shared, but its turn is at another place of the applier's order.
            if wanted.is_none() || shared.get(met) != Some(&element) {
                left += 1;
                continue;
            }
        }
        let Some((element, value)) = wanted else {
            continue;
        };
        right += 1;
        if live.get(left).is_some_and(|(next, _)| next == element) {
            left += 1;
        }
        if let Some(before) = find(&live, element) {
            met += 1;
            out.push(merge(ty.item(), before, value));
        } else {
            out.push((*value).clone());
        }
    }
    Value::Array(out)
}

/// `value` without the fields in `set`, and without what they leave empty.
pub(super) fn remove(ty: TypeRef<'_>, value: &Value, set: &FieldSet) -> Value {
    match value {
        Value::Object(fields) if !ty.is_atomic_map() => {
            let mut out = Map::new();
            for (name, value) in fields {
                let element = PathElement::field(name);
                if set.has(&element) {
                    continue;
                }
                let kept = match set.below(&element) {
                    Some(below) => remove(ty.field(name).0, value, below),
                    None => value.clone(),
                };
                out.insert(name.clone(), kept);
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            let kind = ty.list_kind();
            if kind == ListKind::Atomic {
                return value.clone();
            }
            let kept = items.iter().filter_map(|item| {
                let Ok(element) = item_element(&kind, item) else {
                    return Some(item.clone());
                };
                if set.has(&element) {
                    return None;
                }
                Some(match set.below(&element) {
                    Some(below) => remove(ty.item(), item, below),
                    None => item.clone(),
                })
            });
            Value::Array(kept.collect())
        }
        _ => value.clone(),
    }
}

fn find<'v>(items: &Indexed<'v>, element: &PathElement) -> Option<&'v Value> {
    items
        .iter()
        .find(|(one, _)| one == element)
        .map(|(_, value)| *value)
}

fn index_leniently<'v>(kind: &ListKind, items: &'v [Value]) -> Indexed<'v> {
    index(kind, items, BadItems::Skip, &[]).unwrap_or_default()
}

fn index<'v>(
    kind: &ListKind,
    items: &'v [Value],
    bad: BadItems,
    path: &[PathElement],
) -> Result<Indexed<'v>, ApplyError> {
    let mut out: Indexed<'v> = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        let problem = match item_element(kind, item) {
            Ok(element) if find(&out, &element).is_some() => {
                format!("duplicate entries for key {element}")
            }
            Ok(element) => {
                out.push((element, item));
                continue;
            }
            Err(error) => format!("element {position}: {error}"),
        };
        if bad == BadItems::Refuse {
            return Err(ApplyError::Invalid {
                path: DisplayPath(path).to_string(),
                detail: problem,
            });
        }
    }
    Ok(out)
}
