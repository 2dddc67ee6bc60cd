//! A real Kafka of one node: broker and controller in one JVM, with the
//! StandardAuthorizer, on loopback without encryption. Whoever connects is
//! `User:ANONYMOUS`, a super user.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tubeway_launcher::kafka_dist::{DEFAULT_VERSION, KafkaDist, default_cache_dir, find_java};
use tubeway_operator::kafka_admin::{Admin, BrokerAddress, PlainConnect};

/// A folder of Kafka's jars to use instead of fetched ones.
const LIBS: &str = "TUBEWAY_KAFKA_LIBS";
const START: Duration = Duration::from_secs(90);

/// A running node, which ends with the last that holds it.
pub(crate) struct SingleNode {
    jvm: Child,
    port: u16,
    home: TempDir,
}

impl SingleNode {
    /// The node that all tests of this process share.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<SingleNode>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let node = Arc::new(Self::start());
            *shared = Arc::downgrade(&node);
            node
        })
    }

    pub(crate) fn address(&self) -> BrokerAddress {
        BrokerAddress::new("127.0.0.1", self.port)
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::new(PlainConnect, vec![self.address()])
    }

    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let [port, controller] = free_ports();
        let properties = home.path().join("server.properties");
        fs::write(
            &properties,
            server_properties(home.path(), port, controller),
        )
        .unwrap();
        let output = java(home.path(), "kafka.tools.StorageTool")
            .args([
                "format",
                "--standalone",
                "-t",
                "MkU3OEVBNTcwNTJENDM2Qk",
                "-c",
            ])
            .arg(&properties)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let log = File::create(home.path().join("out.log")).unwrap();
        let jvm = java(home.path(), "kafka.Kafka")
            .arg(&properties)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut node = Self { jvm, port, home };
        node.wait();
        node
    }

    /// Kafka says nothing to anyone when it is ready, so it is asked.
    fn wait(&mut self) {
        let deadline = Instant::now() + START;
        while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let ended = self.jvm.try_wait().unwrap();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.home.path().join("out.log")).unwrap_or_default();
                panic!("kafka did not start: {ended:?}\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for SingleNode {
    fn drop(&mut self) {
        let _ = self.jvm.kill();
        let _ = self.jvm.wait();
    }
}

fn java(home: &Path, class: &str) -> Command {
    let dist = match std::env::var_os(LIBS) {
        Some(libs) => KafkaDist {
            libs: libs.into(),
            version: DEFAULT_VERSION.to_owned(),
        },
        None => KafkaDist::ensure(&default_cache_dir(), DEFAULT_VERSION, |_| ()).unwrap(),
    };
    let options = ["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    let mut command = dist.command(&find_java().unwrap(), &options, class);
    command.current_dir(home);
    command
}

fn server_properties(home: &Path, port: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
         log.dirs={}/data\n\
         num.partitions=2\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n",
        home.display()
    )
}

/// Ports that were free a moment ago, and different from each other.
fn free_ports() -> [u16; 2] {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let listeners = [listen(), listen()];
    listeners.map(|l| l.local_addr().unwrap().port())
}
