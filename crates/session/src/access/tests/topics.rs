//! APIs that name topics and partitions: what is cut, and where it comes back.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::super::{Verdict, tree};
use super::broker::respond;
use super::world::{World, entry, request, with};

use Operation::{ClusterAction, Delete, Describe, Read, Write};
use ResourceType::{Cluster, Group, Topic, TransactionalId};

/// An API, what it needs beside topics, and what on topics; where a topic and
/// its partitions are in request and response.
struct Api {
    key: i16,
    last: i16,
    also: &'static [(Operation, ResourceType, &'static str)],
    operation: Operation,
    asked: (
        &'static str,
        &'static str,
        &'static str,
        Option<&'static str>,
    ),
    answered: (
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        &'static str,
    ),
    /// Whether refused topics come last; else in the order of the request.
    last_refused: bool,
}

const STRUCTS: (&str, &str, &str, Option<&str>) =
    ("Topics", "Name", "Partitions", Some("PartitionIndex"));
const ANSWERED: (&str, &str, &str, &str, &str) = (
    "Topics",
    "Name",
    "Partitions",
    "PartitionIndex",
    "ErrorCode",
);

const LIST_OFFSETS: Api = Api {
    key: 2,
    last: 11,
    also: &[],
    operation: Describe,
    asked: STRUCTS,
    answered: ANSWERED,
    last_refused: true,
};

const APIS: &[Api] = &[
    LIST_OFFSETS,
    Api {
        key: 8,
        last: 9,
        also: &[(Read, Group, "g")],
        operation: Read,
        last_refused: false,
        ..LIST_OFFSETS
    },
    Api {
        key: 9,
        last: 7,
        also: &[(Describe, Group, "g")],
        asked: ("Topics", "Name", "PartitionIndexes", None),
        ..LIST_OFFSETS
    },
    Api {
        key: 21,
        last: 2,
        operation: Delete,
        last_refused: false,
        ..LIST_OFFSETS
    },
    Api {
        key: 23,
        last: 4,
        asked: ("Topics", "Topic", "Partitions", Some("Partition")),
        answered: ("Topics", "Topic", "Partitions", "Partition", "ErrorCode"),
        ..LIST_OFFSETS
    },
    Api {
        key: 24,
        last: 3,
        also: &[(Write, TransactionalId, "t")],
        operation: Write,
        asked: ("V3AndBelowTopics", "Name", "Partitions", None),
        answered: (
            "ResultsByTopicV3AndBelow",
            "Name",
            "ResultsByPartition",
            "PartitionIndex",
            "PartitionErrorCode",
        ),
        last_refused: false,
    },
    Api {
        key: 28,
        last: 5,
        also: &[(Write, TransactionalId, "t"), (Read, Group, "g")],
        operation: Read,
        last_refused: false,
        ..LIST_OFFSETS
    },
    Api {
        key: 47,
        last: 0,
        also: &[(Delete, Group, "g")],
        operation: Read,
        last_refused: false,
        ..LIST_OFFSETS
    },
    Api {
        key: 61,
        last: 0,
        operation: Read,
        asked: ("Topics", "Name", "PartitionIndexes", None),
        last_refused: false,
        ..LIST_OFFSETS
    },
    Api {
        key: 91,
        last: 0,
        also: &[(Read, Group, "g")],
        operation: Read,
        asked: ("Topics", "TopicName", "Partitions", Some("PartitionIndex")),
        answered: (
            "Responses",
            "TopicName",
            "Partitions",
            "PartitionIndex",
            "ErrorCode",
        ),
        last_refused: false,
    },
];

// === impl Api ===

impl Api {
    fn request(&self, version: i16, topics: &[(&str, &[i32])]) -> Struct {
        let mut request = request(self.key, version);
        request.set("GroupId", "g");
        request.set("TransactionalId", "t");
        request.set("V3AndBelowTransactionalId", "t");
        let (array, name, list, index) = self.asked;
        for (topic, partitions) in topics {
            let mut entry = entry(&request, array, &[(name, (*topic).into())]);
            match index {
                None => assert!(entry.set(list, Value::ints(partitions.iter().copied()))),
                Some(index) => {
                    for at in *partitions {
                        let partition = super::world::entry(&entry, list, &[(index, (*at).into())]);
                        tree::push(&mut entry, list, partition);
                    }
                }
            }
            tree::push(&mut request, array, entry);
        }
        request
    }

    fn world(&self, topics: &[&str]) -> World {
        let of_topics = topics.iter().map(|topic| (self.operation, Topic, *topic));
        World::may(
            &of_topics
                .chain(self.also.iter().copied())
                .collect::<Vec<_>>(),
        )
    }

    fn sent(&self, request: &Struct) -> Vec<String> {
        let (array, name, list, index) = self.asked;
        let topics = request.structs(array).map(|topic| {
            let partitions = match index {
                None => tree::ints(topic, list),
                Some(index) => topic.structs(list).map(|p| p.int(index) as i32).collect(),
            };
            format!("{} {partitions:?}", topic.str(name).unwrap())
        });
        topics.collect()
    }

    /// `topic [partition error, …]`.
    fn said(&self, response: &Struct) -> Vec<String> {
        let (array, name, list, index, error) = self.answered;
        let topics = response.structs(array).map(|topic| {
            let partitions: Vec<_> = topic
                .structs(list)
                .map(|partition| (partition.int(index), partition.int(error)))
                .collect();
            format!("{} {partitions:?}", topic.str(name).unwrap())
        });
        topics.collect()
    }
}

const ASKED: &[(&str, &[i32])] = &[("no", &[0, 1]), ("yes", &[5]), ("never", &[7])];

#[test]
fn allowed_topics_pass() {
    for api in APIS {
        for version in 0..=api.last {
            api.world(&["no", "yes", "never"])
                .passes(&api.request(version, ASKED));
        }
    }
}

#[test]
fn refused_topics_are_answered() {
    for api in APIS {
        for version in 0..=api.last {
            let asked = api.request(version, ASKED);
            let world = api.world(&[]);
            let said = match world.decide(&asked) {
                Verdict::Answer(answer) => api.said(&answer),
                // The coordinator is asked about the group all the same.
                Verdict::Cut(sent, amend) => {
                    assert!([9, 47, 91].contains(&api.key) && api.sent(&sent).is_empty());
                    let mut response = respond(&sent);
                    amend.apply(&world.access(), &mut response);
                    api.said(&response)
                }
                other => panic!("{asked:?} {other:?}"),
            };
            let expected = ["no [(0, 29), (1, 29)]", "yes [(5, 29)]", "never [(7, 29)]"];
            assert_eq!(said, expected, "{} {version}", api.key);
        }
    }
}

#[test]
fn partly_refused_topics_come_back() {
    for api in APIS {
        for version in 0..=api.last {
            let asked = api.request(version, ASKED);
            let [sent, response] = api.world(&["yes"]).amended(&asked, respond);
            let mut left = api.sent(&sent);
            // The topic that every client is refused keeps the others from being added.
            if api.key == 24 {
                assert_eq!(left.pop().unwrap(), "__consumer_offsets [0]");
            }
            assert_eq!(left, ["yes [5]"]);
            let yes = if api.key == 24 {
                "yes [(5, 55)]"
            } else {
                "yes [(5, 0)]"
            };
            let (no, never) = ("no [(0, 29), (1, 29)]", "never [(7, 29)]");
            let expected = match api.key {
                21 | 24 | 61 => [no, yes, never],
                _ if api.last_refused => [yes, no, never],
                _ => [no, never, yes],
            };
            assert_eq!(api.said(&response), expected, "{} {version}", api.key);
        }
    }
}

/// Coordinators' answers come after what the broker itself refuses: topics that
/// do not exist, in the order of the request among those that are denied.
#[test]
fn refused_topics_go_among_unknown_ones() {
    let asked: &[(&str, &[i32])] = &[("yes", &[0]), ("gone", &[1]), ("no", &[2]), ("lost", &[3])];
    for api in APIS.iter().filter(|api| [8, 28, 47, 91].contains(&api.key)) {
        let (array, name, list, _, error) = api.answered;
        let [_, response] =
            api.world(&["yes", "gone", "lost"])
                .amended(&api.request(api.last, asked), |sent| {
                    let mut response = respond(sent);
                    let topics = tree::array(&mut response, array).unwrap();
                    topics.rotate_left(1);
                    for topic in tree::structs_mut(&mut response, array) {
                        if topic.str(name) != Some("yes") {
                            for partition in tree::structs_mut(topic, list) {
                                partition.set(error, 3_i16);
                            }
                        }
                    }
                    response
                });
        let said = api.said(&response);
        assert_eq!(
            said,
            [
                "gone [(1, 3)]",
                "no [(2, 29)]",
                "lost [(3, 3)]",
                "yes [(0, 0)]"
            ]
        );
    }
}

#[test]
fn a_group_that_is_refused_says_nothing_of_topics() {
    for (key, version) in [(9, 2), (9, 7), (47, 0), (91, 0)] {
        let api = APIS.iter().find(|api| api.key == key).unwrap();
        let [_, response] = api
            .world(&["yes"])
            .amended(&api.request(version, ASKED), |_| {
                with(
                    super::world::response(key, version),
                    &[("ErrorCode", 69_i16.into())],
                )
            });
        assert_eq!(response.int("ErrorCode"), 69);
        assert!(api.said(&response).is_empty());
    }
}

/// APIs about the offsets of groups, which know no partitions.
const OFFSETS: [i16; 5] = [8, 9, 28, 47, 92];

#[test]
fn partitions_are_told_apart() {
    let asked: &[(&str, &[i32])] = &[("part", &[3, 0, 2, 1]), ("yes", &[0])];
    for api in APIS.iter().filter(|api| api.key != 91) {
        for version in 0..=api.last {
            let asked = api.request(version, asked);
            let world = api
                .world(&["yes"])
                .on_partitions(api.operation, "part", "0-1");
            if OFFSETS.contains(&api.key) {
                world.passes(&asked);
                continue;
            }
            let [sent, response] = world.amended(&asked, respond);
            assert_eq!(api.sent(&sent)[..2], ["part [0, 1]", "yes [0]"]);
            let ok = if api.key == 24 { 55 } else { 0 };
            let part = format!("part [(3, 29), (0, {ok}), (2, 29), (1, {ok})]");
            let yes = format!("yes [(0, {ok})]");
            assert_eq!(api.said(&response), [part, yes], "{} {version}", api.key);
        }
    }
}

#[test]
fn a_denied_partition_of_an_allowed_topic_is_refused() {
    let asked: &[(&str, &[i32])] = &[("yes", &[0, 1])];
    let api = &LIST_OFFSETS;
    let mut rule = super::world::rule((Describe, Topic, "yes"));
    rule.acl.operation = Operation::All;
    rule.acl.permission = tubeway_policy::acl::Permission::Deny;
    rule.partitions = Some("1".parse().unwrap());
    let world = World::of(vec![super::world::rule((Read, Topic, "yes")), rule]);
    let [sent, response] = world.amended(&api.request(5, asked), respond);
    assert_eq!(api.sent(&sent), ["yes [0]"]);
    assert_eq!(api.said(&response), ["yes [(0, 0), (1, 29)]"]);
}

/// Error, and what else a refused partition says.
#[test]
fn refused_partitions_have_kafkas_defaults() {
    type Defaults = [(&'static str, i64)];
    let cases: &[(i16, i16, &str, &Defaults)] = &[
        (
            2,
            11,
            "Partitions",
            &[("Timestamp", -1), ("Offset", -1), ("LeaderEpoch", -1)],
        ),
        (
            9,
            7,
            "Partitions",
            &[("CommittedOffset", -1), ("CommittedLeaderEpoch", -1)],
        ),
        (21, 2, "Partitions", &[("LowWatermark", -1)]),
        (
            23,
            4,
            "Partitions",
            &[("LeaderEpoch", -1), ("EndOffset", -1)],
        ),
    ];
    for (key, version, list, values) in cases {
        let api = APIS.iter().find(|api| api.key == *key).unwrap();
        let [_, response] = api
            .world(&["yes"])
            .amended(&api.request(*version, ASKED), respond);
        let topic = response
            .structs("Topics")
            .find(|topic| topic.str(api.answered.1) == Some("no"));
        let partition = topic.unwrap().structs(list).next().unwrap();
        for (field, value) in *values {
            assert_eq!(partition.int(field), *value, "{key} {field}");
        }
    }
}

#[test]
fn producers_messages_are_kafkas() {
    let api = APIS.iter().find(|api| api.key == 61).unwrap();
    let answer = api.world(&[]).answer(&api.request(0, ASKED));
    let topic = answer.structs("Topics").next().unwrap();
    let partition = topic.structs("Partitions").next().unwrap();
    assert_eq!(
        partition.str("ErrorMessage"),
        Some("Topic authorization failed.")
    );
    // A name that no topic can have is the broker's to refuse.
    let asked: &[(&str, &[i32])] = &[("no/topic", &[0])];
    api.world(&[]).passes(&api.request(0, asked));
}

#[test]
fn brokers_compare_epochs_of_all_topics() {
    let world = World::may(&[(ClusterAction, Cluster, "kafka-cluster")]);
    let api = APIS.iter().find(|api| api.key == 23).unwrap();
    world.passes(&api.request(4, ASKED));
}

/// If the broker let the probe through, it still is not the caller's.
#[test]
fn internal_topics_are_refused_by_the_broker() {
    let api = APIS.iter().find(|api| api.key == 24).unwrap();
    let asked: &[(&str, &[i32])] = &[("__consumer_offsets", &[4]), ("no", &[0])];
    let [sent, _] = api.world(&[]).amended(&api.request(3, asked), respond);
    assert_eq!(api.sent(&sent), ["__consumer_offsets [4]"]);
}

/// Versions of OffsetFetch without an error of the whole request have the
/// coordinator's in every partition.
#[test]
fn a_coordinators_error_is_every_partitions() {
    let api = APIS.iter().find(|api| api.key == 9).unwrap();
    for version in 0..2 {
        for (error, expected) in [
            (
                16_i16,
                ["no [(0, 16), (1, 16)]", "yes [(5, 16)]", "never [(7, 16)]"],
            ),
            (
                3,
                ["yes [(5, 3)]", "no [(0, 29), (1, 29)]", "never [(7, 29)]"],
            ),
        ] {
            let asked = api.request(version, ASKED);
            let [_, response] = api.world(&["yes"]).amended(&asked, |sent| {
                let mut response = respond(sent);
                for topic in tree::structs_mut(&mut response, "Topics") {
                    for partition in tree::structs_mut(topic, "Partitions") {
                        partition.set("ErrorCode", error);
                    }
                }
                response
            });
            assert_eq!(api.said(&response), expected);
        }
    }
}
