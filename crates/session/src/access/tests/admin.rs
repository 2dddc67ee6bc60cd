//! Creating, deleting and configuring.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::super::{Exists, Verdict, tree};
use super::broker::respond;
use super::lists::said;
use super::world::{World, entry, id, request, strings, versions, with};

use Operation::{All, Alter, AlterConfigs, Create, Delete, Describe, DescribeConfigs, Read};
use ResourceType::{Cluster, Group, Topic};

const CLUSTER: &str = "kafka-cluster";

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
            Verdict::Ask(questions) => {
                assert_eq!(questions.topics, ["gone".into(), "seen".into()].into());
            }
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

/// Seeing is a right of its own: an id tells nothing, a name would.
#[test]
fn a_topic_that_may_be_deleted_but_not_seen_is_deleted_by_id_only() {
    let world = World::may(&[(Delete, Topic, "t")])
        .but_not((Describe, Topic, "t"))
        .called(1, "t");
    let answer = world.answer(&named(20, 6, &["t"]));
    assert_eq!(said(&answer, "Responses", "Name"), ["t 29"]);
    let topic = [("TopicId", Value::Uuid(id(1)))];
    let topic = entry(&request(20, 6), "Topics", &topic);
    world.passes(&with(request(20, 6), &[("Topics", vec![topic].into())]));
}
