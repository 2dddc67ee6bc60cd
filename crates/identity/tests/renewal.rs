//! Identities that are kept fresh, from an issuer that can be told what to do and from files.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::{HOUR, authority, id};
use rustls_pki_types::UnixTime;
use tokio::sync::watch;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::provider::{Fault, Files, Provider, ProviderError};
use tubeway_identity::renew::Renewer;
use tubeway_identity::{IdentityStore, Svid};

/// Signs with an authority, on a clock that may be wrong, or not at all.
struct Fake {
    ca: CertificateAuthority,
    /// `None` while it is away; else the life it gives and how much of it is over.
    gives: watch::Sender<Option<(Duration, Duration)>>,
    calls: AtomicUsize,
}

impl Fake {
    fn new(gives: Option<(Duration, Duration)>) -> Arc<Self> {
        Arc::new(Self {
            ca: authority(),
            gives: watch::Sender::new(gives),
            calls: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Provider for Fake {
    async fn fetch(&self) -> Result<Svid, ProviderError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (life, over) = self.gives.borrow().ok_or(ProviderError::Timeout)?;
        let now = UnixTime::now().as_secs() - over.as_secs();
        let then = UnixTime::since_unix_epoch(Duration::from_secs(now));
        Ok(self.ca.issue(&id("checkout"), &[], life, then)?)
    }
}

fn start(provider: impl Provider) -> (IdentityStore, tokio::task::JoinHandle<()>) {
    let store = IdentityStore::new(common::TRUST_DOMAIN);
    let renewer = Renewer::new(provider, store.clone()).with_jitter(1.0);
    (store, tokio::spawn(renewer.run()))
}

#[tokio::test]
async fn an_identity_is_renewed_before_it_ends() {
    // 30 s with a tenth of backdate: with this jitter due 13 s after its begin, so 2 s from now.
    let provider = Fake::new(Some((Duration::from_secs(30), Duration::from_secs(8))));
    let (store, renewing) = start(Arc::clone(&provider));
    let first = store.ready().await;
    let mut changes = store.subscribe();
    changes.mark_unchanged();
    changes.changed().await.unwrap();
    let second = store.current().unwrap();
    assert_ne!(first.chain(), second.chain());
    assert!(second.not_after() > first.not_after());
    assert_eq!(provider.calls.load(Ordering::SeqCst), 2);
    renewing.abort();
}

#[tokio::test]
async fn the_old_identity_stays_while_the_issuer_is_away() {
    let old = (Duration::from_mins(1), Duration::from_secs(50));
    let provider = Fake::new(Some(old));
    let (store, renewing) = start(Arc::clone(&provider));
    // Past half its life from the start, and taken all the same.
    let first = store.ready().await;
    provider.gives.send_replace(None);
    let calls = provider.calls.load(Ordering::SeqCst);
    while provider.calls.load(Ordering::SeqCst) < calls + 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(store.current().unwrap().chain(), first.chain());

    provider.gives.send_replace(Some((HOUR, Duration::ZERO)));
    let mut changes = store.subscribe();
    changes
        .wait_for(|svid| {
            let left = |svid: &Arc<Svid>| svid.not_after().as_secs() - UnixTime::now().as_secs();
            svid.as_ref().is_some_and(|svid| left(svid) > 3_000)
        })
        .await
        .unwrap();
    renewing.abort();
}

#[tokio::test]
async fn what_peers_would_refuse_is_not_installed() {
    // An hour that is over: signed well, and of no use.
    let provider = Fake::new(Some((HOUR, 2 * HOUR)));
    let (store, renewing) = start(Arc::clone(&provider));
    while provider.calls.load(Ordering::SeqCst) < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.latest().is_none());
    provider.gives.send_replace(Some((HOUR, Duration::ZERO)));
    store.ready().await;
    renewing.abort();
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    write_identity(folder.path(), &ca);
    let path = |name: &str| folder.path().join(name);
    let files = || Files::new(path("chain"), path("key"), path("roots"));
    let (store, renewing) = start(files());
    let first = store.ready().await;

    // Half a replacement: the new key does not fit the old chain, and nothing changes.
    let old_chain = std::fs::read(path("chain")).unwrap();
    let mut changes = store.subscribe();
    changes.mark_unchanged();
    write_identity(folder.path(), &ca);
    let new_chain = std::fs::read(path("chain")).unwrap();
    std::fs::write(path("chain"), old_chain).unwrap();
    let error = files().fetch().await.unwrap_err();
    assert!(matches!(error, ProviderError::Svid(_)), "{error}");
    assert!(!format!("{error:?}").contains("PRIVATE"));
    std::fs::write(path("chain"), new_chain).unwrap();

    changes.changed().await.unwrap();
    assert_ne!(store.current().unwrap().chain(), first.chain());
    renewing.abort();

    std::fs::remove_file(path("key")).unwrap();
    assert_eq!(files().fetch().await.unwrap_err().fault(), Fault::Setup);
}

fn write_identity(folder: &Path, ca: &CertificateAuthority) {
    let key = rcgen::KeyPair::generate().unwrap();
    let csr = rcgen::CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let csr = csr.pem().unwrap();
    let issued = ca
        .sign(&csr, &id("checkout"), &[], HOUR, UnixTime::now())
        .unwrap();
    std::fs::write(folder.join("key"), key.serialize_pem()).unwrap();
    std::fs::write(folder.join("roots"), ca.certificate_pem()).unwrap();
    std::fs::write(folder.join("chain"), issued.chain.concat()).unwrap();
}
