//! One definition of a message out of several releases' definitions.

use anyhow::{Context, bail};

use super::json::{Field, Message, Versions};

/// A message's versions and fields over all releases.
pub(super) struct Merged {
    pub(super) versions: Versions,
    pub(super) flexible: Option<Versions>,
    pub(super) fields: Vec<Node>,
}

/// A field with its struct's fields in place.
pub(super) struct Node {
    pub(super) name: String,
    /// A primitive's name, or `{}`; with `[]` before it for arrays.
    pub(super) kind: String,
    pub(super) versions: Versions,
    pub(super) nullable: Option<Versions>,
    pub(super) tagged: Option<(u32, Versions)>,
    pub(super) default: Option<String>,
    pub(super) entity: Option<String>,
    pub(super) fields: Vec<Node>,
}

/// Merges definitions, oldest first. `None` when no release has any version of the message.
pub(super) fn merge(definitions: &[&Message]) -> anyhow::Result<Option<Merged>> {
    let mut merged: Option<Merged> = None;
    for message in definitions {
        let Some(valid) = Versions::parse(&message.valid_versions)? else {
            continue;
        };
        let newer = Merged {
            versions: valid,
            flexible: clip(message.flexible_versions.as_deref(), valid)?,
            fields: nodes(message, &message.fields, valid).with_context(|| message.name.clone())?,
        };
        merged = Some(match merged {
            None => newer,
            Some(older) => combine(older, newer).with_context(|| message.name.clone())?,
        });
    }
    Ok(merged)
}

fn combine(older: Merged, newer: Merged) -> anyhow::Result<Merged> {
    let versions = older.versions.union(newer.versions)?;
    if versions.last != newer.versions.last {
        bail!("an older release has newer versions");
    }
    // What the newer release also defines is the newer release's.
    let mut fields = Vec::new();
    let mut flexible = newer.flexible;
    if older.versions.first < newer.versions.first {
        let kept = Versions {
            first: older.versions.first,
            last: newer.versions.first - 1,
        };
        fields = older
            .fields
            .into_iter()
            .filter_map(|node| node.clip(kept))
            .collect();
        if let Some(old) = older.flexible.and_then(|old| old.intersect(kept)) {
            flexible = Some(flexible.map_or(Ok(old), |new| new.union(old))?);
        }
    }
    Ok(Merged {
        versions,
        flexible,
        fields: combine_fields(fields, newer.fields)?,
    })
}

/// Interleaves two field lists: common fields keep their place. The order of the others is of no
/// matter, because no version has both a field of the one and a field of the other.
fn combine_fields(mut older: Vec<Node>, newer: Vec<Node>) -> anyhow::Result<Vec<Node>> {
    let mut fields = Vec::new();
    for node in newer {
        let Some(at) = older.iter().position(|old| old.name == node.name) else {
            fields.push(node);
            continue;
        };
        fields.extend(older.drain(..at));
        fields.push(older.remove(0).union(node)?);
    }
    fields.extend(older);
    Ok(fields)
}

/// Resolves a field list: shared structs in place, versions cut to the message's own.
fn nodes(message: &Message, fields: &[Field], within: Versions) -> anyhow::Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for field in fields {
        let Some(versions) = clip(Some(&field.versions), within)? else {
            continue;
        };
        nodes.push(node(message, field, versions).with_context(|| field.name.clone())?);
    }
    Ok(nodes)
}

fn node(message: &Message, field: &Field, versions: Versions) -> anyhow::Result<Node> {
    let (array, element) = match field.kind.strip_prefix("[]") {
        Some(element) => ("[]", element),
        None => ("", field.kind.as_str()),
    };
    let is_struct = element.starts_with(|first: char| first.is_ascii_uppercase());
    let kind = format!("{array}{}", if is_struct { "{}" } else { element });
    let tagged = match clip(field.tagged_versions.as_deref(), versions)? {
        Some(tagged) => Some((tag(field)?, tagged)),
        None => None,
    };
    Ok(Node {
        name: field.name.clone(),
        kind,
        versions,
        nullable: clip(field.nullable_versions.as_deref(), versions)?,
        tagged,
        default: field.default.as_ref().map(plain),
        entity: field.entity_type.clone(),
        fields: if is_struct {
            nodes(message, struct_fields(message, field, element)?, versions)?
        } else {
            Vec::new()
        },
    })
}

fn struct_fields<'a>(
    message: &'a Message,
    field: &'a Field,
    name: &str,
) -> anyhow::Result<&'a [Field]> {
    if !field.fields.is_empty() {
        return Ok(&field.fields);
    }
    // A struct is spelled out where it is first used, or among the shared ones.
    message
        .common_structs
        .iter()
        .find(|shared| shared.name == name)
        .map(|shared| shared.fields.as_slice())
        .with_context(|| format!("no struct {name}"))
}

fn tag(field: &Field) -> anyhow::Result<u32> {
    let tag = field
        .tag
        .as_ref()
        .context("tagged versions without a tag")?;
    plain(tag).parse().with_context(|| format!("tag {tag}"))
}

fn plain(value: &serde_json::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn clip(text: Option<&str>, within: Versions) -> anyhow::Result<Option<Versions>> {
    Ok(match text {
        Some(text) => Versions::parse(text)?.and_then(|versions| versions.intersect(within)),
        None => None,
    })
}

/// The union of two optional ranges.
fn join(older: Option<Versions>, newer: Option<Versions>) -> anyhow::Result<Option<Versions>> {
    Ok(match (older, newer) {
        (Some(older), Some(newer)) => Some(older.union(newer)?),
        (one, other) => one.or(other),
    })
}

// === impl Node ===

impl Node {
    /// The field as it is in `within`, if it is there at all.
    fn clip(self, within: Versions) -> Option<Self> {
        let versions = self.versions.intersect(within)?;
        Some(Self {
            versions,
            nullable: self.nullable.and_then(|range| range.intersect(versions)),
            tagged: self
                .tagged
                .and_then(|(tag, range)| Some((tag, range.intersect(versions)?))),
            fields: self
                .fields
                .into_iter()
                .filter_map(|node| node.clip(versions))
                .collect(),
            ..self
        })
    }

    fn union(self, newer: Self) -> anyhow::Result<Self> {
        if self.kind != newer.kind {
            bail!("{}: {} became {}", self.name, self.kind, newer.kind);
        }
        let tagged = match (self.tagged, newer.tagged) {
            (Some((old, _)), Some((new, _))) if old != new => bail!("{}: tag changed", self.name),
            (Some((tag, old)), Some((_, new))) => Some((tag, old.union(new)?)),
            (one, other) => one.or(other),
        };
        Ok(Self {
            versions: self.versions.union(newer.versions)?,
            nullable: join(self.nullable, newer.nullable)?,
            tagged,
            fields: combine_fields(self.fields, newer.fields)?,
            ..newer
        })
    }
}
