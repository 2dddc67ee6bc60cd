//! A broker that allows everything, and answers all that it is asked.

use tubeway_protocol::value::{Struct, Value};
use tubeway_protocol::{Direction, Schemas};

use super::super::tree;

/// How an API's response mirrors its request.
pub(super) struct Mirror {
    pub(super) api: i16,
    /// First and last version that this is about.
    pub(super) versions: (i16, i16),
    /// The array in which each entry of both is, if the rest is inside another.
    pub(super) group: Option<&'static str>,
    /// Array and name; an array of strings has no name.
    pub(super) asked: (&'static str, Option<&'static str>),
    pub(super) answered: (&'static str, &'static str),
    pub(super) partitions: Option<Partitions>,
}

/// The arrays of partitions, and the fields of their numbers.
pub(super) struct Partitions {
    asked: (&'static str, Option<&'static str>),
    answered: (&'static str, &'static str),
}

const ANY: (i16, i16) = (0, i16::MAX);

const fn topics(api: i16, partitions: Option<&'static str>) -> Mirror {
    let list = match partitions {
        Some(_) => "Partitions",
        None => "PartitionIndexes",
    };
    Mirror {
        api,
        versions: ANY,
        group: None,
        asked: ("Topics", Some("Name")),
        answered: ("Topics", "Name"),
        partitions: Some(Partitions {
            asked: (list, partitions),
            answered: ("Partitions", "PartitionIndex"),
        }),
    }
}

const fn names(api: i16, asked: &'static str, answered: (&'static str, &'static str)) -> Mirror {
    Mirror {
        api,
        versions: ANY,
        group: None,
        asked: (asked, None),
        answered,
        partitions: None,
    }
}

const fn structs(
    api: i16,
    asked: (&'static str, &'static str),
    answered: (&'static str, &'static str),
) -> Mirror {
    let mut mirror = names(api, asked.0, answered);
    mirror.asked.1 = Some(asked.1);
    mirror
}

const INDEX: Option<&str> = Some("PartitionIndex");

/// All APIs that answer about the things that they are asked about, one by one.
pub(super) static MIRRORS: &[Mirror] = &[
    topics(2, INDEX),
    structs(3, ("Topics", "Name"), ("Topics", "Name")),
    topics(8, INDEX),
    Mirror {
        versions: (0, 7),
        ..topics(9, None)
    },
    Mirror {
        versions: (8, i16::MAX),
        group: Some("Groups"),
        ..topics(9, None)
    },
    Mirror {
        versions: (4, i16::MAX),
        ..names(10, "CoordinatorKeys", ("Coordinators", "Key"))
    },
    names(15, "Groups", ("Groups", "GroupId")),
    structs(19, ("Topics", "Name"), ("Topics", "Name")),
    Mirror {
        versions: (0, 5),
        ..names(20, "TopicNames", ("Responses", "Name"))
    },
    Mirror {
        versions: (6, i16::MAX),
        ..structs(20, ("Topics", "Name"), ("Responses", "Name"))
    },
    topics(21, INDEX),
    Mirror {
        asked: ("Topics", Some("Topic")),
        answered: ("Topics", "Topic"),
        partitions: Some(Partitions {
            asked: ("Partitions", Some("Partition")),
            answered: ("Partitions", "Partition"),
        }),
        ..topics(23, INDEX)
    },
    Mirror {
        versions: (0, 3),
        asked: ("V3AndBelowTopics", Some("Name")),
        answered: ("ResultsByTopicV3AndBelow", "Name"),
        partitions: Some(Partitions {
            asked: ("Partitions", None),
            answered: ("ResultsByPartition", "PartitionIndex"),
        }),
        ..topics(24, None)
    },
    topics(28, INDEX),
    structs(
        32,
        ("Resources", "ResourceName"),
        ("Results", "ResourceName"),
    ),
    structs(
        33,
        ("Resources", "ResourceName"),
        ("Responses", "ResourceName"),
    ),
    structs(37, ("Topics", "Name"), ("Results", "Name")),
    names(42, "GroupsNames", ("Results", "GroupId")),
    structs(
        44,
        ("Resources", "ResourceName"),
        ("Responses", "ResourceName"),
    ),
    topics(47, INDEX),
    topics(61, None),
    names(
        65,
        "TransactionalIds",
        ("TransactionStates", "TransactionalId"),
    ),
    names(69, "GroupIds", ("Groups", "GroupId")),
    structs(75, ("Topics", "Name"), ("Topics", "Name")),
    names(77, "GroupIds", ("Groups", "GroupId")),
    names(89, "GroupIds", ("Groups", "GroupId")),
    Mirror {
        group: Some("Groups"),
        asked: ("Topics", Some("TopicName")),
        answered: ("Topics", "TopicName"),
        partitions: Some(Partitions {
            asked: ("Partitions", None),
            answered: ("Partitions", "PartitionIndex"),
        }),
        ..topics(90, None)
    },
    Mirror {
        asked: ("Topics", Some("TopicName")),
        answered: ("Responses", "TopicName"),
        ..topics(91, INDEX)
    },
    structs(92, ("Topics", "TopicName"), ("Responses", "TopicName")),
];

pub(super) fn mirror(request: &Struct) -> Option<&'static Mirror> {
    let (api, version) = (request.layout().api().0, request.layout().version());
    MIRRORS.iter().find(|mirror| {
        mirror.api == api && (mirror.versions.0..=mirror.versions.1).contains(&version)
    })
}

/// The broker's answer.
pub(super) fn respond(request: &Struct) -> Struct {
    let layout = request.layout();
    let response = Schemas::get().layout(layout.api(), layout.version(), Direction::Response);
    let mut response = Struct::message(response.unwrap());
    if let Some(mirror) = mirror(request) {
        mirror.respond(request, &mut response);
    }
    response
}

/// Topic, group or other name with a partition, as text; of a request or of its
/// response.
pub(super) type Things = Vec<String>;

// === impl Mirror ===

impl Mirror {
    fn respond(&self, request: &Struct, response: &mut Struct) {
        let Some(groups) = self.group else {
            return self.inside(request, response);
        };
        for asked in request.structs(groups) {
            let mut group = response.child(groups).unwrap();
            group.set("GroupId", tree::text(&tree::bytes(asked, "GroupId")));
            self.inside(asked, &mut group);
            tree::push(response, groups, group);
        }
    }

    fn inside(&self, asked: &Struct, answered: &mut Struct) {
        for value in tree::values(asked, self.asked.0) {
            let mut entry = answered.child(self.answered.0).unwrap();
            match value {
                Value::Struct(asked) => {
                    let name = asked.get(self.asked.1.unwrap()).cloned();
                    entry.set(self.answered.1, name.unwrap_or_default());
                    for field in ["TopicId", "ResourceType"] {
                        if let Some(value) = asked.get(field) {
                            entry.set(field, value.clone());
                        }
                    }
                    if let Some(partitions) = &self.partitions {
                        for index in partitions.of_request(asked) {
                            let mut partition = entry.child(partitions.answered.0).unwrap();
                            partition.set(partitions.answered.1, index);
                            tree::push(&mut entry, partitions.answered.0, partition);
                        }
                    }
                }
                name => {
                    entry.set(self.answered.1, name.clone());
                }
            }
            tree::push(answered, self.answered.0, entry);
        }
    }

    /// What a request asks about.
    pub(super) fn asked(&self, request: &Struct) -> Things {
        let mut things = Things::new();
        for (group, of) in self.groups(request) {
            for value in tree::values(of, self.asked.0) {
                let Value::Struct(topic) = value else {
                    things.push(format!("{group}{}", value.as_str().unwrap()));
                    continue;
                };
                let partitions = self.partitions.as_ref().map(|p| p.of_request(topic));
                things.extend(thing(&group, topic, self.asked.1.unwrap(), partitions));
            }
        }
        things.sort();
        things
    }

    /// What a response answers.
    pub(super) fn answered(&self, response: &Struct) -> Things {
        let mut things = Things::new();
        for (group, of) in self.groups(response) {
            for topic in of.structs(self.answered.0) {
                let partitions = self.partitions.as_ref().map(|partitions| {
                    let (list, index) = partitions.answered;
                    let int = |partition: &Struct| partition.int(index) as i32;
                    topic.structs(list).map(int).collect()
                });
                things.extend(thing(&group, topic, self.answered.1, partitions));
            }
        }
        things.sort();
        things
    }

    fn groups<'a>(&self, of: &'a Struct) -> Vec<(String, &'a Struct)> {
        let Some(groups) = self.group else {
            return vec![(String::new(), of)];
        };
        of.structs(groups)
            .map(|group| (format!("{} ", group.str("GroupId").unwrap()), group))
            .collect()
    }
}

fn thing(group: &str, topic: &Struct, name: &str, partitions: Option<Vec<i32>>) -> Things {
    let name = match topic.get("TopicId") {
        // A response of these APIs may hide the name.
        Some(Value::Uuid(id)) if [3, 20].contains(&topic.layout().api().0) && *id != [0; 16] => {
            format!("{id:?}")
        }
        _ => match topic.get(name) {
            Some(_) => topic.str(name).unwrap_or_default().to_owned(),
            None => format!("{:?}", tree::uuid(topic, "TopicId")),
        },
    };
    match partitions {
        None => vec![format!("{group}{name}")],
        Some(partitions) => partitions
            .into_iter()
            .map(|partition| format!("{group}{name}/{partition}"))
            .collect(),
    }
}

// === impl Partitions ===

impl Partitions {
    fn of_request(&self, topic: &Struct) -> Vec<i32> {
        match self.asked {
            (list, Some(index)) => topic
                .structs(list)
                .map(|partition| partition.int(index) as i32)
                .collect(),
            (list, None) => tree::ints(topic, list),
        }
    }
}
