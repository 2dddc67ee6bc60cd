//! What both directions share: the role, the queue, the login.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tubeway_policy::quota::{Charger, Permit};
use tubeway_policy::rules::Authorizer;
use tubeway_protocol::ApiKey;

use crate::guard::{Answers, Guard};
use crate::limits::Limits;
use crate::notes::{Account, Notes};
use crate::observe::Observe;
use crate::records::Sessions;
use crate::request::Requests;
use crate::response::Responses;
use crate::sasl;
use crate::step::{Refusal, Step};
use crate::verdict::Amendment;

/// Requests that may wait for their answers on one connection; librdkafka's
/// default is a million, Java's is five.
const MAX_IN_FLIGHT: usize = 16_384;
/// Answers of the session's own that may wait for their turn, in bytes.
const MAX_ANSWERS: usize = 1024 * 1024;
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
    /// Bytes of answers that wait among them.
    pub(crate) answers: usize,
    pub(crate) draining: bool,
    /// Why the connection ends once all answers are given.
    pub(crate) closing: Option<&'static str>,
    /// A response is passing.
    answering: bool,
    /// The request at hand has been let in, and counts by this.
    pub(crate) admitted: Option<Admitted>,
    pub(crate) notes: Notes,
}

/// A request that has been let in, and what it holds of its quotas.
pub(crate) struct Admitted(pub(crate) Option<Permit>);

/// Which end of the mesh this session is at.
pub(crate) enum Role {
    /// In front of a broker, where logins and access are.
    Node(Box<Node>),
    /// Beside a client, where addresses are rewritten.
    Client {
        routes: Routes,
        rack: Option<String>,
    },
}

/// What a node's session has beside the queue.
pub(crate) struct Node {
    pub(crate) logins: Logins,
    pub(crate) guard: Guard,
    pub(crate) sessions: Sessions,
    pub(crate) limits: Option<Limits>,
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
    pub(crate) account: Account,
    pub(crate) kind: InFlightKind,
    /// How long the client is to wait for what the request used.
    pub(crate) throttle: Duration,
    /// Counts as in flight until the answer has passed.
    #[expect(dead_code, reason = "it counts until it is dropped")]
    pub(crate) permit: Option<Permit>,
}

/// Whose request it is.
#[derive(Debug)]
pub(crate) enum InFlightKind {
    /// The client's, with what is to be done to the response.
    Client(Amendment),
    /// The client's, answered here: the whole frame.
    Answered(Bytes),
    /// The session's SaslHandshake.
    Handshake,
    /// The session's SaslAuthenticate.
    Authenticate,
}

// === impl Session ===

impl Session {
    /// A session in front of a broker. It asks for a login before the first
    /// request and renews it while the connection lives (KIP-368), and lets
    /// through what `guard` allows.
    pub fn node(guard: Guard) -> Self {
        Self::new(Role::Node(Box::new(Node {
            logins: Logins {
                due: Some(Duration::ZERO),
                ..Logins::default()
            },
            guard,
            sessions: Sessions::default(),
            limits: None,
        })))
    }

    /// Holds the client to its quotas. The connection began at `begun` by the
    /// clock that all connections of the sidecar share.
    #[must_use]
    pub fn limited(mut self, charger: Charger, begun: Duration) -> Self {
        if let Role::Node(node) = &mut self.shared.role {
            node.limits = Some(Limits::new(charger, begun));
        }
        self
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
                answers: 0,
                draining: false,
                closing: None,
                answering: false,
                admitted: None,
                notes: Notes::default(),
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

    /// Looks at what the broker has sent and is still in `buffer`. `now` is the
    /// time since the connection began. This, too, may come to [`Step::Ask`]: a
    /// response may name topics by ids that are not known yet.
    pub fn response(
        &mut self,
        buffer: &mut BytesMut,
        now: Duration,
        observe: &mut impl Observe,
    ) -> Result<Step, Refusal> {
        let step = self.responses.step(&mut self.shared, buffer, now, observe);
        self.shared.answering = !self.responses.is_between_frames();
        step
    }

    /// Whether the last step has brought anything to an end.
    pub fn has_news(&self) -> bool {
        self.shared.notes.has_news(&self.shared.in_flight)
    }

    /// Tells what the last step has brought to an end. To be called after each
    /// that [has news](Self::has_news), with the time that it is then: what a
    /// step takes is part of what this sidecar costs a request.
    pub fn report(&mut self, now: Duration, observe: &mut impl Observe) {
        let Shared {
            notes, in_flight, ..
        } = &mut self.shared;
        notes.report(in_flight, now, observe);
    }

    /// The frames of a login with `token`, to be sent to the broker before
    /// anything else. Only after [`Step::Login`].
    pub fn login(&mut self, token: &str, now: Duration) -> Bytes {
        let Role::Node(node) = &mut self.shared.role else {
            return Bytes::new();
        };
        let logins = &mut node.logins;
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
                account: Account::default(),
                kind,
                throttle: Duration::ZERO,
                permit: None,
            });
        }
        sasl::oauth_login(token, first)
    }

    /// The rules that count, where any do.
    pub fn rules(&self) -> Option<&Arc<Authorizer>> {
        match &self.shared.role {
            Role::Node(node) => Some(node.guard.rules()),
            Role::Client { .. } => None,
        }
    }

    /// The rules have changed. From now on they count, also for what the broker
    /// is about to answer.
    pub fn set_rules(&mut self, rules: Arc<Authorizer>) {
        if let Role::Node(node) = &mut self.shared.role {
            node.guard.set_rules(rules);
        }
    }

    /// What came of the last [`Step::Ask`].
    pub fn answer(&mut self, answers: Answers) {
        if let Role::Node(node) = &mut self.shared.role {
            node.guard.answer(answers);
        }
    }

    /// Whether [`response`](Self::response) has something to give without the
    /// broker having sent anything.
    pub fn has_answer(&self) -> bool {
        let next = self.shared.in_flight.front();
        let next = next.map(|request| &request.kind);
        matches!(next, Some(InFlightKind::Answered(_))) && self.responses.is_between_frames()
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
            Role::Node(node) => node.logins.due.is_some_and(|due| now >= due),
            Role::Client { .. } => false,
        }
    }

    /// The broker has taken a login for `life`; zero is for ever.
    pub(crate) fn logged_in(&mut self, life: Duration) {
        if let Role::Node(node) = &mut self.role {
            let logins = &mut node.logins;
            logins.due =
                (!life.is_zero()).then(|| logins.begun + life.mul_f64(RENEW_AT).max(LOGIN_PAUSE));
        }
    }

    /// How long the client is not to be read.
    pub(crate) fn muted_for(&self, now: Duration) -> Duration {
        match &self.role {
            Role::Node(node) => {
                let limits = node.limits.as_ref();
                limits.map_or(Duration::ZERO, |limits| limits.muted_for(now))
            }
            Role::Client { .. } => Duration::ZERO,
        }
    }

    /// Whether everything that was asked has its answer. Logins count: a broker
    /// whose answer finds nobody forgets what it has not read yet.
    pub(crate) fn is_settled(&self) -> bool {
        !self.answering && self.in_flight.is_empty()
    }

    /// Whether one more request may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.len() < MAX_IN_FLIGHT && self.answers < MAX_ANSWERS
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
