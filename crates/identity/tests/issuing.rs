//! The authority, its server and its client, over real sockets on loopback.

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use common::{HOUR, TRUST_DOMAIN, at, authority, id, store_of};
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tubeway_identity::ca::{AuthorityPem, CaError, CertificateAuthority, MAX_TTL};
use tubeway_identity::ca_server::{CaService, ReviewError, ServiceAccount, TokenReviewer};
use tubeway_identity::channel::H2;
use tubeway_identity::provider::{Fault, IstioCa, IstioCaConfig, Local, Provider, ProviderError};
use tubeway_identity::renew::Renewer;
use tubeway_identity::serve::{PeerIdentity, ServeLimits, serve_tls};
use tubeway_identity::tls::{Expected, client_config, server_config_optional_client};
use tubeway_identity::{IdentityStore, Leaf, TrustBundle};

/// Knows the tokens `<service account> <audience>` of namespace `shop`.
#[derive(Default)]
struct Reviewer {
    away: AtomicBool,
}

#[async_trait]
impl TokenReviewer for Reviewer {
    async fn review(&self, token: &str, audience: &str) -> Result<ServiceAccount, ReviewError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(ReviewError::Unavailable("no apiserver".into()));
        }
        match token.split_once('/') {
            Some((name, of)) if of == audience => Ok(ServiceAccount {
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(ReviewError::Invalid("not one of ours".to_owned())),
        }
    }
}

/// An issuer on a port of its own, and a pod's files to reach it with.
struct Issuer {
    ca: Arc<ArcSwap<CertificateAuthority>>,
    reviewer: Arc<Reviewer>,
    store: IdentityStore,
    address: SocketAddr,
    folder: tempfile::TempDir,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

impl Issuer {
    async fn start() -> Self {
        let ca = Arc::new(ArcSwap::from_pointee(authority()));
        let bundle = ca.load().bundle().clone();
        let own = Local::new(
            Arc::clone(&ca),
            Arc::new(ArcSwap::from_pointee(bundle)),
            id("operator"),
            vec!["operator.test".to_owned()],
            HOUR,
        );
        let store = IdentityStore::new(TRUST_DOMAIN);
        store.install(own.fetch().await.unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "checkout/tubeway-ca\n").unwrap();
        std::fs::write(folder.path().join("roots"), ca.load().certificate_pem()).unwrap();
        let reviewer = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, done) = serve(listener, &ca, &reviewer, &store);
        Self {
            ca,
            reviewer,
            store,
            address,
            folder,
            stop,
            done,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> IstioCaConfig {
        IstioCaConfig {
            address: self.address.to_string(),
            server_name: "operator.test".to_owned(),
            id: Some(id("operator")),
            token_file: self.file("token"),
            roots_file: self.file("roots"),
            cluster_id: "Kubernetes".to_owned(),
            ttl: HOUR,
        }
    }

    fn client(&self) -> IstioCa {
        IstioCa::new(self.config())
    }
}

fn serve(
    listener: TcpListener,
    ca: &Arc<ArcSwap<CertificateAuthority>>,
    reviewer: &Arc<Reviewer>,
    store: &IdentityStore,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let service = CaService::new(
        Arc::clone(ca),
        Arc::clone(reviewer) as Arc<dyn TokenReviewer>,
        "tubeway-ca",
        HOUR,
    );
    let config = server_config_optional_client(store, Expected::InTrustDomain, &[H2]);
    let (stop, stopped) = oneshot::channel();
    let limits = ServeLimits {
        drain: Duration::from_millis(100),
        ..ServeLimits::default()
    };
    let done = tokio::spawn(serve_tls(
        listener,
        config,
        Routes::new(service),
        limits,
        async {
            let _ = stopped.await;
        },
    ));
    (stop, done)
}

#[tokio::test]
async fn a_token_becomes_an_identity() {
    let issuer = Issuer::start().await;
    let svid = issuer.client().fetch().await.unwrap();
    assert_eq!(svid.id(), &id("checkout"));
    assert_eq!(svid.chain().len(), 1, "the root is not sent to peers");
    svid.verify(UnixTime::now()).unwrap();
    let life = svid.not_after().as_secs() - svid.not_before().as_secs();
    assert_eq!(life, 3600 + 60);
    // A key of its own for each certificate.
    let again = issuer.client().fetch().await.unwrap();
    assert_ne!(svid.chain(), again.chain());
}

#[tokio::test]
async fn whoever_is_not_known_gets_nothing() {
    let issuer = Issuer::start().await;
    for (token, fault) in [
        ("checkout/another-audience", Fault::Issuer),
        ("nonsense", Fault::Issuer),
        ("", Fault::Setup),
        ("two\nlines", Fault::Setup),
    ] {
        std::fs::write(issuer.file("token"), token).unwrap();
        let error = issuer.client().fetch().await.unwrap_err();
        assert_eq!(error.fault(), fault, "{token:?}: {error}");
    }
    // A name that would reach into another path.
    std::fs::write(issuer.file("token"), "x%2fns/tubeway-ca").unwrap();
    let error = issuer.client().fetch().await.unwrap_err();
    assert!(matches!(error, ProviderError::Refused(_)), "{error}");

    std::fs::write(issuer.file("token"), "checkout/tubeway-ca").unwrap();
    issuer.reviewer.away.store(true, Ordering::SeqCst);
    let error = issuer.client().fetch().await.unwrap_err();
    assert!(matches!(error, ProviderError::Failed(_)), "{error}");
    issuer.reviewer.away.store(false, Ordering::SeqCst);
    issuer.client().fetch().await.unwrap();
}

#[tokio::test]
async fn a_token_goes_to_the_proven_issuer_only() {
    let issuer = Issuer::start().await;
    let wrong_name = IstioCaConfig {
        server_name: "another.test".to_owned(),
        ..issuer.config()
    };
    let wrong_id = IstioCaConfig {
        id: Some(id("checkout")),
        ..issuer.config()
    };
    let wrong_name_without_id = IstioCaConfig {
        id: None,
        ..wrong_name.clone()
    };
    for config in [wrong_name, wrong_id, wrong_name_without_id] {
        let error = IstioCa::new(config).fetch().await.unwrap_err();
        assert!(matches!(error, ProviderError::Unreachable(_)), "{error}");
    }
    // As with Istio's own control plane, whose certificate has no id to check.
    let by_name = IstioCaConfig {
        id: None,
        ..issuer.config()
    };
    IstioCa::new(by_name).fetch().await.unwrap();

    std::fs::write(issuer.file("roots"), authority().certificate_pem()).unwrap();
    let error = issuer.client().fetch().await.unwrap_err();
    assert!(matches!(error, ProviderError::Unreachable(_)), "{error}");
    std::fs::write(issuer.file("roots"), "not PEM").unwrap();
    let error = issuer.client().fetch().await.unwrap_err();
    assert_eq!(error.fault(), Fault::Setup, "{error}");
    std::fs::remove_file(issuer.file("roots")).unwrap();
    let error = issuer.client().fetch().await.unwrap_err();
    assert_eq!(error.fault(), Fault::Setup, "{error}");
}

#[tokio::test]
async fn an_issuer_that_goes_and_comes_back() {
    let issuer = Issuer::start().await;
    issuer.stop.send(()).unwrap();
    issuer.done.await.unwrap();

    let store = IdentityStore::new(TRUST_DOMAIN);
    let client = IstioCa::new(IstioCaConfig {
        address: issuer.address.to_string(),
        server_name: "operator.test".to_owned(),
        id: Some(id("operator")),
        token_file: issuer.folder.path().join("token"),
        roots_file: issuer.folder.path().join("roots"),
        cluster_id: "Kubernetes".to_owned(),
        ttl: HOUR,
    });
    let error = client.fetch().await.unwrap_err();
    assert!(matches!(error, ProviderError::Unreachable(_)), "{error}");
    let renewing = tokio::spawn(Renewer::new(client, store.clone()).run());
    assert!(store.current().is_none());

    let listener = TcpListener::bind(issuer.address).await.unwrap();
    let (_stop, _done) = serve(listener, &issuer.ca, &issuer.reviewer, &issuer.store);
    assert_eq!(store.ready().await.id(), &id("checkout"));
    renewing.abort();
}

#[tokio::test]
async fn roots_are_rotated_without_a_gap() {
    let issuer = Issuer::start().await;
    let store = IdentityStore::new(TRUST_DOMAIN);
    let roots = issuer.file("roots");
    let renewer = Renewer::new(issuer.client(), store.clone()).with_bundle_file(&roots);
    let renewing = tokio::spawn(renewer.run());
    let first = store.ready().await;

    // Both roots are trusted first; the own certificate stays as it is.
    let old = issuer.ca.load_full();
    let new = Arc::new(authority());
    let both = format!("{}{}", old.certificate_pem(), new.certificate_pem());
    let mut changes = store.subscribe();
    replace(&roots, &both);
    let svid = changes
        .wait_for(|svid| {
            svid.as_ref()
                .is_some_and(|svid| svid.bundle().certificates().len() == 2)
        })
        .await
        .unwrap()
        .clone();
    assert_eq!(svid.unwrap().chain(), first.chain());

    // A bad file changes nothing.
    replace(
        &roots,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );

    // Then the issuer signs with the new one, and the old root goes: what it
    // had signed is renewed at once.
    let operator = new.issue(
        &id("operator"),
        &["operator.test".to_owned()],
        HOUR,
        UnixTime::now(),
    );
    issuer.store.install(operator.unwrap()).unwrap();
    issuer.ca.store(Arc::clone(&new));
    replace(&roots, new.certificate_pem());
    let replaced = changes
        .wait_for(|svid| {
            svid.as_ref()
                .is_some_and(|svid| svid.bundle() == new.bundle() && svid.chain() != first.chain())
        })
        .await
        .unwrap()
        .clone();
    replaced.unwrap().verify(UnixTime::now()).unwrap();
    renewing.abort();
}

#[tokio::test]
async fn a_silent_client_and_a_plain_one_delay_nobody() {
    let issuer = Issuer::start().await;
    let _silent = TcpStream::connect(issuer.address).await.unwrap();
    let mut plain = TcpStream::connect(issuer.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    issuer.client().fetch().await.unwrap();
    // What comes back is an alert and the end, never an answer.
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    issuer.stop.send(()).unwrap();
    issuer.done.await.unwrap();
}

#[tokio::test]
async fn handlers_see_who_calls() {
    let ca = authority();
    let store = store_of(&ca, "operator");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = tower::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
        let peer = request.extensions().get::<PeerIdentity>().cloned();
        let text = format!("{:?}", peer.unwrap().0);
        Ok::<_, std::convert::Infallible>(http::Response::new(text))
    });
    let config = server_config_optional_client(&store, Expected::InTrustDomain, &[b"http/1.1"]);
    let limits = ServeLimits::default();
    let serving = tokio::spawn(serve_tls(
        listener,
        config,
        service,
        limits,
        std::future::pending(),
    ));

    let client = client_config(&store_of(&ca, "checkout"), Expected::InTrustDomain, &[]);
    let connector = tokio_rustls::TlsConnector::from(client);
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "operator.test".try_into().unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.ends_with("Some(spiffe://cluster.local/ns/shop/sa/checkout)"),
        "{answer}"
    );
    serving.abort();
}

#[test]
fn only_the_key_is_taken_from_a_request() {
    let ca = authority();
    let key = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::new(vec!["evil.test".to_owned()]).unwrap();
    greedy.subject_alt_names.push(SanType::URI(
        "spiffe://cluster.local/ns/kube-system/sa/admin"
            .try_into()
            .unwrap(),
    ));
    greedy.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    greedy.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    let csr = greedy.serialize_request(&key).unwrap().pem().unwrap();
    let issued = ca
        .sign(&csr, &id("checkout"), &[], HOUR, UnixTime::now())
        .unwrap();
    let leaf = CertificateDer::from_pem_slice(issued.chain[0].as_bytes()).unwrap();
    assert_eq!(Leaf::parse(&leaf).unwrap().id, id("checkout"));
    let text = String::from_utf8_lossy(&leaf);
    assert!(!text.contains("evil") && !text.contains("admin"));
    assert_eq!(issued.chain[1], ca.certificate_pem());
}

#[test]
fn a_request_must_prove_its_key() {
    let ca = authority();
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let sign = |pem: &str| ca.sign(pem, &id("checkout"), &[], HOUR, UnixTime::now());
    let mut der = csr.der().to_vec();
    *der.last_mut().unwrap() ^= 1;
    assert!(matches!(sign(&pem(&der)), Err(CaError::Possession)));
    let mut der = csr.der().to_vec();
    der.push(0);
    assert!(matches!(sign(&pem(&der)), Err(CaError::Request)));
    assert!(matches!(sign(""), Err(CaError::Request)));
    assert!(matches!(sign(&pem(b"nonsense")), Err(CaError::Request)));
    assert!(matches!(
        sign(&"x".repeat(20_000)),
        Err(CaError::RequestSize(20_000))
    ));
    sign(&csr.pem().unwrap()).unwrap();
}

#[test]
fn a_leaf_lives_as_long_as_it_may() {
    let now = UnixTime::now();
    let ca = CertificateAuthority::generate(TRUST_DOMAIN, 2 * MAX_TTL, now).unwrap();
    let life = |ttl: Duration, now: UnixTime| {
        let svid = ca.issue(&id("checkout"), &[], ttl, now)?;
        Ok((
            now.as_secs() - svid.not_before().as_secs(),
            svid.not_after().as_secs() - now.as_secs(),
        ))
    };
    let seconds = Duration::from_secs;
    assert_eq!(
        life(seconds(60), now).map_err(|error: CaError| error.to_string()),
        Ok((6, 60))
    );
    assert_eq!(
        life(HOUR, now).map_err(|error: CaError| error.to_string()),
        Ok((60, 3600))
    );
    assert_eq!(
        life(100 * MAX_TTL, now).map_err(|error: CaError| error.to_string()),
        Ok((60, 86_400))
    );
    assert!(matches!(life(seconds(9), now), Err(CaError::Ttl)));
    // The root ends in an hour: so does the leaf.
    let late = at(ca.not_after().as_secs() - 3600);
    assert_eq!(
        life(MAX_TTL, late).map_err(|error: CaError| error.to_string()),
        Ok((60, 3600))
    );
    assert!(matches!(life(HOUR, ca.not_after()), Err(CaError::Expired)));
}

#[test]
fn serials_are_random() {
    let ca = authority();
    let serials: std::collections::BTreeSet<Vec<u8>> = (0..50)
        .map(|_| {
            let svid = ca
                .issue(&id("checkout"), &[], HOUR, UnixTime::now())
                .unwrap();
            let der = svid.chain()[0].clone();
            let leaf = x509_parser::parse_x509_certificate(&der).unwrap().1;
            leaf.raw_serial().to_vec()
        })
        .collect();
    assert_eq!(serials.len(), 50);
    assert!(serials.iter().any(|serial| serial.len() >= 16));
    assert!(
        serials
            .iter()
            .all(|serial| serial.len() <= 17 && serial[0] & 0x80 == 0)
    );
}

#[test]
fn an_authority_survives_being_written_down() {
    let ca = authority();
    let again = CertificateAuthority::from_pem(&ca.to_pem()).unwrap();
    assert_eq!(again.trust_domain(), TRUST_DOMAIN);
    assert_eq!(again.certificate(), ca.certificate());
    let svid = again
        .issue(&id("checkout"), &[], HOUR, UnixTime::now())
        .unwrap();
    svid.with_bundle(ca.bundle().clone())
        .verify(UnixTime::now())
        .unwrap();

    let other = authority().to_pem();
    let mixed = AuthorityPem {
        certificate: other.certificate,
        key: ca.to_pem().key,
    };
    assert!(matches!(
        CertificateAuthority::from_pem(&mixed),
        Err(CaError::Key)
    ));
    assert!(!format!("{:?}{ca:?}", ca.to_pem()).contains("PRIVATE"));
}

#[test]
fn names_outside_the_domain_are_not_signed() {
    let ca = authority();
    let other = "spiffe://other.example/ns/shop/sa/checkout"
        .parse()
        .unwrap();
    let refused = ca.issue(&other, &[], HOUR, UnixTime::now());
    assert!(matches!(refused, Err(CaError::TrustDomain { .. })));
    let names = ["not a name".to_owned()];
    let refused = ca.issue(&id("checkout"), &names, HOUR, UnixTime::now());
    assert!(matches!(refused, Err(CaError::DnsName(_))));
    for domain in ["", "UPPER", "a/b", "a b"] {
        let refused = CertificateAuthority::generate(domain, HOUR, UnixTime::now());
        assert!(matches!(refused, Err(CaError::NoTrustDomain)), "{domain:?}");
    }
    assert_eq!(
        TrustBundle::from_pem(ca.certificate_pem().as_bytes()).unwrap(),
        *ca.bundle()
    );
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
}

/// As Kubernetes replaces a projected file.
fn replace(path: &Path, content: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, content).unwrap();
    std::fs::rename(&next, path).unwrap();
}
