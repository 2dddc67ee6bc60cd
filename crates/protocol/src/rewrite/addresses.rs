//! Broker addresses in responses that are small enough to hold: Metadata, FindCoordinator,
//! DescribeCluster.

use std::sync::Arc;

use super::RewriteError;
use crate::schema::{ApiKey, Direction, Layout, Schemas};
use crate::walk::{Interest, Mark, Span, Trailing, Walker, What};

const NODE: Mark = Mark(0);
const HOST: Mark = Mark(1);
const PORT: Mark = Mark(2);

/// Where each response has a node's id, host and port; in this order on the wire.
const PLACES: [(ApiKey, [&str; 3]); 4] = [
    (
        ApiKey::METADATA,
        ["Brokers.NodeId", "Brokers.Host", "Brokers.Port"],
    ),
    (ApiKey::FIND_COORDINATOR, ["NodeId", "Host", "Port"]),
    (
        ApiKey::FIND_COORDINATOR,
        [
            "Coordinators.NodeId",
            "Coordinators.Host",
            "Coordinators.Port",
        ],
    ),
    (
        ApiKey::DESCRIBE_CLUSTER,
        ["Brokers.BrokerId", "Brokers.Host", "Brokers.Port"],
    ),
];

/// Rewrites the broker addresses of one version of a response.
#[derive(Debug, Clone)]
pub struct AddressRewriter {
    interest: Arc<Interest>,
}

/// A body while it is rewritten.
struct Rewriting<'b> {
    layout: &'static Layout,
    body: &'b [u8],
    /// What is written of the new body.
    out: Vec<u8>,
    /// How much of the old body is in it.
    copied: usize,
    node: i32,
    /// The host whose port is to come.
    host: Option<(String, Span)>,
}

// === impl AddressRewriter ===

impl AddressRewriter {
    /// For one version of an API's response; `None` if it carries no addresses that this
    /// rewrites.
    pub fn new(api: ApiKey, version: i16) -> Option<Self> {
        let layout = Schemas::get()
            .layout(api, version, Direction::Response)
            .ok()?;
        let mut paths = Vec::new();
        for (_, [node, host, port]) in PLACES.iter().filter(|(place, _)| *place == api) {
            paths.extend([(*node, NODE), (*host, HOST), (*port, PORT)]);
        }
        if paths.is_empty() {
            return None;
        }
        // The body is in memory already, and walked as one chunk: nothing is copied.
        let interest = Interest::new(layout, &paths).ok()?.capture(u32::MAX);
        Some(Self {
            interest: Arc::new(interest),
        })
    }

    /// The version of the response that this is for.
    pub fn layout(&self) -> &'static Layout {
        self.interest.layout()
    }

    /// The body with each address replaced by what `map` says for a node's id, host and port;
    /// `None` of `map` leaves an address. `None` is returned when nothing changes.
    ///
    /// Empty hosts and negative ports, which stand for "no node", are left and not asked about.
    pub fn rewrite(
        &self,
        body: &[u8],
        mut map: impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
    ) -> Result<Option<Vec<u8>>, RewriteError> {
        let mut rewriting = Rewriting {
            layout: self.layout(),
            body,
            out: Vec::new(),
            copied: 0,
            node: -1,
            host: None,
        };
        let mut outcome = Ok(());
        let mut walker = Walker::new(self.interest.clone(), 0, body.len() as u64, Trailing::Allow);
        walker.feed(body, |event| match (event.mark, event.what) {
            (NODE, What::Int(node)) => rewriting.node = node as i32,
            (HOST, What::Text(host)) => rewriting.host = Some((host.to_owned(), event.span)),
            (PORT, What::Int(port)) if outcome.is_ok() => {
                outcome = rewriting.address(port, event.span, &mut map);
            }
            _ => {}
        })?;
        outcome?;
        Ok(rewriting.finish())
    }
}

// === impl Rewriting ===

impl Rewriting<'_> {
    /// An address is complete: its port lies at `place`.
    fn address(
        &mut self,
        port: i64,
        place: Span,
        map: &mut impl FnMut(i32, &str, u16) -> Option<(String, u16)>,
    ) -> Result<(), RewriteError> {
        let Some((host, host_place)) = self.host.take().filter(|(host, _)| !host.is_empty()) else {
            return Ok(());
        };
        let Ok(port) = u16::try_from(port) else {
            return Ok(());
        };
        let Some((host, port)) = map(self.node, &host, port) else {
            return Ok(());
        };
        let host = self
            .layout
            .encode_string(&host)
            .ok_or(RewriteError::TooLong("host"))?;
        // The walk has been over all of these bytes.
        self.out
            .extend_from_slice(&self.body[self.copied..host_place.start as usize]);
        self.out.extend(host);
        self.out
            .extend_from_slice(&self.body[host_place.end as usize..place.start as usize]);
        self.out.extend(i32::from(port).to_be_bytes());
        self.copied = place.end as usize;
        Ok(())
    }

    fn finish(mut self) -> Option<Vec<u8>> {
        if self.copied == 0 {
            return None;
        }
        self.out.extend_from_slice(&self.body[self.copied..]);
        Some(self.out)
    }
}
