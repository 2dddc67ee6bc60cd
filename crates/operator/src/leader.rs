//! One operator at a time, by a Lease.
//!
//! Two operators would do no harm to a cluster, since every write carries what
//! it was decided from; but they would do everything twice, and sidecars would
//! hear from both. So one leads and another waits. Who leads renews the Lease;
//! who waits takes it once it has not changed for as long as it says it is
//! good, by the waiter's own clock: machines need not agree about the time.
//! Every write of the Lease carries the resourceVersion that was read, so that
//! of two who try one is refused.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::response::Status;
use kube::{Api, Client};
use tokio::time::{Instant, sleep};

use crate::error::{Error, Result};

/// Name of the Lease, in the operator's namespace. `deploy/rbac.yaml` makes it,
/// so that the operator needs no right to create any.
pub const LEASE: &str = "tubeway-operator";
/// How long a Lease is good after it was renewed.
const GOOD_FOR: Duration = Duration::from_secs(15);
/// Who leads and cannot renew for so long stops, well before another begins.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Between two looks at the Lease.
const EVERY: Duration = Duration::from_secs(3);

/// A candidate.
pub struct Candidate {
    leases: Api<Lease>,
    namespace: String,
    own: String,
}

/// What a look at the Lease leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// It is free, over, or this candidate's own: write it.
    Take,
    /// Somebody else leads.
    Wait,
}

/// The last change of the Lease that was seen, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    version: Option<String>,
    at: Instant,
}

// === impl Candidate ===

impl Candidate {
    /// `own` names the candidate, and nobody else: its pod's name.
    pub fn new(client: &Client, namespace: &str, own: String) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            own,
        }
    }

    /// Waits until this candidate leads.
    pub async fn acquire(&self) {
        let mut seen = None;
        let mut told = false;
        loop {
            match self.try_to(&mut seen).await {
                Ok(true) => return tracing::info!(holder = self.own, "leading"),
                Ok(false) if !told => {
                    tracing::info!("another operator leads");
                    told = true;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "lease not to be had"),
            }
            sleep(EVERY).await;
        }
    }

    /// Renews for as long as that goes well; returns when this candidate must
    /// not lead any more.
    pub async fn keep(&self) {
        let mut renewed = Instant::now();
        loop {
            sleep(EVERY).await;
            // A process that was stopped for long may go on if nobody has taken
            // the lead in the meantime: the renewal says whether.
            match tokio::time::timeout(EVERY, self.renew()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return tracing::error!("another operator has taken the lead"),
                Ok(Err(error)) => tracing::warn!(%error, "lease not renewed"),
                Err(_) => tracing::warn!("lease not renewed in time"),
            }
            if renewed.elapsed() >= GIVE_UP {
                return tracing::error!("the lease could not be renewed");
            }
        }
    }

    /// Renews the Lease; false where somebody else has it.
    async fn renew(&self) -> Result<bool> {
        let lease = self.read().await?;
        if holder(&lease) != Some(self.own.as_str()) {
            return Ok(false);
        }
        self.write(lease, &self.own).await?;
        Ok(true)
    }

    /// Leaves the Lease to the next one at once.
    pub async fn release(&self) {
        let released = async {
            let lease = self.read().await?;
            if holder(&lease) == Some(self.own.as_str()) {
                self.write(lease, "").await?;
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(EVERY, released).await {
            Ok(Ok(())) => {}
            // It ends by itself.
            Ok(Err(error)) => tracing::debug!(%error, "lease not released"),
            Err(_) => tracing::debug!("lease not released in time"),
        }
    }

    /// Takes the Lease if it may be taken.
    async fn try_to(&self, seen: &mut Option<Seen>) -> Result<bool> {
        let lease = self.read().await?;
        match look(&lease, &self.own, seen, Instant::now()) {
            Look::Wait => Ok(false),
            Look::Take => match self.write(lease, &self.own).await {
                Ok(()) => Ok(true),
                Err(error) if error.status().is_some_and(Status::is_conflict) => Ok(false),
                Err(error) => Err(error),
            },
        }
    }

    async fn read(&self) -> Result<Lease> {
        let what = format!("read Lease {}/{LEASE}", self.namespace);
        self.leases
            .get(LEASE)
            .await
            .map_err(Error::kubernetes(what))
    }

    async fn write(&self, lease: Lease, holder: &str) -> Result<()> {
        let lease = held(lease, holder, Timestamp::now());
        let what = format!("write Lease {}/{LEASE}", self.namespace);
        let params = PostParams::default();
        let written = self.leases.replace(LEASE, &params, &lease).await;
        written.map(drop).map_err(Error::kubernetes(what))
    }
}

/// Whether the Lease may be taken now. `seen` is what the last look saw.
fn look(lease: &Lease, own: &str, seen: &mut Option<Seen>, now: Instant) -> Look {
    let version = lease.metadata.resource_version.clone();
    let changed = seen.as_ref().is_none_or(|seen| seen.version != version);
    if changed {
        *seen = Some(Seen { version, at: now });
    }
    let Some(holder) = holder(lease).filter(|holder| *holder != own) else {
        return Look::Take;
    };
    let spec = lease.spec.as_ref();
    let good_for = spec.and_then(|spec| spec.lease_duration_seconds);
    let good_for = good_for.and_then(|seconds| u64::try_from(seconds).ok());
    let good_for = good_for.map_or(GOOD_FOR, Duration::from_secs);
    let unchanged = seen.as_ref().map(|seen| now.duration_since(seen.at));
    if unchanged.is_some_and(|unchanged| unchanged >= good_for) {
        tracing::info!(holder, "the lease has ended");
        return Look::Take;
    }
    Look::Wait
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    (!holder.is_empty()).then_some(holder)
}

/// The Lease as `own` holds it from `now` on; nobody does where that is empty.
fn held(mut lease: Lease, own: &str, now: Timestamp) -> Lease {
    let before = holder(&lease).map(str::to_owned);
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    if before.as_deref() != Some(own) {
        spec.acquire_time = Some(MicroTime(now));
        let transitions = spec.lease_transitions.unwrap_or_default();
        spec.lease_transitions = Some(transitions.saturating_add(1));
    }
    spec.holder_identity = Some(own.to_owned());
    spec.renew_time = Some(MicroTime(now));
    spec.lease_duration_seconds = Some(GOOD_FOR.as_secs() as i32);
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        let mut lease = held(Lease::default(), holder, Timestamp::UNIX_EPOCH);
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn a_lease_that_nobody_holds_is_taken_at_once() {
        let now = Instant::now();
        for free in [Lease::default(), lease("", "1"), lease("me", "1")] {
            assert_eq!(look(&free, "me", &mut None, now), Look::Take);
        }
    }

    #[test]
    fn one_that_changes_is_waited_for_and_one_that_does_not_ends() {
        let (begun, mut seen) = (Instant::now(), None);
        let mut at = |seconds, version| {
            let now = begun + Duration::from_secs(seconds);
            look(&lease("other", version), "me", &mut seen, now)
        };
        assert_eq!(at(0, "1"), Look::Wait);
        assert_eq!(at(14, "1"), Look::Wait);
        assert_eq!(at(14, "2"), Look::Wait, "renewed");
        assert_eq!(at(28, "2"), Look::Wait);
        assert_eq!(at(29, "2"), Look::Take);
    }

    #[test]
    fn a_new_holder_is_a_transition_and_a_renewal_is_none() {
        let first = held(Lease::default(), "a", Timestamp::UNIX_EPOCH);
        let renewed = held(first.clone(), "a", Timestamp::now());
        let second = held(renewed.clone(), "b", Timestamp::now());
        let transitions = |lease: &Lease| lease.spec.as_ref().unwrap().lease_transitions;
        assert_eq!(transitions(&first), Some(1));
        assert_eq!(transitions(&renewed), Some(1));
        assert_eq!(transitions(&second), Some(2));
        let acquired = |lease: &Lease| lease.spec.as_ref().unwrap().acquire_time.clone();
        assert_eq!(acquired(&first), acquired(&renewed));
    }
}
