//! Removing fields that a schema does not have.

use serde_json::{Map, Value};

use super::Path;
use super::structural::Structural;

/// Fields that every object has whatever its schema says.
const OBJECT_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Prunes a whole object and returns the paths of what went.
pub(super) fn prune(root: &Structural, object: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    value(root, object, Path::Root, &mut removed);
    removed
}

fn value(schema: &Structural, at: &mut Value, path: Path<'_>, removed: &mut Vec<String>) {
    match at {
        Value::Object(fields) => object(schema, fields, path, removed),
        Value::Array(items) => {
            let Some(item) = &schema.items else {
                return;
            };
            for (index, at) in items.iter_mut().enumerate() {
                value(item, at, Path::Index(&path, index), removed);
            }
        }
        _ => {}
    }
}

fn object(
    schema: &Structural,
    fields: &mut Map<String, Value>,
    path: Path<'_>,
    removed: &mut Vec<String>,
) {
    fields.retain(|name, at| {
        let here = Path::Field(&path, name);
        if schema.embedded && OBJECT_FIELDS.contains(&name.as_str()) {
            return true;
        }
        let known = schema.properties.get(name).or(schema.additional.as_deref());
        match known {
            Some(field) => value(field, at, here, removed),
            None if schema.preserve_unknown => {}
            None => {
                removed.push(here.to_string());
                return false;
            }
        }
        true
    });
}

#[cfg(test)]
mod tests {
    use crate::pure::schema::Schema;
    use serde_json::{Value, json};

    fn pruned(spec: &Value, object: &Value) -> (Value, Vec<String>) {
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        let mut object = object.clone();
        let removed = Schema::for_crd(&schema).unwrap().prune(&mut object);
        (object, removed)
    }

    #[test]
    fn removes_unknown_fields_at_any_depth() {
        let spec = json!({"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": {"type": "integer"}}}},
        }});
        let object = json!({
            "apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}},
            "other": 1,
            "spec": {"nope": {}, "list": [{"a": "1", "z": 1}], "map": {"any": {"b": 1, "c": 2}}},
        });
        let (kept, mut removed) = pruned(&spec, &object);
        removed.sort();
        assert_eq!(
            removed,
            ["other", "spec.list[0].z", "spec.map.any.c", "spec.nope"]
        );
        assert_eq!(
            kept["spec"],
            json!({"list": [{"a": "1"}], "map": {"any": {"b": 1}}})
        );
        assert_eq!(kept["metadata"]["labels"]["a"], "b");
    }

    #[test]
    fn preserve_unknown_keeps_what_is_not_declared_and_prunes_below_what_is() {
        let spec = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "known": {"type": "object", "properties": {"a": {"type": "string"}}},
        }});
        let object = json!({"spec": {"free": {"any": 1}, "known": {"a": "x", "b": 1}}});
        let (kept, removed) = pruned(&spec, &object);
        assert_eq!(removed, ["spec.known.b"]);
        assert_eq!(kept["spec"]["free"], json!({"any": 1}));
    }

    #[test]
    fn embedded_resources_keep_their_object_fields() {
        let spec = json!({"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}});
        let inner = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"x": 1}, "y": 1});
        let (kept, removed) = pruned(&spec, &json!({"spec": inner}));
        assert_eq!(removed, ["spec.spec.x", "spec.y"]);
        assert_eq!(kept["spec"]["kind"], "Pod");
    }

    #[test]
    fn builtin_kinds_keep_everything() {
        let mut pod = json!({"spec": {"whatever": 1}});
        assert!(Schema::for_builtin("", "Pod").prune(&mut pod).is_empty());
        assert_eq!(pod, json!({"spec": {"whatever": 1}}));
    }
}
