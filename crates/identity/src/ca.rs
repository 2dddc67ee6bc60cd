//! A certificate authority for workloads, where the mesh brings none.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use ring::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{
    CertificateDer, CertificateSigningRequestDer, DnsName, PrivateKeyDer, UnixTime,
};
use tubeway_policy::SpiffeId;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::bundle::{BundleError, TrustBundle};
use crate::leaf::{parse_exactly, uri_names};
use crate::svid::{Svid, SvidError};

/// Longest life of a leaf.
pub const MAX_TTL: Duration = Duration::from_hours(24);
/// Shortest life of a leaf; renewal could not keep up with less.
pub const MIN_TTL: Duration = Duration::from_secs(10);
/// Largest certificate signing request that is read, in bytes.
const MAX_REQUEST: usize = 16 * 1024;
/// How far a leaf's life begins in the past, at most, for clocks that are slow.
const MAX_BACKDATE: Duration = Duration::from_mins(1);

/// Signs workloads' certificates with a root of its own.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    trust_domain: Box<str>,
    bundle: TrustBundle,
    not_after: UnixTime,
}

/// An authority as text, to be kept in a Secret. Shows no key in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorityPem {
    /// The root certificate.
    pub certificate: String,
    /// The private key, PKCS #8.
    pub key: String,
}

/// A leaf just signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// PEM certificates: the leaf, then the root that signed it.
    pub chain: Vec<String>,
    /// Last second of the leaf's life.
    pub not_after: UnixTime,
}

/// Why an authority did not sign, or is none.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The request is larger than any honest one.
    #[error("the signing request has {0} bytes; at most {MAX_REQUEST} are read")]
    RequestSize(usize),
    /// The request cannot be read.
    #[error("the signing request is not one PEM section CERTIFICATE REQUEST")]
    Request,
    /// The request is not signed with the key that it names.
    #[error("the signing request does not prove possession of its key")]
    Possession,
    /// The key in the request is of a kind that is not signed.
    #[error("the signing request's key is not ECDSA P-256 or P-384, Ed25519 or RSA")]
    KeyKind,
    /// The id is of another trust domain.
    #[error("this authority signs for {own:?}, not for {id}")]
    TrustDomain {
        /// The authority's domain.
        own: String,
        /// The id that was asked for.
        id: SpiffeId,
    },
    /// A DNS name is none.
    #[error("{0:?} is not a DNS name")]
    DnsName(String),
    /// The life asked for is shorter than renewal can follow.
    #[error("a certificate lives at least {} s", MIN_TTL.as_secs())]
    Ttl,
    /// The authority's own certificate ends before the shortest life that it could sign.
    #[error("the authority's own certificate is at its end; replace the authority")]
    Expired,
    /// The stored certificate is not an authority's.
    #[error("the stored certificate is not that of a certificate authority with keyCertSign")]
    NotAnAuthority,
    /// The stored key is unreadable or another certificate's.
    #[error("the stored private key is not the stored certificate's")]
    Key,
    /// The stored certificate names no trust domain.
    #[error("the stored certificate has no single name of the form spiffe://<trust domain>")]
    NoTrustDomain,
    /// The stored certificate cannot be trusted.
    #[error("the stored certificate is not usable")]
    Bundle(#[from] BundleError),
    /// What was signed is not an identity; a fault of this crate.
    #[error("the certificate just signed breaks a rule")]
    Svid(#[from] SvidError),
    /// Encoding or signing failed.
    #[error("the certificate could not be made: {0}")]
    Sign(#[from] rcgen::Error),
    /// No random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

// === impl CertificateAuthority ===

impl CertificateAuthority {
    /// A new authority with a P-256 key, valid from a minute before `now` for `life`.
    pub fn generate(trust_domain: &str, life: Duration, now: UnixTime) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        let serial = random_serial()?;
        // Roots that follow one another need different names: verifiers find a
        // root by its name, and blame the signature if they find the wrong one.
        let name = format!("tubeway root {serial}");
        params.serial_number = Some(serial);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names = vec![uri(&format!("spiffe://{trust_domain}"))?];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, MAX_BACKDATE, life);
        let pem = AuthorityPem {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        };
        Self::from_pem(&pem)
    }

    /// The authority that [`CertificateAuthority::to_pem`] wrote down.
    pub fn from_pem(pem: &AuthorityPem) -> Result<Self, CaError> {
        let certificate = CertificateDer::from_pem_slice(pem.certificate.as_bytes())
            .map_err(|_| CaError::NotAnAuthority)?;
        let key = KeyPair::from_pem(&pem.key).map_err(|_| CaError::Key)?;
        let bundle = TrustBundle::new(vec![certificate.clone()])?;
        let (trust_domain, not_after) = {
            let parsed = parse_exactly(&certificate).map_err(|_| CaError::NotAnAuthority)?;
            let signs =
                matches!(parsed.key_usage(), Ok(Some(usage)) if usage.value.key_cert_sign());
            if !signs {
                return Err(CaError::NotAnAuthority);
            }
            if parsed.public_key().raw != key.subject_public_key_info() {
                return Err(CaError::Key);
            }
            let names = uri_names(&parsed).map_err(|_| CaError::NoTrustDomain)?;
            let [name] = names.as_slice() else {
                return Err(CaError::NoTrustDomain);
            };
            let not_after = crate::leaf::unix_time(parsed.validity().not_after.timestamp())
                .ok_or(CaError::NotAnAuthority)?;
            (trust_domain_of(name)?, not_after)
        };
        let certificate_pem = pem_of(&certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self {
            issuer,
            certificate,
            certificate_pem,
            trust_domain,
            bundle,
            not_after,
        })
    }

    /// Certificate and key as text.
    pub fn to_pem(&self) -> AuthorityPem {
        AuthorityPem {
            certificate: self.certificate_pem.clone(),
            key: self.issuer.key().serialize_pem(),
        }
    }

    /// The root certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The root certificate as PEM, as it goes into a trust bundle.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A bundle of this one root.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// The trust domain that it signs for.
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// Last second of the root's life. A leaf never outlives it.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Signs a leaf for `id`.
    ///
    /// Only the public key is taken from the request, once the request has
    /// proven that its maker holds the private one: names, usages and anything
    /// else in it count for nothing. The life is at most [`MAX_TTL`] and ends
    /// with the authority's; it begins up to a minute, and at most a tenth of
    /// it, before `now`.
    pub fn sign(
        &self,
        request_pem: &str,
        id: &SpiffeId,
        dns_names: &[String],
        ttl: Duration,
        now: UnixTime,
    ) -> Result<Issued, CaError> {
        let key = requested_key(request_pem)?;
        let (leaf, not_after) = self.sign_key(&key, id, dns_names, ttl, now)?;
        Ok(Issued {
            chain: vec![leaf.pem(), self.certificate_pem.clone()],
            not_after,
        })
    }

    /// Makes a key and a leaf for it, for the process that holds the authority.
    pub fn issue(
        &self,
        id: &SpiffeId,
        dns_names: &[String],
        ttl: Duration,
        now: UnixTime,
    ) -> Result<Svid, CaError> {
        let key = KeyPair::generate()?;
        let (leaf, _) = self.sign_key(&key, id, dns_names, ttl, now)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| CaError::Key)?;
        let bundle = self.bundle.clone();
        Ok(Svid::new(vec![leaf.der().clone()], key, bundle)?)
    }

    fn sign_key(
        &self,
        key: &impl PublicKeyData,
        id: &SpiffeId,
        dns_names: &[String],
        ttl: Duration,
        now: UnixTime,
    ) -> Result<(rcgen::Certificate, UnixTime), CaError> {
        if id.trust_domain() != &*self.trust_domain {
            return Err(CaError::TrustDomain {
                own: self.trust_domain.to_string(),
                id: id.clone(),
            });
        }
        let ttl = self.life(ttl, now)?;
        let mut params = CertificateParams::default();
        params.serial_number = Some(random_serial()?);
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![uri(id.as_str())?];
        for name in dns_names {
            params.subject_alt_names.push(dns(name)?);
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        set_validity(&mut params, now, MAX_BACKDATE.min(ttl / 10), ttl);
        let leaf = params.signed_by(key, &self.issuer)?;
        Ok((leaf, later(now, ttl)))
    }

    fn life(&self, asked: Duration, now: UnixTime) -> Result<Duration, CaError> {
        if asked < MIN_TTL {
            return Err(CaError::Ttl);
        }
        let own = self.not_after.as_secs().saturating_sub(now.as_secs());
        let life = asked.min(MAX_TTL).min(Duration::from_secs(own));
        if life < MIN_TTL {
            return Err(CaError::Expired);
        }
        Ok(life)
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("trust_domain", &self.trust_domain)
            .field("not_after", &self.not_after.as_secs())
            .finish_non_exhaustive()
    }
}

// === impl AuthorityPem ===

impl fmt::Debug for AuthorityPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityPem")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn requested_key(request_pem: &str) -> Result<SubjectPublicKeyInfo, CaError> {
    if request_pem.len() > MAX_REQUEST {
        return Err(CaError::RequestSize(request_pem.len()));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(request_pem.as_bytes())
        .map_err(|_| CaError::Request)?;
    let (rest, request) =
        X509CertificationRequest::from_der(der.as_ref()).map_err(|_| CaError::Request)?;
    if !rest.is_empty() {
        return Err(CaError::Request);
    }
    request
        .verify_signature()
        .map_err(|_| CaError::Possession)?;
    let key = request.certification_request_info.subject_pki.raw;
    SubjectPublicKeyInfo::from_der(key).map_err(|_| CaError::KeyKind)
}

/// 128 random bits, written as a positive number.
fn random_serial() -> Result<SerialNumber, CaError> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CaError::Random)?;
    Ok(SerialNumber::from_slice(&bytes))
}

fn set_validity(params: &mut CertificateParams, now: UnixTime, backdate: Duration, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.as_secs());
    params.not_before = epoch + now.saturating_sub(backdate);
    params.not_after = epoch + now + life;
}

fn later(now: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) + by)
}

fn uri(text: &str) -> Result<SanType, CaError> {
    Ok(SanType::URI(text.try_into()?))
}

fn dns(name: &str) -> Result<SanType, CaError> {
    let bad = || CaError::DnsName(name.to_owned());
    DnsName::try_from(name).map_err(|_| bad())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| bad())?))
}

/// A root's name is its trust domain alone, read by the rules for workloads' ids.
fn trust_domain_of(name: &str) -> Result<Box<str>, CaError> {
    let member: SpiffeId = format!("{name}/member")
        .parse()
        .map_err(|_| CaError::NoTrustDomain)?;
    if member.path() != "/member" {
        return Err(CaError::NoTrustDomain);
    }
    Ok(member.trust_domain().into())
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&byte| char::from(byte)));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
