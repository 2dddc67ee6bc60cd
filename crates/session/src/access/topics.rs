//! APIs that name topics and partitions: what is refused is cut out, and put
//! into the response with an error for each partition.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::amend::{Amend, Change};
use super::gates::What;
use super::merge::{Merge, Place, Refused, key};
use super::refusals::TOPIC_DENIED;
use super::{Access, Case, NameOf, Questions, Verdict, tree};

/// Kafka's own topics, which some APIs treat apart.
const INTERNAL: [&[u8]; 3] = [
    b"__consumer_offsets",
    b"__transaction_state",
    b"__share_group_state",
];

/// How an API names topics and partitions.
pub(super) struct Shape {
    pub(super) operation: Operation,
    /// The arrays of topics, and the field of the name.
    pub(super) asked: (&'static str, &'static str),
    pub(super) answered: (&'static str, &'static str),
    /// The request's partitions; structs have the index in a field.
    pub(super) partitions: (&'static str, Option<&'static str>),
    /// The response's partitions: array, index, error.
    pub(super) results: (&'static str, &'static str, &'static str),
    /// What a refused partition says beside its error.
    pub(super) says: &'static [(&'static str, Says)],
    pub(super) place: Place,
    /// Whether a topic that is named twice is answered once.
    pub(super) once: bool,
    /// Whether rules about some partitions count.
    pub(super) tells_apart: bool,
}

/// A value that a refused partition has.
#[derive(Clone, Copy)]
pub(super) enum Says {
    Long(i64),
    Text(&'static str),
}

/// Which partitions of a topic are refused.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    None,
    Some(HashSet<i32>),
    All,
}

/// What is left of the topics of a request; if nothing was `cut`, that is all.
pub(super) struct Split {
    pub(super) kept: Vec<Value>,
    pub(super) cut: Option<Merge>,
}

const LIST_OFFSETS: Shape = Shape {
    operation: Operation::Describe,
    asked: ("Topics", "Name"),
    answered: ("Topics", "Name"),
    partitions: ("Partitions", Some("PartitionIndex")),
    results: ("Partitions", "PartitionIndex", "ErrorCode"),
    says: &[],
    place: Place::Last,
    once: false,
    tells_apart: true,
};

/// What OffsetCommit has in common with its kin.
pub(super) const COMMIT: Shape = Shape {
    operation: Operation::Read,
    place: Place::WithUnknown,
    once: true,
    // The offsets of a group know no partitions: it hands out all of them, and
    // a member that is refused the offset of one reads none.
    tells_apart: false,
    ..LIST_OFFSETS
};

const DELETE_RECORDS: Shape = Shape {
    operation: Operation::Delete,
    says: &[("LowWatermark", Says::Long(-1))],
    place: Place::AsAsked,
    once: true,
    ..LIST_OFFSETS
};

const OFFSET_FOR_LEADER_EPOCH: Shape = Shape {
    asked: ("Topics", "Topic"),
    answered: ("Topics", "Topic"),
    partitions: ("Partitions", Some("Partition")),
    results: ("Partitions", "Partition", "ErrorCode"),
    once: true,
    ..LIST_OFFSETS
};

const DESCRIBE_PRODUCERS: Shape = Shape {
    operation: Operation::Read,
    partitions: ("PartitionIndexes", None),
    says: &[("ErrorMessage", Says::Text("Topic authorization failed."))],
    place: Place::AsAsked,
    ..LIST_OFFSETS
};

/// ListOffsets.
pub(super) fn list_offsets(case: &Case<'_>) -> Verdict {
    case.cut_topics(&LIST_OFFSETS, WhenEmpty::Answer)
}

/// OffsetCommit.
pub(super) fn offset_commit(case: &Case<'_>) -> Verdict {
    const NEEDS: &[(What, Operation)] = &[(What::Group("GroupId"), Operation::Read)];
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(COMMIT.refuse_all(case.request, case.blank(), code));
    }
    case.cut_topics(&COMMIT, WhenEmpty::Answer)
}

/// TxnOffsetCommit.
pub(super) fn txn_offset_commit(case: &Case<'_>) -> Verdict {
    const NEEDS: &[(What, Operation)] = &[
        (What::TransactionalId("TransactionalId"), Operation::Write),
        (What::Group("GroupId"), Operation::Read),
    ];
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(COMMIT.refuse_all(case.request, case.blank(), code));
    }
    case.cut_topics(&COMMIT, WhenEmpty::Answer)
}

/// DeleteRecords.
pub(super) fn delete_records(case: &Case<'_>) -> Verdict {
    case.cut_topics(&DELETE_RECORDS, WhenEmpty::Answer)
}

/// OffsetForLeaderEpoch: brokers may ask for everything (KIP-320).
pub(super) fn offset_for_leader_epoch(case: &Case<'_>) -> Verdict {
    if case.access.cluster(Operation::ClusterAction) {
        return Verdict::Pass;
    }
    case.cut_topics(&OFFSET_FOR_LEADER_EPOCH, WhenEmpty::Answer)
}

/// OffsetDelete (KIP-496): the coordinator is asked about the group even if no
/// topic is left.
pub(super) fn offset_delete(case: &Case<'_>) -> Verdict {
    const NEEDS: &[(What, Operation)] = &[(What::Group("GroupId"), Operation::Delete)];
    if let Some(code) = case.refusal(NEEDS) {
        return Verdict::Answer(super::gates::code(case, code));
    }
    case.cut_topics(&COMMIT, WhenEmpty::SendUnlessError)
}

/// DescribeProducers (KIP-664): a name that no topic can have is refused by the
/// broker, before access is looked at.
pub(super) fn describe_producers(case: &Case<'_>) -> Verdict {
    let impossible = |topic: &Struct| !super::groups::is_topic_name(&tree::bytes(topic, "Name"));
    let split = DESCRIBE_PRODUCERS.split(&case.access, case.request, &case.blank(), impossible);
    case.after_split(&DESCRIBE_PRODUCERS, split, WhenEmpty::Answer)
}

/// What happens to a request of which no topic is left.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenEmpty {
    /// It is answered.
    Answer,
    /// It is sent; if that is refused, there is nothing but the refusal.
    SendUnlessError,
}

pub(super) fn is_internal(topic: &[u8]) -> bool {
    INTERNAL.contains(&topic)
}

// === impl Case ===

impl Case<'_> {
    pub(super) fn cut_topics(&self, shape: &Shape, when_empty: WhenEmpty) -> Verdict {
        let mut questions = Questions::default();
        shape.questions(&self.access, self.request, &mut questions);
        if !questions.is_empty() {
            return Verdict::Ask(questions);
        }
        let split = shape.split(&self.access, self.request, &self.blank(), |_| false);
        self.after_split(shape, split, when_empty)
    }

    fn after_split(&self, shape: &Shape, split: Split, when_empty: WhenEmpty) -> Verdict {
        let Some(mut cut) = split.cut else {
            return Verdict::Pass;
        };
        if split.kept.is_empty() && when_empty == WhenEmpty::Answer {
            let mut answer = self.blank();
            cut.apply(&mut answer);
            return Verdict::Answer(answer);
        }
        cut.unless_error = when_empty == WhenEmpty::SendUnlessError;
        let mut request = self.request.clone();
        request.set(shape.asked.0, Value::Array(split.kept));
        Verdict::Cut(request, Amend::new([Change::Merge(cut)]))
    }
}

// === impl Shape ===

impl Shape {
    /// Ids in `of` whose names have to be known.
    pub(super) fn questions(&self, access: &Access<'_>, of: &Struct, questions: &mut Questions) {
        for topic in of.structs(self.asked.0) {
            let id = tree::uuid(topic, "TopicId");
            if id != tree::NO_ID && access.names.name_of(&id) == NameOf::NotAsked {
                questions.id(id);
            }
        }
    }

    /// The topic's name; none for an id that no topic has, which a broker
    /// refuses.
    fn name(&self, access: &Access<'_>, topic: &Struct) -> Option<Bytes> {
        if topic.get(self.asked.1).is_some() {
            return Some(tree::bytes(topic, self.asked.1));
        }
        match access.names.name_of(&tree::uuid(topic, "TopicId")) {
            NameOf::Known(name) => Some(Bytes::copy_from_slice(name.as_bytes())),
            NameOf::NoSuchTopic | NameOf::NotAsked => None,
        }
    }

    /// Splits the topics of `of` into what is allowed and what is not. `blank`
    /// has the array that the refused ones go into; `passes` says of a topic
    /// that it needs no right.
    pub(super) fn split(
        &self,
        access: &Access<'_>,
        of: &Struct,
        blank: &Struct,
        passes: impl Fn(&Struct) -> bool,
    ) -> Split {
        let judged: Vec<_> = of
            .structs(self.asked.0)
            .map(|topic| match self.name(access, topic) {
                Some(name) if !passes(topic) => self.refused(access, &name, topic),
                _ => Refusal::None,
            })
            .collect();
        if judged.iter().all(|refusal| *refusal == Refusal::None) {
            return Split {
                kept: Vec::new(),
                cut: None,
            };
        }
        let mut kept = Vec::new();
        let mut cut = self.merge(of);
        let mut places = HashMap::new();
        for (topic, refusal) in of.structs(self.asked.0).zip(judged) {
            let all = self.indices(topic);
            let (gone, partly) = match refusal {
                Refusal::None => {
                    kept.push(topic.clone().into());
                    continue;
                }
                Refusal::All => (all, None),
                Refusal::Some(gone) => {
                    kept.push(self.without(topic, &gone).into());
                    let of = all.iter().copied().filter(|index| gone.contains(index));
                    (of.collect(), Some(all))
                }
            };
            let entry = self.entry(topic, &gone, blank, TOPIC_DENIED);
            let key = key(topic, self.asked.1);
            let refused = Refused { key, entry, partly };
            cut.add(refused, self.once.then_some(&mut places));
        }
        Split {
            kept,
            cut: Some(cut),
        }
    }

    /// The answer that has `code` for every partition.
    pub(super) fn refuse_all(&self, request: &Struct, mut blank: Struct, code: i16) -> Struct {
        for topic in request.structs(self.asked.0) {
            let entry = self.entry(topic, &self.indices(topic), &blank, code);
            tree::push(&mut blank, self.answered.0, entry);
        }
        blank
    }

    fn refused(&self, access: &Access<'_>, name: &[u8], topic: &Struct) -> Refusal {
        let allowed = || access.topic(self.operation, name);
        if !self.tells_apart || !access.tells_apart(name) {
            return if allowed() {
                Refusal::None
            } else {
                Refusal::All
            };
        }
        let all = self.indices(topic);
        let (left, gone): (Vec<i32>, HashSet<i32>) = {
            let partition = |index: &i32| access.partition(self.operation, name, *index);
            let (left, gone): (Vec<i32>, Vec<i32>) = all.iter().partition(|index| partition(index));
            (left, gone.into_iter().collect())
        };
        match (left.is_empty(), gone.is_empty()) {
            (false, true) => Refusal::None,
            (true, true) if allowed() => Refusal::None,
            (true, _) => Refusal::All,
            (false, false) => Refusal::Some(gone),
        }
    }

    fn indices(&self, topic: &Struct) -> Vec<i32> {
        match self.partitions {
            (list, Some(index)) => topic
                .structs(list)
                .map(|partition| partition.int(index) as i32)
                .collect(),
            (list, None) => tree::ints(topic, list),
        }
    }

    /// The topic without these partitions.
    fn without(&self, topic: &Struct, gone: &HashSet<i32>) -> Struct {
        let mut topic = topic.clone();
        match self.partitions {
            (list, Some(index)) => tree::retain(&mut topic, list, |partition| {
                !gone.contains(&(partition.int(index) as i32))
            }),
            (list, None) => {
                let left = tree::ints(&topic, list);
                let left = left.into_iter().filter(|index| !gone.contains(index));
                topic.set(list, Value::ints(left));
            }
        }
        topic
    }

    /// What the response says of these partitions of a topic.
    fn entry(&self, topic: &Struct, indices: &[i32], blank: &Struct, code: i16) -> Struct {
        let mut entry = tree::element(blank, self.answered.0);
        entry.set(
            self.answered.1,
            tree::text(&tree::bytes(topic, self.asked.1)),
        );
        if topic.get("TopicId").is_some() {
            entry.set("TopicId", Value::Uuid(tree::uuid(topic, "TopicId")));
        }
        let (list, index, error) = self.results;
        for at in indices {
            let mut partition = tree::element(&entry, list);
            partition.set(index, *at);
            partition.set(error, code);
            for (field, says) in self.says {
                match says {
                    Says::Long(number) => partition.set(field, *number),
                    Says::Text(text) => partition.set(field, *text),
                };
            }
            tree::push(&mut entry, list, partition);
        }
        entry
    }

    fn merge(&self, of: &Struct) -> Merge {
        let mut order = HashMap::new();
        for (at, topic) in of.structs(self.asked.0).enumerate() {
            order.entry(key(topic, self.asked.1)).or_insert(at);
        }
        let (list, index, error) = self.results;
        Merge {
            array: self.answered.0,
            name: self.answered.1,
            list,
            index,
            error,
            place: self.place,
            unless_error: false,
            shares_error: false,
            refused: Vec::new(),
            order,
        }
    }
}
