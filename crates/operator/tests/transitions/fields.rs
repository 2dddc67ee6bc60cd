//! The fields of all kinds, from their schemas.

use serde_json::{Value, json};

/// A field that holds a value and no further fields.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) kind: String,
    pub(crate) plural: String,
    /// As in `spec.rules[].hosts`.
    pub(crate) path: String,
    pub(crate) schema: Value,
}

/// All of them.
pub(crate) fn all() -> Vec<Field> {
    let mut fields = Vec::new();
    for crd in tubeway_api::crds() {
        let crd = serde_json::to_value(crd).unwrap();
        let names = &crd["spec"]["names"];
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let of = |path: &str, schema: &Value| Field {
            kind: names["kind"].as_str().unwrap().to_owned(),
            plural: names["plural"].as_str().unwrap().to_owned(),
            path: path.to_owned(),
            schema: schema.clone(),
        };
        walk(
            "spec",
            &schema["properties"]["spec"],
            &mut |path, schema| {
                fields.push(of(path, schema));
            },
        );
    }
    fields
}

fn walk(path: &str, schema: &Value, found: &mut impl FnMut(&str, &Value)) {
    if let Some(fields) = schema["properties"].as_object() {
        for (name, field) in fields {
            walk(&format!("{path}.{name}"), field, found);
        }
    } else if schema["items"]["properties"].is_object() {
        walk(&format!("{path}[]"), &schema["items"], found);
    } else {
        found(path, schema);
    }
}

// === impl Field ===

impl Field {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.kind, self.path)
    }

    /// The field's place in an object; lists are entered at their first item.
    pub(crate) fn pointer(&self) -> String {
        format!("/{}", self.path.replace("[]", ".0").replace('.', "/"))
    }

    /// Other values than `now` that the schema itself tells of.
    pub(crate) fn others(&self, now: &Value) -> Vec<Value> {
        let schema = &self.schema;
        if let Some(values) = schema["enum"].as_array() {
            return values
                .iter()
                .filter(|value| *value != now)
                .cloned()
                .collect();
        }
        match schema["type"].as_str() {
            Some("boolean") => vec![json!(!now.as_bool().unwrap_or_default())],
            Some("integer") => {
                let most = schema["maximum"].as_f64().unwrap_or(f64::MAX) as i64;
                let now = now.as_i64().unwrap_or_default();
                vec![json!(if now < most { now + 1 } else { now - 1 })]
            }
            _ => Vec::new(),
        }
    }

    /// Something that is no value of the field, whatever its schema.
    pub(crate) fn nonsense(&self) -> Vec<Value> {
        let schema = &self.schema;
        let mut nonsense = vec![match schema["type"].as_str() {
            Some("object" | "array" | "integer" | "boolean") => json!("nonsense"),
            _ => json!({ "non": "sense" }),
        }];
        if schema["enum"].is_array() {
            nonsense.push(json!("Nonsense"));
        }
        if let Some(least) = schema["minimum"].as_f64() {
            nonsense.push(json!(least as i64 - 1));
        }
        if let Some(most) = schema["maximum"].as_f64() {
            nonsense.push(json!(most as i64 + 1));
        }
        if schema["pattern"].is_string() {
            nonsense.push(json!("\u{1}"));
        }
        nonsense
    }
}
