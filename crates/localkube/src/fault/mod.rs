//! Faults on purpose, for tests of clients.
//!
//! A client is known by its `User-Agent` or its field manager, and has a plan: which of its
//! requests meets which fault. Requests of clients without a plan pass untouched. Faults act on
//! requests as they arrive, so that they meet any client, whatever it is written in.

mod blind;
mod pass;
mod plan;
mod stale;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub use plan::{Asked, Fault, Plan, Rule, What};

/// One request of a client that has a plan, and what became of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What was asked.
    pub asked: Asked,
    /// The fault that it met.
    pub fault: Option<Fault>,
    /// The HTTP status that the API answered with, whether or not it got back to the client;
    /// none if the API was not asked, or not yet.
    pub status: Option<u16>,
    /// The newest resource version after it was carried out.
    pub version: u64,
}

#[derive(Default)]
struct Client {
    plan: Plan,
    seen: Vec<Seen>,
    crashed: bool,
    /// Requests and watches that wait.
    held: usize,
    /// How often whatever waited was let go on.
    releases: u64,
}

/// The plans of all clients, and what came of them.
#[derive(Default)]
pub struct Faults {
    clients: Mutex<BTreeMap<String, Client>>,
    changed: watch::Sender<()>,
}

// === impl Faults ===

impl Faults {
    /// Gives a client a plan, in place of the one that it has. What was seen of it is forgotten,
    /// and what is held goes on.
    pub fn set(&self, client: &str, plan: Plan) {
        self.change(|clients| {
            let old = clients.remove(client).unwrap_or_default();
            let new = Client {
                plan,
                releases: old.releases + 1,
                ..Client::default()
            };
            clients.insert(client.to_owned(), new);
        });
    }

    /// Gives a client that goes on under the same name another plan; what was seen of it stays.
    pub fn replan(&self, client: &str, plan: Plan) {
        self.change(|clients| {
            let client = clients.entry(client.to_owned()).or_default();
            client.plan = plan;
            client.crashed = false;
            client.releases += 1;
            client.held = 0;
        });
    }

    /// The client that has crashed starts again, and goes on with its plan.
    pub fn revive(&self, client: &str) {
        self.change(|clients| {
            if let Some(client) = clients.get_mut(client) {
                client.crashed = false;
            }
        });
    }

    /// Takes a client's plan away; returns what was seen of it.
    pub fn clear(&self, client: &str) -> Vec<Seen> {
        let mut old = Client::default();
        self.change(|clients| old = clients.remove(client).unwrap_or_default());
        old.seen
    }

    /// What was seen of a client, from request number `from` on.
    pub fn seen(&self, client: &str, from: usize) -> Vec<Seen> {
        let clients = self.lock();
        let seen = clients.get(client).map_or(&[][..], |c| &c.seen);
        seen.get(from..).unwrap_or_default().to_vec()
    }

    /// How many requests of a client have been seen.
    pub fn count(&self, client: &str) -> usize {
        self.lock()
            .get(client)
            .map_or(0, |client| client.seen.len())
    }

    /// Waits until the client has met a crash: whoever runs it ends it now.
    pub async fn crashed(&self, client: &str) {
        self.until(client, |client| client.crashed).await;
    }

    /// Waits until a request of the client is held.
    pub async fn held(&self, client: &str) {
        self.until(client, |client| client.held > 0).await;
    }

    /// Lets everything that is held of a client go on.
    pub fn release(&self, client: &str) {
        self.change(|clients| {
            if let Some(client) = clients.get_mut(client) {
                client.releases += 1;
                client.held = 0;
            }
        });
    }

    /// Waits until what is held of a client from now on is let go on.
    async fn released(&self, client: &str) {
        let releases = {
            let clients = self.lock();
            clients.get(client).map(|client| client.releases)
        };
        self.change(|clients| {
            if let Some(client) = clients.get_mut(client) {
                client.held += 1;
            }
        });
        let mut changed = self.changed.subscribe();
        loop {
            let now = self.lock().get(client).map(|client| client.releases);
            if now != releases || changed.changed().await.is_err() {
                return;
            }
        }
    }

    async fn until(&self, client: &str, holds: impl Fn(&Client) -> bool) {
        let mut changed = self.changed.subscribe();
        loop {
            if self.lock().get(client).is_some_and(&holds) {
                return;
            }
            if changed.changed().await.is_err() {
                // The sender lives as long as this borrow of it.
                return;
            }
        }
    }

    /// The fault of a client's next request, and its number among those seen.
    fn meet(&self, client: &str, asked: Asked) -> Option<(usize, Option<Fault>)> {
        let mut clients = self.lock();
        let client = clients.get_mut(client)?;
        let fault = client.plan.next(&asked);
        client.seen.push(Seen {
            asked,
            fault: fault.clone(),
            status: None,
            version: 0,
        });
        Some((client.seen.len() - 1, fault))
    }

    fn answered(&self, client: &str, number: usize, status: u16, version: u64) {
        self.change(|clients| {
            let seen = clients.get_mut(client).and_then(|c| c.seen.get_mut(number));
            if let Some(seen) = seen {
                seen.status = Some(status);
                seen.version = version;
            }
        });
    }

    fn crash(&self, client: &str) {
        self.change(|clients| {
            if let Some(client) = clients.get_mut(client) {
                client.crashed = true;
            }
        });
    }

    fn knows(&self, client: &str) -> bool {
        self.lock().contains_key(client)
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Client>)) {
        change(&mut self.lock());
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Client>> {
        // No change is left half done.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Faults without a plan yet.
    pub(crate) fn none() -> Arc<Self> {
        Arc::default()
    }
}
