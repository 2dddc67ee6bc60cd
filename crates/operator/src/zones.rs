//! Zones: where pods are, for rules that ask for it and for sidecars themselves.
//!
//! ```text
//! pods, nodes ──reflectors──▶ address → zone (pure) ──▶ stream to the nodes'
//!                                  ▲                    sidecars of clusters
//! access rules ──name zones?───────┘                    whose rules name zones
//! ```
//! A pod's zone is the label `topology.kubernetes.io/zone` of the node it runs
//! on, so it is what the API server says and never what a client says. A change
//! is sent within a debounce of 100 ms; while pods come and go all the time, at
//! most two documents a second. Each has all addresses: of 10,000 pods some
//! 150 kB, and it is right whatever a sidecar has missed.
//!
//! The first document of a cluster goes out before the rules that need it, so
//! that no caller is without a zone for a moment. When no rule names a zone any
//! more, the last one stays where it is and costs nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};
use tubeway_config::{ClusterRef, Zones};

use crate::stream::{AccessDocuments, ZoneDocuments};

mod map;
mod places;

pub use map::{MAX_ADDRESSES, PodPlace, ZoneMap, zone_map};
pub use places::{Places, PlacesGone, ZONE_LABEL};

/// Changes come in bursts.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// After a document that much passes before the next.
const REST: Duration = Duration::from_millis(400);
/// How long access rules wait at the operator's start for the pods and nodes to
/// be listed. Without them a rule with zones allows nothing and denies all that
/// it can; with what sidecars were told before, it may be a little out of date.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends zones to sidecars. Clones are one.
#[derive(Clone)]
pub struct ZoneSource {
    places: Places,
    documents: ZoneDocuments,
    /// Held from reading the places to publishing, so that nobody publishes
    /// what is older than what somebody else has.
    publishing: Arc<Mutex<()>>,
    patience: Instant,
}

// === impl ZoneSource ===

impl ZoneSource {
    /// Sends what `places` know as `documents`.
    pub fn new(places: Places, documents: ZoneDocuments) -> Self {
        Self {
            places,
            documents,
            publishing: Arc::default(),
            patience: Instant::now() + PATIENCE,
        }
    }

    /// Waits until places are known, but not for ever: what takes a right away
    /// must not wait for a watch that does not work.
    pub async fn patiently(&self) {
        let ready = timeout_at(self.patience, self.places.ready()).await;
        if !matches!(ready, Ok(Ok(()))) {
            warn!("pods and nodes cannot be listed: rules with zones go by what sidecars know");
        }
    }

    /// Publishes the zones of now for these clusters; nothing as long as they
    /// are not known.
    pub fn publish<'a>(&self, clusters: impl IntoIterator<Item = &'a ClusterRef>) {
        let mut clusters = clusters.into_iter().peekable();
        if clusters.peek().is_none() || !self.places.are_ready() {
            return;
        }
        let _publishing = self
            .publishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let ZoneMap { zones, left_out } = self.places.map();
        if left_out > 0 {
            warn!(
                left_out,
                most = MAX_ADDRESSES,
                "too many addresses; those left out have no zone"
            );
        }
        for cluster in clusters {
            let document = Zones {
                cluster: cluster.clone(),
                zones: zones.clone(),
            };
            let addresses = document.addresses();
            if self.documents.publish(document) {
                info!(%cluster, addresses, "zones are sent to the sidecars");
            }
        }
    }

    /// Keeps the zones of every cluster whose rules in `access` name zones as
    /// pods and nodes are, until dropped.
    ///
    /// # Errors
    /// If the watches have ended.
    pub async fn keep(self, access: AccessDocuments) -> Result<(), PlacesGone> {
        self.places.ready().await?;
        let mut changes = self.places.changes();
        loop {
            changes.mark_unchanged();
            let documents = access.all();
            let zoned = documents.iter().map(|d| &d.document);
            let zoned = zoned.filter(|d| d.access.name_zones());
            self.publish(zoned.map(|d| &d.cluster));
            sleep(REST).await;
            changes.changed().await.map_err(|_| PlacesGone)?;
            sleep(DEBOUNCE).await;
        }
    }
}
