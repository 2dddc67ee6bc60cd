//! Topics by their ids, and offsets of several groups.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::{Struct, Value};

use super::super::{NameOf, Questions, Verdict, tree};
use super::broker::respond;
use super::world::{World, entry, id, request, versions, with};

use Operation::{Delete, Describe, Read};
use ResourceType::{Group, Topic};

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
            assert_eq!((ids, topics.len()), ([id(2), id(3)].into(), 0));
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
        [id(2), id(3)].into()
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
