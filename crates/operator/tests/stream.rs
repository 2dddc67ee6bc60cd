//! The configuration stream over mutual TLS, as sidecars use it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::{ServerName, UnixTime};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::service::Routes;
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tubeway_config::stream::{
    ACCESS, Outcome, QUOTAS, Report, SUBSCRIBE_PATH, Subscribe, TOPOLOGY, Update, Usage, ZONES,
};
use tubeway_config::{Access, ClusterRef, Quotas, Topology, Zones};
use tubeway_identity::IdentityStore;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::channel::{H2, tls_channel};
use tubeway_identity::serve::{ServeLimits, serve_tls};
use tubeway_identity::tls::{
    Expected, bootstrap_client_config, client_config, server_config_optional_client,
};
use tubeway_operator::metrics::Metrics;
use tubeway_operator::stream::{ConfigService, Hubs, QuotaPlan, Topologies};
use tubeway_policy::SpiffeId;
use tubeway_policy::acl::{AclBinding, Operation, ResourceType};
use tubeway_policy::quota::QuotaRules;
use tubeway_policy::rules::{AccessRules, Rule};

const NAME: &str = "operator.test";

struct Mesh {
    ca: Arc<ArcSwap<CertificateAuthority>>,
    address: String,
    hubs: Hubs,
}

struct Sidecar {
    reports: mpsc::Sender<Report>,
    updates: Streaming<Update>,
}

#[tokio::test]
async fn a_node_gets_every_topology_and_its_answer_is_heard() {
    let mesh = Mesh::start().await;
    let mut node = mesh.connect(Some("demo-node"), "kafka").await.unwrap();
    mesh.hubs.topologies.publish(topology("first"));
    let first = node.updates.message().await.unwrap().unwrap();
    assert_eq!(first.concern, TOPOLOGY);
    let received: serde_json::Value = serde_json::from_slice(&first.document).unwrap();
    assert_eq!(received["identity"], "first");
    assert_eq!(mesh.hubs.topologies.behind(&cluster()).len(), 1);

    node.acknowledge(first.version).await;
    mesh.hubs.topologies.acknowledged().await;
    mesh.wait_until(|t| t.behind(&cluster()).is_empty()).await;

    mesh.hubs.topologies.publish(topology("second"));
    let second = node.updates.message().await.unwrap().unwrap();
    assert!(second.version > first.version);
    drop(node);
    mesh.wait_until(|t| t.connected(&cluster()).is_empty())
        .await;
}

#[tokio::test]
async fn a_client_gets_the_topology_and_counts_for_nothing() {
    let mesh = Mesh::start().await;
    mesh.hubs.topologies.publish(topology("first"));
    let mut client = mesh.connect(Some("checkout"), "shop").await.unwrap();
    let update = client.updates.message().await.unwrap().unwrap();
    client.acknowledge(update.version).await;
    assert!(mesh.hubs.topologies.connected(&cluster()).is_empty());
}

#[tokio::test]
async fn only_the_clusters_own_nodes_are_told_who_may_do_what() {
    let mesh = Mesh::start().await;
    mesh.hubs.access.publish(Access {
        cluster: cluster(),
        access: AccessRules::default(),
    });
    let mut node = mesh.connect(Some("demo-node"), "kafka").await.unwrap();
    let update = node.updates.message().await.unwrap().unwrap();
    assert_eq!(update.concern, ACCESS);
    // A client would have got it before what is published after it.
    let mut client = mesh.connect(Some("checkout"), "shop").await.unwrap();
    mesh.hubs.topologies.publish(topology("first"));
    let update = client.updates.message().await.unwrap().unwrap();
    assert_eq!(update.concern, TOPOLOGY);
}

#[tokio::test]
async fn only_the_clusters_own_nodes_have_quotas_and_are_heard_about_use() {
    let mesh = Mesh::start().await;
    mesh.hubs.quotas.publish(QuotaPlan {
        cluster: cluster(),
        rules: QuotaRules::default(),
        shares: BTreeMap::new(),
    });
    let mut node = mesh.connect(Some("demo-node"), "kafka").await.unwrap();
    let update = node.updates.message().await.unwrap().unwrap();
    assert_eq!(update.concern, QUOTAS);
    let document = Quotas::from_json(&update.document).unwrap();
    assert_eq!(document.cluster, cluster());
    assert_eq!(mesh.hubs.quotas.behind(&cluster()).len(), 1);

    let mut client = mesh.connect(Some("checkout"), "shop").await.unwrap();
    mesh.hubs.topologies.publish(topology("first"));
    let update = client.updates.message().await.unwrap().unwrap();
    assert_eq!(update.concern, TOPOLOGY);
    client.used(7).await;
    // Whatever the operator hears after that, it has heard that before.
    client.acknowledge(update.version).await;
    drop(client.reports);
    assert_eq!(client.updates.message().await.unwrap(), None);

    let mut news = mesh.hubs.quotas.news();
    node.used(9).await;
    node.answer(QUOTAS, document_version(&mesh)).await;
    let taken = async {
        while !mesh.hubs.quotas.behind(&cluster()).is_empty() {
            news.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken)
        .await
        .unwrap();
    let heard = mesh.hubs.usage.take();
    let times: Vec<_> = heard[&cluster()]["demo-all-0"]
        .iter()
        .map(|u| u.over_ms)
        .collect();
    assert_eq!(times, [9], "nothing of the client");
}

#[tokio::test]
async fn zones_go_before_the_rules_that_need_them() {
    let mesh = Mesh::start().await;
    let mut node = mesh.connect(Some("demo-node"), "kafka").await.unwrap();
    mesh.hubs.topologies.publish(topology("first"));
    let update = node.updates.message().await.unwrap().unwrap();
    assert_eq!(update.concern, TOPOLOGY);
    for round in 1..=20 {
        let (address, host) = (IpAddr::from([10, 0, 0, round]), format!("10.0.0.{round}"));
        mesh.hubs.zones.publish(Zones {
            cluster: cluster(),
            zones: [("z".to_owned(), [address].into())].into(),
        });
        let acl = AclBinding::allow("User:a", Operation::Read, ResourceType::Topic, "t");
        let mut rule = Rule::from(AclBinding { host, ..acl });
        rule.zones.insert("z".to_owned());
        mesh.hubs.access.publish(Access {
            cluster: cluster(),
            access: AccessRules {
                rules: vec![rule],
                ..AccessRules::default()
            },
        });
        for concern in [ZONES, ACCESS] {
            let update = node.updates.message().await.unwrap().unwrap();
            assert_eq!(update.concern, concern, "round {round}");
        }
    }
}

fn document_version(mesh: &Mesh) -> u64 {
    mesh.hubs.quotas.current(&cluster()).unwrap().version
}

#[tokio::test]
async fn a_caller_without_a_certificate_is_refused() {
    let mesh = Mesh::start().await;
    mesh.hubs.topologies.publish(topology("first"));
    let refused = mesh.connect(None, "").await.err().unwrap();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

// === impl Mesh ===

impl Mesh {
    async fn start() -> Self {
        let life = Duration::from_hours(1);
        let ca = CertificateAuthority::generate("cluster.local", life, UnixTime::now()).unwrap();
        let mesh = Self {
            ca: Arc::new(ArcSwap::from_pointee(ca)),
            address: String::new(),
            hubs: Hubs::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = ConfigService::new(mesh.hubs.clone(), Arc::new(Metrics::new()));
        let store = mesh.store("tubeway-operator", "tubeway-system");
        let tls = server_config_optional_client(&store, Expected::InTrustDomain, &[H2]);
        tokio::spawn(serve_tls(
            listener,
            tls,
            Routes::new(service),
            ServeLimits::default(),
            std::future::pending(),
        ));
        Self { address, ..mesh }
    }

    fn store(&self, account: &str, namespace: &str) -> IdentityStore {
        let id = SpiffeId::of_service_account("cluster.local", namespace, account).unwrap();
        let names = [NAME.to_owned()];
        let life = Duration::from_mins(10);
        let ca = self.ca.load();
        let svid = ca.issue(&id, &names, life, UnixTime::now()).unwrap();
        let store = IdentityStore::new("cluster.local");
        store.install(svid).unwrap();
        store
    }

    /// Subscribes as this account; as nobody without one.
    async fn connect(&self, account: Option<&str>, namespace: &str) -> Result<Sidecar, Status> {
        let tls = match account {
            Some(account) => {
                let store = self.store(account, namespace);
                client_config(&store, Expected::InTrustDomain, &[H2])
            }
            None => bootstrap_client_config(self.ca.load().bundle(), None, &[H2]).unwrap(),
        };
        let name = ServerName::try_from(NAME).unwrap();
        let channel = tls_channel(&self.address, name, tls).unwrap();
        let mut grpc = tonic::client::Grpc::new(channel);
        grpc.ready().await.unwrap();
        let (reports, receiver) = mpsc::channel(4);
        let subscribe = Subscribe {
            cluster_namespace: "kafka".into(),
            cluster_name: "demo".into(),
            pod: "demo-all-0".into(),
        };
        let first = Report {
            subscribe: Some(subscribe),
            ..Report::default()
        };
        reports.send(first).await.unwrap();
        let request = Request::new(ReceiverStream::new(receiver));
        let path = PathAndQuery::from_static(SUBSCRIBE_PATH);
        let codec = ProstCodec::<Report, Update>::default();
        let updates = grpc.streaming(request, path, codec).await?.into_inner();
        Ok(Sidecar { reports, updates })
    }

    async fn wait_until(&self, reached: impl Fn(&Topologies) -> bool) {
        let waiting = async {
            while !reached(&self.hubs.topologies) {
                self.hubs.topologies.acknowledged().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting)
            .await
            .expect("the stream's news came");
    }
}

// === impl Sidecar ===

impl Sidecar {
    async fn used(&self, over_ms: u64) {
        let usage = Usage {
            over_ms,
            used: Vec::new(),
        };
        let report = Report {
            usage: Some(usage),
            ..Report::default()
        };
        self.reports.send(report).await.unwrap();
    }

    async fn acknowledge(&self, version: u64) {
        self.answer(TOPOLOGY, version).await;
    }

    async fn answer(&self, concern: &str, version: u64) {
        let outcome = Outcome {
            concern: concern.into(),
            version,
            error: String::new(),
        };
        let report = Report {
            outcome: Some(outcome),
            ..Report::default()
        };
        self.reports.send(report).await.unwrap();
    }
}

fn cluster() -> ClusterRef {
    "kafka/demo".parse().unwrap()
}

fn topology(identity: &str) -> Topology {
    Topology {
        cluster: cluster(),
        identity: identity.into(),
        nodes: Vec::new(),
    }
}
