//! DeleteTopics.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use tubeway_policy::acl::Operation;
use tubeway_protocol::value::{Struct, Value};

use super::listed::{Place, PutBack};
use super::refusals::{self, INVALID_REQUEST, TOPIC_DENIED, UNKNOWN_TOPIC};
use super::topics_admin::{exists, say};
use super::{Access, Case, Exists, NameOf, Questions, Verdict, tree};

/// One topic that is to be deleted.
struct Doomed {
    name: Option<Bytes>,
    id: [u8; 16],
    value: Value,
}

/// What becomes of it.
enum Fate {
    Send,
    /// The answer's name, error and message.
    Refuse(Option<Bytes>, i16, &'static str),
}

/// One right on the cluster stands for all topics. Who may see a topic but not
/// delete it is told whether it exists; to others every topic is one they have
/// no right to.
pub(super) fn decide(case: &Case<'_>) -> Verdict {
    if case.access.cluster(Operation::Delete) {
        return Verdict::Pass;
    }
    let (field, doomed) = doomed(case.request);
    let blank = case.blank();
    let mut questions = Questions::default();
    let mut back = PutBack::new("Responses", Place::Last);
    let mut kept = Vec::new();
    let mut times: HashMap<_, usize> = HashMap::new();
    for key in doomed.iter().filter_map(Doomed::key) {
        *times.entry(key).or_default() += 1;
    }
    let mut seen = HashSet::new();
    for topic in &doomed {
        let key = topic.key();
        let fate = match key.as_ref().and_then(|key| times.get(key)) {
            Some(2..) if !seen.insert(key) => continue,
            Some(2..) => topic.twice(),
            _ => topic.fate(&case.access, &mut questions),
        };
        match fate {
            Fate::Send => kept.push(topic.value.clone()),
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

// === impl Doomed ===

impl Doomed {
    /// What makes two of them one topic: the name, or the id. What has both, or
    /// neither, is none.
    fn key(&self) -> Option<(Option<Bytes>, [u8; 16])> {
        let named = self.name.is_some() != (self.id != tree::NO_ID);
        named.then(|| (self.name.clone(), self.id))
    }

    fn twice(&self) -> Fate {
        let message = match self.name {
            Some(_) => "Duplicate topic name.",
            None => "Duplicate topic id.",
        };
        Fate::Refuse(self.name.clone(), INVALID_REQUEST, message)
    }

    fn fate(&self, access: &Access<'_>, questions: &mut Questions) -> Fate {
        match (&self.name, self.id) {
            (None, tree::NO_ID) => Fate::Send,
            (None, id) => by_id(access, id, questions),
            (Some(name), tree::NO_ID) => by_name(access, name, questions),
            (Some(name), _) => {
                let message = "You may not specify both topic name and topic id.";
                Fate::Refuse(Some(name.clone()), INVALID_REQUEST, message)
            }
        }
    }
}

fn by_name(access: &Access<'_>, name: &Bytes, questions: &mut Questions) -> Fate {
    let refuse = |code| Fate::Refuse(Some(name.clone()), code, refusals::message(code));
    if !access.topic(Operation::Describe, name) {
        return refuse(TOPIC_DENIED);
    }
    if access.whole_topic(Operation::Delete, name) {
        return Fate::Send;
    }
    refuse(match exists(access, name, questions) {
        Exists::No => UNKNOWN_TOPIC,
        Exists::Yes | Exists::NotAsked => TOPIC_DENIED,
    })
}

fn by_id(access: &Access<'_>, id: [u8; 16], questions: &mut Questions) -> Fate {
    let name = match access.names.name_of(&id) {
        NameOf::Known(name) => Bytes::copy_from_slice(name.as_bytes()),
        NameOf::NoSuchTopic => return Fate::Send,
        NameOf::NotAsked => {
            questions.id(id);
            return Fate::Send;
        }
    };
    if access.whole_topic(Operation::Delete, &name) {
        return Fate::Send;
    }
    let visible = access.topic(Operation::Describe, &name);
    let message = refusals::message(TOPIC_DENIED);
    Fate::Refuse(visible.then_some(name), TOPIC_DENIED, message)
}
