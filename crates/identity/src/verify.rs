//! Whether a chain of certificates proves an identity. A pure function of its arguments.

use rustls_pki_types::{CertificateDer, UnixTime};
use tubeway_policy::SpiffeId;
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, KeyUsage,
    RequiredEkuNotFoundContext, VerifiedPath,
};

use crate::bundle::TrustBundle;
use crate::leaf::{Leaf, LeafError, parse_exactly, uri_names};

/// Why a peer's certificates do not prove an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// This side has no valid identity, and so no roots to trust.
    #[error("this side has no valid identity of its own, so it trusts nobody")]
    NoIdentity,
    /// The peer showed no certificate.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// The leaf breaks a rule of its own.
    #[error("the peer's certificate does not name a workload")]
    Leaf(#[from] LeafError),
    /// The id is of somebody else's trust domain.
    #[error("the peer is of trust domain {found:?}, not of {expected:?}")]
    TrustDomain {
        /// The domain that this side trusts.
        expected: String,
        /// The domain of the peer's id.
        found: String,
    },
    /// The leaf's life has not begun.
    #[error("the peer's certificate is not valid yet; check the clocks of both sides")]
    NotYetValid,
    /// The leaf's life is over.
    #[error("the peer's certificate has expired; check that the peer reaches its issuer")]
    Expired,
    /// No chain of authorities leads from the leaf to a root.
    #[error("no valid chain leads from the peer's certificate to a trusted root: {0}")]
    Chain(webpki::Error),
    /// The chain is good, but the peer is not one of those that were expected.
    #[error("the peer is {0}, which is not expected here")]
    Unexpected(SpiffeId),
}

/// Both purposes must be allowed wherever purposes are listed, for the leaf
/// takes either side of a connection.
struct BothSides;

/// Checks a peer's chain (leaf first, as the peer sent it) and says who it is.
///
/// # Guarantees
/// The leaf obeys every rule of X509-SVID, its id is of `trust_domain`, and at
/// `now` a chain of valid authorities leads from it to a root of `bundle` that
/// is valid itself. Only roots are trusted: an authority that the peer sent
/// along is a link, never an end.
pub fn peer_identity(
    chain: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    now: UnixTime,
    trust_domain: &str,
) -> Result<SpiffeId, PeerError> {
    let (first, intermediates) = chain.split_first().ok_or(PeerError::NoCertificate)?;
    let leaf = Leaf::parse(first)?;
    if leaf.id.trust_domain() != trust_domain {
        return Err(PeerError::TrustDomain {
            expected: trust_domain.to_owned(),
            found: leaf.id.trust_domain().to_owned(),
        });
    }
    if now < leaf.not_before {
        return Err(PeerError::NotYetValid);
    }
    if now > leaf.not_after {
        return Err(PeerError::Expired);
    }
    verify_path(first, intermediates, bundle, now, trust_domain)?;
    Ok(leaf.id)
}

fn verify_path(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    bundle: &TrustBundle,
    now: UnixTime,
    trust_domain: &str,
) -> Result<(), PeerError> {
    let end_entity = EndEntityCert::try_from(leaf).map_err(PeerError::Chain)?;
    end_entity
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &bundle.anchors_at(now),
            intermediates,
            now,
            BothSides,
            None,
            Some(&|path: &VerifiedPath<'_>| check_authorities(path, trust_domain)),
        )
        .map_err(PeerError::Chain)?;
    Ok(())
}

/// What path building does not look at: an authority on the way must be
/// allowed to sign, and must not be bound to another trust domain.
fn check_authorities(path: &VerifiedPath<'_>, trust_domain: &str) -> Result<(), webpki::Error> {
    for authority in path.intermediate_certificates() {
        let der = authority.der();
        let certificate = parse_exactly(&der).map_err(|_| webpki::Error::BadDer)?;
        let signs = match certificate.key_usage() {
            Ok(Some(usage)) => usage.value.key_cert_sign(),
            _ => false,
        };
        if !certificate.is_ca() || !signs {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        let uris = uri_names(&certificate).map_err(|_| webpki::Error::BadDer)?;
        let own = |uri: &&str| uri.strip_prefix("spiffe://") == Some(trust_domain);
        if uris.len() > 1 || !uris.iter().all(own) {
            return Err(webpki::Error::NameConstraintViolation);
        }
    }
    Ok(())
}

// === impl BothSides ===

impl ExtendedKeyUsageValidator for BothSides {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let present = purposes
            .map(|purpose| Ok(purpose?.to_decoded_oid()))
            .collect::<Result<Vec<_>, webpki::Error>>()?;
        for (required, oid) in [
            (KeyUsage::server_auth(), KeyUsage::SERVER_AUTH_REPR),
            (KeyUsage::client_auth(), KeyUsage::CLIENT_AUTH_REPR),
        ] {
            if !present.is_empty() && !present.iter().any(|purpose| purpose == oid) {
                let context = RequiredEkuNotFoundContext { required, present };
                return Err(webpki::Error::RequiredEkuNotFoundContext(context));
            }
        }
        Ok(())
    }
}
