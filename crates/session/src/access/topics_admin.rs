//! Creating topics, and adding partitions.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::amend::Change;
use super::listed::{Place, PutBack};
use super::refusals::{INVALID_REQUEST, TOPIC_DENIED};
use super::{Access, Case, Exists, Questions, Verdict, tree};

/// The topic that a controller keeps its log in.
const METADATA: &[u8] = b"__cluster_metadata";

/// CreateTopics: one right on the cluster stands for all topics.
pub(super) fn create(case: &Case<'_>) -> Verdict {
    let access = &case.access;
    let everything = access.cluster(Operation::Create);
    let blank = case.blank();
    let times = times(case.request);
    let mut seen = HashSet::new();
    let mut twice = Vec::new();
    let mut refused = Vec::new();
    let mut kept = Vec::new();
    for topic in case.request.structs("Topics") {
        let name = tree::bytes(topic, "Name");
        if everything || access.topic(Operation::Create, &name) {
            kept.push(topic.clone().into());
            continue;
        }
        let mut entry = tree::element(&blank, "Topics");
        entry.set("Name", tree::text(&name));
        if times[&name] > 1 {
            if seen.insert(name) {
                say(&mut entry, INVALID_REQUEST, "Duplicate topic name.");
                twice.push(entry);
            }
        } else if name == METADATA {
            let message = "Creation of internal topic __cluster_metadata is prohibited.";
            say(&mut entry, INVALID_REQUEST, message);
            refused.push(entry);
        } else {
            say(&mut entry, TOPIC_DENIED, "Authorization failed.");
            refused.push(entry);
        }
    }
    let changes = if case.version() >= 5 && !kept.is_empty() {
        vec![Change::Rule(hide_configs)]
    } else {
        Vec::new()
    };
    let mut back = PutBack::new("Topics", Place::Last);
    push_sets(&mut back, &times, twice, refused);
    case.cut("Topics", kept, back, changes)
}

/// Who may not read a topic's configuration is not told that of a new one
/// either (version 5 on, KIP-525).
fn hide_configs(access: &Access<'_>, response: &mut Struct) {
    for topic in tree::structs_mut(response, "Topics") {
        let name = tree::bytes(topic, "Name");
        if topic.int("ErrorCode") != 0 || access.topic(Operation::DescribeConfigs, &name) {
            continue;
        }
        topic.set("TopicConfigErrorCode", TOPIC_DENIED);
        topic.set("NumPartitions", -1);
        topic.set("ReplicationFactor", -1_i16);
        topic.set("Configs", Value::Array(Vec::new()));
    }
}

/// CreatePartitions.
pub(super) fn create_partitions(case: &Case<'_>) -> Verdict {
    let blank = case.blank();
    let times = times(case.request);
    let mut seen = HashSet::new();
    let mut twice = Vec::new();
    let mut refused = Vec::new();
    let mut kept = Vec::new();
    for topic in case.request.structs("Topics") {
        let name = tree::bytes(topic, "Name");
        if case.access.topic(Operation::Alter, &name) {
            kept.push(topic.clone().into());
            continue;
        }
        let mut entry = tree::element(&blank, "Results");
        entry.set("Name", tree::text(&name));
        if times[&name] == 1 {
            entry.set("ErrorCode", TOPIC_DENIED);
            refused.push(entry);
        } else if seen.insert(name) {
            say(&mut entry, INVALID_REQUEST, "Duplicate topic name.");
            twice.push(entry);
        }
    }
    let mut back = PutBack::new("Results", Place::First);
    push_sets(&mut back, &times, twice, refused);
    case.cut("Topics", kept, back, Vec::new())
}

/// Brokers keep the names that came twice in one set, and the others in another.
fn push_sets(
    back: &mut PutBack,
    times: &HashMap<Bytes, usize>,
    mut twice: Vec<Struct>,
    mut refused: Vec<Struct>,
) {
    let single = times.values().filter(|times| **times == 1).count();
    let repeated = times.len() - single;
    let name = |entry: &Struct| tree::bytes(entry, "Name");
    tree::java_set_order(&mut twice, repeated, name);
    tree::java_set_order(&mut refused, single, name);
    twice
        .into_iter()
        .chain(refused)
        .for_each(|entry| back.push(0, entry));
}

/// Whether a topic exists, which may have to be asked.
pub(super) fn exists(access: &Access<'_>, name: &[u8], questions: &mut Questions) -> Exists {
    let Ok(name) = std::str::from_utf8(name) else {
        return Exists::No;
    };
    let exists = access.names.exists(name);
    if exists == Exists::NotAsked {
        questions.topic(name);
    }
    exists
}

/// How often each topic is named.
fn times(request: &Struct) -> HashMap<Bytes, usize> {
    let mut times = HashMap::new();
    for topic in request.structs("Topics") {
        *times.entry(tree::bytes(topic, "Name")).or_default() += 1;
    }
    times
}

pub(super) fn say(entry: &mut Struct, code: i16, message: &str) {
    entry.set("ErrorCode", code);
    entry.set("ErrorMessage", message);
}
