//! OffsetFetch, in which a request may be about several groups (KIP-709).

use std::collections::BTreeSet;

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::gates::{self, What};
use super::listed::{self, PutBack};
use super::merge::{Merge, Place};
use super::refusals::GROUP_DENIED;
use super::topics::{COMMIT, Says, Shape};
use super::{Access, Case, NameOf, Questions, Verdict, tree};

const FETCH: Shape = Shape {
    operation: Operation::Describe,
    partitions: ("PartitionIndexes", None),
    says: &[("CommittedOffset", Says::Long(-1))],
    place: Place::LastWithUnknown,
    once: false,
    ..COMMIT
};

/// What is done to the topics of each group in a response, by its place.
#[derive(Debug, Default)]
pub(super) struct OfGroups {
    groups: Vec<(usize, OfGroup)>,
    /// The field of a topic's name.
    name: &'static str,
}

#[derive(Debug)]
pub(super) enum OfGroup {
    /// All topics were asked for: those that the caller may not see are left out.
    Filter,
    /// Topics were cut.
    Merge(Merge),
}

const NEEDS: &[(What, Operation)] = &[(What::Group("GroupId"), Operation::Describe)];

/// OffsetFetch.
pub(super) fn offset_fetch(case: &Case<'_>) -> Verdict {
    if case.version() >= 8 {
        return several(case);
    }
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(if case.version() >= 2 {
            gates::code(case, code)
        } else {
            FETCH.refuse_all(case.request, case.blank(), code)
        });
    }
    if tree::is_null(case.request, "Topics") {
        return Verdict::Amend(Amend::rule(|access, response| {
            if response.int("ErrorCode") == 0 {
                filter(access, response, "Name");
            }
        }));
    }
    let split = FETCH.split(&case.access, case.request, &case.blank(), |_| false);
    let Some(cut) = split.cut else {
        return Verdict::Pass;
    };
    let mut request = case.request.clone();
    request.set("Topics", Value::Array(split.kept));
    let cut = if case.version() < 2 {
        cut.shares_error()
    } else {
        cut.unless_error()
    };
    Verdict::Cut(request, Amend::new([Change::Merge(cut)]))
}

fn several(case: &Case<'_>) -> Verdict {
    let blank = tree::element(&case.blank(), "Groups");
    let mut questions = Questions::default();
    let mut refused = PutBack::new("Groups", listed::Place::AsAsked);
    let mut inside = OfGroups::new("Name");
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
        FETCH.questions(&case.access, group, &mut questions);
        kept.push(inside.cut(&case.access, &FETCH, (group, kept.len()), &blank));
    }
    if !questions.is_empty() {
        return Verdict::Ask(questions);
    }
    inside.verdict(case, kept, refused)
}

/// Leaves out what of a response about all topics the caller may not see.
fn filter(access: &Access<'_>, of: &mut Struct, name_field: &str) {
    tree::retain(of, "Topics", |topic| {
        access.topic(Operation::Describe, &name_of(access, topic, name_field))
    });
}

/// A name that nobody may use for an id whose name is not known.
fn name_of(access: &Access<'_>, topic: &Struct, field: &str) -> Bytes {
    if topic.get(field).is_some() {
        return tree::bytes(topic, field);
    }
    match access.names.name_of(&tree::uuid(topic, "TopicId")) {
        NameOf::Known(name) => Bytes::copy_from_slice(name.as_bytes()),
        NameOf::NoSuchTopic | NameOf::NotAsked => Bytes::from_static(&[0xff]),
    }
}

// === impl OfGroups ===

impl OfGroups {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            groups: Vec::new(),
            name,
        }
    }

    /// The group, without the topics that are refused in it.
    pub(super) fn cut(
        &mut self,
        access: &Access<'_>,
        shape: &Shape,
        (group, at): (&Struct, usize),
        blank: &Struct,
    ) -> Value {
        if tree::is_null(group, "Topics") {
            self.groups.push((at, OfGroup::Filter));
            return group.clone().into();
        }
        let split = shape.split(access, group, blank, |_| false);
        let Some(cut) = split.cut else {
            return group.clone().into();
        };
        self.groups.push((at, OfGroup::Merge(cut.unless_error())));
        let mut group = group.clone();
        group.set("Topics", Value::Array(split.kept));
        group.into()
    }

    /// The verdict on a request of which these groups are left.
    pub(super) fn verdict(self, case: &Case<'_>, kept: Vec<Value>, refused: PutBack) -> Verdict {
        let cuts = |(_, of): &(usize, OfGroup)| matches!(of, OfGroup::Merge(_));
        let cut = self.groups.iter().any(cuts);
        let mut changes = Vec::new();
        if !self.groups.is_empty() {
            changes.push(Change::OfGroups(self));
        }
        if !cut || kept.is_empty() {
            return case.cut("Groups", kept, refused, changes);
        }
        let mut request = case.request.clone();
        request.set("Groups", Value::Array(kept));
        changes.push(Change::PutBack(refused));
        Verdict::Cut(request, Amend::new(changes))
    }

    /// The ids of topics whose names the filter needs.
    pub(super) fn ids(&self, response: &Struct, ids: &mut BTreeSet<[u8; 16]>) {
        let groups: Vec<_> = response.structs("Groups").collect();
        for (at, of) in &self.groups {
            let (OfGroup::Filter, Some(group)) = (of, groups.get(*at)) else {
                continue;
            };
            for topic in group.structs("Topics") {
                if topic.get(self.name).is_none() {
                    ids.insert(tree::uuid(topic, "TopicId"));
                }
            }
        }
    }

    pub(super) fn apply(self, access: &Access<'_>, response: &mut Struct) {
        let mut changes = self.groups.into_iter().peekable();
        for (at, group) in tree::structs_mut(response, "Groups").enumerate() {
            let Some((_, of)) = changes.next_if(|(place, _)| *place == at) else {
                continue;
            };
            match of {
                OfGroup::Filter => filter(access, group, self.name),
                OfGroup::Merge(cut) => cut.apply(group),
            }
        }
    }
}
