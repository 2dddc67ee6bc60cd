//! How fast a client goes while its quota is all that holds it back.

use std::time::Duration;

use crate::java::Sample;
use crate::node::Level;

/// From when a client first owes until the window: what it had sent by then
/// has reached the broker, and been counted.
const SETTLE: Duration = Duration::from_secs(2);

/// A time from one moment at which the client owes to another.
///
/// The burst is used up at both ends, so what was used between them is what the
/// limit gave in that time: neither the burst adds to it nor a moment in which
/// the client could not go on takes from it. If it could not for so long that
/// its bucket was full, all begins anew, with the next moment of owing.
#[derive(Debug)]
pub struct Window {
    /// Lasts at least so long, and then until the client owes again.
    measured: Duration,
    owed: Option<Duration>,
    from: Option<Sample>,
    /// What the window came to, a second.
    pub rate: Option<f64>,
}

// === impl Window ===

impl Window {
    pub fn new(measured: Duration) -> Self {
        Self {
            measured,
            owed: None,
            from: None,
            rate: None,
        }
    }

    /// Takes in what has been counted by now, and what is left of the quota.
    pub fn look(&mut self, now: Sample, level: Level) {
        if self.rate.is_some() {
            return;
        }
        match level {
            Level::Full => *self = Self::new(self.measured),
            Level::Some => {}
            Level::Owing => self.owing(now),
        }
    }

    fn owing(&mut self, now: Sample) {
        let owed = *self.owed.get_or_insert(now.at);
        let Some(from) = self.from else {
            self.from = (now.at >= owed + SETTLE).then_some(now);
            return;
        };
        let over = now.at.saturating_sub(from.at);
        if over >= self.measured {
            let more = now.value.saturating_sub(from.value);
            self.rate = Some(more as f64 / over.as_secs_f64());
        }
    }
}
