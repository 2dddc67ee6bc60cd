//! The bucket against exact arithmetic, and its promises.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// A bucket in whole numbers, as it is described: tokens flow in up to the
/// burst, a charge takes them and may leave less than none. The rate is in
/// eighths of a token, the burst in milliseconds of the rate; what it holds is
/// counted in 8 × 10⁹ths of a token.
struct Model {
    eighths: i128,
    burst: i128,
    level: i128,
    last: i128,
}

impl Model {
    const TOKEN: i128 = 8_000_000_000;

    fn new(eighths: u64, burst_millis: u64) -> Self {
        let burst = i128::from(eighths) * i128::from(burst_millis) * 1_000_000;
        Self {
            eighths: i128::from(eighths),
            burst,
            level: burst,
            last: 0,
        }
    }

    fn charge(&mut self, now: Duration, tokens: u64) -> i128 {
        let now = now.as_nanos() as i128;
        let filled = self.level + (now - self.last) * self.eighths;
        self.last = now;
        self.level = filled.min(self.burst) - i128::from(tokens) * Self::TOKEN;
        (-self.level).max(0).div_euclid(self.eighths)
    }
}

fn bucket(per_second: f64, burst_seconds: f64) -> Bucket {
    Bucket::new(Pace::new(per_second, per_second * burst_seconds), false)
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Nanoseconds that a wait may be off by: one for rounding up, and the length
/// of a unit, which is less than one, for each of two readings of the clock.
const OFF: i128 = 3;

/// From one an hour to 10 GB a second.
fn eighths() -> impl Strategy<Value = u64> {
    (0_u32..=36, any::<u32>()).prop_map(|(bits, random)| {
        let low = 1_u64 << bits;
        low + u64::from(random) % low
    })
}

/// Steps of time (ns) and charges, in thousandths of what the rate gives in a second.
fn steps() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let pause = prop_oneof![
        Just(0),
        0..1_000_000_u64,
        0..3_000_000_000_u64,
        Just(86_400_000_000_000)
    ];
    proptest::collection::vec((pause, 0..3_000_u64), 1..200)
}

proptest! {
    #[test]
    fn every_wait_is_that_of_exact_arithmetic(
        eighths in eighths(),
        burst_millis in 1_u64..100_000,
        start in 0_u64..31_536_000_000_000_000, // a year
        steps in steps(),
    ) {
        let rate = eighths as f64 / 8.0;
        let bucket = Bucket::new(Pace::new(rate, rate * burst_millis as f64 / 1e3), false);
        let mut model = Model::new(eighths, burst_millis);
        let mut now = Duration::from_nanos(start);
        for (pause, thousandths) in steps {
            now += Duration::from_nanos(pause);
            let tokens = (u128::from(eighths) * u128::from(thousandths) / 8_000) as u64;
            let wait = bucket.charge(now, tokens).as_nanos() as i128;
            let expected = model.charge(now, tokens);
            prop_assert!((wait - expected).abs() <= OFF, "{wait} is not {expected}");
        }
    }

    #[test]
    fn never_more_than_the_rate_and_the_burst_and_the_last_charge(
        eighths in eighths(),
        burst_millis in 1_u64..20_000,
        steps in steps(),
    ) {
        // Whoever waits as told has had, at any moment, no more than the burst
        // and what flowed in, but for the one charge that overdrew it.
        let rate = eighths as f64 / 8.0;
        let bucket = bucket(rate, burst_millis as f64 / 1e3);
        let mut now = Duration::ZERO;
        let mut had = 0.0;
        for (pause, thousandths) in steps {
            let tokens = (u128::from(eighths) * u128::from(thousandths) / 8_000) as u64;
            let before = had;
            had += tokens as f64;
            let allowed = rate * (now.as_secs_f64() + burst_millis as f64 / 1e3);
            prop_assert!(before <= allowed * (1.0 + 1e-9) + 1e-6, "{before} > {allowed}");
            now += bucket.charge(now, tokens) + Duration::from_nanos(pause);
        }
    }

    #[test]
    fn who_waits_gets_the_rate_within_a_percent(
        eighths in eighths(),
        thousandths in 10_u64..500,
        connections in 1_usize..=3,
    ) {
        let rate = eighths as f64 / 8.0;
        let tokens = ((rate * thousandths as f64 / 1e3) as u64).max(1);
        prop_assume!(tokens as f64 <= rate / 2.0);
        let bucket = bucket(rate, 1.0);
        // Without the burst, which is used up at once.
        let mut next = vec![bucket.charge(Duration::ZERO, rate as u64); connections];
        let (mut had, end) = (0, Duration::from_secs(60));
        loop {
            let first = (0..connections).min_by_key(|i| next[*i]).unwrap();
            if next[first] >= end {
                break;
            }
            let now = next[first];
            had += tokens;
            next[first] = now + bucket.charge(now, tokens);
        }
        let (had, due) = (had as f64, rate * 60.0);
        // Each connection is served one request before it is told to wait.
        let off = (had - due).abs() - (tokens * connections as u64) as f64 - 1.0;
        prop_assert!(off <= due * 0.01, "{had} of {due}");
    }

    #[test]
    fn what_is_not_used_is_kept_up_to_the_burst(
        eighths in eighths(),
        burst in 1_u64..1_000,
        idle in 0_u64..31_536_000,
    ) {
        let rate = eighths as f64 / 8.0;
        let bucket = bucket(rate, burst as f64);
        let now = Duration::from_secs(idle);
        let all = (rate * burst as f64) as u64;
        prop_assert_eq!(bucket.charge(now, all), Duration::ZERO);
        let seconds = 1.max((1.0 / rate).ceil() as u64);
        let more = (rate * seconds as f64) as u64;
        let wait = bucket.charge(now, more + 1).as_secs_f64();
        prop_assert!(wait * rate > more as f64 - 1.0, "{wait}");
    }

    #[test]
    fn another_pace_keeps_what_is_owed_and_lends_nothing(
        before in eighths(),
        after in eighths(),
        seconds in 0.0_f64..60.0,
    ) {
        let now = Duration::from_secs(1_000_000);
        let old = bucket(before as f64 / 8.0, 11.0);
        let tokens = (before as f64 / 8.0 * seconds) as u64;
        let debt = old.charge(now, tokens).as_secs_f64() * before as f64;
        let new = Pace::new(after as f64 / 8.0, after as f64 / 8.0 * 11.0);
        let debt_after = old.repaced(new, false, now).debt(now).as_secs_f64() * after as f64;
        let most = MAX_DEBT_SECONDS * after as f64;
        let off = (debt_after - debt.min(most)).abs();
        prop_assert!(off <= 1e-6 * debt + 1e-6 * (before + after) as f64, "{debt_after} is not {debt}");
    }
}

#[test]
fn a_clock_that_is_behind_gives_nothing_back() {
    let bucket = bucket(1_000.0, 1.0);
    assert_eq!(bucket.charge(secs(10.0), 3_000), secs(2.0));
    assert_eq!(bucket.charge(secs(9.0), 0), secs(3.0));
    assert_eq!(bucket.charge(secs(10.0), 1), secs(2.001));
}

#[test]
fn more_than_an_hour_is_not_owed() {
    let bucket = bucket(1_000.0, 1.0);
    for _ in 0..3 {
        let wait = bucket.charge(secs(5.0), u64::MAX).as_secs_f64();
        assert!((wait - MAX_DEBT_SECONDS).abs() < 1e-6, "{wait}");
    }
    assert_eq!(bucket.charge(secs(3_605.0), 0).as_millis(), 0);
}

#[test]
fn what_is_refused_is_not_charged() {
    let bucket = bucket(2.0, 1.0);
    let now = secs(7.0);
    for _ in 0..3 {
        assert_eq!(
            bucket.charge_unless_owing(now, 1),
            Ok(()),
            "the third overdraws"
        );
    }
    for _ in 0..100 {
        assert_eq!(bucket.charge_unless_owing(now, 1), Err(secs(0.5)));
    }
    assert_eq!(bucket.charge_unless_owing(now + secs(0.5), 1), Ok(()));
    assert_eq!(bucket.debt(now + secs(0.5)), secs(0.5));
}

#[test]
fn the_smallest_and_the_largest_rates_work_for_years() {
    for (rate, years) in [
        (MIN_PER_SECOND, 100),
        (1.0, 100),
        (1e9, 100),
        (MAX_PER_SECOND, 2),
    ] {
        let bucket = bucket(rate, MAX_BURST_SECONDS);
        let now = Duration::from_secs(years * 365 * 86_400);
        let burst = (rate * MAX_BURST_SECONDS) as u64;
        assert_eq!(bucket.charge(now, burst), Duration::ZERO, "{rate}");
        let wait = bucket.charge(now, rate.ceil() as u64).as_secs_f64();
        let due = (burst as f64 + rate.ceil()) / rate - MAX_BURST_SECONDS;
        assert!((wait - due).abs() < 1e-6, "{rate}: {wait} is not {due}");
        assert!(!bucket.is_full(now));
        assert!(bucket.is_full(now + secs(MAX_BURST_SECONDS + wait + 1e-6)));
    }
}

#[test]
fn threads_lose_no_charge() {
    let bucket = Arc::new(Bucket::new(Pace::new(1_000.0, 1_000.0), true));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10_000 {
                    bucket.charge(secs(1.0), 1);
                }
            });
        }
    });
    assert_eq!(bucket.charged(), Some(40_000));
    assert_eq!(bucket.debt(secs(1.0)), secs(39.0));
}
