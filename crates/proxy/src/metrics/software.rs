//! Which client software is connected (KIP-511).

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tubeway_session::Software;

use super::bounded::{Bounded, OTHER, SOFTWARE};
use super::labels::SoftwareLabels;

/// Of clients that have not said what they are.
const UNKNOWN: &str = "unknown";

type Key = (Arc<str>, Box<str>, Box<str>);

/// Open connections by software. Clones share it. A series ends with its last
/// connection, so that names which come and go do not use the budget up.
#[derive(Clone, Default)]
pub struct Connections {
    open: Arc<Mutex<Open>>,
    family: Family<SoftwareLabels, Gauge>,
}

struct Open {
    known: Bounded<Key, (Key, Gauge)>,
}

/// Counts one connection for as long as it lives.
pub struct SoftwareHeld {
    connections: Connections,
    key: Key,
    gauge: Gauge,
}

// === impl Connections ===

impl Connections {
    /// The family, to be registered.
    pub fn family(&self) -> Family<SoftwareLabels, Gauge> {
        self.family.clone()
    }

    /// Counts a connection until what this gives is dropped.
    pub fn hold(&self, principal: &Arc<str>, software: Option<&Software>) -> SoftwareHeld {
        let (name, version) = match software {
            Some(software) => (software.name.clone(), software.version.clone()),
            None => (UNKNOWN.into(), UNKNOWN.into()),
        };
        let other = || Box::<str>::from(OTHER);
        let exact = (principal.clone(), name, version);
        let rough = || {
            [
                (principal.clone(), other(), other()),
                (OTHER.into(), other(), other()),
            ]
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, gauge) = open.known.find(principal, exact, rough, |key| {
            let gauge = self.family.get_or_create_owned(&labels(key));
            (key.clone(), gauge)
        });
        gauge.inc();
        SoftwareHeld {
            connections: self.clone(),
            key,
            gauge,
        }
    }

    fn release(&self, key: &Key, gauge: &Gauge) {
        // Counted down under the lock: nobody takes the series up meanwhile.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if gauge.dec() == 1 {
            open.known.remove(key);
            self.family.remove(&labels(key));
        }
    }
}

// === impl Open ===

impl Default for Open {
    fn default() -> Self {
        Self {
            known: Bounded::new(SOFTWARE),
        }
    }
}

// === impl SoftwareHeld ===

impl Drop for SoftwareHeld {
    fn drop(&mut self) {
        self.connections.release(&self.key, &self.gauge);
    }
}

fn labels((principal, software, version): &Key) -> SoftwareLabels {
    SoftwareLabels {
        principal: principal.to_string(),
        software: software.to_string(),
        version: version.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(connections: &Connections, (principal, software): (&str, &str)) -> Option<i64> {
        let version = if software == "java" {
            "4.1.0"
        } else {
            software
        };
        let key = (principal.into(), software.into(), version.into());
        Some(connections.family.get(&labels(&key))?.get())
    }

    #[test]
    fn a_series_lives_as_long_as_its_connections() {
        let connections = Connections::default();
        let java = Software::new("java", "4.1.0").unwrap();
        let a = connections.hold(&"p".into(), Some(&java));
        let b = connections.hold(&"p".into(), Some(&java));
        let c = connections.hold(&"p".into(), None);
        assert_eq!(count(&connections, ("p", "java")), Some(2));
        assert_eq!(count(&connections, ("p", "unknown")), Some(1));
        drop((a, c));
        assert_eq!(count(&connections, ("p", "java")), Some(1));
        assert_eq!(count(&connections, ("p", "unknown")), None);
        drop(b);
        assert_eq!(count(&connections, ("p", "java")), None);
    }

    #[test]
    fn connections_beyond_the_budget_are_counted_and_leave_no_trace() {
        let connections = Connections::default();
        let hold = |i: usize| {
            let software = Software::new(&format!("s{i}"), "1").unwrap();
            connections.hold(&format!("p{}", i % 1_000).as_str().into(), Some(&software))
        };
        for _ in 0..2 {
            let kept: Vec<_> = (0..5_000).map(hold).collect();
            let open = connections.open.lock().unwrap();
            assert_eq!(open.known.iter().count(), SOFTWARE.most());
            let counted = open.known.iter().map(|(_, (_, gauge))| gauge.get());
            assert_eq!(counted.sum::<i64>(), kept.len() as i64);
            drop(open);
            drop(kept);
            let open = connections.open.lock().unwrap();
            assert_eq!(open.known.iter().count(), 0);
        }
    }
}
