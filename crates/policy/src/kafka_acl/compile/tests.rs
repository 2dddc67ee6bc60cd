//! Cases one by one, and who may speak about what as a property.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::rbac::AllowedNamespaces;
use crate::rules::AccessRules;

// --- builders ---

const CLUSTER: &str = "kafka/main";

fn account(namespace: Option<&str>, name: &str) -> Principal {
    Principal {
        service_account: Some((namespace.map(str::to_owned), name.to_owned())),
        ..Principal::default()
    }
}

fn any() -> Principal {
    Principal {
        any: Some(true),
        ..Principal::default()
    }
}

fn user(name: &str) -> Principal {
    Principal {
        user: Some(name.to_owned()),
        ..Principal::default()
    }
}

fn target(kind: ResourceType, pattern: Pattern, name: Option<&str>) -> Target {
    Target {
        kind,
        pattern,
        name: name.map(str::to_owned),
        partitions: None,
    }
}

fn topic(name: &str) -> Target {
    target(ResourceType::Topic, Pattern::Literal, Some(name))
}

/// `shop/checkout` may READ.
fn read(resource: Target) -> AclRule {
    AclRule {
        effect: Permission::Allow,
        principals: vec![account(Some("shop"), "checkout")],
        resource,
        operations: vec![Operation::Read],
        hosts: vec![],
        zones: vec![],
    }
}

fn deny(rule: AclRule) -> AclRule {
    AclRule {
        effect: Permission::Deny,
        ..rule
    }
}

fn object(object: &str, rules: Vec<AclRule>) -> KafkaAcl {
    KafkaAcl {
        object: object.parse().unwrap(),
        cluster: CLUSTER.parse().unwrap(),
        rules,
    }
}

/// `kafka/main` lets `shop` and `bank` in; `shop` owns `orders`, `bank` owns
/// `money`, and `evil`, which is not let in, has an object for `coins`.
fn world() -> (Vec<Topic>, Vec<Cluster>) {
    let topic = |object: &str, topic: &str, created| Topic {
        object: object.parse().unwrap(),
        cluster: CLUSTER.parse().unwrap(),
        topic: topic.to_owned(),
        created,
    };
    let topics = vec![
        topic("shop/a", "orders", 1),
        topic("bank/a", "money", 1),
        topic("shop/late", "money", 2),
        topic("evil/a", "coins", 1),
    ];
    let clusters = vec![Cluster {
        object: CLUSTER.parse().unwrap(),
        allowed: AllowedNamespaces::Only(["shop".to_owned(), "bank".to_owned()].into()),
    }];
    (topics, clusters)
}

fn compiled(acls: &[KafkaAcl]) -> Compiled {
    let (topics, clusters) = world();
    compile("td", acls, &topics, &clusters)
}

/// The rules as text, and the findings' paths, of one object with these rules.
fn outcome(name: &str, rules: Vec<AclRule>) -> (Vec<String>, Vec<String>) {
    let compiled = compiled(&[object(name, rules)]);
    let rules = compiled.clusters[&CLUSTER.parse().unwrap()].iter();
    let line = |rule: &Rule| {
        let zones: Vec<_> = rule.zones.iter().map(String::as_str).collect();
        let partitions = rule.partitions.as_ref().map(ToString::to_string);
        let conditions = [zones.join(","), partitions.unwrap_or_default()];
        let acl = rule.acl.to_string().replace("spiffe://td/ns/", "");
        [&[acl], &conditions[..]]
            .concat()
            .join(" ")
            .trim_end()
            .to_owned()
    };
    let findings = compiled.findings.iter().map(|f| f.path.clone());
    let mut rules: Vec<_> = rules.map(line).collect();
    rules.sort();
    (rules, findings.collect())
}

// --- what comes out ---

#[test]
fn a_rule_becomes_one_for_each_principal_operation_and_host() {
    let mut rule = read(target(
        ResourceType::Group,
        Pattern::Prefixed,
        Some("shop-"),
    ));
    rule.principals = vec![account(None, "a"), user("User:CN=b"), any()];
    rule.operations = vec![Operation::Read, Operation::Delete];
    rule.hosts = vec!["10.0.0.1/32".to_owned(), "fd00::/8".to_owned()];
    rule.zones = vec!["z".to_owned()];
    let (rules, findings) = outcome("kafka/x", vec![rule]);
    assert_eq!(findings, [""; 0]);
    assert_eq!(rules.len(), 12);
    for line in [
        r#"Allow User:kafka/sa/a Read on Prefixed Group "shop-" from 10.0.0.1 z"#,
        r#"Allow User:CN=b Delete on Prefixed Group "shop-" from fd00::/8 z"#,
        r#"Allow User:* Read on Prefixed Group "shop-" from fd00::/8 z"#,
    ] {
        assert!(rules.iter().any(|rule| rule == line), "{line}: {rules:#?}");
    }
}

#[test]
fn any_is_kafkas_asterisk_and_the_cluster_is_itself() {
    for (target, line) in [
        (
            target(ResourceType::Topic, Pattern::Any, None),
            "Literal Topic \"*\"",
        ),
        (
            target(ResourceType::Cluster, Pattern::Literal, None),
            "Literal Cluster \"kafka-cluster\"",
        ),
        (
            target(ResourceType::Cluster, Pattern::Any, None),
            "Literal Cluster \"kafka-cluster\"",
        ),
    ] {
        let mut rule = read(target);
        rule.operations = vec![Operation::All];
        let (rules, findings) = outcome("kafka/x", vec![rule]);
        assert_eq!(
            rules,
            [format!("Allow User:shop/sa/checkout All on {line} from *")]
        );
        assert_eq!(findings, [""; 0]);
    }
}

#[test]
fn a_rule_knows_where_it_comes_from() {
    let compiled = compiled(&[
        object("shop/x", vec![read(topic("orders"))]),
        object("bank/y", vec![read(topic("nothing")), read(topic("money"))]),
    ]);
    let rules = &compiled.clusters[&CLUSTER.parse().unwrap()];
    let sources: Vec<_> = rules.iter().map(|r| r.source.as_str()).collect();
    assert_eq!(
        sources,
        ["KafkaAcl bank/y rules[1]", "KafkaAcl shop/x rules[0]"]
    );
    assert_eq!(
        compiled.objects,
        [
            ("bank/y".parse().unwrap(), 1),
            ("shop/x".parse().unwrap(), 1)
        ]
        .into()
    );
}

// --- whose word counts ---

#[test]
fn a_namespace_speaks_about_its_own_topics_to_anybody() {
    let mut open = read(topic("orders"));
    open.principals = vec![any()];
    let mut outside = read(topic("orders"));
    outside.principals = vec![Principal {
        spiffe_id: Some("spiffe://other.example/billing".to_owned()),
        ..Principal::default()
    }];
    let (rules, findings) = outcome("shop/x", vec![open, deny(read(topic("orders"))), outside]);
    assert_eq!(findings, [""; 0]);
    assert_eq!(
        rules,
        [
            r#"Allow User:* Read on Literal Topic "orders" from *"#,
            r#"Allow User:spiffe://other.example/billing Read on Literal Topic "orders" from *"#,
            r#"Deny User:shop/sa/checkout Read on Literal Topic "orders" from *"#,
        ]
    );
}

#[test]
fn a_namespace_does_not_speak_about_anything_else() {
    use ResourceType::{Cluster, DelegationToken, Group, Topic, TransactionalId, User};
    for (target, path) in [
        // Another namespace's, the later claim on one, and one that nobody owns.
        (topic("money"), "resource.name"),
        (topic("nobodys"), "resource.name"),
        (topic("coins"), "resource.name"),
        (
            target(Topic, Pattern::Prefixed, Some("orders")),
            "resource.pattern",
        ),
        (target(Topic, Pattern::Any, None), "resource.pattern"),
        (
            target(Group, Pattern::Literal, Some("orders")),
            "resource.type",
        ),
        (
            target(TransactionalId, Pattern::Literal, Some("orders")),
            "resource.type",
        ),
        (target(Cluster, Pattern::Literal, None), "resource.type"),
        (
            target(DelegationToken, Pattern::Literal, Some("orders")),
            "resource.type",
        ),
        (
            target(User, Pattern::Literal, Some("User:a")),
            "resource.type",
        ),
    ] {
        for effect in Permission::ALL {
            let rule = AclRule {
                effect,
                operations: vec![Operation::All],
                ..read(target.clone())
            };
            let (rules, findings) = outcome("shop/x", vec![rule, read(topic("orders"))]);
            assert_eq!(findings, [format!("spec.rules[0].{path}")], "{target:?}");
            // The rest counts.
            assert_eq!(rules.len(), 1, "{target:?}");
        }
    }
}

#[test]
fn whoever_is_not_let_in_says_nothing_and_is_told() {
    let mut nowhere = object("shop/x", vec![read(topic("orders"))]);
    nowhere.cluster = "kafka/other".parse().unwrap();
    let compiled = compiled(&[object("evil/x", vec![read(topic("coins"))]), nowhere]);
    assert!(compiled.clusters.values().all(Vec::is_empty));
    let problems: Vec<_> = compiled.findings.iter().map(|f| &f.problem).collect();
    assert_eq!(
        problems,
        [
            &Problem::NotAllowed(CLUSTER.parse().unwrap()),
            &Problem::NoCluster("kafka/other".parse().unwrap())
        ]
    );
}

#[test]
fn a_finding_says_that_it_is_in_a_denial() {
    let compiled = compiled(&[object("shop/x", vec![deny(read(topic("money")))])]);
    let [finding] = compiled.findings.as_slice() else {
        panic!("{:?}", compiled.findings);
    };
    assert_eq!(finding.effect, Some(Permission::Deny));
    let text = finding.to_string();
    for part in [
        "KafkaAcl shop/x: spec.rules[0].resource.name: in a denial",
        "\"money\"",
        "\"kafka\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

// --- what cannot be read ---

#[test]
fn what_cannot_be_read_narrows_an_allowance_and_widens_a_denial() {
    let rule = |change: fn(&mut AclRule)| {
        let mut rule = read(topic("orders"));
        change(&mut rule);
        rule
    };
    let one_bad = rule(|r| r.hosts = vec!["x".to_owned(), "10.0.0.1".to_owned()]);
    let all_bad = rule(|r| r.hosts = vec!["10.0.0.1/8".to_owned()]);
    let one_zone = rule(|r| r.zones = vec![String::new(), "z".to_owned()]);
    let no_zone = rule(|r| r.zones = vec![String::new()]);
    let partitions = rule(|r| r.resource.partitions = Some("3-1".to_owned()));
    let altered = rule(|r| {
        r.resource.partitions = Some("1".to_owned());
        r.operations = vec![Operation::Alter];
    });
    for (rule, path, allowed, denied) in [
        (
            one_bad,
            "hosts[0]",
            Some("Read from 10.0.0.1"),
            "Read from *",
        ),
        (all_bad, "hosts[0]", None, "Read from *"),
        (one_zone, "zones[0]", Some("Read from * z"), "Read from *"),
        (no_zone, "zones[0]", None, "Read from *"),
        (partitions, "resource.partitions", None, "Read from *"),
        (altered, "operations[0]", None, "Alter from *"),
    ] {
        let short = |rules: Vec<String>| -> Vec<_> {
            let words = rules.into_iter();
            let cut = |line: String| {
                line.replace(r#" on Literal Topic "orders""#, "")
                    .replace("Allow User:shop/sa/checkout ", "")
                    .replace("Deny User:shop/sa/checkout ", "")
            };
            words.map(cut).collect()
        };
        let (rules, findings) = outcome("kafka/x", vec![rule.clone()]);
        assert_eq!(
            short(rules),
            allowed.into_iter().collect::<Vec<_>>(),
            "{path}"
        );
        assert_eq!(findings, [format!("spec.rules[0].{path}")]);
        let (rules, findings) = outcome("kafka/x", vec![deny(rule)]);
        assert_eq!(short(rules), [denied], "{path}");
        assert_eq!(findings, [format!("spec.rules[0].{path}")]);
    }
}

#[test]
fn a_principal_has_exactly_one_form() {
    let both = Principal {
        any: Some(true),
        ..user("User:a")
    };
    let no = Principal {
        any: Some(false),
        ..Principal::default()
    };
    let id = |id: &str| Principal {
        spiffe_id: Some(id.to_owned()),
        ..Principal::default()
    };
    for wrong in [
        Principal::default(),
        both,
        no,
        user("User:"),
        user("User:*"),
        user("alice"),
        user("Group:a"),
        id("spiffe://td"),
        id("User:a"),
        account(Some("a/sa/b"), "c"),
        account(None, ""),
    ] {
        let mut rule = read(topic("orders"));
        rule.principals.push(wrong.clone());
        let (rules, findings) = outcome("kafka/x", vec![rule]);
        assert_eq!(rules.len(), 1, "{wrong:?}");
        assert_eq!(findings, ["spec.rules[0].principals[1]"], "{wrong:?}");
    }
}

#[test]
fn what_means_nothing_is_told() {
    use ResourceType::{Cluster, Group, Topic};
    let rule = |target: Target, operations: &[Operation]| AclRule {
        operations: operations.to_vec(),
        ..read(target)
    };
    let read_only = [Operation::Read];
    let mut parts = target(Group, Pattern::Literal, Some("g"));
    parts.partitions = Some("0".to_owned());
    for (rule, path) in [
        (
            rule(target(Cluster, Pattern::Literal, None), &read_only),
            "operations[0]",
        ),
        (rule(topic("t"), &[]), "operations"),
        (rule(topic("*"), &read_only), "resource.name"),
        (rule(topic(""), &read_only), "resource.name"),
        (
            rule(target(Topic, Pattern::Literal, None), &read_only),
            "resource.name",
        ),
        (
            rule(target(Topic, Pattern::Prefixed, None), &read_only),
            "resource.name",
        ),
        (
            rule(target(Topic, Pattern::Any, Some("t")), &read_only),
            "resource.name",
        ),
        (
            rule(
                target(Cluster, Pattern::Literal, Some("main")),
                &[Operation::All],
            ),
            "resource.name",
        ),
        (
            rule(target(Cluster, Pattern::Prefixed, None), &[Operation::All]),
            "resource.pattern",
        ),
        (rule(parts, &read_only), "resource.partitions"),
    ] {
        let (rules, findings) = outcome("kafka/x", vec![rule.clone()]);
        assert_eq!(rules, [""; 0], "{rule:?}");
        assert_eq!(findings, [format!("spec.rules[0].{path}")], "{rule:?}");
    }
}

#[test]
fn an_object_that_makes_too_many_rules_keeps_its_denials() {
    let wide = |first: usize| {
        let mut rule = read(topic("orders"));
        rule.principals = (first..first + 6_000)
            .map(|i| account(None, &format!("a{i}")))
            .collect();
        rule
    };
    let (rules, findings) = outcome(
        "shop/x",
        vec![wide(0), deny(wide(0)), read(topic("orders"))],
    );
    assert_eq!(findings, ["spec.rules[0]"]);
    assert_eq!(rules.len(), 6_001);
    assert_eq!(
        rules.iter().filter(|r| r.starts_with("Deny")).count(),
        6_000
    );
}

// --- properties ---

fn any_target() -> impl Strategy<Value = Target> {
    let names = select(&["orders", "money", "coins", "o", "*", "", "kafka-cluster"][..]);
    (
        prop_oneof![2 => Just(ResourceType::Topic), 1 => select(&ResourceType::ALL[..])],
        select(
            &[
                Pattern::Literal,
                Pattern::Literal,
                Pattern::Prefixed,
                Pattern::Any,
            ][..],
        ),
        proptest::option::weighted(0.8, names),
        select(&[None, None, Some("0-3"), Some("x")][..]),
    )
        .prop_map(|(kind, pattern, name, partitions)| Target {
            partitions: partitions.map(str::to_owned),
            ..target(kind, pattern, name)
        })
}

fn any_rule() -> impl Strategy<Value = AclRule> {
    let principals = vec![
        account(None, "a"),
        any(),
        user("User:b"),
        Principal::default(),
    ];
    let words = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    (
        select(&Permission::ALL[..]),
        subsequence(principals, 0..=3),
        any_target(),
        subsequence(&Operation::ALL[..], 0..=4),
        subsequence(vec!["10.0.0.0/8", "x", "10.0.0.1/8", "fd00::1"], 0..=3).prop_map(words),
        subsequence(vec!["z", ""], 0..=2).prop_map(words),
    )
        .prop_map(
            |(effect, principals, resource, operations, hosts, zones)| AclRule {
                effect,
                principals,
                resource,
                operations,
                hosts,
                zones,
            },
        )
}

fn any_objects() -> impl Strategy<Value = Vec<KafkaAcl>> {
    let namespaces = select(&["kafka", "shop", "bank", "evil"][..]);
    let one = (namespaces, vec(any_rule(), 0..4));
    vec(one, 1..4).prop_map(|objects| {
        let named = objects.into_iter().enumerate();
        named
            .map(|(i, (namespace, rules))| object(&format!("{namespace}/x{i}"), rules))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Who owns what is written down again here, by hand.
    #[test]
    fn no_namespace_speaks_about_what_is_not_its_own(acls in any_objects()) {
        let compiled = compiled(&acls);
        for rule in compiled.clusters.values().flatten() {
            let namespace = rule.source.strip_prefix("KafkaAcl ").unwrap().split('/').next();
            let own = match namespace.unwrap() {
                "kafka" => continue,
                "shop" => "orders",
                "bank" => "money",
                other => panic!("{other} is not let in"),
            };
            prop_assert_eq!(rule.acl.resource_type, ResourceType::Topic);
            prop_assert_eq!(rule.acl.pattern, PatternType::Literal);
            prop_assert_eq!(rule.acl.name.as_str(), own);
        }
    }

    #[test]
    fn what_comes_out_passes_the_check_and_every_rule_counts_or_is_told(acls in any_objects()) {
        let compiled = compiled(&acls);
        for rules in compiled.clusters.values() {
            let rules = AccessRules { rules: rules.clone(), ..AccessRules::default() };
            prop_assert_eq!(rules.check(), Ok(()));
        }
        for acl in &acls {
            let told = |path: &str| compiled.findings.iter()
                .any(|f| f.object == acl.object && f.path.starts_with(path));
            for i in 0..acl.rules.len() {
                let source = format!("KafkaAcl {} rules[{i}]", acl.object);
                let counts = compiled.clusters.values().flatten().any(|r| r.source == source);
                let path = format!("spec.rules[{i}]");
                prop_assert!(counts || told(&path) || told("spec.cluster"), "{}", source);
            }
        }
    }
}
