//! Proof that nothing readable crosses between pods: what is on the wire, looked at.
//!
//! [`Capture`] runs `tcpdump` on the loopback interface while a test does its work;
//! [`Evidence`] then says of each connection whether it was TLS 1.3 from its
//! first byte to its last, and where any of the given markers (a piece of a
//! record, a password) could be read. The reading is pure and works on any
//! capture file in the classic format.
//!
//! Assumptions: the capture began before the connections; whoever wants to be
//! sure makes the markers long and random.

mod packet;
mod pcap;
mod stream;
mod tcpdump;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;

use memchr::memmem::Finder;

use crate::tools::ToolsError;
use packet::Segment;
use pcap::Pcap;
use stream::Stream;
pub use tcpdump::Capture;
pub use tls::TlsFault;

/// What was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// TCP connections, in the order they began.
    pub connections: Vec<Connection>,
    /// Bytes of TCP payload, retransmissions included.
    pub bytes: u64,
}

/// One TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Who opened it.
    pub client: SocketAddr,
    /// To whom.
    pub server: SocketAddr,
    /// What was spoken on it.
    pub verdict: Verdict,
    /// The markers that could be read on it, in either direction.
    pub readable: Vec<String>,
}

/// What was spoken on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// TLS 1.3 and nothing else, both hellos seen.
    Tls13,
    /// The client's hello was answered by nothing, or by an alert.
    Refused,
    /// No byte was sent by the client; the server sent none or an alert.
    Silent,
    /// Something else.
    Fault {
        /// Who sent it.
        by_client: bool,
        /// What it was.
        fault: TlsFault,
    },
    /// It cannot be told: packets are missing, or it began before the capture.
    Incomplete,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// There is no `tcpdump`.
    #[error(transparent)]
    Tools(#[from] ToolsError),
    /// `tcpdump` may not listen.
    #[error(
        "tcpdump may not capture: run as root, or once: \
         setcap cap_net_raw+ep $(command -v tcpdump): {0}"
    )]
    NotPermitted(String),
    /// `tcpdump` ended by itself.
    #[error("tcpdump ended: {0}")]
    Ended(String),
    /// Packets went by too fast; what was captured proves nothing.
    #[error("the kernel dropped packets before tcpdump had them: {0}")]
    Dropped(String),
    /// It did not come to the end of what was on the wire.
    #[error("tcpdump lags behind what is on the wire")]
    Behind,
    /// The file is not a capture, or not of a kind that is read here.
    #[error("not a readable capture: {0}")]
    Format(&'static str),
    /// A file or process could not be had.
    #[error("could not {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

// === impl Evidence ===

impl Evidence {
    /// Reads a capture file. `markers` are what must not be readable.
    pub fn read(capture: impl Read, markers: &[&str]) -> Result<Self, CaptureError> {
        let finders: Vec<_> = markers.iter().map(Finder::new).collect();
        let mut pcap = Pcap::open(capture)?;
        let mut streams: Vec<Stream> = Vec::new();
        let mut open: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
        let mut bytes = 0;
        while let Some((link, packet)) = pcap.next()? {
            let Some(segment) = Segment::parse(link, packet) else {
                continue;
            };
            bytes += segment.payload.len() as u64;
            let ends = (segment.from, segment.to);
            let known = open
                .get(&ends)
                .or_else(|| open.get(&(ends.1, ends.0)))
                .copied()
                .filter(|&index| !streams[index].is_reopened_by(&segment));
            let index = known.unwrap_or_else(|| {
                open.remove(&(ends.1, ends.0));
                open.insert(ends, streams.len());
                streams.push(Stream::begin(&segment, finders.len()));
                streams.len() - 1
            });
            streams[index].take(&segment, &finders);
        }
        let connections = streams.iter().map(|stream| stream.connection(markers));
        Ok(Self {
            connections: connections.collect(),
            bytes,
        })
    }

    /// Panics, with everything that was wrong, unless each connection was
    /// TLS 1.3 or was refused, no marker could be read, and at least
    /// `connections` of them were TLS 1.3: a quiet wire proves nothing.
    #[track_caller]
    pub fn assert_encrypted(&self, connections: usize) {
        let is_fine = |verdict: &Verdict| {
            matches!(verdict, Verdict::Tls13 | Verdict::Refused | Verdict::Silent)
        };
        let wrong = self
            .connections
            .iter()
            .filter(|one| !is_fine(&one.verdict) || !one.readable.is_empty());
        assert_eq!(wrong.count(), 0, "{self}");
        assert!(self.tls13() >= connections, "{self}");
    }

    /// How many connections were TLS 1.3.
    pub fn tls13(&self) -> usize {
        let verdicts = self.connections.iter().map(|one| &one.verdict);
        verdicts
            .filter(|&verdict| *verdict == Verdict::Tls13)
            .count()
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections, {} of them TLS 1.3, {} bytes",
            self.connections.len(),
            self.tls13(),
            self.bytes
        )?;
        for one in &self.connections {
            if one.verdict != Verdict::Tls13 || !one.readable.is_empty() {
                write!(f, "\n  {} -> {}: {}", one.client, one.server, one.verdict)?;
            }
            for marker in &one.readable {
                write!(f, "; {marker:?} is readable")?;
            }
        }
        Ok(())
    }
}

// === impl Verdict ===

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tls13 => f.write_str("TLS 1.3"),
            Self::Refused => f.write_str("a hello that was not answered"),
            Self::Silent => f.write_str("nothing was said"),
            Self::Fault { by_client, fault } => {
                let who = if *by_client { "client" } else { "server" };
                write!(f, "the {who} sent {fault}")
            }
            Self::Incomplete => f.write_str("not captured in whole"),
        }
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> CaptureError {
    move |source| CaptureError::Io { action, source }
}
