//! A stock broker behind its sidecar, and stock clients behind theirs: the
//! whole data path without an operator. Needs Java; Kafka is fetched.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use rustls_pki_types::UnixTime;
use tokio::net::TcpListener;
use tubeway_config::{Access, Node, NodeRole, Topology};
use tubeway_identity::IdentityStore;
use tubeway_identity::ca::CertificateAuthority;
use tubeway_identity::ca_server::{CaService, ReviewError, ServiceAccount, TokenReviewer};
use tubeway_identity::channel::H2;
use tubeway_identity::provider::{Local, Provider as _};
use tubeway_identity::serve::{ServeLimits, serve_tls};
use tubeway_identity::tls::{Expected, server_config_optional_client};
use tubeway_launcher::kafka_dist::KafkaDist;
use tubeway_policy::acl::{AclBinding, Operation, ResourceType};
use tubeway_policy::rules::{AccessRules, Rule};

const DOMAIN: &str = "cluster.local";
const OPERATOR: &str = "spiffe://cluster.local/ns/tubeway-system/sa/tubeway-operator";

/// Takes the token itself as `<namespace>/<service account>`.
struct Trusting;

#[async_trait]
impl TokenReviewer for Trusting {
    async fn review(&self, token: &str, _: &str) -> Result<ServiceAccount, ReviewError> {
        let (namespace, name) = token
            .split_once('/')
            .ok_or_else(|| ReviewError::Invalid("no slash".to_owned()))?;
        Ok(ServiceAccount {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }
}

/// Ends the processes it holds.
struct Processes(Vec<(String, Child)>);

impl Drop for Processes {
    fn drop(&mut self) {
        for (_, child) in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Mesh {
    dir: tempfile::TempDir,
    processes: Processes,
    authority: String,
    libs: PathBuf,
    net: [u8; 2],
}

impl Mesh {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca =
            CertificateAuthority::generate(DOMAIN, Duration::from_secs(86_400), UnixTime::now())
                .unwrap();
        std::fs::write(dir.path().join("roots.pem"), ca.certificate_pem()).unwrap();
        let bundle = Arc::new(ArcSwap::from_pointee(ca.bundle().clone()));
        let ca = Arc::new(ArcSwap::from_pointee(ca));
        let store = IdentityStore::new(DOMAIN);
        let local = Local::new(
            ca.clone(),
            bundle,
            OPERATOR.parse().unwrap(),
            vec!["operator.svc".to_owned()],
            Duration::from_secs(86_400),
        );
        store.install(local.fetch().await.unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let service = CaService::new(
            ca,
            Arc::new(Trusting),
            "tubeway-ca",
            Duration::from_secs(86_400),
        );
        let config = server_config_optional_client(&store, Expected::InTrustDomain, &[H2]);
        let limits = ServeLimits::default();
        let routes = tonic::service::Routes::new(service);
        tokio::spawn(serve_tls(
            listener,
            config,
            routes,
            limits,
            std::future::pending(),
        ));
        let cache = tubeway_launcher::kafka_dist::default_cache_dir();
        let kafka = KafkaDist::ensure(&cache, "4.3.1", |_| {}).expect("Kafka's jars");
        let libs = kafka.libs;
        let pid = std::process::id();
        Self {
            dir,
            processes: Processes(Vec::new()),
            authority,
            libs,
            net: [200 + (pid % 50) as u8, (pid / 50 % 250) as u8],
        }
    }

    fn pod(&self, last: u8) -> (Ipv4Addr, Ipv4Addr) {
        let [a, b] = self.net;
        (
            Ipv4Addr::new(127, a, b.wrapping_add(last), 1),
            Ipv4Addr::new(127, a, b.wrapping_add(last), 2),
        )
    }

    fn topology(&self) -> Topology {
        Topology {
            cluster: "kafka/demo".parse().unwrap(),
            identity: "spiffe://cluster.local/ns/kafka/sa/demo-node".to_owned(),
            nodes: vec![Node {
                id: 0,
                host: "demo-0.demo-nodes.kafka.svc".to_owned(),
                address: self.pod(0).0.into(),
                roles: [NodeRole::Broker, NodeRole::Controller].into(),
                rack: None,
            }],
        }
    }

    fn access(&self) -> Access {
        let rule = |(account, operation)| {
            let principal = format!("User:spiffe://cluster.local/ns/shop/sa/{account}");
            let acl = AclBinding::allow(principal, operation, ResourceType::Topic, "orders");
            Rule::from(acl)
        };
        let accounts = ["checkout", "intruder"];
        let operations = [Operation::Create, Operation::Write];
        let rules = accounts
            .into_iter()
            .flat_map(|account| operations.map(|operation| rule((account, operation))));
        Access {
            cluster: self.topology().cluster,
            access: AccessRules {
                super_users: ["User:spiffe://cluster.local/ns/kafka/sa/demo-node".to_owned()]
                    .into(),
                rules: rules.collect(),
            },
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn spawn(&mut self, name: &str, command: &mut Command) {
        let log = std::fs::File::create(self.dir.path().join(format!("{name}.log"))).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.processes.0.push((name.to_owned(), child));
    }

    fn start_sidecar(&mut self, name: &str, role: &str, account: &str, pod: (Ipv4Addr, Ipv4Addr)) {
        let state = self.folder(&format!("{name}-state"));
        std::fs::write(state.join("topology.json"), self.topology().to_json()).unwrap();
        std::fs::write(state.join("access.json"), self.access().to_json()).unwrap();
        std::fs::write(state.join("token"), account).unwrap();
        let run = self.folder("run");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tubeway-proxy"));
        command
            .arg(role)
            .env("TUBEWAY_LOG", "debug,h2=info")
            .env("POD_NAME", name)
            .env("POD_NAMESPACE", "x")
            .env("POD_IP", pod.0.to_string())
            .env("TUBEWAY_LOOPBACK", pod.1.to_string())
            .env("TUBEWAY_CLUSTER", "kafka/demo")
            .env("TUBEWAY_TRUST_DOMAIN", DOMAIN)
            .env("TUBEWAY_CONTROL_PLANE", &self.authority)
            .env("TUBEWAY_CONTROL_PLANE_NAME", "operator.svc")
            .env("TUBEWAY_CONTROL_PLANE_ID", OPERATOR)
            .env("TUBEWAY_TOKEN_FILE", state.join("token"))
            .env("TUBEWAY_ROOTS_FILE", self.dir.path().join("roots.pem"))
            .env("TUBEWAY_STATE_DIR", &state)
            .env("TUBEWAY_RUN_DIR", run)
            .env("TUBEWAY_NODE_ID", "0");
        self.spawn(name, &mut command);
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Mesh {
    /// The broker behind its sidecar, formatted and started by the launcher.
    fn start_broker(&mut self, node: (Ipv4Addr, Ipv4Addr)) {
        self.start_sidecar("node", "node", "kafka/demo-node", node);
        let config = self.folder("config");
        std::fs::write(
            config.join("server.properties"),
            include_str!("server.properties"),
        )
        .unwrap();
        std::fs::write(config.join("quorum.json"), include_str!("quorum.json")).unwrap();
        let (run, data) = (self.folder("run"), self.folder("data"));
        let proxy = Path::new(env!("CARGO_BIN_EXE_tubeway-proxy"));
        let mut command = Command::new(proxy.with_file_name("tubeway-launcher"));
        command
            .arg("run")
            .env("TUBEWAY_CONFIG_DIR", &config)
            .env("TUBEWAY_RUN_DIR", &run)
            .env("TUBEWAY_DATA_DIR", &data)
            .env("POD_IP", node.0.to_string())
            .env("TUBEWAY_LOOPBACK", node.1.to_string())
            .env("KAFKA_LIBS", &self.libs)
            .env("KAFKA_JVM_OPTS", "-Xmx256m -XX:+UseSerialGC")
            .env("KAFKA_LOG_LEVELS", "kafka.authorizer.logger=DEBUG");
        self.spawn("kafka", &mut command);
    }

    /// Kafka's VerifiableProducer through a client's sidecar; what it says.
    fn produce(&self, at: Ipv4Addr, records: u32) -> String {
        let output = Command::new("java")
            .args(["-Xmx64m", "-cp"])
            .arg(self.libs.join("*"))
            .args([
                "org.apache.kafka.tools.VerifiableProducer",
                "--topic",
                "orders",
            ])
            .args(["--max-messages", &records.to_string(), "--acks", "-1"])
            .args(["--bootstrap-server", &format!("{at}:9092")])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits until a log says something.
    async fn says(&self, name: &str, what: &str) {
        let begun = Instant::now();
        while !self.log(name).contains(what) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let late = begun.elapsed() > Duration::from_secs(90);
            assert!(
                !late,
                "{name} never said {what:?}:\n{}\n{}",
                self.log(name),
                self.log("kafka")
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_reaches_a_stock_broker_as_its_spiffe_id() {
    let mut mesh = Mesh::start().await;
    let (node, client) = (mesh.pod(0), mesh.pod(1));
    mesh.start_broker(node);
    mesh.start_sidecar("client", "client", "shop/checkout", client);
    mesh.says("node", "serves=true").await;
    mesh.says("client", "ready for clients").await;
    let said = mesh.produce(client.1, 100);
    assert_eq!(said.matches("producer_send_success").count(), 100, "{said}");
    mesh.says(
        "kafka",
        "Principal = User:spiffe://cluster.local/ns/shop/sa/checkout is Allowed operation = WRITE",
    )
    .await;
    // The sidecars were told that the intruder may produce; the broker was not.
    let intruder = mesh.pod(2);
    mesh.start_sidecar("intruder", "client", "shop/intruder", intruder);
    mesh.says("intruder", "ready for clients").await;
    let said = mesh.produce(intruder.1, 1);
    assert!(said.contains("TopicAuthorizationException"), "{said}");
    mesh.says(
        "kafka",
        "Principal = User:spiffe://cluster.local/ns/shop/sa/intruder is Denied operation",
    )
    .await;
    assert!(!mesh.log("kafka").contains("ANONYMOUS"));
}
