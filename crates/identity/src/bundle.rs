//! The certificate authorities that are trusted to name workloads.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};

use crate::leaf::{LeafError, parse_exactly, unix_time};

/// A set of root certificates, never empty.
///
/// Cheap to clone.
#[derive(Clone)]
pub struct TrustBundle {
    roots: Arc<Roots>,
}

struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    anchors: Vec<TrustAnchor<'static>>,
    validity: Vec<(UnixTime, UnixTime)>,
}

/// Why a text is not a trust bundle. Nothing of a bad bundle is used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The text is not PEM.
    #[error("the trust bundle is not PEM: {0}")]
    Pem(String),
    /// There is no certificate in it.
    #[error("the trust bundle has no certificate; it needs at least one CERTIFICATE section")]
    Empty,
    /// One of its certificates cannot be read.
    #[error("certificate {index} of the trust bundle is not usable")]
    Certificate {
        /// Its place, from 0.
        index: usize,
        /// What is wrong with it.
        source: LeafError,
    },
    /// One of its certificates is not that of an authority.
    #[error("certificate {index} of the trust bundle is not a certificate authority's")]
    NotAnAuthority {
        /// Its place, from 0.
        index: usize,
    },
}

// === impl TrustBundle ===

impl TrustBundle {
    /// Reads the certificates of a PEM text; sections of other kinds are passed over.
    pub fn from_pem(pem: &[u8]) -> Result<Self, BundleError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| BundleError::Pem(error.to_string()))?;
        Self::new(certificates)
    }

    /// A bundle of these certificates, each of which must be an authority's.
    pub fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self, BundleError> {
        if certificates.is_empty() {
            return Err(BundleError::Empty);
        }
        let mut anchors = Vec::with_capacity(certificates.len());
        let mut validity = Vec::with_capacity(certificates.len());
        for (index, der) in certificates.iter().enumerate() {
            validity.push(authority_validity(index, der)?);
            let anchor =
                webpki::anchor_from_trusted_cert(der).map_err(|_| BundleError::Certificate {
                    index,
                    source: LeafError::Encoding,
                })?;
            anchors.push(anchor.to_owned());
        }
        let roots = Arc::new(Roots {
            certificates,
            anchors,
            validity,
        });
        Ok(Self { roots })
    }

    /// The root certificates.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.roots.certificates
    }

    /// Whether this certificate is one of the roots, byte for byte.
    pub fn contains(&self, certificate: &CertificateDer<'_>) -> bool {
        self.roots
            .certificates
            .iter()
            .any(|root| root == certificate)
    }

    /// The anchors whose certificates are valid at `now`; path building itself
    /// looks at no root's dates.
    pub(crate) fn anchors_at(&self, now: UnixTime) -> Cow<'_, [TrustAnchor<'static>]> {
        let valid = |&(from, to): &(UnixTime, UnixTime)| from <= now && now <= to;
        if self.roots.validity.iter().all(valid) {
            return Cow::Borrowed(&self.roots.anchors);
        }
        let pairs = self.roots.anchors.iter().zip(&self.roots.validity);
        Cow::Owned(
            pairs
                .filter(|(_, validity)| valid(validity))
                .map(|(anchor, _)| anchor.clone())
                .collect(),
        )
    }
}

impl PartialEq for TrustBundle {
    fn eq(&self, other: &Self) -> bool {
        self.roots.certificates == other.roots.certificates
    }
}

impl Eq for TrustBundle {}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("roots", &self.roots.certificates.len())
            .finish()
    }
}

fn authority_validity(
    index: usize,
    der: &CertificateDer<'_>,
) -> Result<(UnixTime, UnixTime), BundleError> {
    let bad = |source| BundleError::Certificate { index, source };
    let certificate = parse_exactly(der).map_err(bad)?;
    if !certificate.is_ca() {
        return Err(BundleError::NotAnAuthority { index });
    }
    // A root of a public kind may begin before 1970; that is no reason to refuse it.
    let from = unix_time(certificate.validity().not_before.timestamp().max(0));
    let to = unix_time(certificate.validity().not_after.timestamp());
    from.zip(to).ok_or_else(|| bad(LeafError::Validity))
}
