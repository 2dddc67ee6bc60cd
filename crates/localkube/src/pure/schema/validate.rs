//! Checking an object against a CRD's schema, with the real server's words.

use serde_json::{Map, Number, Value};

use super::structural::{JsonType, ListType, Structural};
use super::{FieldError, Path, correlate, formats};

const INVALID: &str = "FieldValueInvalid";
const TYPE_INVALID: &str = "FieldValueTypeInvalid";

/// All errors of a whole object. Parts equal to the same part of `old` are not looked at.
pub(super) fn validate(root: &Structural, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check(root, new, old, &Path::Root, &mut errors);
    errors
}

fn check(
    schema: &Structural,
    value: &Value,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    if old == Some(value) {
        return;
    }
    if value.is_null() && schema.nullable {
        return;
    }
    if let Some(error) = wrong_type(schema, value, path) {
        errors.push(error);
        return;
    }
    enumeration(schema, value, path, errors);
    match value {
        Value::String(text) => string(schema, text, path, errors),
        Value::Number(number) => numeric(schema, number, path, errors),
        Value::Array(items) => array(schema, items, old, path, errors),
        Value::Object(fields) => object(schema, fields, old, path, errors),
        Value::Null | Value::Bool(_) => {}
    }
    combinations(schema, value, path, errors);
}

fn wrong_type(schema: &Structural, value: &Value, path: &Path<'_>) -> Option<FieldError> {
    let (wanted, fits) = if schema.int_or_string {
        ("integer,string", value.is_string() || is_integer(value))
    } else {
        let kind = schema.kind?;
        let fits = match kind {
            JsonType::Object => value.is_object(),
            JsonType::Array => value.is_array(),
            JsonType::String => value.is_string(),
            JsonType::Boolean => value.is_boolean(),
            JsonType::Number => value.is_number(),
            JsonType::Integer => is_integer(value),
        };
        (kind.name(), fits)
    };
    if fits {
        return None;
    }
    let got = json_type(value);
    let message = format!(
        "Invalid value: {got:?}: {} in body must be of type {wanted}: {got:?}",
        path.in_message()
    );
    Some(FieldError::new(path, TYPE_INVALID, message))
}

fn is_integer(value: &Value) -> bool {
    value
        .as_number()
        .is_some_and(|n| n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0))
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn enumeration(schema: &Structural, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let Some(allowed) = &schema.limits.enumeration else {
        return;
    };
    if allowed.iter().any(|one| equal(one, value)) {
        return;
    }
    let names: Vec<String> = allowed
        .iter()
        .map(|one| match one {
            Value::String(text) => format!("{text:?}"),
            other => format!("{:?}", other.to_string()),
        })
        .collect();
    let message = format!(
        "Unsupported value: {value}: supported values: {}",
        names.join(", ")
    );
    errors.push(FieldError::new(path, "FieldValueNotSupported", message));
}

/// Equality under which `1` and `1.0` are the same number.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => one == other,
    }
}

fn string(schema: &Structural, text: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let limits = &schema.limits;
    let name = path.in_message();
    let value = Value::from(text);
    let chars = text.chars().count() as u64;
    if let Some(max) = limits.max_length.filter(|max| chars > *max) {
        let message = format!("Too long: may not be more than {max} bytes");
        errors.push(FieldError::new(path, "FieldValueTooLong", message));
    }
    if let Some(min) = limits.min_length.filter(|min| chars < *min) {
        let detail = format!("{name} in body should be at least {min} chars long");
        errors.push(FieldError::invalid(path, &value, &detail));
    }
    if let Some(pattern) = limits.pattern.as_ref().filter(|one| !one.is_match(text)) {
        let detail = format!("{name} in body should match '{pattern}'");
        errors.push(FieldError::invalid(path, &value, &detail));
    }
    if let Some(format) = &limits.format
        && !formats::matches(format, text)
    {
        let message =
            format!("Invalid value: {value}: {name} in body must be of type {format}: {value}");
        errors.push(FieldError::new(path, TYPE_INVALID, message));
    }
}

fn numeric(schema: &Structural, number: &Number, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let limits = &schema.limits;
    let name = path.in_message();
    let value = Value::Number(number.clone());
    let mut fail = |detail: String| errors.push(FieldError::invalid(path, &value, &detail));
    let Some(n) = number.as_f64() else {
        return;
    };
    if let Some(factor) = &limits.multiple_of
        && factor.as_f64().is_some_and(|f| (n / f).fract() != 0.0)
    {
        fail(format!(
            "{name} in body should be a multiple of {}",
            plain(factor)
        ));
    }
    if let Some(max) = &limits.maximum {
        let exclusive = limits.exclusive_maximum;
        let over = compare(number, max);
        if over.is_gt() || exclusive && over.is_eq() {
            let words = if exclusive {
                "less than"
            } else {
                "less than or equal to"
            };
            fail(format!("{name} in body should be {words} {}", plain(max)));
        }
    }
    if let Some(min) = &limits.minimum {
        let exclusive = limits.exclusive_minimum;
        let over = compare(number, min);
        if over.is_lt() || exclusive && over.is_eq() {
            let words = if exclusive {
                "greater than"
            } else {
                "greater than or equal to"
            };
            fail(format!("{name} in body should be {words} {}", plain(min)));
        }
    }
    let out_of_range = match limits.format.as_deref() {
        Some("int32") => number.as_i64().is_none_or(|n| i32::try_from(n).is_err()),
        Some("int64") => number.as_i64().is_none() && n.abs() >= 9_223_372_036_854_775_808.0,
        _ => false,
    };
    if out_of_range && schema.kind == Some(JsonType::Integer) {
        let format = limits.format.as_deref().unwrap_or_default();
        fail(format!(
            "Checked value must be of type integer with format {format} in {name}"
        ));
    }
}

/// Compares without losing the low bits of large integers.
fn compare(a: &Number, b: &Number) -> std::cmp::Ordering {
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return a.cmp(&b);
    }
    let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
    a.total_cmp(&b)
}

/// A number without the `.0` of an integral float.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(n) if !number.is_i64() && !number.is_u64() => n.to_string(),
        _ => number.to_string(),
    }
}

fn array(
    schema: &Structural,
    items: &[Value],
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let limits = &schema.limits;
    let name = path.in_message();
    let count = items.len() as u64;
    if let Some(min) = limits.min_items.filter(|min| count < *min) {
        let detail = format!("{name} in body should have at least {min} items");
        errors.push(FieldError::invalid(path, &Value::from(count), &detail));
    }
    if let Some(max) = limits.max_items.filter(|max| count > *max) {
        let message = format!("Too many: {count}: must have at most {max} items");
        errors.push(FieldError::new(path, "FieldValueTooMany", message));
    }
    if limits.unique_items && (1..items.len()).any(|i| items[..i].contains(&items[i])) {
        let message = format!("Invalid value: \"\": {name} in body shouldn't contain duplicates");
        errors.push(FieldError::new(path, INVALID, message));
    }
    if let Some(item) = &schema.items {
        for (index, value) in items.iter().enumerate() {
            let old_item = correlate(schema, value, old);
            check(item, value, old_item, &Path::Index(path, index), errors);
        }
    }
    uniqueness(schema, items, path, errors);
}

/// Items of sets and of associative lists may not repeat.
fn uniqueness(schema: &Structural, items: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let identity = |item: &Value| match schema.list_type {
        ListType::Atomic => Value::Null,
        ListType::Set => item.clone(),
        ListType::Map => schema
            .list_keys
            .iter()
            .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
            .collect::<Map<_, _>>()
            .into(),
    };
    if schema.list_type == ListType::Atomic {
        return;
    }
    let identities: Vec<Value> = items.iter().map(identity).collect();
    for (index, one) in identities.iter().enumerate() {
        if identities[..index].contains(one) {
            let message = format!("Duplicate value: {one}");
            let here = Path::Index(path, index);
            errors.push(FieldError::new(&here, "FieldValueDuplicate", message));
        }
    }
}

fn object(
    schema: &Structural,
    fields: &Map<String, Value>,
    old: Option<&Value>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let limits = &schema.limits;
    let name = path.in_message();
    let count = fields.len() as u64;
    if let Some(min) = limits.min_properties.filter(|min| count < *min) {
        let detail = format!("{name} in body should have at least {min} properties");
        errors.push(FieldError::invalid(path, &Value::from(count), &detail));
    }
    if let Some(max) = limits.max_properties.filter(|max| count > *max) {
        let message = format!("Too many: {count}: must have at most {max} items");
        errors.push(FieldError::new(path, "FieldValueTooMany", message));
    }
    for field in &schema.required {
        if !fields.contains_key(field) {
            let here = Path::Field(path, field);
            let message = "Required value".to_owned();
            errors.push(FieldError::new(&here, "FieldValueRequired", message));
        }
    }
    for (field, value) in fields {
        let known = schema.properties.get(field);
        if let Some(below) = known.or(schema.additional.as_deref()) {
            let old = old.filter(|_| !schema.atomic_map);
            let old_value = old.and_then(|old| old.get(field));
            check(below, value, old_value, &Path::Field(path, field), errors);
        }
    }
}

/// `allOf`, `anyOf`, `oneOf` and `not`.
fn combinations(schema: &Structural, value: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let name = path.in_message();
    // The real server reports these against the whole object and names the field in the text.
    let fail = |errors: &mut Vec<FieldError>, detail: String| {
        let message = format!("Invalid value: \"\": {name:?} {detail}");
        errors.push(FieldError::new(&Path::Root, INVALID, message));
    };
    let outcomes = |schemas: &[Structural]| -> Vec<Vec<FieldError>> {
        schemas
            .iter()
            .map(|one| {
                let mut errors = Vec::new();
                check(one, value, None, path, &mut errors);
                errors
            })
            .collect()
    };
    // The alternative that came closest explains best what is wrong.
    let closest = |tried: Vec<Vec<FieldError>>| tried.into_iter().min_by_key(Vec::len);

    if !schema.any_of.is_empty() {
        let tried = outcomes(&schema.any_of);
        if !tried.iter().any(Vec::is_empty) {
            fail(errors, "must validate at least one schema (anyOf)".into());
            errors.extend(closest(tried).unwrap_or_default());
        }
    }
    if !schema.one_of.is_empty() {
        let tried = outcomes(&schema.one_of);
        let valid = tried.iter().filter(|errors| errors.is_empty()).count();
        let rule = "must validate one and only one schema (oneOf).";
        if valid == 0 {
            fail(errors, format!("{rule} Found none valid"));
            errors.extend(closest(tried).unwrap_or_default());
        } else if valid > 1 {
            fail(errors, format!("{rule} Found {valid} valid alternatives"));
        }
    }
    if !schema.all_of.is_empty() {
        let tried = outcomes(&schema.all_of);
        let valid = tried.iter().filter(|errors| errors.is_empty()).count();
        let all = tried.len();
        errors.extend(tried.into_iter().flatten());
        if valid == 0 {
            fail(
                errors,
                "must validate all the schemas (allOf). None validated".into(),
            );
        } else if valid < all {
            fail(errors, "must validate all the schemas (allOf)".into());
        }
    }
    if let Some(not) = &schema.not {
        let mut inner = Vec::new();
        check(not, value, None, path, &mut inner);
        if inner.is_empty() {
            fail(errors, "must not validate the schema (not)".into());
        }
    }
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
