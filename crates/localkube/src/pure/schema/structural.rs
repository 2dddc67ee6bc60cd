//! A CRD's schema, parsed once and checked while it is parsed.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Number, Value};

use super::SchemaError;
use super::rules::Rule;

/// The schema of one value.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the switches that a schema has"
)]
pub(crate) struct Structural {
    pub(crate) kind: Option<JsonType>,
    pub(crate) nullable: bool,
    pub(crate) int_or_string: bool,
    pub(crate) preserve_unknown: bool,
    /// The value is an object with `apiVersion`, `kind` and `metadata` of its own.
    pub(crate) embedded: bool,
    pub(crate) properties: BTreeMap<String, Structural>,
    /// The schema of keys that are not properties; they are unknown without one.
    pub(crate) additional: Option<Box<Structural>>,
    pub(crate) items: Option<Box<Structural>>,
    pub(crate) required: Vec<String>,
    pub(crate) default: Option<Value>,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Structural>,
    pub(crate) any_of: Vec<Structural>,
    pub(crate) one_of: Vec<Structural>,
    pub(crate) not: Option<Box<Structural>>,
    pub(crate) list_type: ListType,
    pub(crate) list_keys: Vec<String>,
    pub(crate) atomic_map: bool,
    pub(crate) rules: Vec<Rule>,
}

/// What limits a value beyond its type.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) enumeration: Option<Vec<Value>>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) minimum: Option<Number>,
    pub(crate) maximum: Option<Number>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<Number>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
}

/// A JSON type by the name that schemas use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonType {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

/// `x-kubernetes-list-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// Where a schema stands: part of the object's structure, or inside allOf and its kin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Structure,
    Validation,
}

/// Reads the fields of one schema, with the path for errors.
struct Reader<'v> {
    fields: &'v Map<String, Value>,
    path: &'v str,
    /// Handed on to what is nested by properties and items.
    place: Place,
}

// === impl JsonType ===

impl JsonType {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// The name as schemas and messages use it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

// === impl Structural ===

impl Structural {
    /// Parses the schema of a whole object.
    pub(crate) fn parse_root(schema: &Value) -> Result<Self, SchemaError> {
        let mut root = Self::parse(schema, "openAPIV3Schema", Place::Structure)?;
        if root.kind != Some(JsonType::Object) {
            return Err(SchemaError::at("openAPIV3Schema.type", "must be object"));
        }
        root.embedded = true;
        Ok(root)
    }

    /// The default of an item's property, for list keys.
    pub(crate) fn item_default(&self, property: &str) -> Option<Value> {
        let item = self.items.as_deref()?;
        item.properties.get(property)?.default.clone()
    }

    fn parse(schema: &Value, path: &str, place: Place) -> Result<Self, SchemaError> {
        let Value::Object(fields) = schema else {
            return Err(SchemaError::at(path, "must be a schema object"));
        };
        let reader = Reader {
            fields,
            path,
            place,
        };
        let mut out = Self {
            kind: reader.kind()?,
            nullable: reader.flag("nullable"),
            int_or_string: reader.flag("x-kubernetes-int-or-string"),
            preserve_unknown: reader.flag("x-kubernetes-preserve-unknown-fields"),
            embedded: reader.flag("x-kubernetes-embedded-resource"),
            required: reader.strings("required"),
            default: fields.get("default").cloned(),
            limits: reader.limits()?,
            list_type: reader.list_type()?,
            list_keys: reader.strings("x-kubernetes-list-map-keys"),
            atomic_map: reader.text("x-kubernetes-map-type") == Some("atomic"),
            ..Self::default()
        };
        out.parse_children(&reader)?;
        out.parse_rules(&reader)?;
        out.check(path, place)?;
        Ok(out)
    }

    fn parse_children(&mut self, reader: &Reader<'_>) -> Result<(), SchemaError> {
        if let Some(Value::Object(properties)) = reader.fields.get("properties") {
            for (name, schema) in properties {
                let path = format!("{}.properties[{name}]", reader.path);
                let property = Self::parse(schema, &path, reader.place)?;
                self.properties.insert(name.clone(), property);
            }
        }
        match reader.fields.get("additionalProperties") {
            Some(schema @ Value::Object(_)) => {
                let path = format!("{}.additionalProperties", reader.path);
                self.additional = Some(Box::new(Self::parse(schema, &path, reader.place)?));
            }
            // "true" allows any value under any key.
            Some(Value::Bool(true)) => {
                let anything = Self {
                    preserve_unknown: true,
                    nullable: true,
                    ..Self::default()
                };
                self.additional = Some(Box::new(anything));
            }
            _ => {}
        }
        if let Some(items) = reader.fields.get("items") {
            let path = format!("{}.items", reader.path);
            self.items = Some(Box::new(Self::parse(items, &path, reader.place)?));
        }
        self.all_of = reader.schemas("allOf")?;
        self.any_of = reader.schemas("anyOf")?;
        self.one_of = reader.schemas("oneOf")?;
        if let Some(not) = reader.fields.get("not") {
            let path = format!("{}.not", reader.path);
            self.not = Some(Box::new(Self::parse(not, &path, Place::Validation)?));
        }
        Ok(())
    }

    fn parse_rules(&mut self, reader: &Reader<'_>) -> Result<(), SchemaError> {
        let Some(Value::Array(rules)) = reader.fields.get("x-kubernetes-validations") else {
            return Ok(());
        };
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("{}.x-kubernetes-validations[{index}]", reader.path);
            self.rules.push(Rule::parse(rule, &path)?);
        }
        Ok(())
    }

    fn check(&self, path: &str, place: Place) -> Result<(), SchemaError> {
        let untyped = self.kind.is_none();
        if place == Place::Structure && untyped && !self.int_or_string && !self.preserve_unknown {
            return Err(SchemaError::at(
                path,
                "Required value: must not be empty for specified object fields; give a type, x-kubernetes-int-or-string or x-kubernetes-preserve-unknown-fields",
            ));
        }
        if place == Place::Structure && self.kind == Some(JsonType::Array) && self.items.is_none() {
            return Err(SchemaError::at(
                &format!("{path}.items"),
                "Required value: must be specified",
            ));
        }
        if self.list_type == ListType::Map && self.list_keys.is_empty() {
            return Err(SchemaError::at(
                &format!("{path}.x-kubernetes-list-map-keys"),
                "Required value: must not be empty if x-kubernetes-list-type is map",
            ));
        }
        if self.list_type != ListType::Map && !self.list_keys.is_empty() {
            return Err(SchemaError::at(
                &format!("{path}.x-kubernetes-list-map-keys"),
                "must be empty unless x-kubernetes-list-type is map",
            ));
        }
        Ok(())
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    fn flag(&self, name: &str) -> bool {
        self.fields.get(name).and_then(Value::as_bool) == Some(true)
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.fields.get(name).and_then(Value::as_u64)
    }

    fn number(&self, name: &str) -> Option<Number> {
        self.fields.get(name).and_then(Value::as_number).cloned()
    }

    fn strings(&self, name: &str) -> Vec<String> {
        let list = self.fields.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    fn schemas(&self, name: &str) -> Result<Vec<Structural>, SchemaError> {
        let list = self.fields.get(name).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .enumerate()
            .map(|(index, schema)| {
                let path = format!("{}.{name}[{index}]", self.path);
                Structural::parse(schema, &path, Place::Validation)
            })
            .collect()
    }

    fn kind(&self) -> Result<Option<JsonType>, SchemaError> {
        let Some(name) = self.text("type") else {
            return Ok(None);
        };
        let kind = JsonType::parse(name).ok_or_else(|| {
            SchemaError::at(
                &format!("{}.type", self.path),
                &format!(
                    "Unsupported value: {name:?}: supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""
                ),
            )
        })?;
        Ok(Some(kind))
    }

    fn list_type(&self) -> Result<ListType, SchemaError> {
        match self.text("x-kubernetes-list-type") {
            None | Some("atomic") => Ok(ListType::Atomic),
            Some("set") => Ok(ListType::Set),
            Some("map") => Ok(ListType::Map),
            Some(other) => Err(SchemaError::at(
                &format!("{}.x-kubernetes-list-type", self.path),
                &format!(
                    "Unsupported value: {other:?}: supported values: \"atomic\", \"map\", \"set\""
                ),
            )),
        }
    }

    fn limits(&self) -> Result<Limits, SchemaError> {
        let pattern = match self.text("pattern") {
            None | Some("") => None,
            Some(source) => Some(Regex::new(source).map_err(|_| {
                SchemaError::at(
                    &format!("{}.pattern", self.path),
                    &format!("Invalid value: {source:?}: must be a valid regular expression"),
                )
            })?),
        };
        Ok(Limits {
            enumeration: self.fields.get("enum").and_then(Value::as_array).cloned(),
            format: self.text("format").map(str::to_owned),
            pattern,
            minimum: self.number("minimum"),
            maximum: self.number("maximum"),
            exclusive_minimum: self.flag("exclusiveMinimum"),
            exclusive_maximum: self.flag("exclusiveMaximum"),
            multiple_of: self.number("multipleOf"),
            min_length: self.count("minLength"),
            max_length: self.count("maxLength"),
            min_items: self.count("minItems"),
            max_items: self.count("maxItems"),
            unique_items: self.flag("uniqueItems"),
            min_properties: self.count("minProperties"),
            max_properties: self.count("maxProperties"),
        })
    }
}
