//! The JSON paths of printer columns: fields, indexes, wildcards and filters by equality.

use serde_json::Value;

/// One step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    /// `[?(@.a.b=="c")]`
    Equal(Vec<String>, String),
}

/// The values that `path` leads to; none if the path cannot be read.
pub(super) fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let Some(steps) = parse(path) else {
        return Vec::new();
    };
    let mut found = vec![object];
    for step in &steps {
        found = found
            .into_iter()
            .flat_map(|value| step.apply(value))
            .collect();
    }
    found
}

// === impl Step ===

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(at) => {
                let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
                let at = if *at < 0 { list.len() as i64 + at } else { *at };
                usize::try_from(at)
                    .ok()
                    .and_then(|at| list.get(at))
                    .into_iter()
                    .collect()
            }
            Self::All => match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Self::Equal(path, want) => value
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| {
                    let found = path.iter().try_fold(*item, |at, name| at.get(name));
                    found.is_some_and(|found| {
                        found
                            .as_str()
                            .map_or_else(|| found.to_string() == *want, |s| s == want)
                    })
                })
                .collect(),
        }
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = after.split_once(']')?;
            steps.push(bracket(inside.trim())?);
            rest = after;
            continue;
        }
        let text = rest.strip_prefix('.').unwrap_or(rest);
        let (name, after) = field(text);
        steps.push(if name == "*" {
            Step::All
        } else {
            Step::Field(name)
        });
        if after.len() == rest.len() {
            return None;
        }
        rest = after;
    }
    Some(steps)
}

/// A name up to a dot or bracket that is not escaped.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            c => name.push(c),
        }
    }
    (name, "")
}

fn bracket(inside: &str) -> Option<Step> {
    let quoted = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    if let Some(filter) = inside.strip_prefix("?(") {
        let (left, right) = filter.strip_suffix(')')?.split_once("==")?;
        let path = left
            .trim()
            .strip_prefix('@')?
            .split('.')
            .filter(|name| !name.is_empty())
            .map(str::to_owned);
        return Some(Step::Equal(path.collect(), quoted(right)));
    }
    match inside {
        "*" => Some(Step::All),
        text if text.starts_with(['"', '\'']) => Some(Step::Field(quoted(text))),
        text => text.parse().ok().map(Step::Index),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_printer_columns() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "x"}},
            "spec": {"list": [1, 2, 3], "text": "t"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
        });
        for (path, want) in [
            (".spec.text", json!(["t"])),
            (".spec.list[0]", json!([1])),
            (".spec.list[-1]", json!([3])),
            (".spec.list[*]", json!([1, 2, 3])),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                json!(["True"]),
            ),
            (
                ".status.conditions[?(@.type=='Other')].status",
                json!(["False"]),
            ),
            (".metadata.annotations.a\\.b/c", json!(["x"])),
            (".metadata.annotations['a.b/c']", json!(["x"])),
            (".spec.absent.deeper", json!([])),
            (".spec.list[", json!([])),
        ] {
            assert_eq!(json!(find(&object, path)), want, "{path}");
        }
    }
}
