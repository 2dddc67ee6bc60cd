//! Which quotas count.

use proptest::prelude::*;

use super::*;
use crate::quota::Burst;

fn named(name: &str) -> Selector {
    Selector::Named {
        names: [name.to_owned()].into(),
        each: true,
    }
}

fn prefixed(prefix: &str) -> Selector {
    Selector::Prefixed {
        prefix: prefix.to_owned(),
        each: true,
    }
}

/// `name` is also the tier where it has a `:`.
fn quota(name: &str, of: Dimension, selectors: [Selector; 4]) -> Quota {
    let [principals, client_ids, topics, apis] = selectors;
    Quota {
        name: name.into(),
        source: String::new(),
        tier: name.split_once(':').unwrap_or_default().0.to_owned(),
        scope: Match {
            principals,
            client_ids,
            topics,
            apis,
        },
        limit: Limit::Rate {
            of,
            per_second: 1.0,
            burst: Burst::default(),
            action: Action::Throttle,
        },
        share: Share::PerSidecar,
    }
}

fn index(quotas: Vec<Quota>) -> Index {
    Index::new(&QuotaRules {
        quotas,
        ..QuotaRules::default()
    })
}

/// Names of the quotas that count for `[principal, client id, topic, API]`; no topic is `""`.
fn applying(index: &Index, of: Dimension, who: [&str; 4]) -> Vec<String> {
    let [principal, client_id, topic, api] = who;
    let usage = Usage {
        principal: &principal.into(),
        client_id,
        topic: Some(topic).filter(|topic| !topic.is_empty()),
        api,
    };
    let rules = index.of(Metric::Rate(of)).unwrap();
    let found = rules.applying(usage, of.adds_up_over_topics());
    let mut names: Vec<String> = found.iter().map(|rule| rule.name().to_string()).collect();
    names.sort();
    names
}

#[test]
fn principals_and_client_ids_have_the_order_of_kip_55() {
    use Selector::{Any, Each};
    let ordered = [
        (named("u"), named("c")),
        (named("u"), Each),
        (named("u"), Any),
        (Each, named("c")),
        (Each, Each),
        (Each, Any),
        (Any, named("c")),
        (Any, Each),
    ];
    let quotas = |from: usize| {
        let all = ordered.iter().cloned().enumerate().skip(from);
        let made = all.map(|(i, (user, client))| {
            quota(
                &i.to_string(),
                Dimension::Requests,
                [user, client, Any, Any],
            )
        });
        index(made.collect())
    };
    for best in 0..ordered.len() {
        let found = applying(&quotas(best), Dimension::Requests, ["u", "c", "", "Fetch"]);
        assert_eq!(found, [best.to_string()]);
    }
    let found = applying(&quotas(0), Dimension::Requests, ["v", "c", "", "Fetch"]);
    assert_eq!(found, ["3"], "another user");
}

#[test]
fn tiers_and_shapes_do_not_compete() {
    use Selector::{Any, Each};
    let of = Dimension::ProducedBytes;
    let index = index(vec![
        quota("a:every", of, [Each, Any, Any, Any]),
        quota("a:one", of, [named("u"), Any, Any, Any]),
        quota("b:every", of, [Each, Any, Any, Any]),
        quota("a:topic", of, [Any, Any, Each, Any]),
        quota("a:api", of, [Any, Any, Any, named("Produce")]),
        quota("a:both", of, [Any, Any, named("t"), named("Produce")]),
    ]);
    let found = applying(&index, of, ["u", "", "t", "Produce"]);
    assert_eq!(found, ["a:api", "a:both", "a:one", "a:topic", "b:every"]);
    let found = applying(&index, of, ["v", "", "s", "Fetch"]);
    assert_eq!(found, ["a:every", "a:topic", "b:every"]);
}

#[test]
fn equally_specific_ones_all_count_and_a_longer_prefix_is_more_specific() {
    use Selector::Any;
    let of = Dimension::Requests;
    let index = index(vec![
        quota("1", of, [prefixed("u"), Any, Any, Any]),
        quota("2", of, [prefixed("us"), Any, Any, Any]),
        quota("3", of, [prefixed("us"), Any, Any, Any]),
        quota("4", of, [Selector::Each, Any, Any, Any]),
    ]);
    assert_eq!(applying(&index, of, ["user", "", "", "Fetch"]), ["2", "3"]);
    assert_eq!(applying(&index, of, ["u", "", "", "Fetch"]), ["1"]);
    assert_eq!(applying(&index, of, ["x", "", "", "Fetch"]), ["4"]);
}

#[test]
fn a_request_with_topics_counts_once_for_quotas_without() {
    use Selector::{Any, Each};
    for (of, expected) in [
        (Dimension::Requests, vec!["topic"]),
        (Dimension::ConsumedBytes, vec!["all", "topic"]),
    ] {
        let index = index(vec![
            quota("all", of, [Any, Any, Any, Any]),
            quota("topic", of, [Any, Any, Each, Any]),
        ]);
        assert_eq!(applying(&index, of, ["u", "", "t", "Fetch"]), expected);
        assert_eq!(applying(&index, of, ["u", "", "", "Fetch"]), ["all"]);
    }
}

fn selector() -> impl Strategy<Value = Selector> {
    let names = proptest::collection::btree_set("[ab]{1,2}", 1..3);
    prop_oneof![
        Just(Selector::Any),
        Just(Selector::Each),
        (names, any::<bool>()).prop_map(|(names, each)| Selector::Named { names, each }),
        ("[ab]{1,2}", any::<bool>()).prop_map(|(prefix, each)| Selector::Prefixed { prefix, each }),
    ]
}

proptest! {
    #[test]
    fn a_bucket_is_found_again_and_is_of_its_quota(
        selectors in proptest::collection::vec([selector(), selector(), selector(), selector()], 1..6),
        who in ["[ab]{1,2}", "[ab]{1,2}", "[ab]{1,2}", "[ab]{1,2}"],
    ) {
        let of = Dimension::ProducedBytes;
        let quotas = selectors.into_iter().enumerate();
        let index = index(quotas.map(|(i, s)| quota(&i.to_string(), of, s)).collect());
        let usage = Usage {
            principal: &who[0].as_str().into(),
            client_id: &who[1],
            topic: Some(&who[2]),
            api: &who[3],
        };
        let rules = index.of(Metric::Rate(of)).unwrap();
        let found = rules.applying(usage, true);
        for rule in &found {
            prop_assert!(rule.matches(usage) && rule.has_scope(&rule.scope(usage)));
        }
        // What matches and does not count has a rival that is more specific.
        for rule in index.rules().filter(|rule| rule.matches(usage)) {
            let counts = found.iter().any(|other| Arc::ptr_eq(other, rule));
            let beaten = index.rules().any(|other| {
                other.shape == rule.shape && other.matches(usage) && other.rank > rule.rank
            });
            prop_assert_eq!(counts, !beaten);
        }
    }
}
