//! What a connection uses of its quotas, and how long it has to wait for that.
//!
//! As Kafka does (KIP-13, KIP-219): a request is always served; the answer says
//! for how long the client went too far (`throttle_time_ms`), and for so long
//! nothing more is read from it. What a response uses is known as it passes:
//! its length when it begins, by topic when it has ended.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tubeway_policy::quota::{Amount, Asked, Charger, Dimension, Permit};
use tubeway_protocol::{ApiKey, Direction, Layout, Schemas};

use crate::access::{NameOf, Names as _};
use crate::body::Produced;
use crate::guard::Guard;
use crate::observe::Topic;
use crate::verdict::{TreeError, put_together, trusted};

/// A connection's quotas.
pub(crate) struct Limits {
    charger: Charger,
    /// When the connection began, by the clock that all connections share.
    begun: Duration,
    /// The client id of the request at hand.
    client_id: String,
    /// Nothing is read from the client before this time of the connection.
    muted_until: Duration,
    /// Whether a request has been charged: a connection that is new must not
    /// be a way around what the one before it owes.
    used: bool,
}

/// What becomes of a request.
pub(crate) enum Admission {
    /// It goes on, and counts as in flight.
    Goes(Option<Permit>),
    /// It waits for so long, and is asked about again.
    Waits(Duration),
}

/// Where requests in flight are limited over several connections, nobody tells
/// this one that another has its answer.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

// === impl Limits ===

impl Limits {
    pub(crate) fn new(charger: Charger, begun: Duration) -> Self {
        Self {
            charger,
            begun,
            client_id: String::new(),
            muted_until: Duration::ZERO,
            used: false,
        }
    }

    /// How long the client is still not to be read.
    pub(crate) fn muted_for(&self, now: Duration) -> Duration {
        self.muted_until.saturating_sub(now)
    }

    /// Whether the next request may go.
    pub(crate) fn admit(&mut self, api: ApiKey, client_id: &str, now: Duration) -> Admission {
        if self.client_id != client_id {
            client_id.clone_into(&mut self.client_id);
        }
        let at = self.begun + now;
        let asked = Asked {
            client_id: &self.client_id,
            api: name(api),
        };
        if !self.used {
            let (amounts, n) = whole(api, false);
            let owed = self.charger.debt(at, asked, &amounts[..n]);
            if !owed.delay.is_zero() {
                self.used = true;
                self.muted_until = now + owed.delay;
                return Admission::Waits(owed.delay);
            }
        }
        match self.charger.begin(at, asked) {
            Ok(permit) => Admission::Goes(Some(permit)),
            Err(refused) => Admission::Waits(refused.after.unwrap_or(LOOK_AGAIN)),
        }
    }

    /// Charges a whole request, and what it brings.
    pub(crate) fn request(
        &mut self,
        guard: &Guard,
        api: ApiKey,
        produced: &[Produced],
        joins: bool,
        now: Duration,
    ) -> Duration {
        self.used = true;
        let (amounts, n) = whole(api, joins);
        let mut delay = self.charge(api, &amounts[..n], now);
        if !produced.is_empty() {
            let dimensions = (Dimension::ProducedBytes, Dimension::ProducedRecords);
            delay = delay.max(self.records(guard, api, produced, dimensions, now));
        }
        delay
    }

    /// How long the client will be muted for a response with records of this
    /// length: its end charges them, and its beginning has to say so.
    pub(crate) fn expected(&mut self, api: ApiKey, length: usize, now: Duration) -> Duration {
        let asked = Asked {
            client_id: &self.client_id,
            api: name(api),
        };
        let amount = Amount {
            dimension: Dimension::ConsumedBytes,
            topic: None,
            amount: length as u64,
        };
        let preview = self.charger.preview(self.begun + now, asked, &[amount]);
        preview.delay.max(self.muted_for(now))
    }

    /// Charges what a response brought, now that it has passed.
    pub(crate) fn response(
        &mut self,
        guard: &Guard,
        api: ApiKey,
        consumed: &[Produced],
        now: Duration,
    ) -> Duration {
        let dimensions = (Dimension::ConsumedBytes, Dimension::ConsumedRecords);
        self.records(guard, api, consumed, dimensions, now)
    }

    fn records(
        &mut self,
        guard: &Guard,
        api: ApiKey,
        topics: &[Produced],
        (bytes, records): (Dimension, Dimension),
        now: Duration,
    ) -> Duration {
        let (of_bytes, of_records) = (self.charger.wants(bytes), self.charger.wants(records));
        let wanted = |wants: tubeway_policy::quota::Wants| wants.whole || wants.topics;
        let (wants_bytes, wants_records) = (wanted(of_bytes), wanted(of_records));
        if !wants_bytes && !wants_records {
            return Duration::ZERO;
        }
        let mut longest = Duration::ZERO;
        for topic in topics {
            let name = topic_name(guard, &topic.topic);
            let amount = |dimension, amount| Amount {
                dimension,
                topic: Some(&name),
                amount,
            };
            if wants_bytes {
                let delay = self.charge(api, &[amount(bytes, topic.bytes)], now);
                longest = longest.max(delay);
            }
            if wants_records {
                let delay = self.charge(api, &[amount(records, topic.records)], now);
                longest = longest.max(delay);
            }
        }
        longest
    }

    /// Charges, and mutes the client for as long as that takes.
    fn charge(&mut self, api: ApiKey, amounts: &[Amount<'_>], now: Duration) -> Duration {
        let asked = Asked {
            client_id: &self.client_id,
            api: name(api),
        };
        let throttle = self.charger.charge(self.begun + now, asked, amounts);
        if !throttle.delay.is_zero() {
            self.muted_until = self.muted_until.max(now + throttle.delay);
        }
        throttle.delay
    }
}

/// What a request uses by being one: the first so many of these.
fn whole(api: ApiKey, joins: bool) -> ([Amount<'static>; 2], usize) {
    let one = |dimension| Amount {
        dimension,
        topic: None,
        amount: 1,
    };
    let own = match api {
        ApiKey::METADATA | ApiKey::DESCRIBE_TOPIC_PARTITIONS => Some(Dimension::MetadataRequests),
        ApiKey::OFFSET_COMMIT | ApiKey::TXN_OFFSET_COMMIT => Some(Dimension::OffsetCommits),
        ApiKey::JOIN_GROUP => Some(Dimension::GroupJoins),
        _ => joins.then_some(Dimension::GroupJoins),
    };
    let amounts = [Dimension::Requests, own.unwrap_or(Dimension::Requests)].map(one);
    (amounts, 1 + usize::from(own.is_some()))
}

fn name(api: ApiKey) -> &'static str {
    api.name().unwrap_or_default()
}

/// What a topic is called; an id that has no name here yet is a topic of no name.
fn topic_name(guard: &Guard, topic: &Topic) -> Arc<str> {
    match topic {
        Topic::Name(name) => name.clone(),
        Topic::Id(id) => match guard.name_of(id) {
            NameOf::Known(name) => name,
            NameOf::NoSuchTopic | NameOf::NotAsked => "".into(),
        },
    }
}

/// A response's body that says at least this throttle time, if its version can.
pub(crate) fn throttled(
    api: ApiKey,
    version: i16,
    body: Bytes,
    throttle: Duration,
) -> Result<Bytes, TreeError> {
    if throttle.is_zero() {
        return Ok(body);
    }
    let layout = Schemas::get().layout(api, version, Direction::Response);
    // An ApiVersions that is too new is answered in another version.
    let Ok(layout) = layout else {
        return Ok(body);
    };
    match throttle_place(layout) {
        Place::First => {
            let mut changed = body.to_vec();
            raise(&mut changed, throttle);
            Ok(changed.into())
        }
        Place::Later => {
            let mut response = trusted(layout, &body)?;
            let said = response.int("ThrottleTimeMs") as i32;
            response.set("ThrottleTimeMs", said.max(milliseconds(throttle)));
            put_together(&response)
        }
        Place::None => Ok(body),
    }
}

/// Where a response says how long the client was throttled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In its first four bytes.
    First,
    /// Behind something else: the response has to be seen whole.
    Later,
    /// Nowhere, in this version.
    None,
}

pub(crate) fn throttle_place(layout: &'static Layout) -> Place {
    let mut fields = layout.field_ids(layout.root());
    let at = fields.position(|id| layout.field(id).name() == "ThrottleTimeMs");
    match at {
        Some(0) => Place::First,
        Some(_) => Place::Later,
        None => Place::None,
    }
}

/// Raises the throttle time in the first bytes of a body.
pub(crate) fn raise(body: &mut [u8], throttle: Duration) {
    if let Some(place) = body.first_chunk_mut::<4>() {
        let said = i32::from_be_bytes(*place);
        *place = said.max(milliseconds(throttle)).to_be_bytes();
    }
}

fn milliseconds(time: Duration) -> i32 {
    // A fraction is a millisecond too: the client is muted for all of it.
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}
