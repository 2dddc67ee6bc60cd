//! Sets of fields of an object, as `metadata.managedFields` records who owns what.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// One step of a path into an object.
///
/// The order is the one in which sets are written: fields, keyed items, set items, indexes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathElement {
    /// A field of a struct or a key of a map.
    Field(String),
    /// An item of an associative list, by its keys as canonical JSON: `{"name":"a"}`.
    Key(String),
    /// An item of a set, by its value as JSON.
    Value(String),
    /// An item of a list by position. Never written by this code, but read and kept.
    Index(usize),
}

/// A set of paths. A path can be in the set itself, have descendants in it, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    nodes: BTreeMap<PathElement, Node>,
}

/// What a set holds at one path element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    member: bool,
    children: FieldSet,
}

/// A `fieldsV1` document that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "managedFields: {0:?} is no path element; expected \".\", f:<name>, k:<json>, v:<json> or i:<n>"
)]
pub struct FieldsV1Error(pub(crate) String);

/// A path for people, as the server prints it: `.spec.containers[name="a"].image`.
pub(crate) struct DisplayPath<'a>(pub(crate) &'a [PathElement]);

// === impl PathElement ===

impl PathElement {
    /// The element for a field called `name`.
    pub(crate) fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// The element for the item with these keys, in any order.
    pub(crate) fn key<'k>(keys: impl IntoIterator<Item = (&'k str, Value)>) -> Self {
        let sorted: BTreeMap<&str, Value> = keys.into_iter().collect();
        let mut map = Map::new();
        for (name, value) in sorted {
            map.insert(name.to_owned(), value);
        }
        Self::Key(Value::Object(map).to_string())
    }

    /// The element for a set's item.
    pub(crate) fn value(value: &Value) -> Self {
        Self::Value(value.to_string())
    }

    fn parse(text: &str) -> Result<Self, FieldsV1Error> {
        let bad = || FieldsV1Error(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(bad)?;
        match kind {
            "f" => Ok(Self::Field(rest.to_owned())),
            "k" => match serde_json::from_str(rest) {
                Ok(Value::Object(keys)) => {
                    Ok(Self::key(keys.iter().map(|(k, v)| (k.as_str(), v.clone()))))
                }
                _ => Err(bad()),
            },
            "v" => serde_json::from_str::<Value>(rest)
                .map(|value| Self::value(&value))
                .map_err(|_| bad()),
            "i" => rest.parse().map(Self::Index).map_err(|_| bad()),
            _ => Err(bad()),
        }
    }

    fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(json) => format!("k:{json}"),
            Self::Value(json) => format!("v:{json}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(json) => {
                let keys: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
                let parts: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                write!(f, "[{}]", parts.join(","))
            }
            Self::Value(json) => write!(f, "[={json}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for DisplayPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|element| element.fmt(f))
    }
}

// === impl FieldSet ===

impl FieldSet {
    /// Whether no path is in the set.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes
            .values()
            .all(|node| !node.member && node.children.is_empty())
    }

    /// Adds `path`. The empty path cannot be a member.
    pub(crate) fn insert(&mut self, path: &[PathElement]) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        let node = self.nodes.entry(first.clone()).or_default();
        if rest.is_empty() {
            node.member = true;
        } else {
            node.children.insert(rest);
        }
    }

    /// Whether `element` itself is a member at this level.
    pub(crate) fn has(&self, element: &PathElement) -> bool {
        self.nodes.get(element).is_some_and(|node| node.member)
    }

    /// The members below `element`, if there are any.
    pub(crate) fn below(&self, element: &PathElement) -> Option<&FieldSet> {
        self.nodes
            .get(element)
            .map(|node| &node.children)
            .filter(|children| !children.is_empty())
    }

    /// What is in this set or in `other`.
    pub(crate) fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        for (element, theirs) in &other.nodes {
            let node = out.nodes.entry(element.clone()).or_default();
            node.member |= theirs.member;
            node.children = node.children.union(&theirs.children);
        }
        out
    }

    /// What is in this set and in `other`.
    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| ours && theirs, Self::intersection)
    }

    /// What is in this set and not in `other`. Removing a path leaves its descendants.
    pub(crate) fn difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(other, |ours, theirs| ours && !theirs, Self::difference)
    }

    /// This set without the paths of `other` and all that is below them.
    pub(crate) fn without_subtrees(&self, other: &FieldSet) -> FieldSet {
        let mut out = FieldSet::default();
        for (element, node) in &self.nodes {
            let cut = other.nodes.get(element);
            if cut.is_some_and(|cut| cut.member) {
                continue;
            }
            let children = match cut {
                Some(cut) => node.children.without_subtrees(&cut.children),
                None => node.children.clone(),
            };
            out.keep(element, node.member, children);
        }
        out
    }

    /// Only what is at or below `element`.
    pub(crate) fn only(&self, element: &PathElement) -> FieldSet {
        let mut out = FieldSet::default();
        if let Some(node) = self.nodes.get(element) {
            out.keep(element, node.member, node.children.clone());
        }
        out
    }

    /// This set with every named field on the way to a member as a member too.
    ///
    /// Sets made from an object do not list the structs that hold the fields; removal needs them.
    pub(crate) fn with_named_parents(&self) -> FieldSet {
        let mut out = FieldSet::default();
        for (element, node) in &self.nodes {
            let children = node.children.with_named_parents();
            let named = matches!(element, PathElement::Field(_)) && !children.is_empty();
            out.keep(element, node.member || named, children);
        }
        out
    }

    /// Every member's path, in order.
    pub(crate) fn paths(&self) -> Vec<Vec<PathElement>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    /// Reads a `fieldsV1` document.
    pub(crate) fn from_fields_v1(fields: &Value) -> Result<FieldSet, FieldsV1Error> {
        let mut out = FieldSet::default();
        let Value::Object(map) = fields else {
            return Err(FieldsV1Error(fields.to_string()));
        };
        for (text, below) in map {
            if text == "." {
                continue;
            }
            let children = FieldSet::from_fields_v1(below)?;
            // A leaf is written as an empty object, a member with descendants carries ".".
            let member = children.is_empty() || below.get(".").is_some();
            out.keep(&PathElement::parse(text)?, member, children);
        }
        Ok(out)
    }

    /// Writes the set as a `fieldsV1` document.
    pub(crate) fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        for (element, node) in &self.nodes {
            let mut below = Map::new();
            if node.member && !node.children.is_empty() {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            if let Value::Object(children) = node.children.to_fields_v1() {
                below.extend(children);
            }
            map.insert(element.encode(), Value::Object(below));
        }
        Value::Object(map)
    }

    fn combine(
        &self,
        other: &FieldSet,
        member: impl Fn(bool, bool) -> bool + Copy,
        children: impl Fn(&FieldSet, &FieldSet) -> FieldSet + Copy,
    ) -> FieldSet {
        let nothing = Node::default();
        let mut out = FieldSet::default();
        for (element, ours) in &self.nodes {
            let theirs = other.nodes.get(element).unwrap_or(&nothing);
            let below = children(&ours.children, &theirs.children);
            out.keep(element, member(ours.member, theirs.member), below);
        }
        out
    }

    fn keep(&mut self, element: &PathElement, member: bool, children: FieldSet) {
        if member || !children.is_empty() {
            self.nodes
                .insert(element.clone(), Node { member, children });
        }
    }

    fn collect(&self, at: &mut Vec<PathElement>, out: &mut Vec<Vec<PathElement>>) {
        for (element, node) in &self.nodes {
            at.push(element.clone());
            if node.member {
                out.push(at.clone());
            }
            node.children.collect(at, out);
            at.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(fields: &Value) -> FieldSet {
        FieldSet::from_fields_v1(fields).unwrap()
    }

    #[test]
    fn reads_and_writes_the_same_document() {
        let doc = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {".": {}, "f:image": {}}}},
        });
        assert_eq!(set(&doc).to_fields_v1(), doc);
    }

    #[test]
    fn key_order_does_not_matter() {
        let one = set(&json!({"k:{\"b\":1,\"a\":2}": {}}));
        let two = set(&json!({"k:{\"a\":2,\"b\":1}": {}}));
        assert_eq!(one, two);
    }

    #[test]
    fn refuses_what_is_no_path_element() {
        for bad in ["spec", "x:spec", "k:[]", "k:{", "v:", "i:one"] {
            let doc = json!({bad: {}});
            assert!(FieldSet::from_fields_v1(&doc).is_err(), "{bad}");
        }
    }

    #[test]
    fn difference_keeps_descendants_and_without_subtrees_does_not() {
        let all = set(&json!({"f:a": {".": {}, "f:b": {}}}));
        let top = set(&json!({"f:a": {}}));
        assert_eq!(
            all.difference(&top).to_fields_v1(),
            json!({"f:a": {"f:b": {}}})
        );
        assert!(all.without_subtrees(&top).is_empty());
    }

    #[test]
    fn prints_paths_as_the_server_does() {
        let doc = json!({
            "f:spec": {"f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:name": {}}}},
            "f:tags": {"v:\"x\"": {}},
        });
        let printed: Vec<String> = set(&doc)
            .paths()
            .iter()
            .map(|path| DisplayPath(path).to_string())
            .collect();
        assert_eq!(
            printed,
            [
                ".spec.ports[containerPort=80,protocol=\"TCP\"].name",
                ".tags[=\"x\"]"
            ]
        );
    }

    #[test]
    fn named_parents_join_but_list_items_do_not() {
        let doc = json!({"f:spec": {"f:list": {"k:{\"name\":\"a\"}": {"f:x": {}}}}});
        let full = set(&doc).with_named_parents();
        assert_eq!(
            full.to_fields_v1(),
            json!({"f:spec": {".": {}, "f:list": {".": {}, "k:{\"name\":\"a\"}": {"f:x": {}}}}})
        );
    }
}
