//! What holds of every request and all rules.

use proptest::prelude::*;
use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::schema::Kind;
use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{ApiKey, Direction, Schemas};

use super::super::{Exists, NameOf, Verdict, look, tree};
use super::broker::{mirror, respond};
use super::sample::{Source, fill};
use super::world::{World, id, message};

/// What the caller may use begins so; what they may not, with the other.
const MINE: &str = "mine-";
const THEIRS: &str = "theirs-";
/// No topic has it.
const UNKNOWN: u8 = 9;

/// Draws from a list of bytes, over and over.
struct Drawn {
    bytes: Vec<u8>,
    at: usize,
}

impl Drawn {
    fn next(&mut self) -> u32 {
        self.at += 1;
        u32::from(self.bytes[self.at % self.bytes.len()])
    }
}

impl Source for Drawn {
    fn name(&mut self) -> String {
        let prefix = [MINE, THEIRS][(self.next() % 2) as usize];
        format!("{prefix}{}", self.next() % 3)
    }
    fn id(&mut self) -> [u8; 16] {
        id([1, 2, 3, 4, UNKNOWN][(self.next() % 5) as usize])
    }
    fn length(&mut self) -> usize {
        (self.next() % 4) as usize
    }
    fn below(&mut self, bound: u32) -> u32 {
        self.next() % bound
    }
}

/// May do everything but with the cluster.
fn world() -> World {
    let mut world = World::may(&[
        (Operation::All, ResourceType::Topic, "mine-*"),
        (Operation::All, ResourceType::Group, "mine-*"),
        (Operation::All, ResourceType::TransactionalId, "mine-*"),
    ]);
    for (number, name) in [
        (1, "mine-0"),
        (2, "theirs-0"),
        (3, "mine-1"),
        (4, "theirs-1"),
    ] {
        world = world.called(number, name);
    }
    world.names.insert(id(UNKNOWN), NameOf::NoSuchTopic);
    for topic in ["theirs-0", "theirs-1", "theirs-2"] {
        world.topics.insert(topic, Exists::Yes);
    }
    world
}

fn requests() -> impl Strategy<Value = Struct> {
    let versions: Vec<_> = Schemas::get()
        .apis()
        .iter()
        .filter(|api| look(api.key()).unwrap().request)
        .flat_map(|api| {
            let versions = api.message(Direction::Request).versions();
            (versions.first..=versions.last).map(|version| (api.key().0, version))
        })
        .collect();
    let versions = proptest::sample::select(versions);
    (versions, prop::collection::vec(any::<u8>(), 64)).prop_map(|((api, version), bytes)| {
        let mut request = message(api, version, Direction::Request);
        let no_cursor = bytes[0] % 2 == 0;
        fill(&mut request, &mut Drawn { bytes, at: 0 });
        if no_cursor {
            request.set("Cursor", Value::Null);
        }
        request
    })
}

/// Whether a string of the message, or an id, is of what is not the caller's.
fn names_theirs(of: &Struct) -> bool {
    of.fields().any(|(field, value)| {
        let theirs = |value: &Value| match value {
            Value::Struct(inner) => names_theirs(inner),
            Value::Uuid(found) => [id(2), id(4)].contains(found),
            Value::String(text) => text.starts_with(THEIRS.as_bytes()),
            _ => false,
        };
        // What a member of a group has, the coordinator checks; a cursor is just a
        // place in the alphabet.
        let free = ["TopicPartitions", "Cursor"].contains(&field.name());
        !free
            && match value {
                Value::Array(values) => values.iter().any(theirs),
                value => theirs(value),
            }
    })
}

/// APIs whose response may leave out that a thing was asked for twice.
fn answers_once(api: ApiKey) -> bool {
    [3, 8, 9, 19, 20, 21, 23, 24, 28, 37, 42, 47, 75, 90, 91].contains(&api.0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn nothing_of_others_is_sent(request in requests()) {
        let world = world();
        match world.decide(&request) {
            Verdict::Pass | Verdict::Amend(_) => prop_assert!(!names_theirs(&request), "{request:?}"),
            Verdict::Cut(sent, _) => prop_assert!(!names_theirs(&sent), "{request:?} {sent:?}"),
            Verdict::Answer(_) | Verdict::Close(_) => {}
            Verdict::Ask(questions) => prop_assert!(false, "{request:?} {questions:?}"),
        }
    }

    #[test]
    fn what_was_asked_is_answered(request in requests()) {
        let world = world();
        let response = match world.decide(&request) {
            Verdict::Answer(answer) => answer,
            Verdict::Cut(sent, amend) => {
                let mut response = respond(&sent);
                amend.apply(&world.access(), &mut response);
                response
            }
            _ => return Ok(()),
        };
        let mut bytes = Vec::new();
        prop_assert!(response.encode(&mut bytes).is_ok(), "{response:?}");
        let Some(mirror) = mirror(&request) else { return Ok(()) };
        // Refused as a whole, or asked about everything, or from somewhere on.
        let page = matches!(request.get("Cursor"), Some(Value::Struct(_)));
        if response.int("ErrorCode") != 0 || asks_for_all(&request) || page {
            return Ok(());
        }
        let (mut asked, mut answered) = (mirror.asked(&request), mirror.answered(&response));
        if mirror.group.is_some() {
            // A group that is refused is answered without its topics.
            asked.retain(|thing| !thing.starts_with(THEIRS));
        }
        if request.layout().api().0 == 3 {
            // Names beside ids mean nothing.
            let ids = request.structs("Topics").any(|topic| tree::uuid(topic, "TopicId") != [0; 16]);
            asked.retain(|thing| !ids || thing.starts_with('['));
        }
        if answers_once(request.layout().api()) {
            asked.dedup();
            answered.dedup();
        }
        prop_assert_eq!(answered, asked, "{:?} {:?}", request, response);
    }

    #[test]
    fn a_super_user_passes(request in requests()) {
        let world = World::nobody().super_user();
        let api = Schemas::get().api(request.layout().api()).unwrap();
        let verdict = world.decide(&request);
        let expected = if api.on_brokers() {
            matches!(verdict, Verdict::Pass)
        } else {
            matches!(verdict, Verdict::Close(_))
        };
        prop_assert!(expected, "{request:?} {verdict:?}");
    }

    /// What a broker lists that has no ACLs, the rules filter.
    #[test]
    fn lists_tell_nothing_of_others(
        request in requests(),
        bytes in prop::collection::vec(any::<u8>(), 64),
    ) {
        let world = world();
        let Verdict::Amend(amend) = world.decide(&request) else {
            return Ok(());
        };
        let layout = request.layout();
        let mut response = message(layout.api().0, layout.version(), Direction::Response);
        fill(&mut response, &mut Drawn { bytes, at: 0 });
        response.set("ErrorCode", 0_i16);
        amend.apply(&world.access(), &mut response);
        if asks_for_all(&request) {
            prop_assert!(!told(&response), "{request:?} {response:?}");
        }
    }
}

fn asks_for_all(request: &Struct) -> bool {
    match request.layout().api().0 {
        3 => request.layout().version() == 0 && tree::values(request, "Topics").is_empty(),
        75 => tree::values(request, "Topics").is_empty(),
        16 | 66 => true,
        _ => false,
    }
}

/// Whether a response lists what is not the caller's.
fn told(response: &Struct) -> bool {
    let theirs = |entry: &Struct| {
        entry.fields().any(|(field, value)| {
            let text = value.as_bytes().filter(|_| field.kind() == Kind::String);
            text.is_some_and(|text| text.starts_with(THEIRS.as_bytes()))
        })
    };
    let lists = ["Topics", "Groups", "TransactionStates"];
    lists.iter().any(|list| response.structs(list).any(theirs))
}
