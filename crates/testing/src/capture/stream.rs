//! A TCP connection put together again from its segments.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use memchr::memmem::Finder;

use super::packet::Segment;
use super::tls::{Role, TlsWalk};
use super::{Connection, Verdict};

/// Bytes after a gap that are kept in the hope that the gap is filled.
const MAX_PENDING: usize = 16 << 20;

/// One connection: what was seen of it so far.
pub(super) struct Stream {
    client: SocketAddr,
    server: SocketAddr,
    /// The client's first sequence number, if its SYN was seen.
    syn: Option<u32>,
    from_client: Half,
    from_server: Half,
}

/// One direction of a connection.
struct Half {
    /// Sequence number of the next byte; `None` until a SYN told.
    next: Option<u32>,
    /// Bytes behind a gap, by their distance from the stream's first byte.
    pending: BTreeMap<u32, Vec<u8>>,
    lost: bool,
    walk: TlsWalk,
    search: Search,
}

/// A search for markers that may lie across the border of two segments.
struct Search {
    tail: Vec<u8>,
    found: Vec<bool>,
}

// === impl Stream ===

impl Stream {
    pub(super) fn begin(segment: &Segment<'_>, markers: usize) -> Self {
        // A capture that begins within a connection may see the server first.
        let from_client = !(segment.syn && segment.ack);
        let (client, server) = if from_client {
            (segment.from, segment.to)
        } else {
            (segment.to, segment.from)
        };
        Self {
            client,
            server,
            syn: (segment.syn && from_client).then_some(segment.seq),
            from_client: Half::new(Role::Client, markers),
            from_server: Half::new(Role::Server, markers),
        }
    }

    /// Whether a segment begins another connection between the same ports.
    pub(super) fn is_reopened_by(&self, segment: &Segment<'_>) -> bool {
        segment.syn && !segment.ack && self.syn != Some(segment.seq)
    }

    pub(super) fn take(&mut self, segment: &Segment<'_>, markers: &[Finder<'_>]) {
        let half = if segment.from == self.client {
            &mut self.from_client
        } else {
            &mut self.from_server
        };
        half.take(segment, markers);
    }

    pub(super) fn connection(&self, markers: &[&str]) -> Connection {
        let found = |index: usize| {
            self.from_client.search.found[index] || self.from_server.search.found[index]
        };
        let readable = markers.iter().enumerate();
        let readable = readable.filter(|&(index, _)| found(index));
        Connection {
            client: self.client,
            server: self.server,
            verdict: self.verdict(),
            readable: readable.map(|(_, &marker)| marker.to_owned()).collect(),
        }
    }

    fn verdict(&self) -> Verdict {
        for (half, by_client) in [(&self.from_client, true), (&self.from_server, false)] {
            if let Some(fault) = half.walk.fault() {
                return Verdict::Fault { by_client, fault };
            }
        }
        if self.from_client.is_incomplete() || self.from_server.is_incomplete() {
            return Verdict::Incomplete;
        }
        let (client, server) = (&self.from_client.walk, &self.from_server.walk);
        match (client.said_hello(), server.said_hello()) {
            (true, true) => Verdict::Tls13,
            (true, false) => Verdict::Refused,
            (false, _) if client.is_empty() => Verdict::Silent,
            (false, _) => Verdict::Incomplete,
        }
    }
}

// === impl Half ===

impl Half {
    fn new(role: Role, markers: usize) -> Self {
        Self {
            next: None,
            pending: BTreeMap::new(),
            lost: false,
            walk: TlsWalk::new(role),
            search: Search {
                tail: Vec::new(),
                found: vec![false; markers],
            },
        }
    }

    fn take(&mut self, segment: &Segment<'_>, markers: &[Finder<'_>]) {
        if segment.syn {
            self.next.get_or_insert(segment.seq.wrapping_add(1));
        }
        if segment.payload.is_empty() {
            return;
        }
        let Some(next) = self.next else {
            // Began before the capture: its records cannot be told apart, but
            // what can be read in them still can.
            self.lost = true;
            self.search.take(segment.payload, markers);
            return;
        };
        self.pending
            .entry(segment.seq)
            .and_modify(|known| {
                if known.len() < segment.payload.len() {
                    segment.payload.clone_into(known);
                }
            })
            .or_insert_with(|| segment.payload.to_owned());
        self.next = Some(self.deliver(next, markers));
        if self.pending.values().map(Vec::len).sum::<usize>() > MAX_PENDING {
            self.lost = true;
            self.pending.clear();
        }
    }

    /// Hands on all bytes from `next` on that are there; returns the new `next`.
    fn deliver(&mut self, mut next: u32, markers: &[Finder<'_>]) -> u32 {
        // Sequence numbers wrap: a segment lies behind `next` by its signed distance.
        let at_or_before = |next: u32, seq: u32| next.wrapping_sub(seq) as i32 >= 0;
        while let Some(&seq) = self.pending.keys().find(|&&seq| at_or_before(next, seq)) {
            let Some(bytes) = self.pending.remove(&seq) else {
                break;
            };
            let known = next.wrapping_sub(seq) as usize;
            if let Some(fresh) = bytes.get(known..) {
                self.walk.take(fresh);
                self.search.take(fresh, markers);
                next = next.wrapping_add(fresh.len() as u32);
            }
        }
        next
    }

    fn is_incomplete(&self) -> bool {
        self.lost || !self.pending.is_empty()
    }
}

// === impl Search ===

impl Search {
    fn take(&mut self, bytes: &[u8], markers: &[Finder<'_>]) {
        let longest = markers.iter().map(|marker| marker.needle().len()).max();
        let keep = longest.unwrap_or(0).saturating_sub(1);
        self.tail.extend_from_slice(bytes);
        for (marker, found) in markers.iter().zip(&mut self.found) {
            *found = *found || marker.find(&self.tail).is_some();
        }
        self.tail.drain(..self.tail.len().saturating_sub(keep));
    }
}
