//! Certificates, clocks and connections for the tests.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::{IdentityStore, Svid};
use tubeway_policy::SpiffeId;

/// Seconds after 1970 as the type that `rcgen` wants and does not name.
macro_rules! date {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs($seconds)
    };
}

pub const TRUST_DOMAIN: &str = "cluster.local";
pub const HOUR: Duration = Duration::from_hours(1);

pub fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

pub fn id(account: &str) -> SpiffeId {
    SpiffeId::of_service_account(TRUST_DOMAIN, "shop", account).unwrap()
}

pub fn authority() -> CertificateAuthority {
    CertificateAuthority::generate(TRUST_DOMAIN, 24 * HOUR, UnixTime::now()).unwrap()
}

pub fn store_with(svid: Svid) -> IdentityStore {
    let store = IdentityStore::new(TRUST_DOMAIN);
    store.install(svid).unwrap();
    store
}

pub fn store_of(authority: &CertificateAuthority, account: &str) -> IdentityStore {
    store_with(
        authority
            .issue(&id(account), &[], HOUR, UnixTime::now())
            .unwrap(),
    )
}

/// A clock that stands where it is put.
#[derive(Debug)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn at_now() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(UnixTime::now().as_secs())))
    }

    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_secs(), Ordering::SeqCst);
    }

    pub fn now(&self) -> UnixTime {
        at(self.0.load(Ordering::SeqCst))
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

pub type ClientStream = tokio_rustls::client::TlsStream<DuplexStream>;
pub type ServerStream = tokio_rustls::server::TlsStream<DuplexStream>;

/// A handshake in memory. A byte goes from server to client after it, so that
/// a server's refusal is the client's error as well.
pub async fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> (io::Result<ClientStream>, io::Result<ServerStream>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let accept = async {
        let mut stream = TlsAcceptor::from(Arc::clone(server)).accept(far).await?;
        stream.write_all(b"!").await?;
        stream.flush().await?;
        Ok(stream)
    };
    let dial = async {
        let name = ServerName::try_from("broker.test").unwrap();
        let connector = TlsConnector::from(Arc::clone(client));
        let mut stream = connector.connect(name, near).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    tokio::join!(dial, accept)
}

/// Sends a byte each way.
pub async fn ping(client: &mut ClientStream, server: &mut ServerStream) {
    client.write_all(b"a").await.unwrap();
    client.flush().await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'a');
    server.write_all(b"b").await.unwrap();
    server.flush().await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'b');
}

/// An authority with no rule built in, for certificates that break them.
pub struct Signer {
    pub issuer: Issuer<'static, KeyPair>,
    pub der: CertificateDer<'static>,
}

pub fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date!(0);
    params.not_after = date!(10_000);
    params
}

pub fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![uri("spiffe://cluster.local/ns/shop/sa/checkout")];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.not_before = date!(4_000);
    params.not_after = date!(6_000);
    params
}

/// Sets the dates of a certificate; the tests' present is 5,000 s after 1970.
pub fn dated(mut params: CertificateParams, from: u64, to: u64) -> CertificateParams {
    params.not_before = date!(from);
    params.not_after = date!(to);
    params
}

pub fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

pub fn extension(oid: &[u64], critical: bool, content: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(critical);
    extension
}

impl Signer {
    pub fn root(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self { issuer, der }
    }

    pub fn intermediate(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    pub fn leaf(&self, params: &CertificateParams) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }
}
