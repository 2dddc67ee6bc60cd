//! Cases one by one.

mod combinations;

use super::*;
use crate::rbac::{
    API_GROUP, AllowedNamespaces, Binding, ClusterRole, Requirement, Role, RoleRef, Selector,
    Subject,
};

// --- builders ---

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|w| (*w).to_owned()).collect()
}

fn rule(resources: &[&str], names: &[&str], verbs: &[&str]) -> Rule {
    Rule {
        api_groups: words(&[API_GROUP]),
        resources: words(resources),
        resource_names: words(names),
        verbs: words(verbs),
    }
}

fn account(namespace: &str, name: &str) -> Subject {
    Subject::ServiceAccount {
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
    }
}

fn bind(namespace: Option<&str>, role: RoleRef, subjects: &[Subject]) -> Binding {
    Binding {
        namespace: namespace.map(str::to_owned),
        name: "b".to_owned(),
        role,
        subjects: subjects.to_vec(),
    }
}

fn topic(object: &str, cluster: &str, name: &str, created: i64) -> Topic {
    Topic {
        object: object.parse().unwrap(),
        cluster: cluster.parse().unwrap(),
        topic: name.to_owned(),
        created,
    }
}

/// One cluster `kafka/main` that admits `shop`, two topics of `shop`, one Role
/// `shop/r` with these rules, bound there to `subjects`.
fn shop(rules: Vec<Rule>, subjects: &[Subject]) -> Inputs {
    Inputs {
        trust_domain: "td".to_owned(),
        roles: vec![Role {
            object: ObjectRef::new("shop", "r"),
            rules,
        }],
        bindings: vec![bind(Some("shop"), RoleRef::Role("r".to_owned()), subjects)],
        service_accounts: vec![
            ObjectRef::new("shop", "a"),
            ObjectRef::new("shop", "b"),
            ObjectRef::new("ops", "c"),
        ],
        topics: vec![
            topic("shop/orders", "kafka/main", "shop.orders", 1),
            topic("shop/bills", "kafka/main", "bills", 1),
        ],
        clusters: vec![Cluster {
            object: ObjectRef::new("kafka", "main"),
            allowed: AllowedNamespaces::Only(["shop".to_owned()].into()),
        }],
        ..Inputs::default()
    }
}

/// The one cluster's ACLs, as `account operation type name`.
fn lines(inputs: &Inputs) -> Vec<String> {
    let compiled = compile(inputs);
    let mut lines: Vec<_> = compiled.clusters[&ObjectRef::new("kafka", "main")]
        .acls()
        .map(|acl| {
            let who = acl.principal.strip_prefix("User:spiffe://td/ns/").unwrap();
            let who = who.replace("/sa/", "/");
            format!(
                "{who} {:?} {:?} {}",
                acl.operation, acl.resource_type, acl.name
            )
        })
        .collect();
    lines.sort();
    lines
}

// --- cases ---

#[test]
fn a_verb_on_a_named_topic_is_one_acl() {
    let rules = vec![rule(&["kafkatopics"], &["orders"], &["produce"])];
    let inputs = shop(rules, &[account("shop", "a")]);
    assert_eq!(lines(&inputs), ["shop/a Write Topic shop.orders"]);
}

#[test]
fn every_verb_has_its_operation() {
    let rules = vec![
        rule(&["kafkatopics"], &["orders"], &["*"]),
        rule(&["kafkagroups"], &["g"], &["*"]),
        rule(&["kafkatransactionalids"], &["x"], &["*"]),
    ];
    let inputs = shop(rules, &[account("shop", "a")]);
    assert_eq!(
        lines(&inputs),
        [
            "shop/a AlterConfigs Topic shop.orders",
            "shop/a Delete Group g",
            "shop/a Delete Topic shop.orders",
            "shop/a Describe Group g",
            "shop/a Describe Topic shop.orders",
            "shop/a Describe TransactionalId x",
            "shop/a Read Group g",
            "shop/a Read Topic shop.orders",
            "shop/a Write Topic shop.orders",
            "shop/a Write TransactionalId x",
        ]
    );
}

#[test]
fn without_resource_names_a_rule_means_all_of_the_namespace() {
    let rules = vec![rule(
        &["kafkatopics", "kafkagroups"],
        &[],
        &["consume", "join"],
    )];
    let mut inputs = shop(rules, &[account("shop", "a")]);
    inputs
        .topics
        .push(topic("kafka/audit", "kafka/main", "audit", 1));
    assert_eq!(
        lines(&inputs),
        [
            "shop/a Read Group *",
            "shop/a Read Topic bills",
            "shop/a Read Topic shop.orders",
        ]
    );
}

#[test]
fn an_asterisk_among_resource_names_is_no_pattern() {
    let rules = vec![rule(&["kafkatopics", "kafkagroups"], &["*"], &["*"])];
    let inputs = shop(rules, &[account("shop", "a")]);
    assert_eq!(lines(&inputs), Vec::<String>::new());
}

#[test]
fn kubernetes_own_verbs_give_nothing_on_topics() {
    let rules = vec![rule(
        &["kafkatopics"],
        &[],
        &["get", "list", "delete", "update"],
    )];
    let inputs = shop(rules, &[account("shop", "a")]);
    assert!(lines(&inputs).is_empty());
}

#[test]
fn another_api_group_or_a_subresource_gives_nothing() {
    let mut other = rule(&["kafkatopics"], &[], &["produce"]);
    other.api_groups = words(&["kafka.strimzi.io"]);
    let sub = rule(&["kafkatopics/status"], &[], &["produce"]);
    assert!(lines(&shop(vec![other, sub], &[account("shop", "a")])).is_empty());
}

#[test]
fn groups_of_service_accounts_are_their_members() {
    let rules = || vec![rule(&["kafkatopics"], &["orders"], &["produce"])];
    let group = |name: &str| [Subject::Group(name.to_owned())];
    let (a, b, c) = (
        "shop/a Write Topic shop.orders",
        "shop/b Write Topic shop.orders",
        "ops/c Write Topic shop.orders",
    );
    for (name, expected) in [
        ("system:serviceaccounts:shop", vec![a, b]),
        ("system:serviceaccounts:ops", vec![c]),
        ("system:serviceaccounts:none", vec![]),
        ("system:serviceaccounts", vec![c, a, b]),
        ("system:authenticated", vec![c, a, b]),
    ] {
        let inputs = shop(rules(), &group(name));
        assert_eq!(lines(&inputs), expected, "{name}");
        assert_eq!(compile(&inputs).findings, [], "{name}");
    }
}

#[test]
fn a_users_name_can_be_a_service_account() {
    let rules = vec![rule(&["kafkatopics"], &["orders"], &["produce"])];
    let user = Subject::User("system:serviceaccount:ops:robot".to_owned());
    assert_eq!(
        lines(&shop(rules, &[user])),
        ["ops/robot Write Topic shop.orders"]
    );
}

#[test]
fn other_subjects_are_found_and_said() {
    let rules = vec![rule(&["kafkatopics"], &["orders"], &["produce"])];
    let subjects = [
        Subject::User("alice".to_owned()),
        Subject::Group("system:masters".to_owned()),
        account("shop", "no/sa/way"),
    ];
    let inputs = shop(rules, &subjects);
    assert!(lines(&inputs).is_empty());
    let said: Vec<_> = compile(&inputs)
        .findings
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with("RoleBinding shop/b of Role r: subject \"alice\""));
}

#[test]
fn a_role_that_is_not_ours_is_no_finding() {
    let mut pods = rule(&["pods"], &[], &["*"]);
    pods.api_groups = words(&[""]);
    let inputs = shop(vec![pods], &[Subject::User("alice".to_owned())]);
    assert!(compile(&inputs).findings.is_empty());
}

#[test]
fn a_binding_of_no_role_is_a_finding() {
    let mut inputs = shop(vec![], &[account("shop", "a")]);
    inputs.roles.clear();
    assert!(matches!(
        compile(&inputs).findings.as_slice(),
        [Finding::NoRole(_)]
    ));
}

#[test]
fn a_role_of_another_namespace_is_not_meant() {
    let rules = vec![rule(&["kafkatopics"], &[], &["produce"])];
    let mut inputs = shop(rules, &[account("shop", "a")]);
    inputs.bindings[0].namespace = Some("evil".to_owned());
    assert!(lines(&inputs).is_empty());
}

#[test]
fn a_namespace_that_the_cluster_does_not_admit_gets_nothing() {
    let rules = vec![rule(&["*"], &[], &["*"])];
    let mut inputs = shop(rules, &[account("shop", "a")]);
    inputs.clusters[0].allowed = AllowedNamespaces::Only(BTreeSet::new());
    assert!(lines(&inputs).is_empty());
}

#[test]
fn a_second_object_for_a_topic_opens_nothing() {
    let rules = vec![rule(&["kafkatopics"], &[], &["consume"])];
    let mut inputs = shop(rules.clone(), &[]);
    inputs.clusters[0].allowed = AllowedNamespaces::All;
    inputs
        .topics
        .push(topic("evil/mine", "kafka/main", "bills", 2));
    inputs.roles.push(Role {
        object: ObjectRef::new("evil", "r"),
        rules,
    });
    let role = RoleRef::Role("r".to_owned());
    inputs
        .bindings
        .push(bind(Some("evil"), role, &[account("evil", "x")]));
    assert!(lines(&inputs).is_empty());
}

#[test]
fn who_administers_has_everything_and_nothing_besides() {
    let mut inputs = shop(
        vec![rule(&["kafkatopics"], &["orders"], &["produce"])],
        &[account("shop", "a")],
    );
    inputs.cluster_roles.push(ClusterRole {
        name: "admin".to_owned(),
        labels: BTreeMap::new(),
        rules: vec![rule(&["kafkaclusters"], &["main"], &["administer"])],
        aggregates: Vec::new(),
    });
    let role = RoleRef::ClusterRole("admin".to_owned());
    inputs
        .bindings
        .push(bind(None, role, &[account("shop", "a")]));
    assert_eq!(
        lines(&inputs),
        [
            "shop/a All Cluster kafka-cluster",
            "shop/a All DelegationToken *",
            "shop/a All Group *",
            "shop/a All Topic *",
            "shop/a All TransactionalId *",
            "shop/a All User *",
        ]
    );
}

#[test]
fn aggregation_follows_labels_to_any_depth_and_stops_in_a_circle() {
    let label = |key: &str| BTreeMap::from([(key.to_owned(), "true".to_owned())]);
    let select = |key: &str| vec![Selector(vec![Requirement::Exists(key.to_owned())])];
    let role = |name: &str, labels, rules, aggregates| ClusterRole {
        name: name.to_owned(),
        labels,
        rules,
        aggregates,
    };
    let mut inputs = shop(vec![], &[]);
    let topics = vec![rule(&["kafkatopics"], &["orders"], &["produce"])];
    inputs.cluster_roles = vec![
        role("top", label("to-leaf"), vec![], select("to-middle")),
        role("middle", label("to-middle"), vec![], select("to-leaf")),
        role("leaf", label("to-leaf"), topics, vec![]),
    ];
    inputs.bindings = vec![bind(
        Some("shop"),
        RoleRef::ClusterRole("top".to_owned()),
        &[account("shop", "a")],
    )];
    assert_eq!(lines(&inputs), ["shop/a Write Topic shop.orders"]);
}

#[test]
fn an_acl_says_which_bindings_it_comes_from() {
    let rules = vec![rule(&["kafkatopics"], &["orders"], &["produce"])];
    let mut inputs = shop(rules, &[account("shop", "a")]);
    let mut second = inputs.bindings[0].clone();
    second.name = "again".to_owned();
    inputs.bindings.push(second);
    let compiled = compile(&inputs);
    let set = &compiled.clusters[&ObjectRef::new("kafka", "main")];
    assert_eq!(set.len(), 1);
    let acl = set.acls().next().unwrap();
    let said: Vec<_> = set.explain(acl).map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "RoleBinding shop/again of Role r",
            "RoleBinding shop/b of Role r"
        ]
    );
}
