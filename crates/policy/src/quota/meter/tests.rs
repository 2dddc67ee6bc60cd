//! Changes of rules, and what is kept.

use super::*;
use crate::quota::{
    Action, Amount, Asked, Burst, Dimension, Held, Limit, MAX_COUNTERS, MAX_PER_PRINCIPAL, Match,
    PARTS, Quota, ScopeShare, Selector, Share,
};

const ASKED: Asked<'static> = Asked {
    client_id: "",
    api: "Fetch",
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn quota(limit: Limit, principals: Selector) -> Quota {
    Quota {
        name: "q".into(),
        source: String::new(),
        tier: String::new(),
        scope: Match {
            principals,
            ..Match::default()
        },
        limit,
        share: Share::PerSidecar,
    }
}

fn rate(of: Dimension, per_second: f64) -> Limit {
    Limit::Rate {
        of,
        per_second,
        burst: Burst::Seconds(1.0),
        action: Action::Throttle,
    }
}

fn requests(per_second: f64) -> Quota {
    quota(rate(Dimension::Requests, per_second), Selector::Each)
}

fn rules(quotas: &[Quota]) -> QuotaRules {
    QuotaRules {
        quotas: quotas.to_vec(),
        ..QuotaRules::default()
    }
}

fn charge(charger: &mut Charger, now: u64, amount: u64) -> Duration {
    let used = [Dimension::Requests, Dimension::OffsetCommits].map(|dimension| Amount {
        dimension,
        topic: None,
        amount,
    });
    charger.charge(secs(now), ASKED, &used).delay
}

fn each_client_id() -> Quota {
    let mut quota = quota(rate(Dimension::Requests, 1.0), Selector::Any);
    quota.scope.client_ids = Selector::Each;
    quota
}

fn as_client(meter: &Arc<Meter>, principal: &str, id: usize, now: u64) -> Duration {
    let client_id = id.to_string();
    let asked = Asked {
        client_id: &client_id,
        api: "Fetch",
    };
    let one = [Amount {
        dimension: Dimension::Requests,
        topic: None,
        amount: 1,
    }];
    meter
        .charger(principal)
        .charge(secs(now), asked, &one)
        .delay
}

#[test]
fn live_connections_follow_and_debts_stay() {
    let meter = Meter::new(&rules(&[requests(10.0)])).unwrap();
    let mut charger = meter.charger("a");
    assert_eq!(charge(&mut charger, 0, 30), secs(2));
    meter.replace(&rules(&[requests(10.0)]), secs(0)).unwrap();
    assert_eq!(
        charge(&mut charger, 0, 0),
        secs(0),
        "nothing charged, nothing said"
    );
    assert_eq!(
        charge(&mut charger, 0, 10),
        secs(3),
        "the same rules change nothing"
    );
    meter.replace(&rules(&[requests(5.0)]), secs(1)).unwrap();
    assert_eq!(
        charge(&mut charger, 1, 5),
        secs(5),
        "20 owed at 5 a second, and 5 more"
    );
    assert_eq!(charge(&mut meter.charger("a"), 1, 5), secs(6));
    meter.replace(&rules(&[]), secs(1)).unwrap();
    assert_eq!(charge(&mut charger, 1, 1_000), secs(0));
}

#[test]
fn another_scope_or_dimension_begins_anew() {
    let commits = quota(rate(Dimension::OffsetCommits, 10.0), Selector::Each);
    let together = quota(rate(Dimension::Requests, 10.0), Selector::Any);
    for after in [commits, together] {
        let meter = Meter::new(&rules(&[requests(10.0)])).unwrap();
        let mut charger = meter.charger("a");
        charge(&mut charger, 0, 100);
        meter.replace(&rules(&[after]), secs(0)).unwrap();
        assert_eq!(charge(&mut charger, 0, 10), secs(0));
    }
}

#[test]
fn bad_rules_change_nothing() {
    let meter = Meter::new(&rules(&[requests(10.0)])).unwrap();
    let generation = meter.generation();
    assert!(meter.replace(&rules(&[requests(0.0)]), secs(0)).is_err());
    assert_eq!(meter.generation(), generation);
    assert_eq!(charge(&mut meter.charger("a"), 0, 20), secs(1));
    assert!(Meter::new(&rules(&[requests(0.0)])).is_err());
}

#[test]
fn open_connections_count_under_the_next_limit() {
    let connections = |count| {
        let of = Held::Connections;
        rules(&[quota(Limit::Held { of, count }, Selector::Each)])
    };
    let meter = Meter::new(&connections(3)).unwrap();
    let open: Vec<_> = (0..3)
        .map(|_| meter.charger("a").open(secs(0)).unwrap())
        .collect();
    meter.replace(&connections(2), secs(1)).unwrap();
    assert!(meter.charger("a").open(secs(1)).is_err());
    meter.replace(&connections(4), secs(2)).unwrap();
    let fourth = meter.charger("a").open(secs(2)).unwrap();
    assert!(meter.charger("a").open(secs(2)).is_err());
    drop((open, fourth));
    let again: Vec<_> = (0..5).map(|_| meter.charger("a").open(secs(3))).collect();
    assert_eq!(again.iter().filter(|got| got.is_ok()).count(), 4);
}

#[test]
fn a_limit_that_is_new_counts_the_connections_that_are_kept() {
    let meter = Meter::new(&rules(&[])).unwrap();
    let mut charger = meter.charger("a");
    let before = charger.open(secs(0)).unwrap();
    let of = Held::Connections;
    let limit = Limit::Held { of, count: 1 };
    meter
        .replace(&rules(&[quota(limit, Selector::Each)]), secs(1))
        .unwrap();
    let _kept = charger.keep_open(secs(1));
    drop(before);
    assert!(meter.charger("a").open(secs(1)).is_err());
}

#[test]
fn one_principal_cannot_use_up_the_room_and_nobody_gets_a_new_bucket_for_an_old_debt() {
    let meter = Meter::new(&rules(&[each_client_id()])).unwrap();
    for id in 0..MAX_PER_PRINCIPAL {
        assert_eq!(as_client(&meter, "evil", id, 0), secs(0));
    }
    // No more of its own: what it makes up now shares one bucket.
    assert_eq!(as_client(&meter, "evil", 1_000_000, 0), secs(0));
    assert_eq!(as_client(&meter, "evil", 1_000_001, 0), secs(1));
    assert_eq!(as_client(&meter, "evil", 0, 0), secs(1), "kept");
    assert_eq!(
        as_client(&meter, "good", 2_000_000, 0),
        secs(0),
        "not concerned"
    );
    assert_eq!(meter.counters(), MAX_PER_PRINCIPAL + 1);
    // Full again, they are as good as none and make room.
    assert_eq!(as_client(&meter, "evil", 1_000_002, 3), secs(0));
    assert_eq!(meter.counters(), 1);
}

#[test]
fn there_are_never_more_counters_than_allowed() {
    let meter = Meter::new(&rules(&[each_client_id()])).unwrap();
    for id in 0..2 * MAX_COUNTERS {
        let principal = format!("p{}", id / 1_000);
        as_client(&meter, &principal, id, 0);
    }
    assert_eq!(meter.counters(), MAX_COUNTERS);
    assert!(
        as_client(&meter, "late", 1_000_000, 0) > secs(20),
        "with all the others"
    );
    // Of its own as soon as there is room, on a connection that was there.
    let mut charger = meter.charger("late");
    let asked = Asked {
        client_id: "late",
        api: "Fetch",
    };
    let one = [Amount {
        dimension: Dimension::Requests,
        topic: None,
        amount: 1,
    }];
    assert!(charger.charge(secs(0), asked, &one).delay > secs(20));
    assert_eq!(charger.charge(secs(2), asked, &one).delay, secs(0));
}

#[test]
fn what_is_held_or_owed_is_not_forgotten() {
    let meter = Meter::new(&rules(&[each_client_id()])).unwrap();
    let mut holder = meter.charger("evil");
    assert_eq!(charge(&mut holder, 0, 1), secs(0));
    as_client(&meter, "evil", 0, 0);
    for _ in 0..20 {
        as_client(&meter, "evil", 0, 0);
    }
    for id in 1..MAX_PER_PRINCIPAL + 10 {
        as_client(&meter, "evil", id, 0);
    }
    as_client(&meter, "evil", 1_000_000, 5);
    assert_eq!(
        meter.counters(),
        3,
        "the held one, the one in debt, and the new one"
    );
    assert_eq!(as_client(&meter, "evil", 0, 5), secs(16));
}

#[test]
fn a_cluster_wide_rate_is_enforced_by_its_parts_and_reported() {
    let shared = |parts| Quota {
        share: Share::ClusterWide {
            parts,
            scopes: vec![ScopeShare {
                scope: Scope {
                    principal: Some("busy".into()),
                    ..Scope::default()
                },
                parts: PARTS / 2,
            }],
        },
        ..requests(100.0)
    };
    let meter = Meter::new(&rules(&[shared(PARTS / 10)])).unwrap();
    assert_eq!(charge(&mut meter.charger("busy"), 0, 100), secs(1));
    assert_eq!(charge(&mut meter.charger("idle"), 0, 30), secs(2));
    meter
        .replace(&rules(&[shared(PARTS / 5)]), secs(0))
        .unwrap();
    assert_eq!(charge(&mut meter.charger("idle"), 0, 20), secs(2));
    let used: Vec<_> = meter
        .used()
        .into_iter()
        .map(|used| (used.scope.unwrap().principal.unwrap(), used.charged))
        .collect();
    assert_eq!(used, [("busy".into(), 100), ("idle".into(), 50)]);
}
