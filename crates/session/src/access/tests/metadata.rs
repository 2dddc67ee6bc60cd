//! Metadata and DescribeTopicPartitions: disclosure, creation, operations, partitions.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::super::{Exists, NameOf, Verdict, tree};
use super::world::{World, entry, id, request, response, versions, with};

use Operation::{All, Create, Describe, Read, Write};
use ResourceType::{Cluster, Topic};

const CLUSTER: &str = "kafka-cluster";
pub(super) const NONE: i64 = i32::MIN as i64;

fn named(version: i16, names: &[&str]) -> Struct {
    let mut asked = request(3, version);
    for name in names {
        let topic = entry(&asked, "Topics", &[("Name", (*name).into())]);
        tree::push(&mut asked, "Topics", topic);
    }
    asked.set("AllowAutoTopicCreation", false);
    asked
}

fn by_id(version: i16, ids: &[u8]) -> Struct {
    let mut asked = request(3, version);
    for number in ids {
        let values = [("Name", Value::Null), ("TopicId", Value::Uuid(id(*number)))];
        let topic = entry(&asked, "Topics", &values);
        tree::push(&mut asked, "Topics", topic);
    }
    asked
}

pub(super) fn names(of: &Struct) -> Vec<&str> {
    of.structs("Topics")
        .map(|topic| topic.str("Name").unwrap_or("-"))
        .collect()
}

/// `name error`.
pub(super) fn said(response: &Struct) -> Vec<String> {
    let topics = response.structs("Topics").map(|topic| {
        format!(
            "{} {}",
            topic.str("Name").unwrap_or("-"),
            topic.int("ErrorCode")
        )
    });
    topics.collect()
}

/// A broker without ACLs with these topics, which creates none. It lists the missing last.
fn broker<'a>(exist: &'a [&'a str]) -> impl Fn(&Struct) -> Struct + 'a {
    |sent| {
        let mut described = response(3, sent.layout().version());
        let asked = names(sent);
        let all = tree::is_null(sent, "Topics") || asked.is_empty() && sent.layout().version() == 0;
        let here = exist
            .iter()
            .copied()
            .filter(|topic| all || asked.contains(topic));
        let missing = asked
            .iter()
            .copied()
            .filter(|topic| !exist.contains(topic) && *topic != "-");
        let topics = here
            .map(|topic| (topic, 0_i16))
            .chain(missing.map(|topic| (topic, if topic == "." { 17 } else { 3 })));
        for (name, error) in topics {
            let values = [("Name", name.into()), ("ErrorCode", error.into())];
            let mut topic = entry(&described, "Topics", &values);
            if sent.int("IncludeTopicAuthorizedOperations") != 0 {
                topic.set("TopicAuthorizedOperations", 0xdf8);
            }
            tree::push(&mut described, "Topics", topic);
        }
        described
    }
}

pub(super) fn reader() -> World {
    World::may(&[
        (Read, Topic, "yes"),
        (Read, Topic, "gone"),
        (Read, Topic, "also"),
    ])
}

/// Answers whether topics exist, as often as it is asked.
fn knowing(mut world: World) -> World {
    for (topic, exists) in [
        ("yes", Exists::Yes),
        ("also", Exists::Yes),
        ("gone", Exists::No),
        ("new", Exists::No),
    ] {
        world.topics.insert(topic, exists);
    }
    world
}

#[test]
fn topics_that_may_not_be_seen_are_denied_whether_they_exist_or_not() {
    for version in versions(3) {
        let world = knowing(reader());
        let [sent, described] = world.amended(
            &named(version, &["no", "yes", "never", "no"]),
            broker(&["no", "yes"]),
        );
        assert_eq!(names(&sent), ["yes"]);
        assert_eq!(said(&described), ["yes 0", "no 29", "never 29"]);
        for topic in described.structs("Topics").skip(1) {
            assert_eq!(tree::uuid(topic, "TopicId"), [0; 16]);
            assert_eq!(topic.structs("Partitions").count(), 0);
        }
        if version >= 4 {
            world.passes(&named(version, &["yes"]));
        }
    }
}

#[test]
fn nothing_may_be_seen_and_the_brokers_are_still_told() {
    for version in versions(3) {
        let [sent, described] =
            World::nobody().amended(&named(version, &["no", "never"]), broker(&["no", "yes"]));
        let asks = if version == 0 { vec!["."] } else { vec![] };
        assert_eq!(
            names(&sent),
            asks,
            "version 0 has no way to ask for nothing"
        );
        assert_eq!(said(&described), ["no 29", "never 29"]);
    }
}

#[test]
fn all_topics_are_those_that_may_be_seen() {
    for version in versions(3) {
        let mut asked = request(3, version);
        if version > 0 {
            asked.set("Topics", Value::Null);
        }
        let [_, described] = reader().amended(&asked, broker(&["no", "yes", "also"]));
        assert_eq!(said(&described), ["yes 0", "also 0"]);
        if version > 0 {
            // An empty list is no topic.
            World::nobody().passes(&request(3, version));
        }
    }
}

#[test]
fn ids_that_may_not_be_seen_are_denied_without_a_name() {
    for version in 12..=13 {
        let mut world = reader().called(1, "yes").called(2, "no");
        let asked = by_id(version, &[2, 1, 9, 2]);
        match world.decide(&asked) {
            Verdict::Ask(questions) => assert_eq!(questions.ids, [id(9)].into()),
            other => panic!("{other:?}"),
        }
        world.names.insert(id(9), NameOf::NoSuchTopic);
        let [sent, described] = world.amended(&asked, |_| {
            let mut described = response(3, version);
            for (number, name, error) in [(9, Value::Null, 100_i16), (1, "yes".into(), 0)] {
                let values = [
                    ("TopicId", Value::Uuid(id(number))),
                    ("Name", name),
                    ("ErrorCode", error.into()),
                ];
                let topic = entry(&described, "Topics", &values);
                tree::push(&mut described, "Topics", topic);
            }
            described
        });
        assert_eq!(sent.structs("Topics").count(), 2);
        assert_eq!(said(&described), ["- 100", "yes 0", "- 29"]);
        assert_eq!(
            tree::uuid(described.structs("Topics").last().unwrap(), "TopicId"),
            id(2)
        );
        world.passes(&by_id(version, &[1, 9]));
    }
}

#[test]
fn ids_are_not_taken_before_version_12() {
    for version in 10..=11 {
        let answer = World::nobody().answer(&by_id(version, &[1]));
        assert_eq!(
            answer.structs("Topics").next().unwrap().int("ErrorCode"),
            42
        );
        assert_eq!(answer.int("ControllerId"), -1);
    }
}

/// Version 4 on: who may create nothing of it sends a request that does not.
#[test]
fn a_request_that_may_create_nothing_does_not_ask_for_it() {
    for version in 4..=13 {
        for auto_create in [false, true] {
            let mut world = reader();
            world.auto_create = auto_create;
            let asked = with(
                named(version, &["gone", "yes", "no"]),
                &[("AllowAutoTopicCreation", true.into())],
            );
            let [sent, described] = world.amended(&asked, broker(&["yes"]));
            assert_eq!(
                (sent.int("AllowAutoTopicCreation"), names(&sent)),
                (0, vec!["gone", "yes"])
            );
            let gone = if auto_create { "gone 29" } else { "gone 3" };
            assert_eq!(said(&described), ["yes 0", gone, "no 29"]);
        }
    }
}

#[test]
fn who_may_create_does() {
    for version in versions(3) {
        let rights = [(Create, Cluster, CLUSTER), (Read, Topic, "gone")];
        let mut asked = named(version, &["gone"]);
        asked.set("AllowAutoTopicCreation", true);
        World::may(&rights).passes(&asked);
        World::may(&[(All, Topic, "go*")]).passes(&asked);
    }
}

/// Where some may be created and some not, those that may not are sent only if
/// they exist; before version 4, that is so for all.
#[test]
fn a_missing_topic_that_may_not_be_created_is_not_sent() {
    for version in versions(3) {
        for auto_create in [false, true] {
            let rights = [
                (Read, Topic, "yes"),
                (Read, Topic, "gone"),
                (All, Topic, "new"),
            ];
            let mut world = World::may(&rights);
            world.auto_create = auto_create;
            let mut asked = named(version, &["gone", "new", "yes", "no"]);
            asked.set("AllowAutoTopicCreation", true);
            match world.decide(&asked) {
                Verdict::Ask(questions) => {
                    assert_eq!(questions.topics, ["gone".into(), "yes".into()].into());
                }
                other => panic!("{other:?}"),
            }
            let [sent, described] = knowing(world).amended(&asked, broker(&["yes"]));
            assert_eq!(names(&sent), ["new", "yes"]);
            assert!(version < 4 || sent.int("AllowAutoTopicCreation") == 1);
            let gone = if auto_create { "gone 29" } else { "gone 3" };
            assert_eq!(said(&described), ["yes 0", "new 3", gone, "no 29"]);
        }
    }
    for version in 0..4 {
        let mut world = reader();
        let Verdict::Ask(questions) = world.decide(&named(version, &["yes"])) else {
            panic!("it is sent, and would create");
        };
        assert_eq!(questions.topics, ["yes".into()].into());
        world.topics.insert("yes", Exists::Yes);
        world.passes(&named(version, &["yes"]));
    }
}

#[test]
fn operations_are_the_callers() {
    for version in 8..=13 {
        let mut asked = named(version, &["yes", "no", "gone"]);
        asked.set("IncludeTopicAuthorizedOperations", true);
        let cluster = asked.set("IncludeClusterAuthorizedOperations", true);
        let [_, described] = knowing(reader()).amended(&asked, broker(&["yes"]));
        let operations: Vec<_> = described
            .structs("Topics")
            .map(|topic| topic.int("TopicAuthorizedOperations"))
            .collect();
        let reads = 1 << 3 | 1 << 8;
        assert_eq!(operations, [reads, reads, NONE]);
        // A topic that may not be created is denied, and nothing said of it.
        let mut creating = reader();
        creating.auto_create = true;
        asked.set("AllowAutoTopicCreation", true);
        let [_, described] = creating.amended(&asked, broker(&["yes"]));
        assert_eq!(said(&described), ["yes 0", "gone 29", "no 29"]);
        let gone = described.structs("Topics").nth(1).unwrap();
        assert_eq!(gone.int("TopicAuthorizedOperations"), NONE);
        if cluster {
            assert_eq!(described.int("ClusterAuthorizedOperations"), 0);
            let [_, described] =
                World::may(&[(Describe, Cluster, CLUSTER)]).amended(&asked, broker(&[]));
            assert_eq!(described.int("ClusterAuthorizedOperations"), 1 << 8);
        }
    }
}

fn partition(of: &Struct, index: i32) -> Struct {
    let mut partition = entry(
        of,
        "Partitions",
        &[
            ("PartitionIndex", index.into()),
            ("LeaderId", 1.into()),
            ("ReplicaNodes", Value::ints([1, 2])),
            ("IsrNodes", Value::ints([1, 2])),
        ],
    );
    partition.set("LeaderEpoch", 5);
    partition.set("OfflineReplicas", Value::ints([2]));
    partition
}

/// Index, error, leader, epoch, replicas.
fn partitions(topic: &Struct) -> Vec<(i64, i64, i64, i64, usize)> {
    let partitions = topic.structs("Partitions").map(|partition| {
        let replicas = ["ReplicaNodes", "IsrNodes", "OfflineReplicas"];
        let replicas = replicas.map(|field| tree::ints(partition, field).len());
        let int = |field| partition.int(field);
        (
            int("PartitionIndex"),
            int("ErrorCode"),
            int("LeaderId"),
            int("LeaderEpoch"),
            replicas.iter().sum(),
        )
    });
    partitions.collect()
}

#[test]
fn partitions_that_may_not_be_used_stay_but_nobody_leads_them() {
    for version in versions(3) {
        let world = World::nobody()
            .on_partitions(Read, "t", "1")
            .on_partitions(Write, "t", "2");
        let mut world = world;
        world.topics.insert("t", Exists::Yes);
        let [_, described] = world.amended(&named(version, &["t"]), |sent| {
            let mut described = broker(&["t"])(sent);
            let topic = tree::structs_mut(&mut described, "Topics").next().unwrap();
            for index in 0..4 {
                let partition = partition(topic, index);
                tree::push(topic, "Partitions", partition);
            }
            described
        });
        let topic = described.structs("Topics").next().unwrap();
        let epoch = if version >= 7 { -1 } else { 0 };
        let found = partitions(topic);
        assert_eq!(
            found.iter().map(|p| (p.0, p.1, p.2)).collect::<Vec<_>>(),
            [(0, 29, -1), (1, 0, 1), (2, 0, 1), (3, 29, -1)]
        );
        assert_eq!((found[0].3, found[0].4), (epoch, 0));
        assert!(found[1].4 >= 4);
    }
}

/// Who may only see a topic sees all of it.
#[test]
fn who_uses_no_partition_sees_all() {
    let mut rule = super::world::rule((Read, Topic, "t"));
    rule.acl.permission = tubeway_policy::acl::Permission::Deny;
    rule.partitions = Some("0".parse().unwrap());
    let world = World::of(vec![super::world::rule((Describe, Topic, "t")), rule]);
    let [_, described] = world.amended(&named(12, &["t"]), |sent| {
        let mut described = broker(&["t"])(sent);
        let topic = tree::structs_mut(&mut described, "Topics").next().unwrap();
        let first = partition(topic, 0);
        tree::push(topic, "Partitions", first);
        described
    });
    let topic = described.structs("Topics").next().unwrap();
    assert_eq!(partitions(topic), [(0, 0, 1, 5, 5)]);
}

/// Java's admin client takes a missing list for an error of its own.
#[test]
fn what_lists_a_hidden_partition_has_are_there_and_empty() {
    let world = World::nobody().on_partitions(Read, "t", "1");
    let described = super::world::response(75, 0);
    let mut topic = entry(&described, "Topics", &[("Name", "t".into())]);
    for index in 0..2 {
        let mut partition = partition(&topic, index);
        for list in ["EligibleLeaderReplicas", "LastKnownElr"] {
            partition.set(list, Value::ints([2]));
        }
        tree::push(&mut topic, "Partitions", partition);
    }
    super::super::metadata::hide_partitions(&world.access(), &mut topic);
    let lists = |partition: &Struct| {
        super::super::metadata::REPLICAS.map(|list| {
            let null = tree::is_null(partition, list);
            (!null).then(|| tree::ints(partition, list).len())
        })
    };
    let partitions: Vec<_> = topic.structs("Partitions").map(lists).collect();
    let seen = [2, 2, 1, 1, 1].map(Some);
    assert_eq!(partitions, [[Some(0); 5], seen]);
}
