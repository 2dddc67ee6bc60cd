//! What is refused, and where it says that it stands.

use super::*;

fn rate(of: Dimension, per_second: f64) -> Limit {
    Limit::Rate {
        of,
        per_second,
        burst: Burst::default(),
        action: Action::Throttle,
    }
}

fn quota(limit: Limit) -> Quota {
    Quota {
        name: "q".into(),
        source: String::new(),
        tier: String::new(),
        scope: Match::default(),
        limit,
        share: Share::PerSidecar,
    }
}

fn paths(rules: &QuotaRules) -> Vec<String> {
    let problems = rules.check().err().map_or_else(Vec::new, |e| e.0);
    problems.into_iter().map(|problem| problem.path).collect()
}

fn rules(quotas: Vec<Quota>) -> QuotaRules {
    QuotaRules {
        quotas,
        ..QuotaRules::default()
    }
}

#[test]
fn each_wrong_value_is_named() {
    let good = quota(rate(Dimension::Requests, 1.0));
    let with = |change: &dyn Fn(&mut Quota)| {
        let mut quota = good.clone();
        change(&mut quota);
        paths(&rules(vec![quota]))
    };
    let burst = |burst| Limit::Rate {
        of: Dimension::Requests,
        per_second: 2.0,
        burst,
        action: Action::Throttle,
    };
    assert!(with(&|_| ()).is_empty());
    assert_eq!(with(&|q| q.name = "".into()), ["quotas[0].name"]);
    for per_second in [0.0, -1.0, 0.000_9, 1.1e11, f64::NAN, f64::INFINITY] {
        let found = with(&|q| q.limit = rate(Dimension::Requests, per_second));
        assert_eq!(found, ["quotas[0].limit.rate.perSecond"], "{per_second}");
    }
    for (of, allowed) in [
        (Burst::Seconds(0.0), true),
        (Burst::Seconds(86_400.0), true),
        (Burst::Amount(172_800.0), true),
        (Burst::Seconds(86_401.0), false),
        (Burst::Amount(172_801.0), false),
        (Burst::Seconds(-0.1), false),
        (Burst::Amount(f64::NAN), false),
    ] {
        assert_eq!(with(&|q| q.limit = burst(of)).is_empty(), allowed, "{of:?}");
    }
    let none = Limit::Held {
        of: Held::Connections,
        count: 0,
    };
    assert_eq!(
        with(&|q| q.limit = none.clone()),
        ["quotas[0].limit.held.count"]
    );
    let share = |parts| Share::ClusterWide {
        parts,
        scopes: Vec::new(),
    };
    assert!(with(&|q| q.share = share(PARTS)).is_empty());
    assert_eq!(with(&|q| q.share = share(PARTS + 1)), ["quotas[0].share"]);
    let nobody = Selector::Named {
        names: BTreeSet::new(),
        each: true,
    };
    assert_eq!(
        with(&|q| q.scope.topics = nobody.clone()),
        ["quotas[0].match.topics"]
    );
    let empty = Selector::Prefixed {
        prefix: String::new(),
        each: true,
    };
    let found = with(&|q| q.scope.principals = empty.clone());
    assert_eq!(found, ["quotas[0].match.principals"]);
}

#[test]
fn only_attempts_to_connect_are_refused() {
    for of in Dimension::ALL {
        let limit = Limit::Rate {
            of,
            per_second: 1.0,
            burst: Burst::default(),
            action: Action::Refuse,
        };
        let allowed = of == Dimension::ConnectionAttempts;
        assert_eq!(
            paths(&rules(vec![quota(limit)])).is_empty(),
            allowed,
            "{of:?}"
        );
    }
}

#[test]
fn a_limit_goes_only_by_what_is_known_when_it_counts() {
    let rated = Dimension::ALL.map(|of| (of.as_str(), rate(of, 1.0)));
    let held = [Held::Connections, Held::RequestsInFlight]
        .map(|of| (of.as_str(), Limit::Held { of, count: 1 }));
    for (name, limit) in rated.into_iter().chain(held) {
        let connection = name.starts_with("connection");
        let by_topic = !connection && !["groupJoins", "requestsInFlight"].contains(&name);
        for (field, allowed) in [
            ("principals", true),
            ("clientIds", !connection),
            ("topics", by_topic),
            ("apis", !connection),
        ] {
            let mut quota = quota(limit.clone());
            let selector = match field {
                "principals" => &mut quota.scope.principals,
                "clientIds" => &mut quota.scope.client_ids,
                "topics" => &mut quota.scope.topics,
                _ => &mut quota.scope.apis,
            };
            *selector = Selector::Each;
            let found = paths(&rules(vec![quota]));
            let expected = [format!("quotas[0].match.{field}")];
            assert_eq!(found, expected[usize::from(allowed)..], "{name} by {field}");
        }
    }
}

#[test]
fn every_problem_is_reported() {
    let bad = quota(rate(Dimension::Requests, 0.0));
    let rules = QuotaRules {
        max_throttle_seconds: 0.0,
        quotas: vec![bad.clone(), bad],
    };
    let error = rules.check().unwrap_err();
    assert_eq!(error.0.len(), 4);
    let text = error.to_string();
    assert!(
        text.starts_with("4 problem(s): maxThrottleSeconds: 0 is not from"),
        "{text}"
    );
    assert!(
        text.contains("quotas[1].name: \"q\" is another quota's too"),
        "{text}"
    );
}
