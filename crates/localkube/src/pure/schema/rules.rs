//! CEL rules (`x-kubernetes-validations`).
//!
//! A rule sees the value it stands at as `self` and the value before an update as `oldSelf`. A
//! rule that fails to evaluate counts as broken: nothing passes because a rule is wrong.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, OptionalValue};
use cel::{Context, Env, Program, Value as CelValue};
use serde_json::{Map, Value};

use super::structural::{JsonType, Structural};
use super::{FieldError, Path, SchemaError, correlate};

/// One rule, compiled.
#[derive(Debug)]
pub(crate) struct Rule {
    source: String,
    program: Program,
    uses_old: bool,
    /// `oldSelf` is an optional, and the rule is evaluated on create too.
    optional_old: bool,
    message: Option<String>,
    message_expression: Option<Program>,
    reason: Reason,
    /// Names from the rule's value down to the field to blame.
    field_path: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Reason {
    Invalid,
    Forbidden,
    Required,
    Duplicate,
}

/// The longest message that a message expression may yield, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// Identifiers that CEL reserves; fields with these names are escaped.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // These cannot clash with a fresh standard environment; without one of them its functions
    // are unknown, and rules that call them are broken.
    let _ = env.add_extension(cel::extensions::strings);
    let _ = env.add_extension(cel::extensions::lists);
    Arc::new(env)
});

/// Every rule that a whole object breaks.
pub(super) fn validate(root: &Structural, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    visit(root, new, old, &Path::Root, &mut errors);
    errors
}

fn visit(
    schema: &Structural,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    // A rule never sees a null: rules about presence belong to the parent.
    if value.is_null() {
        return;
    }
    let old = old.filter(|old| !old.is_null());
    if !schema.rules.is_empty() {
        evaluate_all(schema, value, old, path, errors);
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let old = old.filter(|_| !schema.atomic_map);
                let old = old.and_then(|old| old.get(name));
                if let Some(property) = schema.properties.get(name) {
                    visit(property, value, old, &Path::Field(path, name), errors);
                } else if let Some(below) = &schema.additional {
                    visit(below, value, old, &Path::Key(path, name), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(item) = &schema.items else {
                return;
            };
            for (index, value) in items.iter().enumerate() {
                let old = correlate(schema, value, old);
                visit(item, value, old, &Path::Index(path, index), errors);
            }
        }
        _ => {}
    }
}

fn evaluate_all(
    schema: &Structural,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let this = to_cel(schema, value);
    let before = old.map(|old| to_cel(schema, old));
    for rule in &schema.rules {
        if rule.uses_old && before.is_none() && !rule.optional_old {
            continue;
        }
        // What an update leaves alone is not held against it by rules about one state.
        if !rule.uses_old && old == Some(value) {
            continue;
        }
        if let Some(error) = rule.evaluate(value, &this, before.as_ref(), path) {
            errors.push(error);
        }
    }
}

// === impl Rule ===

impl Rule {
    /// Parses one entry of `x-kubernetes-validations`.
    pub(super) fn parse(rule: &Value, path: &str) -> Result<Self, SchemaError> {
        let text = |name: &str| rule.get(name).and_then(Value::as_str);
        let source = text("rule")
            .filter(|source| !source.trim().is_empty())
            .ok_or_else(|| SchemaError::at(&format!("{path}.rule"), "Required value"))?;
        let program = compile(source, &format!("{path}.rule"))?;
        let message_expression = text("messageExpression")
            .map(|source| compile(source, &format!("{path}.messageExpression")))
            .transpose()?;
        let field_path = match text("fieldPath") {
            None => Vec::new(),
            Some(steps) => field_path(steps).ok_or_else(|| {
                SchemaError::at(
                    &format!("{path}.fieldPath"),
                    "must be a path of .field and ['field'] steps",
                )
            })?,
        };
        Ok(Self {
            uses_old: program.references().has_variable("oldSelf"),
            optional_old: rule.get("optionalOldSelf").and_then(Value::as_bool) == Some(true),
            message: text("message").map(|message| message.trim().to_owned()),
            reason: Reason::parse(text("reason"), path)?,
            source: source.trim().to_owned(),
            program,
            message_expression,
            field_path,
        })
    }

    fn evaluate(
        &self,
        value: &Value,
        this: &CelValue,
        before: Option<&CelValue>,
        path: &Path<'_>,
    ) -> Option<FieldError> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        context.add_variable_from_value("self", this.clone());
        if self.optional_old {
            let optional = match before {
                Some(before) => OptionalValue::of(before.clone()),
                None => OptionalValue::none(),
            };
            context.add_variable_from_value("oldSelf", CelValue::Opaque(Arc::new(optional)));
        } else if let Some(before) = before {
            context.add_variable_from_value("oldSelf", before.clone());
        }
        match self.program.execute(&context) {
            Ok(CelValue::Bool(true)) => None,
            Ok(CelValue::Bool(false)) => Some(self.broken(value, &context, path)),
            Ok(_) => Some(self.unusable(value, "rule did not yield a boolean", path)),
            Err(error) => Some(self.unusable(value, &error.to_string(), path)),
        }
    }

    fn broken(&self, value: &Value, context: &Context<'_, '_>, path: &Path<'_>) -> FieldError {
        let computed = self
            .message_expression
            .as_ref()
            .and_then(|program| program.execute(context).ok())
            .and_then(|message| match message {
                CelValue::String(message) => Some(message.trim().to_owned()),
                _ => None,
            })
            .filter(|message| {
                !message.is_empty() && message.len() <= MAX_MESSAGE && !message.contains('\n')
            });
        let detail = computed
            .or_else(|| self.message.clone())
            .unwrap_or_else(|| format!("failed rule: {}", self.source));
        let (reason, message) = match self.reason {
            Reason::Invalid => (
                "FieldValueInvalid",
                format!("Invalid value: {}{detail}", shown(value)),
            ),
            Reason::Forbidden => ("FieldValueForbidden", format!("Forbidden: {detail}")),
            Reason::Required => ("FieldValueRequired", format!("Required value: {detail}")),
            Reason::Duplicate => ("FieldValueDuplicate", format!("Duplicate value: {value}")),
        };
        FieldError {
            path: self.blame(path),
            reason,
            message,
        }
    }

    fn unusable(&self, value: &Value, why: &str, path: &Path<'_>) -> FieldError {
        let rule = self.message.as_deref().unwrap_or(&self.source);
        let value = type_of(value);
        let message = format!("Invalid value: {value:?}: {why} evaluating rule: {rule}");
        FieldError::new(path, "FieldValueInvalid", message)
    }

    fn blame(&self, path: &Path<'_>) -> String {
        let below = self.field_path.join(".");
        match (path, below.is_empty()) {
            (_, true) => path.to_string(),
            (Path::Root, false) => below,
            (_, false) => format!("{path}.{below}"),
        }
    }
}

/// What stands for the value where a rule cannot be evaluated.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The value before a message: scalars are shown, what is large is not.
fn shown(value: &Value) -> String {
    if value.is_object() || value.is_array() {
        String::new()
    } else {
        format!("{value}: ")
    }
}

fn compile(source: &str, path: &str) -> Result<Program, SchemaError> {
    ENV.compile(source).map_err(|error| {
        let detail = format!("Invalid value: {source:?}: compilation failed: {error}");
        SchemaError::at(path, &detail)
    })
}

/// Splits `.a['b.c'].d` into its names.
fn field_path(steps: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = steps;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix("['") {
            let (name, tail) = quoted.split_once("']")?;
            names.push(name.to_owned());
            rest = tail;
        } else {
            let plain = rest.strip_prefix('.')?;
            let end = plain.find(['.', '[']).unwrap_or(plain.len());
            let (name, tail) = plain.split_at(end);
            names.push(name.to_owned());
            rest = tail;
        }
        if names.last().is_none_or(String::is_empty) {
            return None;
        }
    }
    Some(names)
}

// === impl Reason ===

impl Reason {
    fn parse(name: Option<&str>, path: &str) -> Result<Self, SchemaError> {
        match name {
            None | Some("FieldValueInvalid") => Ok(Self::Invalid),
            Some("FieldValueForbidden") => Ok(Self::Forbidden),
            Some("FieldValueRequired") => Ok(Self::Required),
            Some("FieldValueDuplicate") => Ok(Self::Duplicate),
            Some(other) => Err(SchemaError::at(
                &format!("{path}.reason"),
                &format!(
                    "Unsupported value: {other:?}: supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\""
                ),
            )),
        }
    }
}

/// The value as rules see it: numbers typed by the schema, field names escaped.
fn to_cel(schema: &Structural, value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(yes) => CelValue::Bool(*yes),
        Value::String(text) => CelValue::from(text.as_str()),
        Value::Number(number) => match number.as_i64() {
            Some(n) if schema.kind != Some(JsonType::Number) => CelValue::Int(n),
            _ => CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Array(items) => {
            let unknown = Structural::default();
            let item = schema.items.as_deref().unwrap_or(&unknown);
            CelValue::from(items.iter().map(|v| to_cel(item, v)).collect::<Vec<_>>())
        }
        Value::Object(fields) => object_to_cel(schema, fields),
    }
}

fn object_to_cel(schema: &Structural, fields: &Map<String, Value>) -> CelValue {
    let unknown = Structural::default();
    let mut out: HashMap<Key, CelValue> = HashMap::with_capacity(fields.len());
    for (name, value) in fields {
        // A field that is null is absent to `has`.
        if value.is_null() && schema.properties.contains_key(name) {
            continue;
        }
        // Fields are identifiers and so escaped; keys of a map are strings as they are.
        let (key, below) = match schema.properties.get(name) {
            Some(property) => (escape(name), property),
            None if schema.embedded => (escape(name), &unknown),
            None => (
                name.clone(),
                schema.additional.as_deref().unwrap_or(&unknown),
            ),
        };
        out.insert(Key::from(key), to_cel(below, value));
    }
    CelValue::from(out)
}

/// A field's name as rules write it.
fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let (escaped, taken) = match c {
            '_' if rest.starts_with("__") => ("__underscores__", 2),
            '.' => ("__dot__", 1),
            '-' => ("__dash__", 1),
            '/' => ("__slash__", 1),
            _ => ("", c.len_utf8()),
        };
        out.push_str(if escaped.is_empty() {
            &rest[..taken]
        } else {
            escaped
        });
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
