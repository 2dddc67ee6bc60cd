//! Counts what one connection does.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use tubeway_session::{Observe, Topic};

use crate::metrics::{FlowCounters, Metrics};
use crate::node::names::TopicNames;

/// Counters a connection keeps at hand; beyond these it asks the shared maps.
const KEPT: usize = 256;

/// Counts for one principal, keeping the counters it has used.
pub struct Counting {
    metrics: Metrics,
    principal: Arc<str>,
    names: TopicNames,
    flows: HashMap<Topic, Arc<FlowCounters>>,
    errors: HashMap<(&'static str, i16), Counter>,
    /// Counts of topics whose name is still being asked for.
    unnamed: HashMap<[u8; 16], Unnamed>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Unnamed {
    produced: (u64, u64),
    consumed: (u64, u64),
    denied: u64,
}

// === impl Counting ===

impl Counting {
    /// Counts for the principal with this SPIFFE id.
    pub fn new(metrics: Metrics, principal: &str, names: TopicNames) -> Self {
        Self {
            metrics,
            principal: principal.into(),
            names,
            flows: HashMap::new(),
            errors: HashMap::new(),
            unnamed: HashMap::new(),
        }
    }

    fn count(&mut self, topic: &Topic, add: impl Fn(&mut Unnamed)) {
        let mut counts = Unnamed::default();
        add(&mut counts);
        if let Some(flow) = self.flows.get(topic) {
            return counts.into_flow(flow);
        }
        let name = match topic {
            Topic::Name(name) => name.clone(),
            Topic::Id(id) => {
                let Some(name) = self.names.get(id) else {
                    if self.unnamed.len() < KEPT {
                        add(self.unnamed.entry(*id).or_default());
                    }
                    return;
                };
                // What was counted before the name was known is not lost.
                if let Some(before) = self.unnamed.remove(id) {
                    before.into_flow(&self.metrics.flow(&self.principal, &name));
                }
                name
            }
        };
        let flow = self.metrics.flow(&self.principal, &name);
        counts.into_flow(&flow);
        if self.flows.len() < KEPT {
            self.flows.insert(topic.clone(), flow);
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
