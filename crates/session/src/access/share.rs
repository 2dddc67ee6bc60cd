//! The offsets of share groups (KIP-932).

use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::gates::{self, What};
use super::listed::{self, PutBack};
use super::merge::Place;
use super::offsets::OfGroups;
use super::refusals::{self, GROUP_DENIED, TOPIC_DENIED};
use super::topics::{COMMIT, Says, Shape, WhenEmpty};
use super::{Case, Verdict, tree};

const DENIED: (&str, Says) = ("ErrorMessage", Says::Text("Topic authorization failed."));

const DESCRIBE: Shape = Shape {
    operation: Operation::Describe,
    asked: ("Topics", "TopicName"),
    answered: ("Topics", "TopicName"),
    partitions: ("Partitions", None),
    says: &[("StartOffset", Says::Long(-1)), DENIED],
    place: Place::Last,
    once: false,
    ..COMMIT
};

const ALTER: Shape = Shape {
    asked: ("Topics", "TopicName"),
    answered: ("Responses", "TopicName"),
    says: &[DENIED],
    ..COMMIT
};

/// DescribeShareGroupOffsets.
pub(super) fn describe_offsets(case: &Case<'_>) -> Verdict {
    let blank = tree::element(&case.blank(), "Groups");
    let mut refused = PutBack::new("Groups", listed::Place::AsAsked);
    let mut inside = OfGroups::new("TopicName");
    let mut kept = Vec::new();
    for (at, group) in case.request.structs("Groups").enumerate() {
        let id = tree::bytes(group, "GroupId");
        if !case.access.group(Operation::Describe, &id) {
            let mut entry = blank.clone();
            entry.set("GroupId", tree::text(&id));
            entry.set("ErrorCode", GROUP_DENIED);
            refused.push(at, entry);
            continue;
        }
        kept.push(inside.cut(&case.access, &DESCRIBE, (group, kept.len()), &blank));
    }
    inside.verdict(case, kept, refused)
}

/// AlterShareGroupOffsets: the coordinator is asked about the group even if no
/// topic is left.
pub(super) fn alter_offsets(case: &Case<'_>) -> Verdict {
    const NEEDS: &[(What, Operation)] = &[(What::Group("GroupId"), Operation::Read)];
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(gates::code_and_message(case, code));
    }
    case.cut_topics(&ALTER, WhenEmpty::SendUnlessError)
}

/// DeleteShareGroupOffsets: as above, and its topics have no partitions.
pub(super) fn delete_offsets(case: &Case<'_>) -> Verdict {
    const NEEDS: &[(What, Operation)] = &[(What::Group("GroupId"), Operation::Delete)];
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(gates::code_and_message(case, code));
    }
    let blank = case.blank();
    let mut refused = PutBack::new("Responses", listed::Place::First).unless_error();
    let mut kept = Vec::new();
    for (at, topic) in case.request.structs("Topics").enumerate() {
        let name = tree::bytes(topic, "TopicName");
        if case.access.topic(Operation::Read, &name) {
            kept.push(topic.clone().into());
            continue;
        }
        let mut entry: Struct = tree::element(&blank, "Responses");
        entry.set("TopicName", tree::text(&name));
        refusals::say(&mut entry, TOPIC_DENIED);
        refused.push(at, entry);
    }
    if refused.is_empty() {
        return Verdict::Pass;
    }
    let mut request = case.request.clone();
    request.set("Topics", Value::Array(kept));
    Verdict::Cut(request, Amend::new([Change::PutBack(refused)]))
}
