//! Keeping an identity fresh.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::bundle::TrustBundle;
use crate::error::Causes;
use crate::provider::{Fault, Provider, ProviderError, bundle_of, read};
use crate::store::{IdentityStore, InstallError};

/// How often the bundle file is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How long an issuer may take.
const FETCH: Duration = Duration::from_secs(10);
/// The first pause after a failure; each further one is twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Longest pause while there is nothing to serve with.
const MAX_RETRY_WITHOUT: Duration = Duration::from_secs(5);
/// Longest pause while the old certificate lives.
const MAX_RETRY: Duration = Duration::from_secs(30);
/// Longest sleep before the clock is read again: a suspended machine's timers stand still.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// Which part of half a life the jitter may bring a renewal forward.
const SPREAD: f64 = 0.2;

/// Fetches an identity into a store, and the next one at half its life.
///
/// While the issuer is away the old identity stays and is used until it
/// expires; after that everything that needs it fails closed until the issuer
/// is back.
#[derive(Debug)]
pub struct Renewer<P> {
    provider: P,
    store: IdentityStore,
    jitter: f64,
    bundle_file: Option<PathBuf>,
    /// The newest good content of that file; wins over what the provider says.
    bundle: Mutex<Option<TrustBundle>>,
    /// Rung when the roots no longer vouch for the own certificate.
    overdue: Notify,
}

/// Why one attempt brought nothing.
#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Install(#[from] InstallError),
    #[error("the new certificate is already past half its life; check the clocks and the issuer")]
    Stale,
}

/// How long from `now` until a certificate should be renewed: at half its life.
///
/// `jitter`, from 0 to 1, brings that forward by up to a tenth of the life, so
/// that pods which started together do not renew together. Zero when it is due.
pub fn next_renewal(
    not_before: UnixTime,
    not_after: UnixTime,
    now: UnixTime,
    jitter: f64,
) -> Duration {
    let life = not_after.as_secs().saturating_sub(not_before.as_secs());
    let age = Duration::from_secs(now.as_secs().saturating_sub(not_before.as_secs()));
    let half = Duration::from_secs(life) / 2;
    half.mul_f64(1.0 - SPREAD * jitter.clamp(0.0, 1.0))
        .saturating_sub(age)
}

/// How long to wait after the `failures`th attempt in a row that brought nothing.
///
/// `left` is what remains of the certificate in use; `None` without one. The
/// pause doubles from a quarter of a second, and is capped so that at least
/// eight attempts fit into what is left, for as long as that is a second each.
pub fn retry_delay(failures: u32, left: Option<Duration>, jitter: f64) -> Duration {
    let cap = left.map_or(MAX_RETRY_WITHOUT, |left| {
        (left / 8).clamp(Duration::from_secs(1), MAX_RETRY)
    });
    let doublings = failures.saturating_sub(1).min(16);
    let delay = FIRST_RETRY.saturating_mul(1 << doublings).min(cap);
    delay.mul_f64(1.0 - SPREAD * jitter.clamp(0.0, 1.0))
}

// === impl Renewer ===

impl<P: Provider> Renewer<P> {
    /// Keeps `store` fresh with what `provider` gives.
    pub fn new(provider: P, store: IdentityStore) -> Self {
        Self {
            provider,
            store,
            jitter: 0.0,
            bundle_file: None,
            bundle: Mutex::new(None),
            overdue: Notify::new(),
        }
    }

    /// Follows this PEM file for the roots to trust; a change takes effect
    /// within about a second, without a renewal. A bad file changes nothing.
    #[must_use]
    pub fn with_bundle_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.bundle_file = Some(path.into());
        self
    }

    /// A number from 0 to 1 of this process's own, see [`next_renewal`].
    #[must_use]
    pub fn with_jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Runs until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.renew(), self.follow_bundle());
    }

    async fn renew(&self) {
        let mut failures = 0;
        loop {
            match self.attempt().await {
                Ok(due) => {
                    failures = 0;
                    self.wait(self.until(due)).await;
                }
                Err(error) => {
                    failures += 1;
                    let left = self.left();
                    let delay = retry_delay(failures, left, self.jitter);
                    tracing::warn!(
                        error = %Causes(&error),
                        fault = ?error.fault(),
                        attempt = failures,
                        retry_ms = delay.as_millis(),
                        left_s = left.map(|left| left.as_secs()),
                        "certificate not renewed"
                    );
                    self.wait(sleep(delay)).await;
                }
            }
        }
    }

    /// Waits for the time, or for a reason to be early.
    async fn wait(&self, time: impl Future<Output = ()>) {
        tokio::select! {
            () = time => {}
            () = self.provider.changed() => tracing::info!("issuer has something new"),
            () = self.overdue.notified() => tracing::info!("own certificate no longer vouched for"),
        }
    }

    async fn until(&self, due: UnixTime) {
        while let Some(now) = self.store.now()
            && now < due
        {
            let left = Duration::from_secs(due.as_secs() - now.as_secs());
            sleep(left.min(MAX_SLEEP)).await;
        }
    }

    /// Fetches and installs once. Returns when to do so again.
    async fn attempt(&self) -> Result<UnixTime, RenewError> {
        let mut svid = timeout(FETCH, self.provider.fetch())
            .await
            .unwrap_or(Err(ProviderError::Timeout))?;
        if let Some(bundle) = self.followed_bundle() {
            svid = svid.with_bundle(bundle);
        }
        let now = self.store.now().ok_or(InstallError::Clock)?;
        let wait = next_renewal(svid.not_before(), svid.not_after(), now, self.jitter);
        let (id, not_after) = (svid.id().clone(), svid.not_after());
        self.store.install(svid)?;
        tracing::info!(
            %id,
            left_s = not_after.as_secs().saturating_sub(now.as_secs()),
            renew_in_s = wait.as_secs(),
            "certificate installed"
        );
        if wait.is_zero() {
            // Installed all the same: it may be all there is.
            return Err(RenewError::Stale);
        }
        // Whole seconds, rounded up, or a life of few seconds would be renewed at once.
        let seconds = now.as_secs() + wait.as_millis().div_ceil(1000) as u64;
        Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }

    /// What is left of the certificate in use.
    fn left(&self) -> Option<Duration> {
        let svid = self.store.current()?;
        let now = self.store.now()?;
        let left = svid.not_after().as_secs().saturating_sub(now.as_secs());
        Some(Duration::from_secs(left))
    }

    async fn follow_bundle(&self) {
        let Some(path) = &self.bundle_file else {
            return;
        };
        let mut seen = None;
        loop {
            match read(path).await {
                Ok(pem) if seen.as_ref() == Some(&pem) => {}
                Ok(pem) => {
                    match bundle_of(path, &pem) {
                        Ok(bundle) => self.take_bundle(bundle),
                        Err(error) => {
                            tracing::warn!(error = %Causes(&error), "trust bundle refused, keeping the last good one");
                        }
                    }
                    seen = Some(pem);
                }
                // Being replaced, or not there yet; the provider says so if it needs it.
                Err(error) => tracing::debug!(error = %Causes(&error), "trust bundle unreadable"),
            }
            sleep(POLL).await;
        }
    }

    fn take_bundle(&self, bundle: TrustBundle) {
        let roots = bundle.certificates().len();
        let changed = self.store.replace_bundle(&bundle);
        *self.bundle.lock().unwrap_or_else(PoisonError::into_inner) = Some(bundle);
        if !changed {
            return;
        }
        tracing::info!(roots, "trust bundle replaced");
        let vouched = match (self.store.latest(), self.store.now()) {
            (Some(svid), Some(now)) => svid.verify(now).is_ok(),
            _ => true,
        };
        if !vouched {
            self.overdue.notify_one();
        }
    }

    fn followed_bundle(&self) -> Option<TrustBundle> {
        let bundle = self.bundle.lock().unwrap_or_else(PoisonError::into_inner);
        bundle.clone()
    }
}

// === impl RenewError ===

impl RenewError {
    fn fault(&self) -> Fault {
        match self {
            Self::Provider(error) => error.fault(),
            Self::Install(InstallError::Clock) => Fault::Setup,
            Self::Install(InstallError::Refused(_)) | Self::Stale => Fault::Issuer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_renewal_is_due_at_half_the_life() {
        for (from, to, now, jitter, seconds) in [
            (1_000, 1_060, 1_000, 0.0, 30.0),
            (1_000, 1_060, 1_010, 0.0, 20.0),
            (1_000, 1_060, 1_030, 0.0, 0.0),
            (1_000, 1_060, 1_059, 0.0, 0.0),
            (1_000, 1_060, 9_999, 0.0, 0.0),
            // The clock is behind the issuer's.
            (1_000, 1_060, 900, 0.0, 30.0),
            (1_000, 1_061, 1_000, 0.0, 30.5),
            (1_000, 1_060, 1_000, 1.0, 24.0),
            (1_000, 1_060, 1_000, 0.5, 27.0),
            // A jitter that is none.
            (1_000, 1_060, 1_000, 7.0, 24.0),
            (1_000, 1_060, 1_000, -7.0, 30.0),
            (0, 86_400, 0, 0.0, 43_200.0),
            (1_060, 1_000, 1_000, 0.0, 0.0),
        ] {
            let wait = next_renewal(at(from), at(to), at(now), jitter);
            assert_eq!(
                wait,
                Duration::from_secs_f64(seconds),
                "{from}..{to} at {now}, jitter {jitter}"
            );
        }
    }

    #[test]
    fn retries_double_up_to_a_cap() {
        let delays = |left: Option<u64>| -> Vec<u128> {
            (1..=9)
                .map(|n| retry_delay(n, left.map(Duration::from_secs), 0.0).as_millis())
                .collect()
        };
        assert_eq!(
            delays(None),
            [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000, 5_000]
        );
        assert_eq!(delays(Some(43_200))[6..], [16_000, 30_000, 30_000]);
        assert_eq!(delays(Some(30))[3..6], [2_000, 3_750, 3_750]);
        assert_eq!(delays(Some(1))[1..4], [500, 1_000, 1_000]);
        assert_eq!(retry_delay(u32::MAX, None, 1.0).as_millis(), 4_000);
        assert_eq!(retry_delay(0, None, 0.0), FIRST_RETRY);
    }
}
