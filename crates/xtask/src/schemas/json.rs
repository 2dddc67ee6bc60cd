//! Kafka's schema files as they are in the jar.

use anyhow::{Context, bail};
use serde::Deserialize;

/// A message schema.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message {
    pub(super) api_key: Option<i16>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) listeners: Vec<String>,
    pub(super) valid_versions: String,
    #[serde(default)]
    pub(super) latest_version_unstable: bool,
    pub(super) flexible_versions: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
    #[serde(default)]
    pub(super) common_structs: Vec<CommonStruct>,
}

/// A struct that several fields of one message share.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct CommonStruct {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// A field of a message or struct.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) versions: String,
    pub(super) nullable_versions: Option<String>,
    pub(super) tagged_versions: Option<String>,
    /// A number, or a number in quotes.
    pub(super) tag: Option<serde_json::Value>,
    pub(super) default: Option<serde_json::Value>,
    pub(super) entity_type: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
}

/// Inclusive versions; `None` at the end means "and all later ones".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Versions {
    pub(super) first: i16,
    pub(super) last: i16,
}

// === impl Versions ===

impl Versions {
    /// Parses `none`, `3`, `3-5`, `3+`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Option<Self>> {
        let number = |part: &str| {
            part.parse::<i16>()
                .with_context(|| format!("{text:?} is not a version range"))
        };
        Ok(if text == "none" {
            None
        } else if let Some(first) = text.strip_suffix('+') {
            Some(Self {
                first: number(first)?,
                last: i16::MAX,
            })
        } else if let Some((first, last)) = text.split_once('-') {
            Some(Self {
                first: number(first)?,
                last: number(last)?,
            })
        } else {
            Some(Self {
                first: number(text)?,
                last: number(text)?,
            })
        })
    }

    /// The versions in both ranges.
    pub(super) fn intersect(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Self { first, last })
    }

    /// The versions in either range, which must touch.
    pub(super) fn union(self, other: Self) -> anyhow::Result<Self> {
        if self.first > other.last.saturating_add(1) || other.first > self.last.saturating_add(1) {
            bail!("versions {self:?} and {other:?} leave a gap");
        }
        Ok(Self {
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        })
    }
}

/// Blanks `//` comments, which stand outside of strings.
pub(super) fn strip_comments(source: &str) -> String {
    source
        .lines()
        .map(strip_line)
        .collect::<Vec<_>>()
        .join("\n")
}

fn strip_line(line: &str) -> &str {
    let mut in_string = false;
    let mut escaped = false;
    let bytes = line.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'/' if !in_string && bytes.get(at + 1) == Some(&b'/') => return &line[..at],
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_go_and_strings_stay() {
        let source = "// head\n{ \"a\": \"http://x\", // tail\n \"b\": \"\\\"//\" }";
        let value: serde_json::Value = serde_json::from_str(&strip_comments(source)).unwrap();
        assert_eq!(value["a"], "http://x");
        assert_eq!(value["b"], "\"//");
    }

    #[test]
    fn version_ranges() {
        assert_eq!(Versions::parse("none").unwrap(), None);
        assert_eq!(
            Versions::parse("3+").unwrap(),
            Some(Versions {
                first: 3,
                last: i16::MAX
            })
        );
        assert_eq!(
            Versions::parse("2-4").unwrap(),
            Some(Versions { first: 2, last: 4 })
        );
        assert!(Versions::parse("x").is_err());
        let gap = Versions { first: 0, last: 1 }.union(Versions { first: 3, last: 4 });
        assert!(gap.is_err());
    }
}
