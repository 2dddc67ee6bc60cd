//! A real broker, the sidecar before it, and who may come in.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::UnixTime;
use tempfile::TempDir;
use tubeway_identity::IdentityStore;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::jwt::LoginSigner;
use tubeway_policy::SpiffeId;
use tubeway_policy::acl::{AclBinding, Operation, ResourceType, WILDCARD};
use tubeway_policy::rules::{AccessRules, Rule};
use tubeway_testing::broker::{BrokerOptions, TestBroker};
use tubeway_testing::tools::Tools;

use crate::node::Node;

pub const DOMAIN: &str = "cluster.local";
const NODE: &str = "spiffe://cluster.local/ns/kafka/sa/demo-node";
/// Who prepares topics; no quota is about it.
pub const PREPARER: &str = "preparer";
const PORT: u16 = 9092;
const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

/// Everything that clients meet, and the programs that they are.
pub struct World {
    pub tools: Tools,
    pub node: Node,
    broker: TestBroker,
    authority: CertificateAuthority,
    dir: TempDir,
}

/// The files that make a client somebody.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Certificate chain and key.
    pub key: PathBuf,
    /// Whom to trust.
    pub roots: PathBuf,
}

// === impl World ===

impl World {
    /// Starts Kafka and the sidecar; `accounts` of namespace `shop` may use
    /// everything.
    pub async fn start(accounts: &[&str]) -> Self {
        let tools = Tools::ensure().unwrap_or_else(|error| panic!("{error}"));
        let dir = tempfile::tempdir().expect("a folder");
        let authority = CertificateAuthority::generate(DOMAIN, DAY, UnixTime::now());
        let authority = authority.expect("an authority");
        let roots = dir.path().join("roots.pem");
        std::fs::write(roots, authority.certificate_pem()).expect("a file");
        let signer = Arc::new(LoginSigner::generate().expect("a key"));
        let jwks = dir.path().join("jwks.json");
        std::fs::write(&jwks, signer.jwks()).expect("a file");
        let address = own_address();
        // Clients must come back through the sidecar. Nobody uses the other
        // address: one node has no peer to speak to.
        let advertised = format!("PLAIN://127.0.0.1:1,USERS://{address}");
        let options = BrokerOptions::default()
            .with_jwks(&jwks)
            .with_warnings_only()
            .with_property("advertised.listeners", &advertised)
            // Members of KIP-848 have their partitions at once, not with the
            // group's next turn (KIP-1263).
            .with_property("group.consumer.assignment.interval.ms", "0");
        let broker = TestBroker::start(&tools, &options).await;
        let broker = broker.unwrap_or_else(|error| panic!("{error}"));
        let node_id: SpiffeId = NODE.parse().expect("a SPIFFE id");
        let identity = IdentityStore::new(DOMAIN);
        let svid = authority.issue(&node_id, &[], DAY, UnixTime::now());
        identity
            .install(svid.expect("a certificate"))
            .expect("an identity that its own roots vouch for");
        let rules = allowing(accounts);
        let to = broker.sasl_bootstrap();
        let node = Node::start(address, to, identity, node_id, signer, rules).await;
        Self {
            tools,
            node,
            broker,
            authority,
            dir,
        }
    }

    /// Where clients connect to.
    pub fn bootstrap(&self) -> String {
        self.node.address.to_string()
    }

    /// A certificate for a service account of namespace `shop`.
    pub fn credentials(&self, account: &str) -> Credentials {
        let id = spiffe_id(account).parse().expect("a SPIFFE id");
        let key = rcgen::KeyPair::generate().expect("a key");
        let request = rcgen::CertificateParams::default()
            .serialize_request(&key)
            .and_then(|request| request.pem())
            .expect("a request");
        let signed = self
            .authority
            .sign(&request, &id, &[], DAY, UnixTime::now())
            .expect("a certificate");
        let file = self.dir.path().join(format!("{account}.pem"));
        let content = [signed.chain.concat(), key.serialize_pem()].concat();
        std::fs::write(&file, content).expect("a file");
        Credentials {
            key: file,
            roots: self.dir.path().join("roots.pem"),
        }
    }

    /// Bytes of the record batches that the broker has written of a topic of
    /// one partition.
    pub fn written(&self, topic: &str) -> u64 {
        let data = self.broker.folder().join("data").join(format!("{topic}-0"));
        let segments = std::fs::read_dir(data).into_iter().flatten().flatten();
        segments
            .filter(|entry| entry.path().extension().is_some_and(|ext| ext == "log"))
            .filter_map(|entry| Some(entry.metadata().ok()?.len()))
            .sum()
    }

    /// Bytes of the first batch of a topic of one partition.
    pub fn first_batch(&self, topic: &str) -> u64 {
        /// Base offset and length stand before what the length counts.
        const BEFORE: usize = 12;
        let data = self.broker.folder().join("data").join(format!("{topic}-0"));
        let log = std::fs::read(data.join("00000000000000000000.log")).expect("a log");
        let length = log[8..BEFORE].try_into().map(u32::from_be_bytes);
        BEFORE as u64 + u64::from(length.expect("four bytes"))
    }

    /// A folder of the test's own.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }
}

/// A service account's identity.
pub fn spiffe_id(account: &str) -> String {
    format!("spiffe://{DOMAIN}/ns/shop/sa/{account}")
}

fn allowing(accounts: &[&str]) -> AccessRules {
    use Operation::{Create, Describe, Read, Write};
    let rules = accounts.iter().chain([&PREPARER]).flat_map(|account| {
        let user = format!("User:{}", spiffe_id(account));
        [
            (Create, ResourceType::Topic),
            (Write, ResourceType::Topic),
            (Read, ResourceType::Topic),
            (Read, ResourceType::Group),
            (Describe, ResourceType::Cluster),
        ]
        .map(|(operation, kind)| Rule::from(AclBinding::allow(&user, operation, kind, WILDCARD)))
    });
    AccessRules {
        super_users: [format!("User:{NODE}")].into(),
        rules: rules.collect(),
    }
}

/// An address that no other test program has: outgoing connections are given
/// ports of 127.0.0.1 only.
fn own_address() -> SocketAddr {
    let pid = std::process::id();
    let [a, b] = [50 + (pid % 50) as u8, (pid / 50 % 250) as u8];
    (Ipv4Addr::new(127, a, b, 1), PORT).into()
}
