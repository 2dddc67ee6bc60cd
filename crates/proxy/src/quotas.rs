//! The quotas in force in this sidecar.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tubeway_policy::quota::{Charger, InvalidQuotas, Meter, QuotaRules, Used};

/// What all connections charge, by one clock. Clones share it.
#[derive(Clone)]
pub struct QuotasInForce {
    meter: Arc<Meter>,
    started: Instant,
}

// === impl QuotasInForce ===

impl QuotasInForce {
    /// No quotas yet.
    ///
    /// # Errors
    /// None: no quotas are always valid ones.
    pub fn none() -> Result<Self, InvalidQuotas> {
        Ok(Self {
            meter: Meter::new(&QuotaRules::default())?,
            started: Instant::now(),
        })
    }

    /// The time by the clock that quotas are charged by.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// For a connection of this principal.
    pub fn charger(&self, principal: Arc<str>) -> Charger {
        self.meter.charger(principal)
    }

    /// What has been used of limits of the whole cluster.
    pub fn used(&self) -> Vec<Used> {
        self.meter.used()
    }

    /// From now on these count; what is owed stays owed.
    pub fn replace(&self, rules: &QuotaRules) -> Result<(), InvalidQuotas> {
        self.meter.replace(rules, self.now())
    }
}
