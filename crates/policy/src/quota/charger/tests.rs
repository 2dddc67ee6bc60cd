//! Connections and what they are charged.

use super::*;
use crate::quota::{Action, Burst, Limit, Match, Quota, QuotaRules, Selector, Share};

const PRODUCE: Asked<'static> = Asked {
    client_id: "app",
    api: "Produce",
};

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn rate(name: &str, of: Dimension, per_second: f64, scope: Match) -> Quota {
    Quota {
        name: name.into(),
        source: String::new(),
        tier: String::new(),
        scope,
        limit: Limit::Rate {
            of,
            per_second,
            burst: Burst::Seconds(1.0),
            action: Action::Throttle,
        },
        share: Share::PerSidecar,
    }
}

fn held(name: &str, of: Held, count: u32) -> Quota {
    Quota {
        limit: Limit::Held { of, count },
        ..rate(name, Dimension::Requests, 1.0, each_principal())
    }
}

fn each_principal() -> Match {
    Match {
        principals: Selector::Each,
        ..Match::default()
    }
}

fn each_topic() -> Match {
    Match {
        topics: Selector::Each,
        ..Match::default()
    }
}

fn rules(quotas: Vec<Quota>) -> QuotaRules {
    QuotaRules {
        quotas,
        ..QuotaRules::default()
    }
}

fn meter(quotas: Vec<Quota>) -> Arc<Meter> {
    Meter::new(&rules(quotas)).unwrap()
}

fn amount(dimension: Dimension, topic: Option<&str>, amount: u64) -> Amount<'_> {
    Amount {
        dimension,
        topic,
        amount,
    }
}

fn bytes(topic: &str, of: u64) -> [Amount<'_>; 1] {
    [amount(Dimension::ProducedBytes, Some(topic), of)]
}

#[test]
fn connections_of_a_principal_share_and_others_do_not() {
    let meter = meter(vec![rate(
        "q",
        Dimension::ProducedBytes,
        100.0,
        each_principal(),
    )]);
    let (mut a, mut b, mut other) = (meter.charger("a"), meter.charger("a"), meter.charger("b"));
    let now = secs(5.0);
    assert_eq!(
        a.charge(now, PRODUCE, &bytes("t", 100)),
        Throttle::default()
    );
    let slow = b.charge(now, PRODUCE, &bytes("u", 200));
    assert_eq!((slow.delay, slow.quota.as_deref()), (secs(2.0), Some("q")));
    assert_eq!(
        other.charge(now, PRODUCE, &bytes("t", 100)),
        Throttle::default()
    );
    assert_eq!(meter.counters(), 2);
}

#[test]
fn the_longest_wait_is_what_counts_up_to_the_longest_there_is() {
    let meter = meter(vec![
        rate("slow", Dimension::Requests, 0.5, each_principal()),
        rate("fast", Dimension::ProducedBytes, 100.0, each_principal()),
    ]);
    let mut charger = meter.charger("a");
    let used = [
        amount(Dimension::ProducedBytes, Some("t"), 200),
        amount(Dimension::Requests, None, 2),
        amount(Dimension::ConsumedBytes, Some("t"), 1 << 40),
    ];
    let throttle = charger.charge(secs(1.0), PRODUCE, &used);
    assert_eq!(
        (throttle.delay, throttle.quota.as_deref()),
        (secs(3.0), Some("slow"))
    );
    let throttle = charger.charge(secs(1.0), PRODUCE, &bytes("t", 1_000_000));
    assert_eq!(
        (throttle.delay, throttle.quota.as_deref()),
        (secs(30.0), Some("fast"))
    );
    let later = charger.debt(secs(1_000.0), PRODUCE, &bytes("t", 1));
    assert_eq!(later.delay, secs(30.0), "it is still owed");
}

#[test]
fn a_topic_has_its_own_bucket_and_a_whole_request_one_turn() {
    let meter = meter(vec![
        rate("all", Dimension::Requests, 1.0, each_principal()),
        rate("topic", Dimension::Requests, 1.0, each_topic()),
    ]);
    let mut charger = meter.charger("a");
    let both = Wants {
        whole: true,
        topics: true,
    };
    assert_eq!(charger.wants(Dimension::Requests), both);
    let of = |topic| amount(Dimension::Requests, topic, 1);
    let now = secs(1.0);
    let request = [of(None), of(Some("t")), of(Some("u"))];
    assert_eq!(charger.charge(now, PRODUCE, &request).delay, Duration::ZERO);
    assert_eq!(charger.debt(now, PRODUCE, &request).delay, Duration::ZERO);
    let throttle = charger.charge(now, PRODUCE, &[of(Some("t")), of(Some("v"))]);
    assert_eq!(
        (throttle.delay, throttle.quota.as_deref()),
        (secs(1.0), Some("topic"))
    );
}

#[test]
fn what_is_owed_waits_for_the_next_connection() {
    let meter = meter(vec![rate(
        "q",
        Dimension::ProducedBytes,
        100.0,
        each_principal(),
    )]);
    meter
        .charger("a")
        .charge(secs(1.0), PRODUCE, &bytes("t", 600));
    let mut next = meter.charger("a");
    assert_eq!(
        next.debt(secs(2.0), PRODUCE, &bytes("t", 1)).delay,
        secs(4.0)
    );
    assert_eq!(next.debt(secs(2.0), PRODUCE, &[]).delay, Duration::ZERO);
}

#[test]
fn another_client_id_counts_elsewhere_on_the_same_connection() {
    let scope = Match {
        client_ids: Selector::Each,
        ..Match::default()
    };
    let meter = meter(vec![rate("q", Dimension::Requests, 1.0, scope)]);
    let mut charger = meter.charger("a");
    let one = [amount(Dimension::Requests, None, 2)];
    let other = Asked {
        client_id: "other",
        ..PRODUCE
    };
    for (asked, delay) in [(PRODUCE, 1.0), (other, 1.0), (PRODUCE, 3.0), (other, 3.0)] {
        assert_eq!(charger.charge(secs(1.0), asked, &one).delay, secs(delay));
    }
}

#[test]
fn names_beyond_all_measure_share_a_bucket() {
    let scope = Match {
        client_ids: Selector::Each,
        ..Match::default()
    };
    let meter = meter(vec![rate("q", Dimension::Requests, 1.0, scope)]);
    let long = "\u{e9}".repeat(10_000);
    for tail in ["a", "b", "c"] {
        let client_id = format!("{long}{tail}");
        let asked = Asked {
            client_id: &client_id,
            ..PRODUCE
        };
        let one = [amount(Dimension::Requests, None, 1)];
        meter.charger("a").charge(secs(1.0), asked, &one);
    }
    assert_eq!(meter.counters(), 1);
}

#[test]
fn an_attempt_that_one_quota_refuses_counts_for_no_other() {
    let refusing = |name: &str, per_second| Quota {
        limit: Limit::Rate {
            of: Dimension::ConnectionAttempts,
            per_second,
            burst: Burst::Seconds(1.0),
            action: Action::Refuse,
        },
        ..rate(name, Dimension::Requests, 1.0, Match::default())
    };
    let meter = meter(vec![refusing("wide", 10.0), refusing("narrow", 1.0)]);
    let refused = |got: Result<Throttle, Refused>| got.err().map(|r| r.quota.to_string());
    for at in 0..100 {
        let now = secs(1.0 + f64::from(at) / 1e6);
        let expected = (at >= 2).then(|| "narrow".to_owned());
        assert_eq!(refused(meter.charger("a").attempt(now)), expected);
    }
}

#[test]
fn apis_are_told_apart() {
    let scope = Match {
        apis: Selector::Named {
            names: ["Produce".to_owned()].into(),
            each: false,
        },
        ..Match::default()
    };
    let meter = meter(vec![rate("q", Dimension::Requests, 1.0, scope)]);
    let mut charger = meter.charger("a");
    let fetch = Asked {
        api: "Fetch",
        ..PRODUCE
    };
    let two = [amount(Dimension::Requests, None, 2)];
    assert_eq!(charger.charge(secs(1.0), fetch, &two).delay, Duration::ZERO);
    assert_eq!(charger.charge(secs(1.0), PRODUCE, &two).delay, secs(1.0));
    assert_eq!(charger.charge(secs(1.0), fetch, &two).delay, Duration::ZERO);
}

#[test]
fn connections_are_refused_when_there_are_too_many_and_come_back() {
    let meter = meter(vec![held("q", Held::Connections, 2)]);
    let mut charger = meter.charger("a");
    let now = secs(1.0);
    let first = charger.open(now).unwrap();
    let _second = meter.charger("a").open(now).unwrap();
    let refused = meter.charger("a").open(now).unwrap_err();
    assert_eq!((&*refused.quota, refused.after), ("q", None));
    assert!(meter.charger("b").open(now).is_ok());
    drop(first);
    assert!(meter.charger("a").open(now).is_ok());
}

#[test]
fn one_limit_of_two_that_is_reached_takes_nothing_from_the_other() {
    let wide = Quota {
        tier: "wide".to_owned(),
        scope: Match::default(),
        ..held("wide", Held::RequestsInFlight, 2)
    };
    let meter = meter(vec![held("a-own", Held::RequestsInFlight, 1), wide]);
    let now = secs(1.0);
    let (mut a, mut b) = (meter.charger("a"), meter.charger("b"));
    let _one = a.begin(now, PRODUCE).unwrap();
    for _ in 0..10 {
        assert_eq!(&*a.begin(now, PRODUCE).unwrap_err().quota, "a-own");
    }
    let _other = b.begin(now, PRODUCE).unwrap();
    assert_eq!(
        &*meter.charger("c").begin(now, PRODUCE).unwrap_err().quota,
        "wide"
    );
}

#[test]
fn attempts_wait_or_are_refused() {
    let attempts = |action| Quota {
        limit: Limit::Rate {
            of: Dimension::ConnectionAttempts,
            per_second: 2.0,
            burst: Burst::Seconds(1.0),
            action,
        },
        ..rate("q", Dimension::Requests, 1.0, each_principal())
    };
    let now = secs(1.0);
    let slow = meter(vec![attempts(Action::Throttle)]);
    let waits: Vec<_> = (0..4)
        .map(|_| slow.charger("a").attempt(now).unwrap().delay)
        .collect();
    assert_eq!(waits, [0.0, 0.0, 0.5, 1.0].map(secs));

    let strict = meter(vec![attempts(Action::Refuse)]);
    let got: Vec<_> = (0..6)
        .map(|_| {
            strict
                .charger("a")
                .attempt(now)
                .map_err(|refused| refused.after)
        })
        .collect();
    assert!(got[..3].iter().all(|got| *got == Ok(Throttle::default())));
    assert!(
        got[3..].iter().all(|got| *got == Err(Some(secs(0.5)))),
        "{got:?}"
    );
}
