//! The identity that a process has right now.

use std::fmt;
use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;
use tubeway_policy::SpiffeId;

use crate::bundle::TrustBundle;
use crate::svid::Svid;
use crate::verify::{PeerError, peer_identity};

/// Holds the current identity; everything that does TLS reads it at each handshake.
///
/// Cheap to clone; all clones are one store. An identity that has expired is
/// not handed out: what depends on it fails closed.
#[derive(Clone)]
pub struct IdentityStore {
    shared: Arc<Shared>,
}

struct Shared {
    trust_domain: Box<str>,
    current: watch::Sender<Option<Arc<Svid>>>,
    clock: Arc<dyn TimeProvider>,
}

/// Why an identity was not taken over. The one before stays.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The clock of this machine cannot be read.
    #[error("the clock cannot be read, so no certificate can be checked")]
    Clock,
    /// Peers with the same roots would refuse the identity.
    #[error("peers that trust the same roots would refuse this certificate")]
    Refused(#[source] PeerError),
}

// === impl IdentityStore ===

impl IdentityStore {
    /// A store without an identity yet, for workloads of this trust domain.
    pub fn new(trust_domain: &str) -> Self {
        Self::with_clock(trust_domain, Arc::new(DefaultTimeProvider))
    }

    /// As [`IdentityStore::new`], with another clock.
    pub fn with_clock(trust_domain: &str, clock: Arc<dyn TimeProvider>) -> Self {
        let shared = Shared {
            trust_domain: trust_domain.into(),
            current: watch::Sender::new(None),
            clock,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The trust domain that peers must be of.
    pub fn trust_domain(&self) -> &str {
        &self.shared.trust_domain
    }

    /// Takes over a new identity, if peers that trust its roots would accept it.
    ///
    /// Live connections are not touched; the next handshake uses it.
    pub fn install(&self, svid: Svid) -> Result<(), InstallError> {
        let now = self.now().ok_or(InstallError::Clock)?;
        peer_identity(svid.chain(), svid.bundle(), now, self.trust_domain())
            .map_err(InstallError::Refused)?;
        self.shared.current.send_replace(Some(Arc::new(svid)));
        Ok(())
    }

    /// Trusts other roots from the next handshake on. True if that changed anything.
    ///
    /// The own certificate stays even if these roots do not vouch for it: whom
    /// to trust and who trusts us are two questions.
    pub fn replace_bundle(&self, bundle: &TrustBundle) -> bool {
        self.shared
            .current
            .send_if_modified(|current| match current {
                Some(svid) if svid.bundle() != bundle => {
                    *svid = Arc::new(svid.with_bundle(bundle.clone()));
                    true
                }
                _ => false,
            })
    }

    /// The identity, unless there is none or it is not valid now.
    pub fn current(&self) -> Option<Arc<Svid>> {
        let now = self.now()?;
        self.latest().filter(|svid| svid.is_valid_at(now))
    }

    /// The identity last installed, valid or not.
    pub fn latest(&self) -> Option<Arc<Svid>> {
        self.shared.current.borrow().clone()
    }

    /// Follows installed identities and bundles. Expiry is no event.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Svid>>> {
        self.shared.current.subscribe()
    }

    /// Waits until there is a valid identity.
    ///
    /// Cancel-safe. Returns at once if there is one already.
    pub async fn ready(&self) -> Arc<Svid> {
        let mut changes = self.subscribe();
        loop {
            if let Some(svid) = self.current() {
                return svid;
            }
            // Fails only when the sender is gone, and `self` holds the sender.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Who a peer with this chain is, by the roots trusted now.
    ///
    /// For connections that live on while bundles change: the chain of a
    /// finished handshake can be asked about again.
    pub fn peer_identity(&self, chain: &[CertificateDer<'_>]) -> Result<SpiffeId, PeerError> {
        let now = self.now().ok_or(PeerError::NoIdentity)?;
        self.peer_identity_at(chain, now)
    }

    pub(crate) fn peer_identity_at(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<SpiffeId, PeerError> {
        let own = self.current().ok_or(PeerError::NoIdentity)?;
        peer_identity(chain, own.bundle(), now, self.trust_domain())
    }

    pub(crate) fn now(&self) -> Option<UnixTime> {
        self.shared.clock.current_time()
    }

    pub(crate) fn clock(&self) -> Arc<dyn TimeProvider> {
        Arc::clone(&self.shared.clock)
    }
}

impl fmt::Debug for IdentityStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityStore")
            .field("trust_domain", &self.shared.trust_domain)
            .field("latest", &self.latest())
            .finish()
    }
}
