//! What this sidecar knows of zones: the callers', and its own pod's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::time::timeout;
use tubeway_config::Zones;

/// The zones of callers' addresses. Clones share them; reading takes no lock.
#[derive(Clone, Default)]
pub struct ZonesInForce {
    shared: Arc<Shared>,
}

/// The zone of this sidecar's pod, once it is known. Clones share it.
#[derive(Clone, Default)]
pub struct OwnZone(Arc<ArcSwapOption<String>>);

#[derive(Default)]
struct Shared {
    by_address: ArcSwap<HashMap<IpAddr, Arc<str>>>,
    /// Counts changes; a change is there before it is counted.
    version: AtomicU64,
    changed: Notify,
}

// === impl ZonesInForce ===

impl ZonesInForce {
    /// The zone of an address, where it is known.
    pub fn zone_of(&self, address: IpAddr) -> Option<Arc<str>> {
        let known = self.shared.by_address.load();
        known.get(&address.to_canonical()).cloned()
    }

    /// As [`zone_of`](Self::zone_of), once it is known, or none after `within`: a
    /// pod may call before the operator has seen its address.
    pub async fn find(&self, address: IpAddr, within: Duration) -> Option<Arc<str>> {
        let known = async {
            loop {
                let changed = self.shared.changed.notified();
                if let Some(zone) = self.zone_of(address) {
                    return zone;
                }
                changed.await;
            }
        };
        timeout(within, known).await.ok()
    }

    /// Another number after each change.
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// From now on these count; whether they are others than before.
    pub fn replace(&self, zones: &Zones) -> bool {
        let new = zones.by_address();
        if **self.shared.by_address.load() == new {
            return false;
        }
        self.shared.by_address.store(Arc::new(new));
        self.shared.version.fetch_add(1, Ordering::Release);
        self.shared.changed.notify_waiters();
        true
    }
}

// === impl OwnZone ===

impl OwnZone {
    /// The zone.
    pub fn get(&self) -> Option<String> {
        self.0.load().as_deref().cloned()
    }

    /// This is it from now on; whether it is another than before.
    pub fn replace(&self, zone: String) -> bool {
        let same = self.0.load().as_deref() == Some(&zone);
        if !same {
            self.0.store(Some(Arc::new(zone)));
        }
        !same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn zones(zone: &str, address: &str) -> Zones {
        Zones {
            cluster: "kafka/demo".parse().unwrap(),
            zones: [(zone.to_owned(), [address.parse().unwrap()].into())].into(),
        }
    }

    #[test]
    fn an_address_is_found_in_either_form_and_a_change_is_counted() {
        let in_force = ZonesInForce::default();
        let before = in_force.version();
        assert!(in_force.replace(&zones("a", "10.0.0.1")));
        assert!(!in_force.replace(&zones("a", "10.0.0.1")));
        assert_eq!(in_force.version(), before + 1);
        for address in ["10.0.0.1", "::ffff:10.0.0.1"] {
            let zone = in_force.zone_of(address.parse().unwrap());
            assert_eq!(zone.as_deref(), Some("a"), "{address}");
        }
        assert_eq!(in_force.zone_of([10, 0, 0, 2].into()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_is_not_known_yet_is_waited_for_and_not_for_ever() {
        let in_force = ZonesInForce::default();
        let there = in_force.clone();
        let new = tokio::spawn(async move { there.find([10, 0, 0, 1].into(), PATIENCE).await });
        tokio::task::yield_now().await;
        in_force.replace(&zones("a", "10.0.0.1"));
        assert_eq!(new.await.unwrap().as_deref(), Some("a"));
        let stranger = in_force.find([10, 0, 0, 2].into(), PATIENCE);
        assert_eq!(stranger.await, None);
    }
}
