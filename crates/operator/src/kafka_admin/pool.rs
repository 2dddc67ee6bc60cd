//! Any broker of a cluster, and again if need be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connect::{BrokerAddress, Connect};
use super::connection::{Call, Connection};
use super::error::{AdminError, Refusal};

/// How many idle connections are kept to one broker.
const IDLE_PER_BROKER: usize = 2;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long and how much.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a connection with its handshakes.
    pub connect: Duration,
    /// For the answer to one request.
    pub request: Duration,
    /// For a call with all its attempts.
    pub total: Duration,
    /// Largest answer, in bytes.
    pub frame: usize,
}

/// A client of one Kafka cluster's admin side.
///
/// # Guarantees
/// Calls run side by side and are safe to drop at any point: a connection with
/// an answer outstanding is closed, never used for another call. Errors that may
/// pass are tried again, at the next broker, until [`Limits::total`].
#[derive(Clone)]
pub struct Admin {
    inner: Arc<Inner>,
}

struct Inner {
    connect: Box<dyn Connect>,
    brokers: Vec<BrokerAddress>,
    limits: Limits,
    idle: Mutex<BTreeMap<BrokerAddress, Vec<Connection>>>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(15),
            total: Duration::from_secs(30),
            frame: 256 * 1024 * 1024,
        }
    }
}

// === impl Admin ===

impl Admin {
    /// A client of the cluster that has these brokers, tried in this order.
    pub fn new(connect: impl Connect + 'static, brokers: Vec<BrokerAddress>) -> Self {
        Self::with_limits(connect, brokers, Limits::default())
    }

    /// As [`Admin::new`], with limits of one's own.
    pub fn with_limits(
        connect: impl Connect + 'static,
        brokers: Vec<BrokerAddress>,
        limits: Limits,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                connect: Box::new(connect),
                brokers,
                limits,
                idle: Mutex::default(),
            }),
        }
    }

    /// Whether this is a clone of the other.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The brokers that calls go to.
    pub fn brokers(&self) -> &[BrokerAddress] {
        &self.inner.brokers
    }

    /// One request to whichever broker answers. `request` is told the version
    /// and made anew for each attempt; `check` finds an error that is about the
    /// whole request.
    pub async fn call<R: Call>(
        &self,
        request: impl Fn(i16) -> R,
        check: impl Fn(&R::Response) -> Result<(), Refusal>,
    ) -> Result<R::Response, AdminError> {
        let deadline = Instant::now() + self.inner.limits.total;
        let mut pause = FIRST_PAUSE;
        let mut last = AdminError::NoBrokers;
        while !self.inner.brokers.is_empty() {
            for broker in &self.inner.brokers {
                match self.inner.attempt(broker, &request, &check).await {
                    Ok(response) => return Ok(response),
                    Err(error) if !error.may_pass() => return Err(error),
                    Err(error) => last = error,
                }
                if Instant::now() + pause >= deadline {
                    return Err(last);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(last)
    }

    /// One request to exactly this broker, once.
    pub async fn call_at<R: Call>(
        &self,
        broker: &BrokerAddress,
        request: impl Fn(i16) -> R,
        check: impl Fn(&R::Response) -> Result<(), Refusal>,
    ) -> Result<R::Response, AdminError> {
        self.inner.attempt(broker, &request, &check).await
    }

    /// What a broker may take for a request, so that it answers before we give up.
    pub(super) fn broker_timeout_ms(&self) -> i32 {
        let millis = (self.inner.limits.request * 2 / 3).as_millis();
        i32::try_from(millis).unwrap_or(i32::MAX)
    }
}

// === impl Inner ===

impl Inner {
    async fn attempt<R: Call>(
        &self,
        broker: &BrokerAddress,
        request: &impl Fn(i16) -> R,
        check: &impl Fn(&R::Response) -> Result<(), Refusal>,
    ) -> Result<R::Response, AdminError> {
        let response = loop {
            // An idle connection may have been closed from the other side, which
            // says nothing about the broker: the next one is tried, then a new one.
            let idle = self.take(broker);
            let reused = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(self.connect.as_ref(), broker, &self.limits).await?,
            };
            match connection.call(request).await {
                Ok(response) => {
                    self.keep(broker, connection);
                    break response;
                }
                Err(AdminError::Lost { .. }) if reused => {}
                Err(error) => return Err(error),
            }
        };
        check(&response).map_err(|refusal| AdminError::Refused {
            api: R::NAME,
            refusal,
        })?;
        Ok(response)
    }

    fn take(&self, broker: &BrokerAddress) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(broker)?.pop()
    }

    fn keep(&self, broker: &BrokerAddress, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(broker.clone()).or_default();
        if connections.len() < IDLE_PER_BROKER {
            connections.push(connection);
        }
    }
}
