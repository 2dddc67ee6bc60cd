//! One test for each rule of Kafka's, and for each of ours.

use Operation::{
    All, Alter, AlterConfigs, ClusterAction, Create, Delete, Describe, DescribeConfigs,
    IdempotentWrite, Read, Write,
};

use super::*;

fn may(list: &[Rule], operation: Operation, topic: &str) -> bool {
    authorizer(list)
        .authorize(&caller("a"), operation, Resource::topic(topic))
        .allowed
}

// --- order of decision ---

#[test]
fn without_a_rule_nothing_is_allowed() {
    assert!(!may(&[], Describe, "t"));
    assert!(!may(&[allow("a", Read, "other")], Read, "t"));
    assert_eq!(
        Authorizer::default().authorize(&caller("a"), Read, Resource::CLUSTER),
        Decision {
            allowed: false,
            rule: None
        }
    );
}

#[test]
fn a_super_user_may_do_everything_whatever_denies() {
    let mut rules = rules(&[deny("a", All, "*"), deny("*", All, "*")]);
    rules.super_users.insert("User:a".to_owned());
    let index = Authorizer::new(rules);
    let decision = index.authorize(&caller("a"), Write, Resource::topic("t"));
    assert!(decision.allowed && decision.rule.is_none());
    assert!(index.partition(&caller("a"), Write, "t", 0).allowed);
    assert!(index.authorize_any(&caller("a"), Write, ResourceType::Topic));
    // All eight of a topic's.
    assert_eq!(
        index
            .operations(&caller("a"), Resource::topic("t"))
            .count_ones(),
        8
    );
    // Super users are compared letter by letter.
    assert!(
        !index
            .authorize(&caller("A"), Write, Resource::topic("t"))
            .allowed
    );
}

#[test]
fn everybody_cannot_be_a_super_user() {
    let mut rules = rules(&[]);
    rules.super_users.insert(EVERY_PRINCIPAL.to_owned());
    let index = Authorizer::new(rules);
    assert!(
        !index
            .authorize(&caller("a"), Read, Resource::topic("t"))
            .allowed
    );
}

#[test]
fn deny_wins_from_any_pattern() {
    for denied in ["t-1", "*", "t-"] {
        for allowed in ["t-1", "*", "t-"] {
            let list = [allow("a", Read, allowed), deny("a", Read, denied)];
            assert!(!may(&list, Read, "t-1"), "{allowed} {denied}");
        }
    }
}

#[test]
fn deny_wins_from_everybody_and_against_everybody() {
    assert!(!may(
        &[allow("a", Read, "t"), deny("*", Read, "t")],
        Read,
        "t"
    ));
    assert!(!may(
        &[allow("*", Read, "t"), deny("a", Read, "t")],
        Read,
        "t"
    ));
}

// --- patterns ---

#[test]
fn a_literal_is_the_whole_name() {
    let list = [allow("a", Read, "t")];
    assert!(may(&list, Read, "t"));
    assert!(!may(&list, Read, "tt") && !may(&list, Read, "T") && !may(&list, Read, ""));
}

#[test]
fn a_prefix_is_the_beginning_of_the_name() {
    let list = [allow("a", Read, "t-")];
    assert!(may(&list, Read, "t-") && may(&list, Read, "t-1"));
    assert!(!may(&list, Read, "t") && !may(&list, Read, "xt-1"));
}

#[test]
fn a_literal_asterisk_is_every_name_and_a_prefixed_one_is_a_letter() {
    assert!(may(&[allow("a", Read, "*")], Read, "anything"));
    let mut prefixed = allow("a", Read, "*");
    prefixed.acl.pattern = PatternType::Prefixed;
    assert!(!may(&[prefixed.clone()], Read, "anything"));
    assert!(may(&[prefixed], Read, "*anything"));
}

#[test]
fn allow_all_on_every_topic_gives_no_right_on_a_group() {
    let index = authorizer(&[allow("a", All, "*")]);
    assert!(
        index
            .authorize(&caller("a"), Delete, Resource::topic("t"))
            .allowed
    );
    for resource in [
        Resource::group("g"),
        Resource::transactional_id("x"),
        Resource::CLUSTER,
    ] {
        assert!(!index.authorize(&caller("a"), Read, resource).allowed);
    }
}

#[test]
fn allow_all_topics_but_those_of_a_prefix() {
    let list = [allow("a", Read, "*"), deny("a", Read, "x-")];
    assert!(may(&list, Read, "t") && may(&list, Read, "x"));
    assert!(!may(&list, Read, "x-1"));
}

// --- principals ---

#[test]
fn a_principal_is_itself_or_everybody_whatever_its_type() {
    let index = authorizer(&[allow("a", Read, "t"), allow("*", Write, "t")]);
    let group = Caller {
        principal: "Group:a".into(),
        ..caller("a")
    };
    let topic = Resource::topic("t");
    assert!(index.authorize(&caller("a"), Read, topic).allowed);
    assert!(!index.authorize(&caller("b"), Read, topic).allowed);
    assert!(!index.authorize(&group, Read, topic).allowed);
    assert!(index.authorize(&group, Write, topic).allowed);
}

// --- implications ---

#[test]
fn only_some_allowances_imply_describe() {
    for operation in Operation::ALL {
        let implies = [Read, Write, Delete, Alter, Describe, All].contains(&operation);
        assert_eq!(may(&[allow("a", operation, "t")], Describe, "t"), implies);
    }
}

#[test]
fn alter_configs_implies_describe_configs_and_nothing_more() {
    let list = [allow("a", AlterConfigs, "t")];
    assert!(may(&list, DescribeConfigs, "t"));
    assert!(!may(&list, Describe, "t") && !may(&list, Alter, "t"));
    assert!(!may(&[allow("a", Alter, "t")], DescribeConfigs, "t"));
}

#[test]
fn all_is_every_operation_for_both_permissions() {
    for operation in Operation::ALL {
        assert!(may(&[allow("a", All, "t")], operation, "t"));
        let list = [allow("a", operation, "t"), deny("a", All, "t")];
        assert!(!may(&list, operation, "t"));
    }
}

#[test]
fn deny_read_leaves_describe() {
    let list = [allow("a", Read, "ab-"), deny("a", Read, "ab-c")];
    assert!(!may(&list, Read, "ab-c"));
    assert!(may(&list, Describe, "ab-c"));
    assert!(may(&list, Read, "ab-d"));
}

#[test]
fn deny_describe_leaves_read() {
    let list = [allow("a", Read, "t"), deny("a", Describe, "t")];
    assert!(may(&list, Read, "t"));
    assert!(!may(&list, Describe, "t"));
}

#[test]
fn write_does_not_imply_create() {
    for operation in [Create, ClusterAction, IdempotentWrite, Delete, Alter] {
        assert!(!may(&[allow("a", Write, "t")], operation, "t"));
    }
}

// --- hosts and zones ---

#[test]
fn deny_for_one_host_only() {
    let index = authorizer(&[
        allow("a", Read, "t"),
        deny("a", Read, "t").at_host("10.0.0.1"),
    ]);
    let read = |host| {
        index
            .authorize(&at("a", host, None), Read, Resource::topic("t"))
            .allowed
    };
    assert!(!read("10.0.0.1") && !read("::ffff:10.0.0.1"));
    assert!(read("10.0.0.2") && read("fd00::1"));
}

#[test]
fn a_network_counts_for_callers_in_it() {
    let index = authorizer(&[
        allow("a", Read, "t").at_host("10.1.0.0/16"),
        deny("a", Read, "t").at_host("10.1.2.0/24"),
    ]);
    let read = |host| {
        index
            .authorize(&at("a", host, None), Read, Resource::topic("t"))
            .allowed
    };
    assert!(read("10.1.3.1"));
    assert!(!read("10.1.2.1") && !read("10.2.0.1") && !read("fd00::1"));
}

#[test]
fn an_unreadable_host_allows_nobody_and_denies_everybody() {
    for host in ["10.0.0.1/8", "kafka.example", "", "10.0.0.0/33"] {
        let allowed = [allow("a", Read, "t").at_host(host)];
        assert!(!may(&allowed, Read, "t"), "{host}");
        let denied = [allow("a", Read, "t"), deny("a", Read, "t").at_host(host)];
        assert!(!may(&denied, Read, "t"), "{host}");
    }
}

#[test]
fn an_unknown_zone_narrows_an_allowance_and_widens_a_denial() {
    let index = authorizer(&[
        allow("a", Read, "t").in_zone("z1").in_zone("z2"),
        allow("a", Write, "t"),
        deny("a", Write, "t").in_zone("z1"),
    ]);
    let may = |zone, operation| {
        index
            .authorize(&at("a", "10.0.0.1", zone), operation, Resource::topic("t"))
            .allowed
    };
    assert!(may(Some("z1"), Read) && may(Some("z2"), Read));
    assert!(!may(Some("z3"), Read) && !may(None, Read));
    assert!(!may(Some("z1"), Write) && may(Some("z2"), Write) && !may(None, Write));
}

#[test]
fn zones_matter_to_whom_a_rule_with_zones_is_about() {
    let mine = authorizer(&[allow("a", Read, "t").in_zone("z1"), allow("b", Read, "t")]);
    assert!(mine.tells_zones_apart("User:a") && !mine.tells_zones_apart("User:b"));
    let mut rules = rules(&[deny("*", Read, "t").in_zone("z1")]);
    assert!(rules.name_zones());
    rules.super_users.insert("User:s".to_owned());
    let everybodys = Authorizer::new(rules);
    assert!(everybodys.tells_zones_apart("User:b") && !everybodys.tells_zones_apart("User:s"));
}

// --- partitions ---

#[test]
fn an_allowance_of_some_partitions_allows_the_topic_and_only_these() {
    let index = authorizer(&[allow("a", Read, "t").of_partitions("0-1,7")]);
    let (a, topic) = (caller("a"), Resource::topic("t"));
    assert!(index.tells_partitions_apart(&a, "t"));
    assert!(
        !index.tells_partitions_apart(&a, "u") && !index.tells_partitions_apart(&caller("b"), "t")
    );
    assert!(index.authorize(&a, Read, topic).allowed);
    assert!(!index.whole_topic(&a, Read, "t").allowed);
    let allowed: Vec<_> = (0..9)
        .filter(|p| index.partition(&a, Read, "t", *p).allowed)
        .collect();
    assert_eq!(allowed, [0, 1, 7]);
}

#[test]
fn a_denial_of_some_partitions_leaves_the_topic_and_the_others() {
    let index = authorizer(&[
        allow("a", Read, "t"),
        deny("a", Read, "t").of_partitions("1"),
    ]);
    let a = caller("a");
    assert!(index.authorize(&a, Read, Resource::topic("t")).allowed);
    assert!(index.partition(&a, Read, "t", 0).allowed);
    assert!(!index.partition(&a, Read, "t", 1).allowed);
    assert!(index.partition(&a, Describe, "t", 1).allowed);
    assert!(!index.whole_topic(&a, Read, "t").allowed);
    assert!(index.authorize_any(&a, Read, ResourceType::Topic));
}

#[test]
fn all_of_some_partitions_is_nothing_of_the_topic() {
    let index = authorizer(&[allow("a", All, "t").of_partitions("0")]);
    let a = caller("a");
    for operation in [Read, Write, Delete, Describe] {
        assert!(index.partition(&a, operation, "t", 0).allowed);
        assert!(!index.whole_topic(&a, operation, "t").allowed);
    }
    for operation in [Alter, AlterConfigs, Create, DescribeConfigs] {
        assert!(!index.authorize(&a, operation, Resource::topic("t")).allowed);
    }
}

#[test]
fn partitions_of_what_has_none_allow_nothing_and_deny_all_of_it() {
    let group = |rule: Rule| rule.on(ResourceType::Group);
    let allowed = group(allow("a", Read, "g"));
    let read = |list: &[Rule]| {
        authorizer(list)
            .authorize(&caller("a"), Read, Resource::group("g"))
            .allowed
    };
    assert!(read(std::slice::from_ref(&allowed)));
    assert!(!read(&[allowed.clone().of_partitions("0")]));
    assert!(!read(&[
        allowed,
        group(deny("a", Read, "g")).of_partitions("0")
    ]));
    let altered = [
        allow("a", Alter, "t"),
        deny("a", Alter, "t").of_partitions("0"),
    ];
    assert!(!may(&altered, Alter, "t"));
}

// --- by resource type ---

#[test]
fn any_resource_is_one_that_nothing_denies_wholly() {
    let any =
        |list: &[Rule]| authorizer(list).authorize_any(&caller("a"), Write, ResourceType::Topic);
    for (allowed, denied, expected) in [
        ("*", "*", false),
        ("t", "*", false),
        ("t-", "*", false),
        ("*", "t-", true),
        ("*", "t", true),
        ("t", "t", false),
        ("t", "u", true),
        ("t-1", "t-", false),
        ("t-", "t-", false),
        ("t-x-", "t-", false),
        ("t-", "t-x-", true),
        ("t-", "t-1", true),
    ] {
        for (one, other) in [("a", "a"), ("a", "*"), ("*", "a"), ("*", "*")] {
            let list = [allow(one, Write, allowed), deny(other, Write, denied)];
            assert_eq!(
                any(&list),
                expected,
                "{allowed} for {one}, not {denied} for {other}"
            );
        }
    }
    assert!(!any(&[]));
    assert!(any(&[allow("a", All, "t")]));
    // Exactly the operation: READ implies DESCRIBE, and yet not here.
    let list = [allow("a", Read, "t")];
    assert!(!authorizer(&list).authorize_any(&caller("a"), Describe, ResourceType::Topic));
}

#[test]
fn any_resource_goes_through_what_conditions_may_take_away() {
    let index = authorizer(&[
        allow("a", Write, "t"),
        allow("a", Write, "u").at_host("10.0.0.0/24"),
        deny("*", Write, "t").in_zone("z1"),
        deny("a", Write, "u").at_host("10.0.0.2"),
    ]);
    let any = |host, zone| index.authorize_any(&at("a", host, zone), Write, ResourceType::Topic);
    assert!(any("11.0.0.1", Some("z2")));
    assert!(!any("11.0.0.1", None) && !any("11.0.0.1", Some("z1")));
    assert!(any("10.0.0.1", Some("z1")));
    assert!(!any("10.0.0.2", Some("z1")));
}

// --- bit fields ---

#[test]
fn the_bit_field_has_what_is_allowed_of_the_kind() {
    let index = authorizer(&[
        allow("a", Read, "t"),
        allow("a", AlterConfigs, "t"),
        deny("a", DescribeConfigs, "t"),
        allow("a", ClusterAction, "t"),
    ]);
    let bit = |operation: Operation| 1 << operation.code();
    assert_eq!(
        index.operations(&caller("a"), Resource::topic("t")),
        bit(Read) | bit(Describe) | bit(AlterConfigs)
    );
    assert_eq!(index.operations(&caller("b"), Resource::topic("t")), 0);
}

// --- which rule ---

#[test]
fn the_rule_that_is_named_does_not_hang_on_the_order() {
    let mut list = vec![
        allow("*", Read, "t-1"),
        allow("a", Read, "t-"),
        allow("a", Read, "*").at_host("10.0.0.0/8"),
        allow("a", Read, "t-1").at_host("10.0.0.1"),
        allow("a", Read, "t-1").at_host("10.0.0.0/8"),
    ];
    let expected = list[4].clone();
    for _ in 0..list.len() {
        list.rotate_left(1);
        let index = authorizer(&list);
        let decision = index.authorize(&caller("a"), Read, Resource::topic("t-1"));
        assert_eq!(decision.rule, Some(&expected));
    }
}

// --- fingerprints ---

#[test]
fn a_fingerprint_moves_with_what_concerns_the_principal() {
    let base = [allow("a", Read, "t"), allow("b", Read, "t")];
    let of = |list: &[Rule], who: &str| authorizer(list).fingerprint(&format!("User:{who}"));
    let mut more = base.to_vec();
    more.push(deny("b", Read, "u"));
    assert_eq!(of(&base, "a"), of(&more, "a"));
    assert_ne!(of(&base, "b"), of(&more, "b"));
    assert_eq!(of(&base, "stranger"), of(&more, "stranger"));
    more.push(allow("*", Read, "u"));
    assert_ne!(of(&base, "a"), of(&more, "a"));
    assert_ne!(of(&base, "stranger"), of(&more, "stranger"));

    let changed = |change: fn(&mut Rule)| {
        let mut list = base.clone();
        change(&mut list[0]);
        of(&list, "a")
    };
    assert_ne!(of(&base, "a"), changed(|r| r.partitions = "0".parse().ok()));
    assert_ne!(
        of(&base, "a"),
        changed(|r| r.acl.permission = Permission::Deny)
    );
    assert_ne!(
        of(&base, "a"),
        changed(|r| r.zones.extend(["z".to_owned()]))
    );
    assert_eq!(
        of(&base, "a"),
        changed(|r| r.source = "elsewhere".to_owned())
    );

    let mut crowned = rules(&base);
    crowned.super_users.insert("User:a".to_owned());
    let crowned = Authorizer::new(crowned);
    assert_ne!(of(&base, "a"), crowned.fingerprint("User:a"));
    assert_eq!(of(&base, "b"), crowned.fingerprint("User:b"));
}

// --- the check ---

#[test]
fn every_problem_is_told_with_its_place() {
    let mut cluster = allow("a", Alter, "main").on(ResourceType::Cluster);
    cluster.acl.principal = "a".to_owned();
    let rules = AccessRules {
        super_users: ["User:x".to_owned(), "root".to_owned()].into(),
        rules: vec![
            allow("*", Read, "t")
                .at_host("10.0.0.0/8")
                .of_partitions("0"),
            cluster,
            allow("a", Alter, "t").of_partitions("0"),
            allow("a", Read, "").at_host("10.1.2.3/16").in_zone(""),
            deny("a", Read, "g")
                .on(ResourceType::Group)
                .of_partitions("0"),
        ],
    };
    let errors = rules.check().unwrap_err();
    let paths: Vec<_> = errors.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "superUsers[1]",
            "rules[1].acl.name",
            "rules[1].acl.principal",
            "rules[2].partitions",
            "rules[3].acl.name",
            "rules[3].acl.host",
            "rules[3].zones",
            "rules[4].partitions",
        ]
    );
    assert!(
        errors[5].to_string().contains("write 10.1.0.0/16"),
        "{}",
        errors[5]
    );
    assert_eq!(AccessRules::default().check(), Ok(()));
}
