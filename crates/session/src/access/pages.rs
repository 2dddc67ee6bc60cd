//! DescribeTopicPartitions (KIP-966): topics in pages.

use std::cmp::Ordering;
use std::collections::HashSet;

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::metadata::{hide_partitions, set_operations};
use super::refusals::{INVALID_REQUEST, TOPIC_DENIED};
use super::{Access, Case, Verdict, tree};

/// What is done to a page.
#[derive(Debug)]
pub(super) struct Page {
    /// If all topics were asked for: where the page begins.
    all: Option<Bytes>,
    refused: Vec<Struct>,
}

/// DescribeTopicPartitions.
pub(super) fn decide(case: &Case<'_>) -> Verdict {
    let names: Vec<_> = case
        .request
        .structs("Topics")
        .map(|topic| tree::bytes(topic, "Name"))
        .collect();
    let cursor = cursor(case.request, "Cursor");
    let start = cursor.as_ref().map(|(name, _)| name.clone());
    if let Some((name, partition)) = &cursor
        && (*partition < 0 || !names.is_empty() && !names.contains(name))
    {
        return Verdict::Answer(invalid(case, &names));
    }
    let mut page = Page {
        all: None,
        refused: Vec::new(),
    };
    if names.is_empty() {
        page.all = Some(start.unwrap_or_default());
        return Verdict::Amend(Amend::new([Change::Page(page)]));
    }
    let visible = |name: &Bytes| case.access.topic(Operation::Describe, name);
    if names.iter().all(visible) {
        return Verdict::Amend(Amend::new([Change::Page(page)]));
    }
    let before = |name: &Bytes| {
        start
            .as_ref()
            .is_some_and(|start| tree::java_order(name, start) == Ordering::Less)
    };
    let mut told = HashSet::new();
    let unseen = names.iter().filter(|name| !visible(name) && !before(name));
    let unseen = unseen.filter(|name| told.insert(*name));
    page.refused = unseen.map(|name| refusal(case, name)).collect();
    // A cursor at a topic that is cut begins the page at the next one.
    let lost = start.as_ref().is_some_and(|start| !visible(start));
    let mut request = case.request.clone();
    tree::retain(&mut request, "Topics", |topic| {
        let name = tree::bytes(topic, "Name");
        visible(&name) && !(lost && before(&name))
    });
    if lost {
        request.set("Cursor", Value::Null);
    }
    if tree::values(&request, "Topics").is_empty() {
        let mut answer = case.blank();
        page.apply(&case.access, &mut answer);
        return Verdict::Answer(answer);
    }
    Verdict::Cut(request, Amend::new([Change::Page(page)]))
}

fn refusal(case: &Case<'_>, name: &Bytes) -> Struct {
    let mut entry = tree::element(&case.blank(), "Topics");
    entry.set("ErrorCode", TOPIC_DENIED);
    entry.set("Name", tree::text(name));
    entry
}

/// A cursor that is not among the topics, or is at no partition.
fn invalid(case: &Case<'_>, names: &[Bytes]) -> Struct {
    let mut answer = case.blank();
    for name in names {
        let mut entry = refusal(case, name);
        entry.set("ErrorCode", INVALID_REQUEST);
        tree::push(&mut answer, "Topics", entry);
    }
    answer
}

fn cursor(of: &Struct, field: &str) -> Option<(Bytes, i64)> {
    match of.get(field) {
        Some(Value::Struct(cursor)) => Some((
            tree::bytes(cursor, "TopicName"),
            cursor.int("PartitionIndex"),
        )),
        _ => None,
    }
}

// === impl Page ===

impl Page {
    pub(super) fn apply(self, access: &Access<'_>, response: &mut Struct) {
        if let Some(start) = &self.all {
            tree::retain(response, "Topics", |topic| {
                access.topic(Operation::Describe, &tree::bytes(topic, "Name"))
            });
            veil_cursor(access, response, start);
        }
        for topic in tree::structs_mut(response, "Topics") {
            hide_partitions(access, topic);
            set_operations(access, topic);
        }
        for refused in self.refused {
            tree::push(response, "Topics", refused);
        }
    }
}

/// A page of all topics may end at one that the caller may not see; its name is
/// in the cursor, because the broker counts it. Of that name only as much is
/// given away as makes the next page begin behind this one.
fn veil_cursor(access: &Access<'_>, response: &mut Struct, start: &Bytes) {
    let Some((next, _)) = cursor(response, "NextCursor") else {
        return;
    };
    if access.topic(Operation::Describe, &next) {
        return;
    }
    let last = response.structs("Topics").last();
    let last = last.map(|topic| tree::bytes(topic, "Name"));
    let after = |prefix: &str| {
        let behind = |name: &[u8]| tree::java_order(prefix.as_bytes(), name) == Ordering::Greater;
        behind(start) && last.as_ref().is_none_or(|last| behind(last))
    };
    let Ok(name) = std::str::from_utf8(&next) else {
        return;
    };
    let prefix = name
        .char_indices()
        .map(|(at, _)| &name[..at])
        .find(|prefix| !prefix.is_empty() && after(prefix));
    if let (Some(prefix), Some(Value::Struct(cursor))) = (prefix, response.get_mut("NextCursor")) {
        cursor.set("TopicName", prefix);
        cursor.set("PartitionIndex", 0);
    }
}
