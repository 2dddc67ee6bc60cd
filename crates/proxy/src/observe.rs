//! Counts what one connection does, and says so when it ends.

mod line;

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tracing::info;
use tubeway_session::{Denial, Exchange, Observe, Offset, Software, Topic};

use crate::metrics::{ApiCounters, FlowCounters, Metrics, SoftwareHeld, Watermarks};
use crate::node::names::TopicNames;

pub use line::ConnectionLine;

/// Counters a connection keeps at hand; beyond these it asks the shared maps.
const KEPT: usize = 256;
/// Longest name that becomes a label: that of a topic. Groups may have longer ones.
const MAX_NAME: usize = 249;
/// Denials of a connection that get a line of their own; all are counted.
const MAX_LINES: usize = 16;

/// Counts for one principal, keeping the counters it has used.
pub struct Counting {
    metrics: Metrics,
    principal: Arc<str>,
    names: TopicNames,
    /// Names are learned from what the broker says; otherwise it is asked.
    learns: bool,
    flows: HashMap<Topic, Arc<FlowCounters>>,
    watermarks: HashMap<Topic, Option<Arc<Watermarks>>>,
    errors: HashMap<(&'static str, i16), Counter>,
    /// By API key; few are in use on one connection.
    apis: Vec<(i16, ApiCounters)>,
    /// Counts of topics whose name is still being asked for.
    unnamed: HashMap<[u8; 16], Unnamed>,
    software: Option<Software>,
    /// Keeps the connection counted among its software's.
    held: SoftwareHeld,
    /// Denials that have been logged.
    logged: Vec<Denial>,
    totals: Totals,
}

/// What a connection has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    requests: u64,
    request_bytes: u64,
    response_bytes: u64,
    /// Requests that were denied something.
    denied: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unnamed {
    produced: (u64, u64),
    consumed: (u64, u64),
    denied: u64,
}

// === impl Counting ===

impl Counting {
    /// Counts for the principal with this SPIFFE id. `names` are asked for what
    /// topics are called.
    pub fn new(metrics: Metrics, principal: &str, names: TopicNames) -> Self {
        let principal = principal.into();
        Self {
            held: metrics.software(&principal, None),
            metrics,
            principal,
            names,
            learns: false,
            flows: HashMap::new(),
            watermarks: HashMap::new(),
            errors: HashMap::new(),
            apis: Vec::new(),
            unnamed: HashMap::new(),
            software: None,
            logged: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Also learns names from what the broker tells the client: where there is
    /// no access to decide by them.
    #[must_use]
    pub fn learning_names(mut self) -> Self {
        self.learns = true;
        self
    }

    fn count(&mut self, topic: &Topic, add: impl Fn(&mut Unnamed)) {
        let mut counts = Unnamed::default();
        add(&mut counts);
        if let Some(flow) = self.flows.get(topic) {
            return counts.into_flow(flow);
        }
        let Some(name) = self.name(topic) else {
            if let Topic::Id(id) = topic
                && self.unnamed.len() < KEPT
            {
                add(self.unnamed.entry(*id).or_default());
            }
            return;
        };
        // What was counted before the name was known is not lost.
        if let Topic::Id(id) = topic
            && let Some(before) = self.unnamed.remove(id)
        {
            before.into_flow(&self.metrics.flow(&self.principal, &name));
        }
        let flow = self.metrics.flow(&self.principal, &name);
        counts.into_flow(&flow);
        if self.flows.len() < KEPT {
            self.flows.insert(topic.clone(), flow);
        }
    }

    fn name(&self, topic: &Topic) -> Option<Arc<str>> {
        match topic {
            Topic::Name(name) if name.len() > MAX_NAME => Some(cut(name).into()),
            Topic::Name(name) => Some(name.clone()),
            Topic::Id(id) => self.names.get(id),
        }
    }
}

impl Observe for Counting {
    fn produced(&mut self, topic: &Topic, records: u64, bytes: u64) {
        self.count(topic, |c| {
            c.produced.0 += records;
            c.produced.1 += bytes;
        });
    }

    fn consumed(&mut self, topic: &Topic, records: u64, bytes: u64) {
        self.count(topic, |c| {
            c.consumed.0 += records;
            c.consumed.1 += bytes;
        });
    }

    fn denied(&mut self, topic: &Topic) {
        self.count(topic, |c| c.denied += 1);
    }

    fn error(&mut self, api: &'static str, code: i16) {
        if self.errors.len() >= KEPT && !self.errors.contains_key(&(api, code)) {
            self.errors.clear();
        }
        self.errors
            .entry((api, code))
            .or_insert_with(|| self.metrics.error(&self.principal, api, code))
            .inc();
    }

    fn finished(&mut self, exchange: &Exchange) {
        self.totals.requests += 1;
        self.totals.request_bytes += exchange.request_bytes;
        self.totals.response_bytes += exchange.response_bytes;
        let key = exchange.api.0;
        if let Some((_, counters)) = self.apis.iter().find(|(api, _)| *api == key) {
            return counters.finished(exchange);
        }
        let counters = self.metrics.api(&self.principal, exchange.name);
        counters.finished(exchange);
        self.apis.push((key, counters));
    }

    fn software(&mut self, software: &Software) {
        if self.software.as_ref() != Some(software) {
            self.held = self.metrics.software(&self.principal, Some(software));
            self.software = Some(software.clone());
        }
    }

    fn refused(&mut self, denials: &[Denial]) {
        self.totals.denied += 1;
        let mut kinds = Vec::new();
        for denial in denials {
            if !kinds.contains(&denial.kind) {
                kinds.push(denial.kind);
                let counter = self
                    .metrics
                    .denial(&self.principal, denial.api, denial.kind);
                counter.inc();
            }
            if self.logged.len() < MAX_LINES && !self.logged.contains(denial) {
                tell(&self.principal, denial);
                self.logged.push(denial.clone());
            }
        }
    }

    fn committed(&mut self, group: &str, topic: &Topic, offsets: &[Offset]) {
        // A topic without a name yet will have one by the next commit.
        if let Some(name) = self.name(topic) {
            let what = (cut(group), &name);
            self.metrics.committed(&self.principal, what, offsets);
        }
    }

    fn high_watermarks(&mut self, topic: &Topic, offsets: &[Offset]) {
        if let Some(known) = self.watermarks.get(topic) {
            if let Some(known) = known {
                known.set(offsets);
            }
            return;
        }
        let Some(name) = self.name(topic) else {
            return;
        };
        let found = self.metrics.watermarks(&name);
        if let Some(found) = &found {
            found.set(offsets);
        }
        if self.watermarks.len() < KEPT {
            self.watermarks.insert(topic.clone(), found);
        }
    }

    fn named(&mut self, id: &[u8; 16], name: &str) {
        if self.learns && self.names.get(id).is_none() {
            self.names.learn(*id, name);
        }
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        for (id, counts) in std::mem::take(&mut self.unnamed) {
            let name = self.names.get(&id).unwrap_or_else(|| "unknown".into());
            counts.into_flow(&self.metrics.flow(&self.principal, &name));
        }
    }
}

// === impl Unnamed ===

impl Unnamed {
    fn into_flow(self, flow: &FlowCounters) {
        flow.produced(self.produced.0, self.produced.1);
        flow.consumed(self.consumed.0, self.consumed.1);
        flow.denied(self.denied);
    }
}

/// Logs who was denied what, and by which rule.
fn tell(principal: &str, denial: &Denial) {
    let Denial {
        api,
        operation,
        kind,
        name,
        partition,
        rule,
    } = denial;
    let rule = rule.as_deref().unwrap_or("no rule allows it");
    // Names are the client's to choose: as strings they are quoted in logs.
    info!(
        principal,
        api,
        ?operation,
        resource = ?kind,
        name = &**name,
        partition,
        rule,
        "access denied"
    );
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}
