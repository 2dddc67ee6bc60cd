//! TLS that follows the identity store: 1.3 only, both sides with certificates, no resumption.
//!
//! A configuration is made once. Whose certificate is shown and whom it trusts
//! is read from the store at every handshake. There are no session tickets: a
//! resumed session would skip the check of the peer's certificate.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError,
    RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tubeway_policy::SpiffeId;

use crate::bundle::TrustBundle;
use crate::store::IdentityStore;
use crate::svid::CRYPTO;
use crate::verify::{PeerError, peer_identity};

/// Which peers a connection is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Every workload of the own trust domain. Who may do what is asked later.
    InTrustDomain,
    /// These and no others; the empty set admits nobody.
    Exactly(BTreeSet<SpiffeId>),
}

/// Where the verifier finds the roots.
#[derive(Debug)]
enum Trust {
    Live(IdentityStore),
    Fixed(TrustBundle),
}

#[derive(Debug)]
struct PeerVerifier {
    trust: Trust,
    expected: Expected,
    /// As a server: whether a client without a certificate is refused.
    mandatory: bool,
    /// As a client: whether the server must carry the DNS name that was dialled.
    check_name: bool,
}

/// Shows the store's certificate, or none if it is not valid.
#[derive(Debug)]
struct OwnCertificate(IdentityStore);

/// A server's configuration: clients must prove an expected identity.
pub fn server_config(
    store: &IdentityStore,
    expected: Expected,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    server(store, expected, true, alpn)
}

/// A server's configuration for clients that may have no certificate yet.
///
/// One that shows a certificate must still prove an expected identity. For the
/// port where workloads get their first certificate.
pub fn server_config_optional_client(
    store: &IdentityStore,
    expected: Expected,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    server(store, expected, false, alpn)
}

/// A client's configuration: the server must prove an expected identity.
///
/// The name that is dialled goes out as SNI and is not compared with anything:
/// in the mesh the SPIFFE id says who the server is.
pub fn client_config(
    store: &IdentityStore,
    expected: Expected,
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    client(store, expected, false, alpn)
}

/// As [`client_config`], and the server's certificate must also carry the dialled DNS name.
pub fn client_config_checking_name(
    store: &IdentityStore,
    expected: Expected,
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    client(store, expected, true, alpn)
}

/// A client's configuration without an own certificate, for the first call to an issuer.
///
/// The server's certificate must carry the dialled DNS name. With `id` it must
/// be that workload's; without, any certificate of these roots for the name
/// will do (Istio's own control plane has no SPIFFE id in it).
pub fn bootstrap_client_config(
    bundle: &TrustBundle,
    id: Option<SpiffeId>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let verifier: Arc<dyn ServerCertVerifier> = match id {
        Some(id) => Arc::new(PeerVerifier {
            trust: Trust::Fixed(bundle.clone()),
            expected: Expected::only(id),
            mandatory: true,
            check_name: true,
        }),
        None => name_verifier(bundle)?,
    };
    let mut config = client_builder(Arc::new(DefaultTimeProvider), verifier).with_no_client_auth();
    finish_client(&mut config, alpn);
    Ok(Arc::new(config))
}

/// Why a handshake refused the peer, if it was this crate that refused it.
pub fn refusal(error: &io::Error) -> Option<PeerError> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::NoCertificatesPresented => Some(PeerError::NoCertificate),
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::Expired => Some(PeerError::Expired),
            CertificateError::NotValidYet => Some(PeerError::NotYetValid),
            CertificateError::UnknownIssuer => Some(PeerError::Chain(webpki::Error::UnknownIssuer)),
            CertificateError::Other(OtherError(reason)) => {
                reason.downcast_ref::<PeerError>().cloned()
            }
            _ => None,
        },
        _ => None,
    }
}

fn server(
    store: &IdentityStore,
    expected: Expected,
    mandatory: bool,
    alpn: &[&[u8]],
) -> Arc<ServerConfig> {
    let verifier = PeerVerifier {
        trust: Trust::Live(store.clone()),
        expected,
        mandatory,
        check_name: false,
    };
    let mut config = ServerConfig::builder_with_details(Arc::clone(&CRYPTO), store.clock())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(OwnCertificate(store.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.alpn_protocols = owned(alpn);
    Arc::new(config)
}

fn client(
    store: &IdentityStore,
    expected: Expected,
    check_name: bool,
    alpn: &[&[u8]],
) -> Arc<ClientConfig> {
    let verifier = PeerVerifier {
        trust: Trust::Live(store.clone()),
        expected,
        mandatory: true,
        check_name,
    };
    let mut config = client_builder(store.clock(), Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(OwnCertificate(store.clone())));
    finish_client(&mut config, alpn);
    Arc::new(config)
}

fn client_builder(
    clock: Arc<dyn TimeProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_details(Arc::clone(&CRYPTO), clock)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

fn finish_client(config: &mut ClientConfig, alpn: &[&[u8]]) {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = owned(alpn);
}

fn name_verifier(bundle: &TrustBundle) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in bundle.certificates() {
        roots.add(certificate.clone())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&CRYPTO))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

// === impl Expected ===

impl Expected {
    /// This one and no other.
    pub fn only(id: SpiffeId) -> Self {
        Self::Exactly(BTreeSet::from([id]))
    }

    /// Whether `id`, already of the own trust domain, is one of them.
    pub fn admits(&self, id: &SpiffeId) -> bool {
        match self {
            Self::InTrustDomain => true,
            Self::Exactly(ids) => ids.contains(id),
        }
    }
}

// === impl PeerVerifier ===

impl PeerVerifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), PeerError> {
        let mut chain = Vec::with_capacity(1 + intermediates.len());
        chain.push(leaf.clone());
        chain.extend_from_slice(intermediates);
        let id = match (&self.trust, &self.expected) {
            (Trust::Live(store), _) => store.peer_identity_at(&chain, now)?,
            (Trust::Fixed(bundle), Expected::Exactly(ids)) => {
                let trust_domain = ids.first().map_or("", SpiffeId::trust_domain);
                peer_identity(&chain, bundle, now, trust_domain)?
            }
            (Trust::Fixed(_), Expected::InTrustDomain) => return Err(PeerError::NoIdentity),
        };
        if self.expected.admits(&id) {
            Ok(())
        } else {
            Err(PeerError::Unexpected(id))
        }
    }

    fn verify_signature(
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &CRYPTO.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, leaf, signature, algorithms)
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map_err(alert)?;
        if self.check_name {
            webpki::EndEntityCert::try_from(end_entity)
                .and_then(|leaf| leaf.verify_is_valid_for_subject_name(server_name))
                .map_err(|_| CertificateError::NotValidForName)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CRYPTO.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Roots change while the configuration lives; clients have one certificate anyway.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(end_entity, intermediates, now).map_err(alert)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::verify_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        CRYPTO.signature_verification_algorithms.supported_schemes()
    }
}

/// The error whose TLS alert tells the peer most; [`refusal`] is the way back.
fn alert(error: PeerError) -> rustls::Error {
    let reason = match error {
        PeerError::Expired => CertificateError::Expired,
        PeerError::NotYetValid => CertificateError::NotValidYet,
        PeerError::Chain(webpki::Error::UnknownIssuer) => CertificateError::UnknownIssuer,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    };
    rustls::Error::InvalidCertificate(reason)
}

// === impl OwnCertificate ===

impl OwnCertificate {
    fn certified_key(&self) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current()?.certified_key())
    }
}

impl ResolvesServerCert for OwnCertificate {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified_key()
    }
}

impl ResolvesClientCert for OwnCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.certified_key()
    }

    fn has_certs(&self) -> bool {
        true
    }
}
