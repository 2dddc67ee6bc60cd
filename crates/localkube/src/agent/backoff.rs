//! How long a container that ended waits before it starts again.

use std::time::Duration;

/// Back-off between restarts: the first restart is immediate, the next waits the base, each later
/// one twice as long up to the limit; a run that lasted long enough starts over.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    rule: BackoffRule,
    next: Duration,
}

/// The figures of a back-off; the default is the kubelet's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffRule {
    /// Wait before the second restart.
    pub base: Duration,
    /// Longest wait.
    pub max: Duration,
    /// A container that ran this long is healthy again: its next restart is immediate.
    pub reset_after: Duration,
}

// === impl BackoffRule ===

impl Default for BackoffRule {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(10),
            max: Duration::from_mins(5),
            reset_after: Duration::from_mins(10),
        }
    }
}

// === impl Backoff ===

impl Backoff {
    pub(crate) fn new(rule: BackoffRule) -> Self {
        Self {
            rule,
            next: Duration::ZERO,
        }
    }

    /// The wait before the next start, after a run that lasted `ran`.
    pub(crate) fn after_run(&mut self, ran: Duration) -> Duration {
        if ran >= self.rule.reset_after {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = if wait.is_zero() {
            self.rule.base.min(self.rule.max)
        } else {
            (wait * 2).min(self.rule.max)
        };
        wait
    }

    /// The wait before trying again a start that failed: never immediate.
    pub(crate) fn after_refusal(&mut self) -> Duration {
        match self.after_run(Duration::ZERO) {
            Duration::ZERO => self.after_run(Duration::ZERO),
            wait => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_kubelet() {
        let mut backoff = Backoff::new(BackoffRule::default());
        let waits: Vec<u64> = (0..8)
            .map(|_| backoff.after_run(Duration::from_secs(1)).as_secs())
            .collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after_run(Duration::from_mins(10)).as_secs(), 0);
        assert_eq!(backoff.after_run(Duration::ZERO).as_secs(), 10);
    }

    #[test]
    fn a_refused_start_always_waits() {
        let mut backoff = Backoff::new(BackoffRule::default());
        assert_eq!(backoff.after_refusal().as_secs(), 10);
        assert_eq!(backoff.after_refusal().as_secs(), 20);
    }
}
