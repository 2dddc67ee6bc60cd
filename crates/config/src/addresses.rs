//! Which address a sidecar uses for what.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The mesh ports of a broker pod: the same numbers on the pod's address
/// (mutual TLS) and on the broker's loopback listeners behind it.
pub mod ports {
    /// Clients of the Kafka cluster.
    pub const CLIENT: u16 = 9092;
    /// Replication between brokers.
    pub const REPLICATION: u16 = 9093;
    /// The controller quorum.
    pub const CONTROLLER: u16 = 9094;
    /// A sidecar's admin port, on the pod's loopback address only.
    pub const ADMIN: u16 = 15020;
    /// The operator's certificate authority and configuration stream.
    pub const CONTROL_PLANE: u16 = 15012;
    /// First of the loopback ports a client sidecar offers, one a broker:
    /// broker `id` is at this plus `id`.
    pub const CLIENT_BROKERS_FROM: u16 = 20000;
}

/// The addresses that one pod may use.
///
/// A pod on Kubernetes has a loopback interface of its own. Pods that run as
/// processes on one machine share it, so each has a /24 of 127.0.0.0/8: the
/// pod's address ends in `.1`, its own loopback in `.2`, and its egress
/// addresses, one for each peer broker, begin at `.10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Where other pods reach this one.
    pub pod: IpAddr,
    /// What only this pod's own processes talk to.
    pub loopback: Ipv4Addr,
}

// === impl Addresses ===

impl Addresses {
    /// The loopback address, as the JVM's hosts file names it, on which this
    /// pod's sidecar takes connections for the broker `node_id`; `None` where
    /// the pod's range has no address left for it.
    pub fn egress(&self, node_id: u32) -> Option<Ipv4Addr> {
        if self.loopback == Ipv4Addr::LOCALHOST {
            let id = u16::try_from(node_id).ok()?;
            let [high, low] = id.to_be_bytes();
            return Some(Ipv4Addr::new(127, 11, high, low));
        }
        let last = u8::try_from(node_id.checked_add(10)?).ok()?;
        let [a, b, c, _] = self.loopback.octets();
        (last < 255).then(|| Ipv4Addr::new(a, b, c, last))
    }

    /// The mesh listener for `port`.
    pub fn mesh(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.pod, port)
    }

    /// The broker's own listener for `port`.
    pub fn broker(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.loopback), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_with_its_own_loopback_has_an_egress_address_for_every_node_id() {
        let pod = Addresses {
            pod: IpAddr::from([10, 1, 2, 3]),
            loopback: Ipv4Addr::LOCALHOST,
        };
        assert_eq!(pod.egress(0), Some(Ipv4Addr::new(127, 11, 0, 0)));
        assert_eq!(pod.egress(65535), Some(Ipv4Addr::new(127, 11, 255, 255)));
        assert_eq!(pod.egress(65536), None);
    }

    #[test]
    fn a_pod_on_a_shared_loopback_keeps_to_its_own_range() {
        let pod = Addresses {
            pod: IpAddr::from([127, 20, 7, 1]),
            loopback: Ipv4Addr::new(127, 20, 7, 2),
        };
        assert_eq!(pod.egress(0), Some(Ipv4Addr::new(127, 20, 7, 10)));
        assert_eq!(pod.egress(244), Some(Ipv4Addr::new(127, 20, 7, 254)));
        assert_eq!(pod.egress(245), None);
    }
}
