//! Answers without what differs from one cluster to the next, so that they can be compared.
//!
//! Names of things that the server makes up keep their identity: the first uid of a case is
//! `<uid 1>` wherever it occurs, the second `<uid 2>`; likewise resource versions of objects.
//! So two answers compare equal only if the same things are the same in both.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value};

static UID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap()
});
static TIME: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z").unwrap());
static TOKEN: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[\w-]+\.[\w-]{20,}\.[\w-]{20,}$").unwrap());
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(10|127)\.96\.\d+\.\d+").unwrap());
static RECORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"ResourceVersion in record \(\d+\)").unwrap());
static LOOPBACK: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"127\.0\.0\.1:\d+").unwrap());
static TOO_OLD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"too old resource version: \d+ \(\d+\)").unwrap());

/// What has been seen of one side in one case.
#[derive(Default)]
pub struct Normalizer {
    uids: Vec<String>,
    versions: Vec<String>,
    aliases: Vec<(String, String)>,
}

// === impl Normalizer ===

impl Normalizer {
    /// From now on `text` reads `alias` wherever it occurs.
    pub fn alias(&mut self, text: &str, alias: &str) {
        self.aliases.push((text.into(), alias.into()));
    }

    /// `text` as it compares.
    pub fn text(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (from, to) in &self.aliases {
            text = text.replace(from, to);
        }
        if TOKEN.is_match(&text) {
            return "<token>".into();
        }
        let text = UID.replace_all(&text, |found: &Captures<'_>| {
            format!("<uid {}>", position(&mut self.uids, &found[0]))
        });
        let text = TIME.replace_all(&text, |found: &Captures<'_>| match found.get(1) {
            Some(fraction) => format!("<time with {} digits>", fraction.len() - 1),
            None => "<time>".into(),
        });
        let text = TOO_OLD.replace_all(&text, "too old resource version: <n> (<n>)");
        let text = RECORD.replace_all(&text, "ResourceVersion in record (<n>)");
        let text = LOOPBACK.replace_all(&text, "<server>");
        ADDRESS.replace_all(&text, "<service address>").into_owned()
    }

    /// `value` as it compares.
    pub fn value(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(fields) => self.object(fields),
            // Go writes a whole float without its point.
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                    (float as i64).into()
                }
                _ => value.clone(),
            },
            other => other.clone(),
        }
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Value {
        let is_list = fields
            .get("kind")
            .and_then(Value::as_str)
            .is_some_and(|kind| kind.ends_with("List") || kind == "Table");
        let mut result = Map::new();
        for (name, value) in fields {
            let value = match (&**name, value) {
                // That of a list is the whole cluster's: other cases write meanwhile.
                ("metadata", Value::Object(metadata)) if is_list => list_metadata(metadata),
                ("resourceVersion", Value::String(version)) if !version.is_empty() => {
                    format!("<version {}>", position(&mut self.versions, version)).into()
                }
                ("managedFields", Value::Array(entries)) => {
                    let mut entries: Vec<Value> =
                        entries.iter().map(|entry| self.value(entry)).collect();
                    // Not every change of an entry is one of its time.
                    for fields in entries.iter_mut().filter_map(Value::as_object_mut) {
                        fields.remove("time");
                    }
                    // The server sorts by seconds, and a case may pass in one.
                    entries.sort_by_key(manager);
                    entries.into()
                }
                ("causes", Value::Array(causes)) => {
                    let mut causes: Vec<Value> =
                        causes.iter().map(|cause| self.value(cause)).collect();
                    // In the order of a Go map.
                    causes.sort_by_key(ToString::to_string);
                    causes.into()
                }
                ("resources", Value::Array(items)) => {
                    let mut items: Vec<Value> = items.iter().map(|item| self.value(item)).collect();
                    // Those of a group of custom resources, too.
                    items.sort_by_key(|item| item["name"].to_string());
                    items.into()
                }
                (_, value) => self.value(value),
            };
            result.insert(self.text(name), value);
        }
        several_causes(&mut result);
        Value::Object(result)
    }
}

/// A message about several fields has them in any order; the causes say the same.
fn several_causes(fields: &mut Map<String, Value>) {
    let several = fields
        .get("details")
        .and_then(|details| details["causes"].as_array())
        .is_some_and(|causes| causes.len() > 1);
    if let Some(Value::String(message)) = fields.get_mut("message").filter(|_| several)
        && let Some((start, _)) = message.split_once(": [")
    {
        *message = format!("{start}: [<causes>]");
    }
}

fn list_metadata(metadata: &Map<String, Value>) -> Value {
    let mut metadata = metadata.clone();
    // An empty token is no token, and only some of the real server's lists leave it out.
    if metadata.get("continue").is_some_and(|token| token == "") {
        metadata.remove("continue");
    }
    for name in ["resourceVersion", "continue"] {
        if let Some(value) = metadata.get_mut(name).filter(|value| *value != "") {
            *value = format!("<{name}>").into();
        }
    }
    metadata.into()
}

fn manager(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    ["operation", "manager", "apiVersion", "subresource"]
        .map(text)
        .join(" ")
}

/// The place of `text` in `seen`, from 1, where it is put if it is new.
fn position(seen: &mut Vec<String>, text: &str) -> usize {
    if let Some(at) = seen.iter().position(|known| known == text) {
        return at + 1;
    }
    seen.push(text.into());
    seen.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "11111111-1111-1111-1111-111111111111";
    const B: &str = "22222222-2222-2222-2222-222222222222";

    #[test]
    fn identities_stay_and_values_go() {
        let mut normalizer = Normalizer::default();
        let first =
            json!({"uid": A, "other": B, "resourceVersion": "7", "at": "2026-01-02T03:04:05Z"});
        assert_eq!(
            normalizer.value(&first),
            json!({"uid": "<uid 2>", "other": "<uid 1>", "resourceVersion": "<version 1>", "at": "<time>"})
        );
        let second = json!({"message": format!("not {A}"), "resourceVersion": "8"});
        assert_eq!(
            normalizer.value(&second),
            json!({"message": "not <uid 2>", "resourceVersion": "<version 2>"})
        );
    }
}
