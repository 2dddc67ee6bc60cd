//! Thousands of rule sets, each asked everything, against the model.
//!
//! Few letters, so that names and prefixes meet.

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::model::Model;
use super::*;

const PRINCIPALS: [&str; 3] = ["User:a", "User:b", "User:*"];
const KINDS: [ResourceType; 3] = [
    ResourceType::Topic,
    ResourceType::Group,
    ResourceType::Cluster,
];
const HOSTS: [&str; 14] = [
    "*",
    "*",
    "*",
    "*",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.0/30",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "fd00::1",
    "fd00::/16",
    "::/0",
    // Neither can be read.
    "10.0.0.1/8",
    "x",
];
const PLACES: [&str; 5] = [
    "10.0.0.1",
    "10.0.0.2",
    "11.0.0.1",
    "fd00::1",
    "::ffff:10.0.0.1",
];
const SETS: [&str; 4] = ["0", "1-2", "0,2", "0-9"];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[xy]{1,3}",
        1 => Just("*".to_owned()),
        1 => Just("kafka-cluster".to_owned()),
    ]
}

fn acl() -> impl Strategy<Value = AclBinding> {
    (
        select(&KINDS[..]),
        prop_oneof![19 => name(), 1 => Just(String::new())],
        select(&PatternType::ALL[..]),
        select(&PRINCIPALS[..]),
        select(&HOSTS[..]),
        prop_oneof![
            2 => select(&[Operation::Read, Operation::Write, Operation::All][..]),
            1 => select(&Operation::ALL[..]),
        ],
        prop_oneof![1 => Just(Permission::Deny), 2 => Just(Permission::Allow)],
    )
        .prop_map(
            |(resource_type, name, pattern, who, host, operation, permission)| AclBinding {
                resource_type,
                name,
                pattern,
                principal: who.to_owned(),
                host: host.to_owned(),
                operation,
                permission,
            },
        )
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let zones = prop_oneof![4 => Just(vec![]), 1 => subsequence(vec!["z1", "z2"], 1..=2)];
    let partitions = option::weighted(0.25, select(&SETS[..]));
    let source = select(&["", "s", "t"][..]);
    (acl(), zones, partitions, source).prop_map(|(acl, zones, partitions, source)| Rule {
        acl,
        zones: zones.into_iter().map(str::to_owned).collect(),
        partitions: partitions.map(|set| set.parse().unwrap()),
        source: source.to_owned(),
    })
}

fn any_rules() -> impl Strategy<Value = AccessRules> {
    let super_users = prop_oneof![
        9 => Just(BTreeSet::new()),
        1 => btree_set(select(&PRINCIPALS[..]).prop_map(str::to_owned), 1..=2),
    ];
    (super_users, vec(any_rule(), 0..14))
        .prop_map(|(super_users, rules)| AccessRules { super_users, rules })
}

fn any_caller() -> impl Strategy<Value = Caller> {
    let names = select(&["a", "a", "b", "c", "*"][..]);
    let zones = select(&[None, Some("z1"), Some("z2"), Some("z3")][..]);
    (names, select(&PLACES[..]), zones).prop_map(|(name, host, zone)| at(name, host, zone))
}

/// The same rule under any order, so that only what is said is compared.
fn agree(ours: Decision<'_>, theirs: Decision<'_>) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.allowed, theirs.allowed);
    prop_assert_eq!(ours.rule, theirs.rule);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_index_decides_as_the_definition_does(
        rules in any_rules(),
        callers in vec(any_caller(), 2),
        names in vec(name(), 2),
        operations in subsequence(&Operation::ALL[..], 4),
    ) {
        let model = Model(rules.clone());
        let index = Authorizer::new(rules);
        for caller in &callers {
            for kind in KINDS {
                for name in names.iter().map(String::as_str) {
                    let resource = Resource { kind, name };
                    for o in operations.iter().copied() {
                        agree(index.authorize(caller, o, resource), model.authorize(caller, o, resource))?;
                    }
                    let expected = model.operations(caller, resource);
                    prop_assert_eq!(index.operations(caller, resource), expected);
                }
                for o in operations.iter().copied() {
                    let expected = model.authorize_any(caller, o, kind);
                    prop_assert_eq!(index.authorize_any(caller, o, kind), expected, "{:?} {:?}", o, kind);
                }
            }
            for topic in &names {
                let expected = model.tells_partitions_apart(caller, topic);
                prop_assert_eq!(index.tells_partitions_apart(caller, topic), expected);
                for o in operations.iter().copied() {
                    for p in [-1, 0, 2] {
                        agree(index.partition(caller, o, topic, p), model.partition(caller, o, topic, p))?;
                    }
                    agree(index.whole_topic(caller, o, topic), model.whole_topic(caller, o, topic))?;
                }
            }
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_order_of_rules_means_nothing(rules in any_rules(), caller in any_caller(), name in name()) {
        let mut turned = rules.clone();
        turned.rules.reverse();
        let (one, other) = (Authorizer::new(rules), Authorizer::new(turned));
        prop_assert_eq!(one.fingerprint(&caller.principal), other.fingerprint(&caller.principal));
        for o in Operation::ALL {
            let topic = Resource::topic(&name);
            prop_assert_eq!(one.authorize(&caller, o, topic), other.authorize(&caller, o, topic));
        }
    }

    #[test]
    fn what_the_broker_is_told_never_takes_more_than_the_sidecar(
        rules in any_rules(),
        caller in any_caller(),
        name in name(),
    ) {
        let sidecar = Authorizer::new(rules.clone());
        let broker = Authorizer::new(AccessRules {
            rules: rules.native().into_iter().map(Rule::from).collect(),
            super_users: rules.super_users,
        });
        // The broker sees everybody at its own address.
        let seen = Caller { host: IpAddr::from([127, 0, 0, 1]), zone: None, ..caller.clone() };
        for kind in KINDS {
            let resource = Resource { kind, name: &name };
            for o in Operation::ALL {
                let passed = sidecar.authorize(&caller, o, resource).allowed;
                prop_assert!(!passed || broker.authorize(&seen, o, resource).allowed, "{:?}", o);
                let passed = sidecar.authorize_any(&caller, o, kind);
                prop_assert!(!passed || broker.authorize_any(&seen, o, kind), "{:?}", o);
            }
        }
    }

    #[test]
    fn the_fingerprint_is_the_rules_of_the_principal(
        rules in any_rules(),
        changed in any_rule(),
        places in (any_caller(), any_caller()),
    ) {
        let mut more = rules.clone();
        more.rules.push(changed.clone());
        let (old, new) = (Authorizer::new(rules.clone()), Authorizer::new(more));
        let about = [changed.acl.principal.as_str(), EVERY_PRINCIPAL];
        for principal in ["User:a", "User:b", "User:c"] {
            let same = old.fingerprint(principal) == new.fingerprint(principal);
            let concerned = principal == about[0] || about[0] == EVERY_PRINCIPAL;
            prop_assert!(same || concerned, "{}", principal);
            // Whoever is left alone must be decided on as before.
            let caller = Caller { principal: principal.into(), ..places.0.clone() };
            for name in ["x", "y", "xy", "xyx"] {
                for kind in KINDS {
                    let resource = Resource { kind, name };
                    let before = old.operations(&caller, resource);
                    prop_assert!(!same || before == new.operations(&caller, resource));
                }
            }
        }
    }
}
