//! Filling in defaults.

use serde_json::Value;

use super::structural::Structural;

/// Defaults `at` and what is below it. Absent parents stay absent: only their own default brings
/// them in.
pub(super) fn fill(schema: &Structural, at: &mut Value) {
    match at {
        Value::Object(fields) => {
            for (name, property) in &schema.properties {
                let wanting = match fields.get(name) {
                    None => true,
                    Some(Value::Null) => !property.nullable,
                    Some(_) => false,
                };
                match &property.default {
                    Some(default) if wanting => {
                        fields.insert(name.clone(), default.clone());
                    }
                    None if wanting => {
                        fields.remove(name);
                    }
                    _ => {}
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(field) = schema.properties.get(name).or(schema.additional.as_deref()) {
                    fill(field, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(item) = &schema.items {
                for at in items {
                    fill(item, at);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::pure::schema::Schema;
    use serde_json::{Value, json};

    fn filled(spec: &Value, given: &Value) -> Value {
        let schema = json!({"type": "object", "properties": {"spec": spec}});
        let mut object = json!({"spec": given});
        Schema::for_crd(&schema).unwrap().default(&mut object);
        object["spec"].take()
    }

    #[test]
    fn fills_absent_fields_and_leaves_given_ones() {
        let spec = json!({"type": "object", "properties": {
            "a": {"type": "integer", "default": 3}, "b": {"type": "string", "default": "x"},
        }});
        assert_eq!(filled(&spec, &json!({"a": 1})), json!({"a": 1, "b": "x"}));
    }

    #[test]
    fn a_default_object_is_defaulted_in_turn() {
        let spec = json!({"type": "object", "properties": {
            "o": {"type": "object", "default": {}, "properties": {"n": {"type": "integer", "default": 7}}},
        }});
        assert_eq!(filled(&spec, &json!({})), json!({"o": {"n": 7}}));
    }

    #[test]
    fn absent_parents_without_default_stay_absent() {
        let spec = json!({"type": "object", "properties": {
            "o": {"type": "object", "properties": {"n": {"type": "integer", "default": 7}}},
        }});
        assert_eq!(filled(&spec, &json!({})), json!({}));
    }

    #[test]
    fn nulls_are_defaulted_kept_or_removed() {
        let spec = json!({"type": "object", "properties": {
            "defaulted": {"type": "string", "default": "d"},
            "nullable": {"type": "string", "nullable": true, "default": "d"},
            "plain": {"type": "string"},
        }});
        let given = json!({"defaulted": null, "nullable": null, "plain": null});
        assert_eq!(
            filled(&spec, &given),
            json!({"defaulted": "d", "nullable": null})
        );
    }

    #[test]
    fn reaches_into_lists_and_maps() {
        let item =
            json!({"type": "object", "properties": {"n": {"type": "integer", "default": 1}}});
        let spec = json!({"type": "object", "properties": {
            "l": {"type": "array", "items": item},
            "m": {"type": "object", "additionalProperties": item},
        }});
        let given = json!({"l": [{}, {"n": 2}], "m": {"k": {}}});
        assert_eq!(
            filled(&spec, &given),
            json!({"l": [{"n": 1}, {"n": 2}], "m": {"k": {"n": 1}}})
        );
    }
}
