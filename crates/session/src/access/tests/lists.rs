//! APIs that list groups, transactions, topics and configurations.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::super::{Exists, Verdict, tree};
use super::broker::respond;
use super::world::{World, entry, id, request, response, strings, versions, with};

use Operation::{All, Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read};
use ResourceType::{Cluster, Group, Topic, TransactionalId};

const CLUSTER: &str = "kafka-cluster";

/// `name error`.
fn said(response: &Struct, array: &str, name: &str) -> Vec<String> {
    let entries = response.structs(array).map(|entry| {
        format!(
            "{} {}",
            entry.str(name).unwrap_or("-"),
            entry.int("ErrorCode")
        )
    });
    entries.collect()
}

/// API, the request's names, the response's entries and names, a right, and what
/// becomes of `no`, `yes`, `never`.
type Listed = (
    i16,
    &'static str,
    (&'static str, &'static str),
    (Operation, ResourceType),
    [&'static str; 3],
);

const LISTED: &[Listed] = &[
    (
        15,
        "Groups",
        ("Groups", "GroupId"),
        (Describe, Group),
        ["no 30", "never 30", "yes 0"],
    ),
    (
        42,
        "GroupsNames",
        ("Results", "GroupId"),
        (Delete, Group),
        ["yes 0", "no 30", "never 30"],
    ),
    (
        65,
        "TransactionalIds",
        ("TransactionStates", "TransactionalId"),
        (Describe, TransactionalId),
        ["no 53", "yes 0", "never 53"],
    ),
    (
        69,
        "GroupIds",
        ("Groups", "GroupId"),
        (Describe, Group),
        ["no 30", "never 30", "yes 0"],
    ),
    (
        77,
        "GroupIds",
        ("Groups", "GroupId"),
        (Describe, Group),
        ["no 30", "never 30", "yes 0"],
    ),
    (
        89,
        "GroupIds",
        ("Groups", "GroupId"),
        (Describe, Group),
        ["no 30", "never 30", "yes 0"],
    ),
];

#[test]
fn names_are_cut_and_come_back() {
    for (api, asked, (array, name), (operation, kind), expected) in LISTED {
        for version in versions(*api) {
            let asked = with(
                request(*api, version),
                &[(*asked, strings(&["no", "yes", "never"]))],
            );
            let world = World::may(&[(*operation, *kind, "yes")]);
            let [_, response] = world.amended(&asked, respond);
            assert_eq!(said(&response, array, name), expected, "{api} {version}");
            let none = World::nobody().answer(&asked);
            let errors = expected.iter().filter(|entry| !entry.ends_with(" 0"));
            assert_eq!(said(&none, array, name).len(), errors.count() + 1);
            let all = World::may(&[(*operation, *kind, "*")]);
            let verdict = all.decide(&asked);
            assert!(
                matches!(verdict, Verdict::Pass | Verdict::Amend(_)),
                "{verdict:?}"
            );
        }
    }
}

#[test]
fn coordinators() {
    let world = World::may(&[(Read, Group, "yes"), (Describe, TransactionalId, "yes")]);
    for version in versions(10) {
        for (kind, code, message) in [
            (0_i8, 30, "Group authorization failed."),
            (1, 53, "Transactional Id authorization failed."),
            (
                2,
                42,
                "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details.",
            ),
        ] {
            let mut asked = request(10, version);
            if !asked.set("KeyType", kind) && kind > 0 || (kind == 2 && version == 6) {
                continue;
            }
            asked.set("Key", "no");
            if !asked.set("CoordinatorKeys", strings(&["no", "yes"])) {
                let answer = world.answer(&asked);
                assert_eq!(
                    (
                        answer.int("ErrorCode"),
                        answer.int("NodeId"),
                        answer.int("Port")
                    ),
                    (code, -1, -1)
                );
                assert_eq!(answer.str("ErrorMessage"), (version > 0).then_some(message));
                asked.set("Key", "yes");
                if kind < 2 {
                    world.passes(&asked);
                }
                continue;
            }
            let answer = if kind == 2 {
                world.answer(&asked)
            } else {
                world.amended(&asked, respond)[1].clone()
            };
            let found = said(&answer, "Coordinators", "Key");
            assert_eq!(
                found,
                [
                    format!("no {code}"),
                    format!("yes {}", if kind == 2 { code } else { 0 })
                ]
            );
            let first = answer.structs("Coordinators").next().unwrap();
            assert_eq!(
                (
                    first.int("NodeId"),
                    first.int("Port"),
                    first.str("ErrorMessage")
                ),
                (-1, -1, Some(""))
            );
        }
    }
    // Brokers only, and all keys at once.
    let asked = with(
        request(10, 6),
        &[
            ("KeyType", 2_i8.into()),
            ("CoordinatorKeys", strings(&["a", "b"])),
        ],
    );
    let answer = world.answer(&asked);
    assert_eq!(said(&answer, "Coordinators", "Key"), ["a 31", "b 31"]);
    let first = answer.structs("Coordinators").next().unwrap();
    assert_eq!(
        first.str("ErrorMessage"),
        Some("Cluster authorization failed.")
    );
}

#[test]
fn groups_are_listed_by_right() {
    for version in versions(16) {
        let list = |_: &Struct| {
            let mut listed = response(16, version);
            for name in ["no", "yes"] {
                let group = entry(&listed, "Groups", &[("GroupId", name.into())]);
                tree::push(&mut listed, "Groups", group);
            }
            listed
        };
        let [_, some] = World::may(&[(Read, Group, "yes")]).amended(&request(16, version), list);
        assert_eq!(said(&some, "Groups", "GroupId"), ["yes 0"]);
        World::may(&[(Describe, Cluster, CLUSTER)]).passes(&request(16, version));
    }
}

#[test]
fn transactions_are_listed_by_right() {
    for version in versions(66) {
        let world = World::may(&[(Describe, TransactionalId, "yes")]);
        let [_, some] = world.amended(&request(66, version), |_| {
            let mut listed = response(66, version);
            for name in ["no", "yes"] {
                let one = entry(
                    &listed,
                    "TransactionStates",
                    &[("TransactionalId", name.into())],
                );
                tree::push(&mut listed, "TransactionStates", one);
            }
            listed
        });
        assert_eq!(some.structs("TransactionStates").count(), 1);
    }
}

#[test]
fn a_transactions_topics_are_shown_by_right() {
    let world = World::may(&[(Describe, TransactionalId, "t"), (Describe, Topic, "yes")]);
    let asked = with(request(65, 0), &[("TransactionalIds", strings(&["t"]))]);
    let [_, shown] = world.amended(&asked, |sent| {
        let mut shown = respond(sent);
        let state = tree::structs_mut(&mut shown, "TransactionStates")
            .next()
            .unwrap();
        for topic in ["no", "yes"] {
            let topic = entry(state, "Topics", &[("Topic", topic.into())]);
            tree::push(state, "Topics", topic);
        }
        shown
    });
    let state = shown.structs("TransactionStates").next().unwrap();
    let topics: Vec<_> = state
        .structs("Topics")
        .map(|topic| topic.str("Topic").unwrap())
        .collect();
    assert_eq!(topics, ["yes"]);
}

#[test]
fn a_groups_operations_are_the_callers() {
    for (api, first, field) in [
        (15, 3, "Groups"),
        (69, 0, "GroupIds"),
        (77, 0, "GroupIds"),
        (89, 0, "GroupIds"),
    ] {
        for version in versions(api).filter(|version| *version >= first) {
            for include in [true, false] {
                let values = [
                    (field, strings(&["yes", "gone", "no"])),
                    ("IncludeAuthorizedOperations", include.into()),
                ];
                let asked = with(request(api, version), &values);
                let world = World::may(&[(Read, Group, "yes"), (Describe, Group, "gone")]);
                let [_, described] = world.amended(&asked, |sent| {
                    let mut described = respond(sent);
                    let gone = tree::structs_mut(&mut described, "Groups").nth(1).unwrap();
                    gone.set("ErrorCode", 69_i16);
                    described
                });
                let operations: Vec<_> = described
                    .structs("Groups")
                    .map(|group| group.int("AuthorizedOperations"))
                    .collect();
                let none = i64::from(i32::MIN);
                let of_yes = if include { 1 << 3 | 1 << 8 } else { none };
                assert_eq!(operations, [none, of_yes, none], "{api} {version}");
            }
        }
    }
}

/// A group with a topic that the caller may not see is not described.
#[test]
fn groups_with_hidden_topics() {
    let members = "The group has described topic(s) that the client is not authorized to describe.";
    let topology = "The described group uses topics that the client is not authorized to describe.";
    let world = World::may(&[(Describe, Group, "*"), (Describe, Topic, "yes")]);
    let cases: [(i16, &[&str], &str); 4] = [
        (69, &["Assignment"], members),
        (69, &["TargetAssignment"], members),
        (77, &["Assignment"], members),
        (89, &["Topology"], topology),
    ];
    for (api, path, message) in cases {
        for version in versions(api) {
            let asked = with(
                request(api, version),
                &[
                    ("GroupIds", strings(&["a", "b"])),
                    ("IncludeAuthorizedOperations", true.into()),
                ],
            );
            let [_, described] = world.amended(&asked, |sent| {
                let mut described = respond(sent);
                for (group, topic) in tree::structs_mut(&mut described, "Groups").zip(["yes", "no"])
                {
                    uses(group, path[0], topic);
                }
                described
            });
            assert_eq!(said(&described, "Groups", "GroupId"), ["a 0", "b 29"]);
            let hidden = described.structs("Groups").nth(1).unwrap();
            assert_eq!(hidden.str("ErrorMessage"), Some(message));
            assert_eq!(hidden.structs("Members").count(), 0);
            assert_eq!(hidden.int("AuthorizedOperations"), i64::from(i32::MIN));
        }
    }
}

fn uses(group: &mut Struct, field: &str, topic: &str) {
    if field == "Topology" {
        let blank = group.child("Topology").unwrap();
        let part = entry(
            &blank,
            "Subtopologies",
            &[("SourceTopics", strings(&[topic]))],
        );
        group.set(
            "Topology",
            with(blank, &[("Subtopologies", vec![part].into())]),
        );
        return;
    }
    let mut member = entry(group, "Members", &[("MemberId", "m".into())]);
    let blank = member.child(field).unwrap();
    let topic = entry(&blank, "TopicPartitions", &[("TopicName", topic.into())]);
    member.set(
        field,
        with(blank, &[("TopicPartitions", vec![topic].into())]),
    );
    tree::push(group, "Members", member);
}

fn named(api: i16, version: i16, names: &[&str]) -> Struct {
    let mut asked = request(api, version);
    for name in names {
        let topic = entry(&asked, "Topics", &[("Name", (*name).into())]);
        tree::push(&mut asked, "Topics", topic);
    }
    asked
}

#[test]
fn topics_are_created_by_right() {
    for version in versions(19) {
        let asked = named(
            19,
            version,
            &["no", "yes", "twice", "twice", "__cluster_metadata"],
        );
        let world = World::may(&[(Create, Topic, "yes"), (DescribeConfigs, Topic, "yes")]);
        let [_, created] = world.amended(&asked, respond);
        let expected = ["yes 0", "twice 42", "no 29", "__cluster_metadata 42"];
        assert_eq!(said(&created, "Topics", "Name"), expected);
        if version >= 1 {
            let messages: Vec<_> = created
                .structs("Topics")
                .skip(1)
                .map(|topic| topic.str("ErrorMessage").unwrap().to_owned())
                .collect();
            assert_eq!(
                messages,
                [
                    "Duplicate topic name.",
                    "Authorization failed.",
                    "Creation of internal topic __cluster_metadata is prohibited."
                ]
            );
        }
        if version >= 5 {
            let no = created.structs("Topics").nth(2).unwrap();
            let said = (
                no.int("NumPartitions"),
                no.int("ReplicationFactor"),
                no.get("Configs").cloned(),
            );
            assert_eq!(said, (-1, -1, Some(Value::Array(vec![]))));
        }
        let everything = World::may(&[(Create, Cluster, CLUSTER)]);
        let verdict = everything.decide(&asked);
        assert!(
            matches!(verdict, Verdict::Pass | Verdict::Amend(_)),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_new_topics_configuration_is_shown_by_right() {
    for version in 5..=7 {
        let asked = named(19, version, &["a", "b", "c"]);
        let world = World::may(&[(Create, Cluster, CLUSTER), (DescribeConfigs, Topic, "a")]);
        let [_, created] = world.amended(&asked, |sent| {
            let mut created = respond(sent);
            for (topic, error) in tree::structs_mut(&mut created, "Topics").zip([0_i16, 0, 36]) {
                topic.set("ErrorCode", error);
                topic.set("NumPartitions", 3);
                topic.set("ReplicationFactor", 2_i16);
                let config = entry(topic, "Configs", &[("Name", "c".into())]);
                tree::push(topic, "Configs", config);
            }
            created
        });
        let shown: Vec<_> = created
            .structs("Topics")
            .map(|topic| {
                let configs = topic.structs("Configs").count();
                (
                    topic.int("TopicConfigErrorCode"),
                    topic.int("NumPartitions"),
                    topic.int("ReplicationFactor"),
                    configs,
                )
            })
            .collect();
        assert_eq!(shown, [(0, 3, 2, 1), (29, -1, -1, 0), (0, 3, 2, 1)]);
    }
}

#[test]
fn partitions_are_added_by_right() {
    for version in versions(37) {
        let asked = named(37, version, &["no", "yes", "twice", "twice"]);
        let [_, added] = World::may(&[(Alter, Topic, "yes")]).amended(&asked, respond);
        assert_eq!(
            said(&added, "Results", "Name"),
            ["twice 42", "no 29", "yes 0"]
        );
        let no = added.structs("Results").nth(1).unwrap();
        assert!(tree::is_null(no, "ErrorMessage"));
    }
}

#[test]
fn topics_are_deleted_by_name() {
    let mut world = World::may(&[
        (Delete, Topic, "yes"),
        (Describe, Topic, "seen"),
        (Read, Topic, "gone"),
    ]);
    for version in versions(20) {
        let mut asked = request(20, version);
        let names = ["yes", "no", "seen", "gone", "no2", "no2"];
        if !asked.set("TopicNames", strings(&names)) {
            asked = named(20, version, &names);
        }
        world.topics.clear();
        match world.decide(&asked) {
            Verdict::Ask(questions) => assert_eq!(questions.topics, ["seen".into(), "gone".into()]),
            other => panic!("{other:?}"),
        }
        world.topics.insert("seen", Exists::Yes);
        world.topics.insert("gone", Exists::No);
        let [_, deleted] = world.amended(&asked, respond);
        let expected = ["yes 0", "no 29", "seen 29", "gone 3", "no2 42"];
        assert_eq!(said(&deleted, "Responses", "Name"), expected);
        if version >= 5 {
            let messages: Vec<_> = deleted
                .structs("Responses")
                .skip(1)
                .map(|topic| topic.str("ErrorMessage").unwrap().to_owned())
                .collect();
            let denied = "Topic authorization failed.";
            let gone = "This server does not host this topic-partition.";
            assert_eq!(messages, [denied, denied, gone, "Duplicate topic name."]);
        }
        World::may(&[(Delete, Cluster, CLUSTER)]).passes(&asked);
    }
}

#[test]
fn topics_are_deleted_by_id() {
    let world = World::may(&[(Delete, Topic, "yes"), (Describe, Topic, "seen")])
        .called(1, "yes")
        .called(2, "no")
        .called(3, "seen");
    let mut asked = request(20, 6);
    for number in [1, 2, 3] {
        let topic = entry(&asked, "Topics", &[("TopicId", Value::Uuid(id(number)))]);
        tree::push(&mut asked, "Topics", topic);
    }
    let both = [("Name", "no".into()), ("TopicId", Value::Uuid(id(2)))];
    let both = entry(&asked, "Topics", &both);
    tree::push(&mut asked, "Topics", both);
    let [sent, deleted] = world.amended(&asked, respond);
    assert_eq!(sent.structs("Topics").count(), 1);
    let ids: Vec<_> = deleted
        .structs("Responses")
        .map(|topic| tree::uuid(topic, "TopicId")[15])
        .collect();
    assert_eq!(ids, [1, 2, 3, 2]);
    assert_eq!(
        said(&deleted, "Responses", "Name"),
        ["- 0", "- 29", "seen 29", "no 42"]
    );
    let unknown = super::super::NameOf::NoSuchTopic;
    let mut nobody = World::nobody();
    nobody.names.insert(id(9), unknown);
    let topic = entry(
        &request(20, 6),
        "Topics",
        &[("TopicId", Value::Uuid(id(9)))],
    );
    nobody.passes(&with(request(20, 6), &[("Topics", vec![topic].into())]));
}

fn configured(api: i16, version: i16, resources: &[(i8, &str)]) -> Struct {
    let mut asked = request(api, version);
    for (kind, name) in resources {
        let values = [
            ("ResourceType", (*kind).into()),
            ("ResourceName", (*name).into()),
        ];
        let resource = entry(&asked, "Resources", &values);
        tree::push(&mut asked, "Resources", resource);
    }
    asked
}

const RESOURCES: &[(i8, &str)] = &[
    (2, "no"),
    (32, "no"),
    (4, "1"),
    (16, "m"),
    (2, "yes"),
    (32, "yes"),
];

#[test]
fn configurations_are_described_by_right() {
    let world = World::may(&[
        (AlterConfigs, Topic, "yes"),
        (DescribeConfigs, Group, "yes"),
    ]);
    for version in versions(32) {
        let [_, described] = world.amended(&configured(32, version, RESOURCES), respond);
        let expected = ["yes 0", "yes 0", "no 29", "no 30", "1 31", "m 31"];
        assert_eq!(said(&described, "Results", "ResourceName"), expected);
        let messages: Vec<_> = described
            .structs("Results")
            .skip(2)
            .map(|one| one.str("ErrorMessage").unwrap().to_owned())
            .collect();
        let [topic, group, cluster] =
            ["Topic", "Group", "Cluster"].map(|kind| format!("{kind} authorization failed."));
        assert_eq!(messages, [topic, group, cluster.clone(), cluster]);
        World::may(&[(DescribeConfigs, Cluster, CLUSTER)]).passes(&configured(
            32,
            version,
            &[(4, "1"), (8, "1"), (16, "m")],
        ));
        // One kind that there is not refuses the whole request.
        let answer = world.answer(&configured(32, version, &[(2, "yes"), (3, "x")]));
        assert_eq!(said(&answer, "Results", "ResourceName"), ["yes 42", "x 42"]);
    }
}

#[test]
fn configurations_are_changed_by_right() {
    let world = World::may(&[(AlterConfigs, Topic, "yes"), (All, Group, "yes")]);
    for api in [33, 44] {
        for version in versions(api) {
            let [_, changed] = world.amended(&configured(api, version, RESOURCES), respond);
            let expected = ["no 29", "no 30", "1 31", "m 31", "yes 0", "yes 0"];
            assert_eq!(said(&changed, "Responses", "ResourceName"), expected);
            let twice = world.answer(&configured(api, version, &[(2, "no"), (2, "no")]));
            assert_eq!(
                said(&twice, "Responses", "ResourceName"),
                ["no 42", "no 42"]
            );
        }
    }
    // Loggers are changed by the newer API only, and refused without a message.
    let answer = world.answer(&configured(44, 1, &[(8, "1")]));
    let logger = answer.structs("Responses").next().unwrap();
    assert_eq!(
        (logger.int("ErrorCode"), logger.str("ErrorMessage")),
        (31, None)
    );
    world.passes(&configured(33, 2, &[(8, "1")]));
}

#[test]
fn malformed_changes_are_refused_before_access() {
    let change = |configs: &[(&str, Value, i8)]| {
        let mut asked = configured(44, 1, &[(2, "no")]);
        let resource = tree::structs_mut(&mut asked, "Resources").next().unwrap();
        for (name, value, operation) in configs {
            let values = [
                ("Name", (*name).into()),
                ("Value", value.clone()),
                ("ConfigOperation", (*operation).into()),
            ];
            let config = entry(resource, "Configs", &values);
            tree::push(resource, "Configs", config);
        }
        let answer = World::nobody().answer(&asked);
        let said = answer.structs("Responses").next().unwrap();
        said.str("ErrorMessage").unwrap().to_owned()
    };
    let denied = "Topic authorization failed.";
    assert_eq!(change(&[("a", "1".into(), 0)]), denied);
    assert_eq!(change(&[("a", Value::Null, 1)]), denied);
    assert_eq!(
        change(&[("a", Value::Null, 0), ("b", Value::Null, 2)]),
        "Null value not supported for : a, b"
    );
    assert_eq!(
        change(&[("a", "1".into(), 0), ("a", "2".into(), 0)]),
        "Error due to duplicate config keys"
    );
}
