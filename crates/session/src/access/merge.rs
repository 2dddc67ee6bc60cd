//! Putting topics and partitions that were cut out of a request into the
//! response, where a broker has them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tubeway_protocol::value::{Struct, Value};

use super::refusals::{UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID};
use super::tree;

/// Where refused topics go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// After the broker's.
    Last,
    /// In the order of the request.
    AsAsked,
    /// Before the coordinator's results, among topics that do not exist.
    WithUnknown,
    /// After the coordinator's results, among ids that do not exist.
    LastWithUnknown,
}

/// Topics and partitions that were cut out of a request.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) array: &'static str,
    pub(super) name: &'static str,
    pub(super) list: &'static str,
    pub(super) index: &'static str,
    pub(super) error: &'static str,
    pub(super) place: Place,
    pub(super) unless_error: bool,
    /// Whether an error of the whole request is one of every partition.
    pub(super) shares_error: bool,
    pub(super) refused: Vec<Refused>,
    /// The place of each topic in the request.
    pub(super) order: HashMap<Bytes, usize>,
}

#[derive(Debug)]
pub(super) struct Refused {
    pub(super) key: Bytes,
    /// The topic in the response, with the refused partitions.
    pub(super) entry: Struct,
    /// All its partitions in the order of the request, if some were sent.
    pub(super) partly: Option<Vec<i32>>,
}

// === impl Merge ===

impl Merge {
    /// Adds a topic. With the `places` of those before, one that was named
    /// before gets its partitions.
    pub(super) fn add(
        &mut self,
        refused: Refused,
        places: Option<&mut HashMap<(Bytes, bool), usize>>,
    ) {
        let next = self.refused.len();
        let place = (refused.key.clone(), refused.partly.is_some());
        let place = places.map_or(next, |places| *places.entry(place).or_insert(next));
        let Some(before) = self.refused.get_mut(place) else {
            self.refused.push(refused);
            return;
        };
        for value in tree::values(&refused.entry, self.list) {
            tree::push(&mut before.entry, self.list, value.clone());
        }
        if let (Some(all), Some(more)) = (&mut before.partly, refused.partly) {
            all.extend(more);
        }
    }

    /// Leaves everything out if the broker refuses the whole request or group.
    pub(super) fn unless_error(mut self) -> Self {
        self.unless_error = true;
        self
    }

    /// Has a coordinator's error for every partition that was sent be one for
    /// those that were not, too: it is how old versions refuse a whole request.
    pub(super) fn shares_error(mut self) -> Self {
        self.shares_error = true;
        self
    }

    fn share_error(&mut self, of: &Struct) {
        let partitions = of
            .structs(self.array)
            .flat_map(|topic| topic.structs(self.list));
        let mut errors = partitions.map(|partition| partition.int(self.error) as i16);
        let Some(first) = errors.next().filter(|first| *first != 0) else {
            return;
        };
        if first == UNKNOWN_TOPIC || errors.any(|error| error != first) {
            return;
        }
        self.place = Place::AsAsked;
        for refused in &mut self.refused {
            for partition in tree::structs_mut(&mut refused.entry, self.list) {
                partition.set(self.error, first);
            }
        }
    }

    /// Puts the refused topics and partitions into `of`: the response, or what
    /// has the array of topics in it.
    pub(super) fn apply(mut self, of: &mut Struct) {
        if self.unless_error && of.int("ErrorCode") != 0 {
            return;
        }
        if self.shares_error {
            self.share_error(of);
        }
        let refused = std::mem::take(&mut self.refused);
        let mut partly: HashMap<_, VecDeque<_>> = HashMap::new();
        let mut whole = Vec::new();
        for refused in refused {
            match refused.partly {
                Some(all) => {
                    let same = partly.entry(refused.key).or_default();
                    same.push_back((refused.entry, all));
                }
                None => whole.push(Value::from(refused.entry)),
            }
        }
        if !partly.is_empty() {
            for topic in tree::structs_mut(of, self.array) {
                let next = partly.get_mut(&key(topic, self.name));
                if let Some((entry, all)) = next.and_then(VecDeque::pop_front) {
                    self.join(topic, &entry, &all);
                }
            }
        }
        // The broker left these topics out.
        let left = partly.into_values().flatten();
        whole.extend(left.map(|(entry, _)| Value::from(entry)));
        self.insert(of, whole);
    }

    /// Puts the refused partitions of `entry` among those of `topic`, in the
    /// order of the request.
    fn join(&self, topic: &mut Struct, entry: &Struct, asked: &[i32]) {
        let Some(partitions) = tree::array(topic, self.list) else {
            return;
        };
        partitions.extend_from_slice(tree::values(entry, self.list));
        let order: HashMap<_, _> = (0..).zip(asked).map(|(at, index)| (*index, at)).collect();
        partitions.sort_by_key(|partition| -> Option<usize> {
            let index = as_struct(partition)?.int(self.index) as i32;
            order.get(&index).copied()
        });
    }

    fn insert(&self, of: &mut Struct, whole: Vec<Value>) {
        let Some(topics) = tree::array(of, self.array) else {
            return;
        };
        let unknown = |topic: &&Value| self.is_unknown(topic);
        let (from, to) = match self.place {
            Place::Last => (topics.len(), topics.len()),
            Place::AsAsked => (0, topics.len()),
            Place::WithUnknown => (0, topics.iter().take_while(unknown).count()),
            Place::LastWithUnknown => {
                let last = topics.iter().rev().take_while(unknown).count();
                (topics.len() - last, topics.len())
            }
        };
        let to = to + whole.len();
        topics.splice(from..from, whole);
        topics[from..to].sort_by_key(|topic| {
            let key = as_struct(topic).map(|topic| key(topic, self.name));
            key.and_then(|key| self.order.get(&key).copied())
                .unwrap_or(usize::MAX)
        });
    }

    /// Whether a broker says of a topic that there is none.
    fn is_unknown(&self, topic: &Value) -> bool {
        let first = as_struct(topic).and_then(|topic| topic.structs(self.list).next());
        first.is_some_and(|partition| {
            let error = partition.int(self.error) as i16;
            error == UNKNOWN_TOPIC_ID || error == UNKNOWN_TOPIC && self.place == Place::WithUnknown
        })
    }
}

fn as_struct(value: &Value) -> Option<&Struct> {
    match value {
        Value::Struct(inner) => Some(inner),
        _ => None,
    }
}

/// What a topic is told from others by: its name, or its id.
pub(super) fn key(topic: &Struct, name: &str) -> Bytes {
    match topic.get(name) {
        Some(_) => tree::bytes(topic, name),
        None => Bytes::copy_from_slice(&tree::uuid(topic, "TopicId")),
    }
}
