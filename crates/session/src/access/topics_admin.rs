//! Creating and deleting topics, and adding partitions.

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::amend::Change;
use super::listed::{Place, PutBack};
use super::refusals::{self, INVALID_REQUEST, TOPIC_DENIED, UNKNOWN_TOPIC};
use super::{Access, Case, Exists, NameOf, Questions, Verdict, tree};

/// The topic that a controller keeps its log in.
const METADATA: &[u8] = b"__cluster_metadata";

/// CreateTopics: one right on the cluster stands for all topics.
pub(super) fn create(case: &Case<'_>) -> Verdict {
    let access = &case.access;
    let everything = access.cluster(Operation::Create);
    let blank = case.blank();
    let names = names(case.request, "Topics");
    let mut twice = Vec::new();
    let mut refused = Vec::new();
    let mut kept = Vec::new();
    for (at, topic) in case.request.structs("Topics").enumerate() {
        let name = tree::bytes(topic, "Name");
        if everything || access.topic(Operation::Create, &name) {
            kept.push(topic.clone().into());
            continue;
        }
        let mut entry = tree::element(&blank, "Topics");
        entry.set("Name", tree::text(&name));
        if count(&names, &name) > 1 {
            if names.iter().position(|other| *other == name) == Some(at) {
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
    twice
        .into_iter()
        .chain(refused)
        .for_each(|entry| back.push(0, entry));
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
    let names = names(case.request, "Topics");
    let mut twice = Vec::new();
    let mut refused = Vec::new();
    let mut kept = Vec::new();
    for (at, topic) in case.request.structs("Topics").enumerate() {
        let name = tree::bytes(topic, "Name");
        if case.access.topic(Operation::Alter, &name) {
            kept.push(topic.clone().into());
            continue;
        }
        let mut entry = tree::element(&blank, "Results");
        entry.set("Name", tree::text(&name));
        if count(&names, &name) == 1 {
            entry.set("ErrorCode", TOPIC_DENIED);
            refused.push(entry);
        } else if names.iter().position(|other| *other == name) == Some(at) {
            say(&mut entry, INVALID_REQUEST, "Duplicate topic name.");
            twice.push(entry);
        }
    }
    let mut back = PutBack::new("Results", Place::First);
    twice
        .into_iter()
        .chain(refused)
        .for_each(|entry| back.push(0, entry));
    case.cut("Topics", kept, back, Vec::new())
}

/// One topic that is to be deleted.
struct Doomed {
    name: Option<Bytes>,
    id: [u8; 16],
    value: Value,
}

/// What becomes of it.
enum Fate {
    Send,
    Refuse(Option<Bytes>, i16, &'static str),
    /// The answer is there already.
    Nothing,
}

/// DeleteTopics: one right on the cluster stands for all topics. Who may see a
/// topic but not delete it is told whether it exists.
pub(super) fn delete(case: &Case<'_>) -> Verdict {
    if case.access.cluster(Operation::Delete) {
        return Verdict::Pass;
    }
    let (field, doomed) = doomed(case.request);
    let names: Vec<_> = doomed
        .iter()
        .filter_map(|topic| topic.name.clone())
        .collect();
    let blank = case.blank();
    let mut questions = Questions::default();
    let mut back = PutBack::new("Responses", Place::Last);
    let mut kept = Vec::new();
    let mut seen = Vec::new();
    for topic in doomed {
        match fate(&case.access, &topic, &names, &mut seen, &mut questions) {
            Fate::Send => kept.push(topic.value),
            Fate::Nothing => {}
            Fate::Refuse(name, code, message) => {
                let mut entry = tree::element(&blank, "Responses");
                entry.set("Name", tree::nullable(name));
                entry.set("TopicId", Value::Uuid(topic.id));
                say(&mut entry, code, message);
                back.push(0, entry);
            }
        }
    }
    if !questions.is_empty() {
        return Verdict::Ask(questions);
    }
    case.cut(field, kept, back, Vec::new())
}

fn fate(
    access: &Access<'_>,
    topic: &Doomed,
    names: &[Bytes],
    seen: &mut Vec<Bytes>,
    questions: &mut Questions,
) -> Fate {
    let Some(name) = &topic.name else {
        return by_id(access, topic.id, questions);
    };
    let (visible, deletable) = (
        access.topic(Operation::Describe, name),
        access.topic(Operation::Delete, name),
    );
    let refuse = |code| Fate::Refuse(Some(name.clone()), code, refusals::message(code));
    if visible && deletable {
        Fate::Send
    } else if topic.id != tree::NO_ID {
        let message = "You may not specify both topic name and topic id.";
        Fate::Refuse(Some(name.clone()), INVALID_REQUEST, message)
    } else if count(names, name) > 1 {
        if seen.contains(name) {
            return Fate::Nothing;
        }
        seen.push(name.clone());
        let message = "Duplicate topic name.";
        Fate::Refuse(Some(name.clone()), INVALID_REQUEST, message)
    } else if visible {
        refuse(match exists(access, name, questions) {
            Exists::No => UNKNOWN_TOPIC,
            Exists::Yes | Exists::NotAsked => TOPIC_DENIED,
        })
    } else {
        refuse(TOPIC_DENIED)
    }
}

fn by_id(access: &Access<'_>, id: [u8; 16], questions: &mut Questions) -> Fate {
    if id == tree::NO_ID {
        return Fate::Send;
    }
    let name = match access.names.name_of(&id) {
        NameOf::Known(name) => Bytes::copy_from_slice(name.as_bytes()),
        NameOf::NoSuchTopic => return Fate::Send,
        NameOf::NotAsked => {
            questions.id(id);
            return Fate::Send;
        }
    };
    if access.topic(Operation::Delete, &name) {
        return Fate::Send;
    }
    let visible = access.topic(Operation::Describe, &name);
    let message = refusals::message(TOPIC_DENIED);
    Fate::Refuse(visible.then_some(name), TOPIC_DENIED, message)
}

/// The topics of the request, and the field that they are in.
fn doomed(request: &Struct) -> (&'static str, Vec<Doomed>) {
    if request.layout().version() < 6 {
        let topic = |value: &Value| Doomed {
            name: value.as_bytes().cloned(),
            id: tree::NO_ID,
            value: value.clone(),
        };
        let topics = tree::values(request, "TopicNames").iter().map(topic);
        return ("TopicNames", topics.collect());
    }
    let topic = |topic: &Struct| Doomed {
        name: tree::nullable_bytes(topic, "Name"),
        id: tree::uuid(topic, "TopicId"),
        value: topic.clone().into(),
    };
    ("Topics", request.structs("Topics").map(topic).collect())
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

fn names(request: &Struct, field: &str) -> Vec<Bytes> {
    let name = |topic| tree::bytes(topic, "Name");
    request.structs(field).map(name).collect()
}

fn count(names: &[Bytes], name: &[u8]) -> usize {
    names.iter().filter(|other| *other == name).count()
}

fn say(entry: &mut Struct, code: i16, message: &str) {
    entry.set("ErrorCode", code);
    entry.set("ErrorMessage", message);
}
