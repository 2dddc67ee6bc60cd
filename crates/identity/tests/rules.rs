//! The rules for a leaf and for a bundle, each by itself.

mod common;

use common::{Signer, at, ca_params, dated, extension, leaf_params};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa};
use tubeway_identity::verify::{PeerError, peer_identity};
use tubeway_identity::{BundleError, Leaf, LeafError, TrustBundle};

const NOW: u64 = 5_000;
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// What path building would notice as well must not rest on path building: a
/// process checks its own certificate by these rules alone.
#[test]
fn a_leaf_is_refused_for_its_own_faults() {
    use ExtendedKeyUsagePurpose::{Any, ServerAuth};

    let root = Signer::root(ca_params("root"));
    let refused = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = leaf_params();
        change(&mut params);
        Leaf::parse(&root.leaf(&params)).unwrap_err()
    };
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    let unreadable = extension(EXTENDED_KEY_USAGE, false, b"\x30\x03\x06\x05\x00");
    for (error, expected) in [
        (refused(&|p| p.is_ca = authority), LeafError::Authority),
        (
            refused(&|p| p.extended_key_usages = vec![ServerAuth]),
            LeafError::ExtendedKeyUsage,
        ),
        (
            refused(&|p| p.extended_key_usages = vec![Any]),
            LeafError::ExtendedKeyUsage,
        ),
        (refused(&|p| p.key_usages.clear()), LeafError::KeyUsage),
        (
            refused(&|p| p.subject_alt_names.clear()),
            LeafError::UriNames(0),
        ),
        (
            refused(&|p| *p = dated(p.clone(), 2, 1)),
            LeafError::Validity,
        ),
        (
            refused(&|p| {
                p.extended_key_usages.clear();
                p.custom_extensions = vec![unreadable.clone()];
            }),
            LeafError::Extension("2.5.29.37".to_owned()),
        ),
        (
            refused(&|p| p.custom_extensions = vec![unreadable.clone()]),
            LeafError::DuplicateExtension,
        ),
    ] {
        assert_eq!(error, expected);
    }
    let mut trailing = root.leaf(&leaf_params()).as_ref().to_vec();
    trailing.push(0);
    assert_eq!(Leaf::parse(&trailing.into()), Err(LeafError::Encoding));
}

#[test]
fn the_dates_of_a_leaf_have_errors_of_their_own() {
    let root = Signer::root(ca_params("root"));
    let bundle = TrustBundle::new(vec![root.der.clone()]).unwrap();
    let chain = [root.leaf(&leaf_params())];
    let refused = |now| peer_identity(&chain, &bundle, at(now), common::TRUST_DOMAIN).unwrap_err();
    assert_eq!(refused(3_999), PeerError::NotYetValid);
    assert_eq!(refused(6_001), PeerError::Expired);
}

#[test]
fn one_expired_root_spoils_only_itself() {
    let old = Signer::root(dated(ca_params("root"), 0, 4_500));
    let new = Signer::root(ca_params("root"));
    let bundle = TrustBundle::new(vec![old.der.clone(), new.der.clone()]).unwrap();
    let verify = |signer: &Signer| {
        let chain = [signer.leaf(&leaf_params())];
        peer_identity(&chain, &bundle, at(NOW), common::TRUST_DOMAIN)
    };
    verify(&new).unwrap();
    verify(&old).unwrap_err();
}

#[test]
fn a_bundle_has_authorities_only() {
    let root = Signer::root(ca_params("root"));
    let leaf = root.leaf(&leaf_params());
    assert_eq!(TrustBundle::new(vec![]), Err(BundleError::Empty));
    assert_eq!(TrustBundle::from_pem(b"# nothing"), Err(BundleError::Empty));
    assert_eq!(
        TrustBundle::new(vec![root.der, leaf]),
        Err(BundleError::NotAnAuthority { index: 1 })
    );
}
