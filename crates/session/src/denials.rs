//! What exactly a request is refused, for logs and counts.
//!
//! Whether it is refused has been decided elsewhere. Here the rules are asked
//! once more about what the request names, which only refused requests pay for.
//! Where the answer would be a guess, nothing is said: only what the rules deny
//! is reported.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_policy::rules::{Authorizer, Caller, Decision, Resource};
use tubeway_protocol::schema::{Kind, StructId};
use tubeway_protocol::walk::{Event, Interest, Mark, Trailing, Walker, What};
use tubeway_protocol::{ApiKey, Layout};

use crate::access::{NameOf, Names as _};
use crate::guard::Guard;
use crate::observe::Denial;

use Operation::{
    Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs, IdempotentWrite,
    Read, Write,
};

/// Denials of one request that are told apart.
const MAX_DENIALS: usize = 16;
/// Names of one request that are asked about.
const MAX_ASKED: usize = 1024;
/// Longest name that is reported: that of a topic.
const MAX_NAME: usize = 249;

const TOPIC: Mark = Mark(1);
const GROUP: Mark = Mark(2);
const TRANSACTION: Mark = Mark(3);
const PARTITION: Mark = Mark(4);
/// Of FindCoordinator: names whose kind is said beside them.
const KEY: Mark = Mark(5);
const KEY_TYPE: Mark = Mark(6);
/// Of the APIs about configurations.
const CONFIG_TYPE: Mark = Mark(7);
const CONFIG_NAME: Mark = Mark(8);

/// What an API needs on what its requests name.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    topic: Option<Operation>,
    group: Option<Operation>,
    transaction: Option<Operation>,
    cluster: Option<Operation>,
}

/// A look at one request.
struct Look<'a> {
    guard: &'a Guard,
    api: ApiKey,
    needs: Needs,
    asked: usize,
    /// The topic whose partitions come next, if it matters which.
    topic: Option<Box<str>>,
    transactional: bool,
    config_type: i64,
    keys: Vec<Box<str>>,
    key_type: i64,
    found: Vec<Denial>,
}

/// What of a refused request's names the rules deny. Of `body`, as much as is
/// there is looked at.
pub(crate) fn find(guard: &Guard, layout: &'static Layout, body: &[u8]) -> Vec<Denial> {
    let Some(needs) = Needs::of(layout.api()) else {
        return Vec::new();
    };
    let mut look = Look {
        guard,
        api: layout.api(),
        needs,
        asked: 0,
        topic: None,
        transactional: false,
        config_type: 0,
        keys: Vec::new(),
        key_type: 0,
        found: Vec::new(),
    };
    let end = u64::from(u32::MAX);
    let mut walker = Walker::new(interest(layout).into(), 0, end, Trailing::Allow);
    // A body that does not decode is refused for that, and not here.
    let _ = walker.feed(body, |event| look.event(&event));
    look.finish();
    look.found
}

/// Marks what the schema says is a name.
fn interest(layout: &'static Layout) -> Interest {
    let mut paths = Vec::new();
    collect(layout, layout.root(), "", &mut paths);
    let paths: Vec<_> = paths.iter().map(|(path, mark)| (&**path, *mark)).collect();
    Interest::new(layout, &paths).unwrap_or_else(|_| Interest::none(layout))
}

fn collect(layout: &'static Layout, of: StructId, above: &str, paths: &mut Vec<(String, Mark)>) {
    let api = layout.api().0;
    for id in layout.field_ids(of) {
        let field = layout.field(id);
        // Who forgets a topic does not ask for it.
        if field.name() == "ForgottenTopicsData" {
            continue;
        }
        let path = format!("{above}{}", field.name());
        if let Kind::Struct(inner) = field.kind() {
            collect(layout, inner, &format!("{path}."), paths);
        }
        let mark = match (field.entity(), field.kind(), field.name()) {
            (Some("topicName"), Kind::String, _) | (_, Kind::Uuid, "TopicId") => TOPIC,
            (Some("groupId"), Kind::String, _) => GROUP,
            (Some("transactionalId"), Kind::String, _) => TRANSACTION,
            (_, Kind::Int32, "PartitionIndex" | "Partition" | "Partitions" | "Index") => PARTITION,
            (_, Kind::String, "Key" | "CoordinatorKeys") if api == 10 => KEY,
            (_, Kind::Int8, "KeyType") => KEY_TYPE,
            (_, Kind::Int8, "ResourceType") => CONFIG_TYPE,
            (_, Kind::String, "ResourceName") if [32, 33, 44].contains(&api) => CONFIG_NAME,
            _ => continue,
        };
        paths.push((path, mark));
    }
}

// === impl Needs ===

impl Needs {
    const NONE: Self = Self {
        topic: None,
        group: None,
        transaction: None,
        cluster: None,
    };

    const fn topic(operation: Operation) -> Self {
        let mut needs = Self::NONE;
        needs.topic = Some(operation);
        needs
    }

    const fn cluster(operation: Operation) -> Self {
        let mut needs = Self::NONE;
        needs.cluster = Some(operation);
        needs
    }

    const fn group(operation: Operation) -> Self {
        Self::NONE.and_group(operation)
    }

    const fn transaction(operation: Operation) -> Self {
        Self::NONE.and_transaction(operation)
    }

    const fn and_group(mut self, operation: Operation) -> Self {
        self.group = Some(operation);
        self
    }

    const fn and_transaction(mut self, operation: Operation) -> Self {
        self.transaction = Some(operation);
        self
    }

    /// What Kafka's own documentation of its protocol says that each API needs.
    fn of(api: ApiKey) -> Option<Self> {
        Some(match api.0 {
            0 | 24 => Self::topic(Write).and_transaction(Write),
            1 | 61 => Self::topic(Read),
            2 | 3 | 23 | 75 => Self::topic(Describe),
            8 | 78 | 79 | 91 | 92 => Self::topic(Read).and_group(Read),
            9 | 90 => Self::topic(Describe).and_group(Describe),
            10 => Self::group(Describe).and_transaction(Describe),
            11..=14 => Self::group(Read),
            15 | 69 | 77 | 89 => Self::group(Describe),
            19 => Self::topic(Create),
            20 | 21 => Self::topic(Delete),
            22 => Self::cluster(IdempotentWrite).and_transaction(Write),
            25 => Self::group(Read).and_transaction(Write),
            26 => Self::transaction(Write),
            28 => Self::topic(Read).and_group(Read).and_transaction(Write),
            4..=7 | 27 | 83..=87 => Self::cluster(ClusterAction),
            29 | 35 | 46 | 50 | 55 | 60 => Self::cluster(Describe),
            30 | 31 | 34 | 43 | 45 | 51 | 57 | 64 | 80 | 81 => Self::cluster(Alter),
            32 => Self::topic(DescribeConfigs).and_group(DescribeConfigs),
            33 | 44 => Self::topic(AlterConfigs).and_group(AlterConfigs),
            37 => Self::topic(Alter),
            42 => Self::group(Delete),
            47 => Self::topic(Read).and_group(Delete),
            48 | 74 => Self::cluster(DescribeConfigs),
            49 => Self::cluster(AlterConfigs),
            65 => Self::transaction(Describe),
            68 | 76 | 88 => Self::topic(Describe).and_group(Read),
            _ => return None,
        })
    }
}

// === impl Look ===

impl Look<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match (event.mark, event.what) {
            (TOPIC, What::Text(name)) => self.topic(name),
            (TOPIC, What::Uuid(id)) => {
                if let NameOf::Known(name) = self.guard.name_of(&id) {
                    self.topic(&name);
                }
            }
            (PARTITION, What::Int(index)) => self.partition(index as i32),
            (GROUP, What::Text(id)) => self.ask(self.needs.group, Resource::group(id)),
            (TRANSACTION, What::Text(id)) => {
                self.transactional = true;
                let id = Resource::transactional_id(id);
                self.ask(self.needs.transaction, id);
            }
            (KEY, What::Text(key)) if self.keys.len() < MAX_DENIALS => self.keys.push(key.into()),
            (KEY_TYPE, What::Int(kind)) => self.key_type = kind,
            (CONFIG_TYPE, What::Int(kind)) => self.config_type = kind,
            (CONFIG_NAME, What::Text(name)) => self.config(name),
            _ => {}
        }
    }

    fn topic(&mut self, name: &str) {
        self.topic = None;
        // Who may create topics in the cluster needs no right on the topic.
        if self.needs.topic == Some(Create) && self.guard.allows(Create, Resource::CLUSTER) {
            return;
        }
        let before = self.found.len();
        self.ask(self.needs.topic, Resource::topic(name));
        let (rules, caller) = (self.guard.rules(), self.guard.caller());
        if self.found.len() == before && rules.tells_partitions_apart(caller, name) {
            self.topic = Some(name.into());
        }
    }

    fn partition(&mut self, index: i32) {
        let (Some(topic), Some(operation)) = (self.topic.as_deref(), self.needs.topic) else {
            return;
        };
        if !matches!(operation, Read | Write | Delete) || !room(&mut self.asked, &self.found) {
            return;
        }
        let (rules, caller) = (self.guard.rules(), self.guard.caller());
        let decision = rules.partition(caller, operation, topic, index);
        if !decision.allowed {
            let mut denial = denial(self.api, operation, Resource::topic(topic), decision);
            denial.partition = Some(index);
            self.found.push(denial);
        }
    }

    fn config(&mut self, name: &str) {
        /// Kafka's codes of what can be configured.
        const TOPIC: i64 = 2;
        const GROUP: i64 = 32;
        match self.config_type {
            TOPIC => self.ask(self.needs.topic, Resource::topic(name)),
            GROUP => self.ask(self.needs.group, Resource::group(name)),
            _ => self.ask(self.needs.topic, Resource::CLUSTER),
        }
    }

    fn finish(&mut self) {
        const TRANSACTION: i64 = 1;
        for key in std::mem::take(&mut self.keys) {
            match self.key_type {
                TRANSACTION => {
                    let id = Resource::transactional_id(&key);
                    self.ask(self.needs.transaction, id);
                }
                _ => self.ask(self.needs.group, Resource::group(&key)),
            }
        }
        // An idempotent producer needs no right on the cluster if it may write
        // to any topic (KIP-679), and none at all within a transaction.
        let idempotent = self.needs.cluster == Some(IdempotentWrite);
        let may_write = || {
            let (rules, caller) = (self.guard.rules(), self.guard.caller());
            rules.authorize_any(caller, Write, ResourceType::Topic)
        };
        if !(idempotent && (self.transactional || may_write())) {
            self.ask(self.needs.cluster, Resource::CLUSTER);
        }
    }

    fn ask(&mut self, operation: Option<Operation>, resource: Resource<'_>) {
        let Some(operation) = operation else {
            return;
        };
        if !room(&mut self.asked, &self.found) {
            return;
        }
        let (rules, caller): (&Authorizer, &Caller) = (self.guard.rules(), self.guard.caller());
        let decision = rules.authorize(caller, operation, resource);
        if !decision.allowed {
            let denial = denial(self.api, operation, resource, decision);
            self.found.push(denial);
        }
    }
}

/// Whether one more question is in bounds.
fn room(asked: &mut usize, found: &[Denial]) -> bool {
    *asked += 1;
    *asked <= MAX_ASKED && found.len() < MAX_DENIALS
}

fn denial(
    api: ApiKey,
    operation: Operation,
    resource: Resource<'_>,
    decision: Decision<'_>,
) -> Denial {
    let name = resource.name;
    Denial {
        api: api.name().unwrap_or("unknown API"),
        operation,
        kind: resource.kind,
        name: name[..name.floor_char_boundary(MAX_NAME)].into(),
        partition: None,
        rule: decision.rule.map(|rule| match &*rule.source {
            "" => rule.acl.to_string().into(),
            source => source.into(),
        }),
    }
}
