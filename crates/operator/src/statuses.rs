//! One condition of an object, and what else its controller says of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;
use tubeway_api::condition::{self, Wanted, reasons, types};
use tubeway_api::{KafkaAcl, KafkaCluster, KafkaQuota};
use tubeway_policy::rbac::ObjectRef;

use crate::apply::{Object, Writer, contains, to_json};
use crate::context::{Context, Happening};
use crate::error::Result;

/// How soon a status that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(3);
/// How many problems a message names.
const NAMED: usize = 10;

/// A kind with conditions.
pub trait Judged: Object {
    /// What is known of the object so far.
    fn conditions(&self) -> &[Condition];
}

/// What an object's condition is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The condition.
    pub type_: &'static str,
    /// Whether it is `True`.
    pub ready: bool,
    /// One of [`reasons`].
    pub reason: &'static str,
    /// What is waited for, or what is wrong and what is allowed.
    pub message: String,
    /// Other fields of the status that go with it.
    pub fields: Vec<(&'static str, i64)>,
}

/// The verdicts on all objects of a kind; none leaves what was said before.
pub type Verdicts<K> = Arc<Vec<(Arc<K>, Option<Verdict>)>>;

/// Writes verdicts, each only where it says something else than before.
pub struct Statuses {
    ctx: Context,
    controller: &'static str,
    manager: &'static str,
    written: BTreeMap<ObjectRef, Written>,
}

/// The last write, for as long as the copies of objects may not show it.
struct Written {
    uid: Option<String>,
    /// Of the object that the write was made for.
    version: Option<String>,
    condition: Condition,
    status: Value,
}

// === impl Written ===

impl Written {
    /// Whether this copy of the object may not show the write yet.
    fn is_newer<K: Judged>(&self, copy: &K) -> bool {
        self.uid == copy.uid() && self.version == copy.resource_version()
    }
}

// === impl Judged ===

impl Judged for KafkaAcl {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |s| &s.conditions)
    }
}

impl Judged for KafkaCluster {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |s| &s.conditions)
    }
}

impl Judged for KafkaQuota {
    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |s| &s.conditions)
    }
}

// === impl Verdict ===

impl Verdict {
    /// `Ready=True`.
    pub fn ready(message: impl Into<String>) -> Self {
        Self {
            type_: types::READY,
            ready: true,
            reason: reasons::READY,
            message: message.into(),
            fields: Vec::new(),
        }
    }

    /// `Ready=False`.
    pub fn not(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            ready: false,
            reason,
            ..Self::ready(message)
        }
    }

    /// Whether somebody has to do something about it.
    fn is_error(&self) -> bool {
        !self.ready && self.reason != reasons::WAITING_FOR_NODES
    }
}

/// Problems in one message: the first of them, and how many more there are.
pub fn join(problems: &[impl Display]) -> String {
    let named = problems.iter().take(NAMED).map(ToString::to_string);
    let named = named.collect::<Vec<_>>().join("; ");
    match problems.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// The sidecars that something is waited for, each with what it said.
pub fn waiting(behind: &BTreeMap<String, String>) -> String {
    let pods: Vec<_> = behind
        .iter()
        .map(|(pod, why)| {
            if why.is_empty() {
                pod.clone()
            } else {
                format!("{pod}, which says: {why}")
            }
        })
        .collect();
    format!("waiting for the sidecars of {}", join(&pods))
}

// === impl Statuses ===

impl Statuses {
    /// Writes as `manager` on behalf of `controller`.
    pub fn new(ctx: Context, controller: &'static str, manager: &'static str) -> Self {
        Self {
            ctx,
            controller,
            manager,
            written: BTreeMap::new(),
        }
    }

    /// Writes the newest verdicts until there are no more.
    pub async fn keep<K: Judged>(mut self, mut verdicts: watch::Receiver<Verdicts<K>>) {
        let mut written = Verdicts::<K>::default();
        loop {
            let newest = Arc::clone(&verdicts.borrow_and_update());
            let all = is_same(&written, &newest) || self.write_all(&newest).await;
            if all {
                written = newest;
            }
            tokio::select! {
                () = sleep(RETRY), if !all => {}
                changed = verdicts.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Writes these verdicts; whether all that were to be written are.
    pub async fn write_all<K: Judged>(&mut self, verdicts: &[(Arc<K>, Option<Verdict>)]) -> bool {
        let mut all = true;
        let mut written = std::mem::take(&mut self.written);
        // What is remembered goes with the object, and when its copy shows it.
        self.written = verdicts
            .iter()
            .filter_map(|(object, _)| {
                let key = key(object.as_ref());
                let written = written.remove(&key)?;
                written.is_newer(object.as_ref()).then_some((key, written))
            })
            .collect();
        for (object, verdict) in verdicts {
            let Some(verdict) = verdict else { continue };
            if let Err(error) = self.write(object.as_ref(), verdict).await {
                let kind = K::kind(&());
                warn!(%kind, object = %key(object.as_ref()), error = error.full(), "a status could not be written");
                all = false;
            }
        }
        all
    }

    /// Writes one verdict; returns whether that took a write.
    pub async fn write<K: Judged>(&mut self, live: &K, verdict: &Verdict) -> Result<bool> {
        let key = key(live);
        // A copy that is no newer than the last write was made for is out of date.
        let last = self.written.get(&key);
        let last = last.filter(|written| written.is_newer(live));
        let before = last.map(|w| &w.condition);
        let before = before.or_else(|| condition::find(live.conditions(), verdict.type_));
        let was = before.map(|c| (c.reason.clone(), c.message.clone()));
        let mut conditions: Vec<_> = before.cloned().into_iter().collect();
        let wanted = Wanted {
            type_: verdict.type_,
            status: Some(verdict.ready),
            reason: verdict.reason,
            message: verdict.message.clone(),
            observed_generation: live.meta().generation,
        };
        condition::set_condition(&mut conditions, wanted, Timestamp::now());
        let status = status(live, &conditions, verdict);
        let same = match last {
            Some(last) => last.status == status,
            None => contains(&to_json(live)["status"], &status),
        };
        if same {
            return Ok(false);
        }
        let writer = Writer::new(self.ctx.client.clone(), &self.ctx.metrics, self.controller);
        let writer = writer.managed_by(self.manager);
        writer.put_status(live, &status).await?;
        let written = Written {
            uid: live.uid(),
            version: live.resource_version(),
            condition: conditions.remove(0),
            status,
        };
        self.written.insert(key, written);
        if was != Some((verdict.reason.to_owned(), verdict.message.clone())) {
            self.tell(live, verdict).await;
        }
        Ok(true)
    }

    /// An Event for what somebody has to do something about.
    async fn tell<K: Judged>(&self, live: &K, verdict: &Verdict) {
        if !verdict.is_error() {
            return;
        }
        let happening = Happening {
            reason: verdict.reason,
            action: "Apply",
            // Longest note that Kubernetes takes.
            note: verdict.message.chars().take(1000).collect(),
            warning: true,
        };
        self.ctx.event(live, happening).await;
    }
}

/// The status as it is applied: nothing but this controller's fields.
fn status<K: Judged>(live: &K, conditions: &[Condition], verdict: &Verdict) -> Value {
    let mut status = json!({ "conditions": conditions });
    if verdict.type_ == types::READY {
        status["observedGeneration"] = json!(live.meta().generation);
    }
    for (field, value) in &verdict.fields {
        status[*field] = json!(value);
    }
    status
}

/// Whether these say the same of the same copies of objects.
fn is_same<K>(old: &Verdicts<K>, new: &Verdicts<K>) -> bool {
    let pairs = || old.iter().zip(new.iter());
    old.len() == new.len()
        && pairs().all(|(old, new)| Arc::ptr_eq(&old.0, &new.0) && old.1 == new.1)
}

fn key<K: Judged>(object: &K) -> ObjectRef {
    ObjectRef::new(object.namespace().unwrap_or_default(), object.name_any())
}
