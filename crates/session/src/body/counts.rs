//! What messages say that is counted.

use std::sync::Arc;

use tubeway_protocol::walk::{Event, What};

use crate::interest::{ERROR, ID, OFFSET, PARTITION, RECORDS, THROTTLE, TOPIC};
use crate::observe::{Observe, Offset, Topic};

/// Error code TOPIC_AUTHORIZATION_FAILED.
const TOPIC_DENIED: i64 = 29;
/// Topics that one message's counts tell apart; what follows counts as `other`.
/// A topic is a few bytes on the wire and far more in memory.
const MAX_TOPICS: usize = 256;
/// Offsets of one message that are looked at.
const MAX_OFFSETS: usize = 4096;

/// What a message says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Produced {
    pub(crate) topic: Topic,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What a request says that counts once the broker has taken it.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) produced: Vec<Produced>,
    committed: Option<Box<Committed>>,
}

/// What a group commits.
#[derive(Debug, Default)]
struct Committed {
    group: Box<str>,
    topics: Counts,
    offsets: Marks,
}

/// What a response has said so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    counts: Counts,
    errors: Vec<i16>,
    /// Topics with any error.
    failed: Vec<Topic>,
    /// Topics that were refused for want of access.
    denied: Vec<Topic>,
    /// Metadata says the error before the name.
    last_error: i64,
    pub(super) throttle_ms: i64,
    /// Where the logs of partitions end for consumers.
    watermarks: Marks,
    /// The topic that Metadata has just named; its id comes next.
    name: Option<Arc<str>>,
    names: Vec<([u8; 16], Arc<str>)>,
}

/// Records by topic, in the order of the message.
#[derive(Debug, Default)]
pub(super) struct Counts {
    topics: Vec<Produced>,
}

/// Offsets by topic, in the order of the message.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) partition: Option<i32>,
    offsets: Vec<Offset>,
    /// Which of the topics in the [`Counts`] beside it, and where its offsets begin.
    topics: Vec<(usize, usize)>,
}

// === impl Said ===

impl Said {
    /// What a commit says, or a Produce.
    pub(super) fn new(group: Option<Box<str>>, counts: Counts, offsets: Marks) -> Self {
        match group.filter(|_| !offsets.is_empty()) {
            Some(group) => Self {
                produced: Vec::new(),
                committed: Some(Box::new(Committed {
                    group,
                    topics: counts,
                    offsets,
                })),
            },
            None => Self {
                produced: counts.topics,
                committed: None,
            },
        }
    }
}

// === impl Seen ===

impl Seen {
    /// Records by topic, as far as they have passed.
    pub(super) fn consumed(&self) -> &[Produced] {
        &self.counts.topics
    }

    pub(super) fn event(&mut self, event: &Event<'_>, metadata: bool) {
        match (event.mark, event.what) {
            (ERROR, What::Int(code)) => {
                self.last_error = code;
                if code != 0 {
                    self.error(code, metadata);
                }
            }
            (TOPIC, _) => {
                self.counts.topic(event);
                if let (true, What::Text(name)) = (metadata, event.what) {
                    self.name = Some(name.into());
                }
                if metadata && self.last_error == TOPIC_DENIED {
                    note(&mut self.denied, self.counts.current());
                }
            }
            (RECORDS, What::RecordsEnd(total)) => self.counts.add(total.records, total.bytes),
            (THROTTLE, What::Int(pause)) => self.throttle_ms = pause,
            (PARTITION, What::Int(partition)) => self.watermarks.partition = Some(partition as i32),
            (OFFSET, What::Int(offset)) => self.watermarks.add(&self.counts, offset),
            (ID, What::Uuid(id)) => self.named(id),
            _ => {}
        }
    }

    /// The id of the topic whose name has just been said.
    fn named(&mut self, id: [u8; 16]) {
        if let Some(name) = self.name.take()
            && id != [0; 16]
            && self.names.len() < MAX_OFFSETS
        {
            self.names.push((id, name));
        }
    }

    fn error(&mut self, code: i64, metadata: bool) {
        if self.errors.len() < MAX_TOPICS {
            self.errors.push(code as i16);
        }
        if !metadata {
            note(&mut self.failed, self.counts.current());
            if code == TOPIC_DENIED {
                note(&mut self.denied, self.counts.current());
            }
        }
    }

    pub(super) fn tell(&self, api: &'static str, said: &Said, observe: &mut impl Observe) {
        for code in &self.errors {
            observe.error(api, *code);
        }
        for topic in &self.denied {
            observe.denied(topic);
        }
        for count in self.counts.topics.iter().filter(|count| count.bytes > 0) {
            observe.consumed(&count.topic, count.records, count.bytes);
        }
        for (topic, offsets) in self.watermarks.by_topic(&self.counts) {
            observe.high_watermarks(topic, offsets);
        }
        for (id, name) in &self.names {
            observe.named(id, name);
        }
        // A topic of which any partition was refused does not count as taken.
        let taken = |topic: &Topic| !self.failed.contains(topic);
        for count in said.produced.iter().filter(|count| taken(&count.topic)) {
            count.tell(observe);
        }
        // Nor does anything, where the error is not a topic's.
        let Some(committed) = said.committed.as_ref().filter(|_| !self.fails_as_a_whole()) else {
            return;
        };
        let topics = committed.offsets.by_topic(&committed.topics);
        for (topic, offsets) in topics.filter(|(topic, _)| taken(topic)) {
            observe.committed(&committed.group, topic, offsets);
        }
    }

    fn fails_as_a_whole(&self) -> bool {
        !self.errors.is_empty() && self.failed.is_empty()
    }
}

// === impl Counts ===

impl Counts {
    pub(super) fn topic(&mut self, event: &Event<'_>) {
        let topic = match event.what {
            What::Text(name) => Topic::Name(name.into()),
            What::Uuid(id) if id != [0; 16] => Topic::Id(id),
            _ => return,
        };
        if self.topics.len() >= MAX_TOPICS {
            return;
        }
        let topic = if self.topics.len() == MAX_TOPICS - 1 {
            Topic::Name("other".into())
        } else {
            topic
        };
        self.topics.push(Produced {
            topic,
            records: 0,
            bytes: 0,
        });
    }

    fn current(&self) -> Option<&Topic> {
        self.topics.last().map(|produced| &produced.topic)
    }

    /// Whether the last topic stands for several.
    fn is_full(&self) -> bool {
        self.topics.len() >= MAX_TOPICS
    }

    pub(super) fn add(&mut self, records: u64, bytes: u64) {
        if let Some(current) = self.topics.last_mut() {
            current.records += records;
            current.bytes += bytes;
        }
    }
}

// === impl Produced ===

impl Produced {
    pub(crate) fn tell(&self, observe: &mut impl Observe) {
        observe.produced(&self.topic, self.records, self.bytes);
    }
}

// === impl Marks ===

impl Marks {
    /// The offset of the partition whose number has just been said. Negative
    /// ones are no offsets.
    pub(super) fn add(&mut self, counts: &Counts, offset: i64) {
        if let Some(partition) = self.partition.take()
            && let Some(topic) = counts.topics.len().checked_sub(1)
            && !counts.is_full()
            && self.offsets.len() < MAX_OFFSETS
            && offset >= 0
        {
            if self.topics.last().is_none_or(|(last, _)| *last != topic) {
                self.topics.push((topic, self.offsets.len()));
            }
            self.offsets.push(Offset { partition, offset });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    fn by_topic<'a>(
        &'a self,
        counts: &'a Counts,
    ) -> impl Iterator<Item = (&'a Topic, &'a [Offset])> {
        let ends = self.topics.iter().skip(1).map(|(_, start)| *start);
        let ends = ends.chain([self.offsets.len()]);
        self.topics
            .iter()
            .zip(ends)
            .map(|((topic, start), end)| (&counts.topics[*topic].topic, &self.offsets[*start..end]))
    }
}

fn note(denied: &mut Vec<Topic>, topic: Option<&Topic>) {
    if let Some(topic) = topic
        && denied.len() < MAX_TOPICS
        && denied.last() != Some(topic)
    {
        denied.push(topic.clone());
    }
}
