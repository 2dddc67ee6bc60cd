//! Every combination, against a second evaluator.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;

/// The API server's decision, written down again without any of the code above:
/// may this service account do `verb` on `resource` `name` in `namespace`?
fn can_i(
    inputs: &Inputs,
    who: &ObjectRef,
    verb: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> bool {
    let user = format!("system:serviceaccount:{}:{}", who.namespace, who.name);
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{}", who.namespace),
        "system:authenticated".to_owned(),
    ];
    let is = |subject: &Subject, binding: &Binding| match subject {
        Subject::ServiceAccount { namespace, name } => {
            let namespace = namespace.as_ref().or(binding.namespace.as_ref());
            namespace == Some(&who.namespace) && *name == who.name
        }
        Subject::User(u) => *u == user,
        Subject::Group(g) => groups.contains(g),
    };
    let any = |list: &[String], word: &str| list.iter().any(|x| x == word || x == "*");
    let allows = |rule: &Rule| {
        any(&rule.verbs, verb)
            && any(&rule.api_groups, "kafka.tubeway.dev")
            && any(&rule.resources, resource)
            && (rule.resource_names.is_empty() || rule.resource_names.iter().any(|n| n == name))
    };
    inputs
        .bindings
        .iter()
        .filter(|b| b.namespace.as_deref().is_none_or(|own| own == namespace))
        .filter(|b| b.subjects.iter().any(|s| is(s, b)))
        .any(|b| match (&b.role, &b.namespace) {
            (RoleRef::Role(role), Some(own)) => inputs
                .roles
                .iter()
                .filter(|r| r.object.name == *role && r.object.namespace == *own)
                .any(|r| r.rules.iter().any(allows)),
            (RoleRef::Role(_), None) => false,
            (RoleRef::ClusterRole(role), _) => inputs
                .cluster_roles
                .iter()
                .filter(|r| r.name == *role)
                .any(|r| r.rules.iter().any(allows)),
        })
}

/// Whether a broker would let it pass, implied DESCRIBE aside.
fn kafka_allows(
    set: &RuleSet,
    who: &ObjectRef,
    op: Operation,
    kind: ResourceType,
    name: &str,
) -> bool {
    let principal = format!("User:spiffe://td/ns/{}/sa/{}", who.namespace, who.name);
    set.acls().any(|acl| {
        acl.principal == principal
            && acl.resource_type == kind
            && (acl.name == name || acl.name == "*")
            && (acl.operation == op || acl.operation == Operation::All)
    })
}

const NAMESPACES: [&str; 3] = ["kafka", "shop", "ops"];
const ACCOUNTS: [&str; 2] = ["a", "b"];
const OBJECTS: [&str; 2] = ["x", "y"];

fn any_rule() -> impl Strategy<Value = Rule> {
    let verbs = vec![
        "produce",
        "consume",
        "describe",
        "alterconfigs",
        "deleterecords",
        "join",
        "delete",
        "use",
        "alter",
        "administer",
        "get",
        "*",
    ];
    let resources = vec![
        "kafkatopics",
        "kafkagroups",
        "kafkatransactionalids",
        "kafkaclusters",
        "kafkatopics/status",
        "pods",
        "*",
    ];
    (
        prop_oneof![
            6 => Just(vec![API_GROUP]),
            1 => subsequence(vec!["apps", "", "*"], 1..=2),
        ],
        subsequence(resources, 1..=2),
        subsequence(vec!["x", "y", "main", "other"], 0..=2),
        subsequence(verbs, 1..=3),
    )
        .prop_map(|(groups, resources, names, verbs)| Rule {
            api_groups: words(&groups),
            resources: words(&resources),
            resource_names: words(&names),
            verbs: words(&verbs),
        })
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let (namespace, name) = (select(&NAMESPACES), select(&ACCOUNTS));
    prop_oneof![
        4 => (proptest::option::of(namespace.clone()), name.clone()).prop_map(|(namespace, name)| {
            Subject::ServiceAccount { namespace: namespace.map(str::to_owned), name: name.to_owned() }
        }),
        1 => (namespace, name).prop_map(|(ns, n)| {
            Subject::User(format!("system:serviceaccount:{ns}:{n}"))
        }),
        1 => select(vec![
            "system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated",
            "system:masters", "system:serviceaccounts:",
        ]).prop_map(|g| Subject::Group(g.to_owned())),
    ]
}

fn any_binding() -> impl Strategy<Value = Binding> {
    let role = prop_oneof![
        select(&["r", "r", "r", "gone"]).prop_map(|r| RoleRef::Role(r.to_owned())),
        select(&["cr", "cr", "cr", "none"]).prop_map(|r| RoleRef::ClusterRole(r.to_owned())),
    ];
    (
        proptest::option::weighted(0.7, select(&NAMESPACES)),
        role,
        proptest::collection::vec(any_subject(), 0..3),
    )
        .prop_map(|(namespace, role, subjects)| bind(namespace, role, &subjects))
}

fn any_inputs() -> impl Strategy<Value = Inputs> {
    use proptest::collection::vec;
    // A Role `r` in every namespace, so that most bindings give something.
    let role = vec(vec(any_rule(), 0..3), NAMESPACES.len()).prop_map(|rules| {
        let role = |(namespace, rules): (&&str, _)| Role {
            object: ObjectRef::new(*namespace, "r"),
            rules,
        };
        NAMESPACES.iter().zip(rules).map(role).collect::<Vec<_>>()
    });
    let topic = (
        select(&NAMESPACES),
        select(&OBJECTS),
        select(&["main", "other"]),
        0..3_i64,
    )
        .prop_map(|(ns, object, cluster, created)| {
            topic(
                &format!("{ns}/{object}"),
                &format!("kafka/{cluster}"),
                object,
                created,
            )
        });
    let allowed = prop_oneof![
        Just(AllowedNamespaces::All),
        subsequence(NAMESPACES.to_vec(), 0..=2)
            .prop_map(|n| AllowedNamespaces::Only(n.into_iter().map(str::to_owned).collect())),
    ];
    (
        role,
        vec(any_rule(), 0..3),
        vec(any_binding(), 0..5),
        vec(topic, 0..5),
        (allowed.clone(), allowed),
    )
        .prop_map(|(roles, cluster_rules, bindings, mut topics, allowed)| {
            // The API server holds one object of a kind by a name.
            topics.sort_by(|a, b| a.object.cmp(&b.object));
            topics.dedup_by(|a, b| a.object == b.object);
            let cluster = |name, allowed| Cluster {
                object: ObjectRef::new("kafka", name),
                allowed,
            };
            Inputs {
                trust_domain: "td".to_owned(),
                roles,
                cluster_roles: vec![ClusterRole {
                    name: "cr".to_owned(),
                    labels: BTreeMap::new(),
                    rules: cluster_rules,
                    aggregates: Vec::new(),
                }],
                bindings,
                service_accounts: NAMESPACES
                    .iter()
                    .flat_map(|ns| ACCOUNTS.iter().map(|a| ObjectRef::new(*ns, *a)))
                    .collect(),
                topics,
                clusters: vec![cluster("main", allowed.0), cluster("other", allowed.1)],
            }
        })
}

fn admitted(cluster: &Cluster, namespace: &str) -> bool {
    cluster.object.namespace == namespace
        || match &cluster.allowed {
            AllowedNamespaces::All => true,
            AllowedNamespaces::Only(names) => names.contains(namespace),
        }
}

/// The object that speaks for a topic, found the slow way.
fn owner<'a>(inputs: &'a Inputs, cluster: &Cluster, name: &str) -> Option<&'a Topic> {
    inputs
        .topics
        .iter()
        .filter(|t| t.cluster == cluster.object && t.topic == name)
        .filter(|t| admitted(cluster, &t.object.namespace))
        .min_by_key(|t| (t.created, t.object.namespace.clone(), t.object.name.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn kafka_and_kubernetes_give_the_same_answer(inputs in any_inputs()) {
        let compiled = compile(&inputs);
        for cluster in &inputs.clusters {
            let set = &compiled.clusters[&cluster.object];
            let ObjectRef { namespace, name } = &cluster.object;
            for who in &inputs.service_accounts {
                let on_cluster = |verb| can_i(&inputs, who, verb, "kafkaclusters", namespace, name);
                let admin = on_cluster("administer");
                for (verb, op) in [
                    ("produce", Operation::Write), ("consume", Operation::Read),
                    ("describe", Operation::Describe), ("alterconfigs", Operation::AlterConfigs),
                    ("deleterecords", Operation::Delete),
                ] {
                    for topic in ["x", "y", "unheard-of"] {
                        let owner = owner(&inputs, cluster, topic);
                        let can = admin || owner.is_some_and(|o| {
                            can_i(&inputs, who, verb, "kafkatopics", &o.object.namespace, &o.object.name)
                        });
                        let may = kafka_allows(set, who, op, ResourceType::Topic, topic);
                        prop_assert_eq!(can, may, "{} {} {}", who, verb, topic);
                    }
                }
                for (verb, op, kind, resource) in [
                    ("join", Operation::Read, ResourceType::Group, "kafkagroups"),
                    ("describe", Operation::Describe, ResourceType::Group, "kafkagroups"),
                    ("delete", Operation::Delete, ResourceType::Group, "kafkagroups"),
                    ("use", Operation::Write, ResourceType::TransactionalId, "kafkatransactionalids"),
                    ("describe", Operation::Describe, ResourceType::TransactionalId, "kafkatransactionalids"),
                ] {
                    for name in ["x", "unheard-of"] {
                        let can = admin || NAMESPACES.iter().any(|ns| {
                            admitted(cluster, ns) && can_i(&inputs, who, verb, resource, ns, name)
                        });
                        let may = kafka_allows(set, who, op, kind, name);
                        prop_assert_eq!(can, may, "{} {} {} {}", who, verb, resource, name);
                    }
                }
                for (verb, op) in [
                    ("describe", Operation::Describe), ("describe", Operation::DescribeConfigs),
                    ("alter", Operation::Alter), ("alter", Operation::AlterConfigs),
                    ("administer", Operation::ClusterAction),
                ] {
                    let may = kafka_allows(set, who, op, ResourceType::Cluster, "kafka-cluster");
                    prop_assert_eq!(admin || on_cluster(verb), may, "{} {}", who, verb);
                }
            }
        }
    }

    #[test]
    fn the_order_of_the_inputs_does_not_matter(inputs in any_inputs()) {
        let mut reversed = inputs.clone();
        reversed.roles.reverse();
        reversed.bindings.reverse();
        reversed.topics.reverse();
        reversed.clusters.reverse();
        reversed.service_accounts.reverse();
        let (one, other) = (compile(&inputs), compile(&reversed));
        prop_assert_eq!(one.clusters, other.clusters);
        prop_assert_eq!(one.findings, other.findings);
    }
}
