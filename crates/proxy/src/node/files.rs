//! The files that a node's sidecar writes for its broker (`docs/pods.md`).

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tubeway_config::{Addresses, Topology};

/// The folder that the sidecar and its broker share.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

// === impl RunDir ===

impl RunDir {
    /// The folder, which must be there.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Publishes the key that the broker checks logins with.
    pub fn write_jwks(&self, jwks: &str) -> io::Result<()> {
        replace(&self.path.join("jwks.json"), jwks.as_bytes())
    }

    /// Publishes where the JVM finds the cluster's nodes: at this pod's own
    /// egress addresses. A name that is not in the file does not resolve at
    /// all, so it also has the two names by which a JVM knows its own machine.
    pub fn write_hosts(&self, topology: &Topology, addresses: &Addresses) -> io::Result<()> {
        let mut text = String::new();
        for node in &topology.nodes {
            if let Some(egress) = addresses.egress(node.id) {
                let _ = writeln!(text, "{egress} {}", node.host);
            }
        }
        let _ = writeln!(text, "{} localhost", addresses.loopback);
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let hostname = hostname.trim();
        if !hostname.is_empty() && hostname != "localhost" {
            let _ = writeln!(text, "{} {hostname}", addresses.loopback);
        }
        replace(&self.path.join("hosts"), text.as_bytes())
    }

    /// Publishes the zone that this node is in, for a broker's next start.
    pub fn write_rack(&self, zone: &str) -> io::Result<()> {
        replace(&self.path.join("rack"), zone.as_bytes())
    }

    /// The password of the internal listeners: made once for the life of the
    /// pod, because a sidecar that restarts finds its broker running.
    pub fn peer_secret(&self, make: impl FnOnce() -> String) -> io::Result<String> {
        let path = self.path.join("peer-secret");
        match fs::read_to_string(&path) {
            Ok(secret) if !secret.trim().is_empty() => return Ok(secret.trim().to_owned()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let secret = make();
        replace(&path, secret.as_bytes())?;
        Ok(secret)
    }
}

/// Replaces a file in one step, readable by this user alone.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn every_node_is_at_an_egress_address_of_this_pod() {
        let dir = tempfile::tempdir().unwrap();
        let topology = Topology {
            cluster: "kafka/demo".parse().unwrap(),
            identity: "spiffe://td/ns/kafka/sa/demo-node".to_owned(),
            nodes: vec![tubeway_config::Node {
                id: 3,
                host: "demo-3.demo.kafka.svc".to_owned(),
                address: IpAddr::from([10, 0, 0, 9]),
                roles: [tubeway_config::NodeRole::Broker].into(),
                rack: None,
            }],
        };
        let addresses = Addresses {
            pod: IpAddr::from([10, 0, 0, 8]),
            loopback: Ipv4Addr::LOCALHOST,
        };
        RunDir::new(dir.path().to_owned())
            .write_hosts(&topology, &addresses)
            .unwrap();
        let text = fs::read_to_string(dir.path().join("hosts")).unwrap();
        assert!(
            text.starts_with("127.11.0.3 demo-3.demo.kafka.svc\n127.0.0.1 localhost\n"),
            "{text}"
        );
    }

    #[test]
    fn the_secret_outlives_the_sidecar() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::new(dir.path().to_owned());
        assert_eq!(run.peer_secret(|| "first".to_owned()).unwrap(), "first");
        assert_eq!(run.peer_secret(|| "second".to_owned()).unwrap(), "first");
    }
}
