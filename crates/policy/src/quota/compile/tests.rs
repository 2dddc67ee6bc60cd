//! Who may limit what, and what becomes of it.

use super::*;
use crate::quota::{Action, Match, Selector};
use crate::rbac::AllowedNamespaces;

const CLUSTER: &str = "kafka/main";

fn quota(object: &str) -> KafkaQuota {
    KafkaQuota {
        object: object.parse().unwrap(),
        cluster: CLUSTER.parse().unwrap(),
        subjects: None,
        client_ids: None,
        topics: None,
        apis: None,
        rates: [(Dimension::ProducedBytes, 1000.0)].into(),
        held: BTreeMap::new(),
        burst_seconds: None,
        attempts: Action::Throttle,
        cluster_wide: false,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "it is what the fields are")]
fn values<T: Clone>(names: &[T], together: bool) -> Option<Values<T>> {
    Some(Values {
        names: names.to_vec(),
        together,
    })
}

fn names(names: &[&str]) -> Option<Values<String>> {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    values(&names, false)
}

fn account(namespace: Option<&str>, name: &str) -> Subject {
    Subject::ServiceAccount {
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

/// Cluster `kafka/main` admits `shop`, which owns `orders`; `kafka` owns `audit`.
fn compiled(quotas: &[KafkaQuota]) -> Compiled {
    let cluster = Cluster {
        object: CLUSTER.parse().unwrap(),
        allowed: AllowedNamespaces::Only(["shop".to_owned()].into()),
    };
    let topic = |object: &str, name: &str, created| Topic {
        object: object.parse().unwrap(),
        cluster: CLUSTER.parse().unwrap(),
        topic: name.to_owned(),
        created,
    };
    let topics = [
        topic("shop/orders", "orders", 1),
        topic("kafka/audit", "audit", 1),
        topic("shop/late", "audit", 2),
        topic("evil/mine", "mine", 1),
    ];
    compile(Inputs {
        cluster: &cluster,
        trust_domain: "td",
        quotas,
        topics: &topics,
        apis: &["Produce", "Fetch"].into(),
    })
}

fn scope(quota: KafkaQuota) -> Result<Match, Finding> {
    let mut compiled = compiled(&[quota]);
    match compiled.findings.pop() {
        Some((_, finding)) => {
            assert!(compiled.rules.quotas.is_empty(), "left out whole");
            Err(finding)
        }
        None => Ok(compiled.rules.quotas.remove(0).scope),
    }
}

fn named(list: &[&str], each: bool) -> Selector {
    Selector::Named {
        names: list.iter().map(|n| (*n).to_owned()).collect(),
        each,
    }
}

#[test]
fn each_limit_becomes_a_quota_that_says_where_it_comes_from() {
    let all = KafkaQuota {
        held: [(Held::Connections, 7)].into(),
        rates: [
            (Dimension::Requests, 5.0),
            (Dimension::ConnectionAttempts, 1.0),
        ]
        .into(),
        burst_seconds: Some(2.0),
        attempts: Action::Refuse,
        cluster_wide: true,
        ..quota("kafka/q")
    };
    let other = KafkaQuota {
        cluster: "kafka/other".parse().unwrap(),
        ..quota("kafka/elsewhere")
    };
    let compiled = compiled(&[all, other]);
    assert_eq!(compiled.findings, []);
    compiled.rules.check().unwrap();
    let quotas = &compiled.rules.quotas;
    let found: Vec<_> = quotas.iter().map(|q| (&*q.name, q.limit.clone())).collect();
    let rate = |of, per_second, action| Limit::Rate {
        of,
        per_second,
        burst: Burst::Seconds(2.0),
        action,
    };
    let held = Limit::Held {
        of: Held::Connections,
        count: 7,
    };
    let expected = [
        (
            "kafka/q/requests",
            rate(Dimension::Requests, 5.0, Action::Throttle),
        ),
        (
            "kafka/q/connectionAttempts",
            rate(Dimension::ConnectionAttempts, 1.0, Action::Refuse),
        ),
        ("kafka/q/connections", held),
    ];
    assert_eq!(found, expected);
    assert!(
        quotas
            .iter()
            .all(|q| q.source == "KafkaQuota kafka/q" && q.tier == "kafka")
    );
    assert!(quotas.iter().all(|q| q.share != Share::PerSidecar));
}

#[test]
fn the_order_of_the_objects_has_no_part_in_it() {
    let objects = ["shop/b", "kafka/q", "shop/a"].map(quota);
    let mut turned = objects.clone();
    turned.reverse();
    let names = |compiled: Compiled| -> Vec<_> {
        let quotas = compiled.rules.quotas.into_iter();
        quotas.map(|quota| quota.name).collect()
    };
    let first = names(compiled(&objects));
    assert_eq!(first.len(), 3);
    assert_eq!(names(compiled(&turned)), first);
}

#[test]
fn the_clusters_own_namespace_limits_anybody() {
    let any = quota("kafka/q");
    assert_eq!(scope(any.clone()).unwrap(), Match::default());
    let each = KafkaQuota {
        subjects: values(&[], false),
        client_ids: names(&[]),
        topics: names(&["audit"]),
        apis: names(&["Fetch"]),
        ..any.clone()
    };
    let expected = Match {
        principals: Selector::Each,
        client_ids: Selector::Each,
        topics: named(&["audit"], true),
        apis: named(&["Fetch"], true),
    };
    assert_eq!(scope(each).unwrap(), expected);
    let listed = KafkaQuota {
        subjects: values(
            &[
                account(Some("shop"), "a"),
                account(None, "b"),
                Subject::SpiffeId("spiffe://else/x".to_owned()),
                Subject::User("alice".to_owned()),
            ],
            true,
        ),
        ..any
    };
    let principals = [
        "User:spiffe://td/ns/shop/sa/a",
        "User:spiffe://td/ns/kafka/sa/b",
        "User:spiffe://else/x",
        "User:alice",
    ];
    assert_eq!(scope(listed).unwrap().principals, named(&principals, false));
}

#[test]
fn another_namespace_limits_its_own_accounts_and_its_own_topics() {
    let of = |subjects: Option<Values<Subject>>, topics| KafkaQuota {
        subjects,
        topics,
        ..quota("shop/q")
    };
    let own = |each| Selector::Prefixed {
        prefix: "User:spiffe://td/ns/shop/sa/".to_owned(),
        each,
    };
    let foreign = values(&[account(Some("bank"), "a")], false);
    let user = values(&[Subject::User("alice".to_owned())], false);
    let id = |id: &str| values(&[Subject::SpiffeId(id.to_owned())], false);
    let mine = "spiffe://td/ns/shop/sa/a";
    let a = "User:spiffe://td/ns/shop/sa/a";
    for (subjects, topics, expected) in [
        (None, None, Ok(own(false))),
        (values(&[], false), None, Ok(own(true))),
        (
            values(&[account(None, "a")], false),
            None,
            Ok(named(&[a], true)),
        ),
        (id(mine), None, Ok(named(&[a], true))),
        (None, names(&["orders"]), Ok(Selector::Any)),
        (values(&[], false), names(&["orders"]), Ok(Selector::Each)),
        (
            foreign.clone(),
            names(&["orders"]),
            Ok(named(&["User:spiffe://td/ns/bank/sa/a"], true)),
        ),
        (
            user.clone(),
            names(&["orders"]),
            Ok(named(&["User:alice"], true)),
        ),
        // Not its own: a topic that an older object owns, one of nobody's, each topic.
        (None, names(&["audit"]), Ok(own(false))),
        (None, names(&["orders", "nobodys"]), Ok(own(false))),
        (None, names(&[]), Ok(own(false))),
        (
            foreign.clone(),
            names(&["orders", "audit"]),
            Err("spiffe://td/ns/bank/sa/a"),
        ),
        (foreign, None, Err("spiffe://td/ns/bank/sa/a")),
        (user, names(&[]), Err("alice")),
        (
            id("spiffe://other/ns/shop/sa/a"),
            None,
            Err("spiffe://other/ns/shop/sa/a"),
        ),
        (
            id("spiffe://td/ns/bank/sa/a"),
            None,
            Err("spiffe://td/ns/bank/sa/a"),
        ),
    ] {
        let case = format!("{subjects:?} {topics:?}");
        let found = scope(of(subjects, topics)).map(|scope| scope.principals);
        let expected = expected.map_err(|id| Finding::NotOwn(id.to_owned(), "shop".to_owned()));
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn what_cannot_be_in_force_says_why() {
    let change = |change: &dyn Fn(&mut KafkaQuota)| {
        let mut quota = quota("kafka/q");
        change(&mut quota);
        scope(quota).unwrap_err()
    };
    let cluster: ObjectRef = CLUSTER.parse().unwrap();
    assert_eq!(
        scope(quota("evil/q")),
        Err(Finding::NotAdmitted(cluster, "evil".to_owned()))
    );
    assert_eq!(change(&|q| q.rates.clear()), Finding::NoLimit);
    assert_eq!(
        change(&|q| q.apis = names(&["Produce", "produce"])),
        Finding::Api("produce".to_owned())
    );
    let bad = change(&|q| q.subjects = values(&[account(None, "a/b")], false));
    assert!(matches!(bad, Finding::Identity(name, _) if name == "kafka/a/b"));
    let bad = change(&|q| q.subjects = values(&[Subject::SpiffeId("x".to_owned())], false));
    assert!(matches!(bad, Finding::Identity(name, _) if name == "x"));
    let bad = change(&|q| {
        q.held.insert(Held::Connections, 1);
        q.topics = names(&["orders"]);
    });
    assert_eq!(
        bad.to_string(),
        "connections: match.topics: connections cannot be told apart by topics"
    );
}

#[test]
fn a_bad_quota_leaves_the_others_in_force() {
    let bad = KafkaQuota {
        rates: [(Dimension::Requests, -1.0)].into(),
        ..quota("kafka/bad")
    };
    let compiled = compiled(&[quota("kafka/a"), bad, quota("shop/b")]);
    let names: Vec<_> = compiled.rules.quotas.iter().map(|q| &*q.name).collect();
    assert_eq!(names, ["kafka/a/producedBytes", "shop/b/producedBytes"]);
    assert_eq!(compiled.findings.len(), 1);
    assert_eq!(compiled.findings[0].0.to_string(), "kafka/bad");
}
