//! The sidecar as it runs in a pod: the program, with a scripted broker beside
//! it and an authority in the operator's place.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tubeway_config::{Access, Node, NodeRole, Topology, ports};
use tubeway_policy::rules::AccessRules;

use crate::authority::{Authority, DOMAIN, NODE, OPERATOR, OPERATOR_NAME};
use crate::process::{descriptors, resident, until};

const START: Duration = Duration::from_secs(60);

/// The addresses of one pod.
#[derive(Debug, Clone, Copy)]
pub struct Pod {
    pod: Ipv4Addr,
    loopback: Ipv4Addr,
}

/// A running sidecar.
pub struct Sidecar {
    /// Where clients come in.
    pub address: SocketAddr,
    child: Child,
    dir: tempfile::TempDir,
}

// === impl Pod ===

impl Pod {
    /// One that nothing else in this process has.
    pub fn new() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let pid = std::process::id();
        let [a, b] = [100 + (pid % 90) as u8, (pid / 90 % 250) as u8];
        let b = b.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        Self {
            pod: Ipv4Addr::new(127, a, b, 1),
            loopback: Ipv4Addr::new(127, a, b, 2),
        }
    }

    /// Where its broker listens for clients.
    pub fn broker(self) -> SocketAddr {
        (self.loopback, ports::CLIENT).into()
    }
}

// === impl Sidecar ===

impl Sidecar {
    /// Starts it, with an authority at `control_plane`, and waits until it serves.
    pub async fn start(
        authority: &Authority,
        control_plane: &str,
        pod: Pod,
        rules: AccessRules,
    ) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let topology = Topology {
            cluster: "kafka/demo".parse().expect("a cluster's name"),
            identity: NODE.to_owned(),
            nodes: vec![Node {
                id: 0,
                host: "demo-0.demo-nodes.kafka.svc".to_owned(),
                address: pod.pod.into(),
                roles: [NodeRole::Broker].into(),
                rack: None,
            }],
        };
        let access = Access {
            cluster: topology.cluster.clone(),
            access: rules,
        };
        for (name, content) in [
            ("topology.json", topology.to_json()),
            ("access.json", access.to_json()),
            ("token", b"kafka/demo-node".to_vec()),
            ("roots.pem", authority.roots_pem().into_bytes()),
        ] {
            std::fs::write(dir.path().join(name), content).expect("a file");
        }
        let child = spawn(&dir, control_plane, pod);
        let sidecar = Self {
            address: (pod.pod, ports::CLIENT).into(),
            child,
            dir,
        };
        until(START, "the sidecar serves", async || {
            sidecar.log().contains("serves=true")
                && std::net::TcpStream::connect(sidecar.address).is_ok()
        })
        .await;
        sidecar
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        descriptors(self.child.id())
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        resident(self.child.id())
    }

    /// Tells it to end.
    pub fn terminate(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("a process of our own");
    }

    /// Whether it has ended, and well.
    pub fn ended(&mut self) -> Option<bool> {
        let status = self.child.try_wait().expect("a process of our own");
        status.map(|status| status.success())
    }

    /// That it has not panicked.
    pub fn assert_unharmed(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &tempfile::TempDir, control_plane: &str, pod: Pod) -> Child {
    let log = std::fs::File::create(dir.path().join("log")).expect("a file");
    Command::new(env!("CARGO_BIN_EXE_tubeway-proxy"))
        .arg("node")
        .env("TUBEWAY_LOG", "info")
        .env("POD_NAME", "demo-0")
        .env("POD_NAMESPACE", "kafka")
        .env("POD_IP", pod.pod.to_string())
        .env("TUBEWAY_LOOPBACK", pod.loopback.to_string())
        .env("TUBEWAY_CLUSTER", "kafka/demo")
        .env("TUBEWAY_TRUST_DOMAIN", DOMAIN)
        .env("TUBEWAY_CONTROL_PLANE", control_plane)
        .env("TUBEWAY_CONTROL_PLANE_NAME", OPERATOR_NAME)
        .env("TUBEWAY_CONTROL_PLANE_ID", OPERATOR)
        .env("TUBEWAY_TOKEN_FILE", dir.path().join("token"))
        .env("TUBEWAY_ROOTS_FILE", dir.path().join("roots.pem"))
        .env("TUBEWAY_STATE_DIR", dir.path())
        .env("TUBEWAY_RUN_DIR", dir.path())
        .env("TUBEWAY_NODE_ID", "0")
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file"))
        .stderr(log)
        .spawn()
        .expect("the sidecar's program")
}
