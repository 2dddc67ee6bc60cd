//! Tables: what `kubectl get` prints.

mod core;
mod jsonpath;
mod others;
mod pod;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::Resource;

/// What each row carries besides its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    /// The object's metadata.
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    Nothing,
}

/// A column.
struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    /// Above 0: only in the wide form.
    priority: i64,
}

/// Columns of a built-in kind: headings, wide ones marked by `+`, integers by `#`.
type Headings = &'static [&'static str];

/// Cells of one object, one for each heading.
type Cells = fn(&Value, Timestamp) -> Vec<Value>;

// === impl Include ===

impl Include {
    /// The parameter `includeObject`.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Object") => Self::Object,
            Some("None") => Self::Nothing,
            _ => Self::Metadata,
        }
    }
}

/// The table of `objects`; later tables of one watch leave the columns out.
pub(crate) fn render(
    resource: &Resource,
    objects: &[&Value],
    include: Include,
    metadata: &Value,
    columns: bool,
) -> Value {
    let now = Timestamp::now();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let mut row = json!({"cells": cells(resource, object, now)});
            match include {
                Include::Nothing => {}
                Include::Object => row["object"] = (*object).clone(),
                Include::Metadata => {
                    row["object"] = json!({
                        "kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1",
                        "metadata": object["metadata"],
                    });
                }
            }
            row
        })
        .collect();
    let definitions: Vec<Value> = if columns {
        definitions(resource).iter().map(Column::describe).collect()
    } else {
        Vec::new()
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn builtin(resource: &Resource) -> (Headings, Cells) {
    match (&*resource.group, &*resource.plural) {
        ("", "pods") => (pod::HEADINGS, pod::cells),
        ("", plural) => core::printer(plural),
        (group, plural) => others::printer(group, plural),
    }
}

fn definitions(resource: &Resource) -> Vec<Column> {
    let Some(crd) = &resource.crd else {
        return builtin(resource)
            .0
            .iter()
            .map(|heading| Column::parse(heading))
            .collect();
    };
    let mut columns = vec![Column::parse("Name")];
    if crd.columns.is_empty() {
        columns.push(Column {
            kind: "date".into(),
            ..Column::parse("Age")
        });
    }
    columns.extend(crd.columns.iter().map(|column| Column {
        name: column.name.clone(),
        kind: column.kind.clone(),
        format: column.format.clone(),
        description: column.description.clone(),
        priority: column.priority,
    }));
    columns
}

fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let Some(crd) = &resource.crd else {
        return builtin(resource).1(object, now);
    };
    let mut cells = vec![object["metadata"]["name"].clone()];
    if crd.columns.is_empty() {
        cells.push(age(object, now));
    }
    cells.extend(crd.columns.iter().map(|column| custom(column, object, now)));
    cells
}

/// A cell of a custom resource: the first value that the path finds, in the column's type.
fn custom(column: &crate::resource::Column, object: &Value, now: Timestamp) -> Value {
    let found = jsonpath::find(object, &column.path);
    let Some(value) = found.first() else {
        return Value::Null;
    };
    match &*column.kind {
        "date" => since(value, now),
        "integer" | "number" | "boolean" => (*value).clone(),
        _ => match value {
            Value::String(text) => text.clone().into(),
            Value::Null => Value::Null,
            other => other.to_string().into(),
        },
    }
}

// === impl Column ===

impl Column {
    fn parse(heading: &str) -> Self {
        let name = heading.trim_matches(['+', '#']);
        let priority = i64::from(heading.starts_with('+'));
        let kind = if heading.ends_with('#') {
            "integer"
        } else {
            "string"
        };
        let format = if name == "Name" { "name" } else { "" };
        Self {
            name: name.into(),
            kind: kind.into(),
            format: format.into(),
            description: String::new(),
            priority,
        }
    }

    fn describe(&self) -> Value {
        json!({
            "name": self.name, "type": self.kind, "format": self.format,
            "description": self.description, "priority": self.priority,
        })
    }
}

/// How long ago an object was made.
fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now)
}

/// How long ago a time was.
fn since(time: &Value, now: Timestamp) -> Value {
    match time
        .as_str()
        .and_then(|text| text.parse::<Timestamp>().ok())
    {
        Some(time) => duration(now.as_second() - time.as_second()).into(),
        None => "<unknown>".into(),
    }
}

/// A length of time as people like to read it, the way of the real server.
fn duration(seconds: i64) -> String {
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{big}{big_unit}")
        } else {
            format!("{big}{big_unit}{small}{small_unit}")
        }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// Text at a pointer, or `<none>`.
fn text_or_none(object: &Value, pointer: &str) -> Value {
    match object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
    {
        Some(text) => text.into(),
        None => "<none>".into(),
    }
}

/// Text at a pointer, or nothing.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The items of a list.
fn items<'a>(object: &'a Value, pointer: &str) -> impl DoubleEndedIterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// How many entries a list or map has.
fn count(value: &Value) -> usize {
    value.as_object().map_or_else(
        || value.as_array().map_or(0, Vec::len),
        serde_json::Map::len,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_those_of_the_real_server() {
        let (minute, hour, day) = (60, 3600, 86_400);
        for (seconds, want) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (9 * minute + 5, "9m5s"),
            (10 * minute + 5, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (7 * hour + minute, "7h1m"),
            (8 * hour + minute, "8h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (7 * day + hour, "7d1h"),
            (8 * day, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (2920 * day, "8y"),
        ] {
            assert_eq!(duration(seconds), want);
        }
    }

    #[test]
    fn every_built_in_kind_has_a_cell_for_each_heading() {
        for resource in crate::resource::BUILTIN.iter().filter(|r| !r.review) {
            let object =
                json!({"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}});
            let table = render(resource, &[&object], Include::Metadata, &json!({}), true);
            let columns = table["columnDefinitions"].as_array().unwrap().len();
            assert_eq!(
                table["rows"][0]["cells"].as_array().unwrap().len(),
                columns,
                "{}",
                resource.plural
            );
        }
    }
}
