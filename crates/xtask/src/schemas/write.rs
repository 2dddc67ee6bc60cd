//! The compact text that `tubeway-protocol` reads.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context;

use super::json::{Message, Versions};
use super::merge::{Merged, Node, merge};
use super::{Pair, Release};

/// The page that explains the syntax; it stands at the head of the data.
const HEAD: &str = include_str!("head.txt");

/// All APIs of all releases, by key.
pub(super) fn document(releases: &[Release]) -> anyhow::Result<String> {
    let mut text = HEAD.to_owned();
    let names: Vec<&str> = releases
        .iter()
        .map(|release| release.name.as_str())
        .collect();
    write!(text, "\nreleases {}\n", names.join(" "))?;
    let keys: BTreeSet<i16> = releases
        .iter()
        .flat_map(|r| r.apis.keys().copied())
        .collect();
    for key in keys {
        api(&mut text, key, releases).with_context(|| format!("API {key}"))?;
    }
    Ok(text)
}

fn api(text: &mut String, key: i16, releases: &[Release]) -> anyhow::Result<()> {
    let pairs: Vec<(&str, &Pair)> = releases
        .iter()
        .filter_map(|release| Some((release.name.as_str(), release.apis.get(&key)?)))
        .collect();
    let requests: Vec<&Message> = pairs
        .iter()
        .filter_map(|(_, p)| p.request.as_ref())
        .collect();
    let responses: Vec<&Message> = pairs
        .iter()
        .filter_map(|(_, p)| p.response.as_ref())
        .collect();
    let newest = requests.last().context("no request")?;
    let name = newest
        .name
        .strip_suffix("Request")
        .context("a request is named so")?;
    write!(text, "\napi {key} {name}")?;
    // The last release that serves the API says on which listeners.
    let listeners = requests
        .iter()
        .rev()
        .find(|request| !request.listeners.is_empty());
    if let Some(request) = listeners {
        write!(text, " on {}", request.listeners.join(","))?;
    }
    for (release, pair) in &pairs {
        let request = pair.request.as_ref().context("no request")?;
        let Some(range) = Versions::parse(&request.valid_versions)? else {
            continue;
        };
        let mark = if request.latest_version_unstable {
            "!"
        } else {
            ""
        };
        write!(text, " {release}={}-{}{mark}", range.first, range.last)?;
    }
    text.push('\n');
    message(text, "request", &requests)?;
    message(text, "response", &responses)
}

fn message(text: &mut String, word: &str, definitions: &[&Message]) -> anyhow::Result<()> {
    let merged = merge(definitions)?.with_context(|| format!("{word} has no version"))?;
    write!(
        text,
        "{word} {}-{}",
        merged.versions.first, merged.versions.last
    )?;
    if let Some(flexible) = merged.flexible {
        write!(text, " flexible {}+", flexible.first)?;
    }
    text.push('\n');
    let Merged {
        versions, fields, ..
    } = merged;
    for field in &fields {
        node(text, field, 1, versions)?;
    }
    Ok(())
}

fn node(text: &mut String, node: &Node, depth: usize, message: Versions) -> anyhow::Result<()> {
    let range = |versions: Versions| {
        if versions.last == message.last {
            format!("{}+", versions.first)
        } else {
            format!("{}-{}", versions.first, versions.last)
        }
    };
    write!(
        text,
        "{:depth$}{} {} {}",
        "",
        node.name,
        node.kind,
        range(node.versions)
    )?;
    if let Some(nullable) = node.nullable {
        write!(text, " null {}", range(nullable))?;
    }
    if let Some((tag, versions)) = node.tagged {
        write!(text, " tag {tag} {}", range(versions))?;
    }
    if let Some(default) = node.default.as_ref().filter(|default| !default.is_empty()) {
        write!(text, " default {default}")?;
    }
    if let Some(entity) = &node.entity {
        write!(text, " is {entity}")?;
    }
    text.push('\n');
    for child in &node.fields {
        self::node(text, child, depth + 1, message)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(name: &str, request: &str) -> Release {
        let message = |kind: &str, body: &str| {
            let text = format!(
                r#"{{"apiKey": 1, "type": "{kind}", "name": "Thing{}", {body}}}"#,
                if kind == "request" {
                    "Request"
                } else {
                    "Response"
                }
            );
            serde_json::from_str(&text).unwrap()
        };
        let response = r#""validVersions": "0-3", "flexibleVersions": "none", "fields": []"#;
        let pair = Pair {
            request: Some(message("request", request)),
            response: Some(message("response", response)),
        };
        Release {
            name: name.to_owned(),
            apis: [(1, pair)].into(),
        }
    }

    #[test]
    fn the_newer_release_wins_where_both_define_a_version() {
        let older = release(
            "1.0",
            r#""validVersions": "0-2", "flexibleVersions": "2+", "listeners": ["broker"],
            "fields": [
                {"name": "Gone", "type": "int8", "versions": "0"},
                {"name": "Renamed", "type": "int8", "versions": "1+"},
                {"name": "Name", "type": "string", "versions": "0+", "nullableVersions": "0+"}
            ]"#,
        );
        let newer = release(
            "2.0",
            r#""validVersions": "1-3", "flexibleVersions": "2+", "listeners": ["broker"],
            "latestVersionUnstable": true, "fields": [
                {"name": "NewName", "type": "int8", "versions": "1+", "default": "-1"},
                {"name": "Name", "type": "string", "versions": "0-2", "entityType": "topicName"},
                {"name": "List", "type": "[]Item", "versions": "2+", "taggedVersions": "3+",
                 "tag": 0},
                {"name": "Again", "type": "Item", "versions": "3+"}
            ],
            "commonStructs": [{"name": "Item", "versions": "2+", "fields": [
                {"name": "Id", "type": "uuid", "versions": "0+"}
            ]}]"#,
        );
        let text = document(&[older, newer]).unwrap();
        let body = text.split_once("\nreleases ").unwrap().1;
        let expected = "\
1.0 2.0

api 1 Thing on broker 1.0=0-2 2.0=1-3!
request 0-3 flexible 2+
 NewName int8 1+ default -1
 Gone int8 0-0
 Name string 0-2 null 0-0 is topicName
 List []{} 2+ tag 0 3+
  Id uuid 2+
 Again {} 3+
  Id uuid 3+
response 0-3
";
        assert_eq!(body, expected);
    }
}
