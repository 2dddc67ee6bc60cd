//! Values of Kafka options as people write them in YAML.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The value of a Kafka option: a string, a number or a boolean.
///
/// A schema cannot say "one of three types", so it lets everything through;
/// anything else is kept as it came for [`ConfigValue::text`] to refuse, since
/// one object that cannot be read would stop the operator from reading all
/// others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfigValue(pub Value);

// === impl ConfigValue ===

impl ConfigValue {
    /// The value as Kafka reads it; `None` for null, a list or an object.
    ///
    /// ```
    /// use tubeway_api::ConfigValue;
    /// assert_eq!(ConfigValue(true.into()).text().as_deref(), Some("true"));
    /// assert_eq!(ConfigValue(3600.into()).text().as_deref(), Some("3600"));
    /// assert_eq!(ConfigValue(vec![1].into()).text(), None);
    /// ```
    pub fn text(&self) -> Option<String> {
        match &self.0 {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl From<&str> for ConfigValue {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl JsonSchema for ConfigValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConfigValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
    }
}
