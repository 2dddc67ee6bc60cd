//! Connections that a mesh must refuse, and what came of them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tubeway_identity::ca::CertificateAuthority;
use tubeway_policy::SpiffeId;

/// ApiVersions v0, correlation id 1, no client id: what any Kafka client may
/// ask first, and what any Kafka listener answers.
pub const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
const TIMEOUT: Duration = Duration::from_secs(10);

/// A certificate and its key, to be shown as a client.
pub struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Sends ApiVersions without TLS; the answer, which should be none.
pub fn plaintext(address: SocketAddr) -> Result<Vec<u8>> {
    exchange(address, &API_VERSIONS)
}

/// Sends a request without TLS; the answer.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = connect(address)?;
    if stream.write_all(request).is_err() {
        return Ok(Vec::new());
    }
    Ok(read_some(&mut stream))
}

/// Sends ApiVersions over TLS, showing `shown`; the answer, which should be none.
pub fn over_tls(address: SocketAddr, shown: Option<&Shown>) -> Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        // Whom the server is does not matter here: it must refuse us.
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
    let config = match shown {
        Some(shown) => builder.with_client_auth_cert(shown.chain.clone(), shown.key.clone_key())?,
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::IpAddress(address.ip().into());
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name)?;
    let mut stream = connect(address)?;
    let mut stream = rustls::Stream::new(&mut tls, &mut stream);
    // In TLS 1.3 the refusal of a client's certificate comes after the client
    // has sent its first data, so only the answer counts.
    if stream.write_all(&API_VERSIONS).is_err() {
        return Ok(Vec::new());
    }
    let mut answer = vec![0; 64];
    let n = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(n);
    Ok(answer)
}

/// A certificate for `id`, valid from now for `life`.
pub fn certificate(
    ca: &CertificateAuthority,
    id: &str,
    life: Duration,
    at: UnixTime,
) -> Result<Shown> {
    let id: SpiffeId = id.parse()?;
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::default()
        .serialize_request(&key)?
        .pem()?;
    let issued = ca
        .sign(&request, &id, &[], life, at)
        .context("cannot sign")?;
    let chain = issued
        .chain
        .iter()
        .map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok(Shown { chain, key })
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("nothing listens on {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

fn read_some(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = vec![0; 64];
    let n = stream.read(&mut answer).unwrap_or(0);
    answer.truncate(n);
    answer
}

/// Fails where `answer` is Kafka's to [`API_VERSIONS`].
pub fn must_be_refused(answer: &[u8], what: &str) -> Result<()> {
    // Length, then the correlation id that was sent. A TLS alert is no answer.
    if answer.len() >= 8 && answer[4..8] == [0, 0, 0, 1] {
        bail!("{what} was answered: {answer:02x?}");
    }
    Ok(())
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
