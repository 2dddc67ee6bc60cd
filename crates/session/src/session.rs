//! What both directions share: the role, the queue, the login.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_protocol::ApiKey;

use crate::body::Produced;
use crate::observe::Observe;
use crate::request::Requests;
use crate::response::Responses;
use crate::sasl;
use crate::step::{Refusal, Step};

/// Requests that may wait for their answers on one connection; librdkafka's
/// default is a million, Java's is five.
const MAX_IN_FLIGHT: usize = 16_384;
/// A login is renewed when this part of its life is over.
const RENEW_AT: f64 = 0.8;
/// Kafka refuses a login that comes less than a second after the last.
const LOGIN_PAUSE: Duration = Duration::from_secs(2);

/// One connection between a client and a broker.
pub struct Session {
    pub(crate) shared: Shared,
    requests: Requests,
    responses: Responses,
}

/// Where a client finds each broker: on a loopback port of its own sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// The sidecar's loopback address.
    pub host: String,
    /// Broker `id` is at this port plus `id`.
    pub brokers_from: u16,
}

/// What the two directions share.
pub(crate) struct Shared {
    pub(crate) role: Role,
    pub(crate) in_flight: VecDeque<InFlight>,
    pub(crate) draining: bool,
}

/// Which end of the mesh this session is at.
pub(crate) enum Role {
    /// In front of a broker, where logins are.
    Node(Logins),
    /// Beside a client, where addresses are rewritten.
    Client {
        routes: Routes,
        rack: Option<String>,
    },
}

/// The login of a node's session.
#[derive(Debug, Default)]
pub(crate) struct Logins {
    /// When the next one is due; `None` while one is under way.
    due: Option<Duration>,
    begun: Duration,
    next_correlation: i32,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) correlation_id: i32,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) kind: InFlightKind,
}

/// Whose request it is.
#[derive(Debug)]
pub(crate) enum InFlightKind {
    /// The client's, with what it wanted to produce.
    Client(Vec<Produced>),
    /// The session's SaslHandshake.
    Handshake,
    /// The session's SaslAuthenticate.
    Authenticate,
}

// === impl Session ===

impl Session {
    /// A session in front of a broker. It asks for a login before the first
    /// request and renews it while the connection lives (KIP-368).
    pub fn node() -> Self {
        Self::new(Role::Node(Logins {
            due: Some(Duration::ZERO),
            ..Logins::default()
        }))
    }

    /// A session beside a client: brokers in responses become `routes`, and
    /// fetches carry `rack` so that the nearest replica can serve (KIP-392).
    pub fn client(routes: Routes, rack: Option<String>) -> Self {
        Self::new(Role::Client { routes, rack })
    }

    fn new(role: Role) -> Self {
        Self {
            shared: Shared {
                role,
                in_flight: VecDeque::new(),
                draining: false,
            },
            requests: Requests::default(),
            responses: Responses::default(),
        }
    }

    /// Looks at what the client has sent and is still in `buffer`. `now` is
    /// the time since the connection began.
    pub fn request(&mut self, buffer: &[u8], now: Duration) -> Result<Step, Refusal> {
        self.requests.step(&mut self.shared, buffer, now)
    }

    /// Looks at what the broker has sent and is still in `buffer`.
    pub fn response(
        &mut self,
        buffer: &mut BytesMut,
        observe: &mut impl Observe,
    ) -> Result<Step, Refusal> {
        self.responses.step(&mut self.shared, buffer, observe)
    }

    /// The frames of a login with `token`, to be sent to the broker before
    /// anything else. Only after [`Step::Login`].
    pub fn login(&mut self, token: &str, now: Duration) -> Bytes {
        let Role::Node(logins) = &mut self.shared.role else {
            return Bytes::new();
        };
        let first = logins.next_correlation;
        logins.next_correlation = first.wrapping_add(2);
        logins.due = None;
        logins.begun = now;
        for (i, (api, kind)) in [
            (ApiKey::SASL_HANDSHAKE, InFlightKind::Handshake),
            (ApiKey::SASL_AUTHENTICATE, InFlightKind::Authenticate),
        ]
        .into_iter()
        .enumerate()
        {
            self.shared.in_flight.push_back(InFlight {
                correlation_id: first.wrapping_add(i as i32),
                api,
                version: 1,
                kind,
            });
        }
        sasl::oauth_login(token, first)
    }

    /// Takes no further requests; what is in flight is still answered.
    pub fn drain(&mut self) {
        self.shared.draining = true;
    }

    /// Whether a drain is over: no request is half sent or waits.
    pub fn is_drained(&self) -> bool {
        self.shared.draining
            && self.shared.in_flight.is_empty()
            && self.requests.is_between_frames()
            && self.responses.is_between_frames()
    }
}

// === impl Shared ===

impl Shared {
    /// Whether a login has to go before the next request.
    pub(crate) fn login_is_due(&self, now: Duration) -> bool {
        match &self.role {
            Role::Node(logins) => logins.due.is_some_and(|due| now >= due),
            Role::Client { .. } => false,
        }
    }

    /// The broker has taken a login for `life`; zero is for ever.
    pub(crate) fn logged_in(&mut self, life: Duration) {
        if let Role::Node(logins) = &mut self.role {
            logins.due =
                (!life.is_zero()).then(|| logins.begun + life.mul_f64(RENEW_AT).max(LOGIN_PAUSE));
        }
    }

    /// Whether one more request may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < MAX_IN_FLIGHT
    }
}

// === impl Routes ===

impl Routes {
    /// Where the client finds broker `id`, if there is a port left for it.
    pub fn of(&self, id: i32) -> Option<(String, u16)> {
        let offset = u16::try_from(id).ok()?;
        let port = self.brokers_from.checked_add(offset)?;
        Some((self.host.clone(), port))
    }
}
