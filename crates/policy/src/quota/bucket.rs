//! A token bucket that many connections charge at once without a lock.
//!
//! It is kept as one number, the moment at which it will be full again (the
//! "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371),
//! and that moment is told by a clock that ticks once for every unit that flows
//! in. So what is charged is added exactly, the clock is worked out anew from
//! the time each time, and no error adds up however long a sidecar runs.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Smallest and largest rate, a second.
pub(super) const MIN_PER_SECOND: f64 = 0.001;
pub(super) const MAX_PER_SECOND: f64 = 1e11;
/// The largest burst, in seconds of the rate.
pub(super) const MAX_BURST_SECONDS: f64 = 86_400.0;
/// What is owed beyond so many seconds of the rate is forgiven, so that one
/// mistake does not close a client out for days.
pub(super) const MAX_DEBT_SECONDS: f64 = 3_600.0;

/// Units flow in at no less than this a second, so that one is about as long as
/// a nanosecond or shorter.
const MIN_UNITS_PER_SECOND: f64 = (1_u64 << 30) as f64;
const NANOS: u128 = 1_000_000_000;

/// How fast a bucket fills, and how much is in it when it is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// A token is 2^`shift` units.
    shift: u32,
    /// Units a nanosecond, in 2⁻⁶⁴.
    speed: u128,
    /// Units.
    burst: i64,
    /// Units.
    max_debt: i64,
}

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pace: Pace,
    /// When it is full again, on the clock of its [`Pace`].
    full_at: AtomicI64,
    /// Everything that was ever charged, in tokens; only kept where asked for.
    charged: Option<AtomicU64>,
}

// === impl Pace ===

impl Pace {
    /// `per_second` and `burst` (in tokens) have been checked.
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        let mut units_per_second = per_second;
        let mut shift = 0;
        while units_per_second < MIN_UNITS_PER_SECOND {
            units_per_second *= 2.0; // exact, being a power of two
            shift += 1;
        }
        // From 2³⁰ on a double has no bit below 2⁻²²: this is exact.
        let fixed = (units_per_second * (1_u64 << 22) as f64) as u128;
        let unit = (1_u128 << shift) as f64;
        Self {
            shift,
            // Rounded up, so that whole units of whole seconds stay whole.
            speed: (fixed << 42).div_ceil(NANOS),
            burst: (burst * unit) as i64,
            max_debt: (units_per_second * MAX_DEBT_SECONDS) as i64,
        }
    }

    /// What the clock shows. Off by less than one unit, at any time.
    fn at(&self, now: Duration) -> i64 {
        let nanos = now.as_nanos().min(i64::MAX as u128);
        let whole = nanos * (self.speed >> 64);
        let fraction = (nanos * (self.speed & u128::from(u64::MAX))) >> 64;
        // Full at i64::MAX there is no "later" left; years away (check.rs).
        i64::try_from(whole + fraction).unwrap_or(i64::MAX)
    }

    fn units(&self, tokens: u64) -> i64 {
        i64::try_from(u128::from(tokens) << self.shift)
            .unwrap_or(i64::MAX)
            .min(self.burst.saturating_add(self.max_debt))
    }

    /// How long it takes for so many units to flow in, rounded up.
    fn time(&self, units: i64) -> Duration {
        let Ok(units) = u64::try_from(units) else {
            return Duration::ZERO;
        };
        let nanos = (u128::from(units) << 64).div_ceil(self.speed);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

// === impl Bucket ===

impl Bucket {
    /// A full one. `counted` keeps the sum of what is charged.
    pub(super) fn new(pace: Pace, counted: bool) -> Self {
        Self {
            pace,
            full_at: AtomicI64::new(0),
            charged: counted.then(AtomicU64::default),
        }
    }

    /// This bucket with another pace: who owes something goes on owing it, and
    /// who does not has used up as large a part of the burst as before.
    pub(super) fn repaced(&self, pace: Pace, counted: bool, now: Duration) -> Self {
        let used = (self.full_at.load(Ordering::Relaxed) - self.pace.at(now)).max(0);
        let debt = (used - self.pace.burst).max(0);
        let part = (used - debt) as f64 / self.pace.burst.max(1) as f64;
        let debt = debt as f64 * 2_f64.powi(pace.shift as i32 - self.pace.shift as i32);
        let debt = (debt as i64).min(pace.max_debt);
        let used = (part * pace.burst as f64) as i64;
        let charged = self.charged().unwrap_or(0);
        Self {
            pace,
            full_at: AtomicI64::new(pace.at(now).saturating_add(used).saturating_add(debt)),
            charged: counted.then(|| AtomicU64::new(charged)),
        }
    }

    /// How long it would be until nothing is owed, had `tokens` been taken.
    pub(super) fn preview(&self, now: Duration, tokens: u64) -> Duration {
        let (now, units) = (self.pace.at(now), self.pace.units(tokens));
        let full_at = self.full_at.load(Ordering::Relaxed).max(now);
        let over = full_at.saturating_add(units).saturating_sub(now) - self.pace.burst;
        self.pace.time(over)
    }

    /// Takes `tokens`, whether they are there or not, and says how long it will
    /// be until nothing is owed.
    ///
    /// A caller's clock may be behind another's: it never gives anything back.
    pub(super) fn charge(&self, now: Duration, tokens: u64) -> Duration {
        let (now, units) = (self.pace.at(now), self.pace.units(tokens));
        let most = now
            .saturating_add(self.pace.burst)
            .saturating_add(self.pace.max_debt);
        let charged = |full_at: i64| {
            full_at
                .max(now)
                .saturating_add(units)
                .min(most.max(full_at))
        };
        let before = self.update(|full_at| Some(charged(full_at)));
        self.count(tokens);
        let full_at = charged(before.unwrap_or_else(|now| now));
        self.pace.time(full_at - now - self.pace.burst)
    }

    /// Takes `tokens` unless something is owed already; if so, takes nothing
    /// and says for how long it will be.
    pub(super) fn charge_unless_owing(&self, now: Duration, tokens: u64) -> Result<(), Duration> {
        let (now, units) = (self.pace.at(now), self.pace.units(tokens));
        let enough = now.saturating_add(self.pace.burst);
        let charged = |full_at: i64| full_at.max(now).saturating_add(units);
        match self.update(|full_at| (full_at <= enough).then(|| charged(full_at))) {
            Ok(_) => {
                self.count(tokens);
                Ok(())
            }
            // At the least a nanosecond: what is refused is not free yet.
            Err(full_at) => Err(self.pace.time(full_at - enough)),
        }
    }

    /// How long it will be until nothing is owed.
    pub(super) fn debt(&self, now: Duration) -> Duration {
        let full_at = self.full_at.load(Ordering::Relaxed);
        self.pace
            .time(full_at.saturating_sub(self.pace.at(now).saturating_add(self.pace.burst)))
    }

    /// Whether it is as good as a new one.
    pub(super) fn is_full(&self, now: Duration) -> bool {
        self.full_at.load(Ordering::Relaxed) <= self.pace.at(now)
    }

    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Everything that was ever charged, where it is kept.
    pub(super) fn charged(&self) -> Option<u64> {
        Some(self.charged.as_ref()?.load(Ordering::Relaxed))
    }

    fn count(&self, tokens: u64) {
        if let Some(charged) = &self.charged {
            charged.fetch_add(tokens, Ordering::Relaxed);
        }
    }

    /// No other memory hangs on this number, hence the order.
    fn update(&self, next: impl FnMut(i64) -> Option<i64>) -> Result<i64, i64> {
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
    }
}

#[cfg(test)]
mod tests;
