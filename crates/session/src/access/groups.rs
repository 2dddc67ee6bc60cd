//! Groups: descriptions, lists, deletion, and the heartbeats of the newer kinds.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_policy::{TopicNameError, check_topic_name};
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::gates::{self, What};
use super::listed::{Named, Place};
use super::refusals::{GROUP_DENIED, INVALID_REQUEST, TOPIC_DENIED};
use super::{Access, Case, Verdict, tree};

/// Longest member id of a share group: a UUID as text.
const MEMBER_ID: usize = 36;

const DESCRIBED: Named = Named {
    asked: "GroupIds",
    answered: "Groups",
    name: "GroupId",
    place: Place::First,
    code: GROUP_DENIED,
    once: false,
};

/// DescribeGroups.
pub(super) fn describe(case: &Case<'_>) -> Verdict {
    let named = Named {
        asked: "Groups",
        ..DESCRIBED
    };
    cut_groups(case, &named, Operation::Describe, operations(case))
}

/// ConsumerGroupDescribe (KIP-848).
pub(super) fn describe_consumer(case: &Case<'_>) -> Verdict {
    let mut changes = operations(case);
    changes.push(Change::Rule(|access, response| {
        hide(access, response, MEMBERS, |group| {
            members_topics(group, &["Assignment", "TargetAssignment"])
        });
    }));
    cut_groups(case, &DESCRIBED, Operation::Describe, changes)
}

/// ShareGroupDescribe (KIP-932).
pub(super) fn describe_share(case: &Case<'_>) -> Verdict {
    let mut changes = operations(case);
    changes.push(Change::Rule(|access, response| {
        hide(access, response, MEMBERS, |group| {
            members_topics(group, &["Assignment"])
        });
    }));
    cut_groups(case, &DESCRIBED, Operation::Describe, changes)
}

/// StreamsGroupDescribe (KIP-1071).
pub(super) fn describe_streams(case: &Case<'_>) -> Verdict {
    let mut changes = operations(case);
    changes.push(Change::Rule(|access, response| {
        hide(access, response, TOPOLOGY, |group| {
            inner(group, "Topology").map_or_else(Vec::new, topology_topics)
        });
    }));
    cut_groups(case, &DESCRIBED, Operation::Describe, changes)
}

/// DeleteGroups.
pub(super) fn delete(case: &Case<'_>) -> Verdict {
    let named = Named {
        asked: "GroupsNames",
        answered: "Results",
        place: Place::Last,
        once: true,
        ..DESCRIBED
    };
    cut_groups(case, &named, Operation::Delete, Vec::new())
}

/// ListGroups: who may describe the cluster sees all.
pub(super) fn list(case: &Case<'_>) -> Verdict {
    if case.access.cluster(Operation::Describe) {
        return Verdict::Pass;
    }
    Verdict::Amend(Amend::rule(|access, response| {
        tree::retain(response, "Groups", |group| {
            access.group(Operation::Describe, &tree::bytes(group, "GroupId"))
        });
    }))
}

fn cut_groups(
    case: &Case<'_>,
    named: &Named,
    operation: Operation,
    changes: Vec<Change>,
) -> Verdict {
    let allowed = |group: &[u8]| case.access.group(operation, group);
    case.cut_names(named, allowed, |_| (), changes)
}

/// What the caller may do on each group, if that is asked for (KIP-430).
fn operations(case: &Case<'_>) -> Vec<Change> {
    if case.request.int("IncludeAuthorizedOperations") == 0 {
        return Vec::new();
    }
    vec![Change::Rule(|access, response| {
        for group in tree::structs_mut(response, "Groups") {
            if group.int("ErrorCode") == 0 {
                let name = tree::bytes(group, "GroupId");
                let operations = access.operations(ResourceType::Group, &name);
                group.set("AuthorizedOperations", operations);
            }
        }
    })]
}

const MEMBERS: &str =
    "The group has described topic(s) that the client is not authorized to describe.";
const TOPOLOGY: &str =
    "The described group uses topics that the client is not authorized to describe.";

/// Says nothing of groups with a topic that the caller may not describe.
fn hide(
    access: &Access<'_>,
    response: &mut Struct,
    message: &str,
    topics: impl Fn(&Struct) -> Vec<bytes::Bytes>,
) {
    let blank = tree::element(response, "Groups");
    for group in tree::structs_mut(response, "Groups") {
        let visible = |topic: &bytes::Bytes| access.topic(Operation::Describe, topic);
        if topics(group).iter().all(visible) {
            continue;
        }
        let mut hidden = blank.clone();
        hidden.set("GroupId", tree::text(&tree::bytes(group, "GroupId")));
        hidden.set("ErrorCode", TOPIC_DENIED);
        hidden.set("ErrorMessage", message);
        *group = hidden;
    }
}

fn inner<'a>(of: &'a Struct, field: &str) -> Option<&'a Struct> {
    match of.get(field) {
        Some(Value::Struct(inner)) => Some(inner),
        _ => None,
    }
}

fn members_topics(group: &Struct, assignments: &[&str]) -> Vec<bytes::Bytes> {
    group
        .structs("Members")
        .flat_map(|member| assignments.iter().filter_map(|field| inner(member, field)))
        .flat_map(|assignment| assignment.structs("TopicPartitions"))
        .map(|topic| tree::bytes(topic, "TopicName"))
        .collect()
}

/// All topics of a streams topology but those of its regular expressions.
fn topology_topics(topology: &Struct) -> Vec<bytes::Bytes> {
    let mut topics = Vec::new();
    for part in topology.structs("Subtopologies") {
        topics.extend(tree::strings(part, "SourceTopics"));
        topics.extend(tree::strings(part, "RepartitionSinkTopics"));
        for list in ["RepartitionSourceTopics", "StateChangelogTopics"] {
            topics.extend(part.structs(list).map(|topic| tree::bytes(topic, "Name")));
        }
    }
    topics
}

const JOINS: &[(What, Operation)] = &[(What::Group("GroupId"), Operation::Read)];

/// ConsumerGroupHeartbeat (KIP-848).
pub(super) fn consumer_heartbeat(case: &Case<'_>) -> Verdict {
    if let Some(code) = case.refusal(JOINS) {
        return Verdict::Answer(gates::code(case, code));
    }
    subscribes(case, &tree::strings(case.request, "SubscribedTopicNames"))
}

/// ShareGroupHeartbeat (KIP-932).
pub(super) fn share_heartbeat(case: &Case<'_>) -> Verdict {
    if let Some(code) = case.refusal(JOINS) {
        return Verdict::Answer(gates::code(case, code));
    }
    let member = tree::bytes(case.request, "MemberId");
    let length = String::from_utf8_lossy(&member).encode_utf16().count();
    if !(1..=MEMBER_ID).contains(&length) {
        return Verdict::Answer(gates::code(case, INVALID_REQUEST));
    }
    subscribes(case, &tree::strings(case.request, "SubscribedTopicNames"))
}

/// StreamsGroupHeartbeat (KIP-1071). A topology with a name that no topic of it
/// can have is refused by the broker.
pub(super) fn streams_heartbeat(case: &Case<'_>) -> Verdict {
    if let Some(code) = case.refusal(JOINS) {
        return Verdict::Answer(gates::code(case, code));
    }
    let topics = inner(case.request, "Topology").map_or_else(Vec::new, topology_topics);
    if topics.iter().any(|topic| is_impossible(topic)) {
        return Verdict::Pass;
    }
    subscribes(case, &topics)
}

/// One topic that the caller may not describe refuses the whole request.
fn subscribes(case: &Case<'_>, topics: &[bytes::Bytes]) -> Verdict {
    let visible = |topic: &bytes::Bytes| case.access.topic(Operation::Describe, topic);
    if topics.iter().all(visible) {
        return Verdict::Pass;
    }
    Verdict::Answer(gates::code(case, TOPIC_DENIED))
}

/// Whether a name is one of Kafka's own topics, or no topic's.
fn is_impossible(topic: &[u8]) -> bool {
    super::topics::is_internal(topic) || !is_topic_name(topic)
}

/// Whether a topic may have this name.
pub(super) fn is_topic_name(topic: &[u8]) -> bool {
    let checked = std::str::from_utf8(topic).map(check_topic_name);
    matches!(checked, Ok(Ok(()) | Err(TopicNameError::Internal(_))))
}
