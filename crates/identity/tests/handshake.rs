//! Handshakes: who gets in, who does not, and what a renewal leaves alone.

mod common;

use std::sync::Arc;

use common::{Clock, HOUR, authority, connect, id, ping, store_of, store_with};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, RootCertStore};
use rustls_pki_types::{ServerName, UnixTime};
use tokio_rustls::TlsConnector;
use tubeway_identity::accept::{ISTIO, ISTIO_PEER_EXCHANGE, accept};
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::serve::{PeerIdentity, peer_of};
use tubeway_identity::tls::{
    Expected, bootstrap_client_config, client_config, client_config_checking_name, refusal,
    server_config, server_config_optional_client,
};
use tubeway_identity::verify::PeerError;
use tubeway_identity::{IdentityStore, TrustBundle};

#[tokio::test]
async fn both_sides_know_each_other() {
    let ca = authority();
    let (broker, checkout) = (store_of(&ca, "broker"), store_of(&ca, "checkout"));
    let server = server_config(&broker, Expected::only(id("checkout")), &[b"kafka"]);
    let client = client_config(&checkout, Expected::only(id("broker")), &[b"kafka"]);
    let (client, server) = connect(&client, &server).await;
    let (mut client, mut server) = (client.unwrap(), server.unwrap());
    ping(&mut client, &mut server).await;

    let (near, far) = (client.get_ref().1, server.get_ref().1);
    assert_eq!(peer_of(near), PeerIdentity(Some(id("broker"))));
    assert_eq!(peer_of(far), PeerIdentity(Some(id("checkout"))));
    assert_eq!(far.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(far.alpn_protocol(), Some(&b"kafka"[..]));
}

#[tokio::test]
async fn no_session_is_resumed() {
    let ca = authority();
    let (broker, checkout) = (store_of(&ca, "broker"), store_of(&ca, "checkout"));
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let ours = client_config(&checkout, Expected::InTrustDomain, &[]);
    // A client that would resume if it were given a ticket.
    let mut eager = ClientConfig::clone(&ours);
    eager.resumption = rustls::client::Resumption::in_memory_sessions(8);
    for client in [ours, Arc::new(eager)] {
        for _ in 0..3 {
            let (near, far) = connect(&client, &server).await;
            let (mut near, mut far) = (near.unwrap(), far.unwrap());
            ping(&mut near, &mut far).await;
            assert_eq!(near.get_ref().1.tls13_tickets_received(), 0);
            assert_eq!(far.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        }
    }
}

#[tokio::test]
async fn a_renewal_leaves_live_connections_alone() {
    let ca = authority();
    let (broker, checkout) = (store_of(&ca, "broker"), store_of(&ca, "checkout"));
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let client = client_config(&checkout, Expected::InTrustDomain, &[]);
    let (near, far) = connect(&client, &server).await;
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    let old = near.get_ref().1.peer_certificates().unwrap().to_vec();

    let renewed = ca.issue(&id("broker"), &[], HOUR, UnixTime::now()).unwrap();
    broker.install(renewed.clone()).unwrap();
    ping(&mut near, &mut far).await;

    let (next, _) = connect(&client, &server).await;
    let next = next.unwrap();
    let new = next.get_ref().1.peer_certificates().unwrap();
    assert_eq!(new, renewed.chain());
    assert_ne!(new, old);
    ping(&mut near, &mut far).await;
}

#[tokio::test]
async fn another_authority_is_refused_by_either_side() {
    let (ca, other) = (authority(), authority());
    let broker = store_of(&ca, "broker");
    let stranger = store_of(&other, "checkout");
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let client = client_config(&stranger, Expected::InTrustDomain, &[]);
    let (near, _) = connect(&client, &server).await;
    assert_eq!(
        refusal(&near.unwrap_err()),
        Some(PeerError::Chain(webpki::Error::UnknownIssuer))
    );

    // A client that trusts the broker but that the broker does not trust.
    let own = stranger.latest().unwrap();
    let stranger = IdentityStore::new(common::TRUST_DOMAIN);
    stranger.install(own.as_ref().clone()).unwrap();
    stranger.replace_bundle(ca.bundle());
    let client = client_config(&stranger, Expected::InTrustDomain, &[]);
    let (near, far) = connect(&client, &server).await;
    near.unwrap_err();
    assert_eq!(
        refusal(&far.unwrap_err()),
        Some(PeerError::Chain(webpki::Error::UnknownIssuer))
    );
}

#[tokio::test]
async fn only_the_expected_are_let_in() {
    let ca = authority();
    let (broker, checkout) = (store_of(&ca, "broker"), store_of(&ca, "checkout"));
    let client = client_config(&checkout, Expected::InTrustDomain, &[]);
    let server = server_config(&broker, Expected::only(id("broker")), &[]);
    let (near, far) = connect(&client, &server).await;
    near.unwrap_err();
    assert_eq!(
        refusal(&far.unwrap_err()),
        Some(PeerError::Unexpected(id("checkout")))
    );

    let nobody = Expected::Exactly([].into());
    let server = server_config(&broker, nobody, &[]);
    let (near, far) = connect(&client, &server).await;
    assert!(near.is_err() && far.is_err());

    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let client = client_config(&checkout, Expected::only(id("another")), &[]);
    let (near, far) = connect(&client, &server).await;
    assert_eq!(
        refusal(&near.unwrap_err()),
        Some(PeerError::Unexpected(id("broker")))
    );
    far.unwrap_err();
}

#[tokio::test]
async fn a_client_without_a_certificate() {
    let ca = authority();
    let broker = store_of(&ca, "broker");
    let client = bare_client(&ca);
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let (near, far) = connect(&client, &server).await;
    near.unwrap_err();
    assert_eq!(refusal(&far.unwrap_err()), Some(PeerError::NoCertificate));

    let server = server_config_optional_client(&broker, Expected::InTrustDomain, &[]);
    let (near, far) = connect(&client, &server).await;
    near.unwrap();
    assert_eq!(peer_of(far.unwrap().get_ref().1), PeerIdentity(None));

    // Optional is not careless: a certificate that is shown must be good.
    let stranger = store_of(&authority(), "checkout");
    stranger.replace_bundle(ca.bundle());
    let client = client_config(&stranger, Expected::InTrustDomain, &[]);
    let (near, far) = connect(&client, &server).await;
    assert!(near.is_err() && far.is_err());
}

#[tokio::test]
async fn an_older_protocol_is_refused() {
    let ca = authority();
    let broker = store_of(&ca, "broker");
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = connect(&Arc::new(client), &server).await;
    assert!(near.is_err() && far.is_err());
}

#[tokio::test]
async fn an_expired_identity_fails_closed_on_either_side() {
    let ca = authority();
    let clock = Clock::at_now();
    let aging = IdentityStore::with_clock(common::TRUST_DOMAIN, clock.clone());
    aging
        .install(ca.issue(&id("aging"), &[], HOUR, clock.now()).unwrap())
        .unwrap();
    let fresh = store_of(&ca, "fresh");
    let as_server = server_config(&aging, Expected::InTrustDomain, &[]);
    let as_client = client_config(&aging, Expected::InTrustDomain, &[]);
    let server = server_config(&fresh, Expected::InTrustDomain, &[]);
    let client = client_config(&fresh, Expected::InTrustDomain, &[]);

    let (near, far) = connect(&client, &as_server).await;
    assert!(near.is_ok() && far.is_ok());

    clock.advance(HOUR + HOUR);
    assert!(aging.current().is_none());
    let (near, far) = connect(&client, &as_server).await;
    assert!(near.is_err() && far.is_err());
    let (near, far) = connect(&as_client, &server).await;
    assert!(far.is_err());
    assert_eq!(refusal(&near.unwrap_err()), Some(PeerError::NoIdentity));

    aging
        .install(ca.issue(&id("aging"), &[], HOUR, clock.now()).unwrap())
        .unwrap();
    assert!(aging.current().is_some());
}

#[tokio::test]
async fn a_peer_whose_certificate_has_expired_is_refused() {
    let ca = authority();
    let clock = Clock::at_now();
    let broker = IdentityStore::with_clock(common::TRUST_DOMAIN, clock.clone());
    broker
        .install(
            ca.issue(&id("broker"), &[], 10 * HOUR, clock.now())
                .unwrap(),
        )
        .unwrap();
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    // The client's clock stands still, so it still shows its certificate.
    let checkout = store_of(&ca, "checkout");
    let client = client_config(&checkout, Expected::InTrustDomain, &[]);
    clock.advance(2 * HOUR);
    let (near, far) = connect(&client, &server).await;
    near.unwrap_err();
    assert_eq!(refusal(&far.unwrap_err()), Some(PeerError::Expired));
}

#[tokio::test]
async fn roots_change_between_two_handshakes() {
    let (old, new) = (authority(), authority());
    let broker = store_of(&old, "broker");
    let server = server_config(&broker, Expected::InTrustDomain, &[]);
    let both =
        TrustBundle::new(vec![old.certificate().clone(), new.certificate().clone()]).unwrap();
    let moved = store_of(&new, "checkout");
    moved.replace_bundle(&both);
    let stayed = store_of(&old, "basket");
    let moved = client_config(&moved, Expected::InTrustDomain, &[]);
    let stayed = client_config(&stayed, Expected::InTrustDomain, &[]);

    let (_, far) = connect(&moved, &server).await;
    far.unwrap_err();
    assert!(broker.replace_bundle(&both));
    assert!(!broker.replace_bundle(&both));
    let (near, far) = connect(&moved, &server).await;
    near.unwrap();
    let chain = far
        .unwrap()
        .get_ref()
        .1
        .peer_certificates()
        .unwrap()
        .to_vec();
    assert_eq!(broker.peer_identity(&chain), Ok(id("checkout")));
    let (near, far) = connect(&stayed, &server).await;
    assert!(near.is_ok() && far.is_ok());

    broker.replace_bundle(old.bundle());
    let (_, far) = connect(&moved, &server).await;
    far.unwrap_err();
    // A connection that lives on can be asked about again.
    broker.peer_identity(&chain).unwrap_err();
}

#[tokio::test]
async fn the_name_is_checked_where_asked() {
    let ca = authority();
    let named = |name: &str| {
        let names = [name.to_owned()];
        let svid = ca.issue(&id("operator"), &names, HOUR, UnixTime::now());
        store_with(svid.unwrap())
    };
    let checkout = store_of(&ca, "checkout");
    let client = client_config_checking_name(&checkout, Expected::only(id("operator")), &[]);
    for (name, good) in [("broker.test", true), ("another.test", false)] {
        let server = server_config(&named(name), Expected::InTrustDomain, &[]);
        let (near, _) = connect(&client, &server).await;
        assert_eq!(near.is_ok(), good, "{name}");
    }
}

#[test]
fn a_store_takes_only_what_peers_would_accept() {
    let ca = authority();
    let now = UnixTime::now();
    let good = ca.issue(&id("checkout"), &[], HOUR, now).unwrap();
    let store = IdentityStore::new("other.example");
    store.install(good.clone()).unwrap_err();
    let store = IdentityStore::new(common::TRUST_DOMAIN);
    store
        .install(good.with_bundle(authority().bundle().clone()))
        .unwrap_err();
    assert!(store.latest().is_none());
    store.install(good).unwrap();
    assert_eq!(store.current().unwrap().id(), &id("checkout"));
}

#[tokio::test]
async fn ready_waits_for_an_identity() {
    let ca = authority();
    let store = IdentityStore::new(common::TRUST_DOMAIN);
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.ready().await.id().clone() }
    });
    store
        .install(
            ca.issue(&id("checkout"), &[], HOUR, UnixTime::now())
                .unwrap(),
        )
        .unwrap();
    assert_eq!(waiting.await.unwrap(), id("checkout"));
}

/// A client that trusts by id alone and shows no certificate.
fn bare_client(ca: &CertificateAuthority) -> Arc<ClientConfig> {
    let trusting = client_config(&store_of(ca, "unused"), Expected::InTrustDomain, &[]);
    let bare = bootstrap_client_config(ca.bundle(), None, &[]).unwrap();
    let mut config = ClientConfig::clone(&trusting);
    config.client_auth_cert_resolver = Arc::clone(&bare.client_auth_cert_resolver);
    Arc::new(config)
}

#[tokio::test]
async fn a_client_of_any_protocols_is_served_and_istio_is_agreed_to() {
    let ca = authority();
    let (broker, checkout) = (store_of(&ca, "broker"), store_of(&ca, "checkout"));
    let server = server_config(&broker, Expected::InTrustDomain, &[ISTIO]);
    let other = authority();
    let both = [ca.bundle(), other.bundle()].map(TrustBundle::certificates);
    let both = TrustBundle::new(both.concat()).unwrap();
    let stranger = other.issue(&id("checkout"), &[], HOUR, UnixTime::now());
    let stranger = store_with(stranger.unwrap().with_bundle(both));
    for (offered, agreed) in [
        (&[][..], None),
        (&[ISTIO][..], Some(ISTIO)),
        (&[ISTIO_PEER_EXCHANGE, ISTIO], Some(ISTIO)),
        // Agreeing to this one would promise a message that nobody sends.
        (&[ISTIO_PEER_EXCHANGE], None),
        (&[b"http/1.1"], None),
    ] {
        let handshake = async |store: &IdentityStore| {
            let client = client_config(store, Expected::InTrustDomain, offered);
            let (near, far) = tokio::io::duplex(64 * 1024);
            let name = ServerName::try_from("broker.test").unwrap();
            let dial = TlsConnector::from(client).connect(name, near);
            let (_near, far) = tokio::join!(dial, accept(&server, far));
            far
        };
        let accepted = handshake(&checkout).await.unwrap();
        let state = accepted.get_ref().1;
        assert_eq!(peer_of(state), PeerIdentity(Some(id("checkout"))));
        assert_eq!(state.alpn_protocol(), agreed);
        let refused = handshake(&stranger).await.unwrap_err();
        assert!(
            matches!(refusal(&refused), Some(PeerError::Chain(_))),
            "{refused}"
        );
    }
}
