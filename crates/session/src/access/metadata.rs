//! Metadata: what exists, who leads it, and what is created by asking for it.
//!
//! # Creation
//! A request for a topic that does not exist creates it, on brokers with
//! `auto.create.topics.enable`: if the request allows that (version 4 on), and
//! always before. For a caller who may not create all that they ask for:
//! * if they may create none of it, the request that is sent does not allow it;
//! * else, and before version 4, it is asked which of those topics exist, and
//!   the missing ones are not sent. (One that is deleted in that very moment may
//!   be created again by the broker, if it does not enforce the ACLs too.)

use std::borrow::Cow;
use std::collections::HashSet;

use bytes::Bytes;
use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::refusals::{INVALID_REQUEST, INVALID_TOPIC, TOPIC_DENIED, UNKNOWN_TOPIC};
use super::topics_admin::exists;
use super::{Access, Case, Exists, NameOf, Questions, Verdict, groups, topics, tree};

/// A name that no topic can have. Asked for where nothing is to be asked for: in
/// version 0 no name at all means all topics.
const NO_TOPIC: &str = ".";
/// A partition's lists of brokers.
pub(super) const REPLICAS: [&str; 5] = [
    "ReplicaNodes",
    "IsrNodes",
    "OfflineReplicas",
    "EligibleLeaderReplicas",
    "LastKnownElr",
];

/// What is done to a response.
#[derive(Debug, Default)]
pub(super) struct Described {
    asked: Asked,
    topic_operations: bool,
    cluster_operations: bool,
    /// Whether there is a topic whose partitions are told apart.
    partitions: bool,
    /// Topics that may not be created: missing is refused.
    uncreated: HashSet<Bytes>,
    /// Topics that were cut because they are missing.
    missing: Vec<Struct>,
    /// Topics that were cut because they may not be seen or created.
    refused: Vec<Struct>,
}

/// What a request asks for.
#[derive(Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Topics,
    All,
    /// [`NO_TOPIC`].
    Nothing,
}

/// What is left of a request.
#[derive(Default)]
struct Left<'a> {
    topics: Vec<(Bytes, Cow<'a, Struct>)>,
    changed: bool,
    no_creation: bool,
}

/// Metadata.
pub(super) fn decide(case: &Case<'_>) -> Verdict {
    let request = case.request;
    let mut change = Described {
        topic_operations: request.int("IncludeTopicAuthorizedOperations") != 0,
        cluster_operations: request.int("IncludeClusterAuthorizedOperations") != 0,
        ..Described::default()
    };
    let none = tree::values(request, "Topics").is_empty();
    if tree::is_null(request, "Topics") || (none && case.version() == 0) {
        change.asked = Asked::All;
        return Verdict::Amend(Amend::new([Change::Metadata(change)]));
    }
    let has_id = |topic: &Struct| tree::uuid(topic, "TopicId") != tree::NO_ID;
    let no_name = |topic: &Struct| tree::is_null(topic, "Name");
    let any = |what: fn(&Struct) -> bool| request.structs("Topics").any(what);
    if case.version() < 12 && (any(has_id) || any(no_name)) {
        return Verdict::Answer(invalid(case));
    }
    let mut questions = Questions::default();
    let left = if any(has_id) {
        by_id(case, &mut change, &mut questions)
    } else {
        let left = by_name(case, &mut change);
        creation(case, left, &mut change, &mut questions)
    };
    if !questions.is_empty() {
        return Verdict::Ask(questions);
    }
    let apart = |(name, _): &(Bytes, Cow<'_, Struct>)| case.access.tells_apart(name);
    change.partitions = left.topics.iter().any(apart);
    verdict(case, &left, change)
}

fn verdict(case: &Case<'_>, left: &Left<'_>, mut change: Described) -> Verdict {
    if !left.changed && !left.no_creation {
        return if change.is_needed() {
            Verdict::Amend(Amend::new([Change::Metadata(change)]))
        } else {
            Verdict::Pass
        };
    }
    let mut request = case.request.clone();
    if left.changed {
        let topics = left.topics.iter();
        let mut topics: Vec<Value> = topics
            .map(|(_, topic)| Struct::clone(topic).into())
            .collect();
        if topics.is_empty() && case.version() == 0 {
            let mut topic = tree::element(&request, "Topics");
            topic.set("Name", NO_TOPIC);
            topics.push(topic.into());
            change.asked = Asked::Nothing;
        }
        request.set("Topics", Value::Array(topics));
    }
    if left.no_creation {
        request.set("AllowAutoTopicCreation", false);
    }
    let changes = change.is_needed().then_some(Change::Metadata(change));
    Verdict::Cut(request, Amend::new(changes))
}

/// Topics by id (version 12 on); names beside ids mean nothing.
fn by_id<'a>(case: &Case<'a>, change: &mut Described, questions: &mut Questions) -> Left<'a> {
    let mut left = Left::default();
    let mut refused = HashSet::new();
    for topic in case.request.structs("Topics") {
        let id = tree::uuid(topic, "TopicId");
        if id == tree::NO_ID {
            left.changed = true;
            continue;
        }
        let name = match case.access.names.name_of(&id) {
            NameOf::Known(name) => Bytes::copy_from_slice(name.as_bytes()),
            NameOf::NoSuchTopic => {
                left.keep_id(Bytes::new(), topic);
                continue;
            }
            NameOf::NotAsked => {
                questions.id(id);
                continue;
            }
        };
        if case.access.topic(Operation::Describe, &name) {
            left.keep_id(name, topic);
            continue;
        }
        left.changed = true;
        if refused.insert(id) {
            let mut entry = refusal(case, Value::Null);
            entry.set("TopicId", Value::Uuid(id));
            change.refused.push(entry);
        }
    }
    left
}

fn by_name<'a>(case: &Case<'a>, change: &mut Described) -> Left<'a> {
    let mut left = Left::default();
    let mut refused = HashSet::new();
    for topic in case.request.structs("Topics") {
        let name = tree::bytes(topic, "Name");
        if case.access.topic(Operation::Describe, &name) {
            left.keep(name, topic);
            continue;
        }
        left.changed = true;
        if refused.insert(name.clone()) {
            change.refused.push(refusal(case, tree::text(&name)));
        }
    }
    left
}

/// Sees to it that nothing is created that the caller may not create.
fn creation<'a>(
    case: &Case<'_>,
    mut left: Left<'a>,
    change: &mut Described,
    questions: &mut Questions,
) -> Left<'a> {
    let access = &case.access;
    let allows = case.version() < 4 || case.request.int("AllowAutoTopicCreation") != 0;
    if !allows || left.topics.is_empty() || access.cluster(Operation::Create) {
        return left;
    }
    let creatable = |name: &Bytes| access.topic(Operation::Create, name);
    if case.version() >= 4 && !left.topics.iter().any(|(name, _)| creatable(name)) {
        left.no_creation = true;
        if access.names.auto_create() {
            let names = left.topics.iter().map(|(name, _)| name.clone());
            change.uncreated = names.collect();
        }
        return left;
    }
    let mut missing: Vec<Bytes> = Vec::new();
    let mut known = HashSet::new();
    left.topics.retain(|(name, _)| {
        let absent = !creatable(name) && exists(access, name, questions) == Exists::No;
        if absent && known.insert(name.clone()) {
            missing.push(name.clone());
        }
        !absent
    });
    left.changed |= !missing.is_empty();
    let missing: Vec<_> = missing.iter().map(|name| gone(case, name)).collect();
    if access.names.auto_create() {
        change.refused.splice(0..0, missing);
    } else {
        change.missing = missing;
    }
    left
}

/// The answer for a topic that is missing, and may not be created.
fn gone(case: &Case<'_>, name: &Bytes) -> Struct {
    let mut entry = refusal(case, tree::text(name));
    entry.set("IsInternal", topics::is_internal(name));
    if !case.access.names.auto_create() {
        let legal = groups::is_topic_name(name);
        entry.set(
            "ErrorCode",
            if legal { UNKNOWN_TOPIC } else { INVALID_TOPIC },
        );
    }
    entry
}

fn refusal(case: &Case<'_>, name: Value) -> Struct {
    let mut entry = tree::element(&case.blank(), "Topics");
    entry.set("ErrorCode", TOPIC_DENIED);
    entry.set("Name", name);
    entry
}

/// Versions 10 and 11 have ids that may not be used yet (KAFKA-12701).
fn invalid(case: &Case<'_>) -> Struct {
    let mut answer = case.blank();
    for topic in case.request.structs("Topics") {
        let mut entry = tree::element(&answer, "Topics");
        entry.set("ErrorCode", INVALID_REQUEST);
        entry.set("Name", tree::text(&tree::bytes(topic, "Name")));
        entry.set("TopicId", Value::Uuid(tree::uuid(topic, "TopicId")));
        tree::push(&mut answer, "Topics", entry);
    }
    answer
}

/// A topic whose partitions are told apart: those that the caller may neither
/// read nor write stay in the list, because clients count them, but nobody
/// leads them. See `docs/partitions.md`.
pub(super) fn hide_partitions(access: &Access<'_>, topic: &mut Struct) {
    let name = tree::bytes(topic, "Name");
    let uses = [Operation::Read, Operation::Write];
    if !access.tells_apart(&name) || !uses.iter().any(|use_| access.topic(*use_, &name)) {
        return;
    }
    for partition in tree::structs_mut(topic, "Partitions") {
        let index = partition.int("PartitionIndex") as i32;
        if uses
            .iter()
            .any(|use_| access.partition(*use_, &name, index))
        {
            continue;
        }
        partition.set("ErrorCode", TOPIC_DENIED);
        partition.set("LeaderId", -1);
        partition.set("LeaderEpoch", -1);
        // Brokers never send null where they might, and Java's admin client
        // does not expect it.
        for replicas in REPLICAS {
            partition.set(replicas, Value::ints([]));
        }
    }
}

/// What the caller may do on a topic (KIP-430).
pub(super) fn set_operations(access: &Access<'_>, topic: &mut Struct) {
    let name = tree::bytes(topic, "Name");
    let operations = access.operations(ResourceType::Topic, &name);
    topic.set("TopicAuthorizedOperations", operations);
}

// === impl Left ===

impl<'a> Left<'a> {
    fn keep(&mut self, name: Bytes, topic: &'a Struct) {
        self.topics.push((name, Cow::Borrowed(topic)));
    }

    /// Keeps a topic by its id, and not what else it is called.
    fn keep_id(&mut self, name: Bytes, topic: &'a Struct) {
        if tree::is_null(topic, "Name") {
            return self.keep(name, topic);
        }
        let mut topic = topic.clone();
        topic.set("Name", Value::Null);
        self.topics.push((name, Cow::Owned(topic)));
        self.changed = true;
    }
}

// === impl Described ===

impl Described {
    fn is_needed(&self) -> bool {
        self.asked != Asked::Topics
            || self.topic_operations
            || self.cluster_operations
            || self.partitions
            || !self.uncreated.is_empty()
            || !self.missing.is_empty()
            || !self.refused.is_empty()
    }

    pub(super) fn apply(self, access: &Access<'_>, response: &mut Struct) {
        if self.cluster_operations {
            response.set("ClusterAuthorizedOperations", access.cluster_operations());
        }
        if self.asked != Asked::Topics {
            tree::retain(response, "Topics", |topic| {
                self.asked == Asked::All
                    && access.topic(Operation::Describe, &tree::bytes(topic, "Name"))
            });
        }
        for missing in self.missing {
            tree::push(response, "Topics", missing);
        }
        for topic in tree::structs_mut(response, "Topics") {
            // An id that no topic has comes without a name.
            if tree::is_null(topic, "Name") {
                continue;
            }
            hide_partitions(access, topic);
            let missing = [UNKNOWN_TOPIC, INVALID_TOPIC].contains(&(topic.int("ErrorCode") as i16));
            if missing && self.uncreated.contains(&tree::bytes(topic, "Name")) {
                topic.set("ErrorCode", TOPIC_DENIED);
                // A broker that was asked for operations has set its own.
                topic.set("TopicAuthorizedOperations", i32::MIN);
            } else if self.topic_operations {
                set_operations(access, topic);
            }
        }
        for refused in self.refused {
            tree::push(response, "Topics", refused);
        }
    }
}
