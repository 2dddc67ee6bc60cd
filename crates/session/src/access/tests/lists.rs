//! APIs that list groups, transactions, topics and configurations.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::Struct;

use super::super::{Verdict, tree};
use super::broker::respond;
use super::world::{World, entry, request, response, strings, versions, with};

use Operation::{Delete, Describe, Read};
use ResourceType::{Cluster, Group, Topic, TransactionalId};

const CLUSTER: &str = "kafka-cluster";

/// `name error`.
pub(super) fn said(response: &Struct, array: &str, name: &str) -> Vec<String> {
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
