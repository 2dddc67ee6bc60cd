//! Certificates that must prove nothing, one row each, and a few that must.

mod common;

use common::{Signer, at, ca_params, dated, extension, leaf_params, uri};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, OtherNameValue, SanType,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tubeway_identity::TrustBundle;
use tubeway_identity::verify::peer_identity;

const NOW: u64 = 5_000;
const ID: &str = "spiffe://cluster.local/ns/shop/sa/checkout";
const SAN: &[u64] = &[2, 5, 29, 17];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];

type Chain = Vec<CertificateDer<'static>>;

/// A name for the row, what the peer shows, and the time it is.
struct Row(String, Chain, UnixTime);

struct Table {
    root: Signer,
    bundle: TrustBundle,
    rows: Vec<Row>,
}

impl Table {
    fn new() -> Self {
        let root = Signer::root(ca_params("root"));
        let bundle = TrustBundle::new(vec![root.der.clone()]).unwrap();
        Self {
            root,
            bundle,
            rows: Vec::new(),
        }
    }

    fn chain(&mut self, name: &str, chain: Chain) {
        self.rows.push(Row(name.to_owned(), chain, at(NOW)));
    }

    /// A row that differs from a good leaf in what `change` does.
    fn leaf(&mut self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = leaf_params();
        change(&mut params);
        let leaf = self.root.leaf(&params);
        self.chain(name, vec![leaf]);
    }

    /// A row whose leaf has exactly this `subjectAltName`.
    fn raw_san(&mut self, name: &str, content: &[u8]) {
        self.leaf(name, |params| {
            params.subject_alt_names.clear();
            params.custom_extensions = vec![extension(SAN, true, content)];
        });
    }

    /// A row whose good leaf hangs on an intermediate made by `change`.
    fn below(&mut self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let mut params = ca_params("intermediate");
        change(&mut params);
        let intermediate = self.root.intermediate(params);
        let chain = vec![intermediate.leaf(&leaf_params()), intermediate.der];
        self.chain(name, chain);
    }
}

#[test]
fn nothing_hostile_is_accepted() {
    let mut table = Table::new();
    ids(&mut table);
    names(&mut table);
    usages(&mut table);
    times(&mut table);
    chains(&mut table);
    encodings(&mut table);

    assert!(table.rows.len() >= 160, "{} rows", table.rows.len());
    let accepted: Vec<_> = table
        .rows
        .iter()
        .filter_map(|Row(name, chain, now)| {
            let id = peer_identity(chain, &table.bundle, *now, common::TRUST_DOMAIN).ok()?;
            Some(format!("{name}: {id}"))
        })
        .collect();
    assert_eq!(accepted, Vec::<String>::new());
}

#[test]
fn the_honest_are_accepted() {
    let root = Signer::root(ca_params("root"));
    let second = Signer::root(ca_params("second"));
    let bundle = TrustBundle::new(vec![second.der.clone(), root.der.clone()]).unwrap();
    let intermediate = root.intermediate(ca_params("intermediate"));
    let mut named = ca_params("named");
    named.subject_alt_names = vec![uri("spiffe://cluster.local")];
    let named = root.intermediate(named);
    let mut with_dns = leaf_params();
    with_dns
        .subject_alt_names
        .push(SanType::DnsName("checkout.shop.svc".try_into().unwrap()));
    let mut without_purposes = leaf_params();
    without_purposes.extended_key_usages.clear();
    let mut raw = leaf_params();
    raw.subject_alt_names.clear();
    raw.key_usages.clear();
    raw.extended_key_usages.clear();
    raw.custom_extensions = vec![
        extension(SAN, true, &san(ID.as_bytes())),
        extension(KEY_USAGE, true, &[3, 2, 7, 0x80]),
    ];
    let good = leaf_params();

    for (name, chain) in [
        // What the hostile rows are made with is no reason to be refused.
        ("extensions written by hand", vec![root.leaf(&raw)]),
        ("plain", vec![root.leaf(&good)]),
        ("second root", vec![second.leaf(&good)]),
        ("a DNS name beside the id", vec![root.leaf(&with_dns)]),
        ("no extendedKeyUsage", vec![root.leaf(&without_purposes)]),
        ("root sent along", vec![root.leaf(&good), root.der.clone()]),
        (
            "intermediate",
            vec![intermediate.leaf(&good), intermediate.der.clone()],
        ),
        (
            "intermediate of the own trust domain",
            vec![named.leaf(&good), named.der.clone()],
        ),
    ] {
        let id = peer_identity(&chain, &bundle, at(NOW), common::TRUST_DOMAIN);
        assert_eq!(id.unwrap().as_str(), ID, "{name}");
    }
    for now in [4_000, 6_000] {
        let chain = [root.leaf(&good)];
        peer_identity(&chain, &bundle, at(now), common::TRUST_DOMAIN).unwrap();
    }
}

fn ids(table: &mut Table) {
    let long = format!("spiffe://cluster.local/{}", "a".repeat(2048));
    for text in [
        "",
        "spiffe",
        "spiffe:",
        "spiffe:/",
        "spiffe://",
        "spiffe:///ns/shop/sa/checkout",
        "spiffe:/cluster.local/ns/shop/sa/checkout",
        "spiffe:cluster.local/ns/shop/sa/checkout",
        "SPIFFE://cluster.local/ns/shop/sa/checkout",
        "Spiffe://cluster.local/ns/shop/sa/checkout",
        "https://cluster.local/ns/shop/sa/checkout",
        "urn:spiffe://cluster.local/ns/shop/sa/checkout",
        " spiffe://cluster.local/ns/shop/sa/checkout",
        "spiffe://cluster.local/ns/shop/sa/checkout ",
        "spiffe://cluster.local/ns/shop/sa/checkout\n",
        "spiffe://cluster.local/ns/shop/sa/checkout\0",
        "spiffe://cluster.local/ns/shop/sa/checkout\0.evil",
        "spiffe://cluster.local\0.evil/ns/shop/sa/checkout",
        "spiffe://cluster.local",
        "spiffe://cluster.local/",
        "spiffe://cluster.local//ns/shop/sa/checkout",
        "spiffe://cluster.local/ns//shop/sa/checkout",
        "spiffe://cluster.local/ns/shop/sa/checkout/",
        "spiffe://cluster.local/./ns/shop/sa/checkout",
        "spiffe://cluster.local/ns/x/../shop/sa/checkout",
        "spiffe://cluster.local/ns/shop/sa/..",
        "spiffe://cluster.local/ns/shop/sa/check%6fut",
        "spiffe://cluster.local/ns/shop%2fsa/checkout",
        "spiffe://cluster.local/ns/shop/sa/checkout?a=b",
        "spiffe://cluster.local/ns/shop/sa/checkout#a",
        "spiffe://cluster.local/ns/shop/sa/*",
        "spiffe://cluster.local/ns/shop/sa/check out",
        "spiffe://cluster.local/ns/shop/sa/checkout;a",
        "spiffe://cluster.local/ns/shop\\sa/checkout",
        "spiffe://Cluster.Local/ns/shop/sa/checkout",
        "spiffe://CLUSTER.LOCAL/ns/shop/sa/checkout",
        "spiffe://cluster.local./ns/shop/sa/checkout",
        "spiffe://.cluster.local/ns/shop/sa/checkout",
        "spiffe://cluster.local:443/ns/shop/sa/checkout",
        "spiffe://cluster.local:/ns/shop/sa/checkout",
        "spiffe://admin@cluster.local/ns/shop/sa/checkout",
        "spiffe://@cluster.local/ns/shop/sa/checkout",
        "spiffe://cluster%2elocal/ns/shop/sa/checkout",
        "spiffe://cluster.local?/ns/shop/sa/checkout",
        "spiffe://cluster.local#/ns/shop/sa/checkout",
        "spiffe://[::1]/ns/shop/sa/checkout",
        "spiffe://*/ns/shop/sa/checkout",
        // Well-formed, but somebody else's.
        "spiffe://cluster.locale/ns/shop/sa/checkout",
        "spiffe://cluster.loca/ns/shop/sa/checkout",
        "spiffe://cluster-local/ns/shop/sa/checkout",
        "spiffe://sub.cluster.local/ns/shop/sa/checkout",
        "spiffe://other.example/ns/shop/sa/checkout",
        long.as_str(),
    ] {
        table.leaf(&format!("id {text:?}"), |params| {
            params.subject_alt_names = vec![uri(text)];
        });
    }
}

fn names(table: &mut Table) {
    let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let shapes: Vec<(&str, Vec<SanType>)> = vec![
        ("no name", vec![]),
        (
            "two different ids",
            vec![uri(ID), uri("spiffe://cluster.local/ns/shop/sa/admin")],
        ),
        ("the same id twice", vec![uri(ID), uri(ID)]),
        (
            "an id and a web address",
            vec![uri(ID), uri("https://shop.example/")],
        ),
        (
            "a web address and an id",
            vec![uri("https://shop.example/"), uri(ID)],
        ),
        ("an id and an empty URI", vec![uri(ID), uri("")]),
        ("three ids", vec![uri(ID), uri(ID), uri(ID)]),
        ("a DNS name only", vec![dns("checkout.shop.svc")]),
        ("an id as a DNS name", vec![dns(ID)]),
        (
            "an id as a mail address",
            vec![SanType::Rfc822Name(ID.try_into().unwrap())],
        ),
        (
            "an address only",
            vec![SanType::IpAddress([127, 0, 0, 1].into())],
        ),
        (
            "an id as another kind of name",
            vec![SanType::OtherName((
                vec![1, 2, 3],
                OtherNameValue::Utf8String(ID.into()),
            ))],
        ),
    ];
    for (name, names) in shapes {
        table.leaf(name, |params| params.subject_alt_names = names);
    }
    table.leaf("an id as the common name only", |params| {
        params.subject_alt_names.clear();
        params.distinguished_name.push(DnType::CommonName, ID);
    });
    table.leaf("an id in issuerAltName only", |params| {
        params.subject_alt_names.clear();
        params.custom_extensions = vec![extension(&[2, 5, 29, 18], false, &san(ID.as_bytes()))];
    });
    table.leaf("subjectAltName twice", |params| {
        params.custom_extensions = vec![extension(SAN, false, &san(ID.as_bytes()))];
    });
    table.raw_san("an empty list of names", &[0x30, 0]);
    table.raw_san("no bytes for the names", &[]);
    table.raw_san("names that are no list", b"spiffe");
    table.raw_san(
        "an id that is not UTF-8",
        &san(b"spiffe://cluster.local/\xff\xfe"),
    );
    table.raw_san(
        "a letter of another alphabet",
        &san("spiffe://cluster.local/\u{430}".as_bytes()),
    );
    let mut longer = san(ID.as_bytes());
    longer[1] += 1;
    table.raw_san("a list longer than its bytes", &longer);
    let mut trailing = san(ID.as_bytes());
    trailing.extend([0, 0]);
    table.raw_san("bytes after the names", &trailing);
    let mut broken = vec![0x30, (ID.len() + 5) as u8, 0x86, ID.len() as u8];
    broken.extend(ID.as_bytes());
    broken.extend([0x82, 1, 0xff]);
    table.raw_san("an id and a DNS name that is not text", &broken);
}

fn usages(table: &mut Table) {
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyAgreement, KeyCertSign, KeyEncipherment};

    for (name, usages) in [
        ("no keyUsage", vec![]),
        ("keyCertSign", vec![DigitalSignature, KeyCertSign]),
        ("cRLSign", vec![DigitalSignature, CrlSign]),
        ("keyCertSign only", vec![KeyCertSign]),
        ("keyEncipherment only", vec![KeyEncipherment]),
        ("keyAgreement only", vec![KeyAgreement]),
    ] {
        table.leaf(name, |params| params.key_usages = usages);
    }
    for (name, purposes) in [
        ("serverAuth only", vec![ServerAuth]),
        ("clientAuth only", vec![ClientAuth]),
        ("codeSigning only", vec![CodeSigning]),
        ("any purpose only", vec![Any]),
        ("serverAuth and codeSigning", vec![ServerAuth, CodeSigning]),
        ("clientAuth and any purpose", vec![ClientAuth, Any]),
    ] {
        table.leaf(name, |params| params.extended_key_usages = purposes);
    }
    table.leaf("an authority", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    table.leaf("an authority over nothing", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    table.leaf("keyUsage not critical", |params| {
        params.key_usages.clear();
        params.custom_extensions = vec![extension(KEY_USAGE, false, &[3, 2, 7, 0x80])];
    });
    for (name, oid, content) in [
        ("keyUsage unreadable", KEY_USAGE, &b"\x04\x01\x80"[..]),
        ("keyUsage empty", KEY_USAGE, b""),
        (
            "extendedKeyUsage unreadable",
            EXTENDED_KEY_USAGE,
            b"\x30\x03\x06\x05\x00",
        ),
        ("extendedKeyUsage empty", EXTENDED_KEY_USAGE, b"\x30\x00"),
        (
            "basicConstraints unreadable",
            BASIC_CONSTRAINTS,
            b"\x04\x00",
        ),
    ] {
        table.leaf(name, |params| {
            match oid {
                KEY_USAGE => params.key_usages.clear(),
                EXTENDED_KEY_USAGE => params.extended_key_usages.clear(),
                _ => params.is_ca = IsCa::NoCa,
            }
            params.custom_extensions = vec![extension(oid, true, content)];
        });
    }
    table.leaf("keyUsage twice", |params| {
        params.custom_extensions = vec![extension(KEY_USAGE, true, &[3, 2, 7, 0x80])];
    });
    table.leaf("extendedKeyUsage twice", |params| {
        params.custom_extensions = vec![extension(EXTENDED_KEY_USAGE, false, b"\x30\x00")];
    });
    table.leaf("an unknown critical extension", |params| {
        params.custom_extensions = vec![extension(&[1, 2, 3, 4], true, &[5, 0])];
    });
}

fn times(table: &mut Table) {
    for (name, from, to) in [
        ("expired a second ago", 4_000, NOW - 1),
        ("expired long ago", 1, 2),
        ("valid in a second", NOW + 1, 6_000),
        ("valid far ahead", 9_000, 9_999),
        ("ends before it begins", NOW + 10, NOW - 10),
    ] {
        let leaf = table.root.leaf(&dated(leaf_params(), from, to));
        table.chain(name, vec![leaf]);
    }
    table.below("intermediate expired", |params| {
        *params = dated(params.clone(), 0, NOW - 1);
    });
    table.below("intermediate not yet valid", |params| {
        *params = dated(params.clone(), NOW + 1, 10_000);
    });
    let leaf = table.root.leaf(&dated(leaf_params(), 0, 20_000));
    table
        .rows
        .push(Row("root expired".into(), vec![leaf.clone()], at(10_001)));
    table
        .rows
        .push(Row("the end of time".into(), vec![leaf], at(u64::MAX)));
    let leaf = table.root.leaf(&leaf_params());
    table
        .rows
        .push(Row("the beginning of time".into(), vec![leaf], at(0)));
}

fn chains(table: &mut Table) {
    let good = leaf_params();
    let stranger = Signer::root(ca_params("stranger"));
    let namesake = Signer::root(ca_params("root"));
    let root = table.root.der.clone();

    table.chain("no certificate", vec![]);
    table.chain("the root itself", vec![root.clone()]);
    table.chain(
        "the root, then a leaf",
        vec![root.clone(), table.root.leaf(&good)],
    );
    table.chain("another root", vec![stranger.leaf(&good)]);
    table.chain(
        "another root sent along",
        vec![stranger.leaf(&good), stranger.der.clone()],
    );
    table.chain("another root of the same name", vec![namesake.leaf(&good)]);
    table.chain(
        "another root of the same name sent along",
        vec![namesake.leaf(&good), namesake.der.clone(), root.clone()],
    );
    let selfish = Signer::root(good.clone());
    table.chain("signed by itself", vec![selfish.der]);
    let intermediate = stranger.intermediate(ca_params("intermediate"));
    table.chain(
        "intermediate of another root",
        vec![intermediate.leaf(&good), intermediate.der.clone()],
    );
    table.chain(
        "intermediate of another root, and ours beside it",
        vec![intermediate.leaf(&good), intermediate.der, root],
    );
    let honest = table.root.intermediate(ca_params("intermediate"));
    table.chain("intermediate missing", vec![honest.leaf(&good)]);
    table.chain("intermediate alone", vec![honest.der.clone()]);
    let forged = Signer::root(ca_params("intermediate"));
    table.chain(
        "below a namesake of an honest intermediate",
        vec![forged.leaf(&good), honest.der],
    );
    let workload = table.root.intermediate(good.clone());
    table.chain(
        "signed by a workload",
        vec![workload.leaf(&good), workload.der],
    );

    table.below("intermediate without keyCertSign", |params| {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    });
    table.below("intermediate without keyUsage", |params| {
        params.key_usages.clear();
    });
    table.below("intermediate that is no authority", |params| {
        params.is_ca = IsCa::NoCa;
    });
    table.below("intermediate for servers only", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    table.below("intermediate of another trust domain", |params| {
        params.subject_alt_names = vec![uri("spiffe://other.example")];
    });
    table.below("intermediate with a workload's id", |params| {
        params.subject_alt_names = vec![uri(ID)];
    });
    table.below("intermediate with two ids", |params| {
        params.subject_alt_names =
            vec![uri("spiffe://cluster.local"), uri("spiffe://cluster.local")];
    });
    table.below(
        "intermediate with an unknown critical extension",
        |params| {
            params.custom_extensions = vec![extension(&[1, 2, 3, 4], true, &[5, 0])];
        },
    );
    deep(table);
    constrained(table);
}

fn deep(table: &mut Table) {
    let mut outer = ca_params("outer");
    outer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let outer = table.root.intermediate(outer);
    let inner = outer.intermediate(ca_params("inner"));
    table.chain(
        "path longer than it may be",
        vec![inner.leaf(&leaf_params()), inner.der, outer.der],
    );
    let mut signer = table.root.intermediate(ca_params("0"));
    let mut authorities = vec![signer.der.clone()];
    for depth in 1..12 {
        signer = signer.intermediate(ca_params(&depth.to_string()));
        authorities.insert(0, signer.der.clone());
    }
    authorities.insert(0, signer.leaf(&leaf_params()));
    table.chain("twelve intermediates", authorities);
}

fn constrained(table: &mut Table) {
    let mut addresses = leaf_params();
    addresses
        .subject_alt_names
        .push(SanType::IpAddress([10, 0, 0, 1].into()));
    let mut params = ca_params("constrained");
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![],
        excluded_subtrees: vec![GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(
            [10, 0, 0, 0],
            8,
        ))],
    });
    let constrained = table.root.intermediate(params);
    table.chain(
        "outside the intermediate's name constraints",
        vec![constrained.leaf(&addresses), constrained.der],
    );
}

fn encodings(table: &mut Table) {
    let good = table.root.leaf(&leaf_params());
    let bytes = good.as_ref();
    table.chain("no bytes", vec![Vec::new().into()]);
    table.chain("not a certificate", vec![b"spiffe".to_vec().into()]);
    let mut trailing = bytes.to_vec();
    trailing.push(0);
    table.chain("a byte after the certificate", vec![trailing.into()]);
    for eighth in 1..8 {
        let cut = bytes[..bytes.len() * eighth / 8].to_vec();
        table.chain(&format!("the first {eighth} eighths"), vec![cut.into()]);
    }
    for sixteenth in 0..16 {
        let mut flipped = bytes.to_vec();
        flipped[bytes.len() * sixteenth / 16] ^= 1;
        table.chain(
            &format!("a bit flipped at {sixteenth} sixteenths"),
            vec![flipped.into()],
        );
    }
    let mut signature = bytes.to_vec();
    *signature.last_mut().unwrap() ^= 1;
    table.chain("the signature's last bit flipped", vec![signature.into()]);
    table.chain(
        "a good leaf after a bad one",
        vec![b"x".to_vec().into(), good],
    );
}

/// The content of a `subjectAltName` with one URI.
fn san(uri: &[u8]) -> Vec<u8> {
    let mut content = vec![0x30, (uri.len() + 2) as u8, 0x86, uri.len() as u8];
    content.extend(uri);
    content
}
