//! What a leaf certificate must be to name a workload (X509-SVID, sections 2 to 5).

use rustls_pki_types::{CertificateDer, UnixTime};
use std::time::Duration;
use tubeway_policy::{SpiffeError, SpiffeId};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Version;

/// A leaf certificate that obeys the rules; nothing is said about who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// Whom it names.
    pub id: SpiffeId,
    /// First second of its life.
    pub not_before: UnixTime,
    /// Last second of its life.
    pub not_after: UnixTime,
}

/// Why a certificate does not name a workload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// Not one X.509 certificate and nothing else.
    #[error("the bytes are not exactly one X.509 certificate")]
    Encoding,
    /// An older version, which has no extensions.
    #[error("the certificate is not of X.509 version 3")]
    Version,
    /// An extension is there twice.
    #[error("the certificate has an extension twice")]
    DuplicateExtension,
    /// An extension that this crate knows cannot be read.
    #[error("the certificate's extension {0} cannot be read")]
    Extension(String),
    /// No or several URI names.
    #[error("the certificate has {0} URI names in subjectAltName; a workload has exactly one")]
    UriNames(usize),
    /// A name in `subjectAltName` cannot be read.
    #[error("a name in subjectAltName cannot be read")]
    BadName,
    /// The URI name is no SPIFFE id.
    #[error("the certificate's URI name is not a SPIFFE id")]
    Id(#[from] SpiffeError),
    /// A certificate authority must not authenticate as a workload.
    #[error("the certificate is that of a certificate authority, not of a workload")]
    Authority,
    /// The key usage is not that of a workload.
    #[error(
        "the certificate's keyUsage must be there, critical, with digitalSignature and without keyCertSign and cRLSign"
    )]
    KeyUsage,
    /// Not for both sides of a connection.
    #[error("the certificate's extendedKeyUsage must name serverAuth and clientAuth, or be absent")]
    ExtendedKeyUsage,
    /// Begins before 1970 or ends before it begins.
    #[error("the certificate's validity is no period of time")]
    Validity,
}

// === impl Leaf ===

impl Leaf {
    /// Reads a certificate and checks every rule that concerns it alone.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, LeafError> {
        let certificate = parse_exactly(der)?;
        let id = workload_id(&certificate)?;
        check_usage(&certificate)?;
        let validity = certificate.validity();
        let not_before = unix_time(validity.not_before.timestamp()).ok_or(LeafError::Validity)?;
        let not_after = unix_time(validity.not_after.timestamp()).ok_or(LeafError::Validity)?;
        if not_after < not_before {
            return Err(LeafError::Validity);
        }
        Ok(Self {
            id,
            not_before,
            not_after,
        })
    }
}

/// Reads one certificate, whose extensions are all readable and all different.
pub(crate) fn parse_exactly<'a>(
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, LeafError> {
    let (rest, certificate) =
        X509Certificate::from_der(der.as_ref()).map_err(|_| LeafError::Encoding)?;
    if !rest.is_empty() {
        return Err(LeafError::Encoding);
    }
    if certificate.version() != X509Version::V3 {
        return Err(LeafError::Version);
    }
    certificate
        .extensions_map()
        .map_err(|_| LeafError::DuplicateExtension)?;
    for extension in certificate.extensions() {
        // The accessors of the parser answer "absent" for these, which would
        // let a mangled extendedKeyUsage count as none.
        if let ParsedExtension::ParseError { .. } = extension.parsed_extension() {
            return Err(LeafError::Extension(extension.oid.to_id_string()));
        }
    }
    Ok(certificate)
}

/// All URI names of a certificate, in order.
pub(crate) fn uri_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<Vec<&'a str>, LeafError> {
    let mut uris = Vec::new();
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| LeafError::DuplicateExtension)?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::Invalid(..) => return Err(LeafError::BadName),
            _ => {}
        }
    }
    Ok(uris)
}

pub(crate) fn unix_time(seconds: i64) -> Option<UnixTime> {
    let seconds = u64::try_from(seconds).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

fn workload_id(certificate: &X509Certificate<'_>) -> Result<SpiffeId, LeafError> {
    match uri_names(certificate)?.as_slice() {
        [uri] => Ok(uri.parse()?),
        uris => Err(LeafError::UriNames(uris.len())),
    }
}

fn check_usage(certificate: &X509Certificate<'_>) -> Result<(), LeafError> {
    if certificate.is_ca() {
        return Err(LeafError::Authority);
    }
    let usage = certificate
        .key_usage()
        .map_err(|_| LeafError::DuplicateExtension)?
        .ok_or(LeafError::KeyUsage)?;
    if usage.value.key_cert_sign() || usage.value.crl_sign() {
        return Err(LeafError::KeyUsage);
    }
    if !usage.critical || !usage.value.digital_signature() {
        return Err(LeafError::KeyUsage);
    }
    let extended = certificate
        .extended_key_usage()
        .map_err(|_| LeafError::DuplicateExtension)?;
    match extended {
        Some(extended) if !(extended.value.server_auth && extended.value.client_auth) => {
            Err(LeafError::ExtendedKeyUsage)
        }
        _ => Ok(()),
    }
}
