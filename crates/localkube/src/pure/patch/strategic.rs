//! Strategic merge patches: merge patches that know how each list merges.

use serde_json::{Map, Value};

use super::PatchError;
use crate::pure::schema::builtin::{Strategy, Ty};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList/";

/// What `$patch` says of the value it stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

/// Where a value stands: what its fields are, and how it merges.
#[derive(Clone, Copy)]
struct Place {
    ty: Ty,
    strategy: Strategy,
    root: bool,
}

pub(super) fn apply(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let (Value::Object(_), Value::Object(fields)) = (target, patch) else {
        let why = "a strategic merge patch and its target must be objects";
        return Err(PatchError::Malformed(why.to_owned()));
    };
    let place = Place {
        ty: kind_of(target)
            .or_else(|| kind_of(patch))
            .unwrap_or(Ty::Any),
        strategy: Strategy::Plain,
        root: true,
    };
    let original = target.as_object().cloned().unwrap_or_default();
    Ok(Value::Object(merge_map(place, original, fields)?))
}

fn kind_of(object: &Value) -> Option<Ty> {
    let kind = object.get("kind")?.as_str()?;
    let version = object.get("apiVersion")?.as_str()?;
    let group = version.split_once('/').map_or("", |(group, _)| group);
    Some(Ty::of_kind(group, kind))
}

// === impl Place ===

impl Place {
    fn field(self, name: &str) -> Self {
        let (ty, strategy) = match (self.root, name) {
            (true, "metadata") => (Ty::Meta, Strategy::Plain),
            _ => match self.ty.row(name) {
                Some(row) => (row.ty, row.strategy),
                None if self.root && name == "status" => (Ty::Status, Strategy::Plain),
                None => (Ty::Any, Strategy::Plain),
            },
        };
        Self {
            ty,
            strategy,
            root: false,
        }
    }

    fn item(self) -> Self {
        Self {
            strategy: Strategy::Plain,
            ..self
        }
    }
}

fn directive(fields: &Map<String, Value>) -> Result<Directive, PatchError> {
    match fields.get(DIRECTIVE).map(Value::as_str) {
        None | Some(Some("merge")) => Ok(Directive::Merge),
        Some(Some("replace")) => Ok(Directive::Replace),
        Some(Some("delete")) => Ok(Directive::Delete),
        Some(_) => {
            let why = "unknown $patch type; allowed are delete, merge and replace";
            Err(PatchError::Malformed(why.to_owned()))
        }
    }
}

fn merge_map(
    place: Place,
    mut original: Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<Map<String, Value>, PatchError> {
    match directive(patch)? {
        Directive::Merge => {}
        Directive::Replace => return Ok(without_directives(patch)),
        Directive::Delete => return Ok(Map::new()),
    }
    if let Some(retain) = patch.get(RETAIN_KEYS) {
        retain_keys(&mut original, patch, retain)?;
    }
    for (name, value) in patch {
        if name == DIRECTIVE || name == RETAIN_KEYS || name.starts_with(ORDER) {
            continue;
        }
        if let Some(list) = name.strip_prefix(DELETE_PRIMITIVES) {
            delete_primitives(&mut original, list, value)?;
            continue;
        }
        if value.is_null() {
            original.remove(name);
            continue;
        }
        let merged = match original.remove(name) {
            Some(before) => Some(merge_value(place.field(name), before, value)?),
            None => fresh(place.field(name), value)?,
        };
        if let Some(merged) = merged {
            original.insert(name.clone(), merged);
        }
    }
    for (name, order) in patch {
        if let (Some(list), Value::Array(order)) = (name.strip_prefix(ORDER), order)
            && let Some(Value::Array(items)) = original.get_mut(list)
        {
            reorder(place.field(list), items, order);
        }
    }
    Ok(original)
}

fn merge_value(place: Place, before: Value, value: &Value) -> Result<Value, PatchError> {
    match (before, value) {
        (Value::Object(_), Value::Object(fields)) if place.strategy == Strategy::Replace => {
            Ok(Value::Object(without_directives(fields)))
        }
        (Value::Object(before), Value::Object(fields)) => {
            merge_map(place, before, fields).map(Value::Object)
        }
        (Value::Array(before), Value::Array(items)) => merge_list(place, before, items),
        (_, value) => Ok(fresh(place, value)?.unwrap_or(Value::Null)),
    }
}

/// A patch's value where the target has none: directives take effect on nothing and go.
fn fresh(place: Place, value: &Value) -> Result<Option<Value>, PatchError> {
    match value {
        Value::Object(fields) => match directive(fields)? {
            Directive::Delete => Ok(None),
            _ => merge_map(place, Map::new(), &without_own_directives(fields))
                .map(|fields| Some(Value::Object(fields))),
        },
        Value::Array(items) => merge_list(place, Vec::new(), items).map(Some),
        other => Ok(Some(other.clone())),
    }
}

fn merge_list(place: Place, before: Vec<Value>, items: &[Value]) -> Result<Value, PatchError> {
    match place.strategy {
        Strategy::Merge(key) => merge_keyed(place, key, before, items),
        Strategy::MergeSet => {
            let mut out = before;
            for item in items {
                if !out.contains(item) {
                    out.push(item.clone());
                }
            }
            Ok(Value::Array(out))
        }
        Strategy::Plain | Strategy::Replace => {
            let kept = items.iter().filter(|item| item.get(DIRECTIVE).is_none());
            let fresh = kept.map(|item| Ok(fresh(place.item(), item)?.unwrap_or(Value::Null)));
            Ok(Value::Array(fresh.collect::<Result<_, PatchError>>()?))
        }
    }
}

fn merge_keyed(
    place: Place,
    key: &str,
    mut out: Vec<Value>,
    items: &[Value],
) -> Result<Value, PatchError> {
    // A lone {$patch: replace} among the items replaces the list by the others.
    let replaces = |item: &Value| {
        let fields = item.as_object();
        fields.is_some_and(|fields| {
            fields.get(DIRECTIVE).and_then(Value::as_str) == Some("replace")
                && !fields.contains_key(key)
        })
    };
    if items.iter().any(replaces) {
        out.clear();
    }
    for item in items.iter().filter(|item| !replaces(item)) {
        let no_key = || PatchError::NoMergeKey {
            key: key.to_owned(),
            item: item.to_string(),
        };
        let fields = item.as_object().ok_or_else(no_key)?;
        let id = fields.get(key).ok_or_else(no_key)?;
        let same = |one: &Value| one.get(key) == Some(id);
        match directive(fields)? {
            Directive::Delete => out.retain(|one| !same(one)),
            Directive::Replace => {
                let value = Value::Object(without_directives(fields));
                match out.iter_mut().find(|one| same(one)) {
                    Some(one) => *one = value,
                    None => out.push(value),
                }
            }
            Directive::Merge => match out.iter_mut().find(|one| same(one)) {
                Some(one) => {
                    let before = one.as_object().cloned().unwrap_or_default();
                    *one = Value::Object(merge_map(place.item(), before, fields)?);
                }
                None => out.extend(fresh(place.item(), item)?),
            },
        }
    }
    Ok(Value::Array(out))
}

/// Drops what `$retainKeys` does not list. Every field that the patch sets must be listed.
fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    retain: &Value,
) -> Result<(), PatchError> {
    let Value::Array(retain) = retain else {
        let why = "$retainKeys must be a list of field names";
        return Err(PatchError::Malformed(why.to_owned()));
    };
    let listed = |name: &str| retain.iter().any(|one| one.as_str() == Some(name));
    let unlisted = patch
        .iter()
        .find(|(name, value)| !name.starts_with('$') && !value.is_null() && !listed(name));
    if let Some((name, _)) = unlisted {
        let why = format!("field {name:?} is set but not in $retainKeys");
        return Err(PatchError::Malformed(why));
    }
    original.retain(|name, _| listed(name));
    Ok(())
}

fn delete_primitives(
    original: &mut Map<String, Value>,
    list: &str,
    doomed: &Value,
) -> Result<(), PatchError> {
    let Value::Array(doomed) = doomed else {
        let why = format!("{DELETE_PRIMITIVES}{list} must be a list");
        return Err(PatchError::Malformed(why));
    };
    if let Some(Value::Array(items)) = original.get_mut(list) {
        items.retain(|item| !doomed.contains(item));
    }
    Ok(())
}

/// Puts the items that `order` names in that order. Others stay behind the item they followed.
fn reorder(place: Place, items: &mut Vec<Value>, order: &[Value]) {
    let identity = |value: &Value| match place.strategy {
        Strategy::Merge(key) => value.get(key).cloned(),
        _ => Some(value.clone()),
    };
    let order: Vec<Option<Value>> = order.iter().map(identity).collect();
    let rank = |item: &Value| order.iter().position(|one| *one == identity(item));
    // An item that is not named goes with the named item before it.
    let mut place_of_last = None;
    let mut ranked: Vec<(Option<usize>, Value)> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let own = rank(&item);
        place_of_last = own.or(place_of_last);
        ranked.push((place_of_last, item));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    items.extend(ranked.into_iter().map(|(_, item)| item));
}

/// The fields without any directive, at any depth.
fn without_directives(fields: &Map<String, Value>) -> Map<String, Value> {
    fields
        .iter()
        .filter(|(name, _)| !is_directive(name))
        .map(|(name, value)| (name.clone(), clean(value)))
        .collect()
}

fn clean(value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(without_directives(fields)),
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        other => other.clone(),
    }
}

fn without_own_directives(fields: &Map<String, Value>) -> Map<String, Value> {
    let own = fields.iter().filter(|(name, _)| !is_directive(name));
    own.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn is_directive(name: &str) -> bool {
    name == DIRECTIVE
        || name == RETAIN_KEYS
        || name.starts_with(ORDER)
        || name.starts_with(DELETE_PRIMITIVES)
}
