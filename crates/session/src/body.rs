//! Bodies as they pass: checked against the schema, counted, and here and
//! there changed.

mod counts;

use std::time::Duration;

use bytes::Bytes;
use tubeway_protocol::frame::PREFIX;
use tubeway_protocol::header::ResponseHeader;
use tubeway_protocol::rewrite::{AddressRewriter, EndpointRewriter};
use tubeway_protocol::schema::UnknownMessage;
use tubeway_protocol::walk::{Event, WalkError, Walker, What};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

use crate::interest::{
    ACKS, ENDPOINTS, GROUP, MEMBER_EPOCH, OFFSET, PARTITION, RECORDS, SOFTWARE_NAME,
    SOFTWARE_VERSION, TOPIC, walker,
};
use crate::observe::{Observe, Software};
use crate::records::framed;
use crate::session::Routes;
use counts::{Counts, Marks, Seen};

pub(crate) use counts::{Produced, Said};

/// A request's body.
pub(crate) struct RequestBody {
    /// None for an API whose bodies are not looked at: an ApiVersions of a
    /// version that is too new, which the broker answers in its own way.
    walker: Option<Walker>,
    acks: Option<i64>,
    /// Whether what it says of topics is counted.
    counted: bool,
    counts: Counts,
    group: Option<Box<str>>,
    offsets: Marks,
    software: (Option<Box<str>>, Option<Box<str>>),
    joins: bool,
}

/// What is known of a request at its end.
pub(crate) struct Ended {
    pub(crate) wants_answer: bool,
    pub(crate) said: Said,
    pub(crate) software: Option<Software>,
    /// A member joins a group by it: a heartbeat of epoch 0 (KIP-848).
    pub(crate) joins: bool,
}

/// Why a body is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error("it ends before its last field")]
    Short,
}

/// A response's body.
pub(crate) struct ResponseBody {
    walker: Option<Walker>,
    metadata: bool,
    /// Rewrites the brokers at the end of what is passed on as it comes.
    endpoints: Option<EndpointRewriter>,
    seen: Seen,
}

/// What becomes of a chunk of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// It goes on as it now is.
    AsItIs,
    /// This goes on in its place.
    Instead(Vec<u8>),
}

// === impl RequestBody ===

impl RequestBody {
    pub(crate) fn new(api: ApiKey, version: i16, length: u32) -> Result<Self, UnknownMessage> {
        match Schemas::get().layout(api, version, Direction::Request) {
            Ok(layout) => Ok(Self::of(layout, length as usize)),
            Err(UnknownMessage::Version { .. }) if api == ApiKey::API_VERSIONS => {
                Ok(Self::walked(None, false))
            }
            Err(unknown) => Err(unknown),
        }
    }

    /// A body of `length` bytes.
    pub(crate) fn of(layout: &'static Layout, length: usize) -> Self {
        let walker = walker(layout, Direction::Request, length as u64);
        Self::walked(Some(walker), counts_topics(layout.api()))
    }

    fn walked(walker: Option<Walker>, counted: bool) -> Self {
        Self {
            walker,
            acks: None,
            counted,
            counts: Counts::default(),
            group: None,
            offsets: Marks::default(),
            software: (None, None),
            joins: false,
        }
    }

    pub(crate) fn feed(&mut self, chunk: &[u8]) -> Result<(), WalkError> {
        self.show(chunk, |_| {})
    }

    /// Looks at the next bytes, and lets `also` see them.
    pub(crate) fn show(
        &mut self,
        chunk: &[u8],
        mut also: impl FnMut(&Event<'_>),
    ) -> Result<(), WalkError> {
        let Some(walker) = &mut self.walker else {
            return Ok(());
        };
        let (acks, counts, offsets) = (&mut self.acks, &mut self.counts, &mut self.offsets);
        let (group, software) = (&mut self.group, &mut self.software);
        let (joins, counted) = (&mut self.joins, self.counted);
        walker.feed(chunk, |event| {
            also(&event);
            match (event.mark, event.what) {
                (ACKS, What::Int(value)) => *acks = Some(value),
                (TOPIC, _) if counted => counts.topic(&event),
                (RECORDS, What::RecordsEnd(total)) => counts.add(total.records, total.bytes),
                (PARTITION, What::Int(partition)) => offsets.partition = Some(partition as i32),
                (OFFSET, What::Int(offset)) => offsets.add(counts, offset),
                (GROUP, What::Text(id)) => *group = Some(id.into()),
                (SOFTWARE_NAME, What::Text(name)) => software.0 = Some(name.into()),
                (SOFTWARE_VERSION, What::Text(version)) => software.1 = Some(version.into()),
                (MEMBER_EPOCH, What::Int(epoch)) => *joins |= epoch == 0,
                _ => {}
            }
        })?;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Ended, BodyError> {
        // A body without bytes is walked by one empty chunk.
        self.feed(&[])?;
        if self.walker.as_ref().is_some_and(|walker| !walker.is_done()) {
            return Err(BodyError::Short);
        }
        let software = match self.software {
            (Some(name), Some(version)) => Software::new(&name, &version),
            _ => None,
        };
        Ok(Ended {
            wants_answer: self.acks != Some(0),
            said: Said::new(self.group, self.counts, self.offsets),
            software,
            joins: self.joins,
        })
    }
}

// === impl ResponseBody ===

impl ResponseBody {
    /// `rewrites` says that brokers in it are to be replaced.
    pub(crate) fn new(
        api: ApiKey,
        version: i16,
        length: u32,
        rewrites: bool,
    ) -> Result<Self, String> {
        // A broker answers an ApiVersions that it cannot read in version 0.
        let walker = match Schemas::get().layout(api, version, Direction::Response) {
            _ if api == ApiKey::API_VERSIONS => None,
            Ok(layout) => Some(walker(layout, Direction::Response, u64::from(length))),
            Err(unknown) => return Err(unknown.to_string()),
        };
        let endpoints = rewrites.then(|| EndpointRewriter::new(ENDPOINTS, 0, u64::from(length)));
        Ok(Self {
            endpoints: endpoints.filter(|_| walker.is_some()),
            metadata: api == ApiKey::METADATA,
            walker,
            seen: Seen::default(),
        })
    }

    /// Looks at the next bytes of the body.
    pub(crate) fn feed(
        &mut self,
        chunk: &mut [u8],
        routes: Option<&Routes>,
    ) -> Result<Pass, String> {
        self.walk(chunk)?;
        let (Some(walker), Some(endpoints), Some(routes)) =
            (&self.walker, &mut self.endpoints, routes)
        else {
            return Ok(Pass::AsItIs);
        };
        let passed = endpoints
            .pass(chunk, walker, |id, _, _| routes.of(id))
            .map_err(|e| e.to_string())?;
        let rest = passed.chunk.end;
        if passed.before.is_empty() && rest + passed.after.len() == chunk.len() {
            chunk[rest..].copy_from_slice(&passed.after);
            return Ok(Pass::AsItIs);
        }
        let mut instead = passed.before;
        instead.extend_from_slice(&chunk[passed.chunk]);
        instead.extend_from_slice(&passed.after);
        Ok(Pass::Instead(instead))
    }

    fn walk(&mut self, chunk: &[u8]) -> Result<(), String> {
        let Some(walker) = &mut self.walker else {
            return Ok(());
        };
        let (seen, endpoints, metadata) = (&mut self.seen, &mut self.endpoints, self.metadata);
        walker
            .feed(chunk, |event| {
                if event.mark == ENDPOINTS
                    && let Some(endpoints) = endpoints
                {
                    endpoints.observe(&event);
                }
                seen.event(&event, metadata);
            })
            .map_err(|e| e.to_string())?;
        Ok(())
    }

    /// Records by topic, as far as they have passed.
    pub(crate) fn consumed(&self) -> &[Produced] {
        self.seen.consumed()
    }

    /// Counts what the response says about the request; how long the client is
    /// to pause (`ThrottleTimeMs`).
    pub(crate) fn finish(
        mut self,
        api: &'static str,
        said: &Said,
        observe: &mut impl Observe,
    ) -> Result<Duration, String> {
        self.walk(&[])?;
        if self.walker.as_ref().is_some_and(|walker| !walker.is_done()) {
            return Err("it ends before its last field".to_owned());
        }
        self.seen.tell(api, said, observe);
        let throttle = u64::try_from(self.seen.throttle_ms).unwrap_or_default();
        Ok(Duration::from_millis(throttle))
    }
}

/// A response that names brokers before its end, whole and with its length:
/// the same with every broker at its route.
pub(crate) fn rewrite_whole(
    api: ApiKey,
    version: i16,
    frame: &Bytes,
    routes: &Routes,
    observe: &mut impl Observe,
) -> Result<(Bytes, Duration), String> {
    let length = (frame.len() - PREFIX) as u32;
    let header = ResponseHeader::read(&frame[PREFIX..], length, api, version)
        .map_err(|e| e.to_string())?
        .ok_or("it ends within its header")?;
    let (head, body) = frame.split_at(PREFIX + header.length);
    let mut counting = ResponseBody::new(api, version, body.len() as u32, false)?;
    counting.walk(body)?;
    let name = api.name().unwrap_or("unknown API");
    let throttle = counting.finish(name, &Said::default(), observe)?;
    let rewriter = AddressRewriter::new(api, version).ok_or("it names no brokers")?;
    // A broker without a route keeps its name, which leads nowhere from here.
    let body = rewriter
        .rewrite(body, |id, _, _| routes.of(id))
        .map_err(|e| e.to_string())?;
    let frame = match body {
        Some(body) => framed(&head[PREFIX..], &body),
        None => frame.clone(),
    };
    Ok((frame, throttle))
}

/// Whether what a request says of topics counts once the broker has taken it.
fn counts_topics(api: ApiKey) -> bool {
    matches!(
        api,
        ApiKey::PRODUCE | ApiKey::OFFSET_COMMIT | ApiKey::TXN_OFFSET_COMMIT
    )
}
