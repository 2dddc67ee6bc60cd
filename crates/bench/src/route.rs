//! The ways from a client to the broker that are compared, and their addresses.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

use tubeway_config::ports;

/// Ports of the broker's listeners that have no port of their own in the mesh.
const OTHERS_FROM: u16 = 9_100;

/// What stands between the client and the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Plain,
    /// A pair of bare relays with copy buffers of so many KiB.
    Relay(usize),
    /// A pair of Envoys that know nothing of Kafka.
    Envoy,
    /// A client's sidecar and a node's.
    Tubeway,
}

/// One way, with addresses that nothing else has: as in pods, each on the
/// ports of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// What stands on it.
    pub kind: Kind,
    /// The client's pod.
    pub client: Pod,
    /// The broker's pod.
    pub node: Pod,
}

/// The addresses of one pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pod {
    /// Where other pods reach it.
    pub address: Ipv4Addr,
    /// What only its own processes talk to.
    pub loopback: Ipv4Addr,
}

// === impl Kind ===

impl Kind {
    /// Every one, plain first.
    pub const ALL: [Self; 5] = [
        Self::Plain,
        Self::Relay(64),
        Self::Relay(256),
        Self::Envoy,
        Self::Tubeway,
    ];
}

/// A word, for arguments, folders and listeners.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("plain"),
            Self::Relay(size) => write!(f, "relay{size}"),
            Self::Envoy => f.write_str("envoy"),
            Self::Tubeway => f.write_str("tubeway"),
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == text);
        let words = Self::ALL.map(|kind| kind.to_string()).join(", ");
        found.ok_or_else(|| format!("{text:?} is none of {words}"))
    }
}

// === impl Route ===

impl Route {
    /// The addresses of a way of this kind. Those of another process differ,
    /// unless there are thousands of processes between the two.
    pub fn new(kind: Kind) -> Self {
        let at = Kind::ALL.iter().position(|other| *other == kind);
        let first = 2 * at.unwrap_or_default() as u8;
        Self {
            kind,
            client: Pod::new(first),
            node: Pod::new(first + 1),
        }
    }

    /// Where the client connects to.
    pub fn entry(self) -> SocketAddr {
        match self.kind {
            Kind::Plain => self.broker(),
            _ => (self.client.loopback, ports::CLIENT).into(),
        }
    }

    /// Where the node's half listens for the client's.
    pub fn mesh(self) -> SocketAddr {
        (self.node.address, ports::CLIENT).into()
    }

    /// Where the broker listens for the node's half: on the port of the mesh
    /// for the sidecar, and else on one that no other listener has, as Kafka
    /// wants it whatever the address.
    pub fn broker(self) -> SocketAddr {
        let port = match self.kind {
            Kind::Tubeway => ports::CLIENT,
            Kind::Plain => OTHERS_FROM,
            Kind::Envoy => OTHERS_FROM + 1,
            // Sizes are those of `Kind::ALL`: far below the ports that are left.
            Kind::Relay(kib) => OTHERS_FROM + 1 + kib as u16,
        };
        (self.node.loopback, port).into()
    }

    /// The broker's listener for this way, in its configuration.
    pub fn listener(self) -> String {
        self.kind.to_string().to_uppercase()
    }
}

// === impl Pod ===

impl Pod {
    fn new(number: u8) -> Self {
        let pid = std::process::id();
        let [a, b] = [10 + (pid % 200) as u8, (pid / 200 % 24) as u8 * 10 + number];
        Self {
            address: Ipv4Addr::new(127, a, b, 1),
            loopback: Ipv4Addr::new(127, a, b, 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_ways_share_an_address() {
        let routes = Kind::ALL.map(Route::new);
        let all: BTreeSet<SocketAddr> = routes
            .iter()
            .flat_map(|r| {
                [
                    (r.client.loopback, ports::CLIENT).into(),
                    r.mesh(),
                    r.broker(),
                ]
            })
            .collect();
        assert_eq!(all.len(), 3 * Kind::ALL.len());
        let ports = routes.map(|route| route.broker().port());
        assert_eq!(BTreeSet::from(ports).len(), Kind::ALL.len());
    }

    #[test]
    fn kinds_are_read_by_their_words() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let refused = "haproxy".parse::<Kind>();
        assert!(refused.is_err_and(|error| error.contains("relay256")));
    }
}
