//! The server's certificate authority and what it signs.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::auth::User;
use crate::auth::tokens::KeyError;

/// What goes wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key or certificate cannot be made or read.
    #[error(
        "keys or certificates in the state folder are unusable: {0}; remove ca.crt and ca.key to start with new ones"
    )]
    Certificate(String),
    /// A signing key cannot be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The CA and the server's own certificate.
pub(super) struct Pki {
    ca_pem: String,
    ca: Issuer<'static, KeyPair>,
    server: (String, String),
}

// === impl PkiError ===

impl From<rcgen::Error> for PkiError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

impl From<rustls::Error> for PkiError {
    fn from(error: rustls::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

// === impl Pki ===

impl Pki {
    /// The CA in `dir`, made if it is not there, and a new certificate for a server at `address`.
    pub(super) fn open(dir: &Path, address: IpAddr) -> Result<Self, PkiError> {
        let key = keep(&dir.join("ca.key"), || {
            Ok(KeyPair::generate()?.serialize_pem().into_bytes())
        })?;
        let key = || KeyPair::from_pem(&String::from_utf8_lossy(&key));
        let ca_pem = keep(&dir.join("ca.crt"), || {
            Ok(ca_params()?.self_signed(&key()?)?.pem().into_bytes())
        })?;
        let ca_pem = String::from_utf8_lossy(&ca_pem).into_owned();
        let ca = Issuer::from_ca_cert_pem(&ca_pem, key()?)?;
        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let mut names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        names.extend([
            "127.0.0.1".into(),
            "::1".into(),
            super::API_ADDRESS.into(),
            address.to_string(),
        ]);
        names.dedup();
        let server = sign(
            &ca,
            "kube-apiserver",
            None,
            names,
            ExtendedKeyUsagePurpose::ServerAuth,
        )?;
        Ok(Self { ca_pem, ca, server })
    }

    /// The CA's certificate.
    pub(super) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A client certificate and its key, both PEM.
    pub(super) fn client(&self, user: &str, group: &str) -> Result<(String, String), PkiError> {
        sign(
            &self.ca,
            user,
            Some(group),
            Vec::new(),
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    /// TLS for the server: client certificates are welcome, but no must.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, PkiError> {
        let broken = |error: rustls_pki_types::pem::Error| PkiError::Certificate(error.to_string());
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).map_err(broken)?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| PkiError::Certificate(error.to_string()))?;
        let chain = vec![CertificateDer::from_pem_slice(self.server.0.as_bytes()).map_err(broken)?];
        let key = PrivateKeyDer::from_pem_slice(self.server.1.as_bytes()).map_err(broken)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Reads a secret file, or makes it with `make`, readable by its owner only.
pub(super) fn keep(
    path: &Path,
    make: impl FnOnce() -> Result<Vec<u8>, PkiError>,
) -> Result<Vec<u8>, PkiError> {
    let failed = |source| PkiError::File {
        path: path.into(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let bytes = make()?;
    // Written aside and moved, so that a crash leaves a whole file or none.
    let aside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&aside);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(failed)?;
    Ok(bytes)
}

/// The user whom a verified client certificate names.
pub(super) fn user_of(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|group| group.as_str().ok())
        .map(str::to_owned);
    Some(User::from_certificate(name, groups.collect()))
}

fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localkube");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    validity(&mut params, 10);
    Ok(params)
}

fn sign(
    ca: &Issuer<'static, KeyPair>,
    name: &str,
    organization: Option<&str>,
    names: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(String, String), PkiError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organization) = organization {
        params
            .distinguished_name
            .push(DnType::OrganizationName, organization);
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    validity(&mut params, 1);
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, ca)?.pem(), key.serialize_pem()))
}

/// From yesterday, for clocks that differ, for some years.
fn validity(params: &mut CertificateParams, years: i32) {
    use std::time::{Duration, SystemTime};
    const DAY: Duration = Duration::from_secs(86_400);
    let now = SystemTime::now();
    params.not_before = (now - DAY).into();
    params.not_after = (now + DAY * 365 * years.unsigned_abs()).into();
}
