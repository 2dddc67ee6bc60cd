//! What of two answers may differ: ids that a broker makes up, times, and the
//! order of lists that Kafka itself shuffles. Everything else is compared.

use std::collections::HashMap;

use bytes::Bytes;
use tubeway_protocol::ApiKey;
use tubeway_protocol::value::{Struct, Value};

/// Member ids that cases choose begin so, and are compared as they are.
pub const CHOSEN: &str = "mine";

/// What is done to a field before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Made up by the broker: becomes the number of its first appearance.
    Id,
    /// Where the broker sees the client: behind a sidecar that is the sidecar.
    Host,
    /// A time, a port, or a size that depends on time: becomes 0 if it is above 0.
    Moment,
}

/// Fields by name, for all APIs or one.
const FIELDS: &[(Option<i16>, &str, Rule)] = &[
    (None, "ThrottleTimeMs", Rule::Moment),
    (None, "Port", Rule::Moment),
    (None, "MemberId", Rule::Id),
    (None, "ClientHost", Rule::Host),
    (Some(11), "Leader", Rule::Id),
    (None, "ProducerId", Rule::Id),
    (None, "SessionId", Rule::Id),
    // DescribeGroups, DescribeTransactions, DescribeProducers
    (None, "TransactionStartTimeMs", Rule::Moment),
    (None, "LastTimestamp", Rule::Moment),
    // DescribeLogDirs: the disk, and the internal topics' logs.
    (Some(35), "TotalBytes", Rule::Moment),
    (Some(35), "UsableBytes", Rule::Moment),
    (Some(35), "PartitionSize", Rule::Moment),
    // DescribeQuorum: the metadata log grows by itself.
    (Some(55), "HighWatermark", Rule::Moment),
    (Some(55), "LogEndOffset", Rule::Moment),
    (Some(55), "LastFetchTimestamp", Rule::Moment),
    (Some(55), "LastCaughtUpTimestamp", Rule::Moment),
    // Delegation tokens.
    (None, "TokenId", Rule::Id),
    (None, "Hmac", Rule::Id),
    (None, "IssueTimestampMs", Rule::Moment),
    (None, "IssueTimestamp", Rule::Moment),
    (None, "ExpiryTimestampMs", Rule::Moment),
    (None, "ExpiryTimestamp", Rule::Moment),
    (None, "MaxTimestampMs", Rule::Moment),
    (None, "MaxTimestamp", Rule::Moment),
    // ApiVersions: grows with the metadata log.
    (Some(18), "FinalizedFeaturesEpoch", Rule::Moment),
    // ShareFetch, share acquisition.
    (None, "AcquisitionLockTimeoutMs", Rule::Moment),
];

/// Lists whose order Kafka does not fix: the API, the list, and the fields to sort by.
const UNORDERED: &[(i16, &str, &[&str])] = &[
    // Kept in a hash map by partition and topic id, which differs.
    (0, "Responses", &["Name", "TopicId"]),
    (0, "PartitionResponses", &["Index"]),
    // Kept in a hash map by name; which of two with one hash comes first
    // depends on which was made first.
    (3, "Topics", &["Name", "TopicId", "ErrorCode"]),
    // KafkaApis shuffles them, "to avoid leaking information about topics".
    (20, "Responses", &["Name", "TopicId", "ErrorCode"]),
    // Sets.
    (
        29,
        "Resources",
        &["ResourceType", "ResourceName", "PatternType"],
    ),
    (29, "Acls", &["Principal", "Operation", "PermissionType"]),
    (31, "MatchingAcls", &["ResourceType", "ResourceName"]),
    (
        41,
        "Tokens",
        &[
            "PrincipalName",
            "TokenRequesterPrincipalName",
            "Renewers",
            "TokenId",
        ],
    ),
    // A sidecar puts what it refuses before what the broker answers.
    (1, "Responses", &["Topic", "TopicId"]),
    (1, "Partitions", &["PartitionIndex"]),
    (78, "Partitions", &["PartitionIndex"]),
    (79, "Partitions", &["PartitionIndex"]),
    // Kept in hash maps by topic and partition.
    (21, "Partitions", &["PartitionIndex"]),
    (21, "Topics", &["Name"]),
    (24, "ResultsByTopicV3AndBelow", &["Name"]),
    (24, "TopicResults", &["Name"]),
    (75, "Topics", &["Name"]),
    // By topic id.
    (27, "Topics", &["Name"]),
    (69, "TopicPartitions", &["TopicName"]),
    (77, "TopicPartitions", &["TopicName"]),
    (91, "Responses", &["TopicName"]),
    (92, "Responses", &["TopicName"]),
    (90, "Topics", &["TopicName"]),
];

/// What one side has made up, in the order in which it appeared.
#[derive(Debug, Default)]
pub struct Normal {
    ids: HashMap<Vec<u8>, usize>,
    /// Names of topics by their ids.
    topics: HashMap<[u8; 16], String>,
    /// Texts that differ between the sides, and what they become.
    texts: Vec<(String, String)>,
}

// === impl Normal ===

impl Normal {
    /// Texts that this becomes wherever it stands in a string.
    pub fn replace(&mut self, text: impl Into<String>, with: impl Into<String>) {
        self.texts.push((text.into(), with.into()));
    }

    /// What the topic of this id is called.
    pub fn learn_topic(&mut self, id: [u8; 16], name: &str) {
        self.topics.insert(id, name.to_owned());
    }

    /// Whether the id is known, or is nobody's.
    pub fn knows(&self, id: &[u8; 16]) -> bool {
        *id == [0; 16] || self.topics.contains_key(id)
    }

    /// Forgets what has been made up, so that counting begins anew.
    pub fn forget(&mut self) {
        self.ids.clear();
    }

    /// The message with everything replaced that may differ.
    pub fn of(&mut self, mut message: Struct) -> Struct {
        let api = message.layout().api();
        self.structure(api, &mut message);
        message
    }

    fn structure(&mut self, api: ApiKey, of: &mut Struct) {
        let names: Vec<&'static str> = of.fields().map(|(field, _)| field.name()).collect();
        for name in names {
            let Some(value) = of.get_mut(name) else {
                continue;
            };
            let keys = UNORDERED
                .iter()
                .find(|(of, list, _)| *of == api.0 && *list == name);
            if api == ApiKey::FETCH
                && name == "Responses"
                && let Value::Array(items) = &mut *value
            {
                join_topics(items);
            }
            // Ids are counted as they appear, so order comes first.
            if let (Some((_, _, keys)), Value::Array(items)) = (keys, &mut *value) {
                items.sort_by_cached_key(|item| self.sort_key(item, keys));
            }
            self.value(api, name, value);
        }
    }

    fn value(&mut self, api: ApiKey, name: &str, value: &mut Value) {
        let rule = FIELDS
            .iter()
            .find(|(of, field, _)| *field == name && of.is_none_or(|of| of == api.0));
        match (rule.map(|(_, _, rule)| *rule), value) {
            (_, Value::Struct(inner)) => self.structure(api, inner),
            (_, Value::Array(items)) => {
                for item in items {
                    self.value(api, name, item);
                }
            }
            (_, Value::Uuid(id)) => *id = self.uuid(*id),
            (Some(Rule::Id), value) => self.made_up(value),
            (Some(Rule::Moment), Value::Int32(number)) if *number > 0 => *number = 0,
            (Some(Rule::Moment), Value::Int64(number)) if *number > 0 => *number = 0,
            (Some(Rule::Host), Value::String(text)) if !text.is_empty() => {
                *text = Bytes::from_static(b"<host>");
            }
            (Some(Rule::Moment), Value::Uint16(number)) => *number = 0,
            (None, Value::String(text)) => *text = self.text(text),
            _ => {}
        }
    }

    fn made_up(&mut self, value: &mut Value) {
        match value {
            Value::Int32(number) if *number > 0 => {
                *number = self.ordinal(&number.to_be_bytes()) as i32;
            }
            Value::Int64(number) if *number >= 0 => {
                *number = self.ordinal(&number.to_be_bytes()) as i64;
            }
            Value::String(text) if !text.is_empty() && !text.starts_with(CHOSEN.as_bytes()) => {
                *text = format!("<id {}>", self.ordinal(text)).into();
            }
            Value::Bytes(bytes) if !bytes.is_empty() => {
                *bytes = format!("<id {}>", self.ordinal(bytes)).into();
            }
            _ => {}
        }
    }

    fn ordinal(&mut self, id: &[u8]) -> usize {
        let next = self.ids.len() + 1;
        *self.ids.entry(id.to_vec()).or_insert(next)
    }

    /// A topic's id becomes one that follows from its name.
    fn uuid(&mut self, id: [u8; 16]) -> [u8; 16] {
        if id == [0; 16] {
            return id;
        }
        if let Some(name) = self.topics.get(&id) {
            return id_for(name);
        }
        let mut made = [0xee; 16];
        made[15] = self.ordinal(&id) as u8;
        made
    }

    fn sort_key(&self, item: &Value, keys: &[&str]) -> String {
        let Value::Struct(item) = item else {
            return String::new();
        };
        let show = |key: &&str| match item.get(key) {
            // Those that the case has seen before; the others are all alike.
            Some(Value::String(id)) if *key == "TokenId" => {
                format!("{:?}", self.ids.get(&id[..]))
            }
            Some(Value::String(text)) => String::from_utf8_lossy(text).into_owned(),
            Some(Value::Uuid(id)) => self.topics.get(id).cloned().unwrap_or_default(),
            other => format!("{other:?}"),
        };
        keys.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    fn text(&self, text: &Bytes) -> Bytes {
        let Ok(old) = std::str::from_utf8(text) else {
            return text.clone();
        };
        // Java's own text for a request, with an address in memory:
        // `Request Request(processor=5, …) needs DESCRIBE permission.`
        if let Some((_, lacking)) = old.rsplit_once(" needs ")
            && old.starts_with("Request ")
            && lacking.ends_with("permission.")
        {
            // The standard text, which is what a sidecar says.
            return Bytes::from_static(b"Cluster authorization failed.");
        }
        let mut new = old.to_owned();
        for (from, to) in &self.texts {
            if new.contains(from.as_str()) {
                new = new.replace(from.as_str(), to);
            }
        }
        if new == old { text.clone() } else { new.into() }
    }
}

/// An id that follows from a name.
pub fn id_for(name: &str) -> [u8; 16] {
    let crc = |salt: u8| crc32c::crc32c_append(u32::from(salt), name.as_bytes()).to_be_bytes();
    let mut id = [0xaa; 16];
    id[..4].copy_from_slice(&crc(1));
    id[4..8].copy_from_slice(&crc(2));
    id
}

/// A broker begins a new entry wherever the topic changes in the order of its
/// session, so that a topic may have several: they become one.
fn join_topics(items: &mut Vec<Value>) {
    let mut joined: Vec<Struct> = Vec::new();
    for item in items.drain(..) {
        let Value::Struct(mut topic) = item else {
            continue;
        };
        let same = |other: &&mut Struct| {
            ["Topic", "TopicId"]
                .iter()
                .all(|field| other.get(field) == topic.get(field))
        };
        match joined.iter_mut().find(same) {
            None => joined.push(*topic),
            Some(first) => {
                let more = topic.get_mut("Partitions").map(std::mem::take);
                if let (Some(Value::Array(all)), Some(Value::Array(more))) =
                    (first.get_mut("Partitions"), more)
                {
                    all.extend(more);
                }
            }
        }
    }
    items.extend(joined.into_iter().map(Value::from));
}
