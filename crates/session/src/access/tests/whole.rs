//! APIs that are decided as a whole, where Kafka's classes do not show it.

use tubeway_policy::acl::{Operation, ResourceType};
use tubeway_protocol::value::Value;
use tubeway_protocol::{ApiKey, Schemas};

use super::super::{Verdict, look, tree};
use super::sample::{Counting, fill};
use super::world::{World, entry, request, strings, versions, with};

use Operation::{
    Alter, ClusterAction, CreateTokens, Describe, DescribeTokens, IdempotentWrite, Read,
    TwoPhaseCommit, Write,
};
use ResourceType::{Cluster, DelegationToken, Group, Topic, TransactionalId, User};

const CLUSTER: &str = "kafka-cluster";

#[test]
fn every_api_is_known() {
    for api in Schemas::get().apis() {
        assert!(look(api.key()).is_some(), "{} has no rule", api.key());
    }
    assert_eq!(look(ApiKey(-1)), None);
    assert_eq!(look(ApiKey(1000)), None);
}

#[test]
fn nobody_gets_through_what_needs_a_right() {
    // Needs none: own records, logins, versions, telemetry, own tokens, the cluster's address.
    let free = [0, 1, 17, 18, 36, 39, 40, 60, 71, 72, 78, 79];
    // Filtered, in the response.
    let filtered = [16, 41, 66, 75];
    for api in Schemas::get().apis() {
        for version in versions(api.key().0) {
            let mut request = request(api.key().0, version);
            fill(&mut request, &mut Counting::default());
            request.set("IncludeClusterAuthorizedOperations", false);
            let mut world = World::nobody();
            for id in 0..=u8::MAX {
                let name = super::super::NameOf::Known(format!("topic-{id}").into());
                world.names.insert([id; 16], name);
            }
            let verdict = world.decide(&request);
            let key = api.key().0;
            let passes = matches!(verdict, Verdict::Pass);
            // A token for oneself, which is all that old versions make.
            let own = key == 38 && version < 3;
            assert_eq!(
                passes,
                free.contains(&key) || own,
                "{request:?} {verdict:?}"
            );
            if filtered.contains(&key) && key != 75 {
                assert!(
                    matches!(verdict, Verdict::Amend(_)),
                    "{request:?} {verdict:?}"
                );
            }
        }
    }
}

#[test]
fn controllers_apis_are_closed_to_all() {
    let broker = World::may(&[(ClusterAction, Cluster, CLUSTER)]);
    for api in [52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82] {
        assert!(!Schemas::get().api(ApiKey(api)).unwrap().on_brokers());
        for version in versions(api) {
            let request = request(api, version);
            for world in [World::nobody(), World::nobody().super_user()] {
                assert!(matches!(world.decide(&request), Verdict::Close(_)));
            }
            assert!(matches!(broker.decide(&request), Verdict::Close(_)));
        }
    }
}

#[test]
fn brokers_apis_are_for_brokers() {
    let broker = World::may(&[(ClusterAction, Cluster, CLUSTER)]);
    for api in [4, 5, 6, 7] {
        for version in versions(api) {
            let request = request(api, version);
            broker.passes(&request);
            let refused = World::nobody().decide(&request);
            assert!(matches!(refused, Verdict::Close(_)));
        }
    }
    for api in [83, 84, 85, 86, 87] {
        broker.passes(&request(api, 0));
    }
    broker.passes(&request(24, 4));
    broker.passes(&request(27, 1));
    World::may(&[(Alter, Cluster, CLUSTER)]).passes(&request(27, 1));
}

#[test]
fn a_producer_id_needs_any_topic_or_the_cluster() {
    for version in versions(22) {
        let mut asked = request(22, version);
        asked.set("TransactionalId", Value::Null);
        for right in [
            (Write, Topic, "some"),
            (Write, Topic, "some-*"),
            (IdempotentWrite, Cluster, CLUSTER),
        ] {
            World::may(&[right]).passes(&asked);
        }
        let readers = World::may(&[(Read, Topic, "*"), (Write, Group, "*")]);
        let answer = readers.answer(&asked);
        let said = (
            answer.int("ErrorCode"),
            answer.int("ProducerId"),
            answer.int("ProducerEpoch"),
        );
        assert_eq!(said, (31, -1, -1));
    }
}

#[test]
fn two_phase_commit_is_a_right_of_its_own() {
    let asked = with(
        request(22, 6),
        &[("TransactionalId", "t".into()), ("Enable2Pc", true.into())],
    );
    let one = World::may(&[(Write, TransactionalId, "t")]);
    assert_eq!(one.answer(&asked).int("ErrorCode"), 53);
    let both = [
        (Write, TransactionalId, "t"),
        (TwoPhaseCommit, TransactionalId, "t"),
    ];
    World::may(&both).passes(&asked);
}

#[test]
fn the_transactional_id_comes_before_the_group() {
    let cases = [
        (vec![], Some(53)),
        (vec![(Write, TransactionalId, "t")], Some(30)),
        (vec![(Read, Group, "g")], Some(53)),
        (
            vec![(Write, TransactionalId, "t"), (Read, Group, "g")],
            None,
        ),
    ];
    for version in versions(25) {
        let names = [("TransactionalId", "t".into()), ("GroupId", "g".into())];
        let asked = with(request(25, version), &names);
        for (rights, error) in &cases {
            let world = World::may(rights);
            match error {
                Some(code) => assert_eq!(world.answer(&asked).int("ErrorCode"), *code),
                None => world.passes(&asked),
            }
        }
    }
}

#[test]
fn a_sync_without_its_protocol_is_refused_first() {
    let asked = with(request(14, 5), &[("GroupId", "g".into())]);
    assert_eq!(World::nobody().answer(&asked).int("ErrorCode"), 23);
    let names = [
        ("ProtocolType", "consumer".into()),
        ("ProtocolName", "range".into()),
    ];
    assert_eq!(
        World::nobody()
            .answer(&with(asked, &names))
            .int("ErrorCode"),
        30
    );
}

#[test]
fn a_heartbeat_needs_all_subscribed_topics() {
    let rights = [
        (Read, Group, "g"),
        (Describe, Topic, "a"),
        (Describe, Topic, "b"),
    ];
    let world = World::may(&rights);
    for (api, version) in [(68, 0), (68, 1), (76, 0), (76, 1)] {
        let names = [("GroupId", "g".into()), ("MemberId", "m".into())];
        let asked = with(request(api, version), &names);
        world.passes(&asked);
        let ours = with(
            asked.clone(),
            &[("SubscribedTopicNames", strings(&["a", "b"]))],
        );
        world.passes(&ours);
        let theirs = with(asked, &[("SubscribedTopicNames", strings(&["a", "c"]))]);
        let answer = world.answer(&theirs);
        assert_eq!(answer.int("ErrorCode"), 29);
        assert!(tree::is_null(&answer, "ErrorMessage"));
    }
}

#[test]
fn a_share_groups_member_id_is_checked_before_its_topics() {
    let world = World::may(&[(Read, Group, "g")]);
    for (member, error) in [
        ("", 42),
        ("m", 29),
        (&*"m".repeat(36), 29),
        (&*"m".repeat(37), 42),
    ] {
        let names = [
            ("GroupId", "g".into()),
            ("MemberId", member.into()),
            ("SubscribedTopicNames", strings(&["a"])),
        ];
        let answer = world.answer(&with(request(76, 1), &names));
        assert_eq!(answer.int("ErrorCode"), error, "{member}");
    }
}

#[test]
fn a_streams_topology_needs_all_its_topics() {
    let asked = with(request(88, 0), &[("GroupId", "g".into())]);
    let blank = asked.child("Topology").unwrap();
    let topology = |part: &[(&str, Value)]| {
        let part = entry(&blank, "Subtopologies", part);
        let topology = with(blank.clone(), &[("Subtopologies", vec![part].into())]);
        with(asked.clone(), &[("Topology", topology.into())])
    };
    let part = blank.child("Subtopologies").unwrap();
    let named = |list: &str, name: &str| vec![entry(&part, list, &[("Name", name.into())])].into();
    let world = World::may(&[(Read, Group, "g"), (Describe, Topic, "a")]);
    world.passes(&asked);
    world.passes(&topology(&[
        ("SourceTopics", strings(&["a"])),
        ("SourceTopicRegex", strings(&["b.*"])),
    ]));
    let denied = [
        ("SourceTopics", strings(&["a", "b"])),
        ("RepartitionSinkTopics", strings(&["b"])),
        (
            "RepartitionSourceTopics",
            named("RepartitionSourceTopics", "b"),
        ),
        ("StateChangelogTopics", named("StateChangelogTopics", "b")),
    ];
    for part in denied {
        let answer = world.answer(&topology(&[part]));
        assert_eq!(answer.int("ErrorCode"), 29);
    }
    // The broker says what is wrong with these.
    for name in ["__consumer_offsets", "no/topic"] {
        world.passes(&topology(&[("SourceTopics", strings(&["b", name]))]));
    }
}

#[test]
fn a_token_for_somebody_else_needs_a_right_on_them() {
    let owner = [
        ("OwnerPrincipalType", "User".into()),
        ("OwnerPrincipalName", "ann".into()),
    ];
    let asked = with(request(38, 3), &owner);
    World::may(&[(CreateTokens, User, "User:ann")]).passes(&asked);
    let answer = World::may(&[(CreateTokens, User, "User:bob")]).answer(&asked);
    assert_eq!(answer.int("ErrorCode"), 65);
    let names = ["PrincipalName", "TokenRequesterPrincipalName"].map(|name| answer.str(name));
    assert_eq!(names, [Some("ann"), Some("app")]);
    assert_eq!(answer.int("MaxTimestampMs"), -1);
    let own = [
        ("OwnerPrincipalType", "User".into()),
        ("OwnerPrincipalName", "app".into()),
    ];
    World::nobody().passes(&with(request(38, 3), &own));
    for nobody in [Value::Null, "".into()] {
        World::nobody().passes(&with(request(38, 3), &[("OwnerPrincipalName", nobody)]));
    }
}

#[test]
fn tokens_of_others_are_left_out() {
    let token = |of: &tubeway_protocol::value::Struct, owner: &str, id: &str, renewer: &str| {
        let mut token = entry(
            of,
            "Tokens",
            &[
                ("PrincipalType", "User".into()),
                ("PrincipalName", owner.into()),
                ("TokenId", id.into()),
            ],
        );
        let names = [
            ("PrincipalType", "User".into()),
            ("PrincipalName", renewer.into()),
        ];
        let renewer = entry(&token, "Renewers", &names);
        token.set("Renewers", vec![renewer]);
        token
    };
    let world = World::may(&[
        (Describe, DelegationToken, "3"),
        (DescribeTokens, User, "User:cat"),
    ]);
    for version in versions(41) {
        let [_, response] = world.amended(&request(41, version), |_| {
            let mut response = super::world::response(41, version);
            for (owner, id, renewer) in [
                ("app", "1", "x"),
                ("ann", "2", "x"),
                ("bob", "3", "x"),
                ("cat", "4", "x"),
                ("dan", "5", "app"),
            ] {
                let token = token(&response, owner, id, renewer);
                tree::push(&mut response, "Tokens", token);
            }
            response
        });
        let left: Vec<_> = response
            .structs("Tokens")
            .map(|token| token.str("TokenId").unwrap().to_owned())
            .collect();
        assert_eq!(left, ["1", "3", "4", "5"]);
    }
}

#[test]
fn the_clusters_operations_are_the_callers() {
    for version in versions(60) {
        let asked = with(
            request(60, version),
            &[("IncludeClusterAuthorizedOperations", true.into())],
        );
        let said = |world: World| {
            let [_, response] = world.amended(&asked, |_| super::world::response(60, version));
            response.int("ClusterAuthorizedOperations")
        };
        // Without DESCRIBE, nothing is said.
        assert_eq!(said(World::may(&[(ClusterAction, Cluster, CLUSTER)])), 0);
        let alter = World::may(&[(Alter, Cluster, CLUSTER)]);
        assert_eq!(said(alter), 1 << 7 | 1 << 8);
        World::nobody().passes(&request(60, version));
    }
}
