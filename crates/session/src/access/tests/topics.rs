//! APIs that name topics and partitions: what is cut, and where it comes back.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::super::{NameOf, Questions, Verdict, tree};
use super::broker::respond;
use super::world::{World, entry, id, request, versions, with};

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

#[test]
fn partitions_are_told_apart() {
    let asked: &[(&str, &[i32])] = &[("part", &[3, 0, 2, 1]), ("yes", &[0])];
    for api in APIS.iter().filter(|api| api.key != 91) {
        for version in 0..=api.last {
            let asked = api.request(version, asked);
            let world = api
                .world(&["yes"])
                .on_partitions(api.operation, "part", "0-1");
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
    let cases: &[(i16, i16, &str, &[(&str, i64)])] = &[
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

fn by_id(key: i16, ids: &[u8]) -> Struct {
    let mut request = with(request(key, 10), &[]);
    request.set("GroupId", "g");
    for number in ids {
        let mut topic = entry(&request, "Topics", &[("TopicId", Value::Uuid(id(*number)))]);
        let partition = entry(&topic, "Partitions", &[("PartitionIndex", 1.into())]);
        tree::push(&mut topic, "Partitions", partition);
        tree::push(&mut request, "Topics", topic);
    }
    request
}

#[test]
fn ids_are_resolved_first() {
    let mut world = World::may(&[(Read, Group, "g"), (Read, Topic, "yes")]).called(1, "no");
    let asked = by_id(8, &[1, 2, 3, 2]);
    match world.decide(&asked) {
        Verdict::Ask(Questions { ids, topics }) => {
            assert_eq!((ids, topics.len()), (vec![id(2), id(3)], 0));
        }
        other => panic!("{other:?}"),
    }
    world.names.insert(id(2), NameOf::Known("yes".into()));
    world.names.insert(id(3), NameOf::NoSuchTopic);
    let [sent, response] = world.amended(&by_id(8, &[1, 2, 3]), |sent| {
        let mut response = super::world::response(8, 10);
        // The broker does not know the last one, and says so first.
        for topic in sent.structs("Topics").collect::<Vec<_>>().into_iter().rev() {
            let id = tree::uuid(topic, "TopicId");
            let mut answered = entry(&response, "Topics", &[("TopicId", Value::Uuid(id))]);
            let error = if id == super::world::id(3) {
                100_i16
            } else {
                0
            };
            let values = [("PartitionIndex", 1.into()), ("ErrorCode", error.into())];
            let partition = entry(&answered, "Partitions", &values);
            tree::push(&mut answered, "Partitions", partition);
            tree::push(&mut response, "Topics", answered);
        }
        response
    });
    assert_eq!(sent.structs("Topics").count(), 2);
    let said: Vec<_> = response
        .structs("Topics")
        .map(|topic| {
            let partition = topic.structs("Partitions").next().unwrap();
            (tree::uuid(topic, "TopicId")[15], partition.int("ErrorCode"))
        })
        .collect();
    assert_eq!(said, [(1, 29), (3, 100), (2, 0)]);
}

fn fetch(version: i16, groups: &[(&str, Option<&[&str]>)]) -> Struct {
    let mut request = request(9, version);
    for (name, topics) in groups {
        let mut group = entry(&request, "Groups", &[("GroupId", (*name).into())]);
        if topics.is_none() {
            group.set("Topics", Value::Null);
        }
        for topic in topics.unwrap_or(&[]) {
            let values = [
                ("Name", (*topic).into()),
                ("PartitionIndexes", Value::ints([0])),
            ];
            let topic = entry(&group, "Topics", &values);
            tree::push(&mut group, "Topics", topic);
        }
        tree::push(&mut request, "Groups", group);
    }
    request
}

/// `group error [topic error, …]`.
fn fetched(response: &Struct) -> Vec<String> {
    let groups = response.structs("Groups").map(|group| {
        let topics: Vec<_> = group
            .structs("Topics")
            .map(|topic| {
                let error = topic
                    .structs("Partitions")
                    .next()
                    .map_or(0, |p| p.int("ErrorCode"));
                format!("{} {error}", topic.str("Name").unwrap())
            })
            .collect();
        format!(
            "{} {} {topics:?}",
            group.str("GroupId").unwrap(),
            group.int("ErrorCode")
        )
    });
    groups.collect()
}

#[test]
fn offsets_of_several_groups() {
    let world = World::may(&[
        (Describe, Group, "g"),
        (Describe, Group, "h"),
        (Read, Topic, "yes"),
    ]);
    for version in 8..=9 {
        let groups: &[(&str, Option<&[&str]>)] = &[
            ("no", Some(&["yes"])),
            ("g", Some(&["no", "yes"])),
            ("h", None),
            ("never", None),
            ("g", Some(&["yes"])),
            ("h", Some(&["no"])),
        ];
        let [sent, response] = world.amended(&fetch(version, groups), |sent| {
            let mut response = respond(sent);
            let all = tree::structs_mut(&mut response, "Groups").nth(1).unwrap();
            for topic in ["no", "yes", "never"] {
                let topic = entry(all, "Topics", &[("Name", topic.into())]);
                tree::push(all, "Topics", topic);
            }
            response
        });
        let sent: Vec<_> = sent
            .structs("Groups")
            .map(|group| group.str("GroupId").unwrap())
            .collect();
        assert_eq!(sent, ["g", "h", "g", "h"]);
        let expected = [
            r"no 30 []",
            r#"g 0 ["yes 0", "no 29"]"#,
            r#"h 0 ["yes 0"]"#,
            r"never 30 []",
            r#"g 0 ["yes 0"]"#,
            r#"h 0 ["no 29"]"#,
        ];
        assert_eq!(fetched(&response), expected);
        let all = World::nobody().answer(&fetch(version, groups));
        assert!(fetched(&all).iter().all(|group| group.ends_with(" 30 []")));
    }
}

#[test]
fn all_offsets_are_filtered() {
    for version in 2..=7 {
        let asked = with(
            request(9, version),
            &[("GroupId", "g".into()), ("Topics", Value::Null)],
        );
        let world = World::may(&[(Describe, Group, "g"), (Describe, Topic, "yes")]);
        let [_, response] = world.amended(&asked, |_| {
            let mut response = super::world::response(9, version);
            for topic in ["no", "yes"] {
                let topic = entry(&response, "Topics", &[("Name", topic.into())]);
                tree::push(&mut response, "Topics", topic);
            }
            response
        });
        assert_eq!(response.structs("Topics").count(), 1);
    }
}

#[test]
fn all_offsets_by_id_are_resolved_when_they_come() {
    let mut world =
        World::may(&[(Describe, Group, "g"), (Describe, Topic, "yes")]).called(1, "yes");
    let Verdict::Amend(amend) = world.decide(&fetch(10, &[("g", None)])) else {
        panic!("it is not amended");
    };
    let mut response = super::world::response(9, 10);
    let mut group = entry(&response, "Groups", &[("GroupId", "g".into())]);
    for number in [1, 2, 3] {
        let topic = entry(&group, "Topics", &[("TopicId", Value::Uuid(id(number)))]);
        tree::push(&mut group, "Topics", topic);
    }
    tree::push(&mut response, "Groups", group);
    assert_eq!(
        amend.ids_to_resolve(&world.access(), &response),
        [id(2), id(3)]
    );
    world.names.insert(id(2), NameOf::Known("no".into()));
    amend.apply(&world.access(), &mut response);
    let group = response.structs("Groups").next().unwrap();
    let left: Vec<_> = group
        .structs("Topics")
        .map(|topic| tree::uuid(topic, "TopicId"))
        .collect();
    assert_eq!(left, [id(1)]);
}

#[test]
fn share_offsets() {
    let world = World::may(&[
        (Describe, Group, "g"),
        (Delete, Group, "g"),
        (Read, Topic, "yes"),
    ]);
    for version in versions(90) {
        let mut asked = request(90, version);
        for name in ["no", "g"] {
            let mut group = entry(&asked, "Groups", &[("GroupId", name.into())]);
            for topic in ["no", "yes"] {
                let values = [
                    ("TopicName", topic.into()),
                    ("Partitions", Value::ints([0])),
                ];
                let topic = entry(&group, "Topics", &values);
                tree::push(&mut group, "Topics", topic);
            }
            tree::push(&mut asked, "Groups", group);
        }
        let [_, response] = world.amended(&asked, respond);
        let groups: Vec<_> = response.structs("Groups").collect();
        assert_eq!(
            (groups[0].int("ErrorCode"), groups[1].int("ErrorCode")),
            (30, 0)
        );
        let topics: Vec<_> = groups[1].structs("Topics").collect();
        assert_eq!(
            [0, 1].map(|at: usize| topics[at].str("TopicName")),
            [Some("yes"), Some("no")]
        );
        let partition = topics[1].structs("Partitions").next().unwrap();
        let said = (
            partition.int("ErrorCode"),
            partition.int("StartOffset"),
            partition.str("ErrorMessage"),
        );
        assert_eq!(said, (29, -1, Some("Topic authorization failed.")));
    }
    let mut asked = with(request(92, 0), &[("GroupId", "g".into())]);
    for topic in ["yes", "no"] {
        let topic = entry(&asked, "Topics", &[("TopicName", topic.into())]);
        tree::push(&mut asked, "Topics", topic);
    }
    let [_, response] = world.amended(&asked, respond);
    let said: Vec<_> = response
        .structs("Responses")
        .map(|topic| (topic.str("TopicName").unwrap(), topic.int("ErrorCode")))
        .collect();
    assert_eq!(said, [("no", 29), ("yes", 0)]);
}
