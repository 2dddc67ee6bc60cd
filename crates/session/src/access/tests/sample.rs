//! Requests of every API and version with something in every field.

use bytes::Bytes;
use tubeway_protocol::schema::{Field, Kind};
use tubeway_protocol::value::{Struct, Value};

/// Where the values of a sample come from.
pub(super) trait Source {
    /// A name of something that rules are about.
    fn name(&mut self) -> String;
    /// The id of a topic.
    fn id(&mut self) -> [u8; 16];
    /// How long an array is.
    fn length(&mut self) -> usize;
    /// A number below this.
    fn below(&mut self, bound: u32) -> u32;
}

/// Every array has two elements, and every name is another.
#[derive(Default)]
pub(super) struct Counting {
    next: u8,
}

impl Source for Counting {
    fn name(&mut self) -> String {
        self.next += 1;
        format!("name-{}", self.next)
    }
    fn id(&mut self) -> [u8; 16] {
        self.next += 1;
        [self.next; 16]
    }
    fn length(&mut self) -> usize {
        2
    }
    fn below(&mut self, bound: u32) -> u32 {
        u32::from(self.next) % bound
    }
}

/// Fields that name something, beside those that the schema says it of.
const NAMES: [&str; 2] = ["CoordinatorKeys", "ResourceName"];
const ENTITIES: [&str; 3] = ["topicName", "groupId", "transactionalId"];

/// Fills in every field but tagged ones.
pub(super) fn fill(of: &mut Struct, source: &mut impl Source) {
    let fields: Vec<_> = of.fields().map(|(field, _)| field).collect();
    for field in fields {
        if field.tag().is_some() {
            continue;
        }
        let value = if field.is_array() {
            let length = source.length();
            match field.kind() {
                Kind::Int32 => Value::ints(partitions(length, source)),
                kind if kind.size().is_some() => Value::Packed(Bytes::new()),
                kind => {
                    let values = (0..length).map(|_| one(of, field, kind, source));
                    Value::Array(values.collect())
                }
            }
        } else {
            one(of, field, field.kind(), source)
        };
        of.set(field.name(), value);
    }
    partition_numbers(of);
}

fn partitions(length: usize, source: &mut impl Source) -> Vec<i32> {
    let first = source.below(3) as i32;
    (0..length as i32).map(|at| first + at).collect()
}

fn one(of: &Struct, field: &Field, kind: Kind, source: &mut impl Source) -> Value {
    let name = field.name();
    let key = name == "Key" && of.layout().api().0 == 10;
    let named =
        key || NAMES.contains(&name) || field.entity().is_some_and(|e| ENTITIES.contains(&e));
    match (name, kind) {
        (_, Kind::Struct(_)) => {
            let mut inner = of.child(name).unwrap();
            fill(&mut inner, source);
            inner.into()
        }
        (_, Kind::String) if named => source.name().as_str().into(),
        (_, Kind::String) => "x".into(),
        (_, Kind::Bytes) => Value::Bytes(Bytes::from_static(b"b")),
        (_, Kind::Records) => Value::Records(Bytes::new()),
        // Versions of Metadata before 12 take no ids.
        ("TopicId", Kind::Uuid) if of.layout().api().0 == 3 && of.layout().version() < 12 => {
            Value::Uuid([0; 16])
        }
        (_, Kind::Uuid) => Value::Uuid(source.id()),
        (_, Kind::Bool) => (source.below(2) == 1).into(),
        ("ResourceType", Kind::Int8) => {
            // The older way to change configurations knows no loggers (8).
            let kinds = [2_i8, 4, 16, 32, 8];
            let known = if of.layout().api().0 == 33 { 4 } else { 5 };
            kinds[source.below(known) as usize].into()
        }
        ("ResourceType" | "Operation" | "PermissionType", _) => 2_i8.into(),
        ("KeyType", _) => (source.below(3) as i8).into(),
        (_, Kind::Int8) => 1_i8.into(),
        (_, Kind::Int16) => 1_i16.into(),
        (_, Kind::Uint16) => Value::Uint16(1),
        (_, Kind::Int32) => 1.into(),
        (_, Kind::Int64) => 1_i64.into(),
        (_, Kind::Float64) => Value::Float64(1.0),
    }
}

/// No partition is named twice in one list.
fn partition_numbers(of: &mut Struct) {
    if let Some(Value::Array(partitions)) = of.get_mut("Partitions") {
        for (at, value) in partitions.iter_mut().enumerate() {
            if let Value::Struct(partition) = value {
                for field in ["PartitionIndex", "Partition"] {
                    partition.set(field, at as i32);
                }
            }
        }
    }
}
