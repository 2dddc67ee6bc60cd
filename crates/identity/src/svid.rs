//! A workload's own certificate and key.

use std::fmt;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tubeway_policy::SpiffeId;

use crate::bundle::TrustBundle;
use crate::leaf::{Leaf, LeafError};
use crate::verify::{PeerError, peer_identity};

/// An X509-SVID: a chain of certificates, the key to it, and whom its owner trusts.
///
/// Its key can sign and cannot be read.
#[derive(Clone)]
pub struct Svid {
    leaf: Leaf,
    certified: Arc<CertifiedKey>,
    bundle: TrustBundle,
}

/// Why a chain and a key are not an identity.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SvidError {
    /// The chain's text is not PEM.
    #[error("the certificate chain is not PEM: {0}")]
    ChainPem(String),
    /// The chain has no certificate.
    #[error("the certificate chain is empty")]
    Empty,
    /// The first certificate does not name a workload.
    #[error("the first certificate of the chain does not name a workload")]
    Leaf(#[from] LeafError),
    /// The key's text is not one private key. Nothing of it is repeated here.
    #[error("the private key is not one PEM section of kind PRIVATE KEY")]
    KeyPem,
    /// The key is of a kind that cannot sign, or is another certificate's.
    #[error("the private key is unusable with the first certificate: {0}")]
    Key(rustls::Error),
}

/// The one set of algorithms of this crate: `ring`'s.
pub(crate) static CRYPTO: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

// === impl Svid ===

impl Svid {
    /// Checks the leaf by the SVID rules and the key against the leaf.
    ///
    /// Dates and signatures are another question, see [`Svid::verify`]. Roots
    /// at the end of the chain are left out of what peers are sent.
    pub fn new(
        mut chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        bundle: TrustBundle,
    ) -> Result<Self, SvidError> {
        let leaf = Leaf::parse(chain.first().ok_or(SvidError::Empty)?)?;
        chain.retain(|certificate| !bundle.contains(certificate));
        let certified = CertifiedKey::from_der(chain, key, &CRYPTO).map_err(SvidError::Key)?;
        // `from_der` lets keys pass whose public half it cannot tell.
        certified.keys_match().map_err(SvidError::Key)?;
        Ok(Self {
            leaf,
            certified: Arc::new(certified),
            bundle,
        })
    }

    /// As [`Svid::new`], from PEM: the chain leaf first, the key in PKCS #8, SEC 1 or PKCS #1.
    pub fn from_pem(chain: &[u8], key: &[u8], bundle: TrustBundle) -> Result<Self, SvidError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| SvidError::ChainPem(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| SvidError::KeyPem)?;
        Self::new(chain, key, bundle)
    }

    /// The same identity, trusting other roots.
    #[must_use]
    pub fn with_bundle(&self, bundle: TrustBundle) -> Self {
        Self {
            bundle,
            ..self.clone()
        }
    }

    /// Whose identity this is.
    pub fn id(&self) -> &SpiffeId {
        &self.leaf.id
    }

    /// The certificates that peers are sent, leaf first, without roots.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// First second of the leaf's life.
    pub fn not_before(&self) -> UnixTime {
        self.leaf.not_before
    }

    /// Last second of the leaf's life.
    pub fn not_after(&self) -> UnixTime {
        self.leaf.not_after
    }

    /// The roots that this identity's owner trusts.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Whether the leaf is alive at `now`.
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        self.leaf.not_before <= now && now <= self.leaf.not_after
    }

    /// Whether peers that trust the same roots would accept this identity at `now`.
    pub fn verify(&self, now: UnixTime) -> Result<(), PeerError> {
        let trust_domain = self.leaf.id.trust_domain();
        peer_identity(self.chain(), &self.bundle, now, trust_domain).map(|_| ())
    }

    pub(crate) fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl fmt::Debug for Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svid")
            .field("id", &self.leaf.id)
            .field("not_before", &self.leaf.not_before.as_secs())
            .field("not_after", &self.leaf.not_after.as_secs())
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}
