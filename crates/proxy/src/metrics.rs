//! What a sidecar counts, bounded in the number of series (docs/metrics.md).
//!
//! A connection looks its counters up once and keeps them: the shared maps,
//! and their locks, are met when a connection sees a topic, an API or an error
//! for the first time, never for each request.

mod bounded;
mod histogram;
mod labels;
mod lag;
mod software;
mod text;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};
use tubeway_config::Flow;
use tubeway_policy::acl::ResourceType;
use tubeway_session::{Exchange, Offset, Software};

use bounded::{Bounded, OTHER};
use labels::{ApiLabels, DenialLabels, ErrorLabels, FlowLabels};

pub use bounded::MAX_SERIES;
pub use histogram::Histogram;
pub use labels::{HandshakeLabels, ListenerLabels, ReasonLabels};
pub use lag::Watermarks;
pub use software::SoftwareHeld;
pub use text::wants_open_metrics;

/// The counters of one sidecar. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    flows: Arc<Mutex<Flows>>,
    apis: Arc<Mutex<Apis>>,
    errors: Arc<Mutex<Errors>>,
    denials: Arc<Mutex<Denials>>,
    software: software::Connections,
    lags: lag::Lags,
    begun: Instant,
    /// Open connections by listener.
    pub connections: Family<ListenerLabels, Gauge>,
    /// Connections that were refused before any request, by listener and reason.
    pub refused: Family<ReasonLabels, Counter>,
    /// Connections that are over, by listener and why.
    pub ended: Family<ReasonLabels, Counter>,
    /// TLS handshakes with clients and peers.
    pub handshakes: Family<HandshakeLabels, Counter>,
    /// How long the successful ones took.
    pub handshake_time: Family<ListenerLabels, Histogram>,
    /// Seconds since the epoch at which the sidecar's certificate ends.
    pub certificate_expiry: Gauge,
}

struct Flows {
    known: Bounded<(Arc<str>, Arc<str>), Arc<FlowCounters>>,
    produced_records: Family<FlowLabels, Counter>,
    produced_bytes: Family<FlowLabels, Counter>,
    consumed_records: Family<FlowLabels, Counter>,
    consumed_bytes: Family<FlowLabels, Counter>,
    denied: Family<FlowLabels, Counter>,
}

/// The counters of one principal on one topic.
#[derive(Debug, Default)]
pub struct FlowCounters {
    produced_records: Counter,
    produced_bytes: Counter,
    consumed_records: Counter,
    consumed_bytes: Counter,
    denied: Counter,
}

type Seconds = Counter<f64, std::sync::atomic::AtomicU64>;

struct Apis {
    known: Bounded<(Arc<str>, &'static str), RequestCounters>,
    times: Bounded<(Arc<str>, &'static str), Times>,
    requests: Family<ApiLabels, Counter>,
    request_bytes: Family<ApiLabels, Counter>,
    response_bytes: Family<ApiLabels, Counter>,
    throttle: Family<ApiLabels, Seconds>,
    broker: Family<ApiLabels, Histogram>,
    own: Family<ApiLabels, Histogram>,
}

#[derive(Debug, Clone)]
struct RequestCounters {
    requests: Counter,
    request_bytes: Counter,
    response_bytes: Counter,
    throttle: Seconds,
}

#[derive(Debug, Clone)]
struct Times {
    broker: Histogram,
    own: Histogram,
}

/// The counters of one principal's requests of one API.
#[derive(Debug, Clone)]
pub struct ApiCounters {
    counters: RequestCounters,
    times: Times,
}

struct Errors {
    known: Bounded<(Arc<str>, &'static str, Option<i16>), Counter>,
    family: Family<ErrorLabels, Counter>,
}

struct Denials {
    known: Bounded<(Arc<str>, &'static str, &'static str), Counter>,
    family: Family<DenialLabels, Counter>,
}

// === impl Metrics ===

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("tubeway");
        let r = &mut registry;
        let metrics = Self {
            registry: Arc::default(),
            flows: Arc::new(Mutex::new(Flows::register(r))),
            apis: Arc::new(Mutex::new(Apis::register(r))),
            errors: Arc::new(Mutex::new(Errors {
                known: Bounded::new(bounded::ERRORS),
                family: counter(r, "response_errors", "Error codes in responses"),
            })),
            denials: Arc::new(Mutex::new(Denials {
                known: Bounded::new(bounded::DENIALS),
                family: counter(
                    r,
                    "denied_requests",
                    "Requests that asked for something denied",
                ),
            })),
            software: software::Connections::default(),
            lags: lag::Lags::default(),
            begun: Instant::now(),
            connections: Family::default(),
            refused: counter(
                r,
                "refused_connections",
                "Connections refused before any request",
            ),
            ended: counter(r, "ended_connections", "Connections that are over"),
            handshakes: counter(r, "handshakes", "TLS handshakes with clients and peers"),
            handshake_time: Family::default(),
            certificate_expiry: Gauge::default(),
        };
        metrics.register(r);
        Self {
            registry: Arc::new(registry),
            ..metrics
        }
    }
}

impl Metrics {
    fn register(&self, r: &mut Registry) {
        r.register(
            "client_connections",
            "Open connections of clients by what they say they are",
            self.software.family(),
        );
        let (lag, commits, records) = self.lags.families();
        r.register(
            "group_lag_records",
            "Records between a group's commits and the ends of the logs, as far as both were seen here",
            lag,
        );
        r.register("group_commits", "Commits of a group to a topic", commits);
        r.register(
            "group_committed_records",
            "Offsets that a group's commits have moved on by",
            records,
        );
        r.register("connections", "Open connections", self.connections.clone());
        r.register_with_unit(
            "handshake",
            "Time of TLS handshakes that succeeded",
            Unit::Seconds,
            self.handshake_time.clone(),
        );
        r.register_with_unit(
            "certificate_expiry",
            "End of the sidecar's certificate, since the epoch",
            Unit::Seconds,
            self.certificate_expiry.clone(),
        );
    }

    /// The counters of `principal` on `topic`.
    pub fn flow(&self, principal: &Arc<str>, topic: &Arc<str>) -> Arc<FlowCounters> {
        locked(&self.flows).find(principal, topic)
    }

    /// The counters of `principal`'s requests of an API.
    pub fn api(&self, principal: &Arc<str>, api: &'static str) -> ApiCounters {
        locked(&self.apis).find(principal, api)
    }

    /// The counter of one error code in responses of one API.
    pub fn error(&self, principal: &Arc<str>, api: &'static str, code: i16) -> Counter {
        let other = || Arc::<str>::from(OTHER);
        let exact = (principal.clone(), api, Some(code));
        let rough = || [(other(), api, Some(code)), (other(), OTHER, None)];
        let Errors { known, family } = &mut *locked(&self.errors);
        known.find(principal, exact, rough, |(principal, api, code)| {
            family.get_or_create_owned(&ErrorLabels {
                principal: principal.to_string(),
                api,
                error: code.map_or_else(|| OTHER.to_owned(), |code| code.to_string()),
            })
        })
    }

    /// The counter of requests of one API that were denied something.
    pub fn denial(
        &self,
        principal: &Arc<str>,
        api: &'static str,
        resource: ResourceType,
    ) -> Counter {
        let resource = resource_label(resource);
        let other = || Arc::<str>::from(OTHER);
        let exact = (principal.clone(), api, resource);
        let rough = || [(other(), api, resource), (other(), OTHER, OTHER)];
        let Denials { known, family } = &mut *locked(&self.denials);
        known.find(principal, exact, rough, |(principal, api, resource)| {
            family.get_or_create_owned(&DenialLabels {
                principal: principal.to_string(),
                api,
                resource,
            })
        })
    }

    /// Counts a connection among its software's until this is dropped.
    pub fn software(&self, principal: &Arc<str>, software: Option<&Software>) -> SoftwareHeld {
        self.software.hold(principal, software)
    }

    /// Where the logs of a topic end, to be kept at hand; none beyond a bound.
    pub fn watermarks(&self, topic: &Arc<str>) -> Option<Arc<Watermarks>> {
        self.lags.watermarks(topic)
    }

    /// Takes what `group` has committed of `topic`.
    pub fn committed(
        &self,
        principal: &Arc<str>,
        (group, topic): (&str, &Arc<str>),
        offsets: &[Offset],
    ) {
        let now = self.begun.elapsed();
        self.lags.committed(principal, (group, topic), offsets, now);
    }

    /// All flows counted so far, by principal and topic.
    pub fn flows(&self) -> Vec<Flow> {
        let flows = locked(&self.flows);
        let flow = |((principal, topic), counters): (&(Arc<str>, Arc<str>), &Arc<FlowCounters>)| {
            counters.flow(principal, topic)
        };
        let mut flows: Vec<_> = flows.known.iter().map(flow).collect();
        flows.sort_by(|a, b| (&a.principal, &a.topic).cmp(&(&b.principal, &b.topic)));
        flows
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        self.lags.update();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// The same in Prometheus' own text format, which is older.
    pub fn encode_plain(&self) -> Result<String, std::fmt::Error> {
        Ok(text::plain(&self.encode()?))
    }
}

// === impl Flows ===

impl Flows {
    fn register(r: &mut Registry) -> Self {
        Self {
            known: Bounded::new(bounded::FLOWS),
            produced_records: counter(r, "produced_records", "Records that the broker took"),
            produced_bytes: family(
                r,
                "produced",
                "Size of the records that the broker took",
                Unit::Bytes,
            ),
            consumed_records: counter(r, "consumed_records", "Records that the broker sent"),
            consumed_bytes: family(
                r,
                "consumed",
                "Size of the records that the broker sent",
                Unit::Bytes,
            ),
            denied: counter(r, "denied_topics", "Answers that refused a topic"),
        }
    }

    fn find(&mut self, principal: &Arc<str>, topic: &Arc<str>) -> Arc<FlowCounters> {
        let other = || Arc::<str>::from(OTHER);
        let exact = (principal.clone(), topic.clone());
        let rough = || [(principal.clone(), other()), (other(), other())];
        let Self {
            known,
            produced_records,
            produced_bytes,
            consumed_records,
            consumed_bytes,
            denied,
        } = self;
        known.find(principal, exact, rough, |(principal, topic)| {
            let labels = FlowLabels {
                principal: principal.to_string(),
                topic: topic.to_string(),
            };
            Arc::new(FlowCounters {
                produced_records: produced_records.get_or_create_owned(&labels),
                produced_bytes: produced_bytes.get_or_create_owned(&labels),
                consumed_records: consumed_records.get_or_create_owned(&labels),
                consumed_bytes: consumed_bytes.get_or_create_owned(&labels),
                denied: denied.get_or_create_owned(&labels),
            })
        })
    }
}

// === impl Apis ===

impl Apis {
    fn register(r: &mut Registry) -> Self {
        let s = Unit::Seconds;
        Self {
            known: Bounded::new(bounded::REQUESTS),
            times: Bounded::new(bounded::LATENCIES),
            requests: counter(r, "requests", "Requests that are over"),
            request_bytes: family(r, "request", "Size of these requests", Unit::Bytes),
            response_bytes: family(r, "response", "Size of their responses", Unit::Bytes),
            throttle: family(
                r,
                "throttle",
                "Pauses that responses asked of clients",
                s.clone(),
            ),
            broker: family(
                r,
                "request_broker",
                "From a request's last byte to the broker until the response's first",
                s.clone(),
            ),
            own: family(
                r,
                "request_own",
                "How long this sidecar held requests and responses",
                s,
            ),
        }
    }

    fn find(&mut self, principal: &Arc<str>, api: &'static str) -> ApiCounters {
        let other = || Arc::<str>::from(OTHER);
        let exact = || (principal.clone(), api);
        let rough = || [(other(), api), (other(), OTHER)];
        let labels = |(principal, api): &(Arc<str>, &'static str)| ApiLabels {
            principal: principal.to_string(),
            api,
        };
        let counters = self.known.find(principal, exact(), rough, |key| {
            let labels = labels(key);
            RequestCounters {
                requests: self.requests.get_or_create_owned(&labels),
                request_bytes: self.request_bytes.get_or_create_owned(&labels),
                response_bytes: self.response_bytes.get_or_create_owned(&labels),
                throttle: self.throttle.get_or_create_owned(&labels),
            }
        });
        let times = self.times.find(principal, exact(), rough, |key| {
            let labels = labels(key);
            Times {
                broker: self.broker.get_or_create_owned(&labels),
                own: self.own.get_or_create_owned(&labels),
            }
        });
        ApiCounters { counters, times }
    }
}

// === impl ApiCounters ===

impl ApiCounters {
    /// Counts a request that is over.
    pub fn finished(&self, exchange: &Exchange) {
        self.counters.requests.inc();
        self.counters.request_bytes.inc_by(exchange.request_bytes);
        self.counters.response_bytes.inc_by(exchange.response_bytes);
        if exchange.throttle > Duration::ZERO {
            let throttle = exchange.throttle.as_secs_f64();
            self.counters.throttle.inc_by(throttle);
        }
        if let Some(broker) = exchange.broker {
            self.times.broker.observe(broker);
        }
        self.times.own.observe(exchange.own);
    }
}

// === impl FlowCounters ===

impl FlowCounters {
    /// Counts records the broker took.
    pub fn produced(&self, records: u64, bytes: u64) {
        self.produced_records.inc_by(records);
        self.produced_bytes.inc_by(bytes);
    }

    /// Counts records the broker sent.
    pub fn consumed(&self, records: u64, bytes: u64) {
        self.consumed_records.inc_by(records);
        self.consumed_bytes.inc_by(bytes);
    }

    /// Counts answers that refused the topic.
    pub fn denied(&self, answers: u64) {
        self.denied.inc_by(answers);
    }

    fn flow(&self, principal: &str, topic: &str) -> Flow {
        Flow {
            principal: principal.to_owned(),
            topic: topic.to_owned(),
            produced_records: self.produced_records.get(),
            produced_bytes: self.produced_bytes.get(),
            consumed_records: self.consumed_records.get(),
            consumed_bytes: self.consumed_bytes.get(),
            denied: self.denied.get(),
        }
    }
}

/// A gauge that counts something for as long as it lives.
pub struct Held(Gauge<i64, std::sync::atomic::AtomicI64>);

// === impl Held ===

impl Held {
    /// Adds one to `gauge` until this is dropped.
    pub fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn resource_label(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Topic => "topic",
        ResourceType::Group => "group",
        ResourceType::Cluster => "cluster",
        ResourceType::TransactionalId => "transactional_id",
        ResourceType::DelegationToken => "delegation_token",
        ResourceType::User => "user",
    }
}

/// A family of counters, registered.
fn counter<L>(r: &mut Registry, name: &str, help: &str) -> Family<L, Counter>
where
    Family<L, Counter>: Metric + Clone + Default,
{
    let family = Family::default();
    r.register(name, help, family.clone());
    family
}

/// A family with a unit, registered.
fn family<L, M>(r: &mut Registry, name: &str, help: &str, unit: Unit) -> Family<L, M>
where
    Family<L, M>: Metric + Clone + Default,
{
    let family = Family::default();
    r.register_with_unit(name, help, unit, family.clone());
    family
}
